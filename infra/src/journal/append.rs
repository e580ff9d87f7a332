//! Appending one commit, all or nothing.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use domain::history::{CommitHash, Revision, StreamId, Tail};
use domain::port::{AppendError, Draft, Failure, Receipt};
use sha2::{Digest as _, Sha256};

use super::TRACEPARENT;
use super::group::{Parcel, Still, moved};
use super::insist::{Attempt, NotStored, Settled, insist};
use super::jetstream::JetStreamJournal;
use super::journals::Found;
use super::names::{guard_subject, stream_subject};
use super::read::Which;
use super::refusal::{Refusal, Verdict};
use super::tails::Known;
use super::wire::{Outgoing, Wire};
use crate::seal::peek;
use crate::telemetry::traceparent_for;

/// So often a guarded commit is sent the plain way while this process hears of what others write beside it.
const STILL_TRIES: usize = 3;

/// A sealed commit with the sequences that it expects.
pub(super) struct Append {
    wire: Wire,
    journal: Arc<Found>,
    subject: String,
    /// Where the stream ends; zero: it does not exist yet.
    after: u64,
    guard: Option<Guard>,
    payload: Bytes,
    hash: CommitHash,
    revision: Revision,
    traceparent: Option<String>,
}

/// A second stream that must not have moved.
struct Guard {
    subject: String,
    sequence: u64,
    as_of: u64,
}

impl JetStreamJournal {
    /// Seals a commit, of which nothing is left in the draft, and finds the sequences that it expects.
    pub(super) async fn prepare(&self, draft: &mut Draft) -> Result<Append, AppendError> {
        let journal = self.journals.get(&draft.stream.journal).await?;
        let after = self.end_of(&journal, &draft.stream, draft.expected).await?.sequence;
        let guard = match &draft.guard {
            None => None,
            Some((stream, tail)) => Some(self.guard(&journal, stream, *tail).await?),
        };
        let (revision, previous) = (draft.expected.revision.next(), draft.expected.hash);
        let sealed = self.sealer.seal_whole(draft, revision, previous).await?;
        Ok(Append {
            wire: self.wire.clone(),
            journal,
            subject: stream_subject(&draft.stream),
            after,
            guard,
            payload: sealed.bytes.into(),
            hash: sealed.hash,
            revision: sealed.header.revision,
            traceparent: traceparent_for(draft.traceparent.as_deref()).filter(|text| is_traceparent(text)),
        })
    }

    /// Publishes a prepared commit until its outcome is known.
    pub(super) async fn send(&self, stream: &StreamId, append: &Append) -> Result<Receipt, AppendError> {
        let sequence = insist(append).await.map_err(|not_stored| match not_stored {
            NotStored::Moved => AppendError::Conflict,
            NotStored::Failed(failure) => AppendError::Failed(failure),
        })?;
        let tail = Tail { revision: append.revision, hash: append.hash };
        append.journal.saw(sequence);
        // Nothing stood between the acknowledged commit and the end of its stream.
        self.tails.put(stream, Known { tail, sequence, as_of: sequence });
        Ok(Receipt { tail, position: append.journal.position(sequence) })
    }

    async fn guard(&self, journal: &Found, stream: &StreamId, tail: Tail) -> Result<Guard, AppendError> {
        if stream.journal != journal.id {
            // An expectation reaches no further than its own journal stream.
            return Err(Failure::missing(format!("{stream}, a guard, in journal stream {}", journal.name)).into());
        }
        let known = self.end_of(journal, stream, tail).await?;
        let (subject, seen) = (stream_subject(stream), journal.seen());
        let as_of = match journal.own.moved(&subject, known.as_of.max(known.sequence), seen) {
            Some(true) => return Err(AppendError::Conflict),
            // Noted, so that the next one need not go through the same writes.
            Some(false) if seen > known.as_of => {
                self.tails.put(stream, Known { as_of: seen, ..known });
                seen
            }
            Some(false) | None => known.as_of,
        };
        Ok(Guard { subject, sequence: known.sequence, as_of })
    }

    /// The sequence of the commit at which a stream is expected to end.
    async fn end_of(&self, journal: &Found, stream: &StreamId, tail: Tail) -> Result<Known, AppendError> {
        if tail == Tail::default() {
            return Ok(Known { tail, sequence: 0, as_of: 0 });
        }
        if let Some(known) = self.tails.at(stream, tail) {
            return Ok(known);
        }
        let as_of = journal.seen();
        let subject = stream_subject(stream);
        let last = self.wire.message(&journal.name, Which::LastOf(&subject)).await?.ok_or(AppendError::Conflict)?;
        let peeked = peek(&last.payload)?;
        if (Tail { revision: peeked.header.revision, hash: peeked.hash }) != tail {
            return Err(AppendError::Conflict);
        }
        let known = Known { tail, sequence: last.sequence, as_of };
        self.tails.put(stream, known);
        Ok(known)
    }
}

impl Append {
    fn message(&self) -> Outgoing {
        let mut message = Outgoing::new(self.subject.clone(), self.payload.clone()).expecting(self.after);
        if let Some(traceparent) = &self.traceparent {
            message.headers.insert(TRACEPARENT, traceparent.as_str());
        }
        message
    }

