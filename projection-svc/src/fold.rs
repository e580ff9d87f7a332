//! Takes commits into one table: loads the rows a projection asks for, applies, seals what changed, and writes rows
//! and checkpoint in one step, so that each commit counts once.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use domain::history::{Commit, DataSubject, JournalId};
use domain::port::{Cells, Change, Failure, ReadStore};
use domain::scope::Extent;

use crate::cells::{self, OpenRow, Place, SealedCells};
use crate::compare::{self, Comparison};
use crate::marker;
use crate::projection::{Lookup, Projection, Rows, Stop, Written};
use crate::row::RowKey;
use crate::tables::{self, Checkpoint};

/// Where read models live.
#[derive(Clone)]
pub struct Stores {
    /// The rows.
    pub store: Arc<dyn ReadStore>,
    /// The seal of their cells.
    pub cells: Arc<dyn Cells>,
}

/// A projection as the runner sees it.
#[async_trait]
pub trait Model: Send + Sync {
    /// Its name.
    fn name(&self) -> &'static str;

    /// The version of its rows.
    fn version(&self) -> u32;

    /// Begins to take commits of `journal` into `table`.
    fn fold(&self, stores: &Stores, table: String, journal: &JournalId) -> Result<Box<dyn Folding>, Failure>;

    /// Compares two tables row by row, opened.
    async fn compare(&self, stores: &Stores, live: &str, built: &str) -> Result<Comparison, Failure>;
}

/// Commits on their way into a table.
#[async_trait]
pub trait Folding: Send {
    /// Takes in one commit, in memory. One that the table has seen is skipped.
    async fn take(&mut self, commit: &Commit) -> Result<(), Failure>;

    /// What is to be written of what was taken in, and how far it goes: of which table, in one step. None: nothing that
    /// could not as well be taken in again. Nothing is taken in any more if it is not written.
    async fn changes(&mut self) -> Result<Option<(String, Vec<Change>)>, Failure>;

    /// Lets go of the rows in memory if they are more than so many bytes. Only once their changes are written.
    fn relieve(&mut self, bytes_max: usize);

    /// Writes what was taken in, and how far it goes, in one step. Nothing is taken in any more once that has failed.
    async fn flush(&mut self) -> Result<(), Failure>;
}

/// A projection as a [`Model`].
pub fn model<P: Projection>() -> Box<dyn Model> {
    Box::new(Of::<P>(PhantomData))
}

struct Of<P>(PhantomData<P>);

#[async_trait]
impl<P: Projection> Model for Of<P> {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn version(&self) -> u32 {
        P::VERSION
    }

    fn fold(&self, stores: &Stores, table: String, journal: &JournalId) -> Result<Box<dyn Folding>, Failure> {
        let checkpoint = tables::checkpoint(stores.store.as_ref(), &table, journal)?;
        Ok(Box::new(Fold::<P> {
            stores: stores.clone(),
            table,
            journal: journal.clone(),
            checkpoint,
            said: checkpoint.map_or(0, |checkpoint| checkpoint.sequence),
            rows: Loaded(BTreeMap::new()),
            weight: 0,
        }))
    }

    async fn compare(&self, stores: &Stores, live: &str, built: &str) -> Result<Comparison, Failure> {
        compare::compare::<P>(stores, live, built).await
    }
}

struct Fold<P: Projection> {
    stores: Stores,
    table: String,
    journal: JournalId,
    checkpoint: Option<Checkpoint>,
    /// The sequence that the table says.
    said: u64,
    rows: Loaded<P::Row>,
    /// How many bytes the rows in memory had when they were read or written.
    weight: usize,
}

/// More than this of a table is not kept in memory once it is written. A row that comes again soon need not be read and
/// opened again.
const KEPT_BYTES_MAX: usize = 1024 * 1024;

/// A table that nothing changes in says only now and then how far it is: what came since says nothing to it a second time
/// either.
const UNSAID_MAX: u64 = 256;

/// What a row that is not there weighs in memory.
const ABSENT_BYTES: usize = 128;

/// The rows in memory.
struct Loaded<R>(BTreeMap<RowKey, LoadedRow<R>>);

struct LoadedRow<R> {
    /// The row as it is now; none: there is no such row.
    row: Option<R>,
    /// Its cells in the store.
    sealed: SealedCells,
    /// Whether it must be written.
    changed: bool,
}

impl<R> Lookup<R> for Loaded<R> {
    fn lookup(&self, key: &RowKey) -> Option<Option<&R>> {
        self.0.get(key).map(|loaded| loaded.row.as_ref())
    }
}

#[async_trait]
impl<P: Projection> Folding for Fold<P> {
    async fn take(&mut self, commit: &Commit) -> Result<(), Failure> {
        if let Some(seen) = self.checkpoint {
            if seen.incarnation != commit.position.incarnation {
                let detail = "it has seen another incarnation of the journal stream: build it again";
                return Err(Failure::damaged(format!("the read model {}", P::NAME), detail));
            }
            if commit.position.sequence <= seen.sequence {
                return Ok(());
            }
        }
        if P::takes(commit.header.stream.aggregate) {
            self.apply(commit).await?;
        }
        if let Some((person, extent)) = marker::erased_by(commit)? {
            self.erase(person, &extent).await?;
        }
        self.checkpoint = Some(Checkpoint::after(commit));
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        if let Some(checkpoint) = self.checkpoint {
            let changes = self.written(checkpoint).await?;
            self.stores.store.apply(&self.table, &changes)?;
        }
        self.relieve(KEPT_BYTES_MAX);
        Ok(())
    }

