//! What of a record is still to be done before the database can be locked. Pure: record and design in, list out.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::checks::{View, is_skipped};
use super::{Form, FormKey, ItemKey, ItemPlace, Place, Record, Visit, VisitKey};
use crate::design::{FormDef, ItemGroupDef, Ref, SdvPlan, StudyDesign};
use crate::ids::{Oid, QueryId};
use crate::permit::{Role, may_command, may_see};
use crate::scope::Scope;
use crate::study::Study;

/// One thing that hinders a lock.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(tag = "blocker", rename_all = "kebab-case")]
pub enum Blocker {
    /// The record has no design version, and none is in force at its site: nobody can say what is missing.
    NoDesign {},
    /// Nobody ever consented here, and nobody said that the participant left.
    NoConsent {},
    /// A visit that is planned was never begun, and nobody said that it did not take place.
    VisitNotStarted {
        /// Which visit.
        visit: VisitKey,
    },
    /// A query is not settled.
    OpenQuery {
        /// Which one.
        query: QueryId,
        /// About what.
        place: Place,
    },
    /// A visit took place, and a form that belongs to it was never begun.
    FormNotStarted {
        /// Which form.
        form: FormKey,
    },
    /// Nobody said that everything known was entered.
    FormNotComplete {
        /// Which form.
        form: FormKey,
    },
    /// A value that must be there is not, and nobody said why.
    MissingItem {
        /// On which form.
        form: FormKey,
        /// Which item.
        item: ItemKey,
    },
    /// A value was not compared with its source.
    UnverifiedItem {
        /// On which form.
        form: FormKey,
        /// Which item.
        item: ItemKey,
    },
    /// The form is to be signed, and no signature for it holds.
    UnsignedForm {
        /// Which form.
        form: FormKey,
    },
}

impl Blocker {
    /// What kind of thing it is, for counting.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoDesign {} => "no-design",
            Self::NoConsent {} => "no-consent",
            Self::VisitNotStarted { .. } => "visit-not-started",
            Self::OpenQuery { .. } => "open-query",
            Self::FormNotStarted { .. } => "form-not-started",
            Self::FormNotComplete { .. } => "form-not-complete",
            Self::MissingItem { .. } => "missing-item",
            Self::UnverifiedItem { .. } => "unverified-item",
            Self::UnsignedForm { .. } => "unsigned-form",
        }
    }
}

structural!(Blocker, LeftOut);

/// Everything that hinders a lock of this record, under the version that its data is entered under and no other.
pub fn hindrances(record: &Record, study: &Study) -> Vec<Blocker> {
    study.design_of(record).map_or_else(|| vec![Blocker::NoDesign {}], |design| readiness(record, design))
}

/// Everything that hinders a lock of this record under this design. A form that was removed is asked for nothing but its open queries.
///
/// A visit counts once it took place: because somebody said so, or because something of it was saved. One that is planned is
/// to take place, or to be said to have been missed, as long as its participant is expected to come. What is computed, or
/// left out under a condition as things stand, is nobody's to enter; a form that a condition may leave out is not missed.
pub fn readiness(record: &Record, design: &StudyDesign) -> Vec<Blocker> {
    let queries = record.queries.unsettled_within(&Place::Participant);
    let queries = queries.map(|(query, found)| Blocker::OpenQuery { query: query.clone(), place: found.place.clone() });
    let saved = record.forms.iter().filter(|(_, form)| !form.removed && !form.items.is_empty());
    queries
        .chain(not_come(record, design))
        .chain(forms_not_started(record, design).into_iter().map(|form| Blocker::FormNotStarted { form }))
        .chain(saved.flat_map(|(key, form)| of_form(record, key, form, design)))
        .collect()
}

/// Why an item is left out of a plan of verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LeftOut {
    /// It tells who somebody is: that is between the site and its participant.
    Identifier,
    /// It tells the arm, or could.
    Blinded,
}

/// The items of a form that are to be compared with their source, as its plan says: group and item. What no verifier is
/// shown is compared by nobody: see [`left_out_items`].
pub fn required_items<'a>(design: &'a StudyDesign, form: &Oid) -> BTreeSet<(&'a Oid, &'a Oid)> {
    planned_items(design, form).filter(|(_, item)| left_out(design, item).is_none()).collect()
}

/// The items of a form that its plan names and that nobody compares with their source, because no role that verifies is
/// shown them: group and item, and why.
pub fn left_out_items<'a>(design: &'a StudyDesign, form: &Oid) -> BTreeMap<(&'a Oid, &'a Oid), LeftOut> {
    planned_items(design, form).filter_map(|(group, item)| Some(((group, item), left_out(design, item)?))).collect()
}

fn left_out(design: &StudyDesign, item: &Oid) -> Option<LeftOut> {
    let scope = design.item(item).map(|item| design.scope_of(item)).filter(|scope| !is_verified(*scope))?;
    Some(if scope == Scope::HealthBlinded { LeftOut::Blinded } else { LeftOut::Identifier })
}

fn planned_items<'a>(design: &'a StudyDesign, form: &Oid) -> impl Iterator<Item = (&'a Oid, &'a Oid)> {
    let form = design.form(form);
    let wanted = move |item: &Oid| match form.map(|form| form.sdv) {
        None | Some(SdvPlan::None) => false,
        Some(SdvPlan::Part) => design.item(item).is_some_and(|item| item.sdv),
        Some(SdvPlan::All) => true,
    };
    let groups = form.into_iter().flat_map(|form| groups_of(form, design));
    let items = groups.flat_map(|(_, group)| group.items.iter().map(|item| (&group.oid, &item.oid)));
    items.filter(move |(_, item)| wanted(item))
}

