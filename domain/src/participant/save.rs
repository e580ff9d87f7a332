//! Deciding what saving a form's items means: what is new, what changed and why, what does not fit.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Event, Form, FormKey, Item, ItemToSave, Record, Refused, SavedItem};
use crate::decider::Context;
use crate::design::{ItemDef, StudyDesign};
use crate::history::Revision;
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
    super::consent::gate(record, context)?;
    let design: &Arc<StudyDesign> = context.governing.design_of(record).ok_or(Refused::StudyNotLive)?;
    let saving = Saving { record, form: record.forms.get(key), design, context };
    let saved = saving.items(key, items)?;
    if saved.is_empty() {
        return Ok(vec![]);
    }
    saving.check_tag()?;
    let (passed, fired) = (vec![], vec![]);
    let news = [
        super::queries::after_save(record, key, &saved, &fired, &passed, context),
        super::verify::after_save(record, key, &saved),
        super::sign::after_save(record, key, &saved),
    ];
    let items = Event::ItemsSaved { form: key.clone(), items: saved, source };
    Ok([items].into_iter().chain(fired).chain(news.into_iter().flatten()).collect())
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
    Saved(SavedItem),
}

impl Saving<'_> {
    /// What is to be stored, or every fault at once.
    fn items(&self, key: &FormKey, items: &[ItemToSave]) -> Result<Vec<SavedItem>, Refused> {
        let mut faults: Vec<Fault> = self.form_fault(key).into_iter().collect();
        let mut saved = Vec::new();
        let mut seen = BTreeSet::new();
        if items.is_empty() {
            faults.push(Fault { pointer: "/items".into(), detail: "there is nothing to save".into() });
        }
        for (n, item) in items.iter().enumerate() {
            let at = |field: &str, detail: String| Fault { pointer: format!("/items/{n}{field}"), detail };
            if !seen.insert(item.key()) {
                faults.push(at("", format!("{} stands twice in this command", item.item)));
            } else if faults.is_empty() || self.form_fault(key).is_none() {
                match self.item(key, n, item) {
                    Ok(Outcome::Unchanged) => {}
                    Ok(Outcome::Saved(item)) => saved.push(item),
                    Err(ItemRefused::Fault(field, detail)) => faults.push(at(field, detail)),
                    Err(ItemRefused::Erased(scope)) => return Err(Refused::Erased(scope)),
                }
            }
        }
        if faults.is_empty() { Ok(saved) } else { Err(Refused::Faults(faults)) }
    }

    fn form_fault(&self, key: &FormKey) -> Option<Fault> {
        let fault = |pointer: &str, detail: String| Some(Fault { pointer: pointer.into(), detail });
        let Some(visit) = self.design.visit(&key.visit) else {
            return fault("/visit", "there is no such visit in the live design".into());
        };
        if !visit.forms.iter().any(|form| form.oid == key.form) {
            return fault("/form", format!("visit {} has no such form", visit.oid));
        }
        let form_repeats = self.design.form(&key.form).is_some_and(|form| form.repeating);
        match (key.visit_repeat, key.form_repeat) {
            (1, 1) => None,
            (0, _) | (_, 0) => fault("/visit_repeat", "repeats are counted from 1".into()),
            (visit_repeat, _) if visit_repeat > 1 && !visit.repeating => {
                fault("/visit_repeat", format!("visit {} does not repeat", visit.oid))
            }
            (_, form_repeat) if form_repeat > 1 && !form_repeats => {
                fault("/form_repeat", format!("form {} does not repeat", key.form))
            }
            _ => None,
        }
    }

    fn item(&self, key: &FormKey, n: usize, item: &ItemToSave) -> Result<Outcome, ItemRefused> {
        let definition = self.definition(key, item)?;
        let scope = self.design.scope_of(definition);
        if self.record.fenced.contains(&scope) {
            return Err(ItemRefused::Erased(scope));
        }
        if let Some(value) = &item.value {
            self.design.check(definition, value).map_err(|rule| ItemRefused::Fault("/value", rule))?;
        }
        match self.form.and_then(|form| form.items.get(&item.key())) {
            None if item.value.is_none() && item.not_done.is_none() => Ok(Outcome::Unchanged),
            None => Ok(Outcome::Saved(self.saved(n, item, scope))),
            Some(before) if same(before, item) => Ok(Outcome::Unchanged),
            Some(_) if item.reason.as_ref().is_none_or(Plain::is_blank) => {
                Err(ItemRefused::Fault("/reason", format!("{} was saved before: say why it changes", item.item)))
            }
            Some(_) if self.record.fenced.contains(&Scope::HealthFreeText) => {
                Err(ItemRefused::Erased(Scope::HealthFreeText))
            }
            Some(_) => Ok(Outcome::Saved(self.saved(n, item, scope))),
        }
    }

    fn definition(&self, key: &FormKey, item: &ItemToSave) -> Result<&ItemDef, ItemRefused> {
        let form = self.design.form(&key.form);
        if !form.is_some_and(|form| form.item_groups.iter().any(|group| group.oid == item.group)) {
            return Err(ItemRefused::Fault("/group", format!("form {} has no such item group", key.form)));
        }
        let group = self.design.item_group(&item.group);
        let (Some(group), Some(definition)) = (group, self.design.item(&item.item)) else {
            return Err(ItemRefused::Fault("/item", "there is no such item in the live design".into()));
        };
        if !group.items.iter().any(|reference| reference.oid == item.item) {
            return Err(ItemRefused::Fault("/item", format!("item group {} has no such item", group.oid)));
        }
        match item.group_repeat {
            1 => Ok(definition),
            0 => Err(ItemRefused::Fault("/group_repeat", "repeats are counted from 1".into())),
            _ if group.repeating => Ok(definition),
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
            None if self.form.is_none() => Ok(()),
            None => Err(Refused::TagRequired),
            Some(expected) if expected == current => Ok(()),
            Some(_) => Err(Refused::TagDiffers(current)),
        }
    }
}

/// Why one item cannot be saved.
enum ItemRefused {
    /// A field of it, and the rule.
    Fault(&'static str, String),
    /// Its scope is erased.
    Erased(Scope),
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
