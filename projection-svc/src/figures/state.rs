//! A study, as far as figures go: a fold of steps in journal order, up to a moment.

use std::collections::BTreeMap;

use domain::history::CommitHash;
use domain::ids::{ParticipantId, SiteId};
use domain::participant::{FormKey, ItemKey};
use domain::study::Target;
use time::OffsetDateTime;

use super::person::{Person, Stamp};
use super::step::{Happened, Step, item_at};

/// A study as it stood. Holds nothing personal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) names: Names,
    /// When each site was opened.
    pub(super) sites: BTreeMap<SiteId, OffsetDateTime>,
    pub(super) targets: BTreeMap<SiteId, Target>,
    /// The parts of each published design.
    pub(super) designs: BTreeMap<CommitHash, Vec<CommitHash>>,
    pub(super) live: Option<CommitHash>,
    pub(super) active: BTreeMap<SiteId, CommitHash>,
    pub(super) people: BTreeMap<ParticipantId, Person>,
    /// The last position that is in it.
    pub(super) sequence: u64,
    /// When that was stored.
    pub(super) at: Option<OffsetDateTime>,
}

impl State {
    pub(super) fn take(&mut self, sequence: u64, happened: &Happened) {
        let at = Stamp { stored: happened.stored_at.0, captured: happened.captured_at.0 };
        for step in &happened.steps {
            match (happened.participant, step) {
                (None, step) => self.of_study(step, at),
                (Some(id), Step::Registered(site, number)) => {
                    self.people.insert(id, Person::new(site.clone(), number.clone(), at));
                }
                (Some(id), step) => {
                    if let Some(person) = self.people.get_mut(&id) {
                        person.step(step, &mut self.names, at);
                    }
                }
            }
        }
        (self.sequence, self.at) = (sequence, Some(at.stored));
    }

    fn of_study(&mut self, step: &Step, at: Stamp) {
        match step {
            Step::SiteOpened(site) => drop(self.sites.insert(site.clone(), at.stored)),
            Step::Published(design, parts) => drop(self.designs.insert(*design, parts.clone())),
            Step::Live(design) => self.live = Some(*design),
            Step::Active(design, site) => drop(self.active.insert(site.clone(), *design)),
            Step::Target(site, target) => drop(self.targets.insert(site.clone(), *target)),
            _ => {}
        }
    }

    /// The design version under which somebody's data was entered: their own, otherwise the one of their site.
    pub(super) fn design_of(&self, person: &Person) -> Option<CommitHash> {
        person.design.or_else(|| self.active.get(&person.site).copied()).or(self.live)
    }
}

/// Names of forms and items, each kept once: a study has thousands of participants and few names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Names {
    forms: Numbered<FormKey>,
    /// By path; beside each number the name in full.
    items: Numbered<String>,
    keys: Vec<ItemKey>,
}

impl Names {
    pub(super) fn form(&mut self, form: &FormKey) -> u32 {
        self.forms.number(form)
    }

    /// The number of the item at this path; none: it is no path.
    pub(super) fn item(&mut self, path: &str) -> Option<u32> {
        if let Some(number) = self.items.numbers.get(path) {
            return Some(*number);
        }
        self.keys.push(item_at(path)?);
        Some(self.items.number(&path.to_owned()))
    }

    pub(super) fn form_of(&self, number: u32) -> &FormKey {
        &self.forms.list[number as usize]
    }

    pub(super) fn item_of(&self, number: u32) -> &ItemKey {
        &self.keys[number as usize]
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Numbered<T> {
    numbers: BTreeMap<T, u32>,
    list: Vec<T>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self { numbers: BTreeMap::new(), list: Vec::new() }
    }
}

impl<T: Ord + Clone> Numbered<T> {
    fn number(&mut self, name: &T) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.list.len()).expect("a study has no four thousand million forms and items");
        self.list.push(name.clone());
        self.numbers.insert(name.clone(), number);
        number
    }
}
