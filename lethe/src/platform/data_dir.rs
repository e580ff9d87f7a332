//! The data directory: one platform at a time, and where to find the one that serves it.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use domain::ids::TenantId;
use serde::{Deserialize, Serialize};

use super::StartError;

/// A data directory that this process alone uses.
pub(super) struct DataDir {
    path: PathBuf,
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
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// A folder in it, made if need be.
    pub(super) fn folder(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A tenant's folder.
    pub(super) fn tenant(&self, tenant: &TenantId) -> PathBuf {
        self.path.join("tenants").join(tenant.as_str())
    }

    /// The tenants that were created here, by their folders.
    pub(super) fn tenants(&self) -> Result<Vec<TenantId>, StartError> {
        let fault = |error: std::io::Error| StartError::DataDir { path: self.path.clone(), cause: error.to_string() };
        let folder = self.path.join("tenants");
        if !folder.exists() {
            return Ok(Vec::new());
        }
        let mut tenants = Vec::new();
        for entry in fs::read_dir(folder).map_err(fault)? {
            let name = entry.map_err(fault)?.file_name();
            tenants.extend(name.to_str().and_then(|name| name.parse().ok()));
        }
        tenants.sort();
        Ok(tenants)
    }

    /// Remembers that a tenant is there. Called last when one is created.
    pub(super) fn remember(&self, tenant: &TenantId) -> Result<(), StartError> {
        let path = self.tenant(tenant);
        let fault = |error: std::io::Error| StartError::DataDir { path: path.clone(), cause: error.to_string() };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(fault)?;
        File::open(self.path.join("tenants")).and_then(|folder| folder.sync_all()).map_err(fault)
    }

    /// Says where this process is found.
    pub(super) fn announce(&self, run: &Run) -> Result<(), StartError> {
        let fault = |error: std::io::Error| StartError::DataDir { path: self.path.clone(), cause: error.to_string() };
        let _ = fs::remove_file(self.path.join(RUN));
        let mut file =
            OpenOptions::new().create_new(true).write(true).mode(0o600).open(self.path.join(RUN)).map_err(fault)?;
        let text = serde_json::to_vec(run).expect("plain data");
        file.write_all(&text).map_err(fault)
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.path.join(RUN));
    }
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
