//! Deciding what saving a form's items means: what is new, what changed and why, what does not fit.

use std::collections::BTreeSet;
use std::slice::from_ref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::checks::{self, Finding, Input, Tried, View};
use super::{
    Command, Event, Expect, Form, FormKey, Item, ItemPlace, ItemToSave, Place, QueryKind, Record, Refused, SavedItem,
    Visit, VisitKey,
};
use crate::Day;
use crate::decider::{Context, ItemOutcome};
use crate::design::expression::Seen;
use crate::design::{DataType, ItemDef, Ref, StudyDesign};
use crate::history::{ActorKind, Revision};
use crate::permit::{Role, may_see};
use crate::rejection::Fault;
use crate::scope::{DesignScoped, Erasable, Part, Personal, Plain, Scope};
use crate::study::Study;

/// Why a value is not there (after SDTM `--STAT` and `--REASND`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NotDone {
    /// It was not done.
    NotDone,
    /// It does not apply.
    NotApplicable,
    /// Nobody knows.
    Unknown,
    /// The participant refused.
    Refused,
}

/// What entered a value (21 CFR 11.10(h); FDA e-source: the data originator).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A person at a form.
    #[default]
    User,
    /// A device.
    Device,
    /// Another system.
    System,
    /// A file.
    Import,
}

impl Source {
    pub(super) fn is_user(&self) -> bool {
        *self == Self::User
    }
}

structural!(NotDone, Source);

pub(super) fn decide(
    record: &Record,
    key: &FormKey,
    items: &[ItemToSave],
    source: Source,
    context: &Context<'_, Study>,
) -> Result<Vec<Event>, Refused> {
    match accounts_only(record, key, items) {
        true => super::consent::was_given(record)?,
        false => super::consent::gate(record, day_of(record, key), context)?,
    }
    // A person enters data; where it comes from otherwise, only a program with a name of its own can know.
    if source != Source::User && context.principal.actor.kind == ActorKind::User {
        return Err(Refused::SourceOfPrograms);
    }
    let design = design(record, context)?;
    if !accounts_only(record, key, items) {
        super::life::gate_form(record, key, design)?;
    }
    let saving = Saving { record, form: record.forms.get(key), design, context };
    let Sent { saved, claimed, tried } = saving.items(key, items)?;
    for item in saved.iter().map(|(_, item)| item).chain(tried.iter().map(|one| &one.item)) {
        super::locks::gate(record, key, &item.item, context)?;
    }
    if !tried.is_empty() {
        saving.check_tag()?;
        return Ok(checks::tried(key, tried));
    }
    let by_hand: Vec<SavedItem> = saved.iter().map(|(_, item)| item.clone()).collect();
    let mut changed = checks::changed(key, &by_hand);
    let mut view = View::new(record, design).saving(key, &by_hand);
    // Values and reasons of this command have the parts below.
    let mut parts = 2 * items.len()..;
    let computed = if by_hand.is_empty() {
        vec![]
    } else {
        checks::compute(&mut view, Some(key), &mut changed, context.command, &mut parts)
    };
    are_as_computed(&view, key, &claimed)?;
    if by_hand.is_empty() {
        return Ok(vec![]);
    }
    saving.check_tag()?;
    let put: BTreeSet<ItemPlace> =
        by_hand.iter().filter(|item| item.value.is_some()).map(|item| ItemPlace::of(key, &item.item)).collect();
    let findings = checks::findings(&view, &changed, &put);
    let (hard, soft): (Vec<Finding>, Vec<Finding>) = findings.into_iter().partition(|one| one.hard && one.fires);
    if !hard.is_empty() {
        return Ok(checks::refused(&hard, key, &saved));
    }
    let mut forms = vec![(key.clone(), by_hand)];
    join(&mut forms, computed);
    commit(record, forms, source, &soft, context)
}

/// Whether the items only say why nothing stands where nothing stands. That is no new data: it is taken when consent has
/// ended or the participant has left, so that the record can be brought to an end.
pub(super) fn accounts_only(record: &Record, key: &FormKey, items: &[ItemToSave]) -> bool {
    let form = record.forms.get(key);
    let stands = |item: &ItemToSave| {
        form.and_then(|form| form.items.get(&item.key())).is_some_and(|found| found.value.is_some())
    };
    items.iter().all(|item| item.value.is_none() && item.not_done.is_some() && !stands(item))
}

/// The day of the visit that a form belongs to, if it is known.
fn day_of(record: &Record, key: &FormKey) -> Option<Day> {
    match record.visits.get(&key.visit()) {
        Some(Visit::Started { on: Erasable::Known(on) }) => Some(*on),
        _ => None,
    }
}

