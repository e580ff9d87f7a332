//! What stands elsewhere, so that the loss of the site is not the loss of the record, nor of an erasure.

use async_trait::async_trait;

use super::Failure;
use crate::Day;
use crate::history::{CommitHash, JournalId, StreamId};
use crate::ids::{ErasureId, InstructionId, UserId};
use crate::port::{Destruction, Shredded, TreeCopies};
use crate::privacy::{Justification, RefusedScope};
use time::OffsetDateTime;

/// A place elsewhere, one tenant's part of it: named objects that are written once, and one head that is changed by
/// compare-and-set only. A folder on another disk, or an S3-compatible store.
#[async_trait]
pub trait OffSite: Send + Sync {
    /// The head's bytes, with what to expect when changing it; none: there never was one.
    async fn head(&self) -> Result<Option<(Vec<u8>, HeadTag)>, Failure>;

    /// Changes the head if it still is `expected` (none: if there is none yet). Durable when it returns.
    async fn swap_head(&self, expected: Option<&HeadTag>, bytes: &[u8]) -> Result<HeadTag, SwapError>;

    /// Stores an object, durable when it returns. Names are `[a-z0-9._-]` with `/` between folders, never personal. An
    /// object that is there already with the same bytes will do; with others it is `Damaged`, and is left as it is.
    async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Failure>;

    /// An object's bytes.
    async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Failure>;

    /// The names of all objects that begin with `prefix`, in order.
    async fn list(&self, prefix: &str) -> Result<Vec<String>, Failure>;

    /// Where it is, in words, without credentials.
    fn describe(&self) -> String;
}

/// What a head was when it was read: an entity tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadTag(pub String);

/// Why a head was not changed, or may not have been.
#[derive(Debug, thiserror::Error)]
pub enum SwapError {
    /// It is not what was expected: nothing was changed.
    #[error("the head has moved")]
    Moved,
    /// It is not known whether it was changed: read it again.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// The off-site ledger: every `privacy` stream, kept up with at once, so that a restored backup forgets no erasure.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Makes sure that all commits of a `privacy` stream that are stored now stand off-site, too. Does nothing where no
    /// off-site target is configured.
    async fn ship(&self, stream: &StreamId) -> Result<(), Failure>;
}

/// Proves erasures.
#[async_trait]
pub trait Certifier: Send + Sync {
    /// Signs where a journal stream stands now, and keeps it outside the journal. Called before an erasure begins.
    async fn checkpoint(&self, journal: &JournalId) -> Result<(), Failure>;

    /// Issues the certificate of an erasure and keeps it, here and off-site. Issued already, it is given again.
    ///
    /// # Errors
    /// `Damaged` if the record between begin and now is not what was signed: then there is no certificate.
    async fn certify(&self, account: &ErasureAccount) -> Result<Certified, Failure>;

    /// The certificate's text (JSON), if it was issued.
    async fn certificate(&self, erasure: ErasureId) -> Result<Option<String>, Failure>;

    /// The same as a page for people, to print (HTML, without script).
    async fn page(&self, erasure: ErasureId) -> Result<Option<String>, Failure>;
}

/// What a certificate is to say about who wanted what, and what was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasureAccount {
    /// The erasure.
    pub erasure: ErasureId,
    /// The person's `privacy` stream.
    pub stream: StreamId,
    /// On which ground.
    pub justification: Justification,
    /// By whom, when.
    pub requested: (UserId, OffsetDateTime),
    /// By whom, when, under which instruction of the controller.
    pub approved: (UserId, OffsetDateTime, InstructionId),
    /// The revision of the commit that holds `erasure-begun`, in the `privacy` stream: the checkpoint before it is shown.
    pub begun: u64,
    /// From when on nothing could be read: time of `erasure-committed`.
    pub logically_effective_at: OffsetDateTime,
    /// When the keys were gone for good: time of `keys-destroyed`, or the date that the KMS named.
    pub cryptographically_complete_by: OffsetDateTime,
    /// What was destroyed.
    pub destroyed: Vec<Shredded>,
    /// What was kept, with the ground.
    pub kept: Vec<RefusedScope>,
    /// Whether the old roots are gone.
    pub destruction: Destruction,
    /// Whether the new tree stood elsewhere.
    pub copy: TreeCopies,
    /// How many recipients were told.
    pub recipients: u32,
    /// How many targets were tried, past all fences, and did not open.
    pub probed: u64,
    /// The day on which a kept scope falls due first, if one does.
    pub next_due: Option<Day>,
}

/// An issued certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certified {
    /// SHA-256 of its bytes: recorded with the completion.
    pub digest: CommitHash,
    /// Its size.
    pub bytes: u64,
}
