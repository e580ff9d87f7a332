//! Roots in files: two folders, one file a version in each.
//!
//! `<kms-dir>/<a|b>/<tenant>/root-<version>.key` holds 32 random bytes and a checksum. Destroying renames it to
//! `.dying` in both folders, then overwrites and unlinks both: so a destruction that was interrupted is never taken
//! for a copy that was lost.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use domain::ids::TenantId;
use domain::port::{Destruction, Failure, Kms, KmsDescription, KmsError};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{unwrap, wrap};
use crate::chance::fill_random;
use crate::keys::Key;

/// What whoever uses this KMS must know.
pub const FILE_KMS_WARNING: &str = "\
Root keys are files. Destroying one overwrites and unlinks it in both folders, but a flash disk may keep the old \
sectors, and a snapshot, a backup or a copy of the folder keeps the file: then an old copy of the key tree can be \
opened again. Keep the folder out of snapshots and backups, on a disk that is encrypted or that you destroy, or use \
an HSM.";

const COPIES: [&str; 2] = ["a", "b"];
const KEY_LENGTH: usize = 32;
const FILE_LENGTH: usize = KEY_LENGTH + 32;

/// The file KMS of one tenant.
#[derive(Debug, Clone)]
pub struct FileKms(Arc<Folders>);

#[derive(Debug)]
struct Folders {
    tenant: TenantId,
    folders: [PathBuf; COPIES.len()],
}

/// Why a folder is not taken for the KMS.
#[derive(Debug, thiserror::Error)]
pub enum KmsDirError {
    /// It is inside the data folder.
    #[error(
        "the KMS folder lies inside the data folder, so every copy of the data would be a copy of the root keys: \
         choose a folder outside"
    )]
    Inside,
    /// It cannot be found out where it is.
    #[error("cannot find out where the KMS folder lies")]
    Unclear(#[from] io::Error),
}

/// Refuses a KMS folder inside the data folder: a copy of the data must not be a copy of the roots.
///
/// # Errors
/// If it is inside, or if that cannot be found out.
pub fn refuse_inside(data_dir: &Path, kms_dir: &Path) -> Result<(), KmsDirError> {
    if real_path(kms_dir)?.starts_with(real_path(data_dir)?) { Err(KmsDirError::Inside) } else { Ok(()) }
}

/// Where a path really leads, even if its last steps do not exist yet.
fn real_path(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    match fs::canonicalize(&path) {
        Ok(real) => Ok(real),
        // A link that leads nowhere yet may lead inside later.
        Err(error) if path.is_symlink() => Err(error),
        Err(error) if error.kind() == ErrorKind::NotFound => match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => Ok(real_path(parent)?.join(name)),
            _ => Err(error),
        },
        Err(error) => Err(error),
    }
}

impl FileKms {
    /// The roots of `tenant` below `kms_dir`. Touches nothing yet.
    pub fn new(kms_dir: &Path, tenant: &TenantId) -> Self {
        let folders = COPIES.map(|copy| kms_dir.join(copy).join(tenant.as_str()));
        Self(Arc::new(Folders { tenant: tenant.clone(), folders }))
    }

    /// Files are slow and their calls block: they run where that harms nobody.
    async fn run<T: Send + 'static, E: From<Failure> + Send + 'static>(
        &self,
        work: impl FnOnce(&Folders) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let folders = self.0.clone();
        match tokio::task::spawn_blocking(move || work(&folders)).await {
            Ok(result) => result,
            Err(error) => Err(Failure::unavailable("file KMS", error).into()),
        }
    }
}

#[async_trait]
impl Kms for FileKms {
    async fn create_root(&self, version: u64) -> Result<(), Failure> {
        self.run(move |folders| folders.create(version)).await
    }