/// What became of each item that was sent. Nothing of what was computed: that could tell what its sender may not know.
pub(super) fn report(command: &Command, facts: &[Event]) -> Vec<ItemOutcome> {
    let Command::SaveItems { form: of, items, .. } = command else { return vec![] };
    let outcome = |item: &ItemToSave| {
        let (key, at) = (item.key(), ItemPlace::of(of, &item.key()));
        let saves = |fact: &Event| match fact {
            Event::ItemsSaved { form, items, .. } => {
                form == of && items.iter().any(|saved| saved.item == key && !saved.computed)
            }
            _ => false,
        };
        let asks = |fact: &&Event| matches!(fact, Event::QueryOpened { kind: QueryKind::System, place: Place::Item(place), .. } if *place == at);
        ItemOutcome { saved: facts.iter().any(saves), queries: facts.iter().filter(asks).count() }
    };
    items.iter().map(outcome).collect()
}

/// The design under which this participant's data is entered.
pub(super) fn design<'a>(record: &Record, context: &Context<'a, Study>) -> Result<&'a Arc<StudyDesign>, Refused> {
    context.governing.design_of(record).ok_or(Refused::StudyNotLive)
}

/// A computed item is not written by hand. A file may repeat what was computed, and nothing else.
fn are_as_computed(view: &View<'_>, key: &FormKey, claimed: &[(usize, ItemToSave)]) -> Result<(), Refused> {
    let agrees = |item: &ItemToSave| match (&item.value, view.seen(&ItemPlace::of(key, &item.key()))) {
        (Some(value), Seen::Known(computed)) => value.0 == computed,
        (None, seen) => item.not_done.is_none() && seen == Seen::Missing,
        (Some(_), _) => false,
    };
    let fault = |(n, item): &(usize, ItemToSave)| Fault {
        pointer: format!("/items/{n}/value"),
        detail: format!("{} is computed, and comes to something else: leave it out", item.item),
    };
    let faults: Vec<Fault> = claimed.iter().filter(|(_, item)| !agrees(item)).map(fault).collect();
    if faults.is_empty() { Ok(()) } else { Err(Refused::Faults(faults)) }
}

fn join(forms: &mut Vec<(FormKey, Vec<SavedItem>)>, computed: Vec<(FormKey, SavedItem)>) {
    for (key, item) in computed {
        match forms.iter_mut().find(|(form, _)| *form == key) {
            Some((_, items)) => items.push(item),
            None => forms.push((key, vec![item])),
        }
    }
}

/// What follows from the day of a visit: what is computed of it, and what checks say to it. A day is a fact, so nothing
/// is refused here.
pub(super) fn after_visit(
    record: &Record,
    visit: &VisitKey,
    on: Option<Day>,
    context: &Context<'_, Study>,
) -> Result<Vec<Event>, Refused> {
    let view = View::new(record, design(record, context)?).visiting(visit, on);
    follow(view, [Input::Visit(visit.clone())].into(), context)
}

/// What follows from a form that counts no more, or again. Nothing is refused here either.
pub(super) fn after_whole(
    record: &Record,
    form: &FormKey,
    counts: bool,
    context: &Context<'_, Study>,
) -> Result<Vec<Event>, Refused> {
    let items = record.forms.get(form).into_iter().flat_map(|form| form.items.keys());
    let changed = items.map(|item| Input::Item(ItemPlace::of(form, item))).collect();
    follow(View::new(record, design(record, context)?).counting(form, counts), changed, context)
}

/// What follows from another design version: what it computes of what stands, and what its checks say to that. What is frozen
/// or locked is computed no more.
pub(super) fn after_migration(
    record: &Record,
    design: &StudyDesign,
    context: &Context<'_, Study>,
) -> Result<Vec<Event>, Refused> {
    let forms = record.forms.iter().filter(|(_, form)| !form.removed);
    let items = forms.flat_map(|(key, form)| form.items.keys().map(move |item| (key, item)));
    let items = items.filter(|(key, item)| design.has_item(key, item));
    let items = items.map(|(key, item)| Input::Item(ItemPlace::of(key, item)));
    let mut stands: BTreeSet<Input> = items.chain(record.visits.keys().cloned().map(Input::Visit)).collect();
    let (mut scratch, mut changed) = (View::new(record, design), stands.clone());
    let mut computed = checks::compute(&mut scratch, None, &mut changed, context.command, &mut (0..));
    computed.retain(|(key, item)| super::locks::gate(record, key, &item.item, context).is_ok());
    stands.extend(computed.iter().map(|(key, item)| Input::Item(ItemPlace::of(key, &item.item))));
    let view = computed.iter().fold(View::new(record, design), |view, (key, item)| view.saving(key, from_ref(item)));
    let findings = checks::findings(&view, &stands, &BTreeSet::new());
    let mut forms = vec![];
    join(&mut forms, computed);
    commit(record, forms, Source::System, &findings, context)
}

