//! One `MetaDataVersion`: visits, forms and item groups here; items in [`super::items`]; beside them code lists,
//! expressions, and who refers to what.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;

use domain::design::{FormDef, ItemGroupDef, Labels, Ref, SdvPlan, StudyDesign, VisitDef};
use exchange::odm::metadata::alias;

use super::design::File;
use super::error::{OdmError, Place};
use super::reader::Element;
use super::report::{Report, Severity};

pub(super) mod aliases;
mod code_lists;
mod expressions;
mod nested;
mod places;
mod references;

use aliases::Aliases;
use nested::Nested;
pub(super) use references::Kind;
use references::Pending;

/// A `MetaDataVersion` while it is read.
pub(super) struct Draft {
    pub(super) at: Place,
    pub(super) design: StudyDesign,
    pub(super) report: Report,
    pub(super) include: Option<Place>,
    pending: Vec<Pending>,
    /// Lists that are kept elsewhere.
    external_lists: BTreeSet<String>,
    /// What is defined, and where.
    defined: BTreeMap<(Kind, String), (Place, String)>,
    /// Where the range checks of an item stand.
    range_checks: BTreeMap<String, Vec<Place>>,
    protocol: Vec<(Option<u32>, String)>,
    /// The visits that need not take place.
    optional_visits: BTreeSet<String>,
    /// OIDs that are others in the design than in the file.
    originals: BTreeMap<(Kind, String), String>,
    /// ODM 2.0: item groups that are not sorted into forms and groups yet.
    nested: Vec<Nested>,
    /// ODM 2.0: groups of visits, and their order.
    visit_groups: Vec<(String, Vec<String>)>,
    protocol_groups: Vec<(Option<u32>, String)>,
    /// The name of the study is empty.
    pub(super) nameless: bool,
}

