//! Every replica of every journal stream, each as if it were the only one.

use std::collections::BTreeSet;

use async_trait::async_trait;
use domain::history::{JournalId, Revision, StreamId};
use domain::port::Failure;
use serde::Serialize;

use super::{Journals, Progress, Report, journals};
use crate::journal::names::{Subject, parse_subject};
use crate::journal::raw::RawMessage;
use crate::journal::{Holders, Replica, Replicas};
use crate::log::{JournalState, RawJournals};
use crate::seal::peek;

/// What one replica of one journal stream holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplicaReport {
    /// Which journal stream.
    pub journal: JournalId,
    /// On which server.
    pub server: String,
    /// What was found; none: it could not be read.
    pub report: Option<Report>,
    /// Why it could not be read.
    pub unread: Option<String>,
}

impl ReplicaReport {
    /// Whether it was read and nothing is damaged.
    pub fn is_sound(&self) -> bool {
        self.report.as_ref().is_some_and(Report::is_whole)
    }
}

/// Reads every journal stream, and every replica of those that have several. The report has one line for each journal
/// stream, and all damages of those with one replica; those of the others are each in its replica's.
///
/// Every replica becomes the leader for as long as it is read; in the end the one leads again that did before.
///
/// # Errors
/// Only if it cannot be read on. A replica that cannot be read is no error: its report says so.
pub async fn journals_and_replicas(
    what: &Journals<'_>,
    replicas: &Replicas,
    progress: Progress<'_>,
) -> Result<(Report, Vec<ReplicaReport>), Failure> {
    let mut held = Vec::new();
    for journal in what.source.journals().await? {
        let holders = replicas.holders(&journal).await?;
        if holders.all.len() > 1 {
            held.push((journal, holders));
        }
    }
    let several: BTreeSet<&JournalId> = held.iter().map(|(journal, _)| journal).collect();
    let single = Except { source: what.source, left_out: &several };
    let others = Journals { source: &single, ..part(what, |journal| !several.contains(journal)) };
    let mut report = journals(&others, progress).await?;
    let mut all = Vec::new();
    for (journal, holders) in &held {
        let of_journal = Turn { what: part(what, |one| one == journal), replicas, journal, holders };
        let read = of_journal.run(progress).await?;
        let shown = read.iter().filter_map(|one| one.report.as_ref()).max_by_key(|report| report.is_whole());
        report.journals.extend(shown.into_iter().flat_map(|report| report.journals.iter().cloned()));
        all.extend(read);
    }
    report.journals.sort_by(|one, other| one.journal.cmp(&other.journal));
    Ok((report, all))
}

/// The same of some journal streams only.
fn part<'a>(what: &Journals<'a>, wanted: impl Fn(&JournalId) -> bool) -> Journals<'a> {
    Journals {
        source: what.source,
        expected: what.expected.iter().filter(|journal| wanted(journal)).cloned().collect(),
        checkpoints: what.checkpoints.iter().filter(|one| wanted(&one.journal)).cloned().collect(),
        keys: what.keys,
    }
}

/// One journal stream, on one server after the other.
struct Turn<'a> {
    what: Journals<'a>,
    replicas: &'a Replicas,
    journal: &'a JournalId,
    holders: &'a Holders,
}

impl Turn<'_> {
    async fn run(&self, progress: Progress<'_>) -> Result<Vec<ReplicaReport>, Failure> {
        let mut read = Vec::new();
        for (turn, server) in self.holders.all.iter().enumerate() {
            let replica = self.replicas.at(self.journal, server);
            let (turn, turns) = (turn as u64, self.holders.all.len() as u64);
            let mut tell = |journal: &JournalId, done: u64, of: u64| progress(journal, turn * of + done, turns * of);
            let one = Journals { source: &replica, ..part(&self.what, |_| true) };
            let (journal, server) = (self.journal.clone(), server.clone());
            read.push(match journals(&one, &mut tell).await {
                Ok(report) => ReplicaReport { journal, server, report: Some(report), unread: None },
                Err(Failure::Unavailable { cause, .. }) => {
                    ReplicaReport { journal, server, report: None, unread: Some(cause) }
                }
                Err(failure) => return Err(failure),
            });
            name_unread(&replica, &mut read).await;
        }
        if let Some(leader) = &self.holders.leader {
            match self.replicas.lead(self.journal, leader).await {
                // The last one that was read may lack what this one has.
                Ok(()) => name_unread(&self.replicas.at(self.journal, leader), &mut read).await,
                Err(error) => tracing::warn!(leader, %error, "the former leader does not lead again"),
            }
        }
        Ok(read)
    }
}

/// What cannot be read on one replica has a name on another.
async fn name_unread(replica: &Replica<'_>, read: &mut [ReplicaReport]) {
    let damages = read.iter_mut().flat_map(|one| one.report.iter_mut()).flat_map(|report| report.damages.iter_mut());
    for damage in damages.filter(|damage| damage.stream.is_none()) {
        let Some(sequence) = damage.sequence else { continue };
        if let Ok(Some(message)) = replica.message(sequence).await
            && let Some((stream, revision)) = name_of(&message)
        {
            (damage.stream, damage.revision) = (Some(stream), Some(revision));
        }
    }
}

fn name_of(message: &RawMessage) -> Option<(StreamId, Revision)> {
    match parse_subject(&message.subject)? {
        Subject::Stream(stream) => Some((stream, peek(&message.payload).ok()?.header.revision)),
        Subject::Guard(_) => None,
    }
}

/// The journal streams that have one replica only.
struct Except<'a> {
    source: &'a dyn RawJournals,
    left_out: &'a BTreeSet<&'a JournalId>,
}

#[async_trait]
impl RawJournals for Except<'_> {
    async fn journals(&self) -> Result<Vec<JournalId>, Failure> {
        let mut there = self.source.journals().await?;
        there.retain(|journal| !self.left_out.contains(journal));
        Ok(there)
    }

    async fn state(&self, journal: &JournalId) -> Result<JournalState, Failure> {
        self.source.state(journal).await
    }

    async fn page(&self, journal: &JournalId, from: u64, through: u64) -> Result<Vec<RawMessage>, Failure> {
        self.source.page(journal, from, through).await
    }

    async fn commits(&self, stream: &StreamId) -> Result<Vec<RawMessage>, Failure> {
        self.source.commits(stream).await
    }
}
