//! Following a journal stream: everything from a sequence on, in order, then the news.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::{self, Context};
use async_nats::{Message, Subscriber};
use async_trait::async_trait;
use bytes::Bytes;
use domain::history::{Commit, Position, StreamId};
use domain::port::{Failure, Feed};
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::journals::Found;
use super::names::{Subject, parse_subject};
use super::read::Stored;
use super::wire::Wire;
use crate::seal::Sealer;

/// How many messages to ask for at once. The next request goes out when half of them are there.
const PULL: usize = 512;

/// How many bytes a request may bring, whatever it asked for.
const PULL_BYTES: usize = 8 * 1024 * 1024;

/// How many commits are opened side by side: each may wait for a key.
const OPENED_AT_ONCE: usize = 32;

/// So many commits are opened by one task. What is more is spread over all cores.
const OPENED_TOGETHER: usize = 64;

/// How many such tasks there are at once.
const OPENING_TASKS: usize = 4;

/// How long the server keeps a request for news.
const PULL_EXPIRES: Duration = Duration::from_secs(3);

/// Silence for longer than a request lasts means that it was lost: the server ends every request with a word.
const SILENCE: Duration = Duration::from_secs(4);

/// The server forgets a consumer that nobody has asked for so long.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30);

/// A consumer that lasted less is not made anew at once.
const YOUNG: Duration = Duration::from_secs(1);

const JOURNAL: &str = "the journal";
const PENDING_MESSAGES: &str = "Nats-Pending-Messages";

/// A journal stream, followed in order. Whatever breaks on the way, the consumer is made anew where it stood.
pub(super) struct JetStreamFeed {
    wire: Wire,
    journal: Arc<Found>,
    sealer: Arc<Sealer>,
    /// Everything up to here has arrived.
    arrived: u64,
    /// Arrived and not handed out yet. Nothing leaves before it was opened, so a `next` that fails or is dropped
    /// loses nothing.
    waiting: VecDeque<(StreamId, Stored)>,
    context: Context,
    pull: Option<Pull>,
}

impl JetStreamFeed {
    pub(super) fn new(wire: Wire, journal: Arc<Found>, sealer: Arc<Sealer>, after: u64) -> Self {
        let context = jetstream::new(wire.client().clone());
        Self { wire, journal, sealer, arrived: after, waiting: VecDeque::new(), context, pull: None }
    }

    /// Waits for one message, then takes what else is there, up to `max` commits.
    async fn gather(&mut self, max: usize) -> Result<(), Failure> {
        while self.waiting.is_empty() {
            let message = self.receive().await?;
            self.arrive(message).await?;
        }
        while self.waiting.len() < max {
            let Some(message) = self.pull.as_mut().and_then(Pull::at_hand) else {
                return Ok(());
            };
            self.arrive(message).await?;
        }
        Ok(())
    }

    async fn receive(&mut self) -> Result<Message, Failure> {
        loop {
            let pull = match &mut self.pull {
                Some(pull) => pull,
                None => {
                    let (name, from) = (&self.journal.name, self.arrived + 1);
                    self.pull.insert(Pull::start(&self.wire, &self.context, name, from).await?)
                }
            };
            match pull.next().await {
                Delivery::Commit(message) => return Ok(message),
                Delivery::Word if self.journal.seen() > self.arrived => self.miss().await?,
                Delivery::Word => {}
                Delivery::End if pull.is_young() => {
                    self.pull = None;
                    return Err(Failure::unavailable(JOURNAL, "the server ended a new consumer"));
                }
                Delivery::End => self.pull = None,
            }
        }
    }

    /// Checks that a message is the next one.
    async fn arrive(&mut self, message: Message) -> Result<(), Failure> {
        let traceparent = message.headers.as_ref().and_then(|headers| headers.get(super::TRACEPARENT));
        let traceparent = traceparent.map(|value| value.as_str().to_owned());
        let message = jetstream::Message { message, context: self.context.clone() };
        let info = message.info().map_err(|_| Failure::unavailable(JOURNAL, "a delivery without a sequence"))?;
        let sequence = info.stream_sequence;
        if sequence <= self.arrived {
            return Ok(());
        }
        if sequence != self.arrived + 1 {
            self.journal.saw(sequence);
            return self.miss().await;
        }
        let (subject, payload) = (message.subject.to_string(), message.payload.clone());
        match parse_subject(&subject) {
            Some(Subject::Stream(stream)) if stream.journal == self.journal.id => {
                self.waiting.push_back((stream, Stored { subject, sequence, payload, traceparent }));
            }
            Some(Subject::Guard(of)) if of == self.journal.id && payload.is_empty() => {}
            Some(Subject::Stream(_) | Subject::Guard(_)) | None => {
                let what = format!("message {sequence} of journal stream {}", self.journal.name);
                return Err(Failure::damaged(what, "Lethe writes no such message"));
            }
        }
        self.arrived = sequence;
        self.journal.saw(sequence);
        Ok(())
    }

    /// Something should have come. A delivery can get lost on the way; but what is not in the journal stream either
    /// was destroyed there: nothing is ever deleted.
    async fn miss(&mut self) -> Result<(), Failure> {
        self.pull = None;
        let missed = self.arrived + 1;
        match self.wire.message_anywhere(&self.journal.name, missed).await? {
            Some(_) => Ok(()),
            None => {
                let detail =
                    format!("message {missed} cannot be read, and sequence {} was reached", self.journal.seen());
                Err(Failure::damaged(format!("journal stream {}", self.journal.name), detail))
            }
        }
    }
}

