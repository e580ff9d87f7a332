//! What we ask of the world. `infra` makes these real; the services know only this page.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::history::{
    Actor, Aggregate, BodyDigest, Commit, CommitHash, DataSubject, History, JournalId, OpenEvent, Position, StreamId,
    Tail,
};
use crate::ids::{CommandId, CorrelationId, Environment, ErasureId, TenantId};
use crate::permit::Principal;
use crate::scope::{Part, Scope};

mod exports;
mod kms;
mod off_site;
mod passkeys;
mod providers;
mod requests;
mod watching;

pub use exports::{ExportJob, ExportVault, ExportWritten, Exporter, HeldFile, HeldSpool, NotFramed};
pub use kms::{Destruction, Kms, KmsDescription, KmsError, PublicKey, Signature, Signer};
pub use off_site::{Certified, Certifier, ErasureAccount, HeadTag, Ledger, OffSite, SwapError};
pub use passkeys::{PasskeyAsked, PasskeyFault, PasskeyMade, PasskeyPlace, Passkeys};
pub use providers::{Identified, LoggedOut, ProviderAsk, ProviderFault, Providers};
pub use requests::{Answered, Answers, Asked};
pub use watching::{NobodyWatches, Watching};

/// A fault of the world, with its cause for the log. Never a personal value.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Failure {
    /// Does not answer, or not now. Trying again may help.
    #[error("{what} is not available")]
    Unavailable {
        /// What does not answer.
        what: &'static str,
        /// Why, for the log.
        cause: String,
    },
    /// What was read is not what was written: an alarm.
    #[error("{what} is damaged: {detail}")]
    Damaged {
        /// Which stream, commit, node or row.
        what: String,
        /// What does not fit.
        detail: String,
    },
    /// Something that must be there is not: a journal stream that was never provisioned, a key never heard of.
    #[error("{what} is missing")]
    Missing {
        /// What is not there.
        what: String,
    },
}

impl Failure {
    /// Something does not answer.
    pub fn unavailable(what: &'static str, cause: impl fmt::Display) -> Self {
        Self::Unavailable { what, cause: cause.to_string() }
    }

    /// Something is not what was written.
    pub fn damaged(what: impl fmt::Display, detail: impl fmt::Display) -> Self {
        Self::Damaged { what: what.to_string(), detail: detail.to_string() }
    }

    /// Something that must be there is not.
    pub fn missing(what: impl fmt::Display) -> Self {
        Self::Missing { what: what.to_string() }
    }
}

/// A commit to be: what one decision wants to write.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The stream.
    pub stream: StreamId,
    /// Where the stream ended when it was decided; the append fails if it has moved.
    pub expected: Tail,
    /// For the first commit of a stream: the governing stream and where it ended. The append fails if that has moved.
    pub guard: Option<(StreamId, Tail)>,
    /// The environment.
    pub environment: Environment,
    /// The events, open.
    pub events: Vec<OpenEvent>,
    /// Time stored.
    pub stored_at: OffsetDateTime,
    /// Time captured.
    pub captured_at: OffsetDateTime,
    /// Who.
    pub actor: Actor,
    /// The command.
    pub command: CommandId,
    /// Digest of the command's body. It goes into the first values section if there is one (so that it dies with
    /// the values it could be tried against), otherwise into the structure.
    pub body_digest: BodyDigest,
    /// The command that set this one off.
    pub causation: Option<CommandId>,
    /// What belongs together.
    pub correlation: CorrelationId,
    /// W3C trace context to hand on.
    pub traceparent: Option<String>,
}

/// An acknowledged commit: on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Where the stream ends now.
    pub tail: Tail,
    /// Where the commit stands.
    pub position: Position,
}

/// Why an append did not happen.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The stream, or the one that guards it, has moved: load again and decide anew.
    #[error("the stream has moved")]
    Conflict,
    /// A section would need a key that is fenced: the scope is erased.
    #[error("the scope {0} of this person is erased")]
    Erased(Scope),
    /// The commit is larger than a commit may be.
    #[error("a commit may be {max} bytes, this one has {size}: send it in smaller commands")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The largest allowed, in bytes.
        max: usize,
    },
    /// The outcome is known: nothing was stored, because the world failed.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// The ordered, checked, encrypted record of one tenant.
