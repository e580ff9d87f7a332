//! How many came, stayed and left: by site and ISO week of capture, against the target of the site.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use domain::Day;
use domain::ids::SiteId;
use domain::participant::Ending;
use domain::study::Target;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::answer::{Wanted, week};
use super::kept::Snapshot;
use super::person::{Person, Stamp};
use super::plan::{Plan, people};
use super::state::State;

/// How many participants. Each counts once in each line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Funnel {
    /// Were registered.
    pub screened: u64,
    /// Gave consent.
    pub consented: u64,
    /// Failed screening, or left otherwise before they were enrolled.
    pub failed: u64,
    /// Gave consent, a first visit or value of them is recorded, and nobody said that they failed screening.
    pub enrolled: u64,
    /// Were randomised.
    pub randomised: u64,
    /// Came to the end: because it was said, or because every visit that the design plans took place or was missed, and they
    /// stayed until then.
    pub completed: u64,
    /// Left after they were enrolled: withdrew, came no more, or died.
    pub withdrawn: u64,
}

impl AddAssign for Funnel {
    fn add_assign(&mut self, other: Self) {
        self.screened += other.screened;
        self.consented += other.consented;
        self.failed += other.failed;
        self.enrolled += other.enrolled;
        self.randomised += other.randomised;
        self.completed += other.completed;
        self.withdrawn += other.withdrawn;
    }
}

/// Enrolment against targets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Enrolment {
    /// Of all sites that the reader sees.
    pub total: Funnel,
    /// The sum of the sites' targets; none has one: 0.
    pub target: u64,
    /// How many should be enrolled by now, if each site goes straight from its opening to its target.
    pub due: u64,
    /// Site by site: every open site.
    pub sites: Vec<SiteEnrolment>,
}

/// Enrolment at a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SiteEnrolment {
    /// Which site.
    pub site: SiteId,
    /// Of all weeks.
    pub total: Funnel,
    /// How many it is to enrol, and by when.
    pub target: Option<Target>,
    /// How many it should have enrolled by now, if it goes straight from its opening to its target.
    pub due: Option<u64>,
    /// Week by week, oldest first; weeks in which nothing happened are left out.
    pub weeks: Vec<WeekEnrolment>,
}

/// Enrolment in a week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WeekEnrolment {
    /// ISO 8601 week of the time captured, such as `2026-W47`.
    pub week: String,
    /// What was captured in it.
    pub counts: Funnel,
}

/// Enrolment as of the snapshot.
pub fn enrolment(snapshot: &Snapshot, wanted: &Wanted<'_>) -> Enrolment {
    let state = &snapshot.state;
    let mut weeks: BTreeMap<SiteId, BTreeMap<String, Funnel>> = BTreeMap::new();
    let open = state.sites.keys().chain(state.people.values().map(|person| &person.site));
    for site in open.filter(|site| wanted.takes(site)) {
        weeks.entry(site.clone()).or_default();
    }
    for (_, person, plan) in people(state, &snapshot.plans, wanted) {
        let of_site = weeks.entry(person.site.clone()).or_default();
        for (at, counts) in milestones(person, plan) {
            *of_site.entry(week(at)).or_default() += counts;
        }
    }
    let mut enrolment = Enrolment::default();
    for (site, weeks) in weeks {
        let found = of_site(state, site, weeks, snapshot.today());
        enrolment.total += found.total;
        enrolment.target += found.target.map_or(0, |target| u64::from(target.participants));
        enrolment.due += found.due.unwrap_or_default();
        enrolment.sites.push(found);
    }
    enrolment
}

fn of_site(state: &State, site: SiteId, weeks: BTreeMap<String, Funnel>, today: Day) -> SiteEnrolment {
    let mut total = Funnel::default();
    weeks.values().for_each(|counts| total += *counts);
    let target = state.targets.get(&site).copied();
    let due = target.and_then(|target| Some(due(target, *state.sites.get(&site)?, today)));
    let weeks = weeks.into_iter().map(|(week, counts)| WeekEnrolment { week, counts }).collect();
    SiteEnrolment { site, total, target, due, weeks }
}

/// On the straight line from the day of opening (none) to the day of the target (all); whole participants.
fn due(target: Target, opened: OffsetDateTime, today: Day) -> u64 {
    let whole = (target.by.0 - opened.date()).whole_days();
    let gone = (today.0 - opened.date()).whole_days();
    let all = u64::from(target.participants);
    match (u64::try_from(whole), u64::try_from(gone)) {
        (Ok(whole), Ok(gone)) if gone < whole => all * gone / whole,
        (_, Err(_)) => 0,
        (_, Ok(_)) => all,
    }
}

/// When somebody began to count as what.
fn milestones(person: &Person, plan: Option<&Plan>) -> Vec<(OffsetDateTime, Funnel)> {
    let ended = |wanted: &[Ending]| person.ended.filter(|(how, _)| wanted.contains(how)).map(|(_, at)| at);
    let failed_screening = ended(&[Ending::ScreenFailed]);
    let enrolled = match (person.consented, person.begun) {
        (Some(consented), Some(begun)) if failed_screening.is_none() => Some(later(consented, begun)),
        _ => None,
    };
    let gone = person.left.or(ended(&[Ending::LostToFollowUp, Ending::Died]));
    let completed = match (enrolled, gone) {
        (Some(_), None) => ended(&[Ending::Completed]).or_else(|| plan.and_then(|plan| completed(person, plan))),
        _ => None,
    };
    let none = Funnel::default();
    let gone = failed_screening.or(gone);
    let (failed, withdrawn) = if enrolled.is_some() { (None, gone) } else { (gone, None) };
    let counts = [
        (Some(person.registered), Funnel { screened: 1, ..none }),
        (person.consented, Funnel { consented: 1, ..none }),
        (failed, Funnel { failed: 1, ..none }),
        (enrolled, Funnel { enrolled: 1, ..none }),
        (person.randomised, Funnel { randomised: 1, ..none }),
        (completed, Funnel { completed: 1, ..none }),
        (withdrawn, Funnel { withdrawn: 1, ..none }),
    ];
    counts.into_iter().filter_map(|(at, counts)| Some((at?.captured, counts))).collect()
}

fn later(one: Stamp, other: Stamp) -> Stamp {
    if one.captured < other.captured { other } else { one }
}

fn completed(person: &Person, plan: &Plan) -> Option<Stamp> {
    let mut last: Option<Stamp> = None;
    for visit in plan.visits.iter().filter(|visit| visit.planned) {
        let key = domain::participant::VisitKey { visit: visit.oid.clone(), visit_repeat: 1 };
        let known = person.visits.get(&key)?.known?;
        last = Some(last.map_or(known, |last| later(last, known)));
    }
    last
}
