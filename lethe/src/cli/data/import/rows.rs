//! What became of each row: one line of JSON each, never with a value.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use command_svc::odm::{Row, Severity};
use exchange::csv::RowFault;
use serde::{Deserialize, Serialize};

use crate::cli::CliError;

/// What became of something of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    /// Written.
    Saved,
    /// It was so already.
    Unchanged,
    /// Not taken.
    Refused,
    /// Read otherwise than it stands.
    Warning,
    /// Good to know.
    Note,
}

/// A line of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    pub(super) line: Option<u64>,
    pub(super) element: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) oid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) column: Option<String>,
    pub(super) outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rule: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) what: Option<String>,
    /// How many questions edit checks ask because of it.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) queries: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Line {
    pub(super) fn new(line: u64, element: &str, name: Option<&str>, outcome: Outcome) -> Self {
        let (oid, column) = if element == "row" { (None, name) } else { (name, None) };
        Self {
            line: Some(line),
            element: element.to_owned(),
            oid: oid.map(str::to_owned),
            column: column.map(str::to_owned),
            outcome,
            rule: None,
            what: None,
            queries: 0,
        }
    }

    pub(super) fn because(self, rule: &'static str, what: String) -> Self {
        Self { rule: Some(rule), what: Some(what), ..self }
    }

    pub(super) fn of_row(row: &Row) -> Self {
        let outcome = match row.severity {
            Severity::Note => Outcome::Note,
            Severity::Warning => Outcome::Warning,
            Severity::Refused => Outcome::Refused,
        };
        let new = Self::new(row.line.unwrap_or_default(), &row.element, row.oid.as_deref(), outcome);
        Self { line: row.line, ..new.because(row.rule, row.what.clone()) }
    }

    pub(super) fn of_fault(fault: &RowFault) -> Self {
        let new = Self::new(fault.line, "row", fault.column.as_deref(), Outcome::Refused);
        new.because(fault.code, fault.what.clone())
    }

    /// The same for people, if it says more than that something was taken.
    pub(super) fn row(&self) -> Option<Row> {
        let severity = match self.outcome {
            Outcome::Saved | Outcome::Unchanged => return None,
            Outcome::Note => Severity::Note,
            Outcome::Warning => Severity::Warning,
            Outcome::Refused => Severity::Refused,
        };
        Some(Row {
            line: self.line,
            element: self.element.clone(),
            oid: self.oid.clone().or_else(|| self.column.clone()),
            severity,
            rule: self.rule.unwrap_or_default(),
            what: self.what.clone().unwrap_or_default(),
        })
    }
}

/// What became of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally {
    /// Participants of the file that are in the study now.
    pub(super) participants: u64,
    /// Of these, those that were not there before.
    pub(super) new_participants: u64,
    /// Values that were written.
    pub(super) saved: u64,
    /// Values that stood there already.
    pub(super) unchanged: u64,
    /// Lines that were refused.
    pub(super) refused: u64,
    /// Queries that edit checks opened.
    pub(super) queries: u64,
    /// Where the journal stood after the last command.
    pub(super) position: Option<String>,
}

impl Tally {
    pub(super) fn add(&mut self, other: &Self) {
        self.participants += other.participants;
        self.new_participants += other.new_participants;
        self.saved += other.saved;
        self.unchanged += other.unchanged;
        self.refused += other.refused;
        self.queries += other.queries;
        self.reach(other.position.as_deref());
    }

    /// The later of two positions of one journal.
    pub(super) fn reach(&mut self, position: Option<&str>) {
        let sequence = |text: &str| text.rsplit(':').next().and_then(|text| text.parse::<u64>().ok());
        if position.and_then(sequence) > self.position.as_deref().and_then(sequence) {
            self.position = position.map(str::to_owned);
        }
    }
}

/// The report as a file, or none.
pub(super) struct ReportFile(Option<(PathBuf, BufWriter<File>)>);

impl ReportFile {
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// A new file that only its owner reads.
    pub(super) fn create(path: &Path) -> Result<Self, CliError> {
        if path.symlink_metadata().is_ok() {
            return Err(CliError::conflict(format!(
                "{} is there already: choose another name, or go on with --resume",
                path.display()
            )));
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = file.map_err(|error| CliError::failed(path.display(), error))?;
        Ok(Self(Some((path.to_owned(), BufWriter::new(file)))))
    }

    /// The file up to where the broken run had got: what stands behind that is said again.
    pub(super) fn resume(path: &Path, bytes: u64) -> Result<Self, CliError> {
        let failed = |error: std::io::Error| CliError::failed(path.display(), error);
        let mut file = OpenOptions::new().write(true).open(path).map_err(failed)?;
        file.set_len(bytes).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok(Self(Some((path.to_owned(), BufWriter::new(file)))))
    }

    pub(super) fn write(&mut self, line: &Line) -> Result<(), CliError> {
        let Some((path, file)) = &mut self.0 else { return Ok(()) };
        let text = serde_json::to_string(line).map_err(|error| CliError::failed("a line of the report", error))?;
        writeln!(file, "{text}").map_err(|error| CliError::failed(path.display(), error))
    }

    /// How long the file is, once everything is on disk.
    pub(super) fn bytes(&mut self) -> Result<u64, CliError> {
        let Some((path, file)) = &mut self.0 else { return Ok(0) };
        let length = file.flush().and_then(|()| file.get_ref().sync_data()).and_then(|()| file.stream_position());
        length.map_err(|error| CliError::failed(path.display(), error))
    }
}
