//! The files of an export: readable by their owner only, never over another file, gone again if the export fails.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use exchange::manifest::{FileEntry, Hashed};

use crate::cli::CliError;

/// A file that is being written.
pub(super) type Written = Hashed<BufWriter<File>>;

/// Where the files go. Dropped before [`Folder::keep`], it takes those that it made away again.
pub(super) struct Folder {
    dir: PathBuf,
    made: Vec<PathBuf>,
}

impl Folder {
    /// A folder that is there already, and has no file of these names.
    pub(super) fn open(dir: &Path, names: &[String]) -> Result<Self, CliError> {
        if !dir.is_dir() {
            return Err(CliError::input(format!("{} is no folder: make it first", dir.display())));
        }
        match names.iter().map(|name| dir.join(name)).find(|path| path.symlink_metadata().is_ok()) {
            Some(path) => Err(CliError::conflict(format!("{} is there already: nothing was written", path.display()))),
            None => Ok(Self { dir: dir.to_owned(), made: Vec::new() }),
        }
    }

    /// A new file.
    pub(super) fn create(&mut self, name: &str) -> Result<Written, CliError> {
        let path = self.dir.join(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(|error| CliError::failed(path.display(), error))?;
        self.made.push(path);
        Ok(Hashed::new(BufWriter::new(file)))
    }

    /// The file is whole.
    pub(super) fn close(&self, file: Written, name: &str, kind: &str, records: u64) -> Result<FileEntry, CliError> {
        let (file, entry) = file.finish(name, kind, records);
        let failed = |error: io::Error| CliError::failed(self.dir.join(name).display(), error);
        file.into_inner().map_err(|error| failed(error.into_error()))?.sync_all().map_err(failed)?;
        Ok(entry)
    }

    /// The files stay.
    pub(super) fn keep(mut self) {
        self.made.clear();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        for path in &self.made {
            if let Err(error) = std::fs::remove_file(path) {
                note!("{} is not whole and could not be taken away: {error}", path.display());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    fn folder() -> PathBuf {
        let dir = std::env::temp_dir().join(format!("export-{}", crate::platform::random_id()));
        std::fs::create_dir(&dir).expect("makes a folder");
        dir
    }

    #[test]
    fn only_the_owner_reads_a_file_and_none_is_overwritten() {
        let dir = folder();
        let mut files = Folder::open(&dir, &["a.csv".into()]).expect("opens");
        let mut file = files.create("a.csv").expect("creates");
        file.write_all(b"x").expect("writes");
        assert_eq!(files.close(file, "a.csv", "text/csv", 1).expect("closes").bytes, 1);
        files.keep();
        let mode = std::fs::metadata(dir.join("a.csv")).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = Folder::open(&dir, &["a.csv".into()]).err().expect("is refused");
        assert_eq!(again.code(), 3, "{again}");
        assert_eq!(Folder::open(&dir.join("b"), &[]).err().expect("is refused").code(), 2);
        std::fs::remove_dir_all(dir).expect("cleans up");
    }

    #[test]
    fn what_a_failed_export_wrote_is_taken_away() {
        let dir = folder();
        let mut files = Folder::open(&dir, &[]).expect("opens");
        files.create("a.csv").expect("creates");
        assert!(dir.join("a.csv").exists());
        drop(files);
        assert!(!dir.join("a.csv").exists());
        std::fs::remove_dir_all(dir).expect("cleans up");
    }
}
