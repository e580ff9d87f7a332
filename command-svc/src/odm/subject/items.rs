//! The item groups and values of a form, as they stand.

use std::io::BufRead;

use domain::design::ItemValue;
use domain::ids::Oid;
use domain::participant::NotDone;

use super::{GROUP, Keyed, is_v2, keyed, oid};
use crate::odm::annotations::Annotations;
use crate::odm::clinical::{Audit, ClinicalFile, Said};
use crate::odm::error::OdmError;
use crate::odm::names::is_known;
use crate::odm::reader::Element;
use crate::odm::report::Severity;
use crate::odm::transaction::Transaction;

pub(super) struct RawItem {
    pub(super) group: Keyed,
    pub(super) item: Oid,
    pub(super) value: Option<ItemValue>,
    pub(super) unit: Option<String>,
    pub(super) not_done: Option<NotDone>,
    pub(super) computed: bool,
    pub(super) transaction: Transaction,
    pub(super) own_transaction: bool,
    pub(super) remarks: Vec<Said>,
    pub(super) audit: Option<Audit>,
    pub(super) line: u64,
}

pub(super) fn group<R: BufRead>(
    file: &mut ClinicalFile<R>,
    element: &Element,
    form: &Keyed,
    items: &mut Vec<RawItem>,
) -> Result<(), OdmError> {
    let Some(of_group) = keyed(file, element, GROUP.0, GROUP.1, form.transaction) else {
        return Ok(());
    };
    if of_group.transaction == Transaction::Remove {
        let what = "an occurrence of an item group is not removed as a whole: say Remove for each of its items";
        file.row(Severity::Refused, (of_group.line, "ItemGroupData", Some(&of_group.oid)), "transaction", what);
        return Ok(());
    }
    let v2 = is_v2(file);
    let (begin, mut audit) = (items.len(), None);
    while let Some(inner) = file.xml.child(element)? {
        match inner.name.strip_prefix("ItemData").filter(|_| is_known(&inner.name)) {
            Some(kind) => items.extend(item(file, &inner, kind, &of_group)?),
            // At any depth a group of the form, as in the design.
            None if v2 && inner.name == "ItemGroupData" => group(file, &inner, &of_group, items)?,
            None if inner.name == "AuditRecord" => audit = Some(file.audit(&inner)?.0),
            None => file.not_kept.inside("ItemGroupData", &inner),
        }
    }
    for item in items[begin..].iter_mut().filter(|item| item.audit.is_none()) {
        item.audit.clone_from(&audit);
    }
    Ok(())
}

/// What stands within an `ItemData`.
#[derive(Default)]
struct Inside {
    value: Option<String>,
    values: u32,
    unit: Option<String>,
    notes: Annotations,
    audit: Option<Audit>,
}

pub(super) fn item<R: BufRead>(
    file: &mut ClinicalFile<R>,
    element: &Element,
    kind: &str,
    group: &Keyed,
) -> Result<Option<RawItem>, OdmError> {
    let Some(item) = oid(file, element, "ItemOID") else { return Ok(None) };
    let Some(transaction) = Transaction::of(file, element, Some(&item), group.transaction) else {
        return Ok(None);
    };
    let inside = inside(file, element, kind)?;
    let at = (element.at.line, "ItemData", Some(&item));
    if transaction == Transaction::Context {
        file.row(Severity::Note, at, "context", "it says only where others are: nothing of it was taken");
        return Ok(None);
    }
    if inside.values > 1 {
        let what = "it has several values, and an item has one: none of them was taken";
        file.row(Severity::Refused, at, "several-values", what);
        return Ok(None);
    }
    if inside.notes.withheld() {
        let what = "whoever exported it might not see it, or it was erased: there is nothing to save";
        file.row(Severity::Note, at, "withheld", what);
        return Ok(None);
    }
    let null = element.attribute("IsNull") == Some("Yes") || transaction == Transaction::Remove;
    let value = inside.value.filter(|value| !null && !value.is_empty()).map(ItemValue);
    Ok(Some(RawItem {
        group: group.clone(),
        item,
        not_done: inside.notes.not_done().filter(|_| value.is_none() && transaction != Transaction::Remove),
        value,
        unit: inside.unit,
        computed: inside.notes.computed,
        transaction,
        own_transaction: element.attribute("TransactionType").is_some(),
        remarks: inside.notes.remarks,
        audit: inside.audit,
        line: element.at.line,
    }))
}

fn inside<R: BufRead>(file: &mut ClinicalFile<R>, element: &Element, kind: &str) -> Result<Inside, OdmError> {
    let mut inside = Inside {
        value: element.attribute("Value").map(str::to_owned),
        unit: element.attribute("MeasurementUnitOID").map(str::to_owned),
        ..Inside::default()
    };
    if !kind.is_empty() {
        inside.value = Some(file.xml.text(element)?);
        return Ok(inside);
    }
    let v2 = is_v2(file);
    while let Some(inner) = file.xml.child(element)? {
        match inner.name.as_str() {
            "Value" if v2 => {
                inside.value = Some(file.xml.verbatim(&inner)?);
                inside.values += 1;
            }
            "MeasurementUnitRef" => inside.unit = inner.attribute("MeasurementUnitOID").map(str::to_owned),
            "AuditRecord" => inside.audit = Some(file.audit(&inner)?.0),
            "Annotation" => inside.notes.read(file, &inner)?,
            _ => file.not_kept.inside("ItemData", &inner),
        }
    }
    Ok(inside)
}
