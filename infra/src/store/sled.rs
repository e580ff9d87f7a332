//! The read store on sled 0.34: one database a tenant, one tree a table.
//!
//! sled is no durability barrier: its flush calls `sync_file_range`, never `fsync`. What it keeps in memory grows with the
//! store: a record of every page, and up to 64 pages in each of the 256 parts of its cache before that counts one of them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use domain::port::{Change, Failure, ReadStore, Row};
use sled::{Batch, Config, Db, Tree};

use super::redb::FILE as OTHER;
use super::{FORMAT, FORMAT_KEY, Opening, Trouble, failed, open_or_set_aside};

/// Memory that sled may use for pages, in bytes, as far as it counts them.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;

/// The read models of one tenant.
#[derive(Debug, Clone)]
pub struct SledStore {
    db: Db,
    dir: PathBuf,
}

impl SledStore {
    /// Opens the store in `dir`, or makes one.
    ///
    /// # Errors
    /// `Unavailable` when neither works: the folder cannot be written, or another process holds the store.
    pub fn open(dir: &Path) -> Result<(Self, Opening), Failure> {
        let (db, opening) = open_or_set_aside(dir, database)?;
        Ok((Self { db, dir: dir.to_owned() }, opening))
    }

    fn tree(&self, table: &str) -> Result<Tree, Failure> {
        self.db.open_tree(table).map_err(|error| self.failed(table, &error))
    }

    fn failed(&self, table: &str, error: &sled::Error) -> Failure {
        failed(&self.dir, table, trouble(error))
    }
}

/// Opens or makes the database, and sees that it is ours.
fn database(dir: &Path) -> Result<(Db, Opening), Trouble> {
    if dir.join(OTHER).exists() {
        return Err(Trouble::Damaged("it is kept by another engine".to_owned()));
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
