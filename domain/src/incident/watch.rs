//! What is looked for in what is read and in who tries to sign in: counters over windows, with limits as data.
//!
//! In memory and pure: what happened goes in one after another with its time, and alerts come out. A rule that was told
//! about somebody is silent about them for a while, so that one attack is one incident. `docs/detection.md` has the limits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, UtcOffset};

use super::{Alert, Rule};
use crate::Moment;
use crate::access::Outcome;
use crate::ids::{ParticipantId, UserId, ViewName};

/// How much is too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// So often is told.
    pub count: u64,
    /// Within so many seconds.
    pub seconds: u64,
}

impl Limit {
    const fn of(count: u64, seconds: u64) -> Self {
        Self { count, seconds }
    }

    fn window(self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// The hours at which people work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    /// The first hour of work, 0 to 23.
    pub from: u8,
    /// The first hour that is none any more, 1 to 24.
    pub to: u8,
    /// How many minutes the clock there is ahead of UTC.
    pub minutes_east: i16,
    /// Whether Saturday and Sunday are days of work.
    #[serde(default)]
    pub weekends: bool,
}

impl Hours {
    /// Whether somebody works at this time.
    pub fn contains(self, at: OffsetDateTime) -> bool {
        let offset = UtcOffset::from_whole_seconds(i32::from(self.minutes_east) * 60).unwrap_or(UtcOffset::UTC);
        let there = at.to_offset(offset);
        let free = matches!(there.weekday(), time::Weekday::Saturday | time::Weekday::Sunday);
        (self.weekends || !free) && (self.from..self.to).contains(&there.hour())
    }
}

/// The limits of every rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Sign-ins in vain to one account.
    pub failed_sign_ins: Limit,
    /// The same to any account of a tenant, or to none: somebody tries one password everywhere.
    pub failed_sign_ins_of_all: Limit,
    /// Different participants of whom one user was shown values.
    pub mass_reads: Limit,
    /// Participants of other sites that one user asked for.
    pub beyond_site: Limit,
    /// Reads out of hours by one user.
    pub odd_hours: Limit,
    /// Things that are not there, that one user asked for.
    pub probing: Limit,
    /// Different kinds of things that one user's role may not ask for.
    pub forbidden: Limit,
    /// What was erased, that one user asked for.
    pub erased_data: Limit,
    /// At which hours people work; none: at any, and the rule is off.
    pub hours: Option<Hours>,
    /// For how many seconds a rule is silent about somebody it was told about.
    pub silent_for: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            failed_sign_ins: Limit::of(8, 15 * 60),
            failed_sign_ins_of_all: Limit::of(30, 15 * 60),
            mass_reads: Limit::of(200, 10 * 60),
            beyond_site: Limit::of(5, 60 * 60),
            odd_hours: Limit::of(10, 60 * 60),
            probing: Limit::of(20, 10 * 60),
            forbidden: Limit::of(8, 10 * 60),
            erased_data: Limit::of(30, 10 * 60),
            hours: None,
            silent_for: 60 * 60,
        }
    }
}

/// What the watch is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sighting {
    /// Somebody did not prove to be the holder of this account.
    SignInFailed(UserId),
    /// Somebody did not come in, whether there is an account of that name or not.
    NoEntry,
    /// Somebody read, or tried to.
    Read(Look),
}

/// A read, as far as the rules look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Who.
    pub user: UserId,
    /// Whether a person reads: a program reads at any hour, and much.
    pub person: bool,
    /// What came of it.
    pub outcome: Outcome,
    /// What.
    pub view: ViewName,
    /// Whether what was not found is unheard of, rather than not recorded yet.
    pub unheard_of: bool,
    /// Whose values were shown; nobody's where only states or counts were.
    pub values_of: BTreeSet<ParticipantId>,
}

/// The windows of one tenant.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    windows: BTreeMap<(Rule, Whom), Window>,
    told: BTreeMap<(Rule, Whom), OffsetDateTime>,
}

/// Whom a window counts: a user, nobody known, or everybody together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Whom {
    One(UserId),
    All,
}

/// What happened within the time that a rule looks back on, the oldest first.
type Window = VecDeque<(OffsetDateTime, Option<About>)>;

/// What counts once in a window, however often it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum About {
    Participant(ParticipantId),
    View(ViewName),
}

/// How many windows are kept: an attacker must not fill the memory. The ones that were quiet longest go.
const WINDOWS_MAX: usize = 10_000;

