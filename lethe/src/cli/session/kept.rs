//! The session that the command line keeps: one file, for its owner alone.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::cli::CliError;

/// A session and the platform that it belongs to: it is sent nowhere else.
#[derive(Serialize, Deserialize)]
pub(in crate::cli) struct Kept {
    /// The platform's address.
    pub(in crate::cli) url: String,
    /// The session's secret.
    pub(in crate::cli) token: String,
}

impl Kept {
    /// The session that is kept, if there is one that reads.
    pub(in crate::cli) fn read() -> Option<Self> {
        serde_json::from_slice(&fs::read(file().ok()?).ok()?).ok()
    }

    /// Keeps it instead of the one before.
    pub(super) fn write(&self) -> Result<PathBuf, CliError> {
        let file = file()?;
        let failed = |error: std::io::Error| {
            CliError::failed(format!("the session cannot be kept in {}", file.display()), error)
        };
        let folder = file.parent().unwrap_or(&file);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        // Written aside and put in place, so that the file is never half, and never readable to others.
        let aside = file.with_extension(format!("{}.new", std::process::id()));
        let _ = fs::remove_file(&aside);
        let mut open = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&aside).map_err(failed)?;
        open.write_all(&serde_json::to_vec(self).expect("plain data")).map_err(failed)?;
        fs::rename(&aside, &file).map_err(failed)?;
        Ok(file)
    }

    /// Keeps it no more.
    pub(super) fn forget() -> Result<(), CliError> {
        match fs::remove_file(file()?) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(CliError::failed("the session is still kept", error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

fn file() -> Result<PathBuf, CliError> {
    let home = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    home("XDG_CONFIG_HOME")
        .or_else(|| home("HOME").map(|home| home.join(".config")))
        .map(|config| config.join("lethe/session.json"))
        .ok_or_else(|| CliError::input("no folder to keep a session in: set HOME or XDG_CONFIG_HOME, or use --print"))
}