impl Draft {
    pub(super) fn read<R: BufRead>(file: &mut File<R>, version: &Element) -> Result<Self, OdmError> {
        let mut draft = Self {
            at: version.at,
            design: StudyDesign::default(),
            report: Report::default(),
            include: None,
            pending: Vec::new(),
            external_lists: BTreeSet::new(),
            defined: BTreeMap::new(),
            range_checks: BTreeMap::new(),
            protocol: Vec::new(),
            optional_visits: BTreeSet::new(),
            originals: BTreeMap::new(),
            nested: Vec::new(),
            visit_groups: Vec::new(),
            protocol_groups: Vec::new(),
            nameless: false,
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
                "ItemGroupDef" if file.is_v2() => draft.nested_group(file, element)?,
                "StudyEventGroupDef" => draft.visit_group(file, &element)?,
                "ItemGroupDef" => draft.item_group(file, &element)?,
                "ItemDef" => draft.item(file, &element)?,
                "CodeList" => draft.code_list(file, &element)?,
                "ConditionDef" => draft.condition(file, &element)?,
                "MethodDef" => draft.method(file, &element)?,
                _ => file.not_kept.inside(&version.name, &element),
            }
        }
        draft.settle_visit_groups();
        draft.settle_nested();
        Ok(draft)
    }

    pub(super) fn version(&self) -> &str {
        &self.design.version
    }

    // --- visits, forms, item groups

    fn protocol<R: BufRead>(&mut self, file: &mut File<R>, protocol: &Element) -> Result<(), OdmError> {
        let mut aliases = Aliases::default();
        while let Some(element) = file.xml.child(protocol)? {
            match (element.name.as_str(), element.attribute("StudyEventOID")) {
                ("Alias", _) => aliases.take(file, &element, protocol),
                ("StudyEventGroupRef", _) => {
                    let group = element.attribute("StudyEventGroupOID").unwrap_or_default().to_owned();
                    self.protocol_groups.push((number(&element, "OrderNumber"), group));
                }
                ("StudyEventRef", Some(oid)) => {
                    self.refers(&element, Kind::Visit, oid);
                    self.may_stay_away(&element, oid);
                    self.protocol.push((number(&element, "OrderNumber"), oid.to_owned()));
                    if element.attribute("CollectionExceptionConditionOID").is_some() {
                        file.not_kept.count("CollectionExceptionConditionOID in StudyEventRef", element.at, "not-kept");
                    }
                }
                _ => file.not_kept.inside(&protocol.name, &element),
            }
        }
        self.defined.insert((Kind::Protocol, String::new()), (protocol.at, protocol.name.clone()));
        self.nameless = aliases.has(alias::STUDY_NAME);
        self.design.checks = self.json(&aliases, alias::CHECKS, protocol).unwrap_or_default();
        Ok(())
    }

    fn visit<R: BufRead>(&mut self, file: &mut File<R>, element: &Element) -> Result<(), OdmError> {
        let reference = match file.is_v2() {
            true => ("ItemGroupRef", "ItemGroupOID", Kind::Form),
            false => ("FormRef", "FormOID", Kind::Form),
        };
        let (labels, mut forms, aliases) = self.parts(file, element, reference)?;
        if let Some(oid) = self.defines(element, Kind::Visit) {
            self.original(&aliases, Kind::Visit, element);
            self.methods_of(&mut forms, &aliases, element);
            let (repeating, window) = (yes(element, "Repeating"), self.json(&aliases, alias::WINDOW, element));
            // What is unscheduled, or common to all visits, is nothing that the protocol waits for.
            let optional = matches!(element.attribute("Type"), Some("Unscheduled" | "Common"));
            let (name, labels) = (Self::name_of(&aliases, element), self.labels_of(&aliases, labels, element));
            self.design.visits.push(VisitDef { oid, name, labels, repeating, optional, window, forms });
        }
        Ok(())
    }

    fn form<R: BufRead>(&mut self, file: &mut File<R>, element: &Element) -> Result<(), OdmError> {
        let (labels, item_groups, aliases) =
            self.parts(file, element, ("ItemGroupRef", "ItemGroupOID", Kind::ItemGroup))?;
        if let Some(oid) = self.defines(element, Kind::Form) {
            self.original(&aliases, Kind::Form, element);
            let (name, labels) = (Self::name_of(&aliases, element), self.labels_of(&aliases, labels, element));
            let (repeating, sdv) = (yes(element, "Repeating"), SdvPlan::None);
            let form = FormDef { oid, name, labels, repeating, sdv, signature: false, item_groups };
            let form = self.form_aliases(form, &aliases, element);
            self.design.forms.push(form);
        }
        Ok(())
    }

    /// The form with what stands in its aliases.
    fn form_aliases(&mut self, mut form: FormDef, aliases: &Aliases, element: &Element) -> FormDef {
        form.sdv = match aliases.text(alias::SDV_PLAN) {
            None => SdvPlan::None,
            Some("part") => SdvPlan::Part,
            Some("all") => SdvPlan::All,
            Some(_) => {
                self.fault(element, "bad-alias", "its alias lethe.sdv-plan is neither part nor all");
                SdvPlan::None
            }
        };
        form.signature = aliases.has(alias::SIGNATURE);
        self.methods_of(&mut form.item_groups, aliases, element);
        form
    }

    /// Methods of references for which ODM 1.3.2 has no attribute.
    fn methods_of(&mut self, refs: &mut [Ref], aliases: &Aliases, element: &Element) {
        let methods: BTreeMap<String, String> = self.json(aliases, alias::METHODS, element).unwrap_or_default();
        for reference in refs {
            let method = methods.get(reference.oid.as_str()).cloned();
            reference.method = reference.method.take().or(method);
        }
    }

    fn item_group<R: BufRead>(&mut self, file: &mut File<R>, element: &Element) -> Result<(), OdmError> {
        let (labels, items, aliases) = self.parts(file, element, ("ItemRef", "ItemOID", Kind::Item))?;
        if let Some(oid) = self.defines(element, Kind::ItemGroup) {
            self.original(&aliases, Kind::ItemGroup, element);
            let (name, labels) = (Self::name_of(&aliases, element), self.labels_of(&aliases, labels, element));
            let group = ItemGroupDef { oid, name, labels, repeating: yes(element, "Repeating"), items };
            self.design.item_groups.push(group);
        }
        Ok(())
    }

    /// The labels of a definition, what it is made of, in order, and its aliases.
    fn parts<R: BufRead>(
        &mut self,
        file: &mut File<R>,
        parent: &Element,
        (reference, attribute, kind): (&str, &str, Kind),
    ) -> Result<(Labels, Vec<Ref>, Aliases), OdmError> {
        let (mut labels, mut aliases) = (Labels::new(), Aliases::default());
        let mut parts: Vec<(Option<u32>, Ref)> = Vec::new();
        let mut seen = BTreeSet::new();
        while let Some(element) = file.xml.child(parent)? {
            match element.name.as_str() {
                "Description" => labels = file.labels(&element)?,
                "Alias" => aliases.take(file, &element, parent),
                name if name == reference => {
                    let Some(part) = self.reference(&element, attribute) else {
                        continue;
                    };
                    if !seen.insert(part.oid.clone()) {
                        let what = "referred to twice here: the second time is left out";
                        self.warn(&element, Some(part.oid.as_str()), "twice", what);
                        continue;
                    }
                    self.refers(&element, kind, part.oid.as_str());
                    parts.push((number(&element, "OrderNumber"), part));
                }
                _ => file.not_kept.inside(&parent.name, &element),
            }
        }
        Ok((labels, in_order(parts), aliases))
    }

    /// A visit to which the protocol refers as one that is not mandatory.
    fn may_stay_away(&mut self, reference: &Element, oid: &str) {
        if reference.attribute("Mandatory") == Some("No") {
            self.optional_visits.insert(oid.to_owned());
        }
    }

    /// Visits in protocol order; those that the protocol does not name come last.
    pub(super) fn sort_visits(&mut self) {
        for visit in &mut self.design.visits {
            visit.optional |= self.optional_visits.contains(visit.oid.as_str());
        }
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

    pub(super) fn range_checks_at(&mut self, item: &str, places: Vec<Place>) {
        self.range_checks.insert(item.to_owned(), places);
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