fn follow(
    mut view: View<'_>,
    mut changed: BTreeSet<Input>,
    context: &Context<'_, Study>,
) -> Result<Vec<Event>, Refused> {
    // The command's reason has the part before.
    let computed = checks::compute(&mut view, None, &mut changed, context.command, &mut (1..));
    let findings = checks::findings(&view, &changed, &BTreeSet::new());
    let mut forms = vec![];
    join(&mut forms, computed);
    commit(view.record, forms, Source::System, &findings, context)
}

/// The facts of a save: values, what fired, and what both mean for queries, verifications and signatures. The first form
/// is the one that was saved by hand, all others are computed.
fn commit(
    record: &Record,
    forms: Vec<(FormKey, Vec<SavedItem>)>,
    source: Source,
    findings: &[Finding],
    context: &Context<'_, Study>,
) -> Result<Vec<Event>, Refused> {
    let (fires, passes): (Vec<&Finding>, Vec<&Finding>) = findings.iter().partition(|one| one.fires);
    let fired: Vec<Event> = fires.into_iter().map(|one| checks::accepted(one, &forms)).collect();
    let passed: Vec<_> = passes.into_iter().map(checks::place).collect();
    let mut news = Vec::new();
    let nothing_saved = findings.first().filter(|_| forms.is_empty()).map(|one| (one.at.form(), vec![]));
    for (n, (key, saved)) in forms.iter().chain(&nothing_saved).enumerate() {
        for item in saved.iter().filter(|item| item.computed) {
            super::locks::gate(record, key, &item.item, context)?;
        }
        // All that fired is told once: queries are numbered in the command.
        let (fired, passed) = if n == 0 { (&fired[..], &passed[..]) } else { (&[][..], &[][..]) };
        news.extend(super::queries::after_save(record, key, saved, fired, passed, context));
        if !saved.is_empty() {
            news.extend(super::verify::after_save(record, key, saved));
            news.extend(super::sign::after_save(record, key, saved));
        }
    }
    let saved = forms.into_iter().enumerate().map(|(n, (form, items))| Event::ItemsSaved {
        form,
        items,
        source: if n == 0 { source } else { Source::System },
    });
    Ok(super::sign::once(saved.chain(fired).chain(news).collect()))
}

/// What a command brings: what is to be stored, with its number, and what is said of computed items.
struct Sent {
    saved: Vec<(u32, SavedItem)>,
    claimed: Vec<(usize, ItemToSave)>,
    /// Values that break a rule of the item: if nothing else is wrong, that they were tried is kept.
    tried: Vec<Tried>,
}

struct Saving<'a> {
    record: &'a Record,
    form: Option<&'a Form>,
    design: &'a StudyDesign,
    context: &'a Context<'a, Study>,
}

/// What one item comes to.
enum Outcome {
    Unchanged,
    Saved(Box<SavedItem>),
    /// The platform computes it.
    Computed,
    /// It is too long, or not in the code list.
    Tried(&'static str, String, Box<SavedItem>),
}

impl Saving<'_> {
    /// What is to be stored, or every fault at once.
    fn items(&self, key: &FormKey, items: &[ItemToSave]) -> Result<Sent, Refused> {
        let form_fault = form_fault(self.design, key);
        let mut faults: Vec<Fault> = form_fault.iter().cloned().collect();
        if self.form.is_some_and(|form| form.removed) {
            return Err(Refused::FormRemoved);
        }
        let (mut saved, mut claimed, mut tried) = (Vec::new(), Vec::new(), Vec::new());
        let mut seen = BTreeSet::new();
        if items.is_empty() {
            faults.push(Fault { pointer: "/items".into(), detail: "there is nothing to save".into() });
        }
        for (n, item) in items.iter().enumerate() {
            let at = |field: &str, detail: String| Fault { pointer: format!("/items/{n}{field}"), detail };
            if !seen.insert(item.key()) {
                faults.push(at("", format!("{} stands twice in this command", item.item)));
            } else if form_fault.is_none() {
                match self.item(key, n, item) {
                    Ok(Outcome::Unchanged) => {}
                    Ok(Outcome::Saved(item)) => saved.push((n as u32, *item)),
                    Ok(Outcome::Computed) => claimed.push((n, item.clone())),
                    Ok(Outcome::Tried(kind, rule, item)) => tried.push(Tried { kind, rule, at: n as u32, item: *item }),
                    Err(ItemRefused::Fault(field, detail)) => faults.push(at(field, detail)),
                    Err(ItemRefused::Erased(scope)) => return Err(Refused::Erased(scope)),
                }
            }
        }
        if faults.is_empty() {
            return Ok(Sent { saved, claimed, tried });
        }
        let fault = |one: Tried| Fault { pointer: format!("/items/{}/value", one.at), detail: one.rule };
        faults.extend(tried.into_iter().map(fault));
        let number = |fault: &Fault| fault.pointer.strip_prefix("/items/")?.split('/').next()?.parse::<usize>().ok();
        faults.sort_by_key(number);
        Err(Refused::Faults(faults))
    }

