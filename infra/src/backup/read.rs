//! Finding and reading backups.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use age::x25519::Identity;
use domain::port::{Failure, OffSite, PublicKey};

use super::chunk::{fetch, open as open_chunk, ranges_fit};
use super::error::BackupError;
use super::manifest::{BackedUpJournal, FORMAT, MANIFEST_LABEL, Manifest, manifest_name};
use super::signed::open;
use super::{OnProgress, Progress, is_backup_id};
use crate::archive::{ArchiveHeader, ArchiveWriter, Origin};
use crate::journal::raw::RawMessage;

/// A backup in a list.
#[derive(Debug)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// What it says of itself; or why that is refused.
    pub manifest: Result<Manifest, BackupError>,
}

/// The backups at a place, the oldest first. One whose manifest is refused is listed with the reason.
///
/// # Errors
/// When the place does not answer.
pub async fn list(place: &Arc<dyn OffSite>, trust: &PublicKey) -> Result<Vec<Listed>, Failure> {
    let names = place.list("backup/").await?;
    let ids = names.iter().filter_map(|name| name.strip_prefix("backup/")?.strip_suffix("/manifest.json"));
    let mut listed = Vec::new();
    for id in ids.filter(|id| is_backup_id(id)) {
        let manifest = match Backup::open(place.clone(), id, trust).await {
            Ok(backup) => Ok(backup.manifest),
            Err(BackupError::Failed(failure)) => return Err(failure),
            Err(refused) => Err(refused),
        };
        listed.push(Listed { id: id.to_owned(), manifest });
    }
    let created = |one: &Listed| one.manifest.as_ref().ok().map(|manifest| manifest.created);
    listed.sort_by(|one, other| created(one).cmp(&created(other)).then_with(|| one.id.cmp(&other.id)));
    Ok(listed)
}

/// The newest backup at a place. One whose manifest is refused is not passed over: somebody must know.
///
/// # Errors
/// `Refused` if the newest one's manifest is not what was signed; when the place does not answer.
pub async fn newest(place: &Arc<dyn OffSite>, trust: &PublicKey) -> Result<Option<String>, BackupError> {
    // An id begins with the time at which the backup was made.
    let newest = list(place, trust).await?.into_iter().max_by(|one, other| one.id.cmp(&other.id));
    match newest {
        None => Ok(None),
        Some(Listed { id, manifest: Ok(_) }) => Ok(Some(id)),
        Some(Listed { id, manifest: Err(refused) }) => {
            Err(BackupError::NewestRefused { id, refused: refused.to_string() })
        }
    }
}

/// A backup whose manifest is what was signed.
pub struct Backup {
    place: Arc<dyn OffSite>,
    /// What it says of itself.
    pub manifest: Manifest,
}

impl Backup {
    /// Finds a backup, and checks its manifest against the tenant's public key.
    ///
    /// # Errors
    /// `NoSuchBackup`, or `Refused` with what does not fit.
    pub async fn open(place: Arc<dyn OffSite>, id: &str, trust: &PublicKey) -> Result<Self, BackupError> {
        if !is_backup_id(id) {
            return Err(BackupError::BadId(id.to_owned()));
        }
        let name = manifest_name(id);
        let bytes = place.get(&name).await?.ok_or_else(|| BackupError::NoSuchBackup(id.to_owned()))?;
        let refused = |detail: String| BackupError::Refused { name: name.clone(), detail };
        let manifest: Manifest = open(&bytes, MANIFEST_LABEL, trust).map_err(refused)?;
        if manifest.format != FORMAT {
            return Err(refused(format!("it has format {}, which this program does not know", manifest.format)));
        }
        if manifest.id != id {
            return Err(refused(format!("it is the manifest of backup {}", manifest.id)));
        }
        for journal in &manifest.journals {
            let origin = journal.origin(&manifest.tenant);
            let origin = origin.ok_or_else(|| refused(format!("{} is no journal stream", journal.journal)))?;
            ranges_fit(journal, &origin).map_err(|detail| refused(format!("{}: {detail}", journal.stream)))?;
        }
        Ok(Self { place, manifest })
    }

