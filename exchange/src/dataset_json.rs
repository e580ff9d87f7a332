//! CDISC Dataset-JSON 1.1: a table as one JSON document, or as NDJSON with a line a record.

use std::io::Write;

use domain::design::DataType;
use serde::Serialize;

use crate::ExchangeError;
use crate::model::StudyExport;
use crate::odm::rfc3339;
use crate::table::{Cell, Column, ColumnKind, RECORD_KEY, Spool, SpooledTable};

/// Which of the two forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatasetForm {
    /// One document.
    Json,
    /// The metadata on the first line, a record on each other.
    NdJson,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(rename = "datasetJSONCreationDateTime")]
    created: String,
    #[serde(rename = "datasetJSONVersion")]
    version: &'static str,
    #[serde(rename = "fileOID")]
    file_oid: String,
    db_last_modified_date_time: String,
    originator: &'static str,
    source_system: SourceSystem<'a>,
    #[serde(rename = "studyOID")]
    study_oid: &'a str,
    #[serde(rename = "metaDataVersionOID")]
    meta_data_version_oid: &'a str,
    #[serde(rename = "itemGroupOID")]
    item_group_oid: &'a str,
    records: u64,
    name: &'a str,
    label: &'a str,
    columns: Vec<JsonColumn<'a>>,
}

#[derive(Serialize)]
struct SourceSystem<'a> {
    name: &'static str,
    version: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonColumn<'a> {
    #[serde(rename = "itemOID")]
    item_oid: &'a str,
    name: &'a str,
    label: &'a str,
    data_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_data_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_sequence: Option<usize>,
}

/// How much of a table is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Whether what the table is called and what its columns are goes along.
    pub metadata: bool,
    /// Whether its records do.
    pub rows: bool,
    /// How many records to leave out first.
    pub offset: u64,
    /// How many to write then, at most.
    pub limit: Option<u64>,
}

impl Window {
    /// All of it.
    pub const ALL: Self = Self { metadata: true, rows: true, offset: 0, limit: None };

    fn contains(&self, n: u64) -> bool {
        n >= self.offset && self.limit.is_none_or(|limit| n - self.offset < limit)
    }
}

/// Writes a whole table: see [`write_window`].
pub fn write_dataset<S: Spool>(
    export: &StudyExport<'_>,
    table: &mut SpooledTable<S>,
    form: DatasetForm,
    to: &mut impl Write,
) -> Result<(), ExchangeError> {
    write_window(export, table, form, Window::ALL, to)
}

/// Writes a table, or a part of it; `records` always counts the whole. Whole numbers and truth values are JSON's; decimal
/// numbers, and a column of whole numbers of which one is beyond 2^53, are texts, as Dataset-JSON wants decimals, so that no
/// digit is lost; what is missing is null.
pub fn write_window<S: Spool>(
    export: &StudyExport<'_>,
    table: &mut SpooledTable<S>,
    form: DatasetForm,
    window: Window,
    to: &mut impl Write,
) -> Result<(), ExchangeError> {
    let columns = table.table.columns.clone();
    let wide: Vec<bool> = wide_integers(table)?;
    let head = if window.metadata { to_json(&metadata(export, table, &wide)?)? } else { "{}".to_owned() };
    match form {
        DatasetForm::Json if !window.rows => to.write_all(head.as_bytes())?,
        // The rows are a member of the same object: its closing brace comes after them.
        DatasetForm::Json => {
            to.write_all(head.strip_suffix('}').unwrap_or(&head).as_bytes())?;
            to.write_all(if window.metadata { b",\"rows\":[" } else { b"\"rows\":[" })?;
        }
        DatasetForm::NdJson if window.metadata => to.write_all(head.as_bytes())?,
        DatasetForm::NdJson => {}
    }
    let mut records = table.records()?;
    let (mut first, mut n) = (true, 0);
    while window.rows
        && let Some(cells) = records.next_record()?
    {
        if window.contains(n) {
            let begins = first && (form == DatasetForm::Json || !window.metadata);
            let lead: &[u8] = if form == DatasetForm::Json { b"\n" } else { b"" };
            to.write_all(if begins { lead } else { separator(form) })?;
            first = false;
            row(to, &columns, &wide, cells)?;
        }
        n += 1;
    }
    to.write_all(if form == DatasetForm::Json && window.rows { b"\n]}\n" } else { b"\n" })?;
    Ok(to.flush()?)
}

fn separator(form: DatasetForm) -> &'static [u8] {
    if form == DatasetForm::Json { b",\n" } else { b"\n" }
}

