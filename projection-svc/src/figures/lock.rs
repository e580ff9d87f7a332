//! How ready the records are for the lock of the database, and what hinders in whose.
//!
//! The same blockers as the lock itself finds (`domain::participant::readiness`), but for values: what stands under a
//! condition is the lock's to ask for, which reads the journal.

use std::collections::BTreeMap;

use domain::ids::{ParticipantId, SiteId};
use domain::participant::{Blocker, Place, QueryKind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{Page, Wanted, Whose, at};
use super::kept::Snapshot;
use super::person::{FormState, Person};
use super::plan::{Plan, Progress, people};
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

impl ReadyCounts {
    fn count(&mut self, blockers: &[Blocker]) {
        self.participants += 1;
        self.ready += u64::from(blockers.is_empty());
        blockers.iter().for_each(|one| *self.by_kind.entry(one.kind().to_owned()).or_default() += 1);
    }
}

/// Lock readiness as of the snapshot.
pub fn readiness(snapshot: &Snapshot, wanted: &Wanted<'_>) -> Readiness {
    let mut sites: BTreeMap<SiteId, ReadyCounts> = BTreeMap::new();
    let mut total = ReadyCounts::default();
    let mut page = Page::of(wanted);
    for (id, person, plan) in people(&snapshot.state, &snapshot.plans, wanted) {
        let mut blockers = match plan {
            Some(plan) => of(person, plan, &snapshot.state.names),
            None => vec![Blocker::NoDesign {}],
        };
        at(&mut sites, &person.site).count(&blockers);
        total.count(&blockers);
        page.offer(id, || {
            let mut counts = ReadyCounts::default();
            counts.count(&blockers);
            blockers.truncate(LISTED_MAX);
            let (whose, by_kind) = (Whose::of(id, person), counts.by_kind);
            (!blockers.is_empty()).then(|| PersonReadiness { whose, by_kind, blockers })
        });
    }
    let sites = sites.into_iter().map(|(site, counts)| SiteReadiness { site, counts }).collect();
    let (participants, next) = page.done();
    Readiness { total, sites, participants, next }
}

pub(super) fn of(person: &Person, plan: &Plan, names: &Names) -> Vec<Blocker> {
    let tells = |place: &Place| matches!(place, Place::Item(item) if plan.telling.contains(&item.item));
    let unsettled = person
        .queries
        .iter()
        .filter(|(_, asked)| asked.kind != QueryKind::Annotation && !asked.state.is_settled() && !tells(&asked.place));
    let mut blockers: Vec<Blocker> = unsettled
        .map(|(query, asked)| Blocker::OpenQuery { query: query.clone(), place: asked.place.clone() })
        .collect();
    for (form, progress) in plan.forms(person, names) {
        if progress == Progress::NotStarted {
            blockers.push(Blocker::FormNotStarted { form });
        }
    }
    for (number, state) in person.forms.iter().filter(|(_, state)| state.stands()) {
        of_form(person, (*number, state), plan, names, &mut blockers);
    }
    blockers
}

fn of_form(person: &Person, (number, state): (u32, &FormState), plan: &Plan, names: &Names, found: &mut Vec<Blocker>) {
    let form = names.form_of(number);
    if !state.completed {
        found.push(Blocker::FormNotComplete { form: form.clone() });
    }
    let missing = plan.missing(&form.form, state, names);
    found.extend(missing.into_iter().map(|item| Blocker::MissingItem { form: form.clone(), item }));
    for (item, _) in state.items.iter().filter(|(_, item)| !item.computed && !item.verified) {
        let item = names.item_of(*item);
        if plan.is_compared(&form.form, item) {
            found.push(Blocker::UnverifiedItem { form: form.clone(), item: item.clone() });
        }
    }
    let holds = person.signatures.iter().any(|one| !one.dropped && one.forms.contains(&number));
    if plan.is_signed(&form.form) && !holds {
        found.push(Blocker::UnsignedForm { form: form.clone() });
    }
}
