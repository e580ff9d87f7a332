//! The note that a restore is under way: nothing is served while it lies there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;

use domain::ids::TenantId;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::super::StartError;
use super::super::data_dir::DataDir;
use super::Lost;

const NOTE: &str = "restoring";

/// What the journals became: noted when all of them are written back, for from then on they grow, and are signed, in
/// their next incarnation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Imported {
    pub(super) messages: u64,
    #[serde(with = "time::serde::rfc3339::option")]
    pub(super) signed_until: Option<OffsetDateTime>,
    pub(super) lost: Vec<Lost>,
    /// Where the backup of each journal ends.
    #[serde(default)]
    pub(super) ends: BTreeMap<String, u64>,
}

/// A restore under way.
pub(in crate::platform) struct RestoreNote {
    path: PathBuf,
    backup: String,
    imported: Option<Imported>,
}

impl RestoreNote {
    /// Begins a restore, or goes on with the one that was begun with the same backup.
    pub(super) fn begin(data_dir: &DataDir, tenant: &TenantId, backup: &str) -> Result<Self, StartError> {
        let refused = |detail: String| StartError::Refused { code: "restore-refused", detail };
        let (folder, wanted) = (data_dir.tenant(tenant), format!("{backup}\n"));
        let mut note = Self { path: folder.join(NOTE), backup: backup.to_owned(), imported: None };
        if let Ok(begun) = fs::read_to_string(&note.path) {
            let mut lines = begun.lines();
            let other = lines.next().unwrap_or_default();
            if other != backup {
                return Err(refused(format!(
                    "a restore of backup {other} was begun here: finish that one, or give an empty --data-dir"
                )));
            }
            note.imported = lines.next().and_then(|line| serde_json::from_str(line).ok());
            return Ok(note);
        }
        if folder.exists() {
            return Err(refused(format!("this data directory holds the tenant {tenant}: give an empty --data-dir")));
        }
        // Folder and note appear together: a tenant's folder without the note means that it may be served.
        let write = || {
            let aside = data_dir.aside(tenant);
            fs::create_dir_all(&aside)?;
            let mut file = File::create(aside.join(NOTE))?;
            file.write_all(wanted.as_bytes())?;
            file.sync_all()?;
            fs::rename(&aside, &folder)?;
            folder.parent().map_or(Ok(()), |tenants| File::open(tenants)?.sync_all())
        };
        write()
            .map_err(|error: std::io::Error| StartError::DataDir { path: folder.clone(), cause: error.to_string() })?;
        Ok(note)
    }

    /// What an interrupted run noted about the journals.
    pub(super) fn imported(&self) -> Option<&Imported> {
        self.imported.as_ref()
    }

    /// All journals are written back: a later run leaves them as they are.
    pub(super) fn note_imported(&mut self, imported: Imported) -> Result<(), StartError> {
        let fault = |error: std::io::Error| StartError::DataDir { path: self.path.clone(), cause: error.to_string() };
        let (aside, text) = (self.path.with_extension("new"), serde_json::to_string(&imported).expect("plain data"));
        let write = || {
            let mut file = File::create(&aside)?;
            file.write_all(format!("{}\n{text}\n", self.backup).as_bytes())?;
            file.sync_all()?;
            fs::rename(&aside, &self.path)?;
            self.path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
        };
        write().map_err(fault)?;
        tracing::trace!(target: "failpoint", at = "restore-imported");
        self.imported = Some(imported);
        Ok(())
    }

    /// Refuses a tenant whose restore was not finished.
    pub(in crate::platform) fn refuse_half(data_dir: &DataDir, tenant: &TenantId) -> Result<(), StartError> {
        let Ok(backup) = fs::read_to_string(data_dir.tenant(tenant).join(NOTE)) else {
            return Ok(());
        };
        let detail = format!(
            "the restore of tenant {tenant} from backup {} is not finished, so not every erasure is in force: run `lethe \
             restore` with the same words again",
            backup.lines().next().unwrap_or_default()
        );
        Err(StartError::Refused { code: "restore-not-finished", detail })
    }

    /// All is done: the tenant may be served.
    pub(super) fn end(self) -> Result<(), StartError> {
        tracing::trace!(target: "failpoint", at = "restore-before-end");
        let fault = |error: std::io::Error| StartError::DataDir { path: self.path.clone(), cause: error.to_string() };
        fs::remove_file(&self.path).map_err(fault)?;
        let folder = self.path.parent().map_or_else(PathBuf::new, PathBuf::from);
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(fault)
    }
}
