//! Forms: whether everything was entered, and whether they belong here.

use std::collections::{BTreeMap, BTreeSet};

use super::checks::{self, View};
use super::{Command, Event, Form, FormKey, Item, ItemKey, ItemPlace, Place, Record, Refused, needed_text};
use crate::decider::{Context, Recorded};
use crate::design::StudyDesign;
use crate::design::expression::Seen;
use crate::study::Study;

pub(super) fn decide(record: &Record, command: &Command, context: &Context<'_, Study>) -> Result<Vec<Event>, Refused> {
    match command {
        Command::CompleteForm { form } => complete(record, form, context),
        Command::ReopenForm { form, reason } => {
            let before = known(record, form, context)?;
            if !before.completed {
                return Ok(vec![]);
            }
            let reason = needed_text(record, reason, context)?;
            Ok(vec![Event::FormReopened { form: form.clone(), reason }])
        }
        Command::RemoveForm { form, reason } => {
            if known(record, form, context)?.removed {
                return Ok(vec![]);
            }
            super::locks::gate_whole(record, &Place::Form(form.clone()), context)?;
            let reason = needed_text(record, reason, context)?;
            let removed = Event::FormRemoved { form: form.clone(), reason };
            changed(record, form, removed, false, context)
        }
        Command::RestoreForm { form, reason } => {
            if !known(record, form, context)?.removed {
                return Ok(vec![]);
            }
            let reason = needed_text(record, reason, context)?;
            let restored = Event::FormRestored { form: form.clone(), reason };
            changed(record, form, restored, true, context)
        }
        _ => Ok(vec![]),
    }
}

/// A form that counts no more, or again: it was signed otherwise, and others may read it.
fn changed(
    record: &Record,
    form: &FormKey,
    fact: Event,
    counts: bool,
    context: &Context<'_, Study>,
) -> Result<Vec<Event>, Refused> {
    let dropped = super::sign::after_change(record, &Place::Form(form.clone()));
    let follows = super::save::after_whole(record, form, counts, context)?;
    Ok(super::sign::once([fact].into_iter().chain(dropped).chain(follows).collect()))
}

/// The form as it stands, if it is one of the design and nobody holds it.
fn known(record: &Record, key: &FormKey, context: &Context<'_, Study>) -> Result<Form, Refused> {
    let design = super::save::design(record, context)?;
    if let Some(fault) = super::save::form_fault(design, key) {
        return Err(Refused::Faults(vec![fault]));
    }
    super::locks::gate_place(record, &Place::Form(key.clone()), context)?;
    Ok(record.forms.get(key).cloned().unwrap_or_default())
}

fn complete(record: &Record, key: &FormKey, context: &Context<'_, Study>) -> Result<Vec<Event>, Refused> {
    let form = known(record, key, context)?;
    if form.removed {
        return Err(Refused::FormRemoved);
    }
    if form.completed {
        return Ok(vec![]);
    }
    let missing = missing(record, key, super::save::design(record, context)?);
    match missing.is_empty() {
        true => Ok(vec![Event::FormCompleted { form: key.clone() }]),
        false => Ok(checks::missing(key, missing)),
    }
}

/// What must be there and is not: of each occurrence of a group that was begun, and of each group that must be there. An
/// erased value was there, and nothing can be entered where its scope is erased; what is computed or left out under a
/// condition is nobody's to enter.
pub(super) fn missing(record: &Record, key: &FormKey, design: &StudyDesign) -> Vec<ItemKey> {
    let view = View::new(record, design);
    let begun = record.forms.get(key).map(|form| form.items.keys().collect::<Vec<_>>()).unwrap_or_default();
    let mut missing = Vec::new();
    for reference in design.form(&key.form).into_iter().flat_map(|form| &form.item_groups) {
        let Some(group) = design.item_group(&reference.oid) else { continue };
        let own = begun.iter().filter(|item| item.group == group.oid).map(|item| item.group_repeat);
        let repeats: BTreeSet<u32> = own.chain(reference.mandatory.then_some(1)).collect();
        for group_repeat in repeats {
            for item in group.items.iter().filter(|item| item.mandatory && design.method_of(item).is_none()) {
                let item = ItemKey { group: group.oid.clone(), group_repeat, item: item.oid.clone() };
                let at = ItemPlace::of(key, &item);
                let wanted = !design.is_fenced(&item.item, &record.fenced) && !checks::is_skipped(&view, &at);
                if wanted && view.seen(&at) == Seen::Missing {
                    missing.push(item);
                }
            }
        }
    }
    missing
}

pub(super) fn evolve(forms: &mut BTreeMap<FormKey, Form>, event: &Event, recorded: Recorded) {
    match event {
        Event::ItemsSaved { form, items, .. } => {
            let form = forms.entry(form.clone()).or_default();
            form.tag = recorded.revision;
            for saved in items {
                let value = saved.value.as_ref().map(|value| value.value.clone());
                let (not_done, computed) = (saved.not_done, saved.computed);
                let reason = saved.reason.as_ref().map(|reason| reason.part.clone());
                form.items.insert(saved.item.clone(), Item { value, not_done, computed, saved: recorded, reason });
            }
        }
        Event::FormCompleted { form } => forms.entry(form.clone()).or_default().completed = true,
        Event::FormReopened { form, .. } => forms.entry(form.clone()).or_default().completed = false,
        Event::FormRemoved { form, .. } => forms.entry(form.clone()).or_default().removed = true,
        Event::FormRestored { form, .. } => forms.entry(form.clone()).or_default().removed = false,
        _ => {}
    }
}
