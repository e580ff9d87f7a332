//! Which checks look at what changed, and what each of them finds.

use std::collections::{BTreeMap, BTreeSet};

use super::{Input, View, check_id, mentions, message, range};
use crate::design::expression::{Compiled, Here, Outcome, Seen, is_executed};
use crate::design::{Expression, ItemDef, Labels, Ref};
use crate::ids::{CheckId, Label, Oid};
use crate::participant::{FormKey, ItemKey, ItemPlace};

/// What a check found at one place.
pub(in crate::participant) struct Finding {
    pub check: CheckId,
    pub hard: bool,
    pub at: ItemPlace,
    pub inputs: BTreeSet<Input>,
    pub message: Option<Label>,
    pub fires: bool,
}

/// What every check finds that looks at something that changed. `by_hand` are the places at which the command itself
/// puts a value: there, an item that is skipped is refused; elsewhere it is asked about.
pub(in crate::participant) fn findings(
    view: &View<'_>,
    changed: &BTreeSet<Input>,
    by_hand: &BTreeSet<ItemPlace>,
) -> Vec<Finding> {
    let mut found = Vec::new();
    ranges(view, changed, &mut found);
    expressions(view, changed, &mut found);
    skips(view, changed, by_hand, &mut found);
    found
}

// --- ranges

fn ranges(view: &View<'_>, changed: &BTreeSet<Input>, found: &mut Vec<Finding>) {
    for place in changed.iter().filter_map(|input| if let Input::Item(place) = input { Some(place) } else { None }) {
        let Some(item) = view.design.item(&place.item).filter(|item| !view.design.is_blinded(&item.oid)) else {
            continue;
        };
        for (n, check) in item.range_checks.iter().enumerate().filter(|(_, check)| check.is_executed_on(item)) {
            let fires = match view.seen(place) {
                Seen::Known(value) => range::passes(item, check, &value).map(|passes| !passes),
                // Nothing stands there that could be out of range.
                Seen::Missing | Seen::NotDone => Some(false),
                Seen::Erased => None,
            };
            found.extend(fires.map(|fires| Finding {
                check: check_id("range", &item.oid, Some(n)),
                hard: check.hard,
                at: place.clone(),
                inputs: [Input::Item(place.clone())].into(),
                message: message(&check.message),
                fires,
            }));
        }
    }
}

// --- expressions

/// A check whose rule is an expression.
struct Rule<'a> {
    check: CheckId,
    hard: bool,
    message: &'a Labels,
    form: Option<&'a Oid>,
    group: Option<&'a Oid>,
    item: &'a Oid,
    text: &'a str,
}

fn expressions(view: &View<'_>, changed: &BTreeSet<Input>, found: &mut Vec<Finding>) {
    for rule in rules(view).filter(|rule| rule.looks_at(changed)) {
        let here = Here { form: rule.form, item: Some(rule.item) };
        let Ok(compiled) = view.design.compile(rule.text, here) else { continue };
        if view.design.reads_blinded(&compiled, rule.item) {
            continue;
        }
        for at in instances(view, &rule) {
            let mut inputs = view.inputs(&compiled, &at);
            inputs.insert(Input::Item(at.clone()));
            if inputs.is_disjoint(changed) {
                continue;
            }
            let fires = match view.run(&compiled, &at) {
                Outcome::Missing => Some(false),
                outcome => outcome.truth().map(|good| !good),
            };
            let (check, message) = (rule.check.clone(), message(rule.message));
            found.extend(fires.map(|fires| Finding { check, hard: rule.hard, at, inputs, message, fires }));
        }
    }
}

fn rules<'a>(view: &'a View<'_>) -> impl Iterator<Item = Rule<'a>> {
    let checks = view.design.checks.iter().map(|check| Rule {
        check: check.oid.clone(),
        hard: check.hard,
        message: &check.message,
        form: Some(&check.form),
        group: Some(&check.group),
        item: &check.item,
        text: &check.expression,
    });
    checks.chain(view.design.items.iter().flat_map(of_item))
}

fn of_item(item: &ItemDef) -> impl Iterator<Item = Rule<'_>> {
    item.range_checks.iter().enumerate().filter_map(|(n, check)| {
        let text = executed(&check.expressions)?;
        let check_id = check_id("range", &item.oid, Some(n));
        Some(Rule {
            check: check_id,
            hard: check.hard,
            message: &check.message,
            form: None,
            group: None,
            item: &item.oid,
            text,
        })
    })
}

pub(super) fn executed(expressions: &[Expression]) -> Option<&str> {
    expressions.iter().find(|one| is_executed(&one.context)).map(|one| one.text.as_str())
}