#[async_trait]
impl Feed for JetStreamFeed {
    async fn next(&mut self, max: usize) -> Result<Vec<Commit>, Failure> {
        let max = max.max(1);
        self.gather(max).await?;
        let count = self.waiting.len().min(max);
        let taken = |(stream, stored): &(StreamId, Stored)| {
            let position = self.journal.position(stored.sequence);
            (stream.clone(), stored.payload.clone(), position, stored.traceparent.clone())
        };
        let waiting: Vec<_> = self.waiting.iter().take(count).map(taken).collect();
        let commits = if count <= OPENED_TOGETHER {
            open_all(Arc::clone(&self.sealer), waiting).await?
        } else {
            let parts: Vec<_> = waiting.chunks(OPENED_TOGETHER).map(<[_]>::to_vec).collect();
            let opening = parts.into_iter().map(|part| tokio::spawn(open_all(Arc::clone(&self.sealer), part)));
            let mut opening = stream::iter(opening).buffered(OPENING_TASKS);
            let mut commits = Vec::with_capacity(count);
            while let Some(opened) = opening.next().await {
                commits.extend(opened.map_err(|error| Failure::unavailable(JOURNAL, error))??);
            }
            commits
        };
        self.waiting.drain(..count);
        Ok(commits)
    }
}

/// A stored commit: its stream, its bytes, where it stands, and its trace.
type Sealed = (StreamId, Bytes, Position, Option<String>);

/// Opens commits, in their order. Keys that are not in memory are asked for side by side.
async fn open_all(sealer: Arc<Sealer>, sealed: Vec<Sealed>) -> Result<Vec<Commit>, Failure> {
    let opening = sealed.into_iter().map(|(stream, payload, position, traceparent)| {
        let sealer = Arc::clone(&sealer);
        async move { sealer.open(&payload, &stream, position, traceparent).await }
    });
    stream::iter(opening).buffered(OPENED_AT_ONCE).try_collect().await
}

/// What the server sends.
enum Delivery {
    /// A stored message.
    Commit(Message),
    /// That a request has run out: for the moment there is nothing more.
    Word,
    /// That the consumer is gone.
    End,
}

/// A consumer of the server's, for as long as it lasts, and the requests it has.
struct Pull {
    wire: Wire,
    subject: String,
    inbox: String,
    deliveries: Subscriber,
    /// How many messages the server still owes.
    requested: usize,
    started: Instant,
}

impl Pull {
    /// Asks for everything from a sequence on.
    async fn start(wire: &Wire, context: &Context, journal: &str, from: u64) -> Result<Self, Failure> {
        let lost = |error: &dyn std::fmt::Display| Failure::unavailable(JOURNAL, error);
        let config = pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: from },
            ack_policy: AckPolicy::None,
            inactive_threshold: FORGOTTEN_AFTER,
            num_replicas: 1,
            memory_storage: true,
            ..Default::default()
        };
        let consumer = context.create_consumer_on_stream(config, journal).await.map_err(|error| lost(&error))?;
        let inbox = wire.client().new_inbox();
        let deliveries = wire.client().subscribe(inbox.clone()).await.map_err(|error| lost(&error))?;
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{journal}.{}", consumer.cached_info().name);
        Ok(Self { wire: wire.clone(), subject, inbox, deliveries, requested: 0, started: Instant::now() })
    }

    /// Whether it has not lasted long enough to try another at once.
    fn is_young(&self) -> bool {
        self.started.elapsed() < YOUNG
    }

    /// Waits for a delivery.
    async fn next(&mut self) -> Delivery {
        if self.requested <= PULL / 2 && self.request().await.is_none() {
            return Delivery::End;
        }
        match timeout(SILENCE, self.deliveries.next()).await {
            Ok(Some(delivery)) => self.sort(delivery),
            Ok(None) | Err(_) => Delivery::End,
        }
    }

    /// A message that has arrived already.
    fn at_hand(&mut self) -> Option<Message> {
        loop {
            match self.deliveries.next().now_or_never()?.map(|delivery| self.sort(delivery))? {
                Delivery::Commit(message) => return Some(message),
                Delivery::Word => {}
                Delivery::End => {
                    // The next wait asks again, and finds out.
                    self.requested = 0;
                    return None;
                }
            }
        }
    }

    fn sort(&mut self, delivery: Message) -> Delivery {
        let Some(status) = delivery.status else {
            self.requested = self.requested.saturating_sub(1);
            return Delivery::Commit(delivery);
        };
        let owed = delivery.headers.as_ref().and_then(|headers| headers.get_last(PENDING_MESSAGES));
        match (status.as_u16(), owed.and_then(|owed| owed.as_str().parse::<usize>().ok())) {
            // So much of the request is not owed any more.
            (404 | 408 | 409, Some(owed)) => {
                self.requested = self.requested.saturating_sub(owed);
                Delivery::Word
            }
            _ => Delivery::End,
        }
    }

    async fn request(&mut self) -> Option<()> {
        let body =
            json!({ "batch": PULL, "max_bytes": PULL_BYTES, "expires": PULL_EXPIRES.as_nanos() as u64 }).to_string();
        let client = self.wire.client();
        client.publish_with_reply(self.subject.clone(), self.inbox.clone(), body.into()).await.ok()?;
        self.requested += PULL;
        Some(())
    }
}
