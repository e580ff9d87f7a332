//! One `SubjectData`: its visits, forms, item groups and values, as they stand.

use std::io::BufRead;

use domain::Day;
use domain::ids::{Oid, SubjectNumber};
use exchange::odm::OdmVersion;
use time::Date;
use time::format_description::well_known::Iso8601;

use super::annotations::Annotations;
use super::clinical::{Audit, ClinicalFile, ParticipantData, VisitSaid, place};
use super::error::{OdmError, Place};
use super::reader::Element;
use super::report::Severity;
use super::transaction::Transaction;

mod forms;
mod items;

use items::RawItem;

/// An OID and, if the file has one, the repeat key beside it.
#[derive(Clone)]
struct Keyed {
    oid: Oid,
    key: Option<String>,
    line: u64,
    transaction: Transaction,
}

struct RawVisit {
    visit: Keyed,
    state: Option<VisitSaid>,
    notes: Annotations,
    audit: Option<Audit>,
}

struct RawForm {
    visit: Keyed,
    form: Keyed,
    items: Vec<RawItem>,
    notes: Annotations,
    audit: Option<Audit>,
}

/// The attributes of `ItemGroupData` with its OID and its repeat key.
const GROUP: (&str, &str) = ("ItemGroupOID", "ItemGroupRepeatKey");

fn is_v2<R: BufRead>(file: &ClinicalFile<R>) -> bool {
    file.xml.version() == OdmVersion::V2_0
}

/// A `SubjectData` while it is read.
pub(super) struct Draft {
    at: Place,
    subject_number: SubjectNumber,
    transaction: Transaction,
    audit: Option<Audit>,
    site: Option<String>,
    location: Option<String>,
    notes: Annotations,
    visits: Vec<RawVisit>,
    forms: Vec<RawForm>,
}

impl Draft {
    /// Reads it, or says in the report why not.
    pub(super) fn read<R: BufRead>(
        file: &mut ClinicalFile<R>,
        subject: &Element,
        limit: u64,
    ) -> Result<Option<Self>, OdmError> {
        let Some(transaction) = Transaction::of(file, subject, None, Transaction::Upsert) else { return Ok(None) };
        if transaction == Transaction::Remove {
            let what = "a participant is not removed: have the withdrawal recorded, or the data erased";
            file.row(Severity::Refused, (subject.at.line, "SubjectData", None), "transaction", what);
            return Ok(None);
        }
        let subject_number = match subject.attribute("SubjectKey").unwrap_or_default().parse() {
            Ok(subject_number) => subject_number,
            Err(invalid) => {
                let what = format!("its SubjectKey is {invalid}; nothing of it was taken");
                file.row(Severity::Refused, (subject.at.line, "SubjectData", None), "bad-subject-number", what);
                return Ok(None);
            }
        };
        file.xml.begin_budget("one SubjectData", limit);
        let (audit, site, location, notes) = (None, None, None, Annotations::default());
        let (visits, forms) = (Vec::new(), Vec::new());
        let mut draft =
            Self { at: subject.at, subject_number, transaction, audit, site, location, notes, visits, forms };
        while let Some(element) = file.xml.child(subject)? {
            match element.name.as_str() {
                "StudyEventData" => draft.visit(file, &element)?,
                "AuditRecord" => {
                    let (audit, location) = file.audit(&element)?;
                    draft.audit = Some(audit);
                    draft.location = location;
                }
                "Annotation" => draft.notes.read(file, &element)?,
                "SiteRef" => draft.site = place(&element),
                _ => file.not_kept.inside("SubjectData", &element),
            }
        }
        draft.marks(file, subject, &["WITHDRAWN", "RESTRICTED"]);
        file.xml.end_budget();
        Ok(Some(draft))
    }

    /// Marks that are nobody's to import: they are acts of persons.
    fn marks<R: BufRead>(&self, file: &mut ClinicalFile<R>, element: &Element, known: &[&str]) {
        not_kept(file, element, &self.notes, known);
    }

    fn visit<R: BufRead>(&mut self, file: &mut ClinicalFile<R>, element: &Element) -> Result<(), OdmError> {
        let Some(visit) = keyed(file, element, "StudyEventOID", "StudyEventRepeatKey", self.transaction) else {
            return Ok(());
        };
        if visit.transaction == Transaction::Remove {
            let what = "a visit is not removed: remove its forms, or say that it was missed";
            let at = (visit.line, "StudyEventData", Some(&visit.oid));
            file.row(Severity::Refused, at, "transaction", what);
            return Ok(());
        }
        let (mut notes, mut audit) = (Annotations::default(), None);
        let begin = self.forms.len();
        while let Some(inner) = file.xml.child(element)? {
            match (file.xml.version(), inner.name.as_str()) {
                (OdmVersion::V1_3_2, "FormData") => self.form(file, &inner, &visit, ("FormOID", "FormRepeatKey"))?,
                // ODM 2.0 has no forms: the item groups of a visit are forms, as in the design.
                (OdmVersion::V2_0, "ItemGroupData") => self.form(file, &inner, &visit, GROUP)?,
                (_, "Annotation") => notes.read(file, &inner)?,
                (_, "AuditRecord") => audit = Some(file.audit(&inner)?.0),
                _ => file.not_kept.inside("StudyEventData", &inner),
            }
        }
        for form in &mut self.forms[begin..] {
            form.around(audit.as_ref());
        }
        not_kept(file, element, &notes, &[]);
        let state = notes.visit.take().and_then(|said| visit_state(file, &visit, said));
        self.visits.push(RawVisit { visit, state, notes, audit });
        Ok(())
    }

