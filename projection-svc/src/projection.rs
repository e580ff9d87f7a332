//! What a projection is: a pure function from (commit, rows) to row changes.
//!
//! `apply` asks for the rows it needs as it goes. One that is not in memory yet stops it; the fold loads the row and
//! applies the commit again from the start. So a projection need not say beforehand what it will touch, and stays
//! free of stores and ciphers.

use std::collections::BTreeMap;

use domain::field::Malformed;
use domain::history::{Aggregate, Commit};

use crate::row::{Row, RowKey};

/// One read model.
pub trait Projection: Send + Sync + 'static {
    /// Its name, for ever: tables and cells carry it.
    const NAME: &'static str;
    /// The version of its rows. A new one is built from the start when the process starts.
    const VERSION: u32;
    /// What its table holds.
    type Row: Row;

    /// Whether commits of this aggregate say anything to it.
    fn takes(aggregate: Aggregate) -> bool;

    /// Takes in one commit.
    ///
    /// # Errors
    /// [`Stop`], through `?`.
    fn apply(commit: &Commit, rows: &mut Rows<'_, Self::Row>) -> Result<(), Stop>;
}

/// Why `apply` went no further. Not an error of the projection's making.
#[derive(Debug)]
pub enum Stop {
    /// This row must be in memory first.
    Needs(RowKey),
    /// The commit does not have the shape it promises.
    Malformed(Malformed),
}

impl From<Malformed> for Stop {
    fn from(fault: Malformed) -> Self {
        Self::Malformed(fault)
    }
}

/// The rows as a commit finds them and leaves them. What is written is kept aside until the whole commit is taken in.
pub struct Rows<'a, R> {
    loaded: &'a dyn Lookup<R>,
    written: Written<R>,
}

/// Rows that a commit wrote; none: removed.
pub type Written<R> = BTreeMap<RowKey, Option<R>>;

/// Rows in memory: outer none: not loaded; inner none: there is no such row.
pub trait Lookup<R> {
    /// Looks a row up.
    fn lookup(&self, key: &RowKey) -> Option<Option<&R>>;
}

impl<'a, R: Clone> Rows<'a, R> {
    /// Starts from what is in memory.
    pub fn over(loaded: &'a dyn Lookup<R>) -> Self {
        Self { loaded, written: BTreeMap::new() }
    }

    /// One row as it stands; none if there is no such row.
    ///
    /// # Errors
    /// [`Stop::Needs`] if it is not in memory.
    pub fn get(&self, key: &RowKey) -> Result<Option<&R>, Stop> {
        match self.written.get(key) {
            Some(row) => Ok(row.as_ref()),
            None => self.loaded.lookup(key).ok_or_else(|| Stop::Needs(key.clone())),
        }
    }

    /// Writes a row, whether it was there or not.
    pub fn put(&mut self, key: RowKey, row: R) {
        self.written.insert(key, Some(row));
    }

    /// Removes a row.
    pub fn delete(&mut self, key: RowKey) {
        self.written.insert(key, None);
    }

    /// What the commit wrote.
    pub fn into_written(self) -> Written<R> {
        self.written
    }
}
