//! What was noticed on the way: one row each, with the line of the file. Never a value.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::error::{Place, shown};
use super::names::named;
use super::reader::Element;

/// How much a row matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Read and kept; good to know.
    Note,
    /// Read otherwise than it stands, or not kept.
    Warning,
    /// Not taken.
    Refused,
}

impl Severity {
    /// The name, as printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Refused => "refused",
        }
    }
}

/// One thing that was noticed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The line of the file; none if it is about the whole.
    pub line: Option<u64>,
    /// The ODM element.
    pub element: String,
    /// The OID of what is defined or referred to there, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oid: Option<String>,
    /// How much it matters.
    pub severity: Severity,
    /// Stable name of the rule, kebab-case.
    pub rule: &'static str,
    /// What it is, for people.
    pub what: String,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: ")?,
            None => f.write_str("whole file: ")?,
        }
        write!(f, "{}: {}", self.severity.as_str(), self.element)?;
        if let Some(oid) = &self.oid {
            write!(f, " {oid}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// How many rows of each severity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Read and kept.
    pub notes: u64,
    /// Read otherwise or not kept.
    pub warnings: u64,
    /// Not taken.
    pub refused: u64,
}

impl Counts {
    /// Takes other counts in.
    pub fn add(&mut self, other: Self) {
        self.notes += other.notes;
        self.warnings += other.warnings;
        self.refused += other.refused;
    }
}

/// Every row, in the order in which they were noticed. Prints one a line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The rows.
    pub rows: Vec<Row>,
}

impl Report {
    /// How many of each severity.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for row in &self.rows {
            match row.severity {
                Severity::Note => counts.notes += 1,
                Severity::Warning => counts.warnings += 1,
                Severity::Refused => counts.refused += 1,
            }
        }
        counts
    }

    /// The rows that say what was not taken.
    pub fn refused(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.severity == Severity::Refused)
    }

    /// How many rows of each rule.
    pub fn by_rule(&self) -> BTreeMap<&'static str, u64> {
        let mut rules = BTreeMap::new();
        for row in &self.rows {
            *rules.entry(row.rule).or_default() += 1;
        }
        rules
    }

    /// Takes the rows of another report in.
    pub fn append(&mut self, mut other: Self) {
        self.rows.append(&mut other.rows);
    }

    pub(super) fn add(
        &mut self,
        severity: Severity,
        (at, element, oid): (Place, &str, Option<&str>),
        rule: &'static str,
        what: impl Into<String>,
    ) {
        self.rows.push(Row {
            line: Some(at.line),
            element: element.to_owned(),
            oid: oid.map(shown),
            severity,
            rule,
            what: what.into(),
        });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rows.iter().try_for_each(|row| writeln!(f, "{row}"))
    }
}

/// Counts what is all of one kind, so that it becomes one row and not a thousand.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// It is a design that is read: names that ODM does not have are no values, and may be repeated.
    of_design: bool,
    seen: BTreeMap<(String, &'static str), (Place, u64)>,
}

impl Tally {
    pub(super) fn of_design() -> Self {
        Self { of_design: true, ..Self::default() }
    }

    /// One more `element` of which the same is to be said.
    pub(super) fn count(&mut self, element: &str, at: Place, rule: &'static str) {
        let entry = self.seen.entry((element.to_owned(), rule)).or_insert((at, 0));
        entry.1 += 1;
    }

    /// One more `element` in a `parent` for which there is no place.
    pub(super) fn inside(&mut self, parent: &str, element: &Element) {
        let name = match self.of_design && parent != "ODM" {
            true => shown(&element.name),
            false => named(&element.name).to_owned(),
        };
        self.count(&format!("{name} in {parent}"), element.at, "not-kept");
    }

    /// One row for each kind; `say` puts it in words.
    pub(super) fn rows(self, severity: Severity, say: impl Fn(&str) -> &'static str) -> Vec<Row> {
        let row = |((element, rule), (first, count)): ((String, &'static str), (Place, u64))| Row {
            line: Some(first.line),
            what: format!("{} ({count} in all, this is the first)", say(rule)),
            element,
            oid: None,
            severity,
            rule,
        };
        self.seen.into_iter().map(row).collect()
    }
}
