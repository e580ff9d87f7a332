//! The counts of a study, by site and by ISO week of capture. They stay when a person is forgotten.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use domain::history::{Aggregate, Commit};
use domain::ids::{SiteId, StudyId};
use domain::participant::Event;
use domain::permit::Sites;
use domain::port::{Failure, Tenant};
use domain::structural;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::projection::{Projection, Rows, Stop};
use crate::row::{RowKey, kinds};
use crate::shown::Visible;
use crate::view;

// --- row

/// How many people. Each counts once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Counts {
    /// Were registered.
    pub registered: u64,
    /// Gave consent.
    pub consented: u64,
    /// Left the study.
    pub withdrawn: u64,
    /// Had at least one scope erased.
    pub erased: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.registered += other.registered;
        self.consented += other.consented;
        self.withdrawn += other.withdrawn;
        self.erased += other.erased;
    }
}

/// What a person was counted as, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    site: SiteId,
    consented: bool,
    withdrawn: bool,
    erased: bool,
}

structural!(Counts, Counted);

kinds! {
    /// What the table holds.
    pub enum OverviewRow {
        /// A person, so that nobody counts twice.
        "counted" Counted(Counted),
        /// The counts of one site in one week.
        "counts" Counts(Counts),
    }
}

// --- apply

/// The projection.
#[derive(Debug)]
pub struct Overviews;

impl Projection for Overviews {
    const NAME: &'static str = "overview";
    const VERSION: u32 = 2;
    type Row = OverviewRow;

    fn takes(aggregate: Aggregate) -> bool {
        aggregate == Aggregate::Participant
    }

    fn apply(commit: &Commit, rows: &mut Rows<'_, OverviewRow>) -> Result<(), Stop> {
        let stream = &commit.header.stream;
        let (Some(study), Some(person)) = (&stream.journal.study, stream.data_subject()) else {
            return Ok(());
        };
        let key = RowKey::about(Some(study), person, "counted");
        for event in commit.shared_facts::<Event>()?.iter() {
            let before = match rows.get(&key)? {
                Some(OverviewRow::Counted(counted)) => Some(counted.clone()),
                Some(OverviewRow::Counts(_)) | None => None,
            };
            if let Some((counted, more)) = count(before, event) {
                let week = RowKey::plain(Some(study), week_key(&counted.site, commit.header.captured_at));
                let mut counts = match rows.get(&week)? {
                    Some(OverviewRow::Counts(counts)) => *counts,
                    Some(OverviewRow::Counted(_)) | None => Counts::default(),
                };
                counts += more;
                rows.put(week, OverviewRow::Counts(counts));
                rows.put(key.clone(), OverviewRow::Counted(counted));
            }
        }
        Ok(())
    }
}

/// What a person counts as after an event, and what that adds; none if it adds nothing.
fn count(before: Option<Counted>, event: &Event) -> Option<(Counted, Counts)> {
    let none = Counts::default();
    match (before, event) {
        (None, Event::Registered { site, .. }) => {
            let counted = Counted { site: site.clone(), consented: false, withdrawn: false, erased: false };
            Some((counted, Counts { registered: 1, ..none }))
        }
        (Some(before), Event::ConsentGiven { .. }) if !before.consented => {
            Some((Counted { consented: true, ..before }, Counts { consented: 1, ..none }))
        }
        (Some(before), Event::Withdrawn { .. }) if !before.withdrawn => {
            Some((Counted { withdrawn: true, ..before }, Counts { withdrawn: 1, ..none }))
        }
        (Some(before), Event::Fenced { scopes, .. }) if !before.erased && !scopes.is_empty() => {
            Some((Counted { erased: true, ..before }, Counts { erased: 1, ..none }))
        }
        _ => None,
    }
}

const COUNTS: &str = "counts/";

fn week_key(site: &SiteId, captured_at: OffsetDateTime) -> String {
    let (year, week, _) = captured_at.to_iso_week_date();
    format!("{COUNTS}{site}/{year:04}-W{week:02}")
}

// --- readers

/// The counts of a study.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Overview {
    /// Of all sites that the reader sees.
    pub total: Counts,
    /// Site by site.
    pub sites: Vec<SiteOverview>,
}

/// The counts of a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SiteOverview {
    /// Which site.
    pub site: SiteId,
    /// Of all weeks.
    pub total: Counts,
    /// Week by week, oldest first.
    pub weeks: Vec<WeekOverview>,
}

