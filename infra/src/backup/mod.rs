//! Copies of a tenant's record, elsewhere and encrypted. `docs/format.md` says every byte.
//!
//! - [`create`] copies each journal stream up to where it ends, in chunks, then the key tree, then signs a [`Manifest`].
//!   Chunks that another backup made, or an interrupted one, are used again.
//! - [`list`], [`Backup::open`] and [`verify`] find and check; [`Messages`] decrypts; [`extract`] writes plain archives.
//! - [`import`] writes messages back into a fresh journal stream, each at its own sequence.
//!
//! What must never be there: a root key; a chunk in clear; a chunk in a manifest that we did not make; a restore into a
//! journal stream that holds something else.

mod chunk;
mod create;
mod error;
mod import;
mod manifest;
mod read;
pub(crate) mod signed;
mod source;
#[cfg(test)]
mod tests;
mod verify;

use zeroize::Zeroizing;

pub use age::x25519::{Identity, Recipient};
pub use create::{Order, Report, create};
pub use error::BackupError;
pub use import::{Imported, import, import_nodes};
pub use manifest::{BackedUpJournal, BackedUpStudy, Chunk, Incarnation, LastCommit, Manifest};
pub use read::{Backup, Listed, Messages, extract, list, newest};
pub use verify::{Fault, FaultKind, Verified, verify};

/// How far a long work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Messages that are done.
    pub messages: u64,
    /// Of so many, as far as known.
    pub of_messages: u64,
    /// Bytes that went to, or came from, the other place.
    pub bytes: u64,
}

/// Hears how far it is.
pub type OnProgress<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// The secret half of a key pair as text, `AGE-SECRET-KEY-…`: for its file, and for nothing else.
pub fn identity_text(identity: &Identity) -> Zeroizing<String> {
    use age::secrecy::ExposeSecret as _;
    Zeroizing::new(identity.to_string().expose_secret().to_owned())
}

/// Whether a text may be a backup's id: `[a-z0-9-]{1,64}`, and none of our folders' names.
pub fn is_backup_id(id: &str) -> bool {
    crate::journal::names::plain(id) && id != "chunks"
}
