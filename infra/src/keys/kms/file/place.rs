//! Where the KMS folder may lie.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Why a folder is not taken for the KMS.
#[derive(Debug, thiserror::Error)]
pub enum KmsDirError {
    /// It is inside the data folder.
    #[error(
        "the KMS folder lies inside the data folder, so every copy of the data would be a copy of the root keys: \
         choose a folder outside"
    )]
    Inside,
    /// It cannot be found out where it is.
    #[error("cannot find out where the KMS folder lies")]
    Unclear(#[from] io::Error),
}

/// Refuses a KMS folder inside the data folder: a copy of the data must not be a copy of the roots.
///
/// # Errors
/// If it is inside, or if that cannot be found out.
pub fn refuse_inside(data_dir: &Path, kms_dir: &Path) -> Result<(), KmsDirError> {
    if real_path(kms_dir)?.starts_with(real_path(data_dir)?) { Err(KmsDirError::Inside) } else { Ok(()) }
}

/// Where a path really leads, even if its last steps do not exist yet.
fn real_path(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    match fs::canonicalize(&path) {
        Ok(real) => Ok(real),
        // A link that leads nowhere yet may lead inside later.
        Err(error) if path.is_symlink() => Err(error),
        Err(error) if error.kind() == ErrorKind::NotFound => match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => Ok(real_path(parent)?.join(name)),
            _ => Err(error),
        },
        Err(error) => Err(error),
    }
}
