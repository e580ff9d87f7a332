//! Protocol, visits, forms and item groups. In ODM 2.0 a form is an item group of the type `Form`.

use std::collections::BTreeMap;
use std::io::Write;

use domain::design::{FormDef, Ref, SdvPlan, VisitDef};

use super::oids::{Kind, VISITS};
use super::texts::{json, named, yes};
use super::{Metadata, alias};
use crate::ExchangeError;

impl<W: Write> Metadata<'_, W> {
    pub(super) fn protocol(&mut self) -> Result<(), ExchangeError> {
        self.xml.tag("Protocol").start()?;
        if self.is_v2() {
            if !self.design.visits.is_empty() {
                self.xml
                    .tag("StudyEventGroupRef")
                    .attr("StudyEventGroupOID", VISITS)
                    .attr("Mandatory", "Yes")
                    .empty()?;
            }
        } else {
            self.visit_refs()?;
        }
        if !self.design.checks.is_empty() {
            self.alias(alias::CHECKS, json(&self.design.checks))?;
        }
        self.flag(alias::STUDY_NAME, self.design.name.is_empty())?;
        self.xml.end()
    }

    fn visit_refs(&mut self) -> Result<(), ExchangeError> {
        for (n, visit) in self.design.visits.iter().enumerate() {
            self.xml
                .tag("StudyEventRef")
                .attr("StudyEventOID", self.oids.visit(visit.oid.as_str()))
                .attr("OrderNumber", (n + 1).to_string())
                .attr("Mandatory", yes(!visit.optional))
                .empty()?;
        }
        Ok(())
    }

    pub(super) fn visits(&mut self) -> Result<(), ExchangeError> {
        if self.is_v2() && !self.design.visits.is_empty() {
            self.xml.tag("StudyEventGroupDef").attr("OID", VISITS).attr("Name", "Visits in protocol order").start()?;
            self.visit_refs()?;
            self.xml.end()?;
        }
        self.design.visits.iter().try_for_each(|visit| self.visit(visit))
    }

    fn visit(&mut self, visit: &VisitDef) -> Result<(), ExchangeError> {
        let written = self.oids.visit(visit.oid.as_str());
        self.xml
            .tag("StudyEventDef")
            .attr("OID", &written)
            .attr("Name", named(&visit.name, &written))
            .attr("Repeating", yes(visit.repeating))
            .attr("Type", if visit.optional { "Unscheduled" } else { "Scheduled" })
            .start()?;
        self.labels("Description", &visit.labels)?;
        let element = if self.is_v2() { ("ItemGroupRef", "ItemGroupOID") } else { ("FormRef", "FormOID") };
        self.refs(element, Kind::Form, &visit.forms)?;
        self.common_aliases((visit.oid.as_str(), &written), &visit.name, Some(&visit.labels))?;
        if let Some(window) = &visit.window {
            self.alias(alias::WINDOW, json(window))?;
        }
        self.methods_of(&visit.forms)?;
        self.xml.end()
    }

    pub(super) fn forms(&mut self) -> Result<(), ExchangeError> {
        self.design.forms.iter().try_for_each(|form| self.form(form))
    }

    fn form(&mut self, form: &FormDef) -> Result<(), ExchangeError> {
        let written = self.oids.form(form.oid.as_str());
        self.def(("FormDef", "Form"), &written, named(&form.name, &written), form.repeating)?;
        self.labels("Description", &form.labels)?;
        self.refs(("ItemGroupRef", "ItemGroupOID"), Kind::ItemGroup, &form.item_groups)?;
        self.common_aliases((form.oid.as_str(), &written), &form.name, Some(&form.labels))?;
        match form.sdv {
            SdvPlan::None => {}
            SdvPlan::Part => self.alias(alias::SDV_PLAN, "part")?,
            SdvPlan::All => self.alias(alias::SDV_PLAN, "all")?,
        }
        self.flag(alias::SIGNATURE, form.signature)?;
        self.methods_of(&form.item_groups)?;
        self.xml.end()
    }

    pub(super) fn item_groups(&mut self) -> Result<(), ExchangeError> {
        for group in &self.design.item_groups {
            let written = self.oids.item_group(group.oid.as_str());
            self.def(("ItemGroupDef", "Section"), &written, named(&group.name, &written), group.repeating)?;
            self.labels("Description", &group.labels)?;
            self.refs(("ItemRef", "ItemOID"), Kind::Item, &group.items)?;
            self.common_aliases((group.oid.as_str(), &written), &group.name, Some(&group.labels))?;
            self.xml.end()?;
        }
        Ok(())
    }

    /// The tag of a form or an item group.
    fn def(
        &mut self,
        (element, kind): (&'static str, &'static str),
        oid: &str,
        name: &str,
        repeating: bool,
    ) -> Result<(), ExchangeError> {
        if self.is_v2() {
            let repeating = if repeating { "Simple" } else { "No" };
            let tag = self.xml.tag("ItemGroupDef").attr("OID", oid).attr("Name", name);
            return tag.attr("Repeating", repeating).attr("Type", kind).start();
        }
        self.xml.tag(element).attr("OID", oid).attr("Name", name).attr("Repeating", yes(repeating)).start()
    }

    fn refs(
        &mut self,
        (element, attribute): (&'static str, &'static str),
        kind: Kind,
        refs: &[Ref],
    ) -> Result<(), ExchangeError> {
        let takes_method = kind == Kind::Item || self.is_v2();
        for (n, reference) in refs.iter().enumerate() {
            let method = reference.method.as_ref().filter(|_| takes_method);
            let method = method.map(|method| self.oids.get(Kind::Method, method));
            let condition = reference.skip_condition.as_ref().map(|oid| self.oids.get(Kind::Condition, oid));
            self.xml
                .tag(element)
                .attr(attribute, self.oids.get(kind, reference.oid.as_str()))
                .attr("OrderNumber", (n + 1).to_string())
                .attr("Mandatory", yes(reference.mandatory))
                .maybe("MethodOID", method)
                .maybe("CollectionExceptionConditionOID", condition)
                .empty()?;
        }
        Ok(())
    }

    fn methods_of(&mut self, refs: &[Ref]) -> Result<(), ExchangeError> {
        let methods: BTreeMap<_, _> =
            refs.iter().filter_map(|reference| Some((reference.oid.as_str(), reference.method.as_ref()?))).collect();
        if methods.is_empty() || self.is_v2() { Ok(()) } else { self.alias(alias::METHODS, json(&methods)) }
    }
}
