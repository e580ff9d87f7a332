//! Source data verification, and review. Both count until what was looked at changes.

use std::collections::{BTreeMap, BTreeSet};

use super::{Command, Event, Form, FormKey, ItemKey, Place, Record, Refused, SavedItem, locks, needed_text};
use crate::decider::{Context, Recorded};
use crate::ids::Label;
use crate::permit::may_see;
use crate::rejection::{Kind, Rejection};
use crate::scope::Plain;
use crate::study::Study;

/// What was verified and reviewed, and still counts.
#[derive(Debug, Clone, Default)]
pub struct Verifications {
    /// The items that agree with their source.
    pub items: BTreeMap<FormKey, BTreeSet<ItemKey>>,
    /// The groups that looked at a form as it stands.
    pub reviews: BTreeMap<FormKey, BTreeSet<Label>>,
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyRefused {
    /// Nothing saved there.
    #[error("nothing is saved there that could be verified or reviewed")]
    NothingThere,
    /// Who entered it cannot say that it was entered well.
    #[error("whoever saved a value does not verify it: {0} of these values are your own")]
    OwnEntry(usize),
    /// Who does not see a value cannot compare it.
    #[error("{0} of these values are withheld from this role: leave them out")]
    NotShown(usize),
}

impl Rejection for VerifyRefused {
    fn code(&self) -> &'static str {
        match self {
            Self::NothingThere => "nothing-there",
            Self::OwnEntry(_) => "own-entry",
            Self::NotShown(_) => "withheld-values",
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::NothingThere => Kind::Invalid,
            Self::OwnEntry(_) | Self::NotShown(_) => Kind::Forbidden,
        }
    }
}

pub(super) fn decide(record: &Record, command: &Command, context: &Context<'_, Study>) -> Result<Vec<Event>, Refused> {
    match command {
        Command::Verify { form, items } => verify(record, form, items, context),
        Command::WithdrawVerification { form, items, reason } => withdraw(record, form, items, reason, context),
        Command::ReviewForm { form, group } => {
            saved(record, form)?;
            locks::gate_work(record, &Place::Form(form.clone()), context)?;
            if record.verifications.reviews.get(form).is_some_and(|groups| groups.contains(group)) {
                return Ok(vec![]);
            }
            Ok(vec![Event::Reviewed { form: form.clone(), group: group.clone() }])
        }
        _ => Ok(vec![]),
    }
}

fn saved<'a>(record: &'a Record, form: &FormKey) -> Result<&'a Form, VerifyRefused> {
    record.forms.get(form).filter(|form| !form.removed && !form.items.is_empty()).ok_or(VerifyRefused::NothingThere)
}

fn verify(
    record: &Record,
    key: &FormKey,
    items: &[ItemKey],
    context: &Context<'_, Study>,
) -> Result<Vec<Event>, Refused> {
    let form = saved(record, key)?;
    locks::gate_work(record, &Place::Form(key.clone()), context)?;
    let shown = shown(record, context)?;
    let wanted: BTreeSet<ItemKey> = match items {
        [] => form.items.keys().filter(|item| shown(item)).cloned().collect(),
        some => some.iter().cloned().collect(),
    };
    if wanted.is_empty() || wanted.iter().any(|item| !form.items.contains_key(item)) {
        return Err(VerifyRefused::NothingThere.into());
    }
    match wanted.iter().filter(|item| !shown(item)).count() {
        0 => {}
        hidden => return Err(VerifyRefused::NotShown(hidden).into()),
    }
    let own =
        |item: &&ItemKey| form.items.get(*item).is_some_and(|item| item.saved.actor == context.principal.actor.id);
    match wanted.iter().filter(own).count() {
        0 => {}
        own => return Err(VerifyRefused::OwnEntry(own).into()),
    }
    let news: Vec<ItemKey> = wanted.into_iter().filter(|item| !record.verifications.has(key, item)).collect();
    Ok(if news.is_empty() { vec![] } else { vec![Event::Verified { form: key.clone(), items: news }] })
}

/// Which items this role is shown: nobody compares what is withheld from them.
fn shown<'a>(record: &Record, context: &'a Context<'_, Study>) -> Result<impl Fn(&ItemKey) -> bool + 'a, Refused> {
    let design = super::save::design(record, context)?;
    let role = context.principal.actor.role;
    Ok(move |item: &ItemKey| design.item(&item.item).is_none_or(|item| may_see(role, design.scope_of(item))))
}

fn withdraw(
    record: &Record,
    form: &FormKey,
    items: &[ItemKey],
    reason: &Plain,
    context: &Context<'_, Study>,
) -> Result<Vec<Event>, Refused> {
    let place = Place::Form(form.clone());
    locks::gate_work(record, &place, context)?;
    locks::gate_news(record, &place, context)?;
    let verified = record.verifications.items.get(form).into_iter().flatten();
    let items: Vec<ItemKey> = verified.filter(|item| items.is_empty() || items.contains(item)).cloned().collect();
    if items.is_empty() {
        return Ok(vec![]);
    }
    let reason = needed_text(record, reason, context)?;
    Ok(vec![Event::VerificationWithdrawn { form: form.clone(), items, reason }])
}

/// What saving these items of `form` means for verifications and reviews.
pub(super) fn after_save(record: &Record, form: &FormKey, saved: &[SavedItem]) -> Vec<Event> {
    let verifications = &record.verifications;
    let items: BTreeSet<&ItemKey> =
        saved.iter().map(|saved| &saved.item).filter(|item| verifications.has(form, item)).collect();
    let items: Vec<ItemKey> = items.into_iter().cloned().collect();
    let groups: Vec<Label> = verifications.reviews.get(form).into_iter().flatten().cloned().collect();
    let unverified = (!items.is_empty()).then(|| Event::VerificationReset { form: form.clone(), items });
    let unreviewed = (!groups.is_empty()).then(|| Event::ReviewReset { form: form.clone(), groups });
    unverified.into_iter().chain(unreviewed).collect()
}

impl Verifications {
    /// Whether an item agrees with its source.
    pub fn has(&self, form: &FormKey, item: &ItemKey) -> bool {
        self.items.get(form).is_some_and(|items| items.contains(item))
    }

    pub(super) fn evolve(&mut self, event: &Event, _: Recorded) {
        match event {
            Event::Verified { form, items } => {
                self.items.entry(form.clone()).or_default().extend(items.iter().cloned());
            }
            Event::VerificationWithdrawn { form, items, .. } | Event::VerificationReset { form, items } => {
                self.items.entry(form.clone()).or_default().retain(|item| !items.contains(item));
            }
            Event::Reviewed { form, group } => {
                self.reviews.entry(form.clone()).or_default().insert(group.clone());
            }
            Event::ReviewReset { form, groups } => {
                self.reviews.entry(form.clone()).or_default().retain(|group| !groups.contains(group));
            }
            _ => {}
        }
    }
}
