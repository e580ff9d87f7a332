//! ODM 2.0: there are no forms, only item groups that may stand in each other. A group of the type `Form`, or one that a
//! visit refers to, is a form; the groups in it, however deep, are its item groups, in order.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;

use domain::design::{FormDef, ItemGroupDef, Labels, Ref};
use domain::ids::Oid;

use super::aliases::Aliases;
use super::{Draft, Kind, in_order, number, yes};
use crate::odm::design::File;
use crate::odm::error::OdmError;
use crate::odm::reader::Element;

/// An `ItemGroupDef` as it stands.
pub(super) struct Nested {
    element: Element,
    oid: Oid,
    name: String,
    labels: Labels,
    aliases: Aliases,
    is_form: bool,
    parts: Vec<Part>,
}

enum Part {
    Group(Ref, Element),
    Item(Ref),
}

impl Draft {
    /// `StudyEventGroupDef`: the order of the visits in it.
    pub(super) fn visit_group<R: BufRead>(&mut self, file: &mut File<R>, group: &Element) -> Result<(), OdmError> {
        let mut visits = Vec::new();
        while let Some(element) = file.xml.child(group)? {
            match (element.name.as_str(), element.attribute("StudyEventOID")) {
                ("StudyEventRef", Some(oid)) => {
                    self.refers(&element, Kind::Visit, oid);
                    self.may_stay_away(&element, oid);
                    visits.push((number(&element, "OrderNumber"), oid.to_owned()));
                }
                _ => file.not_kept.inside(&group.name, &element),
            }
        }
        let visits = in_order(visits);
        self.visit_groups.push((group.attribute("OID").unwrap_or_default().to_owned(), visits));
        Ok(())
    }

    /// Visits in the order of the protocol's groups; groups that it does not name come last.
    pub(super) fn settle_visit_groups(&mut self) {
        let groups = std::mem::take(&mut self.visit_groups);
        let order = in_order(std::mem::take(&mut self.protocol_groups));
        let rank = |oid: &String| order.iter().position(|one| one == oid).unwrap_or(usize::MAX);
        let mut groups: Vec<_> = groups.into_iter().map(|(oid, visits)| (rank(&oid), visits)).collect();
        groups.sort_by_key(|(rank, _)| *rank);
        let all = groups.into_iter().flat_map(|(_, visits)| visits).enumerate();
        self.protocol.extend(all.map(|(n, oid)| (u32::try_from(n).ok(), oid)));
    }

    pub(super) fn nested_group<R: BufRead>(&mut self, file: &mut File<R>, element: Element) -> Result<(), OdmError> {
        let (mut labels, mut aliases, mut parts) = (Labels::new(), Aliases::default(), Vec::new());
        while let Some(inner) = file.xml.child(&element)? {
            match inner.name.as_str() {
                "Description" => labels = file.labels(&inner)?,
                "Alias" => aliases.take(file, &inner, &element),
                "ItemGroupRef" => {
                    let reference = self.reference(&inner, "ItemGroupOID");
                    parts.extend(reference.map(|one| (number(&inner, "OrderNumber"), Part::Group(one, inner))));
                }
                "ItemRef" => {
                    if inner.attribute("UnitsItemOID").is_some() {
                        file.not_kept.count("UnitsItemOID in ItemRef", inner.at, "not-kept");
                    }
                    if let Some(one) = self.reference(&inner, "ItemOID") {
                        self.refers(&inner, Kind::Item, one.oid.as_str());
                        parts.push((number(&inner, "OrderNumber"), Part::Item(one)));
                    }
                }
                _ => file.not_kept.inside(&element.name, &inner),
            }
        }
        let Some(oid) = self.defines(&element, Kind::ItemGroup) else { return Ok(()) };
        let is_form =
            element.attribute("Type").is_some_and(|kinds| kinds.split_whitespace().any(|kind| kind == "Form"));
        let (name, labels) = (Self::name_of(&aliases, &element), self.labels_of(&aliases, labels, &element));
        let parts = in_order(parts);
        self.nested.push(Nested { element, oid, name, labels, aliases, is_form, parts });
        Ok(())
    }

