//! `SubjectData` and what is in it.

use std::io::Write;

use domain::ids::{Oid, SiteId};

use super::OdmVersion;
use super::flags::Flag;
use super::write::{History, OdmWriter};
use crate::ExchangeError;
use crate::model::{
    FormRecord, GroupRecord, ItemRecord, ItemState, Notes, ParticipantRecord, VisitRecord, VisitState, missing_code,
};
use crate::xml::Tag;

/// Which attributes are written at an element: ODM has a `TransactionType` in transactional files only.
fn transaction<'x, W: Write>(tag: Tag<'x, W>, history: History, kind: &'static str) -> Tag<'x, W> {
    if history == History::Whole { tag.attr("TransactionType", kind) } else { tag }
}

/// Repeat keys are for what can repeat.
fn repeat_key(repeating: bool, repeat: u32) -> Option<String> {
    (repeating || repeat > 1).then(|| repeat.to_string())
}

impl<W: Write> OdmWriter<'_, W> {
    fn v1(&self) -> bool {
        self.options.version == OdmVersion::V1_3_2
    }

    pub(super) fn subject(&mut self, record: &ParticipantRecord) -> Result<(), ExchangeError> {
        let tag = self.xml.tag("SubjectData").attr("SubjectKey", record.subject_number.as_str());
        transaction(tag, self.options.history, "Insert").start()?;
        if self.v1() {
            self.registered(record)?;
            self.signature_element(&record.notes, &record.site)?;
        }
        self.xml.tag("SiteRef").attr("LocationOID", record.site.as_str()).empty()?;
        if self.v1() {
            self.subject_annotations(record)?;
        }
        for visit in &record.visits {
            self.visit(record, visit)?;
        }
        if !self.v1() {
            self.registered(record)?;
            self.signature_element(&record.notes, &record.site)?;
            self.subject_annotations(record)?;
            self.queries_v2(&record.notes, &record.site)?;
        }
        self.xml.end()
    }

    fn registered(&mut self, record: &ParticipantRecord) -> Result<(), ExchangeError> {
        match (&record.registered, self.options.history) {
            (Some(act), History::Last | History::Whole) => self.audit_record(act, None, &record.site),
            _ => Ok(()),
        }
    }

    fn subject_annotations(&mut self, record: &ParticipantRecord) -> Result<(), ExchangeError> {
        let mut more = Vec::new();
        if record.restricted {
            more.push((Flag::Mark, "RESTRICTED", None));
        }
        if record.withdrawn {
            more.push((Flag::Mark, "WITHDRAWN", None));
        }
        self.annotations(&record.notes, &more)
    }

    /// What stands beside the values of a place: before its children in 1.3.2, after them in 2.0.
    fn beside(&mut self, notes: &Notes, site: &SiteId, more: &[super::notes::Remark<'_>]) -> Result<(), ExchangeError> {
        self.signature_element(notes, site)?;
        self.annotations(notes, more)?;
        if self.v1() { Ok(()) } else { self.queries_v2(notes, site) }
    }

    fn visit(&mut self, record: &ParticipantRecord, visit: &VisitRecord) -> Result<(), ExchangeError> {
        let definition = self.export.design.visit(&visit.visit).ok_or_else(|| unknown("visit", &visit.visit))?;
        let tag = self
            .xml
            .tag("StudyEventData")
            .attr("StudyEventOID", self.oids.visit(visit.visit.as_str()))
            .maybe("StudyEventRepeatKey", repeat_key(definition.repeating, visit.repeat));
        transaction(tag, self.options.history, "Insert").start()?;
        let state = match &visit.state {
            VisitState::Unsaid => vec![],
            VisitState::Started(on) => vec![(Flag::Visit, "STARTED", Some(on))],
            VisitState::Missed(reason) => vec![(Flag::Visit, "MISSED", Some(reason))],
        };
        if self.v1() {
            self.beside(&visit.notes, &record.site, &state)?;
        }
        for form in &visit.forms {
            self.form(record, form)?;
        }
        if !self.v1() {
            self.beside(&visit.notes, &record.site, &state)?;
        }
        self.xml.end()
    }

    fn form(&mut self, record: &ParticipantRecord, form: &FormRecord) -> Result<(), ExchangeError> {
        let definition = self.export.design.form(&form.form).ok_or_else(|| unknown("form", &form.form))?;
        let key = repeat_key(definition.repeating, form.repeat);
        let oid = self.oids.form(form.form.as_str());
        let tag = if self.v1() {
            self.xml.tag("FormData").attr("FormOID", oid).maybe("FormRepeatKey", key)
        } else {
            self.xml.tag("ItemGroupData").attr("ItemGroupOID", oid).maybe("ItemGroupRepeatKey", key)
        };
        transaction(tag, self.options.history, "Insert").start()?;
        if self.v1() {
            self.beside(&form.notes, &record.site, &[])?;
        }
        for group in &form.groups {
            self.group(record, group)?;
        }
        if !self.v1() {
            self.beside(&form.notes, &record.site, &[])?;
        }
        self.xml.end()
    }

    fn group(&mut self, record: &ParticipantRecord, group: &GroupRecord) -> Result<(), ExchangeError> {
        let definition =
            self.export.design.item_group(&group.group).ok_or_else(|| unknown("item group", &group.group))?;
        let tag = self
            .xml
            .tag("ItemGroupData")
            .attr("ItemGroupOID", self.oids.item_group(group.group.as_str()))
            .maybe("ItemGroupRepeatKey", repeat_key(definition.repeating, group.repeat));
        transaction(tag, self.options.history, "Insert").start()?;
        for item in &group.items {
            self.item(record, item)?;
        }
        self.xml.end()
    }

    fn item(&mut self, record: &ParticipantRecord, item: &ItemRecord) -> Result<(), ExchangeError> {
        let (last, earlier) = match item.changes.split_last() {
            Some((last, earlier)) if self.options.history == History::Whole => (Some(last), earlier),
            Some((last, _)) if self.options.history == History::Last => (Some(last), &[][..]),
            _ => (None, &[][..]),
        };
        let mut before = None;
        for change in earlier {
            self.item_data(
                record,
                item,
                Transaction { before, now: &change.state, change: Some(change), last: false },
            )?;
            before = Some(&change.state);
        }
        self.item_data(record, item, Transaction { before, now: &item.state, change: last, last: true })
    }

    fn item_data(
        &mut self,
        record: &ParticipantRecord,
        item: &ItemRecord,
        transaction: Transaction<'_>,
    ) -> Result<(), ExchangeError> {
        let definition = self.export.design.item(&item.item).ok_or_else(|| unknown("item", &item.item))?;
        let (v1, whole) = (self.v1(), self.options.history == History::Whole);
        let value = match transaction.now {
            ItemState::Value(value) => Some(value),
            _ => None,
        };
        self.xml
            .tag("ItemData")
            .attr("ItemOID", self.oids.item(item.item.as_str()))
            .maybe("TransactionType", whole.then(|| transaction.kind()))
            .maybe("Value", value.filter(|_| v1))
            .maybe("IsNull", value.is_none().then_some("Yes"))
            .start()?;
        if let Some(value) = value.filter(|_| !v1) {
            self.xml.tag("Value").text(value)?;
        }
        if let Some(change) = transaction.change {
            self.audit_record(&change.by, change.reason.as_ref(), &record.site)?;
        }
        self.beside_item(record, item, &transaction, definition.unit.as_deref())?;
        self.xml.end()
    }

    fn beside_item(
        &mut self,
        record: &ParticipantRecord,
        item: &ItemRecord,
        transaction: &Transaction<'_>,
        unit: Option<&str>,
    ) -> Result<(), ExchangeError> {
        let mut more: Vec<_> =
            missing_code(transaction.now).map(|code| (Flag::Missing, code, None)).into_iter().collect();
        if item.computed && transaction.last {
            more.push((Flag::Computed, "COMPUTED", None));
        }
        // What concerns the item stands once, at its last change.
        let none = Notes::default();
        let notes = if transaction.last { &item.notes } else { &none };
        self.signature_element(notes, &record.site)?;
        if let Some(unit) = unit.filter(|_| self.v1()) {
            self.xml.tag("MeasurementUnitRef").attr("MeasurementUnitOID", unit).empty()?;
        }
        self.annotations(notes, &more)?;
        if self.v1() { Ok(()) } else { self.queries_v2(notes, &record.site) }
    }
}

/// One `ItemData`: what stood there, what stands there, by which change.
struct Transaction<'a> {
    before: Option<&'a ItemState>,
    now: &'a ItemState,
    change: Option<&'a crate::model::Change>,
    last: bool,
}

impl Transaction<'_> {
    /// What was cleared is removed; what comes after that is new.
    fn kind(&self) -> &'static str {
        match (self.before, self.now) {
            (_, ItemState::Cleared) => "Remove",
            (None | Some(ItemState::Cleared), _) => "Insert",
            (Some(_), _) => "Update",
        }
    }
}

fn unknown(kind: &'static str, oid: &Oid) -> ExchangeError {
    ExchangeError::NotInDesign { kind, oid: oid.to_string() }
}
