//! The read store on sled 0.34: one database a tenant, one tree a table.
//!
//! sled is no durability barrier (its flush calls `sync_file_range`, never `fsync`) and may corrupt, so nothing that
//! cannot be rebuilt lives here. A store that does not open is set aside and built anew.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use domain::port::{Change, Failure, ReadStore, Row};
use sled::{Batch, Config, Db, Tree};

/// Memory that sled may use for pages, in bytes.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;

/// What says that the database is ours, and in which layout.
const FORMAT_KEY: &str = "format";
const FORMAT: &str = "lethe-read-store-1";

/// A file in the store's folder that says: found corrupt while it served; do not open it again.
const DAMAGED: &str = "lethe-damaged";

/// The read models of one tenant.
#[derive(Debug, Clone)]
pub struct SledStore {
    db: Db,
    dir: PathBuf,
}

/// What was found where the store should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// Nothing: a new one was made.
    Fresh,
    /// The store.
    Existing,
    /// Something that does not open. It lies at this path now, and a new one was made.
    SetAside(PathBuf),
}

/// Why there is no store to be had from a folder.
enum Trouble {
    /// What is there is no store of ours, or a broken one.
    Damaged(String),
    /// It may be whole, but cannot be opened now: another process has it, the disk is full.
    Unavailable(String),
}

impl SledStore {
    /// Opens the store in `dir`, or makes one.
    ///
    /// # Errors
    /// `Unavailable` when neither works: the folder cannot be written, or another process holds the store.
    pub fn open(dir: &Path) -> Result<(Self, Opening), Failure> {
        match database(dir) {
            Ok((db, opening)) => Ok((Self { db, dir: dir.to_owned() }, opening)),
            Err(Trouble::Unavailable(cause)) => Err(Failure::unavailable("the read store", cause)),
            Err(Trouble::Damaged(cause)) => {
                let aside = set_aside(dir)?;
                tracing::error!(
                    cause,
                    path = %aside.display(),
                    "the read store does not open: it is set aside and will be built again from the journal"
                );
                let (db, _) = database(dir).map_err(|trouble| match trouble {
                    Trouble::Damaged(cause) | Trouble::Unavailable(cause) => {
                        Failure::unavailable("the read store", cause)
                    }
                })?;
                Ok((Self { db, dir: dir.to_owned() }, Opening::SetAside(aside)))
            }
        }
    }

    fn tree(&self, table: &str) -> Result<Tree, Failure> {
        self.db.open_tree(table).map_err(|error| self.failed(table, &error))
    }

    fn failed(&self, table: &str, error: &sled::Error) -> Failure {
        match trouble(error) {
            Trouble::Damaged(_) => {
                // Whether or not this can be written: the failure says what to do.
                if let Err(error) = std::fs::write(self.dir.join(DAMAGED), table) {
                    tracing::error!(%error, "the damaged read store could not be marked");
                }
                let detail = "the store says that it is corrupt: start again, and it is set aside and built anew";
                Failure::damaged(format!("the table {table} of the read store"), detail)
            }
            Trouble::Unavailable(cause) => Failure::unavailable("the read store", cause),
        }
    }
}

/// Opens or makes the database, and sees that it is ours.
fn database(dir: &Path) -> Result<(Db, Opening), Trouble> {
    if dir.join(DAMAGED).exists() {
        return Err(Trouble::Damaged("it was found corrupt while it served".to_owned()));
    }
    let config = Config::default().path(dir).cache_capacity(CACHE_BYTES);
    // On some damage sled panics instead of saying so.
    let db = catch_unwind(AssertUnwindSafe(|| config.open()))
        .map_err(|_| Trouble::Damaged("sled panicked while it opened it".to_owned()))?
        .map_err(|error| trouble(&error))?;
    match db.get(FORMAT_KEY).map_err(|error| trouble(&error))? {
        Some(format) if format.as_ref() == FORMAT.as_bytes() => Ok((db, Opening::Existing)),
        Some(_) => Err(Trouble::Damaged("it has another layout".to_owned())),
        // New; or killed before anything in it reached the disk; or damaged so that sled recovered nothing.
        None if db.is_empty() && db.tree_names().len() == 1 => {
            if db.was_recovered() {
                tracing::warn!("the read store was there and holds nothing: it will be built again from the journal");
            }
            db.insert(FORMAT_KEY, FORMAT).map_err(|error| trouble(&error))?;
            Ok((db, Opening::Fresh))
        }
        None => Err(Trouble::Damaged("it is a database of something else".to_owned())),
    }
}

fn trouble(error: &sled::Error) -> Trouble {
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    match error {
        // A lock that another process holds is an `Io` too: never set such a store aside.
        sled::Error::Io(io) if !matches!(io.kind(), InvalidData | InvalidInput | UnexpectedEof) => {
            Trouble::Unavailable(io.to_string())
        }
        _ => Trouble::Damaged(error.to_string()),
    }
}

/// Renames the folder to the first free `<dir>.damaged-<n>`.
fn set_aside(dir: &Path) -> Result<PathBuf, Failure> {
    let name = |n: u32| {
        let mut name = dir.as_os_str().to_owned();
        name.push(format!(".damaged-{n}"));
        PathBuf::from(name)
    };
    let free = (1..).map(name).find(|path| !path.exists()).expect("there are more numbers than folders");
    std::fs::rename(dir, &free).map_err(|error| Failure::unavailable("the read store", error))?;
    Ok(free)
}

impl ReadStore for SledStore {
    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        let found = self.tree(table)?.get(key).map_err(|error| self.failed(table, &error))?;
        Ok(found.map(|value| value.to_vec()))
    }

    fn scan(&self, table: &str, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, Failure> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let from = match after {
            Some(after) if after >= prefix => Excluded(after.to_vec()),
            Some(_) | None => Included(prefix.to_vec()),
        };
        let rows = self.tree(table)?.range((from, Unbounded::<Vec<u8>>));
        rows.take_while(|row| row.as_ref().map_or(true, |(key, _)| key.starts_with(prefix)))
            .take(limit)
            .map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec())))
            .collect::<Result<_, _>>()
            .map_err(|error| self.failed(table, &error))
    }

    fn apply(&self, table: &str, changes: &[Change]) -> Result<(), Failure> {
        let mut batch = Batch::default();
        for change in changes {
            match change {
                Change::Put { key, value } => batch.insert(key.as_slice(), value.as_slice()),
                Change::Delete { key } => batch.remove(key.as_slice()),
            }
        }
        self.tree(table)?.apply_batch(batch).map_err(|error| self.failed(table, &error))
    }

    fn drop_table(&self, table: &str) -> Result<(), Failure> {
        self.db.drop_tree(table).map(drop).map_err(|error| self.failed(table, &error))
    }
}

#[cfg(test)]
mod tests;
