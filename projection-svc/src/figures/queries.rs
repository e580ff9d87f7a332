//! Queries: how many wait, for how long, how fast they are answered, how many there are for so many values.
//!
//! Annotations need no answer and are not counted. Nor is what is asked at an item that tells the arm, or by a check
//! that reads one: whether it is asked may hang on the arm.

use std::collections::BTreeMap;

use domain::ids::{CheckId, SiteId};
use domain::participant::{Place, QueryKind, QueryState};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::answer::{Wanted, at, median, per};
use super::kept::Snapshot;
use super::person::{Asked, Person};
use super::plan::{Plan, people};

/// How many checks are named.
const CHECKS: usize = 20;

/// Queries.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QueryCounts {
    /// Asked at all: the sum of the next four.
    pub asked: u64,
    /// Drafts: nobody is asked yet.
    pub candidates: u64,
    /// Wait for an answer.
    pub open: u64,
    /// Wait for whoever asked.
    pub answered: u64,
    /// Settled: closed, resolved or cancelled.
    pub closed: u64,
    /// Those that are open or answered, by the days since they were asked.
    pub ages: Ages,
    /// The median of the hours until the first answer, in tenths; null: none was answered.
    pub median_response_hours: Option<f64>,
    /// Values that stand or stood: saved by a person, device or file.
    pub items: u64,
    /// How many were asked for a hundred values, in tenths.
    pub per_100_items: Option<f64>,
    /// Settled, and then not settled after all.
    pub reopened: u64,
    /// How many of a hundred that were settled were opened again, in tenths.
    pub reopened_share: Option<f64>,
}

/// How old queries are, in whole days.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ages {
    /// Up to a week.
    #[serde(rename = "0-7")]
    pub week: u64,
    /// Up to two weeks.
    #[serde(rename = "8-14")]
    pub two_weeks: u64,
    /// Up to a month.
    #[serde(rename = "15-30")]
    pub month: u64,
    /// Longer.
    #[serde(rename = "over-30")]
    pub longer: u64,
}

impl Ages {
    fn count(&mut self, days: i64) {
        *match days {
            ..=7 => &mut self.week,
            8..=14 => &mut self.two_weeks,
            15..=30 => &mut self.month,
            31.. => &mut self.longer,
        } += 1;
    }
}

/// Queries, by site.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QueryFigures {
    /// Of all sites that the reader sees.
    pub total: QueryCounts,
    /// Site by site.
    pub sites: Vec<SiteQueries>,
    /// The checks that fired most often; not more than twenty.
    pub top_checks: Vec<Firing>,
}

/// Queries at a site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SiteQueries {
    /// Which site.
    pub site: SiteId,
    /// Its queries.
    #[serde(flatten)]
    pub counts: QueryCounts,
}

/// How often a check fired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = FiringCheck)]
pub struct Firing {
    /// Which check.
    pub check: CheckId,
    /// How often: values that were refused, and values that were accepted and asked about.
    pub fired: u64,
}

#[derive(Debug, Clone, Default)]
struct Seen {
    counts: QueryCounts,
    settled_once: u64,
    responses: Vec<f64>,
}

/// Queries as of the snapshot.
pub fn queries(snapshot: &Snapshot, wanted: &Wanted<'_>) -> QueryFigures {
    let mut sites: BTreeMap<SiteId, Seen> = BTreeMap::new();
    let mut total = Seen::default();
    let mut checks: BTreeMap<&CheckId, u64> = BTreeMap::new();
    for (_, person, plan) in people(&snapshot.state, &snapshot.plans, wanted) {
        for seen in [at(&mut sites, &person.site), &mut total] {
            seen.count(person, plan, snapshot.at);
        }
        let tells = |item| plan.is_none_or(|plan| plan.telling.contains(item));
        for ((check, _), fired) in person.fired.iter().filter(|((_, item), _)| !tells(item)) {
            *checks.entry(check).or_default() += fired;
        }
    }
    let mut top_checks: Vec<_> =
        checks.into_iter().map(|(check, fired)| Firing { check: check.clone(), fired }).collect();
    top_checks.sort_by(|one, other| other.fired.cmp(&one.fired).then_with(|| one.check.cmp(&other.check)));
    top_checks.truncate(CHECKS);
    let sites = sites.into_iter().map(|(site, seen)| SiteQueries { site, counts: seen.done() }).collect();
    QueryFigures { total: total.done(), sites, top_checks }
}

impl Seen {
    fn count(&mut self, person: &Person, plan: Option<&Plan>, now: OffsetDateTime) {
        let tells = |place: &Place| match place {
            Place::Item(item) => plan.is_none_or(|plan| plan.telling.contains(&item.item)),
            Place::Participant | Place::Visit(_) | Place::Form(_) => false,
        };
        let asked = person.queries.values().filter(|asked| asked.kind != QueryKind::Annotation);
        asked.filter(|asked| !tells(&asked.place)).for_each(|asked| self.query(asked, now));
        let forms = person.forms.values().filter(|form| form.stands());
        self.counts.items += forms.flat_map(|form| form.items.values()).filter(|item| !item.computed).count() as u64;
    }

    fn query(&mut self, asked: &Asked, now: OffsetDateTime) {
        let counts = &mut self.counts;
        counts.asked += 1;
        match asked.state {
            QueryState::Candidate => counts.candidates += 1,
            QueryState::Open | QueryState::Reopened | QueryState::Forwarded => counts.open += 1,
            QueryState::Answered => counts.answered += 1,
            QueryState::Closed | QueryState::Resolved | QueryState::Cancelled => counts.closed += 1,
        }
        if asked.state.waits_for_answer() || asked.state == QueryState::Answered {
            counts.ages.count((now - asked.opened).whole_days());
        }
        counts.reopened += u64::from(asked.reopened);
        self.settled_once += u64::from(asked.settled);
        self.responses.extend(asked.answered.map(|answered| (answered - asked.opened).as_seconds_f64() / 3600.0));
    }

    fn done(self) -> QueryCounts {
        let Self { counts, settled_once, responses } = self;
        QueryCounts {
            median_response_hours: median(responses),
            per_100_items: per(counts.asked, counts.items, 100.0),
            reopened_share: per(counts.reopened, settled_once, 100.0),
            ..counts
        }
    }
}
