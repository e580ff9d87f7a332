//! Reads whole journal streams, from the server or from archives, and names what is damaged: `lethe verify journal`.
//!
//! Of every message: its place (no gap), its subject, its bytes (strictly spelt), its header (the one of its stream),
//! its key ids, its revision, the hash of the commit before it, and the tag of its structure section, which is under a
//! key that no erasure touches and covers every byte of the commit. Of every journal stream: the root of its Merkle log
//! at each signed checkpoint. What is damaged is noted, and reading goes on.
//!
//! Where a journal stream has several replicas, each of them is read, one after the other: whatever a read meets by
//! chance is not all that there is.
//!
//! Memory: one entry for each stream.

mod message;
mod replicas;
mod report;

use std::collections::BTreeMap;

use domain::history::JournalId;
use domain::port::Failure;

use crate::keys::KeyTree;
use crate::log::RawJournals;
use crate::log::checkpoint::Checkpoint;
use crate::log::merkle::Peaks;

use message::Messages;
pub use replicas::{ReplicaReport, journals_and_replicas};
pub use report::{Damage, JournalReport, Report};

/// What is read, and what it is compared with.
pub struct Journals<'a> {
    /// Where the messages come from.
    pub source: &'a dyn RawJournals,
    /// The journal streams that must be there: those that the platform's registry knows.
    pub expected: Vec<JournalId>,
    /// The signed checkpoints, their signatures checked.
    pub checkpoints: Vec<Checkpoint>,
    /// The tenant's keys; none: what is not covered by a chain or a checkpoint is not seen.
    pub keys: Option<&'a KeyTree>,
}

/// Called with the journal stream, the messages read, and how many there are.
pub type Progress<'a> = &'a mut (dyn FnMut(&JournalId, u64, u64) + Send);

/// Reads everything and says what is damaged.
///
/// # Errors
/// Only if it cannot be read on: the server or the KMS does not answer.
pub async fn journals(what: &Journals<'_>, progress: Progress<'_>) -> Result<Report, Failure> {
    let there = what.source.journals().await?;
    let mut all: Vec<JournalId> = what.expected.clone();
    all.extend(what.checkpoints.iter().map(|checkpoint| checkpoint.journal.clone()));
    all.extend(there.iter().cloned());
    all.sort();
    all.dedup();
    let mut report = Report { is_authenticated: what.keys.is_some(), ..Report::default() };
    for journal in all {
        let mut signed: Vec<_> = what.checkpoints.iter().filter(|checkpoint| checkpoint.journal == journal).collect();
        signed.sort_by_key(|checkpoint| checkpoint.size);
        if there.contains(&journal) {
            one(what, &journal, &signed, &mut report, progress).await?;
        } else {
            let signed = signed.last().map_or(0, |newest| newest.size);
            report.note(Damage::of(
                &journal,
                format!("the journal stream is missing; {signed} messages of it were signed"),
            ));
        }
    }
    Ok(report)
}

async fn one(
    what: &Journals<'_>,
    journal: &JournalId,
    signed: &[&Checkpoint],
    report: &mut Report,
    progress: Progress<'_>,
) -> Result<(), Failure> {
    let state = what.source.state(journal).await?;
    let mut messages = Messages::new(journal, what.keys);
    let stands = |old: &&&Checkpoint| !state.incarnations.supersedes(&old.incarnations, old.size);
    let signed: Vec<&Checkpoint> = signed.iter().filter(stands).copied().collect();
    let mut roots = Roots::new(journal, &signed);
    roots.agree(&state.incarnations, report);
    let mut next = 1;
    while next <= state.last {
        let page = match what.source.page(journal, next, state.last).await {
            Ok(page) if !page.is_empty() => page,
            Ok(_) | Err(Failure::Damaged { .. } | Failure::Missing { .. }) => {
                report.note(Damage { sequence: Some(next), ..Damage::of(journal, "the message cannot be read") });
                roots.skip();
                next += 1;
                continue;
            }
            Err(failure) => return Err(failure),
        };
        for message in &page {
            if message.sequence != next {
                report.note(Damage { sequence: Some(next), ..Damage::of(journal, "the message is not there") });
                roots.skip();
            }
            next = message.sequence + 1;
            messages.take(message, report).await?;
            roots.take(state.incarnations.leaf(message.sequence, &message.payload), message.sequence, report);
        }
        progress(journal, next - 1, state.last);
    }
    roots.finish(state.last, report);
    report.journals.push(messages.report(state.last, roots.held));
    Ok(())
}

/// The signed roots of one journal stream, one after the other.
struct Roots<'a> {
    journal: &'a JournalId,
    signed: BTreeMap<u64, Vec<&'a Checkpoint>>,
    peaks: Peaks,
    /// A message is missing: no root after it can be computed.
    is_broken: bool,
    /// The size of the last one that held.
    good: u64,
    held: u64,
}

impl<'a> Roots<'a> {
    fn new(journal: &'a JournalId, checkpoints: &[&'a Checkpoint]) -> Self {
        let mut signed: BTreeMap<u64, Vec<&Checkpoint>> = BTreeMap::new();
        for checkpoint in checkpoints {
            signed.entry(checkpoint.size).or_default().push(checkpoint);
        }
        Self { journal, signed, peaks: Peaks::default(), is_broken: false, good: 0, held: 0 }
    }

    fn agree(&self, incarnations: &crate::log::leaf::Incarnations, report: &mut Report) {
        let newest = self.signed.values().flatten().next_back();
        if let Some(newest) = newest.filter(|newest| !incarnations.agree(&newest.incarnations, newest.size)) {
            let detail = format!("its first {} messages were signed as of other incarnations", newest.size);
            report.note(Damage::of(self.journal, detail));
        }
    }

    fn skip(&mut self) {
        self.is_broken = true;
    }

    fn take(&mut self, leaf: crate::log::Hash, sequence: u64, report: &mut Report) {
        if self.is_broken {
            return;
        }
        self.peaks.push(leaf);
        for signed in self.signed.get(&sequence).into_iter().flatten() {
            if signed.root == self.peaks.root() {
                (self.good, self.held) = (sequence, self.held + 1);
            } else {
                // Every later root differs, too: one note is enough.
                let detail = format!(
                    "messages {} to {sequence} are not what was signed on {}: at least one of them was changed",
                    self.good + 1,
                    signed.time.date()
                );
                report.note(Damage::of(self.journal, detail));
                self.is_broken = true;
                return;
            }
        }
    }

    fn finish(&self, last: u64, report: &mut Report) {
        if let Some((newest, _)) = self.signed.last_key_value().filter(|(newest, _)| **newest > last) {
            let detail = format!("messages {} to {newest} are lost: they were signed and are not there", last + 1);
            report.note(Damage::of(self.journal, detail));
        }
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) mod clinic;
