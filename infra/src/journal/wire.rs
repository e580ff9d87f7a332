//! Requests to the JetStream API and publishes that are acknowledged, each with a short time limit.

use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::header::{
    HeaderMap, NATS_EXPECTED_LAST_SEQUENCE, NATS_EXPECTED_LAST_SUBJECT_SEQUENCE as EXPECTED_LAST,
};
use async_nats::jetstream::publish::PublishAck;
use async_nats::{Client, Message, Request};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::refusal::{ApiError, Refusal, Verdict};

/// How long one request may take. Longer outages are bridged by asking again.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// How long what is only read is asked for again in a cluster: when a leader dies without a word, the others wait for 4 to
/// 9 s before they choose a new one.
const ELECTION: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(100);

/// With one replica of three damaged, so many reads in vain come once in 60 million.
const TRIES: usize = 16;

/// On which subject [`EXPECTED_LAST`] is checked, if not on the message's own. async-nats has no name for it.
const EXPECTED_LAST_OF: &str = "Nats-Expected-Last-Subject-Sequence-Subject";

/// A message to be stored, with what it expects.
#[derive(Debug, Clone, Default)]
pub struct Outgoing {
    /// The literal subject.
    pub subject: String,
    /// Headers, expectations included.
    pub headers: HeaderMap,
    /// What is stored.
    pub payload: Bytes,
}

impl Outgoing {
    /// A message for `subject`.
    pub fn new(subject: impl Into<String>, payload: impl Into<Bytes>) -> Self {
        Self { subject: subject.into(), headers: HeaderMap::new(), payload: payload.into() }
    }

    /// Stored only if this is the sequence of the subject's last message; zero: if it has none.
    pub fn expecting(mut self, sequence: u64) -> Self {
        self.headers.insert(EXPECTED_LAST, sequence.to_string());
        self
    }

    /// Stored only if this is the sequence of the last message of another subject.
    pub fn expecting_of(mut self, subject: &str, sequence: u64) -> Self {
        self.headers.insert(EXPECTED_LAST_OF, subject);
        self.expecting(sequence)
    }

    /// Stored only if this is the last sequence of the whole journal stream.
    pub fn expecting_journal_at(mut self, sequence: u64) -> Self {
        self.headers.insert(NATS_EXPECTED_LAST_SEQUENCE, sequence.to_string());
        self
    }
}

/// A client with manners: every call ends in time and says what its failure means.
#[derive(Debug, Clone)]
pub struct Wire {
    client: Client,
}

/// Until when to ask again.
pub(super) struct Patience {
    until: Option<Instant>,
}

impl Patience {
    fn lasts(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() < until)
    }

    /// Whether to ask again; then a moment has passed.
    pub(super) async fn again(&self) -> bool {
        let lasts = self.lasts();
        if lasts {
            sleep(PAUSE).await;
        }
        lasts
    }
}

/// An answer of the JetStream API: an error, or whatever was asked for.
#[derive(Deserialize)]
struct Answer {
    error: Option<ApiError>,
    #[serde(flatten)]
    rest: Value,
}

impl Wire {
    /// Speaks through this client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// The client, for subscriptions.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Asks the JetStream API for what may be asked for twice; in a cluster, until there is a leader to answer.
    ///
    /// # Errors
    /// The server's refusal, or that it did not answer in time.
    pub async fn api(&self, subject: &str, body: Value) -> Result<Value, Refusal> {
        let patience = self.patience();
        loop {
            match self.api_once(subject, body.clone()).await {
                Err(refusal) if refusal.verdict() == Verdict::Unclear && patience.again().await => {}
                outcome => return outcome,
            }
        }
    }

    /// How long to ask for something that is only read.
    pub(super) fn patience(&self) -> Patience {
        Patience { until: self.has_others().then(|| Instant::now() + ELECTION) }
    }

    /// How often to read directly what is not given: another replica may answer the next time.
    pub(super) fn tries(&self) -> usize {
        if self.has_others() { TRIES } else { 1 }
    }

    /// Whether the server belongs to no cluster: then every journal stream has one replica, and that is here.
    pub(super) fn stands_alone(&self) -> bool {
        let info = self.client.server_info();
        info.cluster.is_none() && info.connect_urls.len() <= 1
    }

    /// Of one server nobody can take the place; of several, each knows the others.
    fn has_others(&self) -> bool {
        self.client.server_info().connect_urls.len() > 1
    }

    /// Asks the JetStream API, once.
    ///
    /// # Errors
    /// The server's refusal, or that it did not answer in time.
    pub async fn api_once(&self, subject: &str, body: Value) -> Result<Value, Refusal> {
        let request = Request::new().payload(body.to_string().into());
        let reply = self.request(format!("$JS.API.{subject}"), request).await?;
        let answer: Answer =
            serde_json::from_slice(&reply.payload).map_err(|_| Refusal::Silence("the answer is not JSON".into()))?;
        answer.error.map_or(Ok(answer.rest), |error| Err(Refusal::Server(error)))
    }

    /// Publishes and waits until it is on disk.
    ///
    /// # Errors
    /// See [`Refusal::verdict`] for whether it was stored.
    pub async fn publish(&self, message: Outgoing) -> Result<PublishAck, Refusal> {
        let request = Request::new().headers(message.headers).payload(message.payload);
        let reply = self.request(message.subject, request).await?;
        acknowledged(&reply.payload)
    }

    pub(super) async fn request(&self, subject: String, request: Request) -> Result<Message, Refusal> {
        self.client.send_request(subject, request.timeout(Some(PATIENCE))).await.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => Refusal::NobodyThere,
            RequestErrorKind::TimedOut
            | RequestErrorKind::InvalidSubject
            | RequestErrorKind::MaxPayloadExceeded
            | RequestErrorKind::Other => Refusal::Silence(error.to_string()),
        })
    }
}

/// Reads an acknowledgement.
pub(super) fn acknowledged(payload: &[u8]) -> Result<PublishAck, Refusal> {
    #[derive(Deserialize)]
    struct Refused {
        error: Option<ApiError>,
    }
    let refused: Refused =
        serde_json::from_slice(payload).map_err(|_| Refusal::Silence("the acknowledgement is not JSON".into()))?;
    match refused.error {
        Some(error) => Err(Refusal::Server(error)),
        None => serde_json::from_slice(payload).map_err(|error| Refusal::Silence(error.to_string())),
    }
}
