//! Computed items: the platform writes them, and writes them anew whenever something changes that they are made of.

use std::collections::BTreeSet;

use super::fire::{executed, group_items, groups};
use super::{Input, View, mentions};
use crate::design::expression::{Answer, Here, Outcome, Seen};
use crate::design::{DataType, ItemDef, ItemValue, Ref, StudyDesign};
use crate::ids::CommandId;
use crate::participant::{FormKey, ItemKey, ItemPlace, SavedItem};
use crate::scope::{DesignScoped, Erasable, Part, Scope};

/// A computed item may be made of computed ones, but not without end.
const ROUNDS_MAX: usize = 16;

impl StudyDesign {
    /// How an item is computed, if the platform computes it.
    pub fn method_of(&self, item: &Ref) -> Option<&str> {
        let method = item.method.as_deref()?;
        let method = self.methods.iter().find(|one| one.oid == method)?;
        executed(&method.expressions)
    }
}

/// Computes what follows from what changed: it goes into the view and is returned, and counts as changed. `saving` is
/// the form that is being saved: there, what was never computed is computed now.
pub(in crate::participant) fn compute(
    view: &mut View<'_>,
    saving: Option<&FormKey>,
    changed: &mut BTreeSet<Input>,
    command: CommandId,
    parts: &mut dyn Iterator<Item = usize>,
) -> Vec<(FormKey, SavedItem)> {
    let mut all: Vec<(FormKey, SavedItem)> = Vec::new();
    let design = view.design;
    if !design.item_groups.iter().flat_map(|group| &group.items).any(|item| design.method_of(item).is_some()) {
        return all;
    }
    for _ in 0..ROUNDS_MAX {
        let news: Vec<(FormKey, SavedItem)> = places(view)
            .into_iter()
            .filter_map(|(key, item, text)| {
                let saved = computed(view, saving, changed, (&key, item, text), command, parts)?;
                Some((key, saved))
            })
            .collect();
        if news.is_empty() {
            break;
        }
        for (key, saved) in news {
            changed.insert(Input::Item(ItemPlace::of(&key, &saved.item)));
            view.put(&key, saved.clone());
            all.retain(|(form, one)| (form, &one.item) != (&key, &saved.item));
            all.push((key, saved));
        }
    }
    all
}

/// Every place of the record that is computed, and how.
fn places<'a>(view: &View<'a>) -> Vec<(FormKey, ItemKey, &'a str)> {
    let mut places = Vec::new();
    for key in view.forms() {
        for (_, group) in groups(view, key) {
            for (item, text) in group_items(view, group).filter_map(|item| Some((item, view.design.method_of(item)?))) {
                places.extend(view.repeats(key, group).into_iter().map(|group_repeat| {
                    let item = ItemKey { group: group.clone(), group_repeat, item: item.oid.clone() };
                    (key.clone(), item, text)
                }));
            }
        }
    }
    places
}

fn computed(
    view: &View<'_>,
    saving: Option<&FormKey>,
    changed: &BTreeSet<Input>,
    (key, item, text): (&FormKey, ItemKey, &str),
    command: CommandId,
    parts: &mut dyn Iterator<Item = usize>,
) -> Option<SavedItem> {
    let at = ItemPlace::of(key, &item);
    let definition = view.design.item(&item.item)?;
    let scope = view.design.scope_of(definition);
    let before = view.seen(&at);
    let first = saving == Some(key) && before == Seen::Missing;
    if (!first && !mentions(text, changed)) || before == Seen::Erased || view.record.fenced.contains(&scope) {
        return None;
    }
    let compiled = view.design.compile(text, Here::default()).ok()?;
    if view.design.reads_blinded(&compiled, &item.item) || (!first && view.inputs(&compiled, &at).is_disjoint(changed))
    {
        return None;
    }
    let value = match view.run(&compiled, &at) {
        Outcome::Is(answer) => Some(fitting(view.design, definition, &answer)?),
        // What it was made of is gone: it would be the result of something else.
        Outcome::Missing => None,
        Outcome::Erased | Outcome::Undefined => return None,
    };
    if value.as_ref().map_or(Seen::Missing, |value| Seen::Known(value.0.clone())) == before {
        return None;
    }
    let value = value.map(|value| {
        let part = match scope {
            Scope::HealthFreeText => Part::of_command(command, parts.next().unwrap_or_default()),
            _ => Part::all(),
        };
        DesignScoped { scope, part, value: Erasable::Known(value) }
    });
    Some(SavedItem { item, value, not_done: None, computed: true, reason: None })
}

/// The answer as the item writes it, if it takes it.
fn fitting(design: &StudyDesign, item: &ItemDef, answer: &Answer) -> Option<ItemValue> {
    let text = match (answer, item.data_type) {
        (Answer::Truth(truth), _) => truth.to_string(),
        (Answer::Text(text), _) => text.clone(),
        (Answer::Number(number), DataType::Integer) if number.fract() != 0.0 => return None,
        // Without the minus of a zero, and without what binary fractions leave behind the fifteenth digit.
        (Answer::Number(number), _) => {
            let rounded: f64 = format!("{number:.14e}").parse().ok()?;
            (rounded + 0.0).to_string()
        }
    };
    let value = ItemValue(text);
    design.check(item, &value).is_ok().then_some(value)
}
