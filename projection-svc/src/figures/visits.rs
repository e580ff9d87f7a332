//! Which visits are due, overdue, and took place out of their window.
//!
//! Only visits with a window are due; a window counts from another visit's day, or from the day of registration. A day
//! that was erased is unknown: what hangs on it is counted as that and as nothing else.

use std::collections::BTreeMap;

use domain::Day;
use domain::design::Window;
use domain::ids::SiteId;
use domain::participant::VisitKey;
use domain::scope::Erasable;
use domain::structural;
use serde::{Deserialize, Serialize};
use time::Duration;
use utoipa::ToSchema;

use super::answer::{Page, Wanted, Whose, at};
use super::days::VisitDays;
use super::kept::Snapshot;
use super::person::Person;
use super::plan::{Plan, VisitPlan, people};
use super::state::Names;

/// Where a visit with a window stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// What its window counts from has not taken place.
    Waiting,
    /// Its window has not begun.
    Upcoming,
    /// Its window is open.
    Due,
    /// Its window is over.
    Overdue,
    /// It took place in its window.
    InWindow,
    /// It took place before its window or after it.
    OutOfWindow,
    /// It took place; nobody said on which day.
    Undated,
    /// It did not take place.
    Missed,
    /// A day that one must know was erased.
    Unknown,
}

structural!(Standing);

/// How many visits stand where. Who has left is asked for nothing: visits that did not take place are not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VisitCounts {
    /// All of these.
    pub planned: u64,
    /// What their window counts from has not taken place.
    pub waiting: u64,
    /// Their window has not begun.
    pub upcoming: u64,
    /// Their window is open.
    pub due: u64,
    /// Their window is over.
    pub overdue: u64,
    /// Took place in their window.
    pub in_window: u64,
    /// Took place before their window or after it.
    pub out_of_window: u64,
    /// Took place; nobody said on which day.
    pub undated: u64,
    /// Did not take place.
    pub missed: u64,
    /// A day that one must know was erased.
    pub unknown: u64,
}

impl VisitCounts {
    fn count(&mut self, standing: Standing) {
        self.planned += 1;
        *match standing {
            Standing::Waiting => &mut self.waiting,
            Standing::Upcoming => &mut self.upcoming,
            Standing::Due => &mut self.due,
            Standing::Overdue => &mut self.overdue,
            Standing::InWindow => &mut self.in_window,
            Standing::OutOfWindow => &mut self.out_of_window,
            Standing::Undated => &mut self.undated,
            Standing::Missed => &mut self.missed,
            Standing::Unknown => &mut self.unknown,
        } += 1;
    }
}

/// Visits, by site and by participant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Visits {
    /// Of all sites that the reader sees.
    pub total: VisitCounts,
    /// Site by site.
    pub sites: Vec<SiteVisits>,
    /// Who has visits that are due, overdue or out of their window; null: not for this role.
    pub participants: Option<Vec<PersonVisits>>,
    /// The `cursor` of the next page; null: this was the last.
    pub next: Option<domain::ids::ParticipantId>,
}

/// Visits at a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SiteVisits {
    /// Which site.
    pub site: SiteId,
    /// How many stand where.
    #[serde(flatten)]
    pub counts: VisitCounts,
}

/// Visits of a participant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PersonVisits {
    /// Whose.
    #[serde(flatten)]
    pub whose: Whose,
    /// Those that are due, overdue or out of their window.
    pub visits: Vec<VisitStanding>,
}

/// Where a visit of a participant stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VisitStanding {
    /// Which visit.
    #[serde(flatten)]
    pub visit: VisitKey,
    /// Where it stands.
    pub standing: Standing,
    /// The first day of its window.
    pub from: Option<Day>,
    /// The last day of its window.
    pub until: Option<Day>,
    /// The day on which it took place.
    pub on: Option<Day>,
}