#[async_trait]
pub trait Journal: Send + Sync {
    /// What `stream` says after `after`: its commits, oldest first, each checked (complete, contiguous, chained) and
    /// opened as far as the keys go.
    ///
    /// # Errors
    /// A gap or a broken chain is `Damaged`, never a shorter history. An unheard-of key is `Missing`; a fenced or
    /// destroyed one is no error: its places are erased.
    async fn load(&self, stream: &StreamId, after: Tail) -> Result<History, Failure>;

    /// Seals and appends one commit, all or nothing. On an unclear outcome the journal is read again and the own
    /// command id looked for, so that the answer is always known.
    async fn append(&self, draft: Draft) -> Result<Receipt, AppendError>;

    /// Follows a journal stream from `after` (0: from the start), in order.
    async fn follow(&self, journal: &JournalId, after: u64) -> Result<Box<dyn Feed>, Failure>;

    /// Where the journal stream ends now.
    async fn head(&self, journal: &JournalId) -> Result<Position, Failure>;

    /// The hash of the commit stored at `sequence`, if there is one: to check a projection's checkpoint.
    async fn hash_at(&self, journal: &JournalId, sequence: u64) -> Result<Option<CommitHash>, Failure>;

    /// Every journal stream of the tenant.
    async fn journals(&self) -> Result<Vec<JournalId>, Failure>;

    /// Every stream of one kind in a journal stream, by id. Authoritative: it asks no read model.
    async fn streams(&self, journal: &JournalId, aggregate: Aggregate) -> Result<Vec<StreamId>, Failure>;
}

/// A journal stream, followed in order.
#[async_trait]
pub trait Feed: Send {
    /// The next commits, at most `max`, at least one: waits for news.
    async fn next(&mut self, max: usize) -> Result<Vec<Commit>, Failure>;
}

/// What a fence covers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Target {
    /// Whose.
    pub data_subject: DataSubject,
    /// Which kind of data.
    pub scope: Scope,
    /// One part, or none for every part of the scope, those that do not exist yet included.
    pub part: Option<Part>,
}

/// What a shred did to one target. It is stored with the tree, in the same write that removes the keys, so that it can
/// still be told after a crash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shredded {
    /// What was to go.
    pub target: Target,
    /// How many of its keys are gone.
    pub keys: u64,
    /// The root version that was replaced by the write that removed them.
    pub root_before: u64,
    /// The root version that it was replaced by. It names the stored record of that write (the certificate shows it).
    pub root_after: u64,
}

/// What a shred did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShredReceipt {
    /// One for each target, in their order.
    pub targets: Vec<Shredded>,
    /// Whether the new tree stood elsewhere before the old root died.
    pub copy: TreeCopies,
    /// Whether the old roots are gone for good.
    pub destruction: Destruction,
}

impl ShredReceipt {
    /// How many keys are gone, of all targets together.
    pub fn keys_destroyed(&self) -> u64 {
        self.targets.iter().map(|shredded| shredded.keys).sum()
    }
}

/// How many copies of the key tree there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TreeCopies {
    /// This one and one off-site, which acknowledged the newest tree.
    OffSite,
    /// This one only.
    Single,
}

/// The keys of one tenant.
#[async_trait]
pub trait Keys: Send + Sync {
    /// From now on no key of these targets is handed out or created, by any path. Idempotent.
    async fn fence(&self, targets: &[Target]) -> Result<(), Failure>;

    /// How many copies of the tree a shred would leave: whether an off-site target is configured.
    fn copies(&self) -> TreeCopies;

    /// Destroys the keys of fenced targets for good: fresh keys on every path, a new root, the old root destroyed.
    /// Idempotent: with nothing left to destroy it tells what the earlier call did, and still ends with one live root.
    async fn shred(&self, targets: &[Target]) -> Result<ShredReceipt, Failure>;

    /// Tries to open the targets' keys past all fences. Counts those that still open: zero is what an erasure wants.
    async fn probe(&self, targets: &[Target]) -> Result<u64, Failure>;

