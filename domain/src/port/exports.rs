//! Where the files of exports are held until they are deleted.

use std::io::{self, Read, Write};

use async_trait::async_trait;

use super::Failure;
use crate::Moment;
use crate::export::{self, File, Frame, Order};
use crate::history::CommitHash;
use crate::ids::{ExportId, ParticipantId, StudyId};
use crate::permit::Principal;

/// A file that is being written. Dropped before [`HeldFile::finish`], it never opens.
pub trait HeldFile: Write + Send {
    /// The file is whole, and on disk.
    ///
    /// # Errors
    /// What the disk says.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// Holds the files of one tenant's exports, sealed, those of each export under a key of its own.
#[async_trait]
pub trait ExportVault: Send + Sync {
    /// Makes room for an export: a new key, no files. What an earlier try left there is gone.
    async fn begin(&self, export: ExportId) -> Result<(), Failure>;

    /// A new file of an export.
    async fn create(&self, export: ExportId, name: &str) -> Result<Box<dyn HeldFile>, Failure>;

    /// A file of an export, opened; none: it is not held here (any more).
    async fn open(&self, export: ExportId, name: &str) -> Result<Option<Box<dyn Read + Send>>, Failure>;

    /// Whether anything of an export is held here.
    async fn holds(&self, export: ExportId) -> Result<bool, Failure>;

    /// Destroys an export's key, then its files. Done again, it changes nothing.
    async fn destroy(&self, export: ExportId) -> Result<(), Failure>;

    /// Signs the bytes of a manifest; gives the document that says so.
    async fn sign(&self, manifest: &[u8]) -> Result<Vec<u8>, Failure>;
}

/// An export that was ordered.
#[derive(Debug, Clone)]
pub struct ExportJob {
    /// Which.
    pub export: ExportId,
    /// Of which study.
    pub study: StudyId,
    /// What was ordered.
    pub order: Order,
    /// What it comes to.
    pub frame: Frame,
    /// Now.
    pub created_at: Moment,
}

/// An export whose files are whole.
#[derive(Debug, Clone)]
pub struct ExportWritten {
    /// SHA-256 of the signed manifest.
    pub manifest: CommitHash,
    /// The files, the manifest and its signature among them.
    pub files: Vec<File>,
    /// Whose data they hold.
    pub participants: Vec<ParticipantId>,
}

/// Why an order comes to nothing.
#[derive(Debug)]
pub enum NotFramed {
    /// The role may not ask this query.
    Forbidden(&'static str),
    /// There is no such study for this credential.
    NoSuchStudy,
    /// The study has nothing like it.
    Refused(export::Refused),
    /// The world failed.
    Failed(Failure),
}

impl From<Failure> for NotFramed {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Writes what was ordered, with the rights of the one who ordered it.
#[async_trait]
pub trait Exporter: Send + Sync {
    /// What an order comes to.
    async fn frame(&self, principal: &Principal, study: &StudyId, order: &Order) -> Result<Frame, NotFramed>;

    /// Writes all files into the vault. What was written before a failure is left to be destroyed.
    async fn write(&self, principal: &Principal, job: &ExportJob) -> Result<ExportWritten, Failure>;
}