    /// Makes forms and item groups of them.
    pub(super) fn settle_nested(&mut self) {
        let nested = std::mem::take(&mut self.nested);
        let visits = self.design.visits.iter().flat_map(|visit| &visit.forms);
        let in_visits: BTreeSet<Oid> = visits.map(|reference| reference.oid.clone()).collect();
        let (forms, groups): (Vec<_>, Vec<_>) =
            nested.into_iter().partition(|one| one.is_form || in_visits.contains(&one.oid));
        let by_oid: BTreeMap<&Oid, &Nested> = forms.iter().chain(&groups).map(|one| (&one.oid, one)).collect();
        for form in &forms {
            let at = (form.element.at, form.element.name.clone());
            self.defined.insert((Kind::Form, form.oid.to_string()), at);
            self.original(&form.aliases, Kind::Form, &form.element);
            let mut item_groups = Vec::new();
            self.flatten(form, &by_oid, &mut vec![&form.oid], &mut item_groups);
            let built = FormDef {
                oid: form.oid.clone(),
                name: form.name.clone(),
                labels: form.labels.clone(),
                repeating: repeats(&form.element),
                sdv: Default::default(),
                signature: false,
                item_groups,
            };
            let built = self.form_aliases(built, &form.aliases, &form.element);
            self.design.forms.push(built);
        }
        for group in &groups {
            self.original(&group.aliases, Kind::ItemGroup, &group.element);
            let items = items(group);
            if items.is_empty() && !group.parts.is_empty() {
                continue; // only groups in it: those are the form's
            }
            self.design.item_groups.push(built_group(group, items));
        }
    }

    /// The item groups of a form, at any depth.
    fn flatten<'a>(
        &mut self,
        of: &'a Nested,
        all: &BTreeMap<&Oid, &'a Nested>,
        within: &mut Vec<&'a Oid>,
        found: &mut Vec<Ref>,
    ) {
        if within.len() == 1 && !items(of).is_empty() {
            let what = "items stand directly in the form: they are taken as an item group of the same OID";
            self.warn(&of.element, Some(of.oid.as_str()), "items-in-form", what);
            let oid = of.oid.clone();
            found.push(Ref { oid, mandatory: true, skip_condition: None, method: None });
            self.design.item_groups.push(ItemGroupDef { repeating: false, ..built_group(of, items(of)) });
        }
        for part in &of.parts {
            let Part::Group(reference, element) = part else { continue };
            let Some(group) = all.get(&reference.oid) else {
                let at = (element.at, element.name.as_str(), Some(reference.oid.as_str()));
                let what = "what it refers to is not defined in the file";
                self.report.add(crate::odm::report::Severity::Refused, at, "dangling", what);
                continue;
            };
            if within.contains(&&group.oid) {
                self.fault(element, "circle", "the item group stands in itself");
                continue;
            }
            if !items(group).is_empty() || group.parts.is_empty() {
                found.push(reference.clone());
            }
            if group.parts.iter().any(|part| matches!(part, Part::Group(..))) {
                let what = "the item groups in it are taken as groups of the form";
                self.warn(&group.element, Some(group.oid.as_str()), "nested", what);
                within.push(&group.oid);
                self.flatten(group, all, within, found);
                within.pop();
            }
        }
    }

    /// A reference with its conditions.
    pub(super) fn reference(&mut self, element: &Element, attribute: &str) -> Option<Ref> {
        let oid = self.oid(element, attribute)?;
        let skip_condition = self.optional(element, "CollectionExceptionConditionOID", Kind::Condition);
        let method = self.optional(element, "MethodOID", Kind::Method);
        Some(Ref { oid, mandatory: yes(element, "Mandatory"), skip_condition, method })
    }
}

fn items(group: &Nested) -> Vec<Ref> {
    let item = |part: &Part| match part {
        Part::Item(reference) => Some(reference.clone()),
        Part::Group(..) => None,
    };
    group.parts.iter().filter_map(item).collect()
}

fn built_group(group: &Nested, items: Vec<Ref>) -> ItemGroupDef {
    ItemGroupDef {
        oid: group.oid.clone(),
        name: group.name.clone(),
        labels: group.labels.clone(),
        repeating: repeats(&group.element),
        items,
    }
}

/// `Simple`, `Dynamic` and `Static` are all more than one.
fn repeats(element: &Element) -> bool {
    element.attribute("Repeating").is_some_and(|word| word != "No")
}
