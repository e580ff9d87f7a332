//! SAS transport files, version 5 (TS-140): what regulators and statisticians take.
//!
//! The format is of 1988: names of eight characters, labels of forty, texts of two hundred bytes, IBM's floating point
//! numbers. Nothing is cut in silence:
//!
//! - names are mapped, and labels cut; [`XptWritten::variables`] has both whole;
//! - a text of more than 200 bytes goes on in further variables (`AETERM`, `AETERM1`, …), as CDISC does it;
//! - a column of numbers of which one has more than 15 significant digits is written as text;
//! - trailing blanks cannot be told from padding: how many texts have them is reported.
//!
//! Dates and times are texts as captured, so partial ones fit. What is missing is SAS's missing.

use std::io::Write;

use domain::design::DataType;
use serde::Serialize;
use time::OffsetDateTime;

use crate::ExchangeError;
use crate::model::StudyExport;
use crate::table::{Cell, Column, Spool, SpooledTable};

mod header;
mod ibm;
mod names;
mod pieces;
mod plan;

pub use names::dataset_names;
use plan::Plan;

/// A dataset that was written: what is called what, and what did not fit as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct XptWritten {
    /// The dataset's name in the file.
    pub dataset: String,
    /// OID of its item group or form.
    pub oid: String,
    /// Its whole label.
    pub label: String,
    /// How many records it has.
    pub records: u64,
    /// Its variables, in order.
    pub variables: Vec<XptVariable>,
    /// What did not fit as it was.
    pub notes: Vec<XptNote>,
}

/// A variable of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct XptVariable {
    /// Its name in the file.
    pub name: String,
    /// The column that it comes from.
    pub column: String,
    /// The OID of that.
    pub oid: String,
    /// The whole label.
    pub label: String,
    /// Number or text.
    pub number: bool,
    /// How many bytes it has.
    pub length: usize,
    /// Which piece of the column's texts, from 0.
    pub piece: usize,
}

/// Something that did not fit as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct XptNote {
    /// The column, if it is about one.
    pub column: Option<String>,
    /// What.
    pub what: XptLoss,
    /// In how many records.
    pub records: u64,
}

/// What did not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum XptLoss {
    /// The label was cut; it stands whole in the list of variables.
    LabelCut,
    /// Texts go on in further variables.
    TextSplit,
    /// Numbers are texts, because one has more digits than a SAS number keeps, or is too large.
    NumbersAsText,
    /// Blanks at the end of texts: not told from padding by who reads the file.
    TrailingBlanks,
    /// Texts that are not ASCII: UTF-8, which the file cannot say.
    NotAscii,
}

/// Writes a table as a transport file with one dataset.
pub fn write_xpt<S: Spool>(
    export: &StudyExport<'_>,
    table: &mut SpooledTable<S>,
    dataset: &str,
    to: &mut impl Write,
) -> Result<XptWritten, ExchangeError> {
    let plan = Plan::of(table)?;
    let mut out = Padded { to, written: 0 };
    let created = sas_time(export.created_at.0)?;
    header::write(&mut out, dataset, &table.table.label, &created, &plan)?;
    let mut records = table.records()?;
    while let Some(cells) = records.next_record()? {
        for (column, cell) in plan.columns.iter().zip(cells) {
            column.write(cell, &mut out)?;
        }
    }
    drop(records);
    out.pad()?;
    out.to.flush()?;
    Ok(XptWritten {
        dataset: dataset.to_owned(),
        oid: table.table.oid.to_string(),
        label: table.table.label.clone(),
        records: table.records,
        variables: plan.variables(),
        notes: plan.notes(&table.table.label),
    })
}

/// How a column is written.
struct PlannedColumn {
    column: Column,
    names: Vec<String>,
    form: Form,
    seen: plan::Seen,
}

enum Form {
    Number,
    /// The length of each piece.
    Text(Vec<usize>),
}

impl PlannedColumn {
    fn write(&self, cell: &Cell, out: &mut Padded<'_, impl Write>) -> Result<(), ExchangeError> {
        match (&self.form, cell.text()) {
            (Form::Number, None) => out.write(&ibm::MISSING),
            (Form::Number, Some(text)) => {
                let bytes = number(self.column.data_type, text).and_then(ibm::encode);
                out.write(&bytes.ok_or(ExchangeError::OutOfRange("a number"))?)
            }
            (Form::Text(lengths), text) => {
                let mut pieces = pieces::of(text.unwrap_or_default());
                lengths.iter().try_for_each(|length| out.text(pieces.next().unwrap_or_default(), *length))
            }
        }
    }
}

/// A value as a number; none if it has more digits than a number keeps.
fn number(data_type: DataType, text: &str) -> Option<f64> {
    match (data_type, text) {
        (DataType::Boolean, "true" | "1") => Some(1.0),
        (DataType::Boolean, "false" | "0") => Some(0.0),
        (DataType::Integer | DataType::Decimal, _) => {
            let digits = text.trim_start_matches(['-', '+', '0', '.']).bytes().filter(u8::is_ascii_digit).count();
            text.parse().ok().filter(|number: &f64| digits <= 15 && ibm::encode(*number).is_some())
        }
        _ => None,
    }
}

fn is_number(data_type: DataType) -> bool {
    matches!(data_type, DataType::Integer | DataType::Decimal | DataType::Boolean)
}

/// `22NOV26:13:45:30`.
fn sas_time(at: OffsetDateTime) -> Result<String, ExchangeError> {
    let format = time::macros::format_description!(
        "[day][month repr:short case_sensitive:false][year repr:last_two]:[hour]:[minute]:[second]"
    );
    at.format(format).map(|text| text.to_uppercase()).map_err(|_| ExchangeError::OutOfRange("a time"))
}

/// Counts what is written, to fill up the last record of 80 bytes.
struct Padded<'w, W: Write> {
    to: &'w mut W,
    written: usize,
}

impl<W: Write> Padded<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), ExchangeError> {
        self.written = (self.written + bytes.len()) % 80;
        Ok(self.to.write_all(bytes)?)
    }

    /// A text in a field of `length` bytes, filled up with blanks.
    fn text(&mut self, text: &str, length: usize) -> Result<(), ExchangeError> {
        let text = pieces::cut(text, length);
        self.write(text.as_bytes())?;
        self.blanks(length - text.len())
    }

    fn blanks(&mut self, count: usize) -> Result<(), ExchangeError> {
        (0..count).try_for_each(|_| self.write(b" "))
    }

    fn pad(&mut self) -> Result<(), ExchangeError> {
        self.blanks((80 - self.written) % 80)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_more_digits_than_sas_keeps_are_none() {
        let cases = [
            ("123456789012345", true),
            ("1234567890123456", false),
            ("-0.000123456789012345", true),
            ("00042", true),
            ("1000000000000000000000", false),
        ];
        for (text, fits) in cases {
            assert_eq!(number(DataType::Decimal, text).is_some(), fits, "{text}");
        }
        assert_eq!(number(DataType::Boolean, "true"), Some(1.0));
    }

    #[test]
    fn the_time_is_as_sas_writes_it() {
        assert_eq!(sas_time(time::macros::datetime!(2026-11-02 03:45:30 UTC)).unwrap(), "02NOV26:03:45:30");
    }
}