    fn item(&self, key: &FormKey, n: usize, item: &ItemToSave) -> Result<Outcome, ItemRefused> {
        let (reference, definition) = self.definition(key, item)?;
        let scope = self.design.scope_of(definition);
        // Before anything is compared: that would tell.
        blinding(self.context.principal.actor.role, scope)?;
        if item.value.is_some() && item.not_done.is_some() {
            return Err(ItemRefused::Fault(
                "/not_done",
                format!("{} has a value or was not done, not both", item.item),
            ));
        }
        if self.design.method_of(reference).is_some() {
            return Ok(Outcome::Computed);
        }
        let before = self.form.and_then(|form| form.items.get(&item.key()));
        let nothing = item.value.is_none() && item.not_done.is_none();
        // To clear what was never there is nothing, unless something was to be there.
        let unasked = nothing && item.expect != Some(Expect::Something);
        // Whoever may not see what stands there is not told whether it is the same: each save of it is a change, but for
        // those who saved it themselves. They know, and a file that is imported again changes nothing.
        let actor = &self.context.principal.actor;
        let own = before.is_some_and(|before| before.saved.actor == actor.id);
        let compared = may_see(actor.role, scope) || own;
        if before.map_or(unasked, |before| compared && same(before, item)) {
            return Ok(Outcome::Unchanged);
        }
        expected(before, item)?;
        if self.record.fenced.contains(&scope) {
            return Err(ItemRefused::Erased(scope));
        }
        if let Some(value) = &item.value
            && let Err(rule) = self.design.check(definition, value)
        {
            // What is no text that any item could take is not kept either.
            if !DataType::Text.accepts(&value.0) {
                return Err(ItemRefused::Fault("/value", rule));
            }
            let length = definition.length.filter(|_| definition.data_type == DataType::Text);
            let long = length.is_some_and(|length| value.0.chars().count() > length as usize);
            let kind = match definition.data_type.accepts(&value.0) {
                false => "type",
                true if long => "length",
                true => "code-list",
            };
            return Ok(Outcome::Tried(kind, rule, Box::new(self.saved(n, item, scope))));
        }
        self.reason(item, before.is_some())?;
        Ok(Outcome::Saved(Box::new(self.saved(n, item, scope))))
    }

    /// A change needs a reason; once everything is said to be entered, a first value does too.
    fn reason(&self, item: &ItemToSave, saved_before: bool) -> Result<(), ItemRefused> {
        let completed = self.form.is_some_and(|form| form.completed);
        if item.reason.as_ref().is_none_or(Plain::is_blank) {
            let why = match (saved_before, completed) {
                (true, _) => format!("{} was saved before: say why it changes", item.item),
                (false, true) => format!("the form was complete: say why {} is entered now", item.item),
                (false, false) if item.reason.is_some() => {
                    format!("the reason for {} is empty: leave it out", item.item)
                }
                (false, false) => return Ok(()),
            };
            return Err(ItemRefused::Fault("/reason", why));
        }
        match self.record.fenced.contains(&Scope::HealthFreeText) {
            true => Err(ItemRefused::Erased(Scope::HealthFreeText)),
            false => Ok(()),
        }
    }

    fn definition(&self, key: &FormKey, item: &ItemToSave) -> Result<(&Ref, &ItemDef), ItemRefused> {
        let form = self.design.form(&key.form);
        if !form.is_some_and(|form| form.item_groups.iter().any(|group| group.oid == item.group)) {
            return Err(ItemRefused::Fault("/group", format!("form {} has no such item group", key.form)));
        }
        let group = self.design.item_group(&item.group);
        let (Some(group), Some(definition)) = (group, self.design.item(&item.item)) else {
            return Err(ItemRefused::Fault(
                "/item",
                "there is no such item in the design version of this participant".into(),
            ));
        };
        let Some(reference) = group.items.iter().find(|reference| reference.oid == item.item) else {
            return Err(ItemRefused::Fault("/item", format!("item group {} has no such item", group.oid)));
        };
        match item.group_repeat {
            1 => Ok((reference, definition)),
            0 => Err(ItemRefused::Fault("/group_repeat", "repeats are counted from 1".into())),
            _ if group.repeating => Ok((reference, definition)),
            _ => Err(ItemRefused::Fault("/group_repeat", format!("item group {} does not repeat", group.oid))),
        }
    }

