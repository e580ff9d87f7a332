//! How many participants a site is to enrol, and by when.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Event, Refused, Study};
use crate::Day;
use crate::ids::SiteId;

/// How many a site is to enrol, and by when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = EnrolmentTarget)]
pub struct Target {
    /// So many.
    pub participants: u32,
    /// By this day.
    pub by: Day,
}

structural!(Target);

impl Study {
    pub(super) fn set_target(&self, site: &SiteId, target: Target) -> Result<Vec<Event>, Refused> {
        let setup = self.setup().ok_or(Refused::NoSuchStudy)?.unlocked()?;
        if !setup.sites.contains_key(site) {
            return Err(Refused::NoSuchSite);
        }
        if setup.targets.get(site) == Some(&target) {
            return Ok(vec![]);
        }
        let Target { participants, by } = target;
        Ok(vec![Event::EnrolmentTargetSet { site: site.clone(), participants, by }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Environment;
    use crate::study::Command;
    use crate::testing::{given, label, site};

    fn day(text: &str) -> Day {
        serde_json::from_value(text.into()).expect("a day")
    }

    #[test]
    fn a_site_has_one_target_and_the_last_word_counts() {
        let study = || {
            let created = Event::Created { name: label("Cardio"), environment: Environment::Test };
            vec![created, Event::SiteOpened { site: site("oslo"), name: label("Oslo") }]
        };
        let set = |at: &str, participants| Command::SetEnrolmentTarget {
            site: site(at),
            participants,
            by: day("2027-01-31"),
        };
        let was = |participants| Event::EnrolmentTargetSet { site: site("oslo"), participants, by: day("2027-01-31") };
        given::<Study>(study()).when(set("oslo", 20)).then([was(20)]);
        given::<Study>(study().into_iter().chain([was(20)])).when(set("oslo", 20)).then([]);
        given::<Study>(study().into_iter().chain([was(20)])).when(set("oslo", 25)).then([was(25)]);
        given::<Study>(study().into_iter().chain([was(20), was(25)])).when(set("oslo", 20)).then([was(20)]);
        given::<Study>(study()).when(set("bergen", 20)).rejected("no-such-site");
        given::<Study>([]).when(set("oslo", 20)).rejected("no-such-study");
    }
}