impl Rule<'_> {
    fn looks_at(&self, changed: &BTreeSet<Input>) -> bool {
        let own = |input: &Input| matches!(input, Input::Item(place) if place.item == *self.item);
        mentions(self.text, changed) || changed.iter().any(own)
    }
}

/// Every place of the record at which a rule stands.
fn instances(view: &View<'_>, rule: &Rule<'_>) -> Vec<ItemPlace> {
    let mut places = Vec::new();
    for key in view.forms() {
        if rule.form.is_some_and(|form| *form != key.form) {
            continue;
        }
        for (_, group) in groups(view, key) {
            let own =
                rule.group.is_none_or(|one| one == group) && group_items(view, group).any(|one| one.oid == *rule.item);
            for group_repeat in view.repeats(key, group).into_iter().filter(|_| own) {
                let item = ItemKey { group: group.clone(), group_repeat, item: rule.item.clone() };
                places.push(ItemPlace::of(key, &item));
            }
        }
    }
    places
}

pub(super) fn groups<'a>(view: &View<'a>, key: &FormKey) -> impl Iterator<Item = (&'a Ref, &'a Oid)> {
    let form = view.design.form(&key.form);
    form.into_iter().flat_map(|form| &form.item_groups).map(|group| (group, &group.oid))
}

pub(super) fn group_items<'a>(view: &View<'a>, group: &Oid) -> impl Iterator<Item = &'a Ref> {
    view.design.item_group(group).into_iter().flat_map(|group| &group.items)
}

// --- skip conditions

/// The conditions under which an item is left out: its own, its group's, its form's.
fn conditions<'a>(view: &View<'a>, at: &ItemPlace) -> Vec<&'a str> {
    let visit = view.design.visit(&at.visit);
    let form = visit.and_then(|visit| visit.forms.iter().find(|form| form.oid == at.form));
    let group = view.design.form(&at.form).and_then(|form| form.item_groups.iter().find(|one| one.oid == at.group));
    let item = group_items(view, &at.group).find(|one| one.oid == at.item);
    let oids = [form, group, item].into_iter().flatten().filter_map(|one| one.skip_condition.as_deref());
    oids.filter_map(|oid| view.design.conditions.iter().find(|condition| condition.oid == oid))
        .filter_map(|condition| executed(&condition.expressions))
        .collect()
}

/// Whether an item is left out as things stand.
pub(in crate::participant) fn is_skipped(view: &View<'_>, at: &ItemPlace) -> bool {
    let compiled = conditions(view, at).into_iter().filter_map(|text| view.design.compile(text, Here::default()).ok());
    let mut told = compiled.into_iter().filter(|condition| !view.design.reads_blinded(condition, &at.item));
    told.any(|condition| view.run(&condition, at).truth() == Some(true))
}

fn skips(view: &View<'_>, changed: &BTreeSet<Input>, by_hand: &BTreeSet<ItemPlace>, found: &mut Vec<Finding>) {
    if view.design.conditions.iter().all(|condition| executed(&condition.expressions).is_none()) {
        return;
    }
    let mut parsed: BTreeMap<&str, Option<Compiled>> = BTreeMap::new();
    for key in view.forms() {
        for (_, group) in groups(view, key) {
            for item in group_items(view, group) {
                for group_repeat in view.repeats(key, group) {
                    let item = ItemKey { group: group.clone(), group_repeat, item: item.oid.clone() };
                    skip(view, changed, by_hand, ItemPlace::of(key, &item), &mut parsed, found);
                }
            }
        }
    }
}

fn skip<'a>(
    view: &View<'a>,
    changed: &BTreeSet<Input>,
    by_hand: &BTreeSet<ItemPlace>,
    at: ItemPlace,
    parsed: &mut BTreeMap<&'a str, Option<Compiled>>,
    found: &mut Vec<Finding>,
) {
    let texts = conditions(view, &at);
    let own = Input::Item(at.clone());
    if texts.is_empty() || !(changed.contains(&own) || texts.iter().any(|text| mentions(text, changed))) {
        return;
    }
    let (mut inputs, mut skipped) = (BTreeSet::from([own]), false);
    for text in texts {
        let compiled = parsed.entry(text).or_insert_with(|| view.design.compile(text, Here::default()).ok());
        if let Some(compiled) = compiled.as_ref().filter(|one| !view.design.reads_blinded(one, &at.item)) {
            inputs.extend(view.inputs(compiled, &at));
            skipped |= view.run(compiled, &at).truth() == Some(true);
        }
    }
    if inputs.is_disjoint(changed) {
        return;
    }
    let fires = skipped && matches!(view.seen(&at), Seen::Known(_) | Seen::Erased);
    let hard = by_hand.contains(&at);
    let check = check_id("skipped", &at.item, None);
    let message = "the item is left out under a condition of the design that holds here".parse().ok();
    found.push(Finding { check, hard, at, inputs, message, fires });
}
