//! Between a row and its bytes: structure in the clear, values in one sealed cell for each (scope, part).
//!
//! The cells that a row has are the scopes that were open when it was written. A place without a cell is erased.

use std::collections::{BTreeMap, BTreeSet};

use domain::body::{self, Sections, Values};
use domain::field::{Field, Reading};
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

/// Cells with what is in them, so that one that did not change is not sealed anew.
pub type SealedCells = BTreeMap<Cell, (Vec<u8>, Values)>;

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
    let mut sealed = SealedCells::new();
    let keep =
        |cell: &Cell, bytes: Vec<u8>, values: &Values| drop(sealed.insert(cell.clone(), (bytes, values.clone())));
    let (row, withheld) = read(cells, place, bytes, wanted, keep).await?;
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
    let (row, withheld) = read(cells, place, bytes, wanted, |_, _, _| {}).await?;
    Ok(OpenRow { row, sealed: SealedCells::new(), withheld })
}

async fn read<R: Field>(
    cells: &dyn Cells,
    place: Place<'_>,
    bytes: &[u8],
    wanted: impl Fn(Scope) -> bool,
    mut opened: impl FnMut(&Cell, Vec<u8>, &Values),
) -> Result<(R, BTreeSet<Cell>), Failure> {
    let stored = frame::decode(bytes).map_err(|detail| place.damaged(&detail))?;
    let (mut sections, mut withheld) = (Sections::new(), BTreeSet::new());
    for (cell, cell_bytes) in stored.cells {
        if !wanted(cell.0) {
            withheld.insert(cell);
        } else if let Opened::Known(plain) = cells.open(&place.cell(&cell)?, &cell_bytes).await? {
            let values = serde_json::from_slice(&plain).map_err(|_| place.damaged("a cell holds no values"))?;
            opened(&cell, cell_bytes, &values);
            sections.insert(cell, values);
        }
    }
    let row = R::read_stored(stored.clear, &mut Reading::of(0, &mut sections));
    Ok((row.map_err(|fault| place.damaged(&fault.to_string()))?, withheld))
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
    let mut bodies = [row.write()];
    let sections = body::split(&mut bodies);
    let mut sealed = SealedCells::new();
    for (cell, values) in sections {
        let kept = cells_of.remove(&cell).filter(|(_, same)| *same == values);
        if let Some(kept) = kept {
            sealed.insert(cell, kept);
            continue;
        }
        let plain = serde_json::to_vec(&values).map_err(|_| place.damaged("its values are no JSON"))?;
        if let Some(bytes) = cells.seal(&place.cell(&cell)?, &plain).await? {
            sealed.insert(cell, (bytes, values));
        }
    }
    *cells_of = sealed;
    let [clear] = bodies;
    Ok(frame::encode(&clear, cells_of.iter().map(|(cell, (bytes, _))| (cell, bytes.as_slice()))))
}

/// The row without the values in `extent`: what is left of it once they are erased.
///
/// # Errors
/// [`domain::field::Malformed`] if the row does not read what it wrote.
pub fn without<R: Field>(row: &R, extent: &Extent) -> Result<R, domain::field::Malformed> {
    let mut bodies = [row.write()];
    let mut sections = body::split(&mut bodies);
    sections.retain(|(scope, part), _| !extent.covers(*scope, part));
    body::join(&mut bodies, &mut sections);
    R::read(&bodies[0])
}
