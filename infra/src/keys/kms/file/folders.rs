//! Two folders that hold the same secrets, one file a secret in each.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use domain::ids::TenantId;
use domain::port::{Failure, KmsError};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::disk::{
    FILE_LENGTH, KEY_LENGTH, cannot, create_folder, overwrite_and_unlink, sync_folder, write_new, write_over,
};
use crate::keys::Key;

pub(super) const COPIES: [&str; 2] = ["a", "b"];

/// A secret that lies in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Secret {
    /// A root of the key tree.
    Root(u64),
    /// The seed of the key that signs.
    Signing,
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(version) => write!(f, "root-{version}"),
            Self::Signing => f.write_str("signing"),
        }
    }
}

/// One copy of one secret.
enum Copy {
    Whole(Key),
    Missing,
    Torn,
}

/// What the two folders say about a secret.
enum Found {
    Both(Key),
    One { key: Key, lame: usize },
    Gone,
}

#[derive(Debug)]
pub(super) struct Folders {
    pub(super) tenant: TenantId,
    kms_dir: PathBuf,
    folders: [PathBuf; COPIES.len()],
}

impl Folders {
    pub(super) fn new(kms_dir: &Path, tenant: &TenantId) -> Self {
        let folders = COPIES.map(|copy| kms_dir.join(copy).join(tenant.as_str()));
        Self { tenant: tenant.clone(), kms_dir: kms_dir.to_path_buf(), folders }
    }

    /// The file of a secret in one folder: `new` while it is being made, `key` as long as it lives, `dying` from the
    /// moment at which its destruction is decided.
    fn file(&self, copy: usize, secret: Secret, state: &str) -> PathBuf {
        self.folders[copy].join(format!("{secret}.{state}"))
    }

    /// Both folders, or none yet. One alone is a disk that is not mounted: whatever lives there cannot be destroyed.
    fn exist(&self) -> Result<bool, Failure> {
        let missing: Vec<&PathBuf> = self.folders.iter().filter(|folder| !folder.is_dir()).collect();
        match missing[..] {
            [] => Ok(true),
            [one] => Err(not_there(one)),
            _ => Ok(false),
        }
    }

    /// Every version of which anything is left in either folder.
    pub(super) fn versions(&self) -> Result<BTreeSet<u64>, Failure> {
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

    /// The secret, made if it is not there. What an earlier creation or destruction left half done is finished first.
    pub(super) fn create(&self, secret: Secret) -> Result<Key, Failure> {
        if !matches!(self.exist(), Ok(true)) {
            self.create_folders()?;
        }
        let _lock = self.lock().map_err(|error| cannot("lock", &self.folders[0], &error))?;
        if self.is_dying(secret) {
            self.end(secret)?;
        }
        match self.look(secret).map_err(failure)? {
            Found::Both(key) => Ok(key),
            Found::One { key, lame } => {
                self.repair(lame, secret, &key).map_err(|error| cannot("write", &self.folders[lame], &error))?;
                Ok(key)
            }
            Found::Gone => self.write(secret),
        }
    }

    /// Creates what is missing of the two folders, nobody else meanwhile. One that is there alone is half of an
    /// earlier creation if it is empty, otherwise the other's disk is not mounted.
    fn create_folders(&self) -> Result<(), Failure> {
        create_folder(&self.kms_dir)?;
        let _lock = lock(&self.kms_dir).map_err(|error| cannot("lock", &self.kms_dir, &error))?;
        if let Err(not_mounted) = self.exist() {
            for folder in self.folders.iter().filter(|folder| folder.is_dir()) {
                let mut entries = fs::read_dir(folder).map_err(|error| cannot("list", folder, &error))?;
                if entries.next().is_some() {
                    return Err(not_mounted);
                }
            }
        }
        self.folders.iter().try_for_each(|folder| create_folder(folder))
    }

    /// Writes both copies under another name before the first gets its own: a file that is called `key` was whole
    /// once, so one that is not is damage and never an accident of its creation.
    fn write(&self, secret: Secret) -> Result<Key, Failure> {
        tracing::trace!(target: "failpoint", at = "kms-file-before-create");
        let key = Key::random();
        let contents = self.contents(secret, &key);
        for copy in 0..COPIES.len() {
            let file = self.file(copy, secret, "new");
            overwrite_and_unlink(&file).map_err(|error| cannot("clear", &file, &error))?;
            write_new(&file, &contents).map_err(|error| cannot("write", &file, &error))?;
        }
        for copy in 0..COPIES.len() {
            let file = self.file(copy, secret, "key");
            fs::rename(self.file(copy, secret, "new"), &file).map_err(|error| cannot("rename", &file, &error))?;
            tracing::trace!(target: "failpoint", at = "kms-file-copy-created");
        }
        self.sync_folders()?;
        match [self.read(0, secret)?, self.read(1, secret)?] {
            [Copy::Whole(_), Copy::Whole(_)] => {
                tracing::trace!(target: "failpoint", at = "kms-file-created");
                Ok(key)
            }
            _ => Err(Failure::damaged(format!("{secret} of the file KMS"), "it does not read back as written")),
        }
    }

    fn contents(&self, secret: Secret, key: &Key) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([&key.expose()[..], &self.checksum(secret, key.expose())].concat())
    }

    pub(super) fn checksum(&self, secret: Secret, key: &[u8]) -> [u8; 32] {
        let (label, version) = match secret {
            Secret::Root(version) => (&b"lethe/root-file/v1"[..], version),
            Secret::Signing => (&b"lethe/signing-file/v1"[..], 0),
        };
        let hash = Sha256::new().chain_update(label).chain_update(version.to_be_bytes());
        hash.chain_update(self.tenant.as_str()).chain_update([0]).chain_update(key).finalize().into()
    }

