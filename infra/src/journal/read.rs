//! Reading stored messages: all of one subject at once, or a single one from the leader.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use domain::port::Failure;
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::refusal::{Code, Refusal};
use super::wire::{PATIENCE, Wire};

/// How much one page may hold. The server ends a page at whichever comes first.
pub(super) const PAGE_MESSAGES: usize = 256;
const PAGE_BYTES: usize = 8 * 1024 * 1024;

pub(super) const SUBJECT: &str = "Nats-Subject";
pub(super) const SEQUENCE: &str = "Nats-Sequence";
pub(super) const LAST: &str = "Nats-Last-Sequence";
pub(super) const PENDING: &str = "Nats-Num-Pending";

const NOT_FOUND: u16 = 404;
const END_OF_BATCH: u16 = 204;
const NO_RESPONDERS: u16 = 503;

/// What failed, in words for people.
pub(super) const JOURNAL: &str = "the journal";

/// One stored message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its subject.
    pub subject: String,
    /// Its place in the journal stream.
    pub sequence: u64,
    /// What was stored.
    pub payload: Bytes,
    /// W3C trace context, if it was stored with one.
    pub traceparent: Option<String>,
}

/// Messages as they came, and how many more the server knows of.
pub(super) type Batch = (Vec<async_nats::Message>, u64);

