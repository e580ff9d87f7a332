//! The read store on sled 0.34: one database a tenant, one tree a table.
//!
//! sled is no durability barrier (its flush calls `sync_file_range`, never `fsync`) and may corrupt, so nothing that
//! cannot be rebuilt lives here. A store that does not open is set aside and built anew.

use std::path::{Path, PathBuf};

use domain::port::{Change, Failure, ReadStore, Row};
use sled::{Batch, Config, Db, Tree};

/// Memory that sled may use for pages, in bytes.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;

/// The read models of one tenant.
#[derive(Debug, Clone)]
pub struct SledStore(Db);

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

impl SledStore {
    /// Opens the store in `dir`, or makes one.
    ///
    /// # Errors
    /// When neither works: the folder cannot be written, or another process holds the store.
    pub fn open(dir: &Path) -> Result<(Self, Opening), Failure> {
        let existed = dir.exists();
        match database(dir) {
            Ok(db) if existed && db.was_recovered() => Ok((Self(db), Opening::Existing)),
            Ok(db) => Ok((Self(db), Opening::Fresh)),
            Err(sled::Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                Err(Failure::unavailable("the read store", error))
            }
            Err(error) => {
                let aside = set_aside(dir)?;
                tracing::error!(%error, path = %aside.display(), "the read store does not open: set aside, to be rebuilt");
                let db = database(dir).map_err(|error| Failure::unavailable("the read store", error))?;
                Ok((Self(db), Opening::SetAside(aside)))
            }
        }
    }

    fn tree(&self, table: &str) -> Result<Tree, Failure> {
        self.0.open_tree(table).map_err(|error| failed(table, &error))
    }
}

fn database(dir: &Path) -> Result<Db, sled::Error> {
    Config::default().path(dir).cache_capacity(CACHE_BYTES).open()
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

fn failed(table: &str, error: &sled::Error) -> Failure {
    match error {
        sled::Error::Corruption { .. } => Failure::damaged(format!("read model {table}"), "the store says it is corrupt: rebuild it"),
        other => Failure::unavailable("the read store", other),
    }
}

impl ReadStore for SledStore {
    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        let found = self.tree(table)?.get(key).map_err(|error| failed(table, &error))?;
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
            .map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec())).map_err(|error| failed(table, &error)))
            .collect()
    }

    fn apply(&self, table: &str, changes: &[Change]) -> Result<(), Failure> {
        let mut batch = Batch::default();
        for change in changes {
            match change {
                Change::Put { key, value } => batch.insert(key.as_slice(), value.as_slice()),
                Change::Delete { key } => batch.remove(key.as_slice()),
            }
        }
        self.tree(table)?.apply_batch(batch).map_err(|error| failed(table, &error))
    }

    fn drop_table(&self, table: &str) -> Result<(), Failure> {
        self.0.drop_tree(table).map(drop).map_err(|error| failed(table, &error))
    }
}
