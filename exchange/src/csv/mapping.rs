//! Which column becomes what: a document that goes with the file.

use std::collections::BTreeMap;

use domain::ids::Oid;
use domain::participant::NotDone;
use serde::{Deserialize, Serialize};

/// A mapping of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// What stands between fields.
    #[serde(default = "comma")]
    pub delimiter: char,
    /// The subject number.
    pub subject_number: Origin,
    /// The site; needed where participants are created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Origin>,
    /// The visit's OID.
    pub visit: Origin,
    /// Which occurrence of the visit.
    #[serde(default)]
    pub visit_repeat: RepeatOrigin,
    /// The form's OID.
    pub form: Origin,
    /// Which occurrence of the form.
    #[serde(default)]
    pub form_repeat: RepeatOrigin,
    /// The item group's OID, for items that do not say their own.
    pub group: Origin,
    /// Which occurrence of the item group.
    #[serde(default)]
    pub group_repeat: RepeatOrigin,
    /// Why saved values change, for rows that change some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Origin>,
    /// On which day the visit took place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visit_date: Option<VisitDate>,
    /// Texts that mean that there is no value, beside an empty field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub null: Vec<String>,
    /// The columns that hold values.
    pub items: Vec<ItemColumn>,
}

/// Where a text comes from: a column, or the same for each row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Origin {
    /// The column with this name.
    Column(String),
    /// The column with this name, whose texts become others; one that is not listed is a fault.
    Codes {
        /// The column.
        column: String,
        /// What becomes what.
        codes: BTreeMap<String, String>,
    },
    /// Always this.
    Constant(String),
}

/// Where the number of an occurrence comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum RepeatOrigin {
    /// There is one.
    #[default]
    One,
    /// The column with this name.
    Column(String),
    /// Rows are counted: the first of its participant, visit and form is 1. For item groups. Takes memory for each form
    /// that the file speaks of.
    Count,
}

/// The column with the day of the visit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VisitDate {
    /// The column. An empty field says nothing.
    pub column: String,
    /// How dates are written; none: `2026-11-22`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date_format: Option<String>,
}

/// A column of values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemColumn {
    /// The column.
    pub column: String,
    /// The item's OID.
    pub item: Oid,
    /// The item's group, if it is another than the row's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Oid>,
    /// What becomes what; one that is not listed stays.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub codes: BTreeMap<String, String>,
    /// Texts that say why there is no value, such as `{"ND": "not-done"}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub not_done: BTreeMap<String, NotDone>,
    /// How dates and times are written, such as `DD.MM.YYYY HH:mm` or `DDMMMYYYY`; none: as the platform has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date_format: Option<String>,
    /// What stands before the fraction of a number, if it is no point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decimal_mark: Option<char>,
    /// A fraction of zeros is dropped where a whole number is wanted: `815.0` becomes `815`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
}

fn comma() -> char {
    ','
}

impl Mapping {
    /// Every column that it names.
    pub(super) fn columns(&self) -> impl Iterator<Item = &str> {
        let texts = [Some(&self.subject_number), self.site.as_ref(), Some(&self.visit), Some(&self.form)];
        let texts = texts.into_iter().chain([Some(&self.group), self.reason.as_ref()]).flatten();
        let repeats = [&self.visit_repeat, &self.form_repeat, &self.group_repeat];
        texts
            .filter_map(Origin::column)
            .chain(repeats.into_iter().filter_map(RepeatOrigin::column))
            .chain(self.visit_date.iter().map(|date| date.column.as_str()))
            .chain(self.items.iter().map(|item| item.column.as_str()))
    }
}

impl Origin {
    pub(super) fn column(&self) -> Option<&str> {
        match self {
            Self::Column(column) | Self::Codes { column, .. } => Some(column),
            Self::Constant(_) => None,
        }
    }
}

impl RepeatOrigin {
    pub(super) fn column(&self) -> Option<&str> {
        match self {
            Self::Column(column) => Some(column),
            Self::One | Self::Count => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_is_short_to_write() {
        let mapping: Mapping = serde_json::from_str(
            r#"{"subject_number": {"column": "USUBJID"}, "site": {"codes": {"column": "SITE", "codes": {"1": "clinic-1"}}},
                "visit": {"constant": "V1"}, "form": {"constant": "VS"}, "group": {"constant": "VS"},
                "group_repeat": "count", "items": [{"column": "VSORRES", "item": "VSORRES"}]}"#,
        )
        .unwrap();
        assert_eq!(mapping.columns().collect::<Vec<_>>(), ["USUBJID", "SITE", "VSORRES"]);
        assert_eq!((mapping.delimiter, &mapping.visit_repeat), (',', &RepeatOrigin::One));
    }
}
