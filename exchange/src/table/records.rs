//! Records out of a spool, one at a time.

use std::io::{BufRead, Write};

use super::Cell;
use crate::ExchangeError;

/// The records of a table. Takes as much memory as one of them.
pub struct Records<'s> {
    from: Box<dyn BufRead + 's>,
    left: u64,
    cells: Vec<Cell>,
    width: usize,
}

impl<'s> Records<'s> {
    pub(super) fn new(from: Box<dyn BufRead + 's>, records: u64, width: usize) -> Self {
        Self { from, left: records, cells: Vec::with_capacity(width), width }
    }

    /// The next record.
    pub fn next_record(&mut self) -> Result<Option<&[Cell]>, ExchangeError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.cells.clear();
        for _ in 0..self.width {
            self.cells.push(Cell::read(&mut *self.from)?);
        }
        Ok(Some(&self.cells))
    }
}

pub(super) fn write(cells: &[Cell], to: &mut (impl Write + ?Sized)) -> Result<(), ExchangeError> {
    cells.iter().try_for_each(|cell| Ok(cell.write(to)?))
}
