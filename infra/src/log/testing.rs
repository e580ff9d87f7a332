//! A journal in memory, for tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::history::{JournalId, StreamId};
use domain::port::{Clock, Failure};
use time::OffsetDateTime;
use time::macros::datetime;

use super::leaf::Incarnations;
use super::note::tests::SeedSigner;
use super::scratch::Scratch;
use super::{CheckpointParts, Checkpoints, JournalState, RawJournals};
use crate::journal::names::stream_subject;
use crate::journal::raw::RawMessage;
use crate::off_site::MemoryOffSite;

/// So many messages come at once: fewer than any test has.
const PAGE: usize = 7;

/// Journal streams in memory.
#[derive(Default)]
pub(crate) struct MemoryJournals(pub(crate) Mutex<BTreeMap<JournalId, (Vec<RawMessage>, Incarnations)>>);

impl MemoryJournals {
    pub(crate) fn append(&self, journal: &JournalId, subject: &str, payload: &[u8]) -> u64 {
        let mut journals = self.0.lock().unwrap();
        let messages = &mut journals.entry(journal.clone()).or_default().0;
        let sequence = messages.len() as u64 + 1;
        messages.push(RawMessage {
            sequence,
            subject: subject.to_owned(),
            headers: Vec::new(),
            payload: payload.to_vec().into(),
            stored_at: datetime!(2026-03-01 09:30 UTC),
        });
        sequence
    }

    /// Appends `count` messages that no other call appends.
    pub(crate) fn fill(&self, journal: &JournalId, label: &str, count: u64) {
        for number in 0..count {
            self.append(journal, "evt.acme.cardio._guard", format!("{label} {number}").as_bytes());
        }
    }

    pub(crate) fn change<T>(&self, journal: &JournalId, change: impl FnOnce(&mut Vec<RawMessage>) -> T) -> T {
        change(&mut self.0.lock().unwrap().get_mut(journal).unwrap().0)
    }
}

#[async_trait]
impl RawJournals for MemoryJournals {
    async fn journals(&self) -> Result<Vec<JournalId>, Failure> {
        Ok(self.0.lock().unwrap().keys().cloned().collect())
    }

    async fn state(&self, journal: &JournalId) -> Result<JournalState, Failure> {
        let journals = self.0.lock().unwrap();
        let (messages, incarnations) = journals.get(journal).ok_or_else(|| Failure::missing("journal stream"))?;
        let last = messages.last().map_or(0, |last| last.sequence);
        Ok(JournalState { last, incarnations: incarnations.clone() })
    }

    async fn page(&self, journal: &JournalId, from: u64, through: u64) -> Result<Vec<RawMessage>, Failure> {
        let journals = self.0.lock().unwrap();
        let (messages, _) = journals.get(journal).ok_or_else(|| Failure::missing("journal stream"))?;
        let start = messages.partition_point(|message| message.sequence < from);
        let page: Vec<_> = messages[start..]
            .iter()
            .take_while(|message| message.sequence <= through)
            .take(PAGE)
            .zip(from..)
            .take_while(|(message, wanted)| message.sequence == *wanted)
            .map(|(message, _)| message.clone())
            .collect();
        if page.is_empty() {
            return Err(Failure::damaged("journal stream", format!("message {from} cannot be read")));
        }
        Ok(page)
    }

    async fn commits(&self, stream: &StreamId) -> Result<Vec<RawMessage>, Failure> {
        let journals = self.0.lock().unwrap();
        let (messages, _) = journals.get(&stream.journal).ok_or_else(|| Failure::missing("journal stream"))?;
        Ok(messages.iter().filter(|message| message.subject == stream_subject(stream)).cloned().collect())
    }
}

/// A clock that stands at a time.
pub(crate) struct At(pub(crate) Mutex<OffsetDateTime>);

impl Clock for At {
    fn now(&self) -> OffsetDateTime {
        *self.0.lock().unwrap()
    }
}

/// A tenant's journal in memory with what keeps its checkpoints.
pub(crate) struct World {
    pub(crate) journals: Arc<MemoryJournals>,
    pub(crate) off_site: Arc<MemoryOffSite>,
    pub(crate) signer: Arc<SeedSigner>,
    pub(crate) clock: Arc<At>,
    pub(crate) scratch: Scratch,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            journals: Arc::default(),
            off_site: Arc::default(),
            signer: Arc::new(SeedSigner::new(7)),
            clock: Arc::new(At(Mutex::new(datetime!(2026-03-01 09:30 UTC)))),
            scratch: Scratch::new(),
        }
    }

    pub(crate) fn parts(&self) -> CheckpointParts {
        CheckpointParts {
            tenant: "acme".parse().unwrap(),
            dir: self.scratch.path().to_owned(),
            source: self.journals.clone(),
            signer: self.signer.clone(),
            off_site: Some(self.off_site.clone()),
            key_map: None,
            clock: self.clock.clone(),
            every: Duration::from_secs(5),
            off_site_every: Duration::from_secs(60),
        }
    }

    /// As a process that has just started sees it.
    pub(crate) fn checkpoints(&self) -> Checkpoints {
        Checkpoints::new(self.parts())
    }

    pub(crate) fn pass(&self, time: time::Duration) {
        *self.clock.0.lock().unwrap() += time;
    }
}

pub(crate) fn cardio() -> JournalId {
    JournalId { tenant: "acme".parse().unwrap(), study: "cardio".parse().ok() }
}

pub(crate) fn own() -> JournalId {
    JournalId { tenant: "acme".parse().unwrap(), study: None }
}
