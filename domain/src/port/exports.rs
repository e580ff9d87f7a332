//! Where the files of exports are held until they are deleted.

use std::io::{self, Read, Write};

use async_trait::async_trait;

use super::Failure;
use crate::ids::ExportId;

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