impl Watch {
    /// Takes in what happened at `now`; what follows from it, if anything does.
    pub fn take(&mut self, sighting: &Sighting, limits: &Limits, now: OffsetDateTime) -> Vec<Alert> {
        let mut alerts = Vec::new();
        let mut note = |rule, whom, limit, about| alerts.extend(self.note((rule, whom), limit, about, limits, now));
        match sighting {
            Sighting::SignInFailed(user) => {
                note(Rule::FailedSignIns, Whom::One(*user), limits.failed_sign_ins, None);
            }
            Sighting::NoEntry => note(Rule::FailedSignIns, Whom::All, limits.failed_sign_ins_of_all, None),
            Sighting::Read(look) => {
                let whom = Whom::One(look.user);
                match look.outcome {
                    Outcome::Shown => {
                        for participant in look.values_of.iter().filter(|_| look.person) {
                            note(Rule::MassReads, whom, limits.mass_reads, Some(About::Participant(*participant)));
                        }
                        if limits.hours.is_some_and(|hours| look.person && !hours.contains(now)) {
                            note(Rule::OddHours, whom, limits.odd_hours, None);
                        }
                    }
                    Outcome::BeyondSite => note(Rule::BeyondSite, whom, limits.beyond_site, None),
                    Outcome::NotFound if look.unheard_of => note(Rule::Probing, whom, limits.probing, None),
                    Outcome::NotFound => {}
                    // Pages ask for what their reader may not see, always the same; who tries the doors tries them all.
                    Outcome::Forbidden => {
                        note(Rule::Probing, whom, limits.forbidden, Some(About::View(look.view.clone())));
                    }
                    Outcome::Erased => note(Rule::ErasedData, whom, limits.erased_data, None),
                }
            }
        }
        alerts
    }

    /// Counts one more; an alert if that is as many as are told.
    fn note(
        &mut self,
        key: (Rule, Whom),
        limit: Limit,
        about: Option<About>,
        limits: &Limits,
        now: OffsetDateTime,
    ) -> Option<Alert> {
        if !self.windows.contains_key(&key) && self.windows.len() >= WINDOWS_MAX {
            self.forget_the_quietest();
        }
        let window = self.windows.entry(key).or_default();
        while window.front().is_some_and(|(at, _)| now - *at >= limit.window()) {
            window.pop_front();
        }
        if about.is_some() {
            window.retain(|(_, other)| *other != about);
        }
        window.push_back((now, about));
        let count = window.len() as u64;
        let silent = self.told.get(&key).is_some_and(|told| now - *told < Duration::from_secs(limits.silent_for));
        if count < limit.count || silent {
            return None;
        }
        let since = window.front().map_or(now, |(at, _)| *at);
        window.clear();
        self.told.insert(key, now);
        let user = match key.1 {
            Whom::One(user) => Some(user),
            Whom::All => None,
        };
        Some(Alert { rule: key.0, user, count, limit: limit.count, since: Moment(since), until: Moment(now) })
    }

