//! Rows of a file as values of forms, or what is wrong with them.

use std::collections::BTreeMap;
use std::io::BufRead;

use domain::Day;
use domain::design::{DataType, ItemDef, ItemValue, StudyDesign};
use domain::ids::{Oid, SiteId, SubjectNumber};
use domain::participant::{FormKey, ItemKey, NotDone};
use domain::scope::Plain;
use time::Date;
use time::format_description::well_known::Iso8601;

use super::dates;
use super::mapping::{ItemColumn, Mapping, Origin, RepeatOrigin, VisitDate};
use super::read::{CsvError, CsvReader, Row};

/// What a row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappedRow {
    /// The line that it begins on.
    pub line: u64,
    /// Whose it is.
    pub subject_number: SubjectNumber,
    /// Where the participant is treated.
    pub site: Option<SiteId>,
    /// The form.
    pub form: FormKey,
    /// On which day the visit took place, if the row says so.
    pub visit_date: Option<Day>,
    /// Its values. Empty fields are left out: they clear nothing.
    pub items: Vec<MappedItem>,
    /// Why saved values change.
    pub reason: Option<Plain>,
}

/// One value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappedItem {
    /// Which item of the form.
    pub item: ItemKey,
    /// The column.
    pub column: String,
    /// Its value; none if it was not done.
    pub value: Option<ItemValue>,
    /// Why there is none.
    pub not_done: Option<NotDone>,
}

/// Something wrong with a row. Never holds what stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFault {
    /// The line that the row begins on.
    pub line: u64,
    /// The column, if it is about one.
    pub column: Option<String>,
    /// A short name of the fault, for programs.
    pub code: &'static str,
    /// What is wrong, for people.
    pub what: String,
}

/// The rows of a file, one at a time.
pub struct Rows<'m, R> {
    reader: CsvReader<R>,
    mapping: &'m Mapping,
    design: &'m StudyDesign,
    columns: BTreeMap<String, usize>,
    width: usize,
    counted: BTreeMap<(SubjectNumber, FormKey), u32>,
}

/// A row under way: what is wrong with it so far.
struct Mapper<'a> {
    mapping: &'a Mapping,
    design: &'a StudyDesign,
    columns: &'a BTreeMap<String, usize>,
    row: &'a Row,
    faults: Vec<RowFault>,
}

impl<'m, R: BufRead> Rows<'m, R> {
    /// Reads the header line. Every column of the mapping must be there once.
    pub fn begin(from: R, mapping: &'m Mapping, design: &'m StudyDesign) -> Result<Self, CsvError> {
        let delimiter = u8::try_from(mapping.delimiter).map_err(|_| CsvError::Column(mapping.delimiter.to_string()))?;
        let mut reader = CsvReader::new(from, delimiter);
        let header = reader.next_row()?.ok_or(CsvError::NoHeader)?;
        let names: Vec<_> = header.fields.into_iter().map(Option::unwrap_or_default).collect();
        let mut columns = BTreeMap::new();
        for wanted in mapping.columns() {
            let mut at = names.iter().enumerate().filter(|(_, name)| name.trim() == wanted).map(|(n, _)| n);
            match (at.next(), at.next()) {
                (Some(n), None) => columns.insert(wanted.to_owned(), n),
                _ => return Err(CsvError::Column(wanted.to_owned())),
            };
        }
        Ok(Self { reader, mapping, design, columns, width: names.len(), counted: BTreeMap::new() })
    }

    /// The next row, or what is wrong with it; then the next one can be read all the same.
    pub fn next_row(&mut self) -> Result<Option<Result<MappedRow, Vec<RowFault>>>, CsvError> {
        let Some(row) = self.reader.next_row()? else { return Ok(None) };
        if row.fields.len() != self.width {
            let what = format!("the row has {} fields and the header {}", row.fields.len(), self.width);
            return Ok(Some(Err(vec![RowFault { line: row.line, column: None, code: "field-count", what }])));
        }
        let (mapping, design) = (self.mapping, self.design);
        let mapper = Mapper { mapping, design, columns: &self.columns, row: &row, faults: Vec::new() };
        Ok(Some(mapper.map(&mut self.counted)))
    }
}

impl<'a> Mapper<'a> {
    fn map(mut self, counted: &mut BTreeMap<(SubjectNumber, FormKey), u32>) -> Result<MappedRow, Vec<RowFault>> {
        let mapping = self.mapping;
        let subject_number = self.id::<SubjectNumber>(&mapping.subject_number);
        let site = mapping.site.as_ref().and_then(|site| self.id::<SiteId>(site));
        let form = self.form();
        let group = self.id::<Oid>(&mapping.group);
        let reason = mapping.reason.as_ref().and_then(|reason| self.text(reason)).map(Plain);
        let (Some(subject_number), Some(form), Some(group)) = (subject_number, form, group) else {
            return Err(self.faults);
        };
        let visit_date = mapping.visit_date.as_ref().and_then(|date| self.day(date));
        let repeat = match &mapping.group_repeat {
            RepeatOrigin::Count => {
                let count = counted.entry((subject_number.clone(), form.clone())).or_default();
                *count += 1;
                Some(*count)
            }
            other => self.repeat(other),
        };
        let items = repeat.map(|repeat| self.items(&form, &group, repeat)).unwrap_or_default();
        if !self.faults.is_empty() {
            return Err(self.faults);
        }
        Ok(MappedRow { line: self.row.line, subject_number, site, form, visit_date, items, reason })
    }

