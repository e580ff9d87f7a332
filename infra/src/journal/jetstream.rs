//! The port `Journal`, on JetStream: one tenant.

use std::sync::Arc;

use async_nats::Client;
use async_trait::async_trait;
use domain::history::{Aggregate, Commit, CommitHash, History, JournalId, Position, StreamId, Tail};
use domain::ids::TenantId;
use domain::port::{AppendError, Draft, Failure, Feed, Journal, Receipt};

use super::append::hash_of;
use super::chain::Chain;
use super::feed::JetStreamFeed;
use super::group::Lane;
use super::journals::{Found, Journals};
use super::names::{Subject, parse_subject, stream_subject};
use super::read::{Stored, Which};
use super::tails::{Known, Tails};
use super::wire::Wire;
use crate::seal::{Sealer, peek};

/// The record of one tenant.
pub struct JetStreamJournal {
    pub(super) wire: Wire,
    pub(super) journals: Journals,
    pub(super) sealer: Arc<Sealer>,
    pub(super) tails: Tails,
}

impl JetStreamJournal {
    /// Opens the journal of a tenant through the connection of its service login. Creates nothing. All journals on one server
    /// share a `lane`.
    ///
    /// # Errors
    /// `Missing` names the journal stream that should be there and is not: the tenant's own, that of its keys, or one
    /// of the `expected`. `Damaged` says how one differs from what it should be.
    pub async fn open(
        client: Client,
        tenant: &TenantId,
        sealer: Arc<Sealer>,
        expected: &[JournalId],
        lane: &Lane,
    ) -> Result<Self, Failure> {
        let wire = Wire::new(client);
        let journals = Journals::new(wire.clone(), tenant.clone(), lane.clone());
        journals.check(expected).await?;
        Ok(Self { wire, journals, sealer, tails: Tails::default() })
    }

    /// The stored messages of a stream after a known end, and the end from which they continue. Without a known end
    /// they are read from the start.
    async fn messages(&self, journal: &Found, stream: &StreamId, after: Tail) -> Result<(Vec<Stored>, Tail), Failure> {
        let known = self.tails.at(stream, after);
        let (from, start) = known.map_or((1, Tail::default()), |known| (known.sequence + 1, after));
        let subject = stream_subject(stream);
        let messages = if journal.replicas > 1 {
            // What is decided from them need not end in a write, whose expectation would tell.
            self.wire.messages_up_to_now(&journal.name, &subject, from).await?
        } else {
            self.wire.messages_of(&journal.name, &subject, from).await?
        };
        Ok((messages, start))
    }

    /// The commits after a known end, or why they are not to be trusted. A replica with a flipped bit leaves a message out,
    /// and may count as if it had never been there: then another one is read, as long as there are others.
    async fn checked(&self, journal: &Found, stream: &StreamId, after: Tail) -> Result<Vec<Commit>, Failure> {
        let tries = if journal.replicas > 1 { self.wire.tries() } else { 1 };
        for _ in 1..tries {
            match self.checked_once(journal, stream, after).await {
                Err(Failure::Damaged { .. }) => {}
                outcome => return outcome,
            }
        }
        self.checked_once(journal, stream, after).await
    }

    async fn checked_once(&self, journal: &Found, stream: &StreamId, after: Tail) -> Result<Vec<Commit>, Failure> {
        let (messages, start) = self.messages(journal, stream, after).await?;
        let mut chain = Chain::after(stream, start);
        let mut commits = Vec::new();
        for message in messages {
            if chain.tail().revision < after.revision {
                let peeked = peek(&message.payload)?;
                chain.take(&peeked.header, peeked.hash)?;
                if chain.tail().revision == after.revision && chain.tail() != after {
                    return Err(Failure::damaged(commit_name(stream, after), "it is not the one that was read before"));
                }
                continue;
            }
            let position = journal.position(message.sequence);
            let commit = self.sealer.open(&message.payload, stream, position, message.traceparent).await?;
            chain.take(&commit.header, commit.hash)?;
            commits.push(commit);
        }
        if chain.tail().revision < after.revision {
            return Err(shorter(journal, stream, after));
        }
        Ok(commits)
    }
}

/// On one replica a read sees every acknowledged write; in a cluster this replica may be a moment behind.
fn shorter(journal: &Found, stream: &StreamId, after: Tail) -> Failure {
    let detail = "it was read before and is not there";
    if journal.replicas > 1 {
        Failure::unavailable("the journal", format!("{}: {detail}", commit_name(stream, after)))
    } else {
        Failure::damaged(commit_name(stream, after), detail)
    }
}

fn commit_name(stream: &StreamId, tail: Tail) -> String {
    format!("commit {} of {stream}", tail.revision)
}

#[async_trait]
impl Journal for JetStreamJournal {
    async fn load(&self, stream: &StreamId, after: Tail) -> Result<History, Failure> {
        let journal = self.journals.get(&stream.journal).await?;
        let as_of = journal.seen();
        let commits = self.checked(&journal, stream, after).await?;
        if let Some(last) = commits.last() {
            journal.saw(last.position.sequence);
            self.tails.put(stream, Known { tail: last.tail(), sequence: last.position.sequence, as_of });
        } else if let Some(known) = self.tails.at(stream, after) {
            self.tails.put(stream, Known { as_of, ..known });
        }
        Ok(History::of(commits))
    }

    async fn append(&self, mut draft: Draft) -> Result<Receipt, AppendError> {
        let append = self.prepare(&mut draft).await?;
        self.send(&draft.stream, &append).await
    }

    async fn follow(&self, journal: &JournalId, after: u64) -> Result<Box<dyn Feed>, Failure> {
        let (found, last) = self.journals.look(journal).await?;
        if after > last {
            let detail = format!("it ends at sequence {last}, and {after} was read before");
            return Err(Failure::damaged(format!("journal stream {}", found.name), detail));
        }
        Ok(Box::new(JetStreamFeed::new(self.wire.clone(), found, self.sealer.clone(), after)))
    }

    async fn head(&self, journal: &JournalId) -> Result<Position, Failure> {
        let (found, last) = self.journals.look(journal).await?;
        Ok(found.position(last))
    }

    async fn hash_at(&self, journal: &JournalId, sequence: u64) -> Result<Option<CommitHash>, Failure> {
        if sequence == 0 {
            return Ok(None);
        }
        let found = self.journals.get(journal).await?;
        let stored = self.wire.message(&found.name, Which::At(sequence)).await?;
        let commit = stored.filter(|stored| matches!(parse_subject(&stored.subject), Some(Subject::Stream(_))));
        Ok(commit.map(|commit| hash_of(&commit.payload)))
    }

    async fn journals(&self) -> Result<Vec<JournalId>, Failure> {
        self.journals.list().await
    }

    async fn streams(&self, journal: &JournalId, aggregate: Aggregate) -> Result<Vec<StreamId>, Failure> {
        self.journals.streams(journal, aggregate).await
    }
}
