//! The overview as of an earlier moment: the same counts as the read model of that name keeps for now.

use std::collections::BTreeMap;

use super::answer::{Wanted, week};
use super::kept::Snapshot;
use crate::overview::{Counts, Overview, SiteOverview, WeekOverview};

impl Snapshot {
    /// The overview as of the snapshot.
    pub fn overview(&self, wanted: &Wanted<'_>) -> Overview {
        let mut sites: BTreeMap<_, BTreeMap<String, Counts>> = BTreeMap::new();
        let none = Counts::default();
        for person in self.state.people.values().filter(|person| wanted.takes(&person.site)) {
            let counts = [
                (Some(person.registered), Counts { registered: 1, ..none }),
                (person.consented, Counts { consented: 1, ..none }),
                (person.left, Counts { withdrawn: 1, ..none }),
                (person.erased, Counts { erased: 1, ..none }),
            ];
            let weeks = sites.entry(person.site.clone()).or_default();
            for (at, counts) in counts.into_iter().filter_map(|(at, counts)| Some((at?, counts))) {
                *weeks.entry(week(at.captured)).or_default() += counts;
            }
        }
        let mut overview = Overview::default();
        for (site, weeks) in sites {
            let mut total = Counts::default();
            weeks.values().for_each(|counts| total += *counts);
            overview.total += total;
            let weeks = weeks.into_iter().map(|(week, counts)| WeekOverview { week, counts }).collect();
            overview.sites.push(SiteOverview { site, total, weeks });
        }
        overview
    }
}
