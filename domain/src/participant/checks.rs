//! Edit checks: what fires when values are saved, what is refused and what is asked about.
//!
//! A check that refuses stores what was tried and nothing else; one that asks lets the save pass and opens a query
//! (`queries.rs`). A check that reads something missing or erased has no opinion.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Event, FormKey, ItemKey, ItemPlace, Place, Refused, SavedItem, VisitKey};
use crate::design::Labels;
use crate::ids::{CheckId, Label, Oid};
use crate::rejection::Fault;

mod compute;
mod fire;
mod range;
mod view;

pub(super) use compute::compute;
pub(super) use fire::{Finding, findings, is_skipped};
pub(super) use view::View;

/// What a check does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It refuses.
    Hard,
    /// It accepts and asks.
    Soft,
}

/// What came of a check that fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CheckOutcome {
    /// Nothing was saved.
    Refused,
    /// It was saved, and a query is open.
    Accepted,
}

structural!(Severity, CheckOutcome);

/// Something that an expression reads and a command may change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Input {
    /// An item.
    Item(ItemPlace),
    /// The day of a visit.
    Visit(VisitKey),
}

/// The refusal that these facts record, if a hard check fired.
pub(super) fn refusal(facts: &[Event]) -> Option<Refused> {
    let faults: Vec<Fault> = facts.iter().filter_map(fault).collect();
    match facts.iter().any(is_required) {
        true => Some(Refused::Incomplete(faults)),
        false => (!faults.is_empty()).then_some(Refused::HardCheck(faults)),
    }
}

/// What is said of an item that has to be there for a form to be complete.
const REQUIRED: &str = "required";

/// Only a form that is said to be complete is refused with nothing that was sent.
fn is_required(fact: &Event) -> bool {
    let own = |check: &CheckId| check.as_str().strip_prefix(REQUIRED).is_some_and(|rest| rest.starts_with(':'));
    matches!(fact, Event::CheckFired { outcome: CheckOutcome::Refused, check, value: None, at: None, .. } if own(check))
}

fn fault(fact: &Event) -> Option<Fault> {
    let Event::CheckFired { outcome: CheckOutcome::Refused, check, at, message, .. } = fact else { return None };
    if is_required(fact) {
        let detail = message.as_ref().map_or_else(|| check.to_string(), Label::to_string);
        return Some(Fault { pointer: "/form".into(), detail });
    }
    let pointer = at.map_or_else(|| "/items".to_owned(), |at| format!("/items/{at}/value"));
    let message = message.as_ref().map_or("the value is not plausible", Label::as_str);
    Some(Fault { pointer, detail: format!("{check}: {message}") })
}

/// The record of a refusal: every hard check that fired, at the item of the command that it is about. `sent` are the
/// command's items, each with its number.
pub(super) fn refused(hard: &[Finding], form: &FormKey, sent: &[(u32, SavedItem)]) -> Vec<Event> {
    let fired = |finding: &Finding| {
        let place = |saved: &SavedItem| ItemPlace::of(form, &saved.item);
        let own = sent.iter().find(|(_, saved)| place(saved) == finding.at);
        let read = || sent.iter().find(|(_, saved)| finding.inputs.contains(&Input::Item(place(saved))));
        let tried = own.or_else(read).or(sent.first());
        Event::CheckFired {
            form: tried.map_or_else(|| finding.at.form(), |_| form.clone()),
            item: tried.map_or_else(|| finding.at.item(), |(_, saved)| saved.item.clone()),
            check: finding.check.clone(),
            severity: Severity::Hard,
            outcome: CheckOutcome::Refused,
            value: tried.and_then(|(_, saved)| saved.value.clone()),
            at: tried.map(|(n, _)| *n),
            message: finding.message.clone(),
        }
    };
    hard.iter().map(fired).collect()
}

/// A value that breaks a rule of its item: its type, its length, its code list.
pub(super) struct Tried {
    /// Which rule: the first part of the check's id.
    pub kind: &'static str,
    /// The rule in words.
    pub rule: String,
    /// Its number in the command.
    pub at: u32,
    /// What was sent.
    pub item: SavedItem,
}

/// The record of values that break a rule of their item.
pub(super) fn tried(form: &FormKey, tried: Vec<Tried>) -> Vec<Event> {
    let fired = |one: Tried| Event::CheckFired {
        form: form.clone(),
        check: check_id(one.kind, &one.item.item.item, None),
        item: one.item.item,
        severity: Severity::Hard,
        outcome: CheckOutcome::Refused,
        value: one.item.value,
        at: Some(one.at),
        message: label(&one.rule),
    };
    tried.into_iter().map(fired).collect()
}

/// The record of a form that was said to be complete while these items are missing.
pub(super) fn missing(form: &FormKey, items: Vec<ItemKey>) -> Vec<Event> {
    let fired = |item: ItemKey| {
        let rule =
            format!("{} in {} ({}) is required: enter it, or say why not", item.item, item.group, item.group_repeat);
        Event::CheckFired {
            form: form.clone(),
            check: check_id(REQUIRED, &item.item, None),
            item,
            severity: Severity::Hard,
            outcome: CheckOutcome::Refused,
            value: None,
            at: None,
            message: label(&rule),
        }
    };
    items.into_iter().map(fired).collect()
}

/// What is accepted and asked about. The value is that of the place where the check stands, if it is saved here.
pub(super) fn accepted(finding: &Finding, saved: &[(FormKey, Vec<SavedItem>)]) -> Event {
    let (form, item) = (finding.at.form(), finding.at.item());
    let here = saved.iter().filter(|(key, _)| *key == form).flat_map(|(_, items)| items);
    let value = here.into_iter().find(|saved| saved.item == item).and_then(|saved| saved.value.clone());
    Event::CheckFired {
        form,
        item,
        check: finding.check.clone(),
        severity: if finding.hard { Severity::Hard } else { Severity::Soft },
        outcome: CheckOutcome::Accepted,
        value,
        at: None,
        message: finding.message.clone(),
    }
}

/// Where a check stands that is content.
pub(super) fn place(finding: &Finding) -> (CheckId, Place) {
    (finding.check.clone(), Place::Item(finding.at.clone()))
}

/// What was changed, as expressions read it.
pub(super) fn changed(form: &FormKey, saved: &[SavedItem]) -> BTreeSet<Input> {
    saved.iter().map(|saved| Input::Item(ItemPlace::of(form, &saved.item))).collect()
}

/// The id of a check that has none in the design: what kind it is, its item, its number.
fn check_id(kind: &str, item: &Oid, n: Option<usize>) -> CheckId {
    let id = n.map_or_else(|| format!("{kind}:{item}"), |n| format!("{kind}:{item}:{n}"));
    id.parse().expect("an OID has no character and no length that a check id does not take")
}

/// The design's message: English, or without a language, or the first there is. As much as a label takes.
fn message(labels: &Labels) -> Option<Label> {
    label(labels.get("en").or_else(|| labels.get("")).or_else(|| labels.values().next())?)
}

fn label(text: &str) -> Option<Label> {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let end = (0..=plain.len().min(200)).rev().find(|end| plain.is_char_boundary(*end)).unwrap_or_default();
    plain[..end].trim().parse().ok()
}

/// Whether a text names one of the items that changed: only then it is worth parsing.
fn mentions(text: &str, changed: &BTreeSet<Input>) -> bool {
    changed.iter().any(|input| match input {
        Input::Item(place) => text.contains(place.item.as_str()),
        Input::Visit(_) => text.contains("visit_date"),
    })
}
