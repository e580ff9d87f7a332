//! A small disk of its own for a folder, which can be full.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cli::CliError;

const FILLER: &str = ".filler";

/// A tmpfs at a folder. What it holds is copied to the folder itself when this is dropped.
pub(super) struct Disk {
    path: PathBuf,
    filler: Option<File>,
}

impl Disk {
    /// Mounts one.
    ///
    /// # Errors
    /// It is not allowed: only root may mount.
    pub(super) fn mount(path: &Path, megabytes: u32) -> Result<Self, CliError> {
        std::fs::create_dir_all(path).map_err(|error| CliError::failed(path.display(), error))?;
        let size = format!("size={megabytes}m,mode=0700");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "lethe-soak"])
            .arg(path)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| CliError::unavailable(format!("full disks need `mount`: {error}")))?;
        if mounted.status.success() {
            return Ok(Self { path: path.to_owned(), filler: None });
        }
        let said = String::from_utf8_lossy(&mounted.stderr);
        Err(CliError::unavailable(format!("full disks need the right to mount a tmpfs: {}", said.trim())))
    }

    /// Takes all that is left of it. Called again, what became free meanwhile.
    pub(super) fn fill(&mut self) -> Result<(), CliError> {
        let failed = |error: std::io::Error| CliError::failed("the filler", error);
        if self.filler.is_none() {
            self.filler = Some(File::create(self.path.join(FILLER)).map_err(failed)?);
        }
        let Some(filler) = &mut self.filler else { return Ok(()) };
        for piece in [1 << 20, 4096] {
            let zeros = vec![0_u8; piece];
            loop {
                match filler.write(&zeros) {
                    Ok(1..) => {}
                    Ok(0) => break,
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => return Err(failed(error)),
                }
            }
        }
        Ok(())
    }

    /// Gives it back.
    pub(super) fn free(&mut self) -> Result<(), CliError> {
        self.filler = None;
        std::fs::remove_file(self.path.join(FILLER)).map_err(|error| CliError::failed("the filler", error))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.path.join(FILLER));
        let mut aside = self.path.as_os_str().to_owned();
        aside.push(".was");
        // What is wrong must be there to be looked at.
        let script = "cp -a \"$1\" \"$2\"; umount --lazy \"$1\" && rmdir \"$1\" && mv \"$2\" \"$1\"";
        let _ = Command::new("/bin/sh")
            .args(["-c", script, "lethe-soak"])
            .args([self.path.as_os_str(), &aside])
            .stdin(Stdio::null())
            .status();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::random_id;

    #[test]
    fn a_full_disk_takes_nothing_until_it_is_freed_and_keeps_what_it_held() {
        let path = std::env::temp_dir().join(format!("lethe-disk-{}", random_id().simple()));
        let mut disk = match Disk::mount(&path, 4) {
            Ok(disk) => disk,
            Err(error) => return eprintln!("skipped: {error}"),
        };
        std::fs::write(path.join("before"), b"kept").unwrap();
        disk.fill().unwrap();
        let refused = std::fs::write(path.join("file"), [7; 8192]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::StorageFull);
        disk.free().unwrap();
        std::fs::write(path.join("file"), [7; 8192]).unwrap();
        drop(disk);
        assert_eq!(std::fs::read(path.join("before")).unwrap(), b"kept");
        assert!(!path.join(FILLER).exists());
        std::fs::remove_dir_all(&path).unwrap();
    }
}
