//! How ready the records are for the lock of the database, and what hinders in whose.
//!
//! The same blockers as the lock itself finds (`domain::participant::readiness`), but for values: what stands under a
//! condition is the lock's to ask for, which reads the journal; so is what can be entered no more because its scope is erased.

use std::collections::BTreeMap;

use domain::ids::{ParticipantId, SiteId};
use domain::participant::{Blocker, ItemKey, Place, QueryKind, VisitKey};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{Page, Wanted, Whose, at};
use super::kept::Snapshot;
use super::person::{FormState, Person};
use super::plan::{Missing, Plan, Progress, people};
use super::state::Names;

/// How many things are listed of one record; its counts are of all.
const LISTED_MAX: usize = 100;

/// Lock readiness.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = LockReadinessCounts)]
pub struct ReadyCounts {
    /// Records.
    pub participants: u64,
    /// Records in which nothing hinders.
    pub ready: u64,
    /// How many things hinder, by kind.
    pub by_kind: BTreeMap<String, u64>,
}

/// Lock readiness, by site and by participant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = LockReadinessFigures)]
pub struct Readiness {
    /// Of all sites that the reader sees.
    pub total: ReadyCounts,
    /// Site by site.
    pub sites: Vec<SiteReadiness>,
    /// The records in which something hinders; null: not for this role.
    pub participants: Option<Vec<PersonReadiness>>,
    /// The `cursor` of the next page; null: this was the last.
    pub next: Option<ParticipantId>,
}

/// Lock readiness at a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SiteReadiness {
    /// Which site.
    pub site: SiteId,
    /// Its records.
    #[serde(flatten)]
    pub counts: ReadyCounts,
}

/// What hinders in a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PersonReadiness {
    /// Whose.
    #[serde(flatten)]
    pub whose: Whose,
    /// How many things, by kind.
    pub by_kind: BTreeMap<String, u64>,
    /// What, one by one; not more than a hundred.
    pub blockers: Vec<Blocker>,
}

/// Lock readiness as of the snapshot.
pub fn readiness(snapshot: &Snapshot, wanted: &Wanted<'_>) -> Readiness {
    let mut sites: BTreeMap<SiteId, ReadyCounts> = BTreeMap::new();
    let mut page = Page::of(wanted);
    let names = &snapshot.state.names;
    let mut missing = Missing::new(names);
    for (id, person, plan) in people(&snapshot.state, &snapshot.plans, wanted) {
        let mut by_kind: BTreeMap<&str, u64> = BTreeMap::new();
        let mut find = |say: &mut Say<'_>| find((person, plan), names, &mut missing, say);
        find(&mut |kind, _| *by_kind.entry(kind).or_default() += 1);
        at(&mut sites, &person.site).count(&by_kind);
        page.offer(id, || {
            let mut blockers = Vec::new();
            find(&mut |_, blocker| {
                if blockers.len() < LISTED_MAX {
                    blockers.push(blocker());
                }
            });
            let by_kind = by_kind.into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect();
            (!blockers.is_empty()).then(|| PersonReadiness { whose: Whose::of(id, person), by_kind, blockers })
        });
    }
    let mut total = ReadyCounts::default();
    sites.values().for_each(|counts| total.add(counts));
    let sites = sites.into_iter().map(|(site, counts)| SiteReadiness { site, counts }).collect();
    let (participants, next) = page.done();
    Readiness { total, sites, participants, next }
}

impl ReadyCounts {
    fn count(&mut self, by_kind: &BTreeMap<&str, u64>) {
        self.participants += 1;
        self.ready += u64::from(by_kind.is_empty());
        for (kind, count) in by_kind {
            // Names of kinds are few: one is written down when it is first met.
            match self.by_kind.get_mut(*kind) {
                Some(known) => *known += count,
                None => drop(self.by_kind.insert((*kind).to_owned(), *count)),
            }
        }
    }

    fn add(&mut self, other: &Self) {
        self.participants += other.participants;
        self.ready += other.ready;
        other.by_kind.iter().for_each(|(kind, count)| *self.by_kind.entry(kind.clone()).or_default() += count);
    }
}

/// Is told the kind of each thing that hinders, and how to write it down: most are counted only.
type Say<'a> = dyn FnMut(&'static str, &dyn Fn() -> Blocker) + 'a;

/// Everything that hinders in a record.
fn find<'a>(
    (person, plan): (&'a Person, Option<&'a Plan>),
    names: &'a Names,
    missing: &mut Missing<'a>,
    say: &mut Say<'_>,
) {
    let Some(plan) = plan else {
        say("no-design", &|| Blocker::NoDesign {});
        return;
    };
    let tells = |place: &Place| matches!(place, Place::Item(item) if plan.telling.contains(&item.item));
    for (query, asked) in &person.queries {
        if asked.kind != QueryKind::Annotation && !asked.state.is_settled() && !tells(&asked.place) {
            say("open-query", &|| Blocker::OpenQuery { query: query.clone(), place: asked.place.clone() });
        }
    }
    not_come(person, plan, names, say);
    for (form, progress) in plan.forms(person, names) {
        if progress == Progress::NotStarted {
            say("form-not-started", &|| Blocker::FormNotStarted { form: form.key() });
        }
    }
    for (number, state) in person.forms.iter().filter(|(_, state)| state.stands()) {
        let missing = missing.on(plan, *number, state);
        of_form(person, (*number, state), plan, (names, &missing), say);
    }
}

/// What is still to come of somebody who is expected to.
fn not_come(person: &Person, plan: &Plan, names: &Names, say: &mut Say<'_>) {
    if person.is_over() {
        return;
    }
    if person.consented.is_none() {
        return say("no-consent", &|| Blocker::NoConsent {});
    }
    for visit in plan.visits.iter().filter(|visit| visit.planned && person.consents) {
        let visit = VisitKey { visit: visit.oid.clone(), visit_repeat: 1 };
        let missed = person.visits.get(&visit).is_some_and(|state| state.missed);
        if !missed && !person.took_place(&visit, names) {
            say("visit-not-started", &|| Blocker::VisitNotStarted { visit: visit.clone() });
        }
    }
}

fn of_form(
    person: &Person,
    (number, state): (u32, &FormState),
    plan: &Plan,
    (names, missing): (&Names, &[ItemKey]),
    say: &mut Say<'_>,
) {
    let form = names.form_of(number);
    if !state.completed {
        say("form-not-complete", &|| Blocker::FormNotComplete { form: form.clone() });
    }
    for item in missing {
        say("missing-item", &|| Blocker::MissingItem { form: form.clone(), item: item.clone() });
    }
    for (item, _) in state.items.iter().filter(|(_, item)| !item.computed && !item.verified) {
        let item = names.item_of(*item);
        if plan.is_compared(&form.form, item) {
            say("unverified-item", &|| Blocker::UnverifiedItem { form: form.clone(), item: item.clone() });
        }
    }
    let holds = person.signatures.iter().any(|one| !one.dropped && one.forms.contains(&number));
    if plan.is_signed(&form.form) && !holds {
        say("unsigned-form", &|| Blocker::UnsignedForm { form: form.clone() });
    }
}

/// Everything that hinders in a record, written down.
#[cfg(test)]
pub(super) fn of(person: &Person, plan: &Plan, names: &Names) -> Vec<Blocker> {
    let mut found = Vec::new();
    find((person, Some(plan)), names, &mut Missing::new(names), &mut |kind, blocker| {
        let blocker = blocker();
        assert_eq!(blocker.kind(), kind, "counted as what it is");
        found.push(blocker);
    });
    found
}