    fn form<R: BufRead>(
        &mut self,
        file: &mut ClinicalFile<R>,
        element: &Element,
        visit: &Keyed,
        (oid_of, key_of): (&str, &str),
    ) -> Result<(), OdmError> {
        let Some(form) = keyed(file, element, oid_of, key_of, visit.transaction) else {
            return Ok(());
        };
        let mut raw = RawForm {
            visit: visit.clone(),
            form: form.clone(),
            items: Vec::new(),
            notes: Annotations::default(),
            audit: None,
        };
        let v2 = is_v2(file);
        while let Some(inner) = file.xml.child(element)? {
            match inner.name.as_str() {
                "AuditRecord" => raw.audit = Some(file.audit(&inner)?.0),
                // What is removed says no more.
                _ if form.transaction == Transaction::Remove => {}
                "ItemGroupData" => items::group(file, &inner, &form, &mut raw.items)?,
                // In the design, an item group of the form's OID.
                "ItemData" if v2 => {
                    raw.items.extend(items::item(file, &inner, "", &Keyed { key: None, ..form.clone() })?);
                }
                "Annotation" => raw.notes.read(file, &inner)?,
                _ => file.not_kept.inside(&element.name, &inner),
            }
        }
        not_kept(file, element, &raw.notes, &["COMPLETED", "REMOVED"]);
        let audit = raw.audit.clone();
        raw.around(audit.as_ref());
        self.forms.push(raw);
        Ok(())
    }

    /// The participant, with every repeat key counted.
    pub(super) fn participant<R: BufRead>(
        mut self,
        file: &mut ClinicalFile<R>,
        clinical_data: &Element,
    ) -> ParticipantData {
        for form in &mut self.forms {
            form.around(self.audit.as_ref());
        }
        for visit in &mut self.visits {
            visit.audit = visit.audit.take().or_else(|| self.audit.clone());
        }
        let (visits, forms) = forms::under_their_keys(file, self.visits, self.forms);
        ParticipantData {
            subject_number: self.subject_number,
            site: self.site.or(self.location),
            audit: self.audit,
            transaction: self.transaction,
            withdrawn: self.notes.marks.iter().any(|mark| mark == "WITHDRAWN"),
            remarks: self.notes.remarks,
            visits,
            forms,
            study: clinical_data.attribute("StudyOID").map(str::to_owned),
            design_version: clinical_data.attribute("MetaDataVersionOID").map(str::to_owned),
            line: self.at.line,
        }
    }
}

impl RawForm {
    /// What stands around the form was recorded so, where nothing nearer says otherwise.
    fn around(&mut self, audit: Option<&Audit>) {
        if self.audit.is_none() {
            self.audit = audit.cloned();
        }
        for item in self.items.iter_mut().filter(|item| item.audit.is_none()) {
            item.audit = audit.cloned();
        }
    }
}

fn not_kept<R: BufRead>(file: &mut ClinicalFile<R>, element: &Element, notes: &Annotations, known: &[&str]) {
    for _ in notes.marks.iter().filter(|mark| !known.contains(&mark.as_str())) {
        file.not_kept.count("Annotation (Mark)", element.at, "not-kept");
    }
}

fn visit_state<R: BufRead>(
    file: &mut ClinicalFile<R>,
    visit: &Keyed,
    (state, text, line): (String, String, u64),
) -> Option<VisitSaid> {
    if state == "MISSED" {
        return Some(VisitSaid::Missed(text));
    }
    let day = Date::parse(text.trim(), &Iso8601::DATE).ok().map(|day| VisitSaid::Started(Day(day)));
    if day.is_none() {
        let what = "the day of the visit is not there: it is no date";
        file.row(Severity::Refused, (line, "Annotation", Some(&visit.oid)), "no-day", what);
    }
    day
}

/// The OID and repeat key of an element that is to be taken.
fn keyed<R: BufRead>(
    file: &mut ClinicalFile<R>,
    element: &Element,
    oid_of: &str,
    key_of: &str,
    around: Transaction,
) -> Option<Keyed> {
    let oid = oid(file, element, oid_of)?;
    let transaction = Transaction::of(file, element, Some(&oid), around)?;
    Some(Keyed { oid, key: element.attribute(key_of).map(str::to_owned), line: element.at.line, transaction })
}

fn oid<R: BufRead>(file: &mut ClinicalFile<R>, element: &Element, attribute: &str) -> Option<Oid> {
    match element.attribute(attribute).unwrap_or_default().parse() {
        Ok(oid) => Some(oid),
        Err(invalid) => {
            let what = format!("its {attribute} is {invalid}; nothing in it was taken");
            file.row(Severity::Refused, (element.at.line, &element.name, None), "bad-oid", what);
            None
        }
    }
}