/// The counts of a week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WeekOverview {
    /// ISO 8601 week of the time captured, such as `2026-W47`.
    pub week: String,
    /// What was captured in it.
    pub counts: Counts,
}

/// The counts of a study at these sites. All zero for a study without participants.
///
/// # Errors
/// What the store says.
pub async fn show(tenant: &Tenant, study: &StudyId, sites: &Sites) -> Result<Overview, Failure> {
    let prefix = RowKey::plain(Some(study), COUNTS);
    let mut by_site: BTreeMap<SiteId, SiteOverview> = BTreeMap::new();
    let mut overview = Overview::default();
    for (key, open) in view::scan::<Overviews>(tenant, &prefix, None, usize::MAX, &Visible::none()).await? {
        let OverviewRow::Counts(counts) = open.row else {
            continue;
        };
        let (site, week) = parse_week_key(&key)?;
        if sites.contains(&site) {
            let of_site = by_site.entry(site.clone()).or_insert_with(|| SiteOverview::empty(site));
            of_site.total += counts;
            overview.total += counts;
            of_site.weeks.push(WeekOverview { week, counts });
        }
    }
    overview.sites = by_site.into_values().collect();
    Ok(overview)
}

impl SiteOverview {
    fn empty(site: SiteId) -> Self {
        Self { site, total: Counts::default(), weeks: Vec::new() }
    }
}

fn parse_week_key(key: &RowKey) -> Result<(SiteId, String), Failure> {
    let parsed = || {
        let (site, week) = key.rest.strip_prefix(COUNTS)?.split_once('/')?;
        Some((site.parse().ok()?, week.to_owned()))
    };
    parsed().ok_or_else(|| Failure::damaged(format!("row {key} of the read model overview"), "its key names no week"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Story, World, json, site};
    use domain::scope::Scope;
    use serde_json::json;
    use time::macros::datetime;

    fn story() -> Story {
        let mut story = Story::new();
        story.at(datetime!(2026-11-20 12:00 UTC));
        story.registered(1, "oslo");
        story.registered(2, "oslo");
        story.registered(3, "bergen");
        story.consented(1);
        story.at(datetime!(2026-11-24 12:00 UTC));
        story.consented(1);
        story.consented(2);
        story.participant(2, Event::Withdrawn { reason: None });
        story
    }

    #[tokio::test]
    async fn everybody_counts_once_by_site_and_week() {
        let world = World::of::<Overviews>(&story()).await;
        let overview = show(&world.tenant, &Story::study_id(), &Sites::All).await.expect("reads");
        assert_eq!(
            json(&overview),
            json!({
                "total": {"registered": 3, "consented": 2, "withdrawn": 1, "erased": 0},
                "sites": [
                    {"site": "bergen", "total": {"registered": 1, "consented": 0, "withdrawn": 0, "erased": 0}, "weeks": [
                        {"week": "2026-W47", "counts": {"registered": 1, "consented": 0, "withdrawn": 0, "erased": 0}},
                    ]},
                    {"site": "oslo", "total": {"registered": 2, "consented": 2, "withdrawn": 1, "erased": 0}, "weeks": [
                        {"week": "2026-W47", "counts": {"registered": 2, "consented": 1, "withdrawn": 0, "erased": 0}},
                        {"week": "2026-W48", "counts": {"registered": 0, "consented": 1, "withdrawn": 1, "erased": 0}},
                    ]},
                ],
            })
        );
    }

    #[tokio::test]
    async fn an_erasure_changes_no_other_count() {
        let before = World::of::<Overviews>(&story()).await;
        let before = show(&before.tenant, &Story::study_id(), &Sites::All).await.expect("reads").total;
        let mut world = World::of::<Overviews>(&story()).await;
        world.erase::<Overviews>(1, &[Scope::IdentityContact, Scope::HealthClinical]).await;
        let after = show(&world.tenant, &Story::study_id(), &Sites::All).await.expect("reads").total;
        assert_eq!(after, Counts { erased: 1, ..before });
        world.erase::<Overviews>(1, &[Scope::HealthFreeText]).await;
        let again = show(&world.tenant, &Story::study_id(), &Sites::All).await.expect("reads").total;
        assert_eq!(again, after, "who is erased twice counts once");
    }

    #[tokio::test]
    async fn other_sites_are_not_counted() {
        let world = World::of::<Overviews>(&story()).await;
        let sites = Sites::Only([site("bergen")].into());
        let overview = show(&world.tenant, &Story::study_id(), &sites).await.expect("reads");
        assert_eq!((overview.total.registered, overview.sites.len()), (1, 1));
    }
}
