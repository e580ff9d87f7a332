//! How long it takes from a visit to its first value.

use std::collections::BTreeMap;

use domain::ids::SiteId;
use domain::scope::Erasable;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{Wanted, at, median};
use super::days::VisitDays;
use super::kept::Snapshot;
use super::plan::people;

/// Entry lag.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Lag {
    /// Visits whose day is known and of which something was entered.
    pub visits: u64,
    /// Visits of which something was entered, and whose day was erased.
    pub unknown: u64,
    /// Visits of which something was entered, and of whose day nothing was said.
    pub undated: u64,
    /// Visits whose day is known and of which nothing was entered yet.
    pub waiting: u64,
    /// The median of the days between the two, in tenths; null: of no visit.
    pub median_days: Option<f64>,
}

/// Entry lag, by site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EntryLag {
    /// Of all sites that the reader sees.
    pub total: Lag,
    /// Site by site.
    pub sites: Vec<SiteLag>,
}

/// Entry lag at a site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SiteLag {
    /// Which site.
    pub site: SiteId,
    /// How long.
    #[serde(flatten)]
    pub lag: Lag,
}

#[derive(Debug, Clone, Default)]
struct Seen {
    lag: Lag,
    days: Vec<f64>,
}

impl Seen {
    fn done(self) -> Lag {
        Lag { median_days: median(self.days), ..self.lag }
    }
}

/// Entry lag as of the snapshot: whole days from the day of the visit to the day on which its first value was stored. Not to
/// the day of capture: that is what a client says of itself, and entry is what a site is asked to be quick with.
pub(super) fn entry_lag(snapshot: &Snapshot, days: &VisitDays, wanted: &Wanted<'_>) -> EntryLag {
    let mut sites: BTreeMap<SiteId, Seen> = BTreeMap::new();
    let mut total = Seen::default();
    // A site of which nothing can be said is there all the same.
    let open = snapshot.state.sites.keys().chain(snapshot.state.people.values().map(|person| &person.site));
    for site in open.filter(|site| wanted.takes(site)) {
        at(&mut sites, site);
    }
    for (id, person, _) in people(&snapshot.state, &snapshot.plans, wanted) {
        for (visit, state) in &person.visits {
            if !state.started {
                let undated = u64::from(state.entered.is_some());
                [at(&mut sites, &person.site), &mut total].into_iter().for_each(|seen| seen.lag.undated += undated);
                continue;
            }
            let day = days.get(&id).and_then(|days| days.get(visit));
            for seen in [at(&mut sites, &person.site), &mut total] {
                match (day, state.entered) {
                    (Some(Erasable::Known(_)), None) => seen.lag.waiting += 1,
                    (Some(Erasable::Known(day)), Some(entered)) => {
                        seen.lag.visits += 1;
                        #[expect(clippy::cast_precision_loss, reason = "days of a study are far below 2^52")]
                        seen.days.push((entered.stored.date() - day.0).whole_days() as f64);
                    }
                    (Some(Erasable::Erased) | None, Some(_)) => seen.lag.unknown += 1,
                    (Some(Erasable::Erased) | None, None) => {}
                }
            }
        }
    }
    let sites = sites.into_iter().map(|(site, seen)| SiteLag { site, lag: seen.done() }).collect();
    EntryLag { total: total.done(), sites }
}
