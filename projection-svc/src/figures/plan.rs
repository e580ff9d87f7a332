//! What a design asks for, ready to be counted against.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use domain::design::{FormDef, Ref, StudyDesign, Window};
use domain::history::CommitHash;
use domain::ids::Oid;
use domain::participant::{FormKey, ItemKey, LeftOut, left_out_items, required_items};

use super::person::{FormState, Person};
use super::state::{Names, State};

/// The plan of each design version that is in use.
pub(super) type Plans = BTreeMap<CommitHash, std::sync::Arc<Plan>>;

/// A design, as far as figures go.
///
/// What stands under a condition is never counted as missing: whether a condition holds depends on values, and figures
/// know none. So they say the same after an erasure, and to those who must not know what a blinded value leaves out.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    pub(super) visits: Vec<VisitPlan>,
    forms: BTreeMap<Oid, FormPlan>,
    /// Items that tell the arm, or that something reads together with one that does: what is asked there is not counted.
    pub(super) telling: BTreeSet<Oid>,
}

#[derive(Debug, Clone)]
pub(super) struct VisitPlan {
    pub oid: Oid,
    /// It is to take place once in everybody who stays.
    pub planned: bool,
    pub window: Option<Window>,
    /// Each form, and whether it must be there whatever stands elsewhere.
    pub forms: Vec<(Oid, bool)>,
}

#[derive(Debug, Clone, Default)]
struct FormPlan {
    groups: Vec<GroupPlan>,
    /// What is to be compared with its source, by group.
    compared: BTreeMap<Oid, BTreeSet<Oid>>,
    /// What the plan of comparison names and no verifier is shown: group and item.
    left_out: BTreeMap<(Oid, Oid), LeftOut>,
    signature: bool,
}

#[derive(Debug, Clone)]
struct GroupPlan {
    oid: Oid,
    /// Its first occurrence must be there.
    must: bool,
    /// The items that must be there in each occurrence.
    items: Vec<Oid>,
}

/// How far a form is. Every form that is expected is in one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    NotStarted,
    Begun,
    Complete,
    NotApplicable,
}

impl Plan {
    pub(super) fn of(design: &StudyDesign) -> Self {
        let must = |reference: &Ref| reference.mandatory && reference.skip_condition.is_none();
        let visit = |visit: &domain::design::VisitDef| VisitPlan {
            oid: visit.oid.clone(),
            planned: visit.is_planned(),
            window: visit.window.clone(),
            forms: visit.forms.iter().map(|form| (form.oid.clone(), must(form))).collect(),
        };
        let form = |form: &FormDef| {
            let mut compared: BTreeMap<Oid, BTreeSet<Oid>> = BTreeMap::new();
            for (group, item) in required_items(design, &form.oid) {
                compared.entry(group.clone()).or_default().insert(item.clone());
            }
            let left_out = left_out_items(design, &form.oid).into_iter();
            let left_out = left_out.map(|((group, item), why)| ((group.clone(), item.clone()), why)).collect();
            let groups = form.item_groups.iter().filter_map(|reference| group(design, reference)).collect();
            (form.oid.clone(), FormPlan { groups, compared, left_out, signature: form.signature })
        };
        Self {
            visits: design.visits.iter().map(visit).collect(),
            forms: design.forms.iter().map(form).collect(),
            telling: telling(design),
        }
    }

    pub(super) fn visit(&self, oid: &Oid) -> Option<&VisitPlan> {
        self.visits.iter().find(|visit| visit.oid == *oid)
    }

    pub(super) fn is_signed(&self, form: &Oid) -> bool {
        self.forms.get(form).is_some_and(|form| form.signature)
    }

    pub(super) fn is_compared(&self, form: &Oid, item: &ItemKey) -> bool {
        let compared = self.forms.get(form).and_then(|form| form.compared.get(&item.group));
        compared.is_some_and(|items| items.contains(&item.item))
    }

    /// Whether an item is an identifier that the plan of comparison names: it is left out.
    pub(super) fn is_left_out_identifier(&self, form: &Oid, item: &ItemKey) -> bool {
        let left_out = self.forms.get(form).map(|form| &form.left_out);
        left_out.and_then(|left_out| left_out.get(&(item.group.clone(), item.item.clone())))
            == Some(&LeftOut::Identifier)
    }