    async fn wrap(&self, version: u64, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, KmsError> {
        let (context, plain) = (context.to_vec(), Zeroizing::new(plain.to_vec()));
        self.run(move |folders| Ok(wrap(&folders.root(version)?, &folders.tenant, version, &context, &plain))).await
    }

    async fn unwrap(&self, version: u64, context: &[u8], wrapped: &[u8]) -> Result<Vec<u8>, KmsError> {
        let (context, wrapped) = (context.to_vec(), wrapped.to_vec());
        self.run(move |folders| unwrap(&folders.root(version)?, &folders.tenant, version, &context, &wrapped)).await
    }

    async fn versions(&self) -> Result<BTreeSet<u64>, Failure> {
        self.run(Folders::versions).await
    }

    async fn destroy(&self, version: u64) -> Result<Destruction, Failure> {
        self.run(move |folders| folders.destroy(version)).await.map(|()| Destruction::Done)
    }

    fn describe(&self) -> KmsDescription {
        KmsDescription {
            kind: "file".to_owned(),
            device: "two folders".to_owned(),
            is_exportable: true,
            limits: FILE_KMS_WARNING.to_owned(),
        }
    }
}

/// One copy of one root.
enum Copy {
    Whole(Key),
    Missing,
    Torn,
}

/// What the two folders say about a root.
enum Found {
    Both(Key),
    One { key: Key, lame: usize },
    Gone,
}

impl Folders {
    fn key_file(&self, copy: usize, version: u64) -> PathBuf {
        self.folders[copy].join(format!("root-{version}.key"))
    }

    fn dying_file(&self, copy: usize, version: u64) -> PathBuf {
        self.folders[copy].join(format!("root-{version}.dying"))
    }

    /// Both folders, or none yet. One alone is a disk that is not mounted: whatever lives there cannot be destroyed.
    fn exist(&self) -> Result<bool, Failure> {
        let missing: Vec<&PathBuf> = self.folders.iter().filter(|folder| !folder.is_dir()).collect();
        match missing[..] {
            [] => Ok(true),
            [one] => Err(Failure::unavailable("file KMS", format!("{} is not there; is it mounted?", one.display()))),
            _ => Ok(false),
        }
    }

    /// Every version of which anything is left in either folder.
    fn versions(&self) -> Result<BTreeSet<u64>, Failure> {
        let mut versions = BTreeSet::new();
        if self.exist()? {
            for folder in &self.folders {
                for entry in fs::read_dir(folder).map_err(|error| cannot("list", folder, &error))? {
                    let name = entry.map_err(|error| cannot("list", folder, &error))?.file_name();
                    versions.extend(name.to_str().and_then(version_of));
                }
            }
        }
        Ok(versions)
    }

    fn create(&self, version: u64) -> Result<(), Failure> {
        if !self.exist()? {
            self.folders.iter().try_for_each(|folder| create_folder(folder))?;
        }
        match self.root(version) {
            Ok(_) => return Ok(()),
            Err(KmsError::NoSuchVersion(_)) => {}
            Err(KmsError::Failed(failure)) => return Err(failure),
        }
        let _lock = self.lock().map_err(|error| cannot("lock", &self.folders[0], &error))?;
        let mut contents = Zeroizing::new([0; FILE_LENGTH]);
        fill_random(&mut contents[..KEY_LENGTH]);
        let checksum = self.checksum(version, &contents[..KEY_LENGTH]);
        contents[KEY_LENGTH..].copy_from_slice(&checksum);
        for copy in 0..COPIES.len() {
            let file = self.key_file(copy, version);
            write_new(&file, contents.as_slice()).map_err(|error| cannot("write", &file, &error))?;
        }
        self.sync_folders()?;
        match [self.read(0, version)?, self.read(1, version)?] {
            [Copy::Whole(_), Copy::Whole(_)] => Ok(()),
            _ => Err(Failure::damaged(format!("root version {version}"), "it does not read back as written")),
        }
    }

    fn checksum(&self, version: u64, key: &[u8]) -> [u8; 32] {
        let hash = Sha256::new().chain_update(b"lethe/root-file/v1").chain_update(version.to_be_bytes());
        hash.chain_update(self.tenant.as_str()).chain_update([0]).chain_update(key).finalize().into()
    }

    fn read(&self, copy: usize, version: u64) -> Result<Copy, Failure> {
        let file = self.key_file(copy, version);
        let contents = match fs::read(&file) {
            Ok(contents) => Zeroizing::new(contents),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Copy::Missing),
            Err(error) => return Err(cannot("read", &file, &error)),
        };
        if contents.len() != FILE_LENGTH {
            return Ok(Copy::Torn);
        }
        let (key, checksum) = contents.split_at(KEY_LENGTH);
        let whole = self.checksum(version, key) == checksum;
        Ok(if whole { Key::from_slice(key).map_or(Copy::Torn, Copy::Whole) } else { Copy::Torn })
    }