    /// A number that changes with every fence, and whenever there may have been one that is not known here. What was opened
    /// with keys of this tenant after it was asked for may be kept open in memory as long as it stays the same, and is to
    /// be dropped when it does not, or cannot be had.
    async fn vouch(&self) -> Result<u64, Failure>;
}

/// Where a sealed cell lives; bound into it, so that it opens nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellPlace {
    /// The projection.
    pub projection: &'static str,
    /// The row's key.
    pub row: String,
    /// Whose data it is.
    pub data_subject: DataSubject,
    /// Which scope.
    pub scope: Scope,
    /// Which part.
    pub part: Part,
}

/// A sealed cell, opened or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// Its plain bytes.
    Known(Vec<u8>),
    /// Its key is fenced or destroyed.
    Erased,
}

/// Seals what read models keep about people.
#[async_trait]
pub trait Cells: Send + Sync {
    /// Seals a value under the person's key; none if that key is fenced or destroyed.
    async fn seal(&self, place: &CellPlace, plain: &[u8]) -> Result<Option<Vec<u8>>, Failure>;

    /// Opens a cell.
    async fn open(&self, place: &CellPlace, sealed: &[u8]) -> Result<Opened, Failure>;
}

/// One change of a read model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Writes a row.
    Put {
        /// The row's key.
        key: Vec<u8>,
        /// Its bytes.
        value: Vec<u8>,
    },
    /// Removes a row.
    Delete {
        /// The row's key.
        key: Vec<u8>,
    },
}

/// Ordered rows of one tenant, in named tables. Nothing that cannot be rebuilt lives here.
pub trait ReadStore: Send + Sync {
    /// One row.
    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Vec<u8>>, Failure>;

    /// Some rows, each where its key stands in `keys`.
    fn get_many(&self, table: &str, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, Failure> {
        keys.iter().map(|key| self.get(table, key)).collect()
    }

    /// Up to `limit` rows whose key begins with `prefix` and comes after `after`, in key order.
    fn scan(&self, table: &str, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, Failure>;

    /// Applies all changes to one table, or none.
    fn apply(&self, table: &str, changes: &[Change]) -> Result<(), Failure>;

    /// The same for several tables, one after the other; a store that can does it in one step.
    fn apply_all(&self, tables: &[(String, Vec<Change>)]) -> Result<(), Failure> {
        tables.iter().try_for_each(|(table, changes)| self.apply(table, changes))
    }

    /// Removes a table with all its rows.
    fn drop_table(&self, table: &str) -> Result<(), Failure>;

    /// Whether a failure of its disk closed it. It gives and takes nothing then, until it is opened again.
    fn is_closed(&self) -> bool {
        false
    }

    /// Opens it again, if a failure closed it. What was applied last may be gone, as after a crash.
    fn open_again(&self) -> Result<(), Failure> {
        Ok(())
    }
}

/// A key with its bytes.
pub type Row = (Vec<u8>, Vec<u8>);

/// How far the read models are.
#[async_trait]
pub trait Progress: Send + Sync {
    /// Waits until every read model has taken in `position`, at most `patience`. False: it is still behind.
    ///
    /// # Errors
    /// A position of another incarnation, or of a journal stream that does not exist, is `Missing`.
    async fn wait_for(&self, position: &Position, patience: Duration) -> Result<bool, Failure>;

    /// The positions that every read model has taken in, one a journal stream.
    fn reflected(&self) -> Vec<Position>;
}

/// All that belongs to one tenant.
#[derive(Clone)]
pub struct Tenant {
    /// Whose.
    pub id: TenantId,
    /// The record.
    pub journal: Arc<dyn Journal>,
    /// The keys.
    pub keys: Arc<dyn Keys>,
    /// The seal of read models.
    pub cells: Arc<dyn Cells>,
    /// The read models.
    pub store: Arc<dyn ReadStore>,
    /// How far they are.
    pub progress: Arc<dyn Progress>,
    /// What of the record stands elsewhere.
    pub ledger: Arc<dyn Ledger>,
    /// What proves an erasure.
    pub certifier: Arc<dyn Certifier>,
    /// What holds the files of exports.
    pub exports: Arc<dyn ExportVault>,
}

/// What an erasure waits for that the platform cannot do by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WaitingOn {
    /// The place elsewhere where the ledger and the key tree's copy stand.
    OffSite,
    /// The KMS.
    Kms,
    /// The key tree.
    KeyTree,
    /// The journal.
    Journal,
    /// The read models, which have not taken the markers in yet.
    ReadModels,
    /// The certificate.
    Certificate,
}

/// Knows what erasures wait for right now. In memory: after a restart it is known again at the next attempt.
pub trait Waits: Send + Sync {
    /// What this erasure waits for, and since when; none: nothing holds it up.
    fn waits_on(&self, tenant: &TenantId, erasure: ErasureId) -> Option<(WaitingOn, OffsetDateTime)>;
}

/// Every tenant that this process serves.
pub trait Tenants: Send + Sync {
    /// One of them.
    fn tenant(&self, id: &TenantId) -> Option<Arc<Tenant>>;