    fn read(&self, copy: usize, secret: Secret) -> Result<Copy, Failure> {
        let file = self.file(copy, secret, "key");
        let contents = match fs::read(&file) {
            Ok(contents) => Zeroizing::new(contents),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Copy::Missing),
            Err(error) => return Err(cannot("read", &file, &error)),
        };
        if contents.len() != FILE_LENGTH {
            return Ok(Copy::Torn);
        }
        let (key, checksum) = contents.split_at(KEY_LENGTH);
        let whole = self.checksum(secret, key) == checksum;
        Ok(if whole { Key::from_slice(key).map_or(Copy::Torn, Copy::Whole) } else { Copy::Torn })
    }

    /// A root that lives.
    pub(super) fn root(&self, version: u64) -> Result<Key, KmsError> {
        self.get(Secret::Root(version))?.ok_or(KmsError::NoSuchVersion(version))
    }

    /// A secret, if it is there. A copy that is missing or damaged is made anew from the other.
    pub(super) fn get(&self, secret: Secret) -> Result<Option<Key>, KmsError> {
        if let Found::Both(key) = self.look(secret)? {
            return Ok(Some(key));
        }
        // Something is amiss. Look again while nobody can be destroying it: a copy made anew behind a destruction's
        // back would live on.
        let lock = self.lock();
        match self.look(secret)? {
            Found::Both(key) => Ok(Some(key)),
            Found::Gone => Ok(None),
            Found::One { key, lame } => {
                let repaired = lock.and_then(|_held| self.repair(lame, secret, &key)).is_ok();
                let folder = COPIES[lame];
                tracing::error!(tenant = %self.tenant, %secret, folder, repaired, "a copy of a secret was missing or damaged");
                Ok(Some(key))
            }
        }
    }

    fn look(&self, secret: Secret) -> Result<Found, KmsError> {
        if self.folders.iter().all(|folder| !folder.is_dir()) {
            return Err(not_there(&self.folders[0]).into());
        }
        if self.is_dying(secret) {
            return Ok(Found::Gone);
        }
        let damaged = |detail| Failure::damaged(format!("{secret} of the file KMS"), detail);
        match [self.read(0, secret)?, self.read(1, secret)?] {
            [Copy::Whole(a), Copy::Whole(b)] if a.expose() == b.expose() => Ok(Found::Both(a)),
            [Copy::Whole(_), Copy::Whole(_)] => Err(damaged("its two copies differ").into()),
            [Copy::Whole(key), _] => Ok(Found::One { key, lame: 1 }),
            [_, Copy::Whole(key)] => Ok(Found::One { key, lame: 0 }),
            // A folder that is not mounted may hold the copy: then there is no answer.
            [Copy::Missing, Copy::Missing] => Ok(self.exist().map(|_| Found::Gone)?),
            _ => Err(damaged("no copy of it is whole").into()),
        }
    }

    fn is_dying(&self, secret: Secret) -> bool {
        (0..COPIES.len()).any(|copy| self.file(copy, secret, "dying").exists())
    }

    fn repair(&self, copy: usize, secret: Secret, key: &Key) -> io::Result<()> {
        write_over(&self.file(copy, secret, "key"), &self.contents(secret, key))?;
        overwrite_and_unlink(&self.file(copy, secret, "new"))?;
        sync_folder(&self.folders[copy])
    }

    /// Keeps other processes from creating, repairing and destroying until it is dropped.
    fn lock(&self) -> io::Result<File> {
        lock(&self.folders[0])
    }

    /// Destroys a root. Folders that are not there cannot be asked, so nothing in them counts as destroyed.
    pub(super) fn destroy(&self, version: u64) -> Result<(), Failure> {
        if !self.exist()? {
            return Err(not_there(&self.folders[0]));
        }
        let _lock = self.lock().map_err(|error| cannot("lock", &self.folders[0], &error))?;
        self.end(Secret::Root(version))
    }

    fn end(&self, secret: Secret) -> Result<(), Failure> {
        tracing::trace!(target: "failpoint", at = "kms-file-before-destroy");
        for copy in 0..COPIES.len() {
            let (key, dying) = (self.file(copy, secret, "key"), self.file(copy, secret, "dying"));
            match fs::rename(&key, &dying) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(cannot("rename", &key, &error)),
            }
            tracing::trace!(target: "failpoint", at = "kms-file-copy-dying");
        }
        self.sync_folders()?;
        for copy in 0..COPIES.len() {
            for state in ["new", "dying"] {
                let file = self.file(copy, secret, state);
                overwrite_and_unlink(&file).map_err(|error| cannot("destroy", &file, &error))?;
            }
            tracing::trace!(target: "failpoint", at = "kms-file-copy-destroyed");
        }
        self.sync_folders()
    }

    fn sync_folders(&self) -> Result<(), Failure> {
        let sync = |folder: &PathBuf| sync_folder(folder).map_err(|error| cannot("sync", folder, &error));
        self.folders.iter().try_for_each(sync)
    }
}

fn lock(folder: &Path) -> io::Result<File> {
    let folder = File::open(folder)?;
    folder.lock()?;
    Ok(folder)
}

fn not_there(folder: &Path) -> Failure {
    Failure::unavailable("file KMS", format!("{} is not there; is it mounted?", folder.display()))
}

/// What is no answer about a version: here nobody asked for one.
fn failure(error: KmsError) -> Failure {
    match error {
        KmsError::Failed(failure) => failure,
        KmsError::NoSuchVersion(version) => Failure::missing(format!("root version {version}")),
    }
}

fn version_of(file_name: &str) -> Option<u64> {
    let (stem, state) = file_name.strip_prefix("root-")?.split_once('.')?;
    ["new", "key", "dying"].contains(&state).then(|| super::super::version(stem)).flatten()
}
