//! Data as tables, for CSV, Dataset-JSON and SAS: one table an item group, or one a form.
//!
//! Those formats want to know how many records there are, and how wide, before the first one. So records are spooled:
//! [`Spooled`] takes one participant after another and keeps, for each table, a spool that the caller gives. All formats
//! can then be written from the same spools, each in one pass. Memory does not grow with the number of participants;
//! what the spools hold is personal, so on disk they belong sealed, or into a folder that dies with the process.

use domain::design::{DataType, ItemDef, Labels, StudyDesign};
use domain::ids::Oid;

mod cell;
mod records;
mod spool;

pub use cell::Cell;
pub use records::Records;
pub use spool::{Spool, Spooled, SpooledTable};

/// What one table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// One item group, wherever it occurs; a record is one occurrence.
    ItemGroup,
    /// One form; a record is one occurrence of the form, and one more for each repeat of a group on it.
    Form,
}

/// A table: what it is called and what its columns are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// What it holds.
    pub by: By,
    /// OID of the item group or form.
    pub oid: Oid,
    /// Its name in the design.
    pub name: String,
    /// Its label.
    pub label: String,
    /// Its columns: the keys first, then the items, then why values are missing.
    pub columns: Vec<Column>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// What it is called: unique in its table.
    pub name: String,
    /// Its OID: that of its item, or one that begins with `LETHE.`.
    pub oid: String,
    /// Its label.
    pub label: String,
    /// What it holds.
    pub kind: ColumnKind,
    /// The kind of value.
    pub data_type: DataType,
}

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnKind {
    /// A part of the record's key.
    Key,
    /// The values of an item.
    Item {
        /// Of this group.
        group: Oid,
        /// This item.
        item: Oid,
    },
    /// Why values of this record are missing: `ITEM=CODE`, with a blank between them.
    Missing,
}

/// The key columns, which each record has in this order.
const KEYS: &[(&str, &str, DataType)] = &[
    ("STUDYID", "Study", DataType::Text),
    ("SITEID", "Site", DataType::Text),
    ("SUBJID", "Subject number", DataType::Text),
    ("VISIT", "Visit (OID)", DataType::Text),
    ("VISITREP", "Occurrence of the visit", DataType::Integer),
    ("FORM", "Form (OID)", DataType::Text),
    ("FORMREP", "Occurrence of the form", DataType::Integer),
    ("GROUPREP", "Occurrence of the item group", DataType::Integer),
];

/// The columns that make a record unique, by name.
pub const RECORD_KEY: &[&str] = &["SUBJID", "VISIT", "VISITREP", "FORM", "FORMREP", "GROUPREP"];

/// The tables of a design, in its order.
pub fn tables(design: &StudyDesign, by: By) -> Vec<Table> {
    match by {
        By::ItemGroup => design
            .item_groups
            .iter()
            .map(|group| {
                let label = label(&group.labels, &group.name);
                table(design, by, &group.oid, &group.name, label, &[&group.oid])
            })
            .collect(),
        By::Form => design
            .forms
            .iter()
            .map(|form| {
                let groups: Vec<_> = form.item_groups.iter().map(|group| &group.oid).collect();
                table(design, by, &form.oid, &form.name, label(&form.labels, &form.name), &groups)
            })
            .collect(),
    }
}

fn table(design: &StudyDesign, by: By, oid: &Oid, name: &str, label: String, groups: &[&Oid]) -> Table {
    let key = |(name, label, data_type): &(&str, &str, DataType)| Column {
        name: (*name).to_owned(),
        oid: format!("LETHE.{name}"),
        label: (*label).to_owned(),
        kind: ColumnKind::Key,
        data_type: *data_type,
    };
    let mut columns: Vec<Column> = KEYS.iter().map(key).collect();
    for group in groups.iter().filter_map(|group| design.item_group(group)) {
        for item in group.items.iter().filter_map(|item| design.item(&item.oid)) {
            let name = free_name(&columns, &group.oid, &item.oid);
            columns.push(item_column(name, &group.oid, item));
        }
    }
    let name_of_missing = free_name(&columns, oid, &missing_oid());
    columns.push(Column {
        name: name_of_missing,
        oid: "LETHE.MISSING".into(),
        label: "Why values are missing".into(),
        kind: ColumnKind::Missing,
        data_type: DataType::Text,
    });
    Table { by, oid: oid.clone(), name: name.to_owned(), label, columns }
}

fn missing_oid() -> Oid {
    "MISSING".parse().expect("seven letters are an OID")
}

fn item_column(name: String, group: &Oid, item: &ItemDef) -> Column {
    Column {
        name,
        oid: item.oid.to_string(),
        label: label(&item.labels, &item.name),
        kind: ColumnKind::Item { group: group.clone(), item: item.oid.clone() },
        data_type: item.data_type,
    }
}

/// The item's OID; where that is taken, with its group's before it, and a number where that is taken too.
fn free_name(columns: &[Column], group: &Oid, item: &Oid) -> String {
    let taken = |name: &str| columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
    let long = format!("{group}.{item}");
    let numbered = (2..).map(|n| format!("{long}.{n}"));
    [item.to_string(), long.clone()].into_iter().chain(numbered).find(|name| !taken(name)).unwrap_or(long)
}

/// The English label, else the one without a language, else the first, else the name.
pub(crate) fn label(labels: &Labels, name: &str) -> String {
    let english = labels.iter().find(|(language, _)| language.starts_with("en"));
    let found = english.or_else(|| labels.get_key_value("")).or_else(|| labels.iter().next());
    found.map(|(_, label)| label.as_str()).filter(|label| !label.is_empty()).unwrap_or(name).to_owned()
}
