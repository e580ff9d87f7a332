//! Between a row and its bytes: structure in the clear, values in one sealed cell for each (scope, part).
//!
//! The cells that a row has are the scopes that were open when it was written. A place without a cell is erased.

use std::collections::{BTreeMap, BTreeSet};

use domain::field::{Field, Malformed, OpenedCell, OpenedCells, RawValue, Reading, Writing};
use domain::port::{CellPlace, Cells, Failure, Opened};
use domain::scope::{Extent, Part, Scope};

use crate::frame;
use crate::row::RowKey;

/// Which cell of a row.
pub type Cell = (Scope, Part);

/// A row, opened.
#[derive(Debug, Clone)]
pub struct OpenRow<R> {
    /// The row.
    pub row: R,
    /// Its cells as they were sealed, with what was in them.
    pub sealed: SealedCells,
    /// The cells that are there and were not asked for.
    pub withheld: BTreeSet<Cell>,
}

/// Cells as they were sealed, each with what is in it, so that one that did not change is not sealed anew.
pub type SealedCells = BTreeMap<Cell, (Vec<u8>, Vec<u8>)>;

/// Where a row stands: bound into its cells, so that they open nowhere else.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The projection. Not the table: a row means the same in the next generation.
    pub projection: &'static str,
    /// The row.
    pub key: &'a RowKey,
}

impl Place<'_> {
    fn cell(&self, (scope, part): &Cell) -> Result<CellPlace, Failure> {
        let data_subject = self.key.person.ok_or_else(|| self.damaged("it holds a personal value and names nobody"))?;
        Ok(CellPlace {
            projection: self.projection,
            row: self.key.to_string(),
            data_subject,
            scope: *scope,
            part: part.clone(),
        })
    }

    fn damaged(&self, detail: &str) -> Failure {
        Failure::damaged(format!("row {} of the read model {}", self.key, self.projection), detail)
    }
}

/// Opens a row: every cell whose scope is `wanted`. A cell whose key is gone leaves its places erased.
///
/// # Errors
/// Bytes that are no row are `Damaged`; what [`Cells::open`] says goes on as it is.
pub async fn open<R: Field>(
    cells: &dyn Cells,
    place: Place<'_>,
    bytes: &[u8],
    wanted: impl Fn(Scope) -> bool,
) -> Result<OpenRow<R>, Failure> {
    let (row, withheld, opened, kept) = read(cells, place, bytes, wanted).await?;
    let plain = opened.into_values().map(OpenedCell::into_plain);
    let sealed = kept.into_iter().zip(plain).map(|((cell, bytes), plain)| (cell, (bytes, plain))).collect();
    Ok(OpenRow { row, sealed, withheld })
}

/// The same for whoever will not write the row again: its cells are not kept.
///
/// # Errors
/// As [`open`].
pub async fn show<R: Field>(
    cells: &dyn Cells,
    place: Place<'_>,
    bytes: &[u8],
    wanted: impl Fn(Scope) -> bool,
) -> Result<OpenRow<R>, Failure> {
    let (row, withheld, ..) = read(cells, place, bytes, wanted).await?;
    Ok(OpenRow { row, sealed: SealedCells::new(), withheld })
}

/// A row, the cells that were not asked for, and those that were opened, plain and as they are sealed.
type Read<R> = (R, BTreeSet<Cell>, OpenedCells, BTreeMap<Cell, Vec<u8>>);

async fn read<R: Field>(
    cells: &dyn Cells,
    place: Place<'_>,
    bytes: &[u8],
    wanted: impl Fn(Scope) -> bool,
) -> Result<Read<R>, Failure> {
    let stored = frame::decode(bytes).map_err(|detail| place.damaged(&detail))?;
    let (mut opened, mut kept, mut withheld) = (OpenedCells::new(), BTreeMap::new(), BTreeSet::new());
    for (cell, sealed) in stored.cells {
        if !wanted(cell.0) {
            withheld.insert(cell);
        } else if let Opened::Known(plain) = cells.open(&place.cell(&cell)?, &sealed).await? {
            let plain = OpenedCell::of(plain).map_err(|_| place.damaged("a cell holds no values"))?;
            opened.insert(cell.clone(), plain);
            kept.insert(cell, sealed);
        }
    }
    let row = R::read_stored(stored.clear, &mut Reading::row(&opened));
    Ok((row.map_err(|fault| place.damaged(&fault.to_string()))?, withheld, opened, kept))
}

/// The row's bytes. A cell that is in `cells_of` with the same values is kept as it is; one whose key is gone is left
/// out, and with it its values. Afterwards `cells_of` are those that the bytes hold.
///
/// # Errors
/// What [`Cells::seal`] says goes on as it is.
pub async fn close<R: Field>(
    cells: &dyn Cells,
    place: Place<'_>,
    row: &R,
    cells_of: &mut SealedCells,
) -> Result<Vec<u8>, Failure> {
    let (clear, written) = Writing::of(row);
    let mut sealed = SealedCells::new();
    for (cell, plain) in written {
        let kept = cells_of.remove(&cell).filter(|(_, same)| *same == plain);
        if let Some(kept) = kept {
            sealed.insert(cell, kept);
        } else if let Some(bytes) = cells.seal(&place.cell(&cell)?, &plain).await? {
            sealed.insert(cell, (bytes, plain));
        }
    }
    *cells_of = sealed;
    Ok(frame::encode(&clear, cells_of.iter().map(|(cell, (bytes, _))| (cell, bytes.as_slice()))))
}

/// The row without the values in `extent`: what is left of it once they are erased.
///
/// # Errors
/// [`Malformed`] if the row does not read what it wrote.
pub fn without<R: Field>(row: &R, extent: &Extent) -> Result<R, Malformed> {
    let (clear, written) = Writing::of(row);
    let left = written.into_iter().filter(|((scope, part), _)| !extent.covers(*scope, part));
    let opened = left.map(|(cell, plain)| Ok((cell, OpenedCell::of(plain)?))).collect::<Result<_, Malformed>>()?;
    let text = serde_json::from_slice::<&RawValue>(&clear).map_err(|_| Malformed::at("row"))?;
    R::read_stored(text, &mut Reading::row(&opened))
}