    fn root(&self, version: u64) -> Result<Key, KmsError> {
        if let Found::Both(key) = self.look(version)? {
            return Ok(key);
        }
        // Something is amiss. Look again while nobody can be destroying it: a copy made anew behind a destruction's
        // back would live on.
        let lock = self.lock();
        match self.look(version)? {
            Found::Both(key) => Ok(key),
            Found::Gone => Err(KmsError::NoSuchVersion(version)),
            Found::One { key, lame } => {
                let repaired = lock.and_then(|_held| self.repair(lame, version, &key)).is_ok();
                let folder = COPIES[lame];
                tracing::error!(tenant = %self.tenant, version, folder, repaired, "a copy of a root key was missing or damaged");
                Ok(key)
            }
        }
    }

    fn look(&self, version: u64) -> Result<Found, KmsError> {
        if self.folders.iter().all(|folder| !folder.is_dir()) {
            return Err(Failure::unavailable("file KMS", format!("{} is not there", self.folders[0].display())).into());
        }
        if (0..COPIES.len()).any(|copy| self.dying_file(copy, version).exists()) {
            return Ok(Found::Gone);
        }
        let damaged = |detail| Failure::damaged(format!("root version {version} of the file KMS"), detail);
        match [self.read(0, version)?, self.read(1, version)?] {
            [Copy::Whole(a), Copy::Whole(b)] if a.expose() == b.expose() => Ok(Found::Both(a)),
            [Copy::Whole(_), Copy::Whole(_)] => Err(damaged("its two copies differ").into()),
            [Copy::Whole(key), _] => Ok(Found::One { key, lame: 1 }),
            [_, Copy::Whole(key)] => Ok(Found::One { key, lame: 0 }),
            // A folder that is not mounted may hold the copy: then there is no answer.
            [Copy::Missing, Copy::Missing] => Ok(self.exist().map(|_| Found::Gone)?),
            _ => Err(damaged("no copy of it is whole").into()),
        }
    }

    fn repair(&self, copy: usize, version: u64, key: &Key) -> io::Result<()> {
        let contents = Zeroizing::new([&key.expose()[..], &self.checksum(version, key.expose())].concat());
        write_over(&self.key_file(copy, version), &contents)?;
        sync_folder(&self.folders[copy])
    }

    /// Keeps other processes from creating, repairing and destroying until it is dropped.
    fn lock(&self) -> io::Result<File> {
        let folder = File::open(&self.folders[0])?;
        folder.lock()?;
        Ok(folder)
    }

    fn destroy(&self, version: u64) -> Result<(), Failure> {
        if !self.exist()? {
            return Ok(());
        }
        let _lock = self.lock().map_err(|error| cannot("lock", &self.folders[0], &error))?;
        for copy in 0..COPIES.len() {
            let (key, dying) = (self.key_file(copy, version), self.dying_file(copy, version));
            match fs::rename(&key, &dying) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(cannot("rename", &key, &error)),
            }
        }
        self.sync_folders()?;
        for copy in 0..COPIES.len() {
            let dying = self.dying_file(copy, version);
            overwrite_and_unlink(&dying).map_err(|error| cannot("destroy", &dying, &error))?;
        }
        self.sync_folders()
    }

    fn sync_folders(&self) -> Result<(), Failure> {
        let sync = |folder: &PathBuf| sync_folder(folder).map_err(|error| cannot("sync", folder, &error));
        self.folders.iter().try_for_each(sync)
    }
}

fn version_of(file_name: &str) -> Option<u64> {
    let name = file_name.strip_prefix("root-")?;
    name.strip_suffix(".key").or_else(|| name.strip_suffix(".dying"))?.parse().ok()
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::unavailable("file KMS", format!("cannot {what} {}: {error}", path.display()))
}

/// Creates a folder and its parents, each durable in its own parent.
fn create_folder(folder: &Path) -> Result<(), Failure> {
    let failed = |error: io::Error| cannot("create", folder, &error);
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    folder
        .ancestors()
        .skip(1)
        .take(3)
        .filter(|parent| !parent.as_os_str().is_empty())
        .try_for_each(sync_folder)
        .map_err(failed)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn write_new(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(contents)?;
    file.sync_all()
}

fn write_over(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(contents)?;
    file.sync_all()
}

/// Overwrites in place, never by a new file: the old sectors are what must go.
fn overwrite_and_unlink(path: &Path) -> io::Result<()> {
    let mut file = match OpenOptions::new().write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut noise = [0; FILE_LENGTH];
    fill_random(&mut noise);
    file.write_all(&noise)?;
    file.sync_all()?;
    fs::remove_file(path)
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
