//! The data directory: one platform at a time, and where to find the one that serves it.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use domain::ids::{StudyId, TenantId};
use infra::store::Engine;
use serde::{Deserialize, Serialize};

use super::StartError;

/// A data directory that this process alone uses.
pub(super) struct DataDir {
    path: PathBuf,
    read_store: Engine,
    /// Locked as long as it is open.
    _lock: File,
}

/// Where the platform that serves a data directory is found. Readable by its owner only.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// Its address.
    pub url: String,
    /// What the operator's commands present. Drawn anew at every start.
    pub operator_token: String,
    /// The process: for who started it, and must not take the note of one that was killed before it for its own.
    #[serde(default)]
    pub pid: u32,
}

const RUN: &str = "run.json";
const LOCK: &str = "lock";

impl DataDir {
    /// Takes the directory, making it if need be.
    pub(super) fn take(path: &Path) -> Result<Self, StartError> {
        let fault = |error: std::io::Error| StartError::DataDir { path: path.to_owned(), cause: error.to_string() };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(fault)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join(LOCK))
            .map_err(fault)?;
        lock.try_lock().map_err(|_| StartError::InUse { path: path.to_owned() })?;
        // What a process that was killed left behind would send others to an address where nobody is.
        let _ = fs::remove_file(path.join(RUN));
        Ok(Self { path: path.to_owned(), read_store: Engine::default(), _lock: lock })
    }

    /// With read models that this engine keeps.
    pub(super) fn with_read_store(mut self, engine: Engine) -> Self {
        self.read_store = engine;
        self
    }

    /// What keeps the read models.
    pub(super) fn read_store(&self) -> Engine {
        self.read_store
    }

    /// A folder in it, made if need be.
    pub(super) fn folder(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A tenant's folder.
    pub(super) fn tenant(&self, tenant: &TenantId) -> PathBuf {
        self.path.join("tenants").join(tenant.as_str())
    }

    /// Where a tenant's folder is made before it is there. Its name is no tenant's.
    pub(super) fn aside(&self, tenant: &TenantId) -> PathBuf {
        self.path.join("tenants").join(format!(".{tenant}"))
    }

    /// The tenants that were created here, by their folders.
    pub(super) fn tenants(&self) -> Result<Vec<TenantId>, StartError> {
        self.names_in(&self.path.join("tenants"))
    }

    /// Remembers that a tenant is there. Called last when one is created.
    pub(super) fn remember_tenant(&self, tenant: &TenantId) -> Result<(), StartError> {
        self.make_durably(&self.tenant(tenant))
    }

    /// Remembers that a study's journal stream is there, so that it is missed if it goes.
    pub(super) fn remember_study(&self, tenant: &TenantId, study: &StudyId) -> Result<(), StartError> {
        self.make_durably(&self.studies_folder(tenant).join(study.as_str()))
    }

    /// The studies of a tenant that were created here.
    pub(super) fn studies(&self, tenant: &TenantId) -> Result<Vec<StudyId>, StartError> {
        self.names_in(&self.studies_folder(tenant))
    }

    fn studies_folder(&self, tenant: &TenantId) -> PathBuf {
        self.tenant(tenant).join("studies")
    }

    fn make_durably(&self, path: &Path) -> Result<(), StartError> {
        let fault = |error: std::io::Error| StartError::DataDir { path: path.to_owned(), cause: error.to_string() };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(fault)?;
        for folder in path.ancestors().take_while(|folder| folder.starts_with(&self.path)) {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(fault)?;
        }
        Ok(())
    }

    /// The entries of a folder whose names are valid ids; none if there is no such folder.
    fn names_in<T: FromStr + Ord>(&self, folder: &Path) -> Result<Vec<T>, StartError> {
        let fault = |error: std::io::Error| StartError::DataDir { path: folder.to_owned(), cause: error.to_string() };
        if !folder.exists() {
            return Ok(Vec::new());
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).map_err(fault)? {
            let name = entry.map_err(fault)?.file_name();
            names.extend(name.to_str().and_then(|name| name.parse().ok()));
        }
        names.sort();
        Ok(names)
    }

    /// Remembers that the whole record of a tenant was read, and how many damages were found.
    pub(super) fn remember_verified(&self, tenant: &TenantId, verified: &Verified) -> std::io::Result<()> {
        let (path, aside) = (self.tenant(tenant).join(VERIFIED), self.tenant(tenant).join(".verified"));
        fs::write(&aside, serde_json::to_vec(verified).expect("plain data"))?;
        fs::rename(aside, path)
    }

    /// When the whole record of a tenant was last read; none: never, as far as this folder knows.
    pub(super) fn verified(&self, tenant: &TenantId) -> Option<Verified> {
        serde_json::from_slice(&fs::read(self.tenant(tenant).join(VERIFIED)).ok()?).ok()
    }

    /// Says where this process is found.
    pub(super) fn announce(&self, run: &Run) -> Result<(), StartError> {
        let fault = |error: std::io::Error| StartError::DataDir { path: self.path.clone(), cause: error.to_string() };
        let mut file =
            OpenOptions::new().create_new(true).write(true).mode(0o600).open(self.path.join(RUN)).map_err(fault)?;
        let text = serde_json::to_vec(run).expect("plain data");
        file.write_all(&text).map_err(fault)
    }
}

/// When the whole record of a tenant was last read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Verified {
    pub(super) at: domain::Moment,
    pub(super) damaged: u64,
}

/// Where that stands in a tenant's folder.
const VERIFIED: &str = "verified.json";

impl Drop for DataDir {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.path.join(RUN));
    }
}

/// Whether a platform was ever started on `data_dir`.
pub(super) fn is_platform(data_dir: &Path) -> bool {
    data_dir.join(LOCK).exists()
}

/// The platform that serves `data_dir` right now, if one does.
pub fn running(data_dir: &Path) -> Option<Run> {
    let lock = File::open(data_dir.join(LOCK)).ok()?;
    // A process that was killed leaves its note behind, but not its lock.
    if lock.try_lock().is_ok() {
        return None;
    }
    serde_json::from_slice(&fs::read(data_dir.join(RUN)).ok()?).ok()
}