    /// Everything that plans of comparison name and no verifier is shown: form, group, item, why.
    pub(super) fn left_out(&self) -> impl Iterator<Item = (&Oid, &Oid, &Oid, LeftOut)> {
        self.forms
            .iter()
            .flat_map(|(form, plan)| plan.left_out.iter().map(move |((group, item), why)| (form, group, item, *why)))
    }

    /// The items that must be there and are not: of each occurrence of a group that was begun, and of each group that
    /// must be there.
    fn missing(&self, form: &Oid, state: &FormState, names: &Names) -> Vec<ItemKey> {
        let items: BTreeMap<(&Oid, u32, &Oid), bool> = state
            .items
            .iter()
            .map(|(number, item)| (names.item_of(*number), item.answered))
            .map(|(key, answered)| ((&key.group, key.group_repeat, &key.item), answered))
            .collect();
        let mut missing = Vec::new();
        for group in self.forms.get(form).into_iter().flat_map(|form| &form.groups) {
            let begun = items.keys().filter(|(oid, ..)| **oid == group.oid).map(|(_, repeat, _)| *repeat);
            let occurrences: BTreeSet<u32> = begun.chain(group.must.then_some(1)).collect();
            for group_repeat in occurrences {
                let open = |item: &&Oid| items.get(&(&group.oid, group_repeat, *item)) != Some(&true);
                let key = |item: &Oid| ItemKey { group: group.oid.clone(), group_repeat, item: item.clone() };
                missing.extend(group.items.iter().filter(open).map(key));
            }
        }
        missing
    }

    /// Every form that is expected of somebody, and how far it is. A visit counts once it took place, or did not: its
    /// forms are those of the design, and those that were begun beside.
    pub(super) fn forms<'a>(&'a self, person: &'a Person, names: &'a Names) -> BTreeMap<FormAt<'a>, Progress> {
        let begun = person.forms.iter().filter(|(_, state)| state.removed || state.stands());
        let begun: Vec<(&FormKey, &FormState)> = begun.map(|(number, state)| (names.form_of(*number), state)).collect();
        let said = person.visits.iter().map(|(visit, state)| ((&visit.visit, visit.visit_repeat), state.started));
        let mut visits: BTreeMap<(&Oid, u32), bool> = said.collect();
        for (form, state) in &begun {
            *visits.entry((&form.visit, form.visit_repeat)).or_default() |= state.stands();
        }
        let mut forms = BTreeMap::new();
        for ((visit, visit_repeat), took_place) in visits {
            for (form, must) in self.visit(visit).into_iter().flat_map(|visit| &visit.forms) {
                let at = FormAt { visit, visit_repeat, form, form_repeat: 1 };
                forms.insert(at, if took_place && *must { Progress::NotStarted } else { Progress::NotApplicable });
            }
        }
        for (form, state) in begun {
            let progress = match (state.removed, state.completed) {
                (true, _) => Progress::NotApplicable,
                (false, true) => Progress::Complete,
                (false, false) => Progress::Begun,
            };
            let FormKey { visit, visit_repeat, form, form_repeat } = form;
            forms.insert(FormAt { visit, visit_repeat: *visit_repeat, form, form_repeat: *form_repeat }, progress);
        }
        forms
    }
}

/// Where a form stands. Thousands of participants have the same few: they are not written down for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FormAt<'a> {
    visit: &'a Oid,
    visit_repeat: u32,
    form: &'a Oid,
    form_repeat: u32,
}

impl FormAt<'_> {
    pub(super) fn key(self) -> FormKey {
        let (visit, form) = (self.visit.clone(), self.form.clone());
        FormKey { visit, visit_repeat: self.visit_repeat, form, form_repeat: self.form_repeat }
    }
}

/// What is missing on forms, found once for all that are alike.
pub(super) struct Missing<'a> {
    names: &'a Names,
    known: BTreeMap<Alike, Rc<[ItemKey]>>,
}