fn groups_of<'a>(form: &'a FormDef, design: &'a StudyDesign) -> impl Iterator<Item = (&'a Ref, &'a ItemGroupDef)> {
    form.item_groups.iter().filter_map(|reference| Some((reference, design.item_group(&reference.oid)?)))
}

/// What is still to come of somebody who is expected to. Who never consented is asked for that alone: nothing is said of
/// visits before. Where the day of a visit can be told no more, none is asked for.
fn not_come(record: &Record, design: &StudyDesign) -> Vec<Blocker> {
    if record.is_over() {
        return vec![];
    }
    if record.consents.is_empty() {
        return vec![Blocker::NoConsent {}];
    }
    if record.consent.is_none() || record.fenced.contains(&Scope::HealthClinical) {
        return vec![];
    }
    let took_place = took_place(record);
    let planned = design.visits.iter().filter(|visit| visit.is_planned());
    let visits = planned.map(|visit| VisitKey { visit: visit.oid.clone(), visit_repeat: 1 });
    let unknown = visits.filter(|visit| !record.visits.contains_key(visit) && !took_place.contains(visit));
    unknown.map(|visit| Blocker::VisitNotStarted { visit }).collect()
}

/// The forms that belong to a visit which took place, and were never begun.
pub(super) fn forms_not_started(record: &Record, design: &StudyDesign) -> Vec<FormKey> {
    let mut missing = Vec::new();
    for VisitKey { visit, visit_repeat } in took_place(record) {
        let forms = design.visit(&visit).into_iter().flat_map(|visit| &visit.forms);
        for form in forms.filter(|form| form.mandatory && form.skip_condition.is_none()) {
            let form = FormKey { visit: visit.clone(), visit_repeat, form: form.oid.clone(), form_repeat: 1 };
            let begun = record.forms.get(&form).is_some_and(|found| found.removed || !found.items.is_empty());
            if !begun && takes_something(record, &form.form, design) {
                missing.push(form);
            }
        }
    }
    missing
}

/// Whether anything can still be entered on a form: not all of it is in scopes that are erased.
fn takes_something(record: &Record, form: &Oid, design: &StudyDesign) -> bool {
    let groups = design.form(form).into_iter().flat_map(|form| groups_of(form, design));
    let mut items = groups.flat_map(|(_, group)| &group.items).peekable();
    items.peek().is_none() || items.any(|item| !design.is_fenced(&item.oid, &record.fenced))
}

fn took_place(record: &Record) -> BTreeSet<VisitKey> {
    let started = record.visits.iter().filter(|(_, visit)| matches!(visit, Visit::Started { .. })).map(|(key, _)| key);
    let saved = record.forms.iter().filter(|(_, form)| !form.removed && !form.items.is_empty());
    started.cloned().chain(saved.map(|(form, _)| form.visit())).collect()
}

fn of_form(record: &Record, key: &FormKey, form: &Form, design: &StudyDesign) -> Vec<Blocker> {
    let mut blockers = Vec::new();
    if !form.completed {
        blockers.push(Blocker::FormNotComplete { form: key.clone() });
    }
    let view = View::new(record, design);
    let left_out =
        |item: &ItemKey| design.is_fenced(&item.item, &record.fenced) || is_skipped(&view, &ItemPlace::of(key, item));
    let missing = mandatory(key, form, design).into_iter().filter(|item| !is_answered(form, item) && !left_out(item));
    blockers.extend(missing.map(|item| Blocker::MissingItem { form: key.clone(), item }));
    let required = required_items(design, &key.form);
    let compared = |item: &ItemKey| required.contains(&(&item.group, &item.item));
    let entered = form.items.iter().filter(|(_, item)| !item.computed).map(|(key, _)| key);
    let unverified = entered.filter(|item| compared(item) && !record.verifications.has(key, item));
    blockers.extend(unverified.map(|item| Blocker::UnverifiedItem { form: key.clone(), item: item.clone() }));
    let to_sign = design.form(&key.form).is_some_and(|form| form.signature);
    if to_sign && !record.signatures.hold_for(key) {
        blockers.push(Blocker::UnsignedForm { form: key.clone() });
    }
    blockers
}

/// Whether a role that verifies is shown values of this scope.
fn is_verified(scope: Scope) -> bool {
    Role::ALL.iter().any(|role| may_command(*role, "participant.verify") && may_see(*role, scope))
}

/// The items that must be there: of each occurrence of a group that was begun, and of each group that must be there.
fn mandatory(key: &FormKey, form: &Form, design: &StudyDesign) -> Vec<ItemKey> {
    let definition = design.form(&key.form);
    let groups = definition.into_iter().flat_map(|form| groups_of(form, design));
    let items = groups.flat_map(|(reference, group)| {
        let begun = form.items.keys().filter(|item| item.group == group.oid).map(|item| item.group_repeat);
        let first = reference.mandatory.then_some(1);
        let occurrences: BTreeSet<u32> = begun.chain(first).collect();
        let must = |item: &&Ref| item.mandatory && design.method_of(item).is_none();
        occurrences.into_iter().flat_map(move |group_repeat| {
            let item = move |item: &Ref| ItemKey { group: group.oid.clone(), group_repeat, item: item.oid.clone() };
            group.items.iter().filter(must).map(item)
        })
    });
    items.collect()
}

/// A value that was erased was there; one that was not done is accounted for.
fn is_answered(form: &Form, item: &ItemKey) -> bool {
    form.items.get(item).is_some_and(|item| item.value.is_some() || item.not_done.is_some())
}
