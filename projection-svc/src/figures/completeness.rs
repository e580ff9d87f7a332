//! How far the forms are, and which values must be there and are not.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use domain::ids::SiteId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{Wanted, at};
use super::kept::Snapshot;
use super::person::Person;
use super::plan::{Missing, Plan, Progress, people};
use super::state::Names;

/// Forms and required values. `expected` is the sum of the four after it, always.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FormCounts {
    /// Forms of visits that took place or were missed, as the design has them, and those that were begun beside.
    pub expected: u64,
    /// Must be there, and nothing is saved on them.
    pub not_started: u64,
    /// Something is saved on them, and nobody said that this is everything.
    pub in_progress: u64,
    /// Everything that is known was entered.
    pub complete: u64,
    /// Removed; or not begun where the visit was missed, or the form may be left out.
    pub not_applicable: u64,
    /// Values that must be there on forms that were begun, and nobody said why they are not.
    pub missing_items: u64,
}

impl AddAssign for FormCounts {
    fn add_assign(&mut self, other: Self) {
        self.expected += other.expected;
        self.not_started += other.not_started;
        self.in_progress += other.in_progress;
        self.complete += other.complete;
        self.not_applicable += other.not_applicable;
        self.missing_items += other.missing_items;
    }
}

/// Completeness, by site.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Completeness {
    /// Of all sites that the reader sees.
    pub total: FormCounts,
    /// Site by site.
    pub sites: Vec<SiteCompleteness>,
}

/// Completeness at a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SiteCompleteness {
    /// Which site.
    pub site: SiteId,
    /// Its forms.
    #[serde(flatten)]
    pub counts: FormCounts,
}

/// Completeness as of the snapshot.
pub fn completeness(snapshot: &Snapshot, wanted: &Wanted<'_>) -> Completeness {
    let mut sites: BTreeMap<SiteId, FormCounts> = BTreeMap::new();
    let nothing = Plan::default();
    let mut missing = Missing::new(&snapshot.state.names);
    for (_, person, plan) in people(&snapshot.state, &snapshot.plans, wanted) {
        *at(&mut sites, &person.site) += of(person, plan.unwrap_or(&nothing), &snapshot.state.names, &mut missing);
    }
    let mut total = FormCounts::default();
    sites.values().for_each(|counts| total += *counts);
    let sites = sites.into_iter().map(|(site, counts)| SiteCompleteness { site, counts }).collect();
    Completeness { total, sites }
}

fn of<'a>(person: &'a Person, plan: &'a Plan, names: &'a Names, missing: &mut Missing<'a>) -> FormCounts {
    let forms = plan.forms(person, names);
    let mut counts = FormCounts { expected: forms.len() as u64, ..FormCounts::default() };
    for progress in forms.values() {
        *match progress {
            Progress::NotStarted => &mut counts.not_started,
            Progress::Begun => &mut counts.in_progress,
            Progress::Complete => &mut counts.complete,
            Progress::NotApplicable => &mut counts.not_applicable,
        } += 1;
    }
    let begun = person.forms.iter().filter(|(_, state)| state.stands());
    counts.missing_items = begun.map(|(form, state)| missing.on(plan, *form, state).len() as u64).sum();
    counts
}
