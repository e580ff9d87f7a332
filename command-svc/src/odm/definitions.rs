//! One `MetaDataVersion`: visits, forms and item groups here; items in [`super::items`]; beside them code lists,
//! expressions, and who refers to what.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;

use domain::design::{FormDef, ItemGroupDef, Labels, Ref, SdvPlan, StudyDesign, VisitDef};

use super::design::File;
use super::error::{OdmError, Place};
use super::reader::Element;
use super::report::{Report, Severity, Tally};

mod code_lists;
mod expressions;
mod references;

pub(super) use references::Kind;
use references::Pending;

/// A `MetaDataVersion` while it is read.
pub(super) struct Draft {
    pub(super) at: Place,
    pub(super) design: StudyDesign,
    pub(super) report: Report,
    pub(super) include: Option<Place>,
    pub(super) range_checks: Tally,
    pending: Vec<Pending>,
    /// Lists that are kept elsewhere.
    external_lists: BTreeSet<String>,
    defined: BTreeSet<(Kind, String)>,
    protocol: Vec<(Option<u32>, String)>,
}

pub(super) fn range_checks_say(_: &str) -> &'static str {
    "kept, not executed yet"
}

impl Draft {
    pub(super) fn read<R: BufRead>(file: &mut File<R>, version: &Element) -> Result<Self, OdmError> {
        let mut draft = Self {
            at: version.at,
            design: StudyDesign::default(),
            report: Report::default(),
            include: None,
            range_checks: Tally::default(),
            pending: Vec::new(),
            external_lists: BTreeSet::new(),
            defined: BTreeSet::new(),
            protocol: Vec::new(),
        };
        draft.design.version = version.attribute("OID").unwrap_or_default().to_owned();
        if draft.design.version.is_empty() {
            draft.fault(version, "no-oid", "it has no OID");
        }
        while let Some(element) = file.xml.child(version)? {
            match element.name.as_str() {
                "Include" => draft.include = Some(element.at),
                "Protocol" => draft.protocol(file, &element)?,
                "StudyEventDef" => draft.visit(file, &element)?,
                "FormDef" => draft.form(file, &element)?,
                "ItemGroupDef" => draft.item_group(file, &element)?,
                "ItemDef" => draft.item(file, &element)?,
                "CodeList" => draft.code_list(file, &element)?,
                "ConditionDef" => draft.condition(file, &element)?,
                "MethodDef" => draft.method(file, &element)?,
                _ => file.not_kept.inside(&version.name, &element),
            }
        }
        Ok(draft)
    }

    pub(super) fn version(&self) -> &str {
        &self.design.version
    }

    // --- visits, forms, item groups

    fn protocol<R: BufRead>(&mut self, file: &mut File<R>, protocol: &Element) -> Result<(), OdmError> {
        while let Some(element) = file.xml.child(protocol)? {
            match (element.name.as_str(), element.attribute("StudyEventOID")) {
                ("StudyEventRef", Some(oid)) => {
                    self.refers(&element, Kind::Visit, oid);
                    self.protocol.push((number(&element, "OrderNumber"), oid.to_owned()));
                    if element.attribute("CollectionExceptionConditionOID").is_some() {
                        file.not_kept.count("CollectionExceptionConditionOID in StudyEventRef", element.at, "not-kept");
                    }
                }
                _ => file.not_kept.inside(&protocol.name, &element),
            }
        }
        Ok(())
    }

    fn visit<R: BufRead>(&mut self, file: &mut File<R>, element: &Element) -> Result<(), OdmError> {
        let (labels, forms) = self.parts(file, element, ("FormRef", "FormOID", Kind::Form))?;
        if let Some(oid) = self.defines(element, Kind::Visit) {
            let repeating = yes(element, "Repeating");
            let visit = VisitDef { name: name(element), repeating, oid, labels, window: None, forms };
            self.design.visits.push(visit);
        }
        Ok(())
    }

    fn form<R: BufRead>(&mut self, file: &mut File<R>, element: &Element) -> Result<(), OdmError> {
        let (labels, groups) = self.parts(file, element, ("ItemGroupRef", "ItemGroupOID", Kind::ItemGroup))?;
        if let Some(oid) = self.defines(element, Kind::Form) {
            let repeating = yes(element, "Repeating");
            self.design.forms.push(FormDef {
                name: name(element),
                repeating,
                oid,
                labels,
                sdv: SdvPlan::default(),
                signature: false,
                item_groups: groups,
            });
        }
        Ok(())
    }

