//! The judges: public clients and validators in Python, of pinned versions, installed once into the user's cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use sha2::{Digest, Sha256};

const REQUIREMENTS: &str = include_str!("judges/requirements.txt");

/// Two tests must not install at once.
static INSTALLING: Mutex<()> = Mutex::new(());

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The schemas that lie beside the project.
pub(crate) fn schemas() -> Option<PathBuf> {
    let path = package().parent()?.parent()?.join("shared/schemas");
    path.exists().then_some(path)
}

/// Has a judge look. Skipped by name, on a machine that is not CI, where the judges cannot be installed.
pub(crate) fn judge(test: &str, arguments: &[&str]) {
    let packages = match installed() {
        Ok(packages) => packages,
        Err(reason) if std::env::var_os("CI").is_some() => panic!("{test} needs its judges: {reason}"),
        Err(reason) => return println!("skipped: {test} (the judges cannot be installed: {reason})"),
    };
    let output = Command::new("python3")
        .arg(package().join("it/judges/judge.py"))
        .args(arguments)
        .env("SCHEMAS", schemas().unwrap_or_default())
        .env("PYTHONPATH", packages)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .output()
        .expect("python3 runs: it has just installed the judges");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// Where the judges are, installed if they are not.
fn installed() -> Result<PathBuf, String> {
    let _one = INSTALLING.lock().map_err(|error| error.to_string())?;
    let digest: String = Sha256::digest(REQUIREMENTS).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute()).or(home);
    let parent = cache.ok_or("there is neither HOME nor XDG_CACHE_HOME")?.join("lethe");
    let folder = parent.join(format!("judges-{digest}"));
    if folder.exists() {
        return Ok(folder);
    }
    fs::create_dir_all(&parent).map_err(|error| error.to_string())?;
    let fresh = parent.join(format!(".judges-{}", std::process::id()));
    let output = Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps"])
        .args(["--only-binary", ":all:", "--target"])
        .arg(&fresh)
        .arg("-r")
        .arg(package().join("it/judges/requirements.txt"))
        .env("PIP_USER", "0")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("python3: {error}"))?;
    let done = output.status.success() && fresh.join("rwslib").exists();
    // Whoever is first wins: another installation is as good as ours.
    if !done || fs::rename(&fresh, &folder).is_err() {
        let _ = fs::remove_dir_all(&fresh);
    }
    folder.exists().then_some(folder).ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())
}
