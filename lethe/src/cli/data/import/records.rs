//! The file, one batch of records after another: participants of an ODM file, rows of a table.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use command_svc::odm::{self, Clinical, ParticipantData, Report, Step, StepItem, Transaction};
use domain::design::StudyDesign;
use domain::ids::SubjectNumber;
use domain::participant::{Command, ItemToSave, Source};
use exchange::csv::{CsvError, MappedRow, Mapping, RowFault, Rows};
use time::OffsetDateTime;

use super::rows::Line;
use super::{SIDE_BY_SIDE, open};
use crate::cli::CliError;

/// How many rows of a table are one batch.
const ROWS: usize = 256;

/// Something of the file that is about one participant.
pub(super) struct Task {
    /// Which record of the file, from 0.
    pub(super) record: u64,
    pub(super) subject_number: SubjectNumber,
    pub(super) site: Option<String>,
    pub(super) transaction: Transaction,
    pub(super) line: u64,
    pub(super) element: &'static str,
    pub(super) captured_at: Option<OffsetDateTime>,
    pub(super) work: Work,
}

/// What is to be done.
pub(super) enum Work {
    /// What that is depends on the participant's design version.
    Odm(Box<ParticipantData>),
    /// A row: taken whole or not.
    Row(Vec<Step>),
}

/// Records that are sent together. One without any is the last.
#[derive(Default)]
pub(super) struct Batch {
    /// How many records it has.
    pub(super) size: u64,
    pub(super) tasks: Vec<Task>,
    /// What was noticed while they were read.
    pub(super) rows: Vec<Line>,
}

/// What the file holds.
pub(super) struct Survey {
    pub(super) records: u64,
    /// Faults against what ODM demands.
    pub(super) broken: Report,
    /// The studies whose data it says it holds.
    pub(super) studies: BTreeSet<String>,
}

/// A file while it is read.
pub(super) struct Records<'a> {
    path: PathBuf,
    read: u64,
    format: Format<'a>,
}

enum Format<'a> {
    Odm(Option<Box<Clinical<BufReader<File>>>>),
    Csv { mapping: &'a Mapping, design: &'a Arc<StudyDesign>, rows: Option<Rows<'a, BufReader<File>>> },
}

/// The mapping of a table.
pub(super) fn mapping(path: &Path) -> Result<Mapping, CliError> {
    let text = std::fs::read(path).map_err(|error| CliError::failed(path.display(), error))?;
    serde_json::from_slice(&text).map_err(|error| CliError::input(format!("{}: {error}", path.display())))
}

impl<'a> Records<'a> {
    /// In front of a file: a table if there is a mapping, otherwise ODM.
    pub(super) fn open(
        path: &Path,
        mapping: Option<&'a Mapping>,
        design: &'a Arc<StudyDesign>,
    ) -> Result<Self, String> {
        let format = match mapping {
            Some(mapping) => Format::Csv { mapping, design, rows: None },
            None => Format::Odm(None),
        };
        Ok(Self { path: path.to_owned(), read: 0, format })
    }

    /// Reads the whole file and keeps nothing.
    pub(super) fn survey(&mut self) -> Result<Survey, String> {
        let input = open(&self.path).map_err(|error| error.to_string())?;
        match &self.format {
            Format::Odm(_) => {
                let survey = odm::survey(input, &odm::Limits::default()).map_err(|error| error.to_string())?;
                let studies = survey.designs.into_iter().filter_map(|(study, _)| study).collect();
                Ok(Survey { records: survey.participants, broken: survey.broken, studies })
            }
            Format::Csv { mapping, design, .. } => {
                let mut rows = Rows::begin(input, mapping, design).map_err(|error| error.to_string())?;
                let mut records = 0;
                while rows.next_row().map_err(|error: CsvError| error.to_string())?.is_some() {
                    records += 1;
                }
                Ok(Survey { records, broken: Report::default(), studies: BTreeSet::new() })
            }
        }
    }