/// Visits as of the snapshot.
pub(super) fn visits(snapshot: &Snapshot, days: &VisitDays, wanted: &Wanted<'_>) -> Visits {
    let mut sites: BTreeMap<SiteId, VisitCounts> = BTreeMap::new();
    let mut total = VisitCounts::default();
    let mut page = Page::of(wanted);
    let none = BTreeMap::new();
    for (id, person, plan) in people(&snapshot.state, &snapshot.plans, wanted) {
        let Some(plan) = plan else { continue };
        let known = Known { person, names: &snapshot.state.names, days: days.get(&id).unwrap_or(&none) };
        let standing = known.standing(plan, snapshot.today());
        for visit in &standing {
            at(&mut sites, &person.site).count(visit.standing);
            total.count(visit.standing);
        }
        page.offer(id, || {
            let asks = |visit: &VisitStanding| {
                matches!(visit.standing, Standing::Due | Standing::Overdue | Standing::OutOfWindow)
            };
            let visits: Vec<_> = standing.into_iter().filter(asks).collect();
            (!visits.is_empty()).then(|| PersonVisits { whose: Whose::of(id, person), visits })
        });
    }
    let sites = sites.into_iter().map(|(site, counts)| SiteVisits { site, counts }).collect();
    let (participants, next) = page.done();
    Visits { total, sites, participants, next }
}

/// What is known of a participant's visits.
struct Known<'a> {
    person: &'a Person,
    names: &'a Names,
    days: &'a BTreeMap<VisitKey, Erasable<Day>>,
}

impl Known<'_> {
    fn standing(&self, plan: &Plan, today: Day) -> Vec<VisitStanding> {
        let visits = plan.visits.iter().filter_map(|visit| Some((visit, visit.window.as_ref()?)));
        let found = visits.map(|(visit, window)| self.of_visit(visit, window, today));
        let left = self.person.is_over();
        let asked = |visit: &VisitStanding| {
            use Standing::{Due, Overdue, Upcoming, Waiting};
            !left || !matches!(visit.standing, Waiting | Upcoming | Due | Overdue)
        };
        found.filter(asked).collect()
    }

    fn of_visit(&self, visit: &VisitPlan, window: &Window, today: Day) -> VisitStanding {
        let visit = VisitKey { visit: visit.oid.clone(), visit_repeat: 1 };
        let anchor = match &window.after {
            None => Some(Erasable::Known(Day(self.person.registered.captured.date()))),
            Some(after) => self.day(&VisitKey { visit: after.clone(), visit_repeat: 1 }),
        };
        let span = match anchor {
            Some(Erasable::Known(anchor)) => span(anchor, window),
            Some(Erasable::Erased) | None => None,
        };
        let erased = matches!(anchor, Some(Erasable::Erased));
        let missed = self.person.visits.get(&visit).is_some_and(|state| state.missed);
        let on = self.day(&visit);
        let standing = match (&on, span) {
            (Some(Erasable::Known(on)), Some((from, until))) if (from..=until).contains(on) => Standing::InWindow,
            (Some(Erasable::Known(_)), Some(_)) => Standing::OutOfWindow,
            (Some(Erasable::Known(_)), None) if !erased => Standing::Waiting,
            (Some(_), _) => Standing::Unknown,
            (None, _) if missed => Standing::Missed,
            (None, _) if self.person.took_place(&visit, self.names) => Standing::Undated,
            (None, Some((from, _))) if today < from => Standing::Upcoming,
            (None, Some((_, until))) if today <= until => Standing::Due,
            (None, Some(_)) => Standing::Overdue,
            (None, None) if erased => Standing::Unknown,
            (None, None) => Standing::Waiting,
        };
        let on = on.and_then(|on| match on {
            Erasable::Known(on) => Some(on),
            Erasable::Erased => None,
        });
        let (from, until) = span.unzip();
        VisitStanding { visit, standing, from, until, on }
    }

    /// The day of a visit that took place.
    fn day(&self, visit: &VisitKey) -> Option<Erasable<Day>> {
        let started = self.person.visits.get(visit).is_some_and(|state| state.started);
        // Where the row itself is gone, so is the day: it was said.
        started.then(|| self.days.get(visit).cloned().unwrap_or(Erasable::Erased))
    }
}

/// The first and the last day of a window; none where the calendar ends.
fn span(anchor: Day, window: &Window) -> Option<(Day, Day)> {
    let days = |anchor: time::Date, days: i64| anchor.checked_add(Duration::days(days));
    let planned = days(anchor.0, i64::from(window.days))?;
    let from = days(planned, -i64::from(window.early))?;
    let until = days(planned, i64::from(window.late))?;
    Some((Day(from), Day(until)))
}
