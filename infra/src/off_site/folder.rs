//! The off-site target in a folder: another disk, a network share. Several processes may use it at once.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use domain::ids::TenantId;
use domain::port::{Failure, HeadTag, OffSite, SwapError};

use super::head::{StoredHead, is_mark, random_mark, sha256_hex};
use super::{HEAD, TARGET, check_name, same};

const LOCK: &str = "head.lock";

/// What nobody has written to for so long is not being written: somebody died over it.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

/// So many folders are remembered as looked through.
const SWEPT_MAX: usize = 1024;

/// One tenant's part of a folder: `<root>/<tenant>/`, in it the objects by name, and `head`.
///
/// An object is written beside its place, synced, and linked into it, which cannot overwrite; the head is replaced by a
/// rename under a lock on `head.lock`. Files and folders are synced before a call returns.
#[derive(Debug, Clone)]
pub struct FolderOffSite {
    root: PathBuf,
    own: PathBuf,
    /// The folders that were rid of what others left unfinished.
    swept: Arc<Mutex<BTreeSet<PathBuf>>>,
}

impl FolderOffSite {
    /// The part of a tenant. The root must be there when it is used: a disk that is not mounted is not made up for.
    pub fn new(root: &Path, tenant: &TenantId) -> Self {
        Self { root: root.to_path_buf(), own: root.join(tenant.as_str()), swept: Arc::default() }
    }

    /// Runs what blocks where it may.
    async fn blocking<T, E>(&self, work: impl FnOnce(&Self) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Failure> + Send + 'static,
    {
        let own = self.clone();
        let outcome = tokio::task::spawn_blocking(move || {
            own.check_root()?;
            work(&own)
        });
        outcome.await.unwrap_or_else(|error| Err(Failure::unavailable(TARGET, error).into()))
    }

    fn check_root(&self) -> Result<(), Failure> {
        if self.root.is_dir() {
            return Ok(());
        }
        let cause = format!("the folder {} is not there: mount it, or make it", self.root.display());
        Err(Failure::unavailable(TARGET, cause))
    }

    fn read_head(&self) -> Result<Option<(Vec<u8>, HeadTag)>, Failure> {
        let Some(stored) = read(&self.own.join(HEAD))? else { return Ok(None) };
        let tag = HeadTag(sha256_hex(&stored));
        Ok(Some((StoredHead::read(&stored)?.bytes, tag)))
    }

    fn swap(&self, expected: Option<&HeadTag>, bytes: &[u8]) -> Result<HeadTag, SwapError> {
        make_folders(&self.root, &self.own)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(self.own.join(LOCK));
        let lock = lock.map_err(io_failure)?;
        // Let go of when the file is closed, however this ends.
        lock.lock().map_err(io_failure)?;
        if self.read_head()?.map(|(_, tag)| tag).as_ref() != expected {
            return Err(SwapError::Moved);
        }
        let stored = StoredHead::new(bytes).write();
        let temporary = write_beside(&self.own, &stored)?;
        tracing::trace!(target: "failpoint", at = "folder-head-written");
        fs::rename(&temporary, self.own.join(HEAD)).map_err(io_failure)?;
        tracing::trace!(target: "failpoint", at = "folder-head-renamed");
        sync_folder(&self.own)?;
        Ok(HeadTag(sha256_hex(&stored)))
    }

    fn put_object(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let place = self.own.join(name);
        let folder = place.parent().unwrap_or(&self.own);
        if let Some(there) = read(&place)? {
            same(name, &there, bytes)?;
            // Whoever put it there may not have come to this yet.
            File::open(&place).and_then(|file| file.sync_all()).map_err(io_failure)?;
            return sync_folder(folder);
        }
        make_folders(&self.root, folder)?;
        let temporary = write_beside(folder, bytes)?;
        tracing::trace!(target: "failpoint", at = "folder-object-written");
        self.sweep(folder, &temporary);
        let linked = fs::hard_link(&temporary, &place);
        tracing::trace!(target: "failpoint", at = "folder-object-linked");
        let removed = fs::remove_file(&temporary);
        match linked {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let there = read(&place)?.unwrap_or_default();
                same(name, &there, bytes)?;
            }
            Err(error) => return Err(io_failure(error)),
        }
        removed.map_err(io_failure)?;
        sync_folder(folder)
    }

    /// Removes what others began to write into a folder and never finished, by the clock of the disk that it is on.
    fn sweep(&self, folder: &Path, written: &Path) {
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if swept.len() >= SWEPT_MAX {
            swept.clear();
        }
        if !swept.insert(folder.to_path_buf()) {
            return;
        }
        // What cannot be removed now is found again by the next process.
        if let Err(error) = remove_abandoned(folder, written) {
            tracing::warn!(%error, "unfinished files at the off-site target cannot be removed");
        }
    }