    fn form(&mut self) -> Option<FormKey> {
        let mapping = self.mapping;
        let (visit, form) = (self.id::<Oid>(&mapping.visit), self.id::<Oid>(&mapping.form));
        let (visit_repeat, form_repeat) = (self.repeat(&mapping.visit_repeat), self.repeat(&mapping.form_repeat));
        let (visit, form) = (visit?, form?);
        let Some(definition) = self.design.visit(&visit) else {
            self.fault(mapping.visit.column(), "no-such-visit", "the design has no such visit".into());
            return None;
        };
        if !definition.forms.iter().any(|reference| reference.oid == form) {
            self.fault(mapping.form.column(), "no-such-form", format!("visit {visit} has no such form"));
            return None;
        }
        Some(FormKey { visit, visit_repeat: visit_repeat?, form, form_repeat: form_repeat? })
    }

    fn items(&mut self, form: &FormKey, row_group: &Oid, group_repeat: u32) -> Vec<MappedItem> {
        let mapping = self.mapping;
        let mut items = Vec::new();
        for column in &mapping.items {
            let Some(text) = self.field(&column.column) else { continue };
            let group = column.group.as_ref().unwrap_or(row_group).clone();
            let Some(definition) = self.definition(form, &group, column) else { continue };
            let item = ItemKey { group, group_repeat, item: column.item.clone() };
            let name = column.column.clone();
            if let Some(why) = column.not_done.get(text) {
                items.push(MappedItem { item, column: name, value: None, not_done: Some(*why) });
                continue;
            }
            match value(text, column, definition).map(ItemValue) {
                // Whether it fits is for the platform to say, which keeps that it was tried.
                Ok(value) => items.push(MappedItem { item, column: name, value: Some(value), not_done: None }),
                Err(what) => self.fault(Some(&column.column), "format", what),
            }
        }
        items
    }

    fn day(&mut self, date: &VisitDate) -> Option<Day> {
        let text = self.field(&date.column)?;
        let iso = date.date_format.as_ref().map_or(Some(text.to_owned()), |pattern| dates::iso(text, pattern));
        let day = iso.and_then(|iso| Date::parse(&iso, &Iso8601::DATE).ok()).map(Day);
        if day.is_none() {
            self.fault(Some(&date.column), "format", "the day of a visit is a whole date".into());
        }
        day
    }

    fn definition(&mut self, form: &FormKey, group: &Oid, column: &ItemColumn) -> Option<&'a ItemDef> {
        let design = self.design;
        let on_form = design.form(&form.form).is_some_and(|form| form.item_groups.iter().any(|it| it.oid == *group));
        let in_group = design.item_group(group).is_some_and(|group| group.items.iter().any(|it| it.oid == column.item));
        let definition = design.item(&column.item).filter(|_| on_form && in_group);
        if definition.is_none() {
            let what = format!("form {} has no item {} in group {group}", form.form, column.item);
            self.fault(Some(&column.column), "no-such-item", what);
        }
        definition
    }

    /// What stands in a column; none if that means that there is no value.
    fn field(&self, column: &str) -> Option<&'a str> {
        let text = self.columns.get(column).and_then(|n| self.row.fields.get(*n))?.as_deref()?;
        (!text.is_empty() && !self.mapping.null.iter().any(|null| null == text)).then_some(text)
    }

    fn text(&mut self, origin: &Origin) -> Option<String> {
        match origin {
            Origin::Constant(text) => Some(text.clone()),
            Origin::Column(column) => self.field(column).map(str::to_owned),
            Origin::Codes { column, codes } => {
                let text = self.field(column)?;
                let code = codes.get(text).cloned();
                if code.is_none() {
                    self.fault(Some(column), "no-such-code", "the mapping does not say what this becomes".into());
                }
                code
            }
        }
    }

    fn id<T: std::str::FromStr<Err = domain::ids::InvalidId>>(&mut self, origin: &Origin) -> Option<T> {
        let before = self.faults.len();
        match self.text(origin) {
            None if self.faults.len() > before => None,
            None => {
                self.fault(origin.column(), "empty", "the row must have this".into());
                None
            }
            Some(text) => match text.parse() {
                Ok(id) => Some(id),
                Err(error) => {
                    self.fault(origin.column(), "format", error.to_string());
                    None
                }
            },
        }
    }

    fn repeat(&mut self, origin: &RepeatOrigin) -> Option<u32> {
        let RepeatOrigin::Column(column) = origin else { return Some(1) };
        let text = self.field(column).map(|text| text.strip_suffix(".0").unwrap_or(text));
        let number = text.and_then(|text| text.parse().ok()).filter(|number| *number > 0);
        if number.is_none() {
            self.fault(Some(column), "repeat", "an occurrence is a number from 1".into());
        }
        number
    }

    fn fault(&mut self, column: Option<&str>, code: &'static str, what: String) {
        self.faults.push(RowFault { line: self.row.line, column: column.map(str::to_owned), code, what });
    }
}

/// A field as a value of its item.
fn value(text: &str, column: &ItemColumn, definition: &ItemDef) -> Result<String, String> {
    let text = column.codes.get(text).map_or(text, String::as_str);
    if let Some(pattern) = &column.date_format {
        return dates::iso(text, pattern).ok_or_else(|| format!("the text is not written as {pattern}"));
    }
    let text = match column.decimal_mark {
        Some(mark) if mark != '.' => text.replace(mark, "."),
        _ => text.to_owned(),
    };
    if column.whole && definition.data_type == DataType::Integer {
        let whole = text.split_once('.').filter(|(_, zeros)| zeros.bytes().all(|byte| byte == b'0'));
        return Ok(whole.map_or(text.clone(), |(whole, _)| whole.to_owned()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