/// The plan by its address, the number of the form, and which items of it are answered.
type Alike = (*const Plan, u32, Vec<(u32, bool)>);

/// How many are remembered at most.
const KNOWN_MAX: usize = 4096;

impl<'a> Missing<'a> {
    pub(super) fn new(names: &'a Names) -> Self {
        Self { names, known: BTreeMap::new() }
    }

    /// The items that must be on this form of somebody and are not.
    pub(super) fn on(&mut self, plan: &'a Plan, form: u32, state: &FormState) -> Rc<[ItemKey]> {
        let answered = state.items.iter().map(|(number, item)| (*number, item.answered)).collect();
        let alike = (std::ptr::from_ref(plan), form, answered);
        if let Some(known) = self.known.get(&alike) {
            return Rc::clone(known);
        }
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        let missing: Rc<[ItemKey]> = plan.missing(&self.names.form_of(form).form, state, self.names).into();
        self.known.insert(alike, Rc::clone(&missing));
        missing
    }
}

fn group(design: &StudyDesign, reference: &Ref) -> Option<GroupPlan> {
    let group = design.item_group(&reference.oid)?;
    let conditional = reference.skip_condition.is_some();
    let must = |item: &&Ref| {
        item.mandatory && item.skip_condition.is_none() && !conditional && design.method_of(item).is_none()
    };
    let items = group.items.iter().filter(must).map(|item| item.oid.clone()).collect();
    Some(GroupPlan { oid: group.oid.clone(), must: reference.mandatory, items })
}

/// The items that tell the arm, and those at which a check, a condition or a method that names one of them can ask.
fn telling(design: &StudyDesign) -> BTreeSet<Oid> {
    let blinded =
        |item: &&domain::design::ItemDef| item.blinded || design.scope_of(item) == domain::scope::Scope::HealthBlinded;
    let mut telling: BTreeSet<Oid> = design.items.iter().filter(blinded).map(|item| item.oid.clone()).collect();
    if telling.is_empty() {
        return telling;
    }
    loop {
        let names_one = |text: &str| telling.iter().any(|oid| text.contains(oid.as_str()));
        let expressions: Vec<_> = design.conditions.iter().chain(&design.methods).collect();
        let named = |oid: &Option<String>| {
            let found = expressions.iter().filter(|one| Some(&one.oid) == oid.as_ref());
            found.flat_map(|one| &one.expressions).any(|one| names_one(&one.text))
        };
        let of = |reference: &Ref| named(&reference.skip_condition) || named(&reference.method);
        let of_visits = design.visits.iter().flat_map(|visit| &visit.forms).filter(|form| of(form));
        let forms: BTreeSet<&Oid> = of_visits.map(|form| &form.oid).collect();
        let refs = design.forms.iter().flat_map(|form| {
            let whole = forms.contains(&form.oid);
            form.item_groups.iter().filter(|group| whole || of(group)).map(|group| &group.oid).collect::<Vec<_>>()
        });
        let groups: BTreeSet<&Oid> = refs.collect();
        let items = design.item_groups.iter().flat_map(|group| {
            let whole = groups.contains(&group.oid);
            group.items.iter().filter(|item| whole || of(item)).map(|item| &item.oid).collect::<Vec<_>>()
        });
        let checked = design.checks.iter().filter(|check| names_one(&check.expression)).map(|check| &check.item);
        let more: BTreeSet<Oid> = items.chain(checked).filter(|item| !telling.contains(*item)).cloned().collect();
        if more.is_empty() {
            return telling;
        }
        telling.extend(more);
    }
}

/// Everybody at these sites, with the plan that holds for them.
pub(super) fn people<'a>(
    state: &'a State,
    plans: &'a Plans,
    wanted: &'a super::answer::Wanted<'a>,
) -> impl Iterator<Item = (domain::ids::ParticipantId, &'a Person, Option<&'a Plan>)> {
    let plan = |person: &Person| plans.get(&state.design_of(person)?).map(AsRef::as_ref);
    let seen = state.people.iter().filter(|(_, person)| wanted.takes(&person.site));
    seen.map(move |(id, person)| (*id, person, plan(person)))
}
