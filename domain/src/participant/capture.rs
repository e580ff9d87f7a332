//! Forms: whether everything was entered, and whether they belong here.

use std::collections::BTreeMap;

use super::{Command, Event, Form, FormKey, Item, Record, Refused, needed_text};
use crate::decider::{Context, Recorded};
use crate::study::Study;

pub(super) fn decide(record: &Record, command: &Command, context: &Context<'_, Study>) -> Result<Vec<Event>, Refused> {
    let _ = (record, command, context, needed_text);
    Ok(vec![])
}

pub(super) fn evolve(forms: &mut BTreeMap<FormKey, Form>, event: &Event, recorded: Recorded) {
    match event {
        Event::ItemsSaved { form, items, .. } => {
            let form = forms.entry(form.clone()).or_default();
            form.tag = recorded.revision;
            for saved in items {
                let value = saved.value.as_ref().map(|value| value.value.clone());
                let (not_done, computed) = (saved.not_done, saved.computed);
                form.items.insert(saved.item.clone(), Item { value, not_done, computed, saved: recorded });
            }
        }
        Event::FormCompleted { form } => forms.entry(form.clone()).or_default().completed = true,
        Event::FormReopened { form, .. } => forms.entry(form.clone()).or_default().completed = false,
        Event::FormRemoved { form, .. } => forms.entry(form.clone()).or_default().removed = true,
        Event::FormRestored { form, .. } => forms.entry(form.clone()).or_default().removed = false,
        _ => {}
    }
}
