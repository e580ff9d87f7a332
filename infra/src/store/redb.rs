//! The read store on redb: one file a tenant, one table a table.
//!
//! What is applied is seen at once and reaches the disk within [`DURABLE_EVERY`], with everything before it and in that
//! order: a crash may take the last moments back, rows and checkpoints together. When it is opened, the checksum of every
//! page is looked at.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use domain::port::{Change, Failure, ReadStore, Row};
use redb::{
    Builder, Database, Durability, ReadableDatabase as _, TableDefinition, TableError, TransactionError,
    WriteTransaction,
};
use tokio::runtime::{Handle, RuntimeFlavor};

use super::{FORMAT, FORMAT_KEY, Opening, Trouble, failed, open_or_set_aside};

/// The file in the store's folder.
pub(super) const FILE: &str = "rows.redb";

/// Memory for pages that were read or wait to be written, in bytes.
const CACHE_BYTES: usize = 32 * 1024 * 1024;

/// How long what was applied may wait for the disk.
const DURABLE_EVERY: Duration = Duration::from_secs(1);

/// What says whose file it is. No table of a read model has such a name.
const ABOUT: &str = "!about";

/// A table's rows.
type Rows<'a> = TableDefinition<'a, &'static [u8], &'static [u8]>;

/// The database. After a failure of the disk redb does nothing any more until it is opened anew.
#[derive(Debug)]
struct Held {
    /// None only while it is opened anew, or if that failed.
    open: RwLock<Option<Database>>,
    has_failed: AtomicBool,
}

impl Held {
    /// Works with the database, unless it has failed.
    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, redb::Error> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let db = open.as_ref().filter(|_| !self.has_failed.load(Ordering::SeqCst)).ok_or(redb::Error::PreviousIo)?;
        let done = work(db);
        if let Err(error @ (redb::Error::Io(_) | redb::Error::PreviousIo)) = &done
            && !self.has_failed.swap(true, Ordering::SeqCst)
        {
            tracing::error!(%error, "the disk of the read store failed");
        }
        done
    }
}

/// The read models of one tenant.
#[derive(Debug)]
pub struct RedbStore {
    db: Arc<Held>,
    dir: PathBuf,
    /// Told that something waits for the disk. Taken away to end the thread that listens.
    written: Option<Sender<()>>,
    syncing: Option<JoinHandle<()>>,
}

impl RedbStore {
    /// Opens the store in `dir`, or makes one.
    ///
    /// # Errors
    /// `Unavailable` when neither works: the folder cannot be written, or another process holds the store.
    pub fn open(dir: &Path) -> Result<(Self, Opening), Failure> {
        let (db, opening) = open_or_set_aside(dir, database)?;
        let db = Held { open: RwLock::new(Some(db)), has_failed: AtomicBool::new(false) };
        let (db, (written, waiting)) = (Arc::new(db), channel());
        let syncing = std::thread::Builder::new().name("read-store".to_owned()).spawn({
            let db = Arc::clone(&db);
            move || sync_now_and_then(&db, &waiting)
        });
        let syncing = Some(syncing.map_err(|error| Failure::unavailable("the read store", error))?);
        Ok((Self { db, dir: dir.to_owned(), written: Some(written), syncing }, opening))
    }

    fn failed(&self, table: &str, error: impl Into<redb::Error>) -> Failure {
        failed(&self.dir, table, trouble(error))
    }

    /// Reads a table; none: there is no such table.
    fn read<T>(
        &self,
        table: &str,
        read: impl FnOnce(&redb::ReadOnlyTable<&'static [u8], &'static [u8]>) -> Result<T, redb::StorageError>,
    ) -> Result<Option<T>, Failure> {
        let found = self.db.with(|db| match db.begin_read()?.open_table(Rows::new(table)) {
            Ok(rows) => Ok(Some(read(&rows)?)),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        });
        found.map_err(|error| self.failed(table, error))
    }

    /// Carries out a change, whole or not at all.
    fn write(
        &self,
        table: &str,
        change: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), Failure> {
        let carried_out = self.db.with(|db| {
            let mut writing = begin(db)?;
            writing.set_durability(Durability::None)?;
            change(&writing)?;
            Ok(writing.commit()?)
        });
        carried_out.map_err(|error| self.failed(table, error))?;
        if let Some(written) = &self.written {
            // The other end goes only with this one.
            let _ = written.send(());
        }
        Ok(())
    }
}

