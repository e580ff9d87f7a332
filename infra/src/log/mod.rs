//! The Merkle log of a journal stream, and its signed checkpoints: `docs/format.md` says every byte.
//!
//! The journal checks itself well, except at its end: a server that lost the last commits gives a shorter history that
//! passes every check. So each journal stream has a log (RFC 6962) over all its messages, and every few seconds of
//! writing its root is signed and kept outside the journal.
//!
//! - [`merkle`]: hashes, proofs and their checks. [`leaf`]: what is logged of a message. [`levels`]: the hashes in files.
//! - [`note`]: signed notes (C2SP). [`checkpoint`]: what a checkpoint says. [`shelf`]: where they are kept.
//! - [`Checkpoints`]: follows the journal streams, signs, and checks at start.

pub mod checkpoint;
mod checkpoints;
mod journal_log;
pub mod leaf;
pub mod levels;
pub mod merkle;
pub mod note;
pub mod shelf;
mod source;

pub use checkpoint::{Checkpoint, origin};
pub use checkpoints::{CheckpointParts, Checkpoints, newest_off_site};
pub use source::{JournalState, KeyMapSource, RawJournals};

/// A SHA-256.
pub type Hash = [u8; 32];

#[cfg(test)]
pub(crate) mod scratch;
#[cfg(test)]
pub(crate) mod testing;