    fn names(&self, prefix: &str) -> Result<Vec<String>, Failure> {
        let mut names = Vec::new();
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        collect(&self.own.join(folder), folder, &mut names).map_err(io_failure)?;
        names.retain(|name| name.starts_with(prefix) && check_name(name).is_ok());
        names.sort();
        Ok(names)
    }
}

#[async_trait]
impl OffSite for FolderOffSite {
    async fn head(&self) -> Result<Option<(Vec<u8>, HeadTag)>, Failure> {
        self.blocking(Self::read_head).await
    }

    async fn swap_head(&self, expected: Option<&HeadTag>, bytes: &[u8]) -> Result<HeadTag, SwapError> {
        let (expected, bytes) = (expected.cloned(), bytes.to_vec());
        self.blocking(move |own| own.swap(expected.as_ref(), &bytes)).await
    }

    async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        check_name(name)?;
        let (name, bytes) = (name.to_owned(), bytes.to_vec());
        self.blocking(move |own| own.put_object(&name, &bytes)).await
    }

    async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        check_name(name)?;
        let name = name.to_owned();
        self.blocking(move |own| read(&own.own.join(name))).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, Failure> {
        if !prefix.is_empty() {
            check_name(prefix.trim_end_matches('/'))?;
        }
        let prefix = prefix.to_owned();
        self.blocking(move |own| own.names(&prefix)).await
    }

    fn describe(&self) -> String {
        format!("the folder {}", self.own.display())
    }
}

fn io_failure(error: io::Error) -> Failure {
    Failure::unavailable(TARGET, error)
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_failure(error)),
    }
}

/// Makes the folders below `root` down to `folder`, each synced into the one above.
fn make_folders(root: &Path, folder: &Path) -> Result<(), Failure> {
    if folder == root || folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().unwrap_or(root);
    make_folders(root, above)?;
    match fs::create_dir(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(io_failure(error)),
    }
    sync_folder(above)
}

/// Writes and syncs a file of a name that nobody else uses.
fn write_beside(folder: &Path, bytes: &[u8]) -> Result<PathBuf, Failure> {
    let temporary = folder.join(format!(".{}", random_mark()));
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&temporary);
        io_failure(error)
    })?;
    Ok(temporary)
}

fn remove_abandoned(folder: &Path, written: &Path) -> io::Result<()> {
    let now = fs::metadata(written)?.modified()?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_str().is_some_and(is_temporary) {
            continue;
        }
        let age = entry.metadata().and_then(|metadata| metadata.modified()).map(|at| now.duration_since(at));
        if age.is_ok_and(|age| age.is_ok_and(|age| age > ABANDONED)) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// As [`write_beside`] names a file.
fn is_temporary(name: &str) -> bool {
    name.strip_prefix('.').is_some_and(is_mark)
}

fn sync_folder(folder: &Path) -> Result<(), Failure> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_failure)
}

/// The files below a folder, by their names from the tenant's part on.
fn collect(folder: &Path, name: &str, names: &mut Vec<String>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let Some(part) = entry.file_name().to_str().map(str::to_owned) else { continue };
        let name = if name.is_empty() { part } else { format!("{name}/{part}") };
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &name, names)?;
        } else {
            names.push(name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::contract::Scratch;
    use super::*;

    #[tokio::test]
    async fn what_somebody_left_unfinished_goes_with_the_next_put_there() {
        let scratch = Scratch::new();
        let tenant = "acme".parse().unwrap();
        let folder = scratch.0.join("acme/tree");
        FolderOffSite::new(&scratch.0, &tenant).put("tree/a.pack", b"a").await.unwrap();
        let mark = random_mark();
        let (old, fresh, others) =
            (folder.join(format!(".{mark}")), folder.join(format!(".{}", random_mark())), folder.join(".nfs0001"));
        for file in [&old, &fresh, &others] {
            fs::write(file, b"half").unwrap();
        }
        for file in [&old, &others] {
            let written = fs::metadata(file).unwrap().modified().unwrap() - 2 * ABANDONED;
            File::options().write(true).open(file).unwrap().set_modified(written).unwrap();
        }
        let next = FolderOffSite::new(&scratch.0, &tenant);
        next.put("ledger/x", b"x").await.unwrap();
        assert!(old.exists(), "another folder is another matter");
        next.put("tree/b.pack", b"b").await.unwrap();
        assert_eq!((old.exists(), fresh.exists(), others.exists()), (false, true, true));
        assert_eq!(next.list("tree/").await.unwrap(), ["tree/a.pack", "tree/b.pack"]);
    }
}
