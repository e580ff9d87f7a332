//! How long a study must keep which data, and on which ground.
//!
//! A rule counts from something that happens to the study or to the participant. Before that has happened there is no
//! date: the data is kept until it does, and as long again as the rule says.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use time::Month;
use utoipa::ToSchema;

use super::Study;
use crate::Day;
use crate::ids::{Label, RuleId};
use crate::privacy::RefusalGround;
use crate::scope::{Part, Scope};

/// The longest time a rule may name: a century.
pub const MONTHS_MAX: u32 = 1200;

/// From when a retention rule counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = RetentionTrigger)]
pub enum Trigger {
    /// The participant was registered.
    Registration,
    /// Something was last entered for the participant.
    LastVisit,
    /// The participant left the study.
    ConsentWithdrawn,
    /// The study was completed.
    StudyCompleted,
}

crate::structural!(Trigger);

/// The name as in the API.
impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Registration => "registration",
            Self::LastVisit => "last-visit",
            Self::ConsentWithdrawn => "consent-withdrawn",
            Self::StudyCompleted => "study-completed",
        })
    }
}

/// Data of these scopes is kept for so long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = RetentionRule)]
pub struct Rule {
    /// Which scopes.
    pub scopes: BTreeSet<Scope>,
    /// From when it counts.
    pub trigger: Trigger,
    /// For how many months.
    pub months: u32,
    /// The law, contract or protocol that says so: "Regulation (EU) 536/2014 Art 58".
    pub legal_basis: Label,
    /// The case of GDPR Art 17(3) that it stands for.
    pub ground: RefusalGround,
    /// Whether single values may be redacted all the same, as ICH E6(R3) 4.2.2(b) foresees for what should never have
    /// been written down.
    pub allows_redaction: bool,
}

/// The days in a participant's record from which rules count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Milestones {
    /// When the participant was registered.
    pub registered: Option<Day>,
    /// When something was last entered.
    pub last_visit: Option<Day>,
    /// When the participant left.
    pub withdrawn: Option<Day>,
}

/// Until when a rule keeps data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// Until this day.
    On(Day),
    /// Nobody knows yet: this must happen first.
    After(Trigger),
}

impl Study {
    /// The rule that keeps data of `scope` longest, and until when; none if no rule keeps it (any more). A rule that
    /// allows redaction does not keep a single value.
    pub fn retention_of(
        &self,
        scope: Scope,
        part: Option<&Part>,
        milestones: &Milestones,
        today: Day,
    ) -> Option<(&RuleId, &Rule, Due)> {
        let setup = self.setup()?;
        let in_force = setup.retention.iter().filter_map(|(id, rule)| Some((id, rule.as_ref()?)));
        let rules =
            in_force.filter(|(_, rule)| rule.scopes.contains(&scope) && !(part.is_some() && rule.allows_redaction));
        let keeping = rules.map(|(id, rule)| (id, rule, rule.due(setup.completed, milestones)));
        keeping.filter(|(_, _, due)| *due > Due::On(today)).max_by_key(|(_, _, due)| *due)
    }
}

impl Rule {
    fn due(&self, completed: Option<Day>, milestones: &Milestones) -> Due {
        let from = match self.trigger {
            Trigger::Registration => milestones.registered,
            Trigger::LastVisit => milestones.last_visit,
            Trigger::ConsentWithdrawn => milestones.withdrawn,
            Trigger::StudyCompleted => completed,
        };
        from.map_or(Due::After(self.trigger), |from| Due::On(months_after(from, self.months)))
    }
}

/// The same day of the month so many months later; the month's last where it has no such day.
pub(super) fn months_after(day: Day, months: u32) -> Day {
    let counted = u32::from(u8::from(day.0.month())) - 1 + months;
    let year = day.0.year().saturating_add_unsigned(counted / 12);
    let month = (0..counted % 12).fold(Month::January, |month, _| month.next());
    let last = month.length(year);
    let date = time::Date::from_calendar_date(year, month, day.0.day().min(last));
    // Beyond the calendar nothing falls due.
    Day(date.unwrap_or(time::Date::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        serde_json::from_value(text.into()).expect("a day")
    }

    #[test]
    fn months_are_counted_by_the_calendar() {
        for (from, months, until) in [
            ("2026-11-22", 1, "2026-12-22"),
            ("2026-11-22", 300, "2051-11-22"),
            ("2026-12-31", 2, "2027-02-28"),
            ("2027-12-31", 2, "2028-02-29"),
            ("2026-01-31", 12, "2027-01-31"),
        ] {
            assert_eq!(months_after(day(from), months), day(until), "{from} + {months}");
        }
        assert_eq!(months_after(Day(time::Date::MAX), MONTHS_MAX), Day(time::Date::MAX));
    }
}