    /// A message has room for one expectation on a subject. The second one takes a filler, and both a batch, which
    /// costs several plain publishes; so the plain way is tried first.
    async fn publish_guarded(&self, guard: &Guard) -> Result<u64, Refusal> {
        if let Some(outcome) = self.publish_while_still(guard).await {
            return outcome;
        }
        if self.after > 0 {
            return self.publish_after_a_look(guard).await;
        }
        let filler = Outgoing::new(guard_subject(&self.journal.id), Bytes::new());
        let filler = filler.expecting_of(&guard.subject, guard.sequence);
        // The filler first: then the batch's last sequence is the commit's.
        let ack = self.wire.publish_batch(vec![filler, self.message()]).await?;
        self.journal.wrote(&guard_subject(&self.journal.id), ack.first);
        self.journal.wrote(&self.subject, ack.last);
        Ok(ack.last)
    }

    /// If the guard stands where the journal stream is known to end, that end is the second expectation. Flights go one after
    /// the other, so the end is known unless another process writes too: then none. Only on one replica does a read see every
    /// write.
    async fn publish_while_still(&self, guard: &Guard) -> Option<Result<u64, Refusal>> {
        if self.journal.replicas != 1 {
            return None;
        }
        for _ in 0..STILL_TRIES {
            let end = self.journal.seen();
            if !self.stands(guard, end).await? {
                return Some(Err(moved()));
            }
            let still = Still { subject: guard.subject.clone(), as_of: end, by_server: self.after == 0 };
            match self.store(Some(still)).await {
                Err(refusal) if refusal.verdict() == Verdict::Moved => {}
                outcome => return Some(outcome),
            }
            if self.journal.seen() == end {
                // Written by another process: this one will not hear of the end.
                return None;
            }
        }
        None
    }

    /// Where other processes write too, every guarded commit would be a batch, and the batches of one study hinder each
    /// other. Where a stream has a history of its own, so that a marker can stand in it, the guard is looked at right
    /// before: what another process moves in the time of one request is not noticed.
    async fn publish_after_a_look(&self, guard: &Guard) -> Result<u64, Refusal> {
        match self.end_of_guard(guard).await {
            Some(end) if end == guard.sequence => self.publish_unguarded().await,
            Some(_) => Err(moved()),
            None => Err(Refusal::Silence("the stream that guards a commit could not be read".into())),
        }
    }

    /// Whether the guard's stream has not moved until the journal stream reached `end`. None: it could not be read.
    async fn stands(&self, guard: &Guard, end: u64) -> Option<bool> {
        let since = guard.as_of.max(guard.sequence);
        match self.journal.own.moved(&guard.subject, since, end) {
            Some(moved) => Some(!moved),
            None => Some(self.end_of_guard(guard).await? == guard.sequence),
        }
    }

    async fn store(&self, guard: Option<Still>) -> Result<u64, Refusal> {
        self.journal.store(&self.wire, Parcel { message: self.message(), guard }).await
    }

    async fn publish_unguarded(&self) -> Result<u64, Refusal> {
        if self.journal.replicas == 1 { self.store(None).await } else { self.publish_at_once().await }
    }

    /// In a cluster the leader gathers by itself what comes at once.
    async fn publish_at_once(&self) -> Result<u64, Refusal> {
        let sequence = self.wire.publish(self.message()).await?.sequence;
        self.journal.wrote(&self.subject, sequence);
        Ok(sequence)
    }

    async fn end_of_guard(&self, guard: &Guard) -> Option<u64> {
        let last = self.wire.message(&self.journal.name, Which::LastOf(&guard.subject)).await.ok()?;
        Some(last.map_or(0, |last| last.sequence))
    }
}

#[async_trait]
impl Attempt for Append {
    type Ack = u64;

    async fn publish(&self) -> Result<u64, Refusal> {
        match &self.guard {
            Some(guard) => self.publish_guarded(guard).await,
            None => self.publish_unguarded().await,
        }
    }

    /// What follows the expected end is this very commit, with the own command id in its header, or never will be.
    /// Another commit of the same command (sealed by somebody else) is `Other`: who loads again finds its command id.
    async fn settle(&self) -> Result<Settled<u64>, Failure> {
        let next = self.wire.message(&self.journal.name, Which::NextOf(&self.subject, self.after + 1)).await?;
        Ok(match next {
            None => Settled::Nothing,
            Some(stored) if hash_of(&stored.payload) == self.hash => Settled::Own(stored.sequence),
            Some(_) => Settled::Other,
        })
    }
}

/// The hash that the stream's next commit and projections name: over the stored bytes, whatever they are.
pub(super) fn hash_of(payload: &[u8]) -> CommitHash {
    CommitHash(Sha256::digest(payload).into())
}

/// W3C Trace Context, level 1: four hexadecimal fields of fixed length. A header takes nothing else from outside.
fn is_traceparent(text: &str) -> bool {
    let lower_hex = |field: &str| field.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let fields: Vec<&str> = text.split('-').collect();
    fields.iter().map(|field| field.len()).eq([2, 32, 16, 2]) && fields.into_iter().all(lower_hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trace_context_gets_into_the_header() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(is_traceparent(good));
        for bad in
            ["", "Ada Lovelace", &good.to_uppercase(), &format!("{good}-x"), &good[..54], &good.replace('4', "é")]
        {
            assert!(!is_traceparent(bad), "{bad}");
        }
    }
}
