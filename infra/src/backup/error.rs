//! Why a backup could not be made, read or restored.

use domain::port::Failure;

use crate::archive::ArchiveError;

/// Why a backup could not be made, read or restored. Each message says what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// Something does not answer, or is damaged.
    #[error("{}", with_cause(.0))]
    Failed(#[from] Failure),
    /// There is no such tenant to back up.
    #[error("there is no tenant {0} here, or it is not served")]
    NoSuchTenant(domain::ids::TenantId),
    /// Nobody could read it.
    #[error("a backup is encrypted to at least one public key: name one (make a pair with `age-keygen`)")]
    NoRecipients,
    /// The id is none.
    #[error("{0:?} is no id of a backup: use 1 to 64 of a-z, 0-9 and -")]
    BadId(String),
    /// One of this id is there.
    #[error("there is a backup {0} already: use another id")]
    Exists(String),
    /// There is none of this id.
    #[error("there is no backup {0}: `lethe backup list` shows those that are there")]
    NoSuchBackup(String),
    /// A signed object is not what was signed, or was signed by somebody else.
    #[error("{name} is refused: {detail}")]
    Refused {
        /// Which object.
        name: String,
        /// What does not fit.
        detail: String,
    },
    /// The newest backup is no good, and none was named.
    #[error("the newest backup {id} is refused ({refused}): name another one with --id to use it all the same")]
    NewestRefused {
        /// Its id.
        id: String,
        /// Why.
        refused: String,
    },
    /// A chunk is missing, cut or altered.
    #[error("chunk {name} is {detail}: take another backup, or another copy of this one")]
    Chunk {
        /// Which.
        name: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The identity opens nothing here.
    #[error("this identity opens no chunk of the backup: it is encrypted to {}", .recipients.join(", "))]
    WrongIdentity {
        /// The public keys to which it is encrypted.
        recipients: Vec<String>,
    },
    /// It does not hold this journal stream.
    #[error("the backup does not hold {0}")]
    NoSuchJournal(String),
    /// The journal stream to restore into is not the beginning of what is to be restored.
    #[error("{journal} holds something else than the backup at sequence {sequence}: restore into a fresh server store")]
    Occupied {
        /// Its name.
        journal: String,
        /// Where they differ.
        sequence: u64,
    },
    /// A plain archive could not be written.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// Only operators make backups, and they may see the cause: it is their machine.
fn with_cause(failure: &Failure) -> String {
    match failure {
        Failure::Unavailable { cause, .. } => format!("{failure}: {cause}"),
        Failure::Damaged { .. } | Failure::Missing { .. } => failure.to_string(),
    }
}