    fn item_group<R: BufRead>(&mut self, file: &mut File<R>, element: &Element) -> Result<(), OdmError> {
        let (labels, items) = self.parts(file, element, ("ItemRef", "ItemOID", Kind::Item))?;
        if let Some(oid) = self.defines(element, Kind::ItemGroup) {
            let group = ItemGroupDef { name: name(element), repeating: yes(element, "Repeating"), oid, labels, items };
            self.design.item_groups.push(group);
        }
        Ok(())
    }

    /// The labels of a definition and what it is made of, in order.
    fn parts<R: BufRead>(
        &mut self,
        file: &mut File<R>,
        parent: &Element,
        (reference, attribute, kind): (&str, &str, Kind),
    ) -> Result<(Labels, Vec<Ref>), OdmError> {
        let mut labels = Labels::new();
        let mut parts: Vec<(Option<u32>, Ref)> = Vec::new();
        let mut seen = BTreeSet::new();
        while let Some(element) = file.xml.child(parent)? {
            match element.name.as_str() {
                "Description" => labels = file.labels(&element)?,
                name if name == reference => {
                    let Some(oid) = self.oid(&element, attribute) else {
                        continue;
                    };
                    if !seen.insert(oid.clone()) {
                        let what = "referred to twice here: the second time is left out";
                        self.warn(&element, Some(oid.as_str()), "twice", what);
                        continue;
                    }
                    self.refers(&element, kind, oid.as_str());
                    let skip_condition = self.optional(&element, "CollectionExceptionConditionOID", Kind::Condition);
                    let method = self.optional(&element, "MethodOID", Kind::Method);
                    let mandatory = yes(&element, "Mandatory");
                    parts.push((number(&element, "OrderNumber"), Ref { oid, mandatory, skip_condition, method }));
                }
                _ => file.not_kept.inside(&parent.name, &element),
            }
        }
        Ok((labels, in_order(parts)))
    }

    /// Visits in protocol order; those that the protocol does not name come last.
    pub(super) fn sort_visits(&mut self) {
        let order = in_order(std::mem::take(&mut self.protocol));
        let rank: BTreeMap<&str, usize> = order.iter().enumerate().map(|(n, oid)| (oid.as_str(), n)).collect();
        if rank.is_empty() {
            return;
        }
        self.design.visits.sort_by_key(|visit| rank.get(visit.oid.as_str()).copied().unwrap_or(usize::MAX));
        for visit in self.design.visits.iter().filter(|visit| !rank.contains_key(visit.oid.as_str())) {
            let at = (self.at, "StudyEventDef", Some(visit.oid.as_str()));
            self.report.add(Severity::Note, at, "not-in-protocol", "the protocol does not name it: it comes last");
        }
    }

    pub(super) fn fault(&mut self, element: &Element, rule: &'static str, what: impl Into<String>) {
        // An OID that does not fit may be anything, so it is not repeated.
        self.report.add(Severity::Refused, (element.at, &element.name, None), rule, what);
    }

    pub(super) fn warn(&mut self, element: &Element, oid: Option<&str>, rule: &'static str, what: impl Into<String>) {
        self.report.add(Severity::Warning, (element.at, &element.name, oid), rule, what);
    }
}

/// By order number; what has none comes last, as it stands.
fn in_order<T>(mut things: Vec<(Option<u32>, T)>) -> Vec<T> {
    things.sort_by_key(|(order, _)| order.unwrap_or(u32::MAX));
    things.into_iter().map(|(_, thing)| thing).collect()
}

pub(super) fn name(element: &Element) -> String {
    element.attribute("Name").or(element.attribute("OID")).unwrap_or_default().to_owned()
}

pub(super) fn yes(element: &Element, attribute: &str) -> bool {
    element.attribute(attribute) == Some("Yes")
}

pub(super) fn number(element: &Element, attribute: &str) -> Option<u32> {
    element.attribute(attribute)?.trim().parse().ok()
}
