//! A record as it will stand once a command is carried out.

use std::collections::{BTreeMap, BTreeSet};

use super::Input;
use crate::Day;
use crate::design::StudyDesign;
use crate::design::expression::{Compiled, Outcome, Read, Seen, Type};
use crate::ids::Oid;
use crate::participant::{FormKey, ItemKey, ItemPlace, Record, SavedItem, Visit, VisitKey};
use crate::scope::Erasable;

/// The record, and what is about to be saved.
pub(in crate::participant) struct View<'a> {
    pub(in crate::participant) record: &'a Record,
    pub(in crate::participant) design: &'a StudyDesign,
    news: BTreeMap<FormKey, BTreeMap<ItemKey, SavedItem>>,
    visits: BTreeMap<VisitKey, Option<Day>>,
    counts: BTreeMap<FormKey, bool>,
}

impl<'a> View<'a> {
    pub(in crate::participant) fn new(record: &'a Record, design: &'a StudyDesign) -> Self {
        Self { record, design, news: BTreeMap::new(), visits: BTreeMap::new(), counts: BTreeMap::new() }
    }

    /// With these values saved.
    pub(in crate::participant) fn saving(mut self, form: &FormKey, saved: &[SavedItem]) -> Self {
        self.news.entry(form.clone()).or_default();
        saved.iter().for_each(|saved| self.put(form, saved.clone()));
        self
    }

    /// With a visit that took place on this day, or did not.
    pub(in crate::participant) fn visiting(mut self, visit: &VisitKey, on: Option<Day>) -> Self {
        self.visits.insert(visit.clone(), on);
        self
    }

    /// With a form that is removed, or restored.
    pub(in crate::participant) fn counting(mut self, form: &FormKey, counts: bool) -> Self {
        self.counts.insert(form.clone(), counts);
        self
    }

    fn counts(&self, form: &FormKey) -> bool {
        let stands = || self.record.forms.get(form).is_none_or(|form| !form.removed);
        self.counts.get(form).copied().unwrap_or_else(stands)
    }

    pub(super) fn put(&mut self, form: &FormKey, saved: SavedItem) {
        self.news.entry(form.clone()).or_default().insert(saved.item.clone(), saved);
    }

    /// The forms that are there, and count.
    pub(super) fn forms(&self) -> BTreeSet<&FormKey> {
        self.record.forms.keys().chain(self.news.keys()).filter(|form| self.counts(form)).collect()
    }

    /// What will stand at a place.
    pub(in crate::participant) fn seen(&self, place: &ItemPlace) -> Seen {
        let (form, item) = (place.form(), place.item());
        if !self.counts(&form) {
            return Seen::Missing;
        }
        let of = |value: Option<&Erasable<crate::design::ItemValue>>, not_done: bool| match value {
            Some(Erasable::Known(value)) => Seen::Known(value.0.clone()),
            Some(Erasable::Erased) => Seen::Erased,
            None if not_done => Seen::NotDone,
            None => Seen::Missing,
        };
        if let Some(saved) = self.news.get(&form).and_then(|items| items.get(&item)) {
            return of(saved.value.as_ref().map(|value| &value.value), saved.not_done.is_some());
        }
        match self.record.forms.get(&form).and_then(|form| form.items.get(&item)) {
            Some(item) => of(item.value.as_ref(), item.not_done.is_some()),
            None => Seen::Missing,
        }
    }

    /// Which occurrences of a group a form has.
    pub(super) fn repeats(&self, form: &FormKey, group: &Oid) -> BTreeSet<u32> {
        let saved = self.record.forms.get(form).into_iter().flat_map(|form| form.items.keys());
        let news = self.news.get(form).into_iter().flat_map(BTreeMap::keys);
        let own = saved.chain(news).filter(|item| item.group == *group).map(|item| item.group_repeat);
        let repeats: BTreeSet<u32> = own.collect();
        if repeats.is_empty() { [1].into() } else { repeats }
    }

    /// Where an expression that stands at `at` finds what it reads.
    fn resolve(&self, read: &Read, at: &ItemPlace) -> Option<Input> {
        let first = |visit: &Oid, form: &Oid, item: &Oid| {
            let group = self.group_of(form, item)?;
            Some(ItemPlace {
                visit: visit.clone(),
                visit_repeat: 1,
                form: form.clone(),
                form_repeat: 1,
                group,
                group_repeat: 1,
                item: item.clone(),
            })
        };
        match read {
            Read::Value => Some(Input::Item(at.clone())),
            Read::Item(item) => {
                let own = self.design.item_group(&at.group)?.items.iter().any(|one| one.oid == *item);
                let (group, group_repeat) =
                    if own { (at.group.clone(), at.group_repeat) } else { (self.group_of(&at.form, item)?, 1) };
                Some(Input::Item(ItemPlace { group, group_repeat, item: item.clone(), ..at.clone() }))
            }
            Read::At { visit, form, item } => first(visit, form, item).map(Input::Item),
            Read::VisitDate(None) => Some(Input::Visit(at.form().visit())),
            Read::VisitDate(Some(visit)) => Some(Input::Visit(VisitKey { visit: visit.clone(), visit_repeat: 1 })),
        }
    }

    fn group_of(&self, form: &Oid, item: &Oid) -> Option<Oid> {
        let groups = self.design.form(form)?.item_groups.iter().filter_map(|group| self.design.item_group(&group.oid));
        groups.into_iter().find(|group| group.items.iter().any(|one| one.oid == *item)).map(|group| group.oid.clone())
    }

    fn day(&self, visit: &VisitKey) -> Seen {
        let day = |day: &Day| Seen::Known(day.0.to_string());
        if let Some(on) = self.visits.get(visit) {
            return on.as_ref().map_or(Seen::NotDone, day);
        }
        match self.record.visits.get(visit) {
            Some(Visit::Started { on: Erasable::Known(on) }) => day(on),
            Some(Visit::Started { on: Erasable::Erased }) => Seen::Erased,
            Some(Visit::Missed) => Seen::NotDone,
            None => Seen::Missing,
        }
    }

    /// Everything that an expression at `at` may look at.
    pub(super) fn inputs(&self, compiled: &Compiled, at: &ItemPlace) -> BTreeSet<Input> {
        compiled.reads.iter().filter_map(|read| self.resolve(read, at)).collect()
    }

    /// Evaluates an expression that stands at `at`.
    pub(super) fn run(&self, compiled: &Compiled, at: &ItemPlace) -> Outcome {
        compiled.run(&mut |read| match self.resolve(read, at) {
            Some(Input::Item(place)) => {
                let kind = self.design.type_of(&place.item).unwrap_or(Type::Text);
                (self.seen(&place), kind)
            }
            Some(Input::Visit(visit)) => (self.day(&visit), Type::Text),
            None => (Seen::Missing, Type::Text),
        })
    }
}
