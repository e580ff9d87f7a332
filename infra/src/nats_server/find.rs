//! Finds a nats-server that is safe for a journal. Never installs anything.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::{NatsServerError, Skipped};
use super::version::Version;

/// Finds a usable nats-server: `LETHE_NATS_SERVER`, then PATH, then the user's cache folder.
///
/// Runs `nats-server --version` of each candidate, so it blocks for some milliseconds.
///
/// # Errors
/// When the variable names something unusable, or no place holds a usable one; the error lists each place and its reason.
pub fn locate() -> Result<PathBuf, NatsServerError> {
    Places::from_environment().find()
}

/// Where to look.
pub(super) struct Places {
    /// `LETHE_NATS_SERVER`.
    pub(super) named: Option<OsString>,
    /// `PATH`.
    pub(super) path: Option<OsString>,
    /// The folder that holds this version's installation, when the user has a cache folder.
    pub(super) installed: Option<PathBuf>,
}

impl Places {
    pub(super) fn from_environment() -> Self {
        Self {
            named: env::var_os("LETHE_NATS_SERVER"),
            path: env::var_os("PATH"),
            installed: cache_folder(env::var_os("XDG_CACHE_HOME"), env::var_os("HOME"))
                .map(|cache| cache.join("lethe").join("nats-server-2.15.1")),
        }
    }

    pub(super) fn find(&self) -> Result<PathBuf, NatsServerError> {
        if let Some(named) = &self.named {
            let candidate = Path::new(named);
            return usable(candidate)
                .map_err(|reason| NatsServerError::Named { place: format!("{}", candidate.display()), reason });
        }
        let mut looked = Vec::new();
        for candidate in self.on_path().into_iter().chain(self.installed.as_deref().map(binary_in)) {
            if !candidate.exists() {
                continue;
            }
            match usable(&candidate) {
                Ok(found) => return Ok(found),
                Err(reason) => looked.push(Skipped { place: candidate.display().to_string(), reason }),
            }
        }
        looked.extend(self.nothing_there());
        Err(NatsServerError::NotFound { looked })
    }

    fn on_path(&self) -> Vec<PathBuf> {
        let Some(path) = &self.path else { return Vec::new() };
        env::split_paths(path).map(|folder| folder.join("nats-server")).collect()
    }

    /// The places that held no candidate at all, so that the error names every place.
    fn nothing_there(&self) -> Vec<Skipped> {
        let mut empty = vec![Skipped { place: "LETHE_NATS_SERVER".into(), reason: "not set".into() }];
        if !self.on_path().iter().any(|candidate| candidate.exists()) {
            empty.push(Skipped { place: "PATH".into(), reason: "no nats-server in any of its folders".into() });
        }
        match &self.installed {
            Some(folder) if !binary_in(folder).exists() => {
                empty.push(Skipped { place: folder.display().to_string(), reason: "not installed there".into() });
            }
            Some(_) => {}
            None => empty.push(Skipped {
                place: "cache folder".into(),
                reason: "unknown, neither XDG_CACHE_HOME nor HOME is an absolute path".into(),
            }),
        }
        empty
    }
}

/// Where the binary lies within an installation folder.
pub(super) fn binary_in(folder: &Path) -> PathBuf {
    folder.join("bin").join("nats-server")
}

/// The absolute path of a candidate that may hold a journal, or why it may not.
pub(super) fn usable(candidate: &Path) -> Result<PathBuf, String> {
    let absolute = std::path::absolute(candidate).map_err(|error| error.to_string())?;
    let output = Command::new(&absolute)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot be run: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = Version::parse(&text).ok_or("does not answer --version as nats-server does")?;
    version.check().map(|()| absolute)
}

/// The user's cache folder: `XDG_CACHE_HOME`, otherwise `.cache` in the home folder. Relative paths are ignored.
pub(crate) fn cache_folder(xdg: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    xdg.and_then(absolute).or_else(|| home.and_then(absolute).map(|home| home.join(".cache")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nats_server::tests::Folder;

    /// A script that answers `--version` with this.
    fn fake(folder: &Path, answer: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        std::fs::create_dir_all(folder).unwrap();
        let file = folder.join("nats-server");
        std::fs::write(&file, format!("#!/bin/sh\necho '{answer}'\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        file
    }

    fn places(folder: &Folder, path: &[&str]) -> Places {
        let path = env::join_paths(path.iter().map(|name| folder.path().join(name))).unwrap();
        Places { named: None, path: Some(path), installed: Some(folder.path().join("cache")) }
    }

    #[test]
    fn the_first_usable_one_is_taken_and_old_ones_are_passed_over() {
        let folder = Folder::new();
        fake(&folder.path().join("old"), "nats-server: v2.10.1");
        let new = fake(&folder.path().join("new"), "nats-server: v2.15.1");
        let cached = fake(&folder.path().join("cache/bin"), "nats-server: v2.15.1");

        assert_eq!(places(&folder, &["old", "new"]).find().unwrap(), new);
        assert_eq!(places(&folder, &["old"]).find().unwrap(), cached);
        assert_eq!(places(&folder, &["empty"]).find().unwrap(), cached);
    }

    #[test]
    fn the_error_lists_every_place_and_its_reason() {
        let folder = Folder::new();
        let old = fake(&folder.path().join("old"), "nats-server: v2.10.1");
        let other = fake(&folder.path().join("other"), "something else");
        let message = places(&folder, &["old", "other"]).find().unwrap_err().to_string();

        for part in [
            format!("looked at {}: version 2.10.1 is too old, 2.14.6 or later is needed", old.display()),
            format!("looked at {}: does not answer --version", other.display()),
            format!("looked at {}: not installed there", folder.path().join("cache").display()),
            "looked at LETHE_NATS_SERVER: not set".to_owned(),
            "do this next: install nats-server 2.14.6 or later".to_owned(),
        ] {
            assert!(message.contains(&part), "{part:?} is missing in: {message}");
        }
    }

    #[test]
    fn a_named_one_is_used_or_is_an_error_but_never_passed_over() {
        let folder = Folder::new();
        let good = fake(&folder.path().join("good"), "nats-server: v2.14.6");
        let old = fake(&folder.path().join("old"), "nats-server: v2.15.0");
        let with = |named: &Path| Places { named: Some(named.into()), ..places(&folder, &["good"]) };

        assert_eq!(with(&good).find().unwrap(), good);
        let message = with(&old).find().unwrap_err().to_string();
        assert!(message.contains("version 2.15.0 can lose data"), "{message}");
        let message = with(Path::new("/nowhere/nats-server")).find().unwrap_err().to_string();
        assert!(message.contains("/nowhere/nats-server, which cannot be used: cannot be run"), "{message}");
    }

    #[test]
    fn the_cache_folder_is_the_users() {
        let cases = [
            (Some("/x"), Some("/home/u"), Some("/x")),
            (Some("relative"), Some("/home/u"), Some("/home/u/.cache")),
            (Some(""), Some("/home/u"), Some("/home/u/.cache")),
            (None, Some("/home/u"), Some("/home/u/.cache")),
            (None, None, None),
        ];
        for (xdg, home, expected) in cases {
            assert_eq!(cache_folder(xdg.map(Into::into), home.map(Into::into)), expected.map(PathBuf::from));
        }
    }
}
