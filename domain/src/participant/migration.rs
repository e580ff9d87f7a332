//! Moving a participant to another design version, without losing a value.
//!
//! A value for which the new version has no place stays where it is and does not change any more. It comes to life again
//! if the participant is migrated to a version that has its place.
//!
//! What stands is looked at by the checks of the new version: whatever fires is on record and asked about, nothing is refused.
//!
//! Who signed a form answered for what was asked there. Where the new version asks otherwise, the signature is dropped.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::locks::{self, Held};
use super::{Event, FormKey, ItemPlace, Place, Record, Refused, save, sign};
use crate::decider::Context;
use crate::design::StudyDesign;
use crate::history::CommitHash;
use crate::rejection::{Kind, Rejection};
use crate::scope::Erasable;
use crate::study::Study;

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MigrationRefused {
    /// The site may not use any version yet.
    #[error("no design version is active at this site: record its approval, or activate one that it has approved")]
    NoDesignAtSite,
    /// Not the site's.
    #[error(
        "this design version is neither active at the participant's site nor approved by it: have it approved first"
    )]
    NotActiveAtSite,
    /// Locked.
    #[error("this participant is locked: have it unlocked first")]
    Locked,
}

impl Rejection for MigrationRefused {
    fn code(&self) -> &'static str {
        match self {
            Self::NoDesignAtSite => "no-design-at-site",
            Self::NotActiveAtSite => "design-not-active",
            Self::Locked => "locked",
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::NoDesignAtSite | Self::NotActiveAtSite | Self::Locked => Kind::Conflict,
        }
    }
}

/// What a migration changes for one participant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MigrationReport {
    /// The version under which data was entered.
    pub from: CommitHash,
    /// The version under which it will be.
    pub to: CommitHash,
    /// Values for which the new version has no place: they stay, and do not change any more.
    pub read_only: Vec<ItemPlace>,
    /// Values that were read-only and can be changed again.
    pub revived: Vec<ItemPlace>,
    /// Values that the new version would not take as they are. They stay; who changes them keeps to the new rules.
    pub unfit: Vec<Unfit>,
    /// Items of forms that were begun which the new version has and the old one had not.
    pub new_items: Vec<ItemPlace>,
    /// Forms that were signed and that the new version defines otherwise: their signatures are dropped, to be given again.
    pub to_sign_again: Vec<FormKey>,
}

/// A value that does not fit the new version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Unfit {
    /// Which one.
    #[serde(flatten)]
    pub place: ItemPlace,
    /// The rule that it breaks; never the value.
    pub rule: String,
}

impl MigrationReport {
    /// What changes for `record`, which was entered under `from`.
    pub fn of(record: &Record, from: &StudyDesign, to: &StudyDesign) -> Self {
        let read_only = read_only(record, to);
        let revived = record.read_only.iter().filter(|place| !read_only.contains(place)).cloned().collect();
        let (unfit, new_items) = (unfit(record, to), new_items(record, from, to));
        let signed = record.signatures.0.values().filter(|one| one.holds()).flat_map(|one| &one.forms);
        let changed: BTreeSet<&FormKey> =
            signed.map(|one| &one.form).filter(|form| !from.has_same_form(to, form)).collect();
        let to_sign_again = changed.into_iter().cloned().collect();
        Self { from: from.hash(), to: to.hash(), read_only, revived, unfit, new_items, to_sign_again }
    }
}

/// The saved values for which a version has no place.
fn read_only(record: &Record, design: &StudyDesign) -> Vec<ItemPlace> {
    let forms = record.forms.iter();
    let items = forms.flat_map(|(key, form)| form.items.keys().map(move |item| (key, item)));
    items.filter(|(key, item)| !design.has_item(key, item)).map(|(key, item)| ItemPlace::of(key, item)).collect()
}

fn unfit(record: &Record, design: &StudyDesign) -> Vec<Unfit> {
    let mut unfit = Vec::new();
    for (key, form) in &record.forms {
        // What a version would not take tells something of the value: of a blinded one nobody is told.
        let told = |item: &super::ItemKey| design.has_item(key, item) && !design.is_blinded(&item.item);
        for (item, saved) in form.items.iter().filter(|(item, _)| told(item)) {
            let (Some(Erasable::Known(value)), Some(definition)) = (&saved.value, design.item(&item.item)) else {
                continue;
            };
            if let Err(rule) = design.check(definition, value) {
                unfit.push(Unfit { place: ItemPlace::of(key, item), rule });
            }
        }
    }
    unfit
}

fn new_items(record: &Record, from: &StudyDesign, to: &StudyDesign) -> Vec<ItemPlace> {
    let mut new_items = Vec::new();
    for key in record.forms.keys().filter(|key| to.has_form(key)) {
        let groups = to.form(&key.form).into_iter().flat_map(|form| &form.item_groups);
        for group in groups.filter_map(|group| to.item_group(&group.oid)) {
            let item = |item: &crate::ids::Oid| super::ItemKey {
                group: group.oid.clone(),
                group_repeat: 1,
                item: item.clone(),
            };
            let keys = group.items.iter().map(|reference| item(&reference.oid));
            let new = keys.filter(|item| to.has_item(key, item) && !from.has_item(key, item));
            new_items.extend(new.map(|item| ItemPlace::of(key, &item)));
        }
    }
    new_items
}

pub(super) fn decide(record: &Record, to: &CommitHash, context: &Context<'_, Study>) -> Result<Vec<Event>, Refused> {
    let study = context.governing;
    let from = study.version_of(record).ok_or(MigrationRefused::NoDesignAtSite)?;
    if record.design == Some(*to) {
        return Ok(vec![]);
    }
    if !study.may_use(&record.site, to) {
        return Err(MigrationRefused::NotActiveAtSite.into());
    }
    locks::gate_database(context)?;
    if locks::held(record, &Place::Participant, context) == Some(Held::Locked) {
        return Err(MigrationRefused::Locked.into());
    }
    if from == *to {
        return Ok(vec![Event::DesignAssigned { design: *to }]);
    }
    let design = study.content(to).ok_or(MigrationRefused::NotActiveAtSite)?;
    let migrated = Event::DesignMigrated { from, to: *to, read_only: read_only(record, design) };
    let before = study.content(&from).map(AsRef::as_ref);
    let follows = save::after_migration(record, design, context)?;
    Ok(sign::once([migrated].into_iter().chain(follows).chain(dropped(record, before, design)).collect()))
}

/// The signatures over forms that the new version defines otherwise. Where nobody knows the old one, that is every one.
fn dropped(record: &Record, from: Option<&StudyDesign>, to: &StudyDesign) -> Vec<Event> {
    let same = |form: &FormKey| from.is_some_and(|from| from.has_same_form(to, form));
    let holding = record.signatures.0.iter().filter(|(_, one)| one.holds());
    let dropped = holding.filter_map(|(id, one)| {
        let changed = one.forms.iter().map(|signed| &signed.form).find(|form| !same(form))?;
        Some(Event::SignatureDropped { signature: id.clone(), place: Place::Form(changed.clone()) })
    });
    dropped.collect()
}

#[cfg(test)]
mod tests;
