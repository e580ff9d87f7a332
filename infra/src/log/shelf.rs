//! Where checkpoints are kept: a folder beside the read store, and off-site.
//!
//! A checkpoint is one file, `<size>.note`. It is written aside, synced and renamed: there is all of it or nothing. Old
//! ones are thinned out; those that were asked for (certificates name them) have a file `<size>.keep` and stay.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use domain::history::JournalId;
use domain::port::{Failure, PublicKey};

use super::checkpoint::{Checkpoint, study};

/// So many of the newest are never thinned out.
const NEWEST: usize = 64;

/// A checkpoint with the note that it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// The signed note, as it is kept.
    pub note: String,
}

/// The stored checkpoints of one journal stream.
#[derive(Debug, Clone)]
pub struct Shelf {
    journal: JournalId,
    dir: PathBuf,
}

impl Shelf {
    /// In the folder of a tenant.
    pub fn new(tenant_dir: &Path, journal: &JournalId) -> Self {
        Self { journal: journal.clone(), dir: tenant_dir.join("checkpoints").join(study(journal)) }
    }

    /// The journal streams that a tenant's folder has checkpoints of.
    ///
    /// # Errors
    /// `Unavailable` if the folder cannot be read.
    pub fn known(tenant_dir: &Path, own: &JournalId) -> Result<Vec<JournalId>, Failure> {
        let names = names(&tenant_dir.join("checkpoints"))?;
        Ok(names.iter().filter_map(|name| journal_of(own, name)).collect())
    }

    /// The sizes of those that are kept, in order.
    ///
    /// # Errors
    /// `Unavailable` if the folder cannot be read.
    pub fn sizes(&self) -> Result<Vec<u64>, Failure> {
        let names = names(&self.dir)?;
        Ok(names.iter().filter_map(|name| name.strip_suffix(".note")?.parse().ok()).collect())
    }

    /// One of them.
    ///
    /// # Errors
    /// `Missing`, `Unavailable`; `Damaged` if it is not what was signed.
    pub fn read(&self, size: u64, key: &PublicKey) -> Result<Signed, Failure> {
        let path = self.path(size, "note");
        let note = fs::read_to_string(&path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Failure::missing(format!("checkpoint {}", path.display())),
            ErrorKind::InvalidData => Failure::damaged(path.display(), "it is no text"),
            _ => unavailable(&path, &error),
        })?;
        let checkpoint = Checkpoint::open(&note, &self.journal, key);
        let checkpoint =
            checkpoint.map_err(|fault| Failure::damaged(format!("checkpoint {}", path.display()), fault))?;
        if checkpoint.size != size {
            return Err(Failure::damaged(format!("checkpoint {}", path.display()), "it is one of another size"));
        }
        Ok(Signed { checkpoint, note })
    }

    /// All of them, oldest first.
    ///
    /// # Errors
    /// As [`Shelf::read`].
    pub fn all(&self, key: &PublicKey) -> Result<Vec<Signed>, Failure> {
        self.sizes()?.into_iter().map(|size| self.read(size, key)).collect()
    }

    /// The largest that has less than `size` messages.
    ///
    /// # Errors
    /// As [`Shelf::read`].
    pub fn below(&self, size: u64, key: &PublicKey) -> Result<Option<Signed>, Failure> {
        let found = self.sizes()?.into_iter().rev().find(|kept| *kept < size);
        found.map(|size| self.read(size, key)).transpose()
    }

    /// Keeps one; for good, if it was asked for. Durable when it returns.
    ///
    /// # Errors
    /// `Unavailable` if the folder cannot be written.
    pub fn put(&self, signed: &Signed, for_good: bool) -> Result<(), Failure> {
        let path = self.path(signed.checkpoint.size, "note");
        store(&path, signed.note.as_bytes())?;
        if for_good {
            store(&self.path(signed.checkpoint.size, "keep"), b"")?;
        }
        Ok(())
    }

    /// Removes what nobody needs: of the older ones, all but the last of each day and those that are kept for good.
    ///
    /// # Errors
    /// As [`Shelf::read`].
    pub fn thin(&self, key: &PublicKey) -> Result<(), Failure> {
        let sizes = self.sizes()?;
        // Not at every one, so that the older ones are read seldom.
        if sizes.len() < 2 * NEWEST {
            return Ok(());
        }
        let mut last_of_day = BTreeMap::new();
        let mut going = Vec::new();
        for size in &sizes[..sizes.len() - NEWEST] {
            if self.path(*size, "keep").exists() {
                continue;
            }
            let day = self.read(*size, key)?.checkpoint.time.date();
            going.extend(last_of_day.insert(day, *size));
        }
        going
            .into_iter()
            .map(|size| self.path(size, "note"))
            .try_for_each(|path| fs::remove_file(&path).map_err(|error| unavailable(&path, &error)))
    }

    fn path(&self, size: u64, kind: &str) -> PathBuf {
        self.dir.join(format!("{size:020}.{kind}"))
    }
}

/// Where a checkpoint stands off-site.
pub fn object(journal: &JournalId, size: u64) -> String {
    format!("{}{size:020}", folder(journal))
}

/// Where all of a journal stream stand off-site.
pub(super) fn folder(journal: &JournalId) -> String {
    format!("checkpoints/{}/", study(journal))
}

/// The journal stream of the same tenant whose checkpoints are in a folder of this name.
pub(super) fn journal_of(own: &JournalId, name: &str) -> Option<JournalId> {
    let study = if name == "_" { None } else { Some(name.parse().ok()?) };
    Some(JournalId { tenant: own.tenant.clone(), study })
}

/// Writes a file aside, syncs and renames it.
pub(crate) fn store(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let write = || {
        let dir = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(dir)?;
        let aside = path.with_extension("new");
        let mut file = File::create(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(|error| unavailable(path, &error))
}

/// The names in a folder, in order; none if there is no folder.
fn names(dir: &Path) -> Result<Vec<String>, Failure> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unavailable(dir, &error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| unavailable(dir, &error))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

fn unavailable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::unavailable("the folder of the checkpoints", format!("{}: {error}", path.display()))
}