/// Which single message to read.
#[derive(Debug, Clone, Copy)]
pub enum Which<'a> {
    /// The one with this sequence.
    At(u64),
    /// The last one of a subject.
    LastOf(&'a str),
    /// The first one of a subject from a sequence on.
    NextOf(&'a str, u64),
}

impl Wire {
    /// Every message of a subject from a sequence on, oldest first, as whoever answers has them: all of them on one
    /// replica, of several one that may be a moment behind.
    ///
    /// # Errors
    /// `Damaged` when the server knows of messages that it does not give: a flipped bit hides a message without a word.
    pub async fn messages_of(&self, journal: &str, subject: &str, from: u64) -> Result<Vec<Stored>, Failure> {
        match self.given_of(journal, subject, from).await? {
            (messages, 0) => Ok(messages),
            (messages, owed) => {
                let last = messages.last().map_or(from, |last| last.sequence);
                let detail = format!("{owed} messages around sequence {last} cannot be read");
                Err(Failure::damaged(format!("journal stream {journal}"), detail))
            }
        }
    }

    /// The same up to where the leader says that the subject ends. Any of several replicas answers the first read, one that
    /// is a moment behind or one with a flipped bit, too: what it does not give, the leader is asked for.
    ///
    /// # Errors
    /// `Damaged` when the leader does not give it either.
    pub async fn messages_up_to_now(&self, journal: &str, subject: &str, from: u64) -> Result<Vec<Stored>, Failure> {
        let end = self.message(journal, Which::LastOf(subject)).await?.map_or(0, |last| last.sequence);
        let (mut messages, owed) = self.given_of(journal, subject, from).await?;
        let wanted = messages.len() as u64 + owed;
        if owed > 0 {
            // One of them is hidden, and it is not known which.
            messages.clear();
        }
        loop {
            let next = messages.last().map_or(from, |last| last.sequence + 1);
            if next > end && messages.len() as u64 >= wanted {
                return Ok(messages);
            }
            match self.message(journal, Which::NextOf(subject, next)).await? {
                Some(message) => messages.push(message),
                None => {
                    let detail = format!("a message of a stream, from sequence {next} on, cannot be read");
                    return Err(Failure::damaged(format!("journal stream {journal}"), detail));
                }
            }
        }
    }

    async fn given_of(&self, journal: &str, subject: &str, from: u64) -> Result<(Vec<Stored>, u64), Failure> {
        let (messages, owed) = self.all_given(journal, subject, from).await?;
        Ok((messages.iter().map(stored).collect::<Result<_, _>>()?, owed))
    }

    /// The messages of a subject from a sequence on that are given, and how many more there are said to be.
    pub(super) async fn all_given(&self, journal: &str, subject: &str, from: u64) -> Result<Batch, Failure> {
        let mut given = self.given_once(journal, subject, from).await?;
        for _ in 1..self.tries() {
            if given.1 == 0 {
                break;
            }
            given = self.given_once(journal, subject, from).await?;
        }
        Ok(given)
    }

    /// The message at a sequence, as any replica has it: the leader is asked first.
    ///
    /// # Errors
    /// When the journal stream is missing or does not answer.
    pub(super) async fn message_anywhere(&self, journal: &str, sequence: u64) -> Result<Option<Stored>, Failure> {
        match self.message(journal, Which::At(sequence)).await? {
            Some(message) => Ok(Some(message)),
            None => self.raw_anywhere(journal, sequence).await?.as_ref().map(stored).transpose(),
        }
    }

    /// The message at a sequence, as any replica has it that answers.
    pub(super) async fn raw_anywhere(
        &self,
        journal: &str,
        sequence: u64,
    ) -> Result<Option<async_nats::Message>, Failure> {
        for _ in 0..self.tries() {
            let read = self.batch_of(journal, ">", sequence, 1).await?;
            if let Some(message) = read.and_then(|(messages, _)| messages.into_iter().next())
                && number(&message, SEQUENCE)? == sequence
            {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    async fn given_once(&self, journal: &str, subject: &str, from: u64) -> Result<Batch, Failure> {
        let (mut messages, mut pending, mut next) = (Vec::new(), 0, from);
        loop {
            let Some((page, left)) = self.batch_of(journal, subject, next, PAGE_MESSAGES).await? else {
                return Ok((messages, pending));
            };
            if let Some(last) = page.last() {
                next = number(last, SEQUENCE)? + 1;
            }
            // One that is hidden in a page is pending after it, and unknown to the next.
            let owed = pending.saturating_sub(page.len() as u64 + left);
            let is_end = page.is_empty() || left == 0;
            messages.extend(page);
            pending = left;
            if is_end || owed > 0 {
                return Ok((messages, pending + owed));
            }
        }
    }

    /// At most `count` messages of a subject (which may have wildcards) from a sequence on, as they came, and how many
    /// more the server knows of; none if there is no such message.
    pub(super) async fn batch_of(
        &self,
        journal: &str,
        subject: &str,
        from: u64,
        count: usize,
    ) -> Result<Option<Batch>, Failure> {
        let patience = self.patience();
        loop {
            match self.batch_once(journal, subject, from, count).await {
                // In a cluster another replica may answer.
                Err(Failure::Unavailable { .. }) if patience.again().await => {}
                outcome => return outcome,
            }
        }
    }

    async fn batch_once(
        &self,
        journal: &str,
        subject: &str,
        from: u64,
        count: usize,
    ) -> Result<Option<Batch>, Failure> {
        let lost = |cause: &str| Failure::unavailable(JOURNAL, cause);
        let request = json!({
            "seq": from.max(1), "next_by_subj": subject, "batch": count, "max_bytes": PAGE_BYTES,
        });
        let inbox = self.client().new_inbox();
        let mut replies = self.client().subscribe(inbox.clone()).await.map_err(|error| lost(&error.to_string()))?;
        self.client()
            .publish_with_reply(format!("$JS.API.DIRECT.GET.{journal}"), inbox, request.to_string().into())
            .await
            .map_err(|error| lost(&error.to_string()))?;

        let mut messages: Vec<async_nats::Message> = Vec::new();
        let mut last = 0;
        loop {
            let reply = timeout(PATIENCE, replies.next()).await.map_err(|_| lost("no answer to a read"))?;
            let reply = reply.ok_or_else(|| lost("the connection was closed"))?;
            match reply.status.map(|status| status.as_u16()) {
                None => {
                    if number(&reply, LAST)? != last {
                        return Err(lost("a message was lost on the way"));
                    }
                    last = number(&reply, SEQUENCE)?;
                    messages.push(reply);
                }
                Some(END_OF_BATCH) if number(&reply, LAST)? == last => {
                    return Ok(Some((messages, number(&reply, PENDING)?)));
                }
                Some(END_OF_BATCH) => return Err(lost("a message was lost on the way")),
                Some(NOT_FOUND) => return Ok(None),
                Some(NO_RESPONDERS) => return Err(self.why_nobody_answers(journal).await),
                Some(status) => return Err(lost(&format!("status {status} to a read"))),
            }
        }
    }

    /// One message, asked of the leader: in a cluster a direct read may be a moment behind. None if there is none.
    ///
    /// # Errors
    /// When the journal stream is missing or does not answer.
    pub async fn message(&self, journal: &str, which: Which<'_>) -> Result<Option<Stored>, Failure> {
        let request = match which {
            Which::At(sequence) => json!({ "seq": sequence }),
            Which::LastOf(subject) => json!({ "last_by_subj": subject }),
            Which::NextOf(subject, from) => json!({ "seq": from.max(1), "next_by_subj": subject }),
        };
        match self.api(&format!("STREAM.MSG.GET.{journal}"), request).await {
            Ok(answer) => decode(&answer).map(Some).ok_or_else(|| {
                Failure::unavailable(JOURNAL, "the answer to a read is not what the JetStream API promises")
            }),
            Err(Refusal::Server(error)) if error.code() == Code::NoSuchMessage => Ok(None),
            Err(refusal) => Err(missing_or_unavailable(journal, refusal)),
        }
    }

    /// No responder on a read: either there is no such journal stream, or the server is not ready.
    async fn why_nobody_answers(&self, journal: &str) -> Failure {
        match self.api(&format!("STREAM.INFO.{journal}"), json!({})).await {
            Ok(_) => Failure::unavailable(JOURNAL, "nobody answers reads"),
            Err(refusal) => missing_or_unavailable(journal, refusal),
        }
    }
}

impl Wire {
    /// The next messages of a subject (which may have wildcards) from a sequence on, one page; empty: there are none.
    pub(super) async fn next_of(&self, journal: &str, subject: &str, from: u64) -> Result<Vec<Stored>, Failure> {
        let page = self.batch_of(journal, subject, from, PAGE_MESSAGES).await?;
        page.map_or_else(Vec::new, |(messages, _)| messages).iter().map(stored).collect()
    }
}

/// Tells a journal stream that is not there from a server that is not there.
pub(super) fn missing_or_unavailable(journal: &str, refusal: Refusal) -> Failure {
    match &refusal {
        Refusal::Server(error) if error.code() == Code::NoSuchStream => missing(journal),
        _ => refusal.into_failure(JOURNAL),
    }
}

/// Never made at start: see `provision.rs`.
fn missing(journal: &str) -> Failure {
    Failure::missing(format!(
        "journal stream {journal} (a new one is made by `lethe tenant create` and `lethe study create` only; if it was \
         there before, do not make it again: mend the server's store or restore a backup)"
    ))
}

pub(super) fn stored(message: &async_nats::Message) -> Result<Stored, Failure> {
    let headers = message.headers.as_ref();
    let text = |name: &str| headers.and_then(|headers| headers.get(name)).map(|value| value.as_str().to_owned());
    Ok(Stored {
        subject: text(SUBJECT).ok_or_else(|| Failure::unavailable(JOURNAL, "a read without a subject"))?,
        sequence: number(message, SEQUENCE)?,
        payload: message.payload.clone(),
        traceparent: text(super::TRACEPARENT),
    })
}

pub(super) fn number(message: &async_nats::Message, name: &str) -> Result<u64, Failure> {
    let value = message.headers.as_ref().and_then(|headers| headers.get_last(name));
    value
        .and_then(|value| value.as_str().parse().ok())
        .ok_or_else(|| Failure::unavailable(JOURNAL, format!("a read without {name}")))
}

fn decode(answer: &Value) -> Option<Stored> {
    #[derive(Deserialize)]
    struct Raw {
        subject: String,
        seq: u64,
        #[serde(default)]
        data: String,
        #[serde(default)]
        hdrs: String,
    }
    let raw = Raw::deserialize(answer.get("message")?).ok()?;
    let headers = String::from_utf8(BASE64.decode(raw.hdrs).ok()?).ok()?;
    let traceparent = headers
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| *name == super::TRACEPARENT)
        .map(|(_, value)| value.trim().to_owned());
    let payload = BASE64.decode(raw.data).ok()?.into();
    Some(Stored { subject: raw.subject, sequence: raw.seq, payload, traceparent })
}
