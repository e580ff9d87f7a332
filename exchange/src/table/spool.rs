//! Participants into tables.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};

use domain::design::StudyDesign;
use domain::ids::{Oid, StudyId};

use super::records::{self, Records};
use super::{By, Cell, Column, ColumnKind, Table, tables};
use crate::ExchangeError;
use crate::model::{FormRecord, ItemRecord, ItemState, Mark, ParticipantRecord, VisitRecord, missing_code};

/// A place that takes bytes and gives them back from the beginning, as often as asked.
pub trait Spool: Write {
    /// What was written, from the beginning.
    fn again(&mut self) -> io::Result<Box<dyn BufRead + '_>>;
}

impl Spool for Vec<u8> {
    fn again(&mut self) -> io::Result<Box<dyn BufRead + '_>> {
        Ok(Box::new(self.as_slice()))
    }
}

/// The tables of a study while they are filled.
pub struct Spooled<S> {
    study: StudyId,
    by: By,
    tables: Vec<SpooledTable<S>>,
    index: BTreeMap<Oid, usize>,
}

/// One table with its records.
pub struct SpooledTable<S> {
    /// The table.
    pub table: Table,
    /// How many records it has.
    pub records: u64,
    /// For each column, how many bytes its longest text has.
    pub widths: Vec<usize>,
    columns: BTreeMap<(Oid, Oid), usize>,
    spool: S,
}

impl<S: Spool> Spooled<S> {
    /// Empty tables of a design. Each gets a spool of its own from `spool`.
    pub fn begin(
        study: &StudyId,
        design: &StudyDesign,
        by: By,
        mut spool: impl FnMut(&Table) -> io::Result<S>,
    ) -> Result<Self, ExchangeError> {
        let tables: Vec<_> = tables(design, by)
            .into_iter()
            .map(|table| Ok(SpooledTable::new(spool(&table)?, table)))
            .collect::<Result<_, ExchangeError>>()?;
        let index = tables.iter().enumerate().map(|(n, table)| (table.table.oid.clone(), n)).collect();
        Ok(Self { study: study.clone(), by, tables, index })
    }

    /// Adds the records of one participant. Forms that were removed count no more and are left out.
    pub fn participant(&mut self, record: &ParticipantRecord) -> Result<(), ExchangeError> {
        for visit in &record.visits {
            for form in visit.forms.iter().filter(|form| !form.notes.marks.contains(&Mark::Removed)) {
                match self.by {
                    By::ItemGroup => self.groups(record, visit, form)?,
                    By::Form => self.form(record, visit, form)?,
                }
            }
        }
        Ok(())
    }

    /// The tables, filled. Those without records are there too.
    pub fn finish(self) -> Vec<SpooledTable<S>> {
        self.tables
    }

    fn groups(
        &mut self,
        record: &ParticipantRecord,
        visit: &VisitRecord,
        form: &FormRecord,
    ) -> Result<(), ExchangeError> {
        for group in form.groups.iter().filter(|group| !group.items.is_empty()) {
            let keys = keys(&self.study, record, visit, form, group.repeat);
            let items = group.items.iter().map(|item| (&group.group, item));
            self.table("item group", &group.group)?.push(keys, items)?;
        }
        Ok(())
    }

    fn form(
        &mut self,
        record: &ParticipantRecord,
        visit: &VisitRecord,
        form: &FormRecord,
    ) -> Result<(), ExchangeError> {
        let mut repeats: BTreeMap<u32, Vec<(&Oid, &ItemRecord)>> = BTreeMap::new();
        for group in form.groups.iter().filter(|group| !group.items.is_empty()) {
            let items = group.items.iter().map(|item| (&group.group, item));
            repeats.entry(group.repeat).or_default().extend(items);
        }
        for (repeat, items) in repeats {
            let keys = keys(&self.study, record, visit, form, repeat);
            self.table("form", &form.form)?.push(keys, items.into_iter())?;
        }
        Ok(())
    }

    fn table(&mut self, kind: &'static str, oid: &Oid) -> Result<&mut SpooledTable<S>, ExchangeError> {
        let found = self.index.get(oid).and_then(|n| self.tables.get_mut(*n));
        found.ok_or_else(|| ExchangeError::NotInDesign { kind, oid: oid.to_string() })
    }
}

impl<S: Spool> SpooledTable<S> {
    fn new(spool: S, table: Table) -> Self {
        let at = |(n, column): (usize, &Column)| match &column.kind {
            ColumnKind::Item { group, item } => Some(((group.clone(), item.clone()), n)),
            ColumnKind::Key | ColumnKind::Missing => None,
        };
        let columns = table.columns.iter().enumerate().filter_map(at).collect();
        Self { records: 0, widths: vec![0; table.columns.len()], columns, spool, table }
    }

    /// The records, from the first.
    pub fn records(&mut self) -> Result<Records<'_>, ExchangeError> {
        self.spool.flush()?;
        Ok(Records::new(self.spool.again()?, self.records, self.table.columns.len()))
    }

    fn push<'r>(
        &mut self,
        keys: Vec<Cell>,
        items: impl Iterator<Item = (&'r Oid, &'r ItemRecord)>,
    ) -> Result<(), ExchangeError> {
        let mut cells = keys;
        cells.resize(self.table.columns.len(), Cell::Empty);
        let mut missing = Vec::new();
        for (group, item) in items {
            let at = self.columns.get(&(group.clone(), item.item.clone()));
            let at = *at.ok_or_else(|| ExchangeError::NotInDesign { kind: "item", oid: item.item.to_string() })?;
            match &item.state {
                ItemState::Value(value) => cells[at] = Cell::Text(value.clone()),
                none => {
                    missing.extend(missing_code(none).map(|code| format!("{}={code}", self.table.columns[at].name)))
                }
            }
        }
        if let Some(last) = cells.last_mut().filter(|_| !missing.is_empty()) {
            *last = Cell::Text(missing.join(" "));
        }
        for (width, cell) in self.widths.iter_mut().zip(&cells) {
            *width = (*width).max(cell.text().map_or(0, str::len));
        }
        self.records += 1;
        records::write(&cells, &mut self.spool)
    }
}

fn keys(
    study: &StudyId,
    record: &ParticipantRecord,
    visit: &VisitRecord,
    form: &FormRecord,
    group_repeat: u32,
) -> Vec<Cell> {
    [
        study.to_string(),
        record.site.to_string(),
        record.subject_number.to_string(),
        visit.visit.to_string(),
        visit.repeat.to_string(),
        form.form.to_string(),
        form.repeat.to_string(),
        group_repeat.to_string(),
    ]
    .map(Cell::Text)
    .into()
}