/// What was applied last is written down before the file is closed.
impl Drop for RedbStore {
    fn drop(&mut self) {
        self.written.take();
        if let Some(syncing) = self.syncing.take()
            && syncing.join().is_err()
        {
            tracing::error!(
                "what keeps the read store on disk has panicked: the read models catch up at the next start"
            );
        }
    }
}

fn change_rows(writing: &WriteTransaction, table: &str, changes: &[Change]) -> Result<(), redb::Error> {
    let mut rows = writing.open_table(Rows::new(table))?;
    for change in changes {
        match change {
            Change::Put { key, value } => rows.insert(key.as_slice(), value.as_slice())?,
            Change::Delete { key } => rows.remove(key.as_slice())?,
        };
    }
    Ok(())
}

/// Begins to write as soon as nobody else does. While the disk is waited for, other tasks get another thread.
fn begin(db: &Database) -> Result<WriteTransaction, TransactionError> {
    match db.try_begin_write() {
        Err(TransactionError::WouldBlock) => {}
        begun => return begun,
    }
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(|| db.begin_write()),
        Ok(_) | Err(_) => db.begin_write(),
    }
}

/// Brings what was applied to the disk, until nobody applies anything any more.
fn sync_now_and_then(db: &Held, written: &Receiver<()>) {
    while written.recv().is_ok() {
        // Whatever comes meanwhile goes along.
        let last = is_gone_within(written, DURABLE_EVERY);
        if let Err(error) = db.with(sync) {
            tracing::error!(%error, "the read store was not brought to the disk");
        }
        if last {
            return;
        }
    }
}

fn sync(db: &Database) -> Result<(), redb::Error> {
    // A durable commit takes every one before it along.
    Ok(db.begin_write()?.commit()?)
}

/// Waits for so long, or until the other end goes away: whether it did.
fn is_gone_within(written: &Receiver<()>, time: Duration) -> bool {
    let began = Instant::now();
    loop {
        match written.recv_timeout(time.saturating_sub(began.elapsed())) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => return false,
            Err(RecvTimeoutError::Disconnected) => return true,
        }
    }
}

/// Opens or makes the database, and sees that it is ours.
fn database(dir: &Path) -> Result<(Database, Opening), Trouble> {
    let unavailable = |error: std::io::Error| Trouble::Unavailable(error.to_string());
    std::fs::create_dir_all(dir).map_err(unavailable)?;
    let file = dir.join(FILE);
    if !file.exists() && std::fs::read_dir(dir).map_err(unavailable)?.next().is_some() {
        return Err(Trouble::Damaged("it is kept by another engine, or is something else".to_owned()));
    }
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    // No damage should make it panic; if one does, the store can still be built again.
    let db = catch_unwind(AssertUnwindSafe(|| builder.create(&file)))
        .map_err(|_| Trouble::Damaged("redb panicked while it opened it".to_owned()))?
        .map_err(trouble)?;
    let opening = about(&db)?;
    Ok((db, opening))
}

/// Reads whose file it is, or says so in a new one.
fn about(db: &Database) -> Result<Opening, Trouble> {
    const FIRST: TableDefinition<'_, &str, &str> = TableDefinition::new(ABOUT);
    let reading = db.begin_read().map_err(trouble)?;
    match reading.open_table(FIRST) {
        Ok(about) => match about.get(FORMAT_KEY).map_err(trouble)? {
            Some(format) if format.value() == FORMAT => Ok(Opening::Existing),
            Some(_) | None => Err(Trouble::Damaged("it has another layout".to_owned())),
        },
        Err(TableError::TableDoesNotExist(_)) if reading.list_tables().map_err(trouble)?.next().is_none() => {
            let writing = db.begin_write().map_err(trouble)?;
            writing.open_table(FIRST).map_err(trouble)?.insert(FORMAT_KEY, FORMAT).map_err(trouble)?;
            writing.commit().map_err(trouble)?;
            Ok(Opening::Fresh)
        }
        Err(TableError::TableDoesNotExist(_)) => Err(Trouble::Damaged("it is a database of something else".to_owned())),
        Err(error) => Err(trouble(error)),
    }
}

