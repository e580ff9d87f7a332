//! Files that are for their owner only, durable when written, and overwritten when destroyed.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use domain::port::Failure;

use crate::chance::fill_random;

pub(super) const KEY_LENGTH: usize = 32;
pub(super) const FILE_LENGTH: usize = KEY_LENGTH + 32;

pub(super) fn cannot(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::unavailable("file KMS", format!("cannot {what} {}: {error}", path.display()))
}

/// Creates a folder and its parents, each durable in its own parent.
pub(super) fn create_folder(folder: &Path) -> Result<(), Failure> {
    let failed = |error: io::Error| cannot("create", folder, &error);
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    folder
        .ancestors()
        .skip(1)
        .take(3)
        .filter(|parent| !parent.as_os_str().is_empty())
        .try_for_each(sync_folder)
        .map_err(failed)
}

pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

pub(super) fn write_new(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(contents)?;
    file.sync_all()
}

pub(super) fn write_over(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(contents)?;
    file.sync_all()
}

/// Overwrites in place, never by a new file: the old sectors are what must go.
pub(super) fn overwrite_and_unlink(path: &Path) -> io::Result<()> {
    let mut file = match OpenOptions::new().write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut noise = [0; FILE_LENGTH];
    fill_random(&mut noise);
    file.write_all(&noise)?;
    file.sync_all()?;
    fs::remove_file(path)
}