    async fn changes(&mut self) -> Result<Option<(String, Vec<Change>)>, Failure> {
        let changed = self.rows.0.values().any(|loaded| loaded.changed);
        match self.checkpoint {
            Some(checkpoint) if changed || checkpoint.sequence >= self.said.saturating_add(UNSAID_MAX) => {
                Ok(Some((self.table.clone(), self.written(checkpoint).await?)))
            }
            Some(_) | None => Ok(None),
        }
    }

    fn relieve(&mut self, bytes_max: usize) {
        if self.weight > bytes_max {
            self.weight = 0;
            self.rows.0.clear();
        }
    }
}

impl<P: Projection> Fold<P> {
    /// The rows that changed, and the checkpoint: they are as stored once this is.
    async fn written(&mut self, checkpoint: Checkpoint) -> Result<Vec<Change>, Failure> {
        self.said = checkpoint.sequence;
        let mut changes = vec![checkpoint.change(&self.journal)];
        for (key, loaded) in self.rows.0.iter_mut().filter(|(_, loaded)| loaded.changed) {
            let change = change::<P>(self.stores.cells.as_ref(), key, loaded).await?;
            if let Change::Put { value, .. } = &change {
                self.weight += value.len();
            }
            changes.push(change);
        }
        Ok(changes)
    }

    async fn apply(&mut self, commit: &Commit) -> Result<(), Failure> {
        loop {
            match self.attempt(commit) {
                Ok(written) => {
                    written.into_iter().for_each(|(key, row)| self.write(key, row));
                    return Ok(());
                }
                Err(Stop::Needs(key)) => self.load(key).await?,
                Err(Stop::Malformed(fault)) => {
                    let what = format!("commit {} of {}", commit.header.revision, commit.header.stream);
                    return Err(Failure::damaged(what, fault));
                }
            }
        }
    }

    /// What the commit writes, if every row that it needs is in memory.
    fn attempt(&self, commit: &Commit) -> Result<Written<P::Row>, Stop> {
        let mut rows = Rows::over(&self.rows);
        P::apply(commit, &mut rows)?;
        Ok(rows.into_written())
    }

    fn write(&mut self, key: RowKey, row: Option<P::Row>) {
        match self.rows.0.get_mut(&key) {
            Some(loaded) if loaded.row == row => {}
            Some(loaded) => {
                loaded.row = row;
                loaded.changed = true;
            }
            // Written without having been read: whatever lies there is replaced, cells and all.
            None => {
                self.rows.0.insert(key, LoadedRow { row, sealed: SealedCells::new(), changed: true });
            }
        }
    }

    async fn load(&mut self, key: RowKey) -> Result<(), Failure> {
        if let Some(bytes) = self.stores.store.get(&self.table, &key.bytes())? {
            return self.take_up(key, &bytes).await;
        }
        self.weight += ABSENT_BYTES;
        self.rows.0.insert(key, LoadedRow { row: None, sealed: SealedCells::new(), changed: false });
        Ok(())
    }

    async fn take_up(&mut self, key: RowKey, bytes: &[u8]) -> Result<(), Failure> {
        let place = Place { projection: P::NAME, key: &key };
        let OpenRow { row, sealed, .. } = cells::open(self.stores.cells.as_ref(), place, bytes, |_| true).await?;
        self.weight += bytes.len();
        self.rows.0.insert(key, LoadedRow { row: Some(row), sealed, changed: false });
        Ok(())
    }

    /// Folds a person again after a marker: nothing that was written of its extent stays, neither here nor, as a
    /// sealed cell, in the store. What a later generation of a scope brings comes after the marker and is kept.
    async fn erase(&mut self, person: DataSubject, extent: &Extent) -> Result<(), Failure> {
        let prefix = RowKey::about(self.journal.study.as_ref(), person, "").bytes();
        for (key, bytes) in self.stores.store.scan(&self.table, &prefix, None, usize::MAX)? {
            let Some(key) = RowKey::parse(&key) else { continue };
            if !self.rows.0.contains_key(&key) {
                self.take_up(key, &bytes).await?;
            }
        }
        for (key, loaded) in self.rows.0.iter_mut().filter(|(key, _)| key.person == Some(person)) {
            if let Some(row) = &loaded.row {
                let left = cells::without(row, extent)
                    .map_err(|fault| Failure::damaged(format!("row {key} of the read model {}", P::NAME), fault))?;
                loaded.row = Some(left);
                loaded.changed = true;
            }
        }
        Ok(())
    }
}

/// What is to be written of a row, which then is as it is stored.
async fn change<P: Projection>(
    cells: &dyn Cells,
    key: &RowKey,
    loaded: &mut LoadedRow<P::Row>,
) -> Result<Change, Failure> {
    let place = Place { projection: P::NAME, key };
    loaded.changed = false;
    match &loaded.row {
        Some(row) => {
            let value = cells::close(cells, place, row, &mut loaded.sealed).await?;
            Ok(Change::Put { key: key.bytes(), value })
        }
        None => {
            loaded.sealed.clear();
            Ok(Change::Delete { key: key.bytes() })
        }
    }
}

#[cfg(test)]
mod tests;
