//! The read store: one folder a tenant, on one of two embedded engines behind the same port.
//!
//! - `redb`: what serves unless something else is asked for. Its memory is bounded by its cache.
//! - `sled`: sled 0.34, for whoever wants it. Its memory grows with the store: see docs/adr/0033.
//!
//! Nothing that cannot be rebuilt lives here. A store that does not open is set aside, and so is one of the other engine.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use domain::port::{Failure, ReadStore};

mod redb;
mod sled;

pub use self::redb::RedbStore;
pub use self::sled::SledStore;

/// What says that the database is ours, and in which layout.
const FORMAT_KEY: &str = "format";
const FORMAT: &str = "lethe-read-store-1";

/// A file in the store's folder that says: found corrupt while it served; do not open it again.
const DAMAGED: &str = "lethe-damaged";

/// What keeps the rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Engine {
    /// redb: a B-tree in one file, with checksums.
    #[default]
    Redb,
    /// sled 0.34.
    Sled,
}

impl Engine {
    /// Each of them.
    pub const ALL: [Self; 2] = [Self::Redb, Self::Sled];
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redb => "redb",
            Self::Sled => "sled",
        })
    }
}

impl FromStr for Engine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|engine| engine.to_string() == text);
        found.ok_or_else(|| "a read store is kept by `redb` or by `sled`".to_owned())
    }
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

/// Opens the store in `dir`, or makes one.
///
/// # Errors
/// `Unavailable` when neither works: the folder cannot be written, or another process holds the store.
pub fn open(engine: Engine, dir: &Path) -> Result<(Arc<dyn ReadStore>, Opening), Failure> {
    Ok(match engine {
        Engine::Redb => {
            let (store, opening) = RedbStore::open(dir)?;
            (Arc::new(store), opening)
        }
        Engine::Sled => {
            let (store, opening) = SledStore::open(dir)?;
            (Arc::new(store), opening)
        }
    })
}

/// Opens what is in `dir`; what does not open is set aside first.
fn open_or_set_aside<T>(
    dir: &Path,
    database: impl Fn(&Path) -> Result<(T, Opening), Trouble>,
) -> Result<(T, Opening), Failure> {
    let whole = |dir: &Path| match dir.join(DAMAGED).exists() {
        true => Err(Trouble::Damaged("it was found corrupt while it served".to_owned())),
        false => database(dir),
    };
    match whole(dir) {
        Ok(opened) => Ok(opened),
        Err(Trouble::Unavailable(cause)) => Err(Failure::unavailable("the read store", cause)),
        Err(Trouble::Damaged(cause)) => {
            let aside = set_aside(dir)?;
            tracing::error!(
                cause,
                path = %aside.display(),
                "the read store does not open: it is set aside and will be built again from the journal"
            );
            let (db, _) = database(dir).map_err(|trouble| match trouble {
                Trouble::Damaged(cause) | Trouble::Unavailable(cause) => Failure::unavailable("the read store", cause),
            })?;
            Ok((db, Opening::SetAside(aside)))
        }
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

/// What a trouble with a table that serves is told as. One that is damaged is not opened again.
fn failed(dir: &Path, table: &str, trouble: Trouble) -> Failure {
    match trouble {
        Trouble::Damaged(_) => {
            // Whether or not this can be written: the failure says what to do.
            if let Err(error) = std::fs::write(dir.join(DAMAGED), table) {
                tracing::error!(%error, "the damaged read store could not be marked");
            }
            let detail = "the store says that it is corrupt: start again, and it is set aside and built anew";
            Failure::damaged(format!("the table {table} of the read store"), detail)
        }
        Trouble::Unavailable(cause) => Failure::unavailable("the read store", cause),
    }
}

#[cfg(test)]
mod tests;
