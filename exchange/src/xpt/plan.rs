//! How each column is written: found in a first pass over the records.

use super::names::Names;
use super::pieces::{self, LONGEST};
use super::{Form, PlannedColumn, XptLoss, XptNote, XptVariable, is_number, number};
use crate::ExchangeError;
use crate::table::{Cell, Column, ColumnKind, Spool, SpooledTable};

/// The longest label.
pub(super) const LABEL: usize = 40;

/// How many variables a dataset can have: the header has four digits for it.
const VARIABLES_MAX: usize = 9999;

pub(super) struct Plan {
    pub(super) columns: Vec<PlannedColumn>,
}

/// What a column's cells are like.
#[derive(Default)]
pub(super) struct Seen {
    pieces: Vec<usize>,
    split: u64,
    trailing: u64,
    not_ascii: u64,
    no_numbers: u64,
}

impl Seen {
    fn look(&mut self, column: &Column, cell: &Cell) {
        let Some(text) = cell.text() else { return };
        for (n, piece) in pieces::of(text).enumerate() {
            if n == self.pieces.len() {
                self.pieces.push(0);
            }
            self.pieces[n] = self.pieces[n].max(piece.len());
        }
        self.split += u64::from(text.len() > LONGEST);
        self.trailing += u64::from(pieces::loses_blanks(text));
        self.not_ascii += u64::from(!text.is_ascii());
        self.no_numbers += u64::from(is_number(column.data_type) && number(column.data_type, text).is_none());
    }
}

impl Plan {
    pub(super) fn of<S: Spool>(table: &mut SpooledTable<S>) -> Result<Self, ExchangeError> {
        let columns = table.table.columns.clone();
        let mut seen: Vec<Seen> = columns.iter().map(|_| Seen::default()).collect();
        let mut records = table.records()?;
        while let Some(cells) = records.next_record()? {
            for ((seen, column), cell) in seen.iter_mut().zip(&columns).zip(cells) {
                seen.look(column, cell);
            }
        }
        let mut names = Names::default();
        let columns: Vec<_> =
            columns.into_iter().zip(seen).map(|(column, seen)| plan(column, seen, &mut names)).collect();
        if columns.iter().map(|column| column.names.len()).sum::<usize>() > VARIABLES_MAX {
            return Err(ExchangeError::OutOfRange("the number of variables"));
        }
        Ok(Self { columns })
    }

    pub(super) fn variables(&self) -> Vec<XptVariable> {
        let of = |column: &PlannedColumn| {
            let variable = |(piece, name): (usize, &String)| XptVariable {
                name: name.clone(),
                column: column.column.name.clone(),
                oid: column.column.oid.clone(),
                label: column.column.label.clone(),
                number: matches!(column.form, Form::Number),
                length: column.length(piece),
                piece,
            };
            column.names.iter().enumerate().map(variable).collect::<Vec<_>>()
        };
        self.columns.iter().flat_map(of).collect()
    }

    pub(super) fn notes(&self, label: &str) -> Vec<XptNote> {
        let mut notes = Vec::new();
        let mut note = |column: Option<&str>, what, records| {
            notes.push(XptNote { column: column.map(str::to_owned), what, records });
        };
        if label.len() > LABEL {
            note(None, XptLoss::LabelCut, 0);
        }
        for PlannedColumn { column, seen, form, .. } in &self.columns {
            let text = matches!(form, Form::Text(_));
            let counts = [
                (XptLoss::TextSplit, seen.split),
                (XptLoss::NumbersAsText, seen.no_numbers),
                (XptLoss::TrailingBlanks, if text { seen.trailing } else { 0 }),
                (XptLoss::NotAscii, if text { seen.not_ascii } else { 0 }),
            ];
            if column.label.len() > LABEL {
                note(Some(&column.name), XptLoss::LabelCut, 0);
            }
            for (what, records) in counts.into_iter().filter(|(_, records)| *records > 0) {
                note(Some(&column.name), what, records);
            }
        }
        notes
    }
}

fn plan(column: Column, seen: Seen, names: &mut Names) -> PlannedColumn {
    let form = if is_number(column.data_type) && seen.no_numbers == 0 {
        Form::Number
    } else {
        Form::Text(if seen.pieces.is_empty() { vec![1] } else { seen.pieces.clone() })
    };
    let count = if let Form::Text(pieces) = &form { pieces.len() } else { 1 };
    // MISSING would be a name of seven letters; it stays free for an item if the column has another name.
    let wanted = if column.kind == ColumnKind::Missing { "MISSING" } else { column.name.as_str() };
    let names = (0..count).map(|_| names.give(wanted)).collect();
    PlannedColumn { column, names, form, seen }
}

impl PlannedColumn {
    pub(super) fn length(&self, piece: usize) -> usize {
        match &self.form {
            Form::Number => 8,
            Form::Text(lengths) => lengths.get(piece).copied().unwrap_or(1),
        }
    }
}