    /// The item as stored. Every free text gets a part of its own: even numbers for values, odd ones for reasons.
    fn saved(&self, n: usize, item: &ItemToSave, scope: Scope) -> SavedItem {
        let part = match scope {
            Scope::HealthFreeText => Part::of_command(self.context.command, 2 * n),
            _ => Part::all(),
        };
        let value = item.value.clone().map(|value| DesignScoped { scope, part, value: Erasable::Known(value) });
        let reason = item.reason.clone().map(|reason| {
            Personal::in_part(Part::of_command(self.context.command, 2 * n + 1), Erasable::Known(reason.0))
        });
        SavedItem { item: item.key(), value, not_done: item.not_done, computed: false, reason }
    }

    fn check_tag(&self) -> Result<(), Refused> {
        let current = self.form.map_or(Revision::NONE, |form| form.tag);
        match self.context.expected {
            None if current == Revision::NONE => Ok(()),
            None => Err(Refused::TagRequired),
            Some(expected) if expected == current => Ok(()),
            Some(_) => Err(Refused::TagDiffers(current)),
        }
    }
}

/// What is wrong with the address of a form.
pub(super) fn form_fault(design: &StudyDesign, key: &FormKey) -> Option<Fault> {
    let fault = |pointer: &str, detail: String| Some(Fault { pointer: pointer.into(), detail });
    let Some(visit) = design.visit(&key.visit) else {
        return fault("/visit", "there is no such visit in the design version of this participant".into());
    };
    if !visit.forms.iter().any(|form| form.oid == key.form) {
        return fault("/form", format!("visit {} has no such form", visit.oid));
    }
    let form_repeats = design.form(&key.form).is_some_and(|form| form.repeating);
    match (key.visit_repeat, key.form_repeat) {
        (1, 1) => None,
        (0, _) => fault("/visit_repeat", "repeats are counted from 1".into()),
        (_, 0) => fault("/form_repeat", "repeats are counted from 1".into()),
        (visit_repeat, _) if visit_repeat > 1 && !visit.repeating => {
            fault("/visit_repeat", format!("visit {} does not repeat", visit.oid))
        }
        (_, form_repeat) if form_repeat > 1 && !form_repeats => {
            fault("/form_repeat", format!("form {} does not repeat", key.form))
        }
        _ => None,
    }
}

/// What tells the arm is entered by those who may know it, and by programs. Anybody else would learn from the answer whether
/// the value is there already. Whoever knows the arm enters nothing else.
fn blinding(role: Role, scope: Scope) -> Result<(), ItemRefused> {
    let refuse = |why: &str| Err(ItemRefused::Fault("/item", why.into()));
    match (role, scope == Scope::HealthBlinded) {
        (Role::Unblinded, true) | (Role::Integrator | Role::System, _) => Ok(()),
        (Role::Unblinded, false) => refuse("this role enters blinded items only"),
        (_, true) => refuse("this item is blinded: the role unblinded enters it"),
        (_, false) => Ok(()),
    }
}

/// Why one item cannot be saved.
enum ItemRefused {
    /// A field of it, and the rule.
    Fault(&'static str, String),
    /// Its scope is erased.
    Erased(Scope),
}

/// Whether there is something before as the sender says.
fn expected(before: Option<&Item>, item: &ItemToSave) -> Result<(), ItemRefused> {
    let there = before.is_some_and(|before| before.value.is_some() || before.not_done.is_some());
    let refuse = |why: &str| Err(ItemRefused::Fault("/expect", format!("{} {why}", item.item)));
    match item.expect {
        Some(Expect::Nothing) if there => refuse("was entered already, and otherwise: it is not new"),
        Some(Expect::Something) if !there => refuse("was not entered: there is nothing to change"),
        _ => Ok(()),
    }
}

fn same(before: &Item, now: &ItemToSave) -> bool {
    if before.not_done != now.not_done {
        return false;
    }
    match (before.value.as_ref(), now.value.as_ref()) {
        (None, None) => true,
        (Some(Erasable::Known(before)), Some(now)) => before == now,
        (Some(Erasable::Erased | Erasable::Known(_)), None) | (Some(Erasable::Erased) | None, Some(_)) => false,
    }
}
