//! Units, code lists, conditions and methods.

use std::io::Write;

use domain::design::{CodeListDef, DataType, Expression, ExpressionDef, Labels};

use super::oids::Kind;
use super::texts::{is_plain, json, named, plain};
use super::{Metadata, UNITS, alias};
use crate::ExchangeError;

impl<W: Write> Metadata<'_, W> {
    /// Units of measurement in ODM 1.3.2.
    pub(super) fn units(&mut self) -> Result<(), ExchangeError> {
        if self.design.units.is_empty() {
            return Ok(());
        }
        self.xml.tag("BasicDefinitions").start()?;
        for (oid, symbol) in &self.design.units {
            self.xml.tag("MeasurementUnit").attr("OID", oid).attr("Name", unit_name(oid, symbol)).start()?;
            if symbol.values().all(|text| text.trim().is_empty()) {
                self.filler("Symbol", oid)?;
            } else {
                self.labels("Symbol", symbol)?;
            }
            if symbol.is_empty() || !plain(symbol) {
                self.alias(alias::LABELS, json(symbol))?;
            }
            self.xml.end()?;
        }
        self.xml.end()
    }

    /// The code lists; in ODM 2.0 the units too, as one more.
    pub(super) fn code_lists(&mut self) -> Result<(), ExchangeError> {
        self.design.code_lists.iter().try_for_each(|list| self.code_list(list))?;
        if !self.is_v2() || self.design.units.is_empty() {
            return Ok(());
        }
        self.xml
            .tag("CodeList")
            .attr("OID", UNITS)
            .attr("Name", "Units of measurement")
            .attr("DataType", "text")
            .start()?;
        for (oid, symbol) in &self.design.units {
            self.code(oid, symbol, true)?;
        }
        self.xml.end()
    }

    fn code_list(&mut self, list: &CodeListDef) -> Result<(), ExchangeError> {
        let written = self.oids.get(Kind::CodeList, &list.oid);
        let kind = self.kind_of(list);
        self.xml
            .tag("CodeList")
            .attr("OID", &written)
            .attr("Name", named(&list.name, &written))
            .attr("DataType", kind)
            .start()?;
        let decoded = self.is_v2() || list.codes.iter().any(|code| !code.labels.is_empty());
        for code in &list.codes {
            self.code(&code.value, &code.labels, decoded)?;
        }
        let empty = list.codes.is_empty() && !self.is_v2();
        if empty {
            self.xml.tag("ExternalCodeList").attr("Dictionary", "none").empty()?;
        }
        self.common_aliases((&list.oid, &written), &list.name, None)?;
        self.flag(alias::EMPTY, list.codes.is_empty())?;
        self.xml.end()
    }

    /// One code; `decoded` codes have labels. ODM 1.3.2 has another element for lists without any.
    fn code(&mut self, value: &str, labels: &Labels, decoded: bool) -> Result<(), ExchangeError> {
        let element = if decoded { "CodeListItem" } else { "EnumeratedItem" };
        let missing = decoded && !self.is_v2() && labels.values().all(|text| text.trim().is_empty());
        let unsaid = missing || !plain(labels);
        let tag = self.xml.tag(element).attr("CodedValue", value);
        if !unsaid && labels.is_empty() {
            return tag.empty();
        }
        tag.start()?;
        if missing {
            self.filler("Decode", value)?;
        } else {
            self.labels("Decode", labels)?;
        }
        if unsaid {
            self.alias(alias::LABELS, json(labels))?;
        }
        self.xml.end()
    }

    /// What kind of values the list has: that of the items which take them, if there is a word for it.
    fn kind_of(&self, list: &CodeListDef) -> &'static str {
        let items = || self.design.items.iter().filter(|item| item.code_list.as_deref() == Some(&list.oid));
        let all = |kind| items().next().is_some() && items().all(|item| item.data_type == kind);
        match self.is_v2() {
            _ if all(DataType::Integer) => "integer",
            true if all(DataType::Decimal) => "decimal",
            false if all(DataType::Decimal) => "float",
            _ => "text",
        }
    }

    pub(super) fn conditions(&mut self) -> Result<(), ExchangeError> {
        self.design.conditions.iter().try_for_each(|one| self.named_expression("ConditionDef", Kind::Condition, one))
    }

    pub(super) fn methods(&mut self) -> Result<(), ExchangeError> {
        self.design.methods.iter().try_for_each(|one| self.named_expression("MethodDef", Kind::Method, one))
    }

    fn named_expression(
        &mut self,
        element: &'static str,
        kind: Kind,
        definition: &ExpressionDef,
    ) -> Result<(), ExchangeError> {
        let written = self.oids.get(kind, &definition.oid);
        let name = named(&definition.name, &written);
        let type_of = (kind == Kind::Method).then_some("Computation");
        self.xml.tag(element).attr("OID", &written).attr("Name", name).maybe("Type", type_of).start()?;
        match definition.labels.values().all(|text| text.trim().is_empty()) {
            true => self.filler("Description", name)?,
            false => self.labels("Description", &definition.labels)?,
        }
        if self.is_v2() {
            self.xml.tag("MethodSignature").empty()?;
        }
        self.expressions(&definition.expressions)?;
        self.common_aliases((&definition.oid, &written), &definition.name, Some(&definition.labels))?;
        if definition.labels.len() == 1 && definition.labels.get("").is_some_and(|text| text == name) {
            self.alias(alias::LABELS, json(&definition.labels))?; // a reader takes it for a filler
        }
        if definition.expressions.iter().any(|one| !is_plain(&one.text)) {
            self.alias(alias::EXPRESSIONS, json(&definition.expressions))?;
        }
        self.xml.end()
    }

    pub(super) fn expressions(&mut self, expressions: &[Expression]) -> Result<(), ExchangeError> {
        for expression in expressions {
            let nested = self.is_v2();
            let tag = self.xml.tag("FormalExpression").attr("Context", &expression.context);
            if nested {
                tag.start()?;
                self.xml.tag("Code").text(&expression.text)?;
                self.xml.end()?;
            } else {
                tag.text(&expression.text)?;
            }
        }
        Ok(())
    }
}

fn unit_name<'a>(oid: &'a str, symbol: &'a Labels) -> &'a str {
    let names = ["en", ""].iter().filter_map(|language| symbol.get(*language)).chain(symbol.values());
    names.map(|name| name.trim()).find(|name| !name.is_empty()).unwrap_or(oid)
}