fn trouble(error: impl Into<redb::Error>) -> Trouble {
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    match error.into() {
        redb::Error::Io(io) if !matches!(io.kind(), InvalidData | InvalidInput | UnexpectedEof) => {
            Trouble::Unavailable(io.to_string())
        }
        // Whoever holds it may be another process: never set such a store aside.
        error @ (redb::Error::DatabaseAlreadyOpen | redb::Error::PreviousIo | redb::Error::DatabaseClosed) => {
            Trouble::Unavailable(error.to_string())
        }
        error => Trouble::Damaged(error.to_string()),
    }
}

impl ReadStore for RedbStore {
    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        let found = self.read(table, |rows| Ok(rows.get(key)?.map(|value| value.value().to_vec())))?;
        Ok(found.flatten())
    }

    fn get_many(&self, table: &str, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, Failure> {
        let found = self.read(table, |rows| {
            let one = |key: &Vec<u8>| Ok(rows.get(key.as_slice())?.map(|value| value.value().to_vec()));
            keys.iter().map(one).collect::<Result<Vec<_>, redb::StorageError>>()
        })?;
        Ok(found.unwrap_or_else(|| vec![None; keys.len()]))
    }

    fn scan(&self, table: &str, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, Failure> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let from = match after {
            Some(after) if after >= prefix => Excluded(after),
            Some(_) | None => Included(prefix),
        };
        let found = self.read(table, |rows| {
            let mut found = Vec::new();
            for row in rows.range::<&[u8]>((from, Unbounded))?.take(limit) {
                let (key, value) = row?;
                if !key.value().starts_with(prefix) {
                    break;
                }
                found.push((key.value().to_vec(), value.value().to_vec()));
            }
            Ok(found)
        })?;
        Ok(found.unwrap_or_default())
    }

    fn apply(&self, table: &str, changes: &[Change]) -> Result<(), Failure> {
        self.write(table, |writing| change_rows(writing, table, changes))
    }

    fn apply_all(&self, tables: &[(String, Vec<Change>)]) -> Result<(), Failure> {
        let Some((first, _)) = tables.first() else { return Ok(()) };
        self.write(first, |writing| tables.iter().try_for_each(|(table, changes)| change_rows(writing, table, changes)))
    }

    fn drop_table(&self, table: &str) -> Result<(), Failure> {
        self.write(table, |writing| Ok(writing.delete_table(Rows::new(table)).map(drop)?))
    }

    fn is_closed(&self) -> bool {
        self.db.has_failed.load(Ordering::SeqCst)
    }

    fn open_again(&self) -> Result<(), Failure> {
        let mut open = self.db.open.write().unwrap_or_else(PoisonError::into_inner);
        if self.is_closed() {
            // The file is locked as long as the old one is there.
            *open = None;
            *open = Some(open_or_set_aside(&self.dir, database)?.0);
            self.db.has_failed.store(false, Ordering::SeqCst);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::SystemDice;
    use domain::port::Dice as _;

    /// What a full disk does to it is tried with real ones by `lethe soak --faults full-reads`.
    #[test]
    fn closed_by_its_disk_it_gives_nothing_until_it_is_opened_again() {
        let dir = std::env::temp_dir().join(format!("lethe-redb-{}", SystemDice.uuid()));
        let (store, _) = RedbStore::open(&dir).expect("opens");
        store.apply("t", &[Change::Put { key: b"a".into(), value: b"1".into() }]).expect("writes");
        let failed: Result<(), _> =
            store.db.with(|_| Err(std::io::Error::from(std::io::ErrorKind::StorageFull).into()));
        assert!(failed.is_err() && store.is_closed());
        for refused in [store.get("t", b"a").map(drop), store.apply("t", &[]), store.drop_table("t")] {
            assert!(matches!(refused, Err(Failure::Unavailable { .. })), "{refused:?}");
        }
        store.open_again().expect("opens again");
        assert!(!store.is_closed());
        store.apply("t", &[Change::Put { key: b"b".into(), value: b"2".into() }]).expect("writes");
        assert_eq!(store.get("t", b"b").expect("reads"), Some(b"2".to_vec()));
        drop(store);
        std::fs::remove_dir_all(&dir).expect("removed");
    }
}
