//! What is unusual in a study's audit trail, by rule (EMA guideline on computerised systems, 6.2.2): late, often, after it was
//! said to be done, at odd hours, by one person. Each finding names its rule; a person judges.
//!
//! One answer looks through a bounded stretch of the trail. Values are never opened, but for the days of visits, which
//! are opened for the answer and not kept.

use std::collections::{BTreeMap, BTreeSet};

use domain::Moment;
use domain::history::{Actor, ActorKind, Aggregate, DataSubject};
use domain::ids::{ParticipantId, SiteId, StudyId, SubjectNumber, UserId};
use domain::participant::{FormKey, ItemKey, VisitKey};
use domain::permit::Sites;
use domain::port::{Failure, Tenant};
use domain::scope::Erasable;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::{Date, OffsetDateTime, UtcOffset};
use utoipa::ToSchema;

use super::{Action, Audit, AuditRow, COMMITS, CommitRow, ENTRIES, EntriesRow, EntryId, FactRow, entries_key};
use crate::figures;
use crate::participants::{self, Participant};
use crate::row::{RowKey, person};
use crate::shown::Visible;
use crate::view;

/// How many commits one answer looks through.
const STRETCH: usize = 5_000;

/// Where the rules draw their lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Lines {
    /// A value is late if it is entered more than so many days after its visit.
    pub late_days: u16,
    /// A value is changed often if it is changed so many times.
    pub often: u16,
    /// Hours before this one of the day (UTC) are odd.
    pub day_begins: u8,
    /// Hours from this one of the day (UTC) on are odd.
    pub day_ends: u8,
    /// A person changes much with so many changes, if they are more than half of all.
    pub much: u16,
}

impl Default for Lines {
    fn default() -> Self {
        Self { late_days: 7, often: 3, day_begins: 5, day_ends: 22, much: 20 }
    }
}

/// Which rule named something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = AuditRule)]
pub enum Rule {
    /// Entered long after the visit. `count`: days.
    Late,
    /// One value changed again and again. `count`: changes.
    Often,
    /// Changed after somebody signed it.
    AfterSignature,
    /// Changed after it was verified against the source.
    AfterVerification,
    /// Changed after its form was said to be complete.
    AfterCompletion,
    /// Entered or changed at night. `count`: values.
    OddHour,
    /// Most changes are one person's. `count`: changes.
    OneUser,
}

/// Something unusual.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = UnusualEntry)]
pub struct Unusual {
    /// By which rule.
    pub rule: Rule,
    /// The entry of the audit trail; null: several.
    pub entry: Option<String>,
    /// About whom; null: several.
    pub participant: Option<ParticipantId>,
    /// Their pseudonym.
    pub subject_number: Option<SubjectNumber>,
    /// Where they are treated.
    pub site: Option<SiteId>,
    /// On which form.
    pub form: Option<FormKey>,
    /// Which value; null: all that were saved together.
    pub item: Option<ItemKey>,
    /// By whom.
    pub actor: Actor,
    /// When, by the server's clock; of several, the last.
    pub stored_at: Moment,
    /// How many: see the rule.
    pub count: u32,
}

/// A stretch of the trail that was looked through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = UnusualEntries)]
pub struct Looked {
    /// Behind this sequence of the study's journal stream.
    pub after: u64,
    /// Up to and with this one.
    pub through: u64,
    /// Whether there is more behind it.
    pub more: bool,
    /// How many times people saved values in it, at sites that the reader reaches.
    pub saved: u32,
    /// Where the rules draw their lines.
    pub lines: Lines,
    /// What they name, in the order of the rules, the newest first.
    pub items: Vec<Unusual>,
}

/// Looks through the trail behind `after`, up to and with `through` at most.
///
/// # Errors
/// What the store and the keys say.
pub async fn unusual(
    tenant: &Tenant,
    study: &StudyId,
    sites: &Sites,
    lines: Lines,
    after: u64,
    through: u64,
) -> Result<Looked, Failure> {
    let prefix = RowKey::plain(Some(study), COMMITS);
    let from = format!("{COMMITS}{after:020}");
    let rows = view::scan::<Audit>(tenant, &prefix, Some(&from), STRETCH, &Visible::none()).await?;
    let full = rows.len() == STRETCH;
    let mut commits: Vec<(u64, CommitRow)> = Vec::new();
    for (key, open) in rows {
        let sequence = key.rest.strip_prefix(COMMITS).and_then(|digits| digits.parse().ok());
        if let (Some(sequence), AuditRow::Commit(row)) = (sequence, open.row)
            && sequence <= through
        {
            commits.push((sequence, row));
        }
    }
    let end = commits.last().map_or(after, |(sequence, _)| *sequence);
    let mut look = Look { tenant, study, sites, lines, after, end, people: BTreeMap::new(), found: Vec::new() };
    let saved = look.through(commits).await?;
    let mut items = look.found;
    items.sort_by_key(|one| (one.rule, std::cmp::Reverse(one.stored_at)));
    Ok(Looked { after, through: end, more: full && end < through, saved, lines, items })
}

