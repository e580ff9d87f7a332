//! One `SubjectData`: its visits, forms, item groups and values, as they stand.

use std::io::BufRead;

use domain::design::ItemValue;
use domain::ids::{Oid, SubjectNumber};
use exchange::odm::OdmVersion;

use super::clinical::{Audit, ClinicalFile, ParticipantData, place};
use super::error::{OdmError, Place};
use super::names::is_known;
use super::reader::Element;
use super::report::Severity;

mod forms;

/// An OID and, if the file has one, the repeat key beside it.
#[derive(Clone)]
struct Keyed {
    oid: Oid,
    key: Option<String>,
    line: u64,
}

struct RawItem {
    group: Keyed,
    item: Oid,
    value: Option<ItemValue>,
    unit: Option<String>,
    line: u64,
}

struct RawForm {
    visit: Keyed,
    form: Keyed,
    items: Vec<RawItem>,
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
    audit: Option<Audit>,
    site: Option<String>,
    location: Option<String>,
    forms: Vec<RawForm>,
}

impl Draft {
    /// Reads it, or says in the report why not.
    pub(super) fn read<R: BufRead>(
        file: &mut ClinicalFile<R>,
        subject: &Element,
        limit: u64,
    ) -> Result<Option<Self>, OdmError> {
        if !takes(file, subject, None) {
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
        let mut draft =
            Self { at: subject.at, subject_number, audit: None, site: None, location: None, forms: Vec::new() };
        while let Some(element) = file.xml.child(subject)? {
            match element.name.as_str() {
                "StudyEventData" => draft.visit(file, &element)?,
                "AuditRecord" => {
                    let (audit, location) = file.audit(&element)?;
                    draft.audit = Some(audit);
                    draft.location = location;
                }
                "SiteRef" => draft.site = place(&element),
                _ => file.not_kept.inside("SubjectData", &element),
            }
        }
        file.xml.end_budget();
        Ok(Some(draft))
    }

    fn visit<R: BufRead>(&mut self, file: &mut ClinicalFile<R>, element: &Element) -> Result<(), OdmError> {
        let Some(visit) = keyed(file, element, "StudyEventOID", "StudyEventRepeatKey") else {
            return Ok(());
        };
        while let Some(inner) = file.xml.child(element)? {
            match (file.xml.version(), inner.name.as_str()) {
                (OdmVersion::V1_3_2, "FormData") => self.form(file, &inner, &visit, ("FormOID", "FormRepeatKey"))?,
                // ODM 2.0 has no forms: the item groups of a visit are forms, as in the design.
                (OdmVersion::V2_0, "ItemGroupData") => self.form(file, &inner, &visit, GROUP)?,
                _ => file.not_kept.inside("StudyEventData", &inner),
            }
        }
        Ok(())
    }

    fn form<R: BufRead>(
        &mut self,
        file: &mut ClinicalFile<R>,
        element: &Element,
        visit: &Keyed,
        (oid_of, key_of): (&str, &str),
    ) -> Result<(), OdmError> {
        let Some(form) = keyed(file, element, oid_of, key_of) else {
            return Ok(());
        };
        let mut items = Vec::new();
        let v2 = is_v2(file);
        while let Some(inner) = file.xml.child(element)? {
            match inner.name.as_str() {
                "ItemGroupData" => group(file, &inner, &mut items)?,
                // In the design, an item group of the form's OID.
                "ItemData" if v2 => items.extend(item(file, &inner, "", &Keyed { key: None, ..form.clone() })?),
                _ => file.not_kept.inside(&element.name, &inner),
            }
        }
        self.forms.push(RawForm { visit: visit.clone(), form, items });
        Ok(())
    }

    /// The participant, with every repeat key counted.
    pub(super) fn participant<R: BufRead>(
        self,
        file: &mut ClinicalFile<R>,
        clinical_data: &Element,
    ) -> ParticipantData {
        ParticipantData {
            subject_number: self.subject_number,
            site: self.site.or(self.location),
            audit: self.audit,
            forms: forms::under_their_keys(file, self.forms),
            study: clinical_data.attribute("StudyOID").map(str::to_owned),
            design_version: clinical_data.attribute("MetaDataVersionOID").map(str::to_owned),
            line: self.at.line,
        }
    }
}

fn group<R: BufRead>(file: &mut ClinicalFile<R>, element: &Element, items: &mut Vec<RawItem>) -> Result<(), OdmError> {
    let Some(of_group) = keyed(file, element, GROUP.0, GROUP.1) else {
        return Ok(());
    };
    let v2 = is_v2(file);
    while let Some(inner) = file.xml.child(element)? {
        match inner.name.strip_prefix("ItemData").filter(|_| is_known(&inner.name)) {
            Some(kind) => items.extend(item(file, &inner, kind, &of_group)?),
            // At any depth a group of the form, as in the design.
            None if v2 && inner.name == "ItemGroupData" => group(file, &inner, items)?,
            None => file.not_kept.inside("ItemGroupData", &inner),
        }
    }
    Ok(())
}

fn item<R: BufRead>(
    file: &mut ClinicalFile<R>,
    element: &Element,
    kind: &str,
    group: &Keyed,
) -> Result<Option<RawItem>, OdmError> {
    let Some(item) = oid(file, element, "ItemOID").filter(|oid| takes(file, element, Some(oid))) else {
        return Ok(None);
    };
    let mut value = element.attribute("Value").map(str::to_owned);
    let mut unit = element.attribute("MeasurementUnitOID").map(str::to_owned);
    let v2 = is_v2(file);
    let mut values = 0;
    if kind.is_empty() {
        while let Some(inner) = file.xml.child(element)? {
            match inner.name.as_str() {
                "Value" if v2 => {
                    value = Some(file.xml.verbatim(&inner)?);
                    values += 1;
                }
                "MeasurementUnitRef" => unit = inner.attribute("MeasurementUnitOID").map(str::to_owned),
                _ => file.not_kept.inside("ItemData", &inner),
            }
        }
    } else {
        value = Some(file.xml.text(element)?);
    }
    if values > 1 {
        let what = "it has several values, and an item has one: none of them was taken";
        file.row(Severity::Refused, (element.at.line, "ItemData", Some(&item)), "several-values", what);
        return Ok(None);
    }
    let null = element.attribute("IsNull") == Some("Yes");
    let value = value.filter(|value| !null && !value.is_empty()).map(ItemValue);
    Ok(Some(RawItem { group: group.clone(), item, value, unit, line: element.at.line }))
}

/// The OID and repeat key of an element that is to be taken.
fn keyed<R: BufRead>(file: &mut ClinicalFile<R>, element: &Element, oid_of: &str, key_of: &str) -> Option<Keyed> {
    let oid = oid(file, element, oid_of).filter(|oid| takes(file, element, Some(oid)))?;
    Some(Keyed { oid, key: element.attribute(key_of).map(str::to_owned), line: element.at.line })
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

/// Whether a transaction adds values. Changes and removals need the history that they change.
fn takes<R: BufRead>(file: &mut ClinicalFile<R>, element: &Element, oid: Option<&Oid>) -> bool {
    let is_value = element.name.starts_with("ItemData");
    match element.attribute("TransactionType") {
        None | Some("Insert" | "Upsert") => true,
        Some("Context") if !is_value => true,
        Some(other) => {
            let kind = if matches!(other, "Update" | "Remove" | "Context") { other } else { "unknown" };
            let what = format!("its TransactionType is {kind}, not Insert or Upsert: nothing in it was taken");
            file.row(Severity::Refused, (element.at.line, &element.name, oid), "transaction", what);
            false
        }
    }
}
