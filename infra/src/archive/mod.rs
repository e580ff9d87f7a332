//! An archive: a file with a run of messages of one journal stream, as they are stored. `docs/format.md` says every
//! byte.
//!
//! - [`ArchiveWriter`] and [`ArchiveReader`] go through a file once and hold one message at a time.
//! - [`ArchiveJournals`]: a folder of them, read as the journal streams that they were made from.
//! - `item.rs`: the items of the file, in and out of CBOR.
//!
//! What must never be there: a message that was opened; a reader that takes a cut or altered file for a shorter one.

mod item;
mod journals;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::fmt;
use std::io;

use domain::history::JournalId;
use domain::ids::{StudyId, TenantId};

use crate::journal::names::{journal_stream, keys_stream};

pub use journals::ArchiveJournals;
pub use read::ArchiveReader;
pub use write::ArchiveWriter;

/// The label of the tenant's own journal stream: no study is called so.
const OWN: &str = "_";

/// The label of the key tree's journal stream.
const KEYS: &str = "_keys";

/// Which journal stream of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The events of a study, or of the tenant.
    Events(JournalId),
    /// The nodes of the key tree: only the last message of each place counts, so a run of them has gaps.
    Keys(TenantId),
}

impl Origin {
    /// Its name below the tenant, in file names and archives: the study, `_` for the tenant's own, `_keys`.
    pub fn label(&self) -> &str {
        match self {
            Self::Events(journal) => journal.study.as_ref().map_or(OWN, StudyId::as_str),
            Self::Keys(_) => KEYS,
        }
    }

    /// The inverse of [`Origin::label`].
    pub fn parse(tenant: &TenantId, label: &str) -> Option<Self> {
        let study = match label {
            KEYS => return Some(Self::Keys(tenant.clone())),
            OWN => None,
            study => Some(study.parse().ok()?),
        };
        Some(Self::Events(JournalId { tenant: tenant.clone(), study }))
    }

    /// The name of the journal stream on the server.
    pub fn stream_name(&self) -> String {
        match self {
            Self::Events(journal) => journal_stream(journal),
            Self::Keys(tenant) => keys_stream(tenant),
        }
    }

    /// The tenant.
    pub fn tenant(&self) -> &TenantId {
        match self {
            Self::Events(journal) => &journal.tenant,
            Self::Keys(tenant) => tenant,
        }
    }

    /// Whether every sequence of a run must be there.
    pub fn is_contiguous(&self) -> bool {
        matches!(self, Self::Events(_))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "journal stream {}", self.stream_name())
    }
}

/// What an archive says of itself first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveHeader {
    /// Of which journal stream.
    pub origin: Origin,
    /// From which sequence on.
    pub from: u64,
}

/// What an archive says of itself last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveTrailer {
    /// How many messages it has.
    pub messages: u64,
    /// Up to which sequence it goes. In an archive of events that of the last message, or `from` - 1.
    pub through: u64,
}

/// Why an archive is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It ends before its trailer.
    #[error("the archive is cut off after {after} messages")]
    Cut {
        /// So many could be read.
        after: u64,
    },
    /// It is not what was written.
    #[error("the archive is altered: {detail}")]
    Altered {
        /// What does not fit.
        detail: String,
    },
    /// It does not begin as an archive does.
    #[error("this is no archive of a journal stream")]
    NotAnArchive,
    /// A newer program wrote it.
    #[error("the archive has format {0}, which this program does not know: use a newer one")]
    Version(u64),
    /// The file cannot be read or written.
    #[error("the archive cannot be read or written: {0}")]
    Io(#[from] io::Error),
}

impl ArchiveError {
    fn altered(detail: impl Into<String>) -> Self {
        Self::Altered { detail: detail.into() }
    }
}