struct Look<'a> {
    tenant: &'a Tenant,
    study: &'a StudyId,
    sites: &'a Sites,
    lines: Lines,
    after: u64,
    end: u64,
    people: BTreeMap<DataSubject, Option<Participant>>,
    found: Vec<Unusual>,
}

/// Values that a person saved on one form with one command.
struct Saved {
    sequence: u64,
    about: Participant,
    actor: Actor,
    stored_at: Moment,
    form: FormKey,
    /// Each with its number in the commit.
    items: Vec<(u32, ItemKey, Action)>,
}

impl Look<'_> {
    async fn through(&mut self, commits: Vec<(u64, CommitRow)>) -> Result<u32, Failure> {
        let mut saved = Vec::new();
        let of_people = commits.into_iter().filter(|(_, row)| {
            let by_a_person = row.act.actor.kind == ActorKind::User;
            row.aggregate == Aggregate::Participant && by_a_person && row.events.contains("items-saved")
        });
        let of_people: Vec<(u64, DataSubject)> =
            of_people.filter_map(|(sequence, row)| Some((sequence, row.person?))).collect();
        for some in of_people.chunks(256) {
            // The store answers at once, always: others get their turn here.
            tokio::task::yield_now().await;
            let keys: Vec<RowKey> =
                some.iter().map(|(sequence, who)| entries_key(self.study, Some(*who), *sequence)).collect();
            for (key, open) in view::get_many::<Audit>(self.tenant, &keys, &Visible::none()).await? {
                if let (Some(who), Some(sequence), AuditRow::Entries(row)) = (key.person, sequence_of(&key), open.row)
                    && let Some(about) = self.reached(who).await?
                {
                    saved.extend(saved_in(sequence, &about, &row));
                }
            }
        }
        self.late(&saved).await?;
        self.odd_hours(&saved);
        self.one_user(&saved);
        self.changes(&saved).await?;
        Ok(u32::try_from(saved.len()).unwrap_or(u32::MAX))
    }

    /// The participant, if the reader reaches them.
    async fn reached(&mut self, who: DataSubject) -> Result<Option<Participant>, Failure> {
        if !self.people.contains_key(&who) {
            let found = participants::show(self.tenant, self.study, &ParticipantId(who.0)).await?;
            self.people.insert(who, found.filter(|found| self.sites.contains(&found.site)));
        }
        Ok(self.people.get(&who).cloned().flatten())
    }

    fn name(&mut self, rule: Rule, one: &Saved, item: Option<&(u32, ItemKey, Action)>, count: u32) {
        let entry = item.or(one.items.first()).map(|(n, ..)| EntryId(one.sequence, *n).to_string());
        self.found.push(Unusual {
            rule,
            entry,
            participant: Some(one.about.participant),
            subject_number: Some(one.about.subject_number.clone()),
            site: Some(one.about.site.clone()),
            form: Some(one.form.clone()),
            item: item.map(|(_, item, _)| item.clone()),
            actor: one.actor.clone(),
            stored_at: one.stored_at,
            count,
        });
    }

    /// First entries, against the day of their visit as it is said now.
    async fn late(&mut self, saved: &[Saved]) -> Result<(), Failure> {
        // Nobody looks at the data of somebody whose processing is restricted.
        let people = saved.iter().filter(|one| !one.about.restricted).map(|one| one.about.participant);
        let people: BTreeSet<ParticipantId> = people.collect();
        let days = figures::visit_days(self.tenant, self.study, people, self.end).await?;
        for one in saved {
            let visit = VisitKey { visit: one.form.visit.clone(), visit_repeat: one.form.visit_repeat };
            let day = days.get(&one.about.participant).and_then(|days| days.get(&visit)).and_then(Erasable::known);
            let entered = one.items.iter().any(|(_, _, action)| *action == Action::Entered);
            if let (Some(day), true) = (day, entered) {
                let late = days_between(day.0, one.stored_at.0);
                if late > i64::from(self.lines.late_days) {
                    self.name(Rule::Late, one, None, u32::try_from(late).unwrap_or(u32::MAX));
                }
            }
        }
        Ok(())
    }

    fn odd_hours(&mut self, saved: &[Saved]) {
        for one in saved {
            let hour = one.stored_at.0.to_offset(UtcOffset::UTC).hour();
            if hour < self.lines.day_begins || hour >= self.lines.day_ends {
                self.name(Rule::OddHour, one, None, u32::try_from(one.items.len()).unwrap_or(u32::MAX));
            }
        }
    }

    fn one_user(&mut self, saved: &[Saved]) {
        let mut by_user: BTreeMap<UserId, (u32, &Saved)> = BTreeMap::new();
        for one in saved {
            let changes = one.items.iter().filter(|(_, _, action)| is_change(*action)).count();
            if changes > 0 {
                let known = by_user.entry(one.actor.id).or_insert((0, one));
                *known = (known.0.saturating_add(u32::try_from(changes).unwrap_or(u32::MAX)), one);
            }
        }
        let all: u32 = by_user.values().map(|(changes, _)| changes).sum();
        for (changes, last) in by_user.into_values() {
            if changes >= u32::from(self.lines.much) && changes.saturating_mul(2) > all {
                let (actor, stored_at) = (last.actor.clone(), last.stored_at);
                let (entry, participant, subject_number) = (None, None, None);
                let (site, form, item) = (None, None, None);
                let (rule, count) = (Rule::OneUser, changes);
                self.found.push(Unusual {
                    rule,
                    entry,
                    participant,
                    subject_number,
                    site,
                    form,
                    item,
                    actor,
                    stored_at,
                    count,
                });
            }
        }
    }

    /// Changes, against everything that happened to the same value before.
    async fn changes(&mut self, saved: &[Saved]) -> Result<(), Failure> {
        let mut of: BTreeMap<ParticipantId, BTreeMap<u64, Vec<&Saved>>> = BTreeMap::new();
        for one in saved.iter().filter(|one| one.items.iter().any(|(_, _, action)| is_change(*action))) {
            of.entry(one.about.participant).or_default().entry(one.sequence).or_default().push(one);
        }
        for (participant, changed) in of {
            tokio::task::yield_now().await;
            let prefix = RowKey::about(Some(self.study), person(participant), ENTRIES);
            let rows = view::scan::<Audit>(self.tenant, &prefix, None, usize::MAX, &Visible::none()).await?;
            let mut past = Past::default();
            for (key, open) in rows {
                let (Some(sequence), AuditRow::Entries(row)) = (sequence_of(&key), open.row) else { continue };
                if sequence > self.end {
                    break;
                }
                for one in changed.get(&sequence).into_iter().flatten() {
                    self.compare(one, &past);
                }
                row.facts.iter().for_each(|fact| past.take(fact));
            }
            debug_assert!(changed.keys().all(|sequence| *sequence > self.after));
        }
        Ok(())
    }

    fn compare(&mut self, one: &Saved, past: &Past) {
        for item in one.items.iter().filter(|(_, _, action)| is_change(*action)) {
            let place = (one.form.clone(), item.1.clone());
            let before = past.changes.get(&place).copied().unwrap_or_default();
            if before + 1 >= u32::from(self.lines.often) {
                self.name(Rule::Often, one, Some(item), before + 1);
            }
            if past.signed.contains(&one.form) {
                self.name(Rule::AfterSignature, one, Some(item), 1);
            }
            if past.verified.contains(&place) {
                self.name(Rule::AfterVerification, one, Some(item), 1);
            }
            if past.completed.contains(&one.form) {
                self.name(Rule::AfterCompletion, one, Some(item), 1);
            }
        }
    }
}