fn metadata<'a, S: Spool>(
    export: &'a StudyExport<'_>,
    table: &'a SpooledTable<S>,
    wide: &[bool],
) -> Result<Metadata<'a>, ExchangeError> {
    let columns = table.table.columns.iter().zip(&table.widths).zip(wide);
    Ok(Metadata {
        created: rfc3339(export.created_at)?,
        version: "1.1.0",
        file_oid: format!("{}/{}", export.file_oid, table.table.oid),
        db_last_modified_date_time: rfc3339(export.as_of)?,
        originator: "Lethe",
        source_system: SourceSystem { name: "Lethe", version: export.software_version },
        study_oid: export.study.as_str(),
        meta_data_version_oid: &export.design.version,
        item_group_oid: table.table.oid.as_str(),
        records: table.records,
        name: table.table.oid.as_str(),
        label: &table.table.label,
        columns: columns.map(|((column, width), wide)| json_column(column, *width, *wide)).collect(),
    })
}

fn json_column(column: &Column, width: usize, wide: bool) -> JsonColumn<'_> {
    let data_type = if wide { "decimal" } else { data_type(column.data_type) };
    JsonColumn {
        item_oid: &column.oid,
        name: &column.name,
        label: &column.label,
        data_type,
        target_data_type: (data_type == "decimal").then_some("decimal"),
        length: (data_type == "string").then_some(width.max(1)),
        key_sequence: key_sequence(column),
    }
}

fn key_sequence(column: &Column) -> Option<usize> {
    let at = RECORD_KEY.iter().position(|key| column.kind == ColumnKind::Key && *key == column.name);
    at.map(|at| at + 1)
}

fn data_type(data_type: DataType) -> &'static str {
    match data_type {
        DataType::Integer => "integer",
        DataType::Decimal => "decimal",
        DataType::Boolean => "boolean",
        DataType::Date => "date",
        DataType::Time => "time",
        DataType::DateTime => "datetime",
        DataType::File => "URI",
        DataType::Text | DataType::PartialDate => "string",
    }
}

/// Columns of whole numbers of which one is beyond what every reader of JSON keeps exactly: they are written as decimal
/// numbers are.
fn wide_integers<S: Spool>(table: &mut SpooledTable<S>) -> Result<Vec<bool>, ExchangeError> {
    let columns = table.table.columns.clone();
    let mut wide = vec![false; columns.len()];
    // Fifteen digits always fit.
    if !columns.iter().zip(&table.widths).any(|(column, width)| column.data_type == DataType::Integer && *width > 15) {
        return Ok(wide);
    }
    let mut records = table.records()?;
    while let Some(cells) = records.next_record()? {
        for ((wide, column), cell) in wide.iter_mut().zip(&columns).zip(cells) {
            *wide |= column.data_type == DataType::Integer && cell.text().is_some_and(|text| integer(text).is_none());
        }
    }
    Ok(wide)
}

/// The largest whole number up to which a double, as many readers of JSON have it, is exact.
const EXACT_MAX: u64 = (1 << 53) - 1;

fn integer(text: &str) -> Option<i64> {
    text.parse().ok().filter(|number: &i64| number.unsigned_abs() <= EXACT_MAX)
}

fn row(to: &mut impl Write, columns: &[Column], wide: &[bool], cells: &[Cell]) -> Result<(), ExchangeError> {
    for (n, ((column, wide), cell)) in columns.iter().zip(wide).zip(cells).enumerate() {
        to.write_all(if n == 0 { b"[" } else { b"," })?;
        let json = match (cell.text(), column.data_type) {
            (None, _) => "null".to_owned(),
            (Some(text), DataType::Integer) if !wide => {
                integer(text).map_or_else(|| to_json(&text), |number| Ok(number.to_string()))?
            }
            (Some(text), DataType::Boolean) => matches!(text, "true" | "1").to_string(),
            (Some(text), _) => to_json(&text)?,
        };
        to.write_all(json.as_bytes())?;
    }
    Ok(to.write_all(b"]")?)
}

fn to_json(value: &impl Serialize) -> Result<String, ExchangeError> {
    serde_json::to_string(value).map_err(|error| ExchangeError::Write(error.into()))
}

#[test]
fn a_number_that_a_double_does_not_hold_exactly_is_a_text() {
    for (text, fits) in
        [("9007199254740991", true), ("-9007199254740991", true), ("9007199254740992", false), ("x", false)]
    {
        assert_eq!(integer(text).is_some(), fits, "{text}");
    }
}