    fn forget_the_quietest(&mut self) {
        let quietest = self.windows.iter().min_by_key(|(_, window)| window.back().map(|(at, _)| *at));
        if let Some(key) = quietest.map(|(key, _)| *key) {
            self.windows.remove(&key);
            self.told.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;
    use uuid::Uuid;

    use super::*;

    /// What happens as the nth.
    type Script = Box<dyn Fn(u64) -> Sighting>;

    const NOON: OffsetDateTime = datetime!(2026-11-23 12:00 UTC);

    fn user(n: u128) -> UserId {
        UserId(Uuid::from_u128(n))
    }

    fn read(who: u128, outcome: Outcome, of: Option<u128>) -> Sighting {
        let values_of = of.into_iter().map(|n| ParticipantId(Uuid::from_u128(n))).collect();
        let view = "participant.casebook".parse().expect("valid");
        Sighting::Read(Look { user: user(who), person: true, view, outcome, unheard_of: true, values_of })
    }

    /// The rules that are told of, in order, one sighting each `every` seconds from noon on.
    fn told(limits: &Limits, every: u64, sightings: impl IntoIterator<Item = Sighting>) -> Vec<Rule> {
        let mut watch = Watch::default();
        let each = sightings
            .into_iter()
            .enumerate()
            .flat_map(|(n, sighting)| watch.take(&sighting, limits, NOON + Duration::from_secs(every * n as u64)));
        each.map(|alert| alert.rule).collect()
    }

    #[test]
    fn each_rule_is_told_at_its_limit_and_not_before() {
        let limits =
            Limits { hours: Some(Hours { from: 7, to: 12, minutes_east: 0, weekends: true }), ..Limits::default() };
        let off = Limits::default();
        let cases: [(&Limits, u64, Script, Rule); 7] = [
            (&off, limits.failed_sign_ins.count, Box::new(|_| Sighting::SignInFailed(user(1))), Rule::FailedSignIns),
            (&off, limits.failed_sign_ins_of_all.count, Box::new(|_| Sighting::NoEntry), Rule::FailedSignIns),
            (&off, limits.mass_reads.count, Box::new(|n| read(1, Outcome::Shown, Some(n.into()))), Rule::MassReads),
            (&off, limits.beyond_site.count, Box::new(|_| read(1, Outcome::BeyondSite, None)), Rule::BeyondSite),
            (&limits, limits.odd_hours.count, Box::new(|_| read(1, Outcome::Shown, Some(1))), Rule::OddHours),
            (&off, limits.probing.count, Box::new(|_| read(1, Outcome::NotFound, None)), Rule::Probing),
            (&off, limits.erased_data.count, Box::new(|_| read(1, Outcome::Erased, None)), Rule::ErasedData),
        ];
        for (limits, count, sighting, rule) in cases {
            assert_eq!(told(limits, 1, (1..count).map(&sighting)), [], "{rule:?}");
            assert_eq!(told(limits, 1, (1..=count).map(&sighting)), [rule]);
            assert_eq!(told(limits, 1, (1..=2 * count).map(&sighting)), [rule], "one attack is told once");
        }
    }

    #[test]
    fn what_is_spread_over_time_or_over_users_is_not_told() {
        let limits = Limits::default();
        assert_eq!(told(&limits, 32, (0..500).map(|_| read(1, Outcome::NotFound, None))), []);
        assert_eq!(told(&limits, 1, (0..500).map(|n| read(n % 50, Outcome::NotFound, None))), []);
        assert_eq!(told(&limits, 1, (0..500).map(|_| read(1, Outcome::Shown, Some(7)))), [], "the same one again");
    }

    #[test]
    fn a_page_that_asks_for_what_its_reader_may_not_see_is_no_attack_and_trying_every_door_is() {
        let forbidden = |n: u64, views: u64| match read(1, Outcome::Forbidden, None) {
            Sighting::Read(look) => {
                let view = "x".repeat(1 + (n % views) as usize).parse().expect("valid");
                Sighting::Read(Look { view, ..look })
            }
            other => other,
        };
        let limits = Limits::default();
        assert_eq!(told(&limits, 1, (0..500).map(|n| forbidden(n, 7))), []);
        assert_eq!(told(&limits, 1, (0..8).map(|n| forbidden(n, 8))), [Rule::Probing]);
    }

    #[test]
    fn a_program_reads_much_and_at_night() {
        let limits =
            Limits { hours: Some(Hours { from: 7, to: 8, minutes_east: 0, weekends: false }), ..Limits::default() };
        let program = |n: u64| match read(1, Outcome::Shown, Some(n.into())) {
            Sighting::Read(look) => Sighting::Read(Look { person: false, ..look }),
            other => other,
        };
        assert_eq!(told(&limits, 0, (0..1000).map(program)), []);
    }

    #[test]
    fn hours_are_those_of_the_place() {
        let oslo = Hours { from: 7, to: 19, minutes_east: 60, weekends: false };
        let cases = [
            (datetime!(2026-11-23 5:59 UTC), false),
            (datetime!(2026-11-23 6:00 UTC), true),
            (datetime!(2026-11-23 17:59 UTC), true),
            (datetime!(2026-11-23 18:00 UTC), false),
            (datetime!(2026-11-22 12:00 UTC), false),
        ];
        for (at, works) in cases {
            assert_eq!(oslo.contains(at), works, "{at}");
        }
    }

    #[test]
    fn the_memory_of_it_is_bounded() {
        let mut watch = Watch::default();
        for n in 0..(WINDOWS_MAX as u128 + 10) {
            watch.take(&read(n, Outcome::NotFound, None), &Limits::default(), NOON);
        }
        assert_eq!(watch.windows.len(), WINDOWS_MAX);
    }
}