/// What had happened to a participant's values.
#[derive(Default)]
struct Past {
    changes: BTreeMap<(FormKey, ItemKey), u32>,
    signed: BTreeSet<FormKey>,
    completed: BTreeSet<FormKey>,
    verified: BTreeSet<(FormKey, ItemKey)>,
}

impl Past {
    fn take(&mut self, fact: &FactRow) {
        if let Some(form) = &fact.form {
            for entry in fact.entries.iter().filter(|entry| is_change(entry.action)) {
                if let Some(item) = &entry.item {
                    *self.changes.entry((form.clone(), item.clone())).or_default() += 1;
                }
            }
            return;
        }
        let details = fact.entries.iter().map(|entry| &entry.details.0);
        match fact.event.0.as_str() {
            "form-completed" => self.completed.extend(details.filter_map(|said| read(&said["form"]))),
            "record-signed" => {
                let forms = details.filter_map(|said| said["forms"].as_array()).flatten();
                self.signed.extend(forms.filter_map(|signed| read(&signed["form"])));
            }
            "data-verified" => {
                for said in details {
                    let (Some(form), Some(items)) =
                        (read::<FormKey>(&said["form"]), read::<Vec<ItemKey>>(&said["items"]))
                    else {
                        continue;
                    };
                    self.verified.extend(items.into_iter().map(|item| (form.clone(), item)));
                }
            }
            _ => {}
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(said: &Value) -> Option<T> {
    T::deserialize(said).ok()
}

fn saved_in(sequence: u64, about: &Participant, row: &EntriesRow) -> Vec<Saved> {
    let (mut saved, mut n) = (Vec::new(), 0);
    for fact in &row.facts {
        let mut items = Vec::new();
        for entry in &fact.entries {
            // What was computed nobody entered.
            let computed = entry.details.0["computed"] == Value::Bool(true);
            if let (Some(item), false) = (&entry.item, computed) {
                items.push((n, item.clone(), entry.action));
            }
            n += 1;
        }
        if let (Some(form), false) = (&fact.form, items.is_empty()) {
            let (actor, stored_at) = (row.about.act.actor.clone(), row.about.act.stored_at);
            saved.push(Saved { sequence, about: about.clone(), actor, stored_at, form: form.clone(), items });
        }
    }
    saved
}

fn is_change(action: Action) -> bool {
    matches!(action, Action::Changed | Action::Cleared)
}

fn sequence_of(key: &RowKey) -> Option<u64> {
    key.rest.strip_prefix(ENTRIES)?.parse().ok()
}

fn days_between(day: Date, stored_at: OffsetDateTime) -> i64 {
    (stored_at.to_offset(UtcOffset::UTC).date() - day).whole_days()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Story, World};
    use domain::participant::Event;
    use domain::scope::{Personal, Scope};
    use time::macros::{date, datetime};

    /// Entered the day after the visit; changed by day, thrice; completed, then verified, then signed.
    fn story() -> Story {
        let mut story = Story::new();
        story.registered(1, "oslo");
        let visit = VisitKey { visit: "V1".parse().expect("valid"), visit_repeat: 1 };
        let on = Personal::new(domain::Day(date!(2026 - 11 - 21)));
        story.participant(1, Event::VisitStarted { visit, on, reason: None });
        story.saved(1, "VS", &[("SYSBP", Scope::HealthClinical, "120"), ("DIABP", Scope::HealthClinical, "80")]);
        story
    }

    fn change(story: &mut Story, value: &str) {
        story.changed(1, "VS", ("SYSBP", Scope::HealthClinical, value), "misread");
    }

    async fn named(story: &Story, after: u64) -> Vec<(Rule, u32)> {
        let world = World::folded(story).await;
        let lines = Lines { much: 2, ..Lines::default() };
        let looked = unusual(&world.tenant, &Story::study_id(), &Sites::All, lines, after, u64::MAX).await;
        looked.expect("reads").items.into_iter().map(|one| (one.rule, one.count)).collect()
    }

    #[tokio::test]
    async fn an_ordinary_day_has_nothing_unusual() {
        assert_eq!(named(&story(), 0).await, []);
        let mut once = story();
        change(&mut once, "121");
        assert_eq!(named(&once, 0).await, []);
    }

    #[tokio::test]
    async fn each_rule_names_what_it_says() {
        let mut often = story();
        ["121", "122", "123"].iter().for_each(|value| change(&mut often, value));
        assert_eq!(named(&often, 0).await, [(Rule::Often, 3), (Rule::OneUser, 3)]);
        assert_eq!(named(&often, 5).await, [(Rule::Often, 3)], "what was before counts, and is not named again");

        let mut late = story();
        late.at(datetime!(2026-12-01 23:10 UTC));
        late.saved(1, "AE", &[("AETERM", Scope::HealthFreeText, "headache")]);
        assert_eq!(named(&late, 0).await, [(Rule::Late, 10), (Rule::OddHour, 1)]);

        let mut done = story();
        done.participant(1, Event::FormCompleted { form: Story::form("VS") });
        let item =
            ItemKey { group: "G".parse().expect("valid"), group_repeat: 1, item: "SYSBP".parse().expect("valid") };
        done.participant(1, Event::Verified { form: Story::form("VS"), items: vec![item] });
        change(&mut done, "121");
        assert_eq!(named(&done, 0).await, [(Rule::AfterVerification, 1), (Rule::AfterCompletion, 1)]);
    }
}
