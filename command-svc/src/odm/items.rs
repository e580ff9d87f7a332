//! `ItemDef`: what kind of value an item takes, its questions, unit, code list, checks and scope.

use std::io::BufRead;

use domain::design::{DataType, ItemDef, Labels, RangeCheck};
use domain::scope::Scope;
use exchange::odm::metadata::alias;

use super::definitions::aliases::Aliases;
use super::definitions::{Draft, Kind, name, number};
use super::design::File;
use super::error::{OdmError, Place, shown};
use super::reader::Element;

/// What stands within an `ItemDef`.
#[derive(Default)]
struct Inside {
    question: Labels,
    description: Labels,
    units: Vec<String>,
    code_list: Option<String>,
    range_checks: Vec<RangeCheck>,
    places: Vec<Place>,
    aliases: Aliases,
}

impl Draft {
    pub(super) fn item<R: BufRead>(&mut self, file: &mut File<R>, element: &Element) -> Result<(), OdmError> {
        let mut inside = self.inside_item(file, element)?;
        let Some(oid) = self.defines(element, Kind::Item) else {
            return Ok(());
        };
        let data_type = self.data_type(element);
        if inside.units.len() > 1 {
            let what = "it may be given in several units: only the first is kept";
            self.warn(element, Some(oid.as_str()), "several-units", what);
        }
        if element.attribute("SignificantDigits").is_some() {
            file.not_kept.count("SignificantDigits in ItemDef", element.at, "not-kept");
        }
        let aliases = std::mem::take(&mut inside.aliases);
        self.original(&aliases, Kind::Item, element);
        let labels = if inside.question.is_empty() { inside.description } else { inside.question };
        let unit = aliases.text(alias::UNIT).map(str::to_owned);
        if let Some(unit) = &unit {
            self.refers(element, Kind::Unit, unit);
        }
        let item = ItemDef {
            name: Self::name_of(&aliases, element),
            labels: self.labels_of(&aliases, labels, element),
            data_type,
            length: self.json(&aliases, alias::LENGTH, element).or_else(|| self.length(element)),
            code_list: inside.code_list,
            unit: unit.or_else(|| inside.units.into_iter().next()),
            scope: self.scope(&aliases, element),
            identifier: aliases.has(alias::IDENTIFIER),
            blinded: aliases.has(alias::BLINDED),
            critical: aliases.has(alias::CRITICAL),
            sdv: aliases.has(alias::SDV),
            range_checks: self.json(&aliases, alias::RANGE_CHECKS, element).unwrap_or(inside.range_checks),
            oid,
        };
        if !aliases.has(alias::RANGE_CHECKS) {
            self.range_checks_at(item.oid.as_str(), inside.places);
        }
        self.design.items.push(item);
        Ok(())
    }

    fn inside_item<R: BufRead>(&mut self, file: &mut File<R>, item: &Element) -> Result<Inside, OdmError> {
        let mut inside = Inside::default();
        while let Some(element) = file.xml.child(item)? {
            match element.name.as_str() {
                "Question" => inside.question = file.labels(&element)?,
                "Description" => inside.description = file.labels(&element)?,
                "MeasurementUnitRef" => {
                    inside.units.extend(self.optional(&element, "MeasurementUnitOID", Kind::Unit));
                }
                "CodeListRef" => inside.code_list = self.optional(&element, "CodeListOID", Kind::CodeList),
                "RangeCheck" => {
                    let check = self.range_check(file, &element, item)?;
                    inside.range_checks.push(check);
                    inside.places.push(element.at);
                }
                "Alias" => inside.aliases.take(file, &element, item),
                _ => file.not_kept.inside(&item.name, &element),
            }
        }
        Ok(inside)
    }

    fn scope(&mut self, aliases: &Aliases, item: &Element) -> Option<Scope> {
        let declared = aliases.text(alias::SCOPE)?.parse().ok();
        let scope = declared.filter(|scope| Scope::of_participants().any(|allowed| allowed == *scope));
        if scope.is_none() {
            let allowed: Vec<_> = Scope::of_participants().map(Scope::as_str).collect();
            let what = format!("the scope of {} is none of {}", name(item), allowed.join(", "));
            self.fault(item, "bad-scope", what);
        }
        scope
    }

    /// ODM 1.3.2, section 2.14. What the domain has no type for is taken as text.
    fn data_type(&mut self, element: &Element) -> DataType {
        let declared = element.attribute("DataType").unwrap_or_default();
        let oid = element.attribute("OID");
        match declared {
            "text" | "string" => DataType::Text,
            "integer" => DataType::Integer,
            "float" | "double" | "decimal" => DataType::Decimal,
            "date" => DataType::Date,
            "partialDate" => DataType::PartialDate,
            "time" => DataType::Time,
            "datetime" => DataType::DateTime,
            "boolean" => DataType::Boolean,
            "URI" => DataType::File,
            "partialTime" => {
                self.warn(element, oid, "partial", "a partialTime is taken as a time: only whole values fit");
                DataType::Time
            }
            "partialDatetime" | "incompleteDatetime" => {
                let what = format!("a {declared} is taken as a datetime: only whole values fit");
                self.warn(element, oid, "partial", what);
                DataType::DateTime
            }
            other => {
                let what = format!("the data type \"{}\" is taken as text, its rules are not checked", shown(other));
                self.warn(element, oid, "data-type-as-text", what);
                DataType::Text
            }
        }
    }

    /// The length holds for texts and numbers only (ODM 1.3.2, `ItemDef`); elsewhere it would refuse good values.
    fn length(&mut self, element: &Element) -> Option<u32> {
        let length = number(element, "Length").filter(|length| *length > 0)?;
        let kind = element.attribute("DataType").unwrap_or_default();
        if matches!(kind, "text" | "string" | "integer" | "float" | "double" | "decimal") {
            return Some(length);
        }
        let what = format!("the length of a {} is not kept: ODM gives it no meaning", shown(kind));
        self.warn(element, element.attribute("OID"), "length", what);
        None
    }

    fn range_check<R: BufRead>(
        &mut self,
        file: &mut File<R>,
        check: &Element,
        item: &Element,
    ) -> Result<RangeCheck, OdmError> {
        let mut read = RangeCheck {
            comparator: check.attribute("Comparator").map(str::to_owned),
            hard: check.attribute("SoftHard") == Some("Hard"),
            values: Vec::new(),
            unit: None,
            message: Labels::new(),
            expressions: Vec::new(),
        };
        while let Some(element) = file.xml.child(check)? {
            match element.name.as_str() {
                "CheckValue" => read.values.push(file.xml.text(&element)?),
                "MeasurementUnitRef" => read.unit = self.optional(&element, "MeasurementUnitOID", Kind::Unit),
                "ErrorMessage" => read.message = file.labels(&element)?,
                "FormalExpression" => read.expressions.push(self.expression(file, &element, item)?),
                _ => file.not_kept.inside(&check.name, &element),
            }
        }
        Ok(read)
    }
}