    /// All of them.
    fn all(&self) -> Vec<Arc<Tenant>>;
}

/// Time, from outside.
pub trait Clock: Send + Sync {
    /// Now, UTC.
    fn now(&self) -> OffsetDateTime;
}

/// Chance, from outside.
pub trait Dice: Send + Sync {
    /// A random UUID (version 4).
    fn uuid(&self) -> Uuid;

    /// Random bytes.
    fn bytes(&self) -> [u8; 32];
}

/// What makes and checks the secrets of people. Slow on purpose: not for a thread that others wait for.
pub trait Secrets: Send + Sync {
    /// A password's hash, with a salt of its own.
    ///
    /// # Errors
    /// There is no memory for it.
    fn hash_password(&self, password: &str) -> Result<String, Failure>;

    /// Whether a hash is that of this password. The same work whatever the answer.
    fn is_password(&self, password: &str, hash: &str) -> bool;

    /// A new secret for one-time codes, as people type it into what makes the codes.
    fn one_time_secret(&self) -> String;

    /// The step of 30 seconds whose one-time code this is (RFC 6238), at most one away from `now`; none: it is not.
    fn step_of(&self, one_time: &str, code: &str, now: OffsetDateTime) -> Option<u64>;
}

/// How a credential comes: what a machine may be bound to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Presented<'a> {
    /// From which address; none: nobody knows.
    pub address: Option<std::net::IpAddr>,
    /// With which client certificate: SHA-256 of its DER form.
    pub certificate: Option<CommitHash>,
    /// For which address of this platform.
    pub path: &'a str,
}

/// Why nobody signs.
#[derive(Debug, thiserror::Error)]
pub enum ReauthenticationError {
    /// What was sent is nobody's, or somebody else's than the one who acts.
    #[error("the credential sent for the signature is not that of the one who acts")]
    Refused,
    /// More of what proves the signer is needed.
    #[error("the first signature of a session takes the password and a code, or a passkey; later ones one of them")]
    TooFewFactors,
    /// There is no name to print, or it is erased.
    #[error("no name is known that could be printed with the signature")]
    NoPrintedName,
    /// The world failed.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// Asks anew who somebody is, at the moment of signing (21 CFR 11.200).
#[async_trait]
pub trait Reauthentication: Send + Sync {
    /// The one who acts, proved anew by what they sent for this signature alone.
    ///
    /// # Errors
    /// See [`ReauthenticationError`].
    async fn signer(
        &self,
        principal: &Principal,
        credential: &str,
    ) -> Result<crate::participant::Signer, ReauthenticationError>;
}

/// Who stands behind a bearer token.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// The principal of a valid token; none for an unknown, expired or revoked one.
    async fn authenticate(&self, token: &str) -> Result<Option<Principal>, Failure>;

    /// The same for a token that comes so. What is bound to a place counts by this alone.
    async fn authenticate_from(&self, token: &str, from: Presented<'_>) -> Result<Option<Principal>, Failure> {
        let _ = from;
        self.authenticate(token).await
    }
}
