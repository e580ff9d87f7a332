//! Two tables of one projection side by side, opened: the ciphertexts of the same row always differ.

use domain::port::{Failure, Row as StoredRow};
use serde::Serialize;

use crate::cells::{self, Place};
use crate::fold::Stores;
use crate::projection::Projection;
use crate::row::RowKey;

/// How many differing rows a comparison names; it counts them all.
const NAMED_MAX: usize = 20;

/// How many rows are read at once.
const PAGE: usize = 512;

/// What a comparison found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// How many rows the new table has.
    pub rows: u64,
    /// How many rows differ, are missing or are too many.
    pub differences: u64,
    /// The first of them, by key. Keys are ids.
    pub named: Vec<String>,
}

impl Comparison {
    fn differs(&mut self, key: &RowKey, how: &str) {
        self.differences += 1;
        if self.named.len() < NAMED_MAX {
            self.named.push(format!("{key}: {how}"));
        }
    }
}

/// Compares all rows of `live` with all of `built`.
pub(crate) async fn compare<P: Projection>(stores: &Stores, live: &str, built: &str) -> Result<Comparison, Failure> {
    let (mut left, mut right) = (Reading::of(stores, live), Reading::of(stores, built));
    let mut found = Comparison::default();
    let (mut old, mut new) = (left.next()?, right.next()?);
    loop {
        match (&old, &new) {
            (None, None) => return Ok(found),
            (Some((key, a)), Some((other, b))) if key == other => {
                if !same::<P>(stores, key, a, b).await? {
                    found.differs(key, "the rows differ");
                }
                found.rows += 1;
                (old, new) = (left.next()?, right.next()?);
            }
            (Some((key, _)), other) if other.as_ref().is_none_or(|(other, _)| key.bytes() < other.bytes()) => {
                found.differs(key, "only the serving table has it");
                old = left.next()?;
            }
            (_, Some((key, _))) => {
                found.differs(key, "only the new table has it");
                found.rows += 1;
                new = right.next()?;
            }
            (Some(_), None) => unreachable!("a key is before no key: the arm above takes it"),
        }
    }
}

/// Whether two stored rows say the same. One that does not read differs.
async fn same<P: Projection>(stores: &Stores, key: &RowKey, a: &[u8], b: &[u8]) -> Result<bool, Failure> {
    let place = Place { projection: P::NAME, key };
    let open = async |bytes| match cells::open::<P::Row>(stores.cells.as_ref(), place, bytes, |_| true).await {
        Ok(open) => Ok(Some(open.row)),
        Err(Failure::Damaged { .. }) => Ok(None),
        Err(failure) => Err(failure),
    };
    Ok(match (open(a).await?, open(b).await?) {
        (Some(a), Some(b)) => a == b,
        (Some(_) | None, _) => false,
    })
}

/// The rows of a table in key order, checkpoints left out.
struct Reading<'a> {
    stores: &'a Stores,
    table: &'a str,
    page: std::vec::IntoIter<StoredRow>,
    after: Option<Vec<u8>>,
}

impl<'a> Reading<'a> {
    fn of(stores: &'a Stores, table: &'a str) -> Self {
        Self { stores, table, page: Vec::new().into_iter(), after: None }
    }

    fn next(&mut self) -> Result<Option<(RowKey, Vec<u8>)>, Failure> {
        loop {
            for (key, value) in self.page.by_ref() {
                self.after = Some(key.clone());
                if let Some(key) = RowKey::parse(&key) {
                    return Ok(Some((key, value)));
                }
            }
            self.page = self.stores.store.scan(self.table, b"", self.after.as_deref(), PAGE)?.into_iter();
            if self.page.len() == 0 {
                return Ok(None);
            }
        }
    }
}