    /// The journal streams that it holds, the key tree's last.
    pub fn origins(&self) -> impl Iterator<Item = Origin> {
        self.manifest.journals.iter().filter_map(|journal| journal.origin(&self.manifest.tenant))
    }

    /// The messages of one journal stream, for whoever has an identity that it is encrypted to.
    ///
    /// # Errors
    /// `NoSuchJournal` if it does not hold that journal stream.
    pub fn read(&self, origin: &Origin, identity: &Identity) -> Result<Messages<'_>, BackupError> {
        let journal = self.manifest.journal(origin);
        let journal = journal.ok_or_else(|| BackupError::NoSuchJournal(origin.to_string()))?;
        Ok(Messages { backup: self, origin: origin.clone(), journal, identity: identity.clone(), at: 0 })
    }

    pub(super) fn place(&self) -> &dyn OffSite {
        &*self.place
    }
}

/// The messages of one journal stream of a backup, chunk by chunk.
pub struct Messages<'a> {
    backup: &'a Backup,
    origin: Origin,
    journal: &'a BackedUpJournal,
    identity: Identity,
    at: usize,
}

impl Messages<'_> {
    /// Which journal stream it is.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What the manifest says of it.
    pub fn journal(&self) -> &BackedUpJournal {
        self.journal
    }

    /// The messages of the next chunk, checked as a whole; none: that was all.
    ///
    /// # Errors
    /// `Chunk` names one that is missing, cut or altered; `WrongIdentity` if it is encrypted to others.
    pub async fn next(&mut self) -> Result<Option<Vec<RawMessage>>, BackupError> {
        let Some(chunk) = self.journal.chunks.get(self.at) else { return Ok(None) };
        let manifest = &self.backup.manifest;
        let bytes = fetch(self.backup.place(), chunk).await?.map_err(|flaw| flaw.error(chunk, manifest))?;
        let opened = open_chunk(bytes, chunk, &self.origin, &self.identity).await?;
        let messages = opened.map_err(|flaw| flaw.error(chunk, manifest))?;
        self.at += 1;
        Ok(Some(messages))
    }

    /// The sizes of the chunks that were read.
    pub(super) fn bytes_read(&self) -> u64 {
        self.journal.chunks[..self.at].iter().map(|chunk| chunk.bytes).sum()
    }
}

/// Writes every journal stream of a backup as a plain archive, `<study>.archive`, into a folder. What lies there is still
/// sealed; only the backup's own encryption is off.
///
/// # Errors
/// See [`BackupError`]. What was written is cut then, and is refused as such.
pub async fn extract(
    backup: &Backup,
    identity: &Identity,
    folder: &Path,
    progress: OnProgress<'_>,
) -> Result<Vec<PathBuf>, BackupError> {
    let mut done = Progress { of_messages: backup.manifest.messages(), ..Progress::default() };
    let mut files = Vec::new();
    for origin in backup.origins() {
        let file = folder.join(format!("{}.archive", origin.label()));
        let create = || File::create_new(&file).map_err(|error| Failure::unavailable("the folder for archives", error));
        let mut messages = backup.read(&origin, identity)?;
        let header = ArchiveHeader { origin: origin.clone(), from: 1 };
        let mut archive = ArchiveWriter::new(BufWriter::new(create()?), header)?;
        let before = done.bytes;
        while let Some(chunk) = messages.next().await? {
            for message in &chunk {
                archive.push(message)?;
            }
            done.messages += chunk.len() as u64;
            done.bytes = before + messages.bytes_read();
            progress(done);
        }
        let mut file_written = archive.finish_at(messages.journal().through)?;
        let synced = file_written.flush().and_then(|()| file_written.get_ref().sync_all());
        synced.map_err(|error| Failure::unavailable("the folder for archives", error))?;
        files.push(file);
    }
    Ok(files)
}