    /// Passes over records that an earlier run has sent.
    pub(super) fn skip(&mut self, records: u64) -> Result<(), String> {
        while self.read < records {
            if self.next()?.is_none() {
                return Err("it has fewer records than were imported of it: it is another file".into());
            }
        }
        // What was noticed of them stands in the report already.
        if let Format::Odm(Some(clinical)) = &mut self.format {
            clinical.take_report();
        }
        Ok(())
    }

    /// The next records that belong together.
    pub(super) fn batch(&mut self) -> Result<Batch, String> {
        let most = if matches!(self.format, Format::Odm(_)) { SIDE_BY_SIDE } else { ROWS };
        let mut batch = Batch::default();
        for _ in 0..most {
            match self.next()? {
                Some(Ok(task)) => batch.tasks.push(task),
                Some(Err(faults)) => batch.rows.extend(faults.iter().map(Line::of_fault)),
                None => break,
            }
            batch.size += 1;
        }
        if let Format::Odm(Some(clinical)) = &mut self.format {
            batch.rows.extend(clinical.take_report().rows.iter().map(Line::of_row));
        }
        Ok(batch)
    }

    fn next(&mut self) -> Result<Option<Result<Task, Vec<RowFault>>>, String> {
        let (path, record) = (&self.path, self.read);
        let input = || open(path).map_err(|error| error.to_string());
        let next = match &mut self.format {
            Format::Odm(clinical) => {
                if clinical.is_none() {
                    let begun = odm::read_clinical(input()?, &odm::Limits::default());
                    *clinical = Some(Box::new(begun.map_err(|error| error.to_string())?));
                }
                let next = clinical.as_mut().and_then(Iterator::next).transpose().map_err(|error| error.to_string())?;
                next.map(|data| Ok(of_odm(record, data)))
            }
            Format::Csv { mapping, design, rows } => {
                if rows.is_none() {
                    let begun = Rows::begin(input()?, mapping, design);
                    *rows = Some(begun.map_err(|error| error.to_string())?);
                }
                let next = rows.as_mut().map(Rows::next_row).transpose().map_err(|error| error.to_string())?;
                next.flatten().map(|row| row.map(|row| of_row(record, row)))
            }
        };
        self.read += u64::from(next.is_some());
        Ok(next)
    }
}

fn of_odm(record: u64, data: ParticipantData) -> Task {
    Task {
        record,
        subject_number: data.subject_number.clone(),
        site: data.site.clone(),
        transaction: data.transaction,
        line: data.line,
        element: "SubjectData",
        captured_at: data.audit.as_ref().and_then(|audit| audit.at),
        work: Work::Odm(Box::new(data)),
    }
}

fn of_row(record: u64, row: MappedRow) -> Task {
    let mut steps = Vec::new();
    let step = |command, items| Step { command, line: row.line, element: "row", oid: None, items, captured_at: None };
    let mut places = Vec::new();
    let mut items = Vec::new();
    for item in row.items {
        places.push(StepItem { line: row.line, name: item.column });
        items.push(ItemToSave {
            group: item.item.group,
            group_repeat: item.item.group_repeat,
            item: item.item.item,
            value: item.value,
            not_done: item.not_done,
            reason: row.reason.clone(),
            expect: None,
        });
    }
    if !items.is_empty() {
        let command = Command::SaveItems { form: row.form.clone(), items, source: Source::Import };
        steps.push(step(command, places));
    }
    // After the values: where those are refused, nothing of the row is taken.
    if let Some(on) = row.visit_date {
        let (visit, reason) = (row.form.visit(), row.reason.clone());
        steps.push(step(Command::StartVisit { visit, on, reason }, Vec::new()));
    }
    Task {
        record,
        subject_number: row.subject_number,
        site: row.site.map(|site| site.to_string()),
        transaction: Transaction::Upsert,
        line: row.line,
        element: "row",
        captured_at: None,
        work: Work::Row(steps),
    }
}
