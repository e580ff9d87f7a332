//! What was found.

use std::fmt;

use domain::history::{JournalId, Revision, StreamId};
use serde::{Serialize, Serializer};

use crate::journal::names::journal_stream;

/// So many damages are named; the rest is counted.
const NAMED_MAX: usize = 1000;

fn as_text<S: Serializer>(stream: &Option<StreamId>, to: S) -> Result<S::Ok, S::Error> {
    stream.as_ref().map(ToString::to_string).serialize(to)
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Of each journal stream that is there.
    pub journals: Vec<JournalReport>,
    /// What is damaged, in the order in which it was found.
    pub damages: Vec<Damage>,
    /// How many damages were found: more than are named, if there are very many.
    pub damaged: u64,
    /// Whether the commits' own tags were checked.
    pub is_authenticated: bool,
}

/// One journal stream, as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JournalReport {
    /// Which.
    pub journal: JournalId,
    /// Its last sequence.
    pub last: u64,
    /// Commits that were read.
    pub commits: u64,
    /// Fillers that only carried an expectation.
    pub guards: u64,
    /// Streams.
    pub streams: u64,
    /// Commits whose every byte a tag covered.
    pub authenticated: u64,
    /// Signed checkpoints whose root was the one computed.
    pub checkpoints: u64,
}

/// One damage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// In which journal stream.
    pub journal: JournalId,
    /// At which sequence, if it is one message.
    pub sequence: Option<u64>,
    /// Of which stream, if that can be told.
    #[serde(serialize_with = "as_text")]
    pub stream: Option<StreamId>,
    /// Which commit of it.
    pub revision: Option<Revision>,
    /// What does not fit.
    pub detail: String,
}

impl Damage {
    pub(super) fn of(journal: &JournalId, detail: impl Into<String>) -> Self {
        Self { journal: journal.clone(), sequence: None, stream: None, revision: None, detail: detail.into() }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&journal_stream(&self.journal))?;
        if let Some(sequence) = self.sequence {
            write!(f, ", message {sequence}")?;
        }
        if let (Some(stream), Some(revision)) = (&self.stream, self.revision) {
            write!(f, ", commit {revision} of {stream}")?;
        }
        write!(f, ": {}", self.detail)
    }
}

impl Report {
    /// Whether nothing is damaged.
    pub fn is_whole(&self) -> bool {
        self.damaged == 0
    }

    pub(super) fn note(&mut self, damage: Damage) {
        self.damaged += 1;
        if self.damages.len() < NAMED_MAX {
            self.damages.push(damage);
        }
    }
}
