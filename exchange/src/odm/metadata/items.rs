//! Items and their range checks.

use std::io::Write;

use domain::design::{DataType, ItemDef, RangeCheck};

use super::oids::Kind;
use super::texts::{is_plain, json, named, plain};
use super::{Metadata, alias};
use crate::ExchangeError;

impl<W: Write> Metadata<'_, W> {
    pub(super) fn item(&mut self, item: &ItemDef) -> Result<(), ExchangeError> {
        let written = self.oids.item(item.oid.as_str());
        // Elsewhere ODM gives a length no meaning, and zero is none.
        let measured = matches!(item.data_type, DataType::Text | DataType::Integer | DataType::Decimal);
        let length = item.length.filter(|length| measured && *length > 0);
        let data_type = self.data_type(item.data_type);
        self.xml
            .tag("ItemDef")
            .attr("OID", &written)
            .attr("Name", named(&item.name, &written))
            .attr("DataType", data_type)
            .maybe("Length", length.map(|length| length.to_string()))
            .start()?;
        self.labels("Question", &item.labels)?;
        if let Some(unit) = self.unit_of(item).filter(|_| !self.is_v2()) {
            self.xml.tag("MeasurementUnitRef").attr("MeasurementUnitOID", unit).empty()?;
        }
        for check in item.range_checks.iter().filter(|check| shows(check)) {
            self.range_check(check)?;
        }
        if let Some(list) = &item.code_list {
            self.xml.tag("CodeListRef").attr("CodeListOID", self.oids.get(Kind::CodeList, list)).empty()?;
        }
        self.common_aliases((item.oid.as_str(), &written), &item.name, Some(&item.labels))?;
        self.item_aliases(item, length)?;
        self.xml.end()
    }

    fn item_aliases(&mut self, item: &ItemDef, length: Option<u32>) -> Result<(), ExchangeError> {
        if let Some(scope) = item.scope {
            self.alias(alias::SCOPE, scope.as_str())?;
        }
        self.flag(alias::IDENTIFIER, item.identifier)?;
        self.flag(alias::BLINDED, item.blinded)?;
        self.flag(alias::CRITICAL, item.critical)?;
        self.flag(alias::SDV, item.sdv)?;
        if let Some(unit) = self.unit_of(item).filter(|_| self.is_v2()) {
            self.alias(alias::UNIT, unit)?;
        }
        if let Some(unsaid) = item.length.filter(|_| length.is_none()) {
            self.alias(alias::LENGTH, unsaid.to_string())?;
        }
        if item.range_checks.iter().any(|check| !self.says_all(check)) {
            self.alias(alias::RANGE_CHECKS, json(&item.range_checks))?;
        }
        Ok(())
    }

    fn data_type(&self, kind: DataType) -> &'static str {
        match kind {
            DataType::Text => "text",
            DataType::Integer => "integer",
            DataType::Decimal if self.is_v2() => "decimal",
            DataType::Decimal => "float",
            DataType::Date => "date",
            DataType::PartialDate => "partialDate",
            DataType::Time => "time",
            DataType::DateTime => "datetime",
            DataType::Boolean => "boolean",
            DataType::File => "URI",
        }
    }

    /// Whether a reader gets it back whole: values or expressions and not both, no text with blanks around it, and in
    /// ODM 2.0 no unit.
    fn says_all(&self, check: &RangeCheck) -> bool {
        check.values.is_empty() != check.expressions.is_empty()
            && check.values.iter().all(|value| is_plain(value))
            && check.expressions.iter().all(|one| is_plain(&one.text))
            && plain(&check.message)
            && check.comparator.as_deref().is_none_or(is_comparator)
            && (check.unit.is_none() || !self.is_v2())
    }

    fn range_check(&mut self, check: &RangeCheck) -> Result<(), ExchangeError> {
        self.xml
            .tag("RangeCheck")
            .maybe("Comparator", check.comparator.as_ref().filter(|comparator| is_comparator(comparator)))
            .attr("SoftHard", if check.hard { "Hard" } else { "Soft" })
            .start()?;
        for value in &check.values {
            self.xml.tag("CheckValue").text(value)?;
        }
        if check.values.is_empty() {
            self.expressions(&check.expressions)?;
        }
        if let Some(unit) = check.unit.as_ref().filter(|_| !self.is_v2()) {
            self.xml.tag("MeasurementUnitRef").attr("MeasurementUnitOID", unit).empty()?;
        }
        self.labels("ErrorMessage", &check.message)?;
        self.xml.end()
    }
}

/// Whether ODM has any form for it: values, or expressions.
fn shows(check: &RangeCheck) -> bool {
    !check.values.is_empty() || !check.expressions.is_empty()
}

fn is_comparator(word: &str) -> bool {
    ["LT", "LE", "GT", "GE", "EQ", "NE", "IN", "NOTIN"].contains(&word)
}
