//! Who was shown whose data: found by participant, by user, and by time (ADR 0041).
//!
//! An entry stands once, with the one who looked; what leads to it stands once for each participant that it names. Where
//! everybody of a study was in an answer, one row says so for all of them.

use std::collections::BTreeMap;

use domain::Moment;
use domain::access::{Event, Outcome, Seen};
use domain::history::{Actor, Aggregate, Commit, DataSubject};
use domain::ids::{Environment, ParticipantId, ReadId, StudyId, UserId, ViewName};
use domain::port::{Failure, Tenant};
use domain::scope::{Personal, tag};
use domain::structural;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::participants::Participant;
use crate::projection::{Projection, Rows, Stop};
use crate::row::{RowKey, kinds};
use crate::shown::{Page, Shown, Visible};
use crate::view;

// --- row

domain::fields! {
    /// One answer.
    pub struct EntryRow {
        /// From which address it was asked for.
        pub address: Option<Personal<String, tag::TechnicalSession>>,
        /// By which program.
        pub agent: Option<Personal<String, tag::TechnicalSession>>,
        /// The rest, which is not sealed.
        pub told: Told,
    }
}

/// What is not sealed of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    read: ReadId,
    at: Moment,
    actor: Actor,
    environment: Environment,
    seen: Box<Seen>,
}

/// Where an entry stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointer {
    user: UserId,
    entry: String,
}

structural!(Told, Pointer);

kinds! {
    /// What the table holds.
    pub enum Kept {
        /// One answer.
        "entry" Entry(EntryRow),
        /// What leads to one.
        "pointer" Pointer(Pointer),
    }
}

// --- apply

/// The projection.
#[derive(Debug)]
pub struct Accesses;

impl Projection for Accesses {
    const NAME: &'static str = "access";
    const VERSION: u32 = 1;
    type Row = Kept;

    fn takes(aggregate: Aggregate) -> bool {
        aggregate == Aggregate::Access
    }

    fn apply(commit: &Commit, rows: &mut Rows<'_, Kept>) -> Result<(), Stop> {
        let (header, sequence) = (&commit.header, commit.position.sequence);
        let user = header.actor.id;
        for (n, event) in commit.facts::<Event>()?.into_iter().enumerate() {
            let Event::Read { read, at, seen, address, agent } = event;
            let entry = newest_first(sequence, n);
            let pointer = Kept::Pointer(Pointer { user, entry: entry.clone() });
            for participant in &seen.participants.0 {
                rows.put(of_person(participant, &entry), pointer.clone());
            }
            if let (Some(_), Some(study)) = (&seen.everybody_at, &seen.study) {
                rows.put(of_study(study, &entry), pointer.clone());
            }
            rows.put(RowKey::plain(None, format!("time/{}", oldest_first(sequence, n))), pointer);
            let (actor, environment) = (header.actor.clone(), header.environment);
            let told = Told { read, at, actor, environment, seen: Box::new(seen) };
            rows.put(entry_key(user, &entry), Kept::Entry(EntryRow { address, agent, told }));
        }
        Ok(())
    }
}

/// How many entries one commit can hold: far more than are ever written together.
const IN_A_COMMIT: usize = 9999;

fn newest_first(sequence: u64, n: usize) -> String {
    format!("{:020}-{:04}", u64::MAX - sequence, IN_A_COMMIT.saturating_sub(n))
}

fn oldest_first(sequence: u64, n: usize) -> String {
    format!("{sequence:020}-{n:04}")
}

fn entry_key(user: UserId, entry: &str) -> RowKey {
    RowKey::about(None, DataSubject(user.0), format!("entry/{entry}"))
}

fn of_person(participant: &ParticipantId, entry: &str) -> RowKey {
    RowKey::plain(None, format!("of/{participant}/{entry}"))
}

fn of_study(study: &StudyId, entry: &str) -> RowKey {
    RowKey::plain(Some(study), format!("all/{entry}"))
}

// --- readers

/// One answer, for who asks who has looked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Access)]
pub struct AccessShown {
    /// Its id.
    pub read: ReadId,
    /// When.
    pub at: Moment,
    /// Who, in which role, for which organisation.
    pub actor: Actor,
    /// With a credential of which environment.
    pub environment: Environment,
    /// What, whom, what for, and what came of it.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub seen: SeenShown,
    /// From which address.
    #[schema(inline)]
    pub address: Option<Shown<String>>,
    /// By which program.
    #[schema(inline)]
    pub agent: Option<Shown<String>>,
}

/// What was asked for, with the participants one by one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SeenShown {
    /// Whom the answer named, as far as it is told here.
    pub participants: Vec<ParticipantId>,
    /// How many it named in all.
    pub named: u64,
    /// The rest.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub rest: BTreeMap<String, serde_json::Value>,
}

impl AccessShown {
    /// The same as the one who asked was told: of what they were not shown, they learn neither whose it is nor where.
    pub fn as_it_was_told(&mut self) {
        let word = |outcome| serde_json::to_value(outcome).unwrap_or_default();
        let Some(outcome) = self.seen.rest.get_mut("outcome").filter(|told| **told != word(Outcome::Shown)) else {
            return;
        };
        if *outcome == word(Outcome::BeyondSite) {
            *outcome = word(Outcome::NotFound);
        }
        (self.seen.participants, self.seen.named) = (Vec::new(), 0);
        for id in ["user", "export"] {
            self.seen.rest.insert(id.to_owned(), serde_json::Value::Null);
        }
    }

    fn of(row: EntryRow, withheld: &std::collections::BTreeSet<crate::cells::Cell>) -> Self {
        let shown = |text: Option<Personal<String, _>>| text.map(|text| Shown::of_personal(text, withheld));
        let Told { read, at, actor, environment, mut seen } = row.told;
        let participants = std::mem::take(&mut seen.participants).0;
        let rest = match serde_json::to_value(&seen) {
            Ok(serde_json::Value::Object(fields)) => {
                fields.into_iter().filter(|(name, _)| name != "participants").collect()
            }
            _ => BTreeMap::new(),
        };
        let seen = SeenShown { named: participants.len() as u64, participants, rest };
        Self { read, at, actor, environment, seen, address: shown(row.address), agent: shown(row.agent) }
    }
}

/// Which entries are wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// With credentials of this environment; none: any.
    pub environment: Option<Environment>,
    /// From this moment on.
    pub since: Option<Moment>,
    /// Before this moment.
    pub until: Option<Moment>,
    /// By this user.
    pub user: Option<UserId>,
    /// In this study.
    pub study: Option<StudyId>,
    /// What was asked for.
    pub view: Option<ViewName>,
}

impl Wanted {
    fn takes(&self, told: &Told) -> bool {
        self.environment.is_none_or(|environment| told.environment == environment)
            && self.since.is_none_or(|since| told.at >= since)
            && self.until.is_none_or(|until| told.at < until)
            && self.user.is_none_or(|user| told.actor.id == user)
            && self.study.as_ref().is_none_or(|study| told.seen.study.as_ref() == Some(study))
            && self.view.as_ref().is_none_or(|view| told.seen.view == *view)
    }
}

/// How many rows are read at once while entries are looked for. Few in tests, so that they meet the seams.
const AT_ONCE: usize = if cfg!(test) { 3 } else { 256 };

/// Who was shown a participant, the newest first. Others that the same answer named are counted, not told.
///
/// # Errors
/// What the store and the keys say.
pub async fn of_participant(
    tenant: &Tenant,
    study: &StudyId,
    participant: &Participant,
    visible: &Visible,
    after: Option<&str>,
    limit: usize,
) -> Result<Page<AccessShown>, Failure> {
    let id = participant.participant;
    let (mut items, mut last) = (Vec::new(), after.map(str::to_owned));
    loop {
        let (pointers, more) = pointers_of(tenant, study, &id, last.as_deref()).await?;
        for (entry, user) in pointers {
            let found = entry_of(tenant, user, &entry, visible).await?;
            if let Some((row, withheld)) = found.filter(|(row, _)| row.told.is_about(participant)) {
                if items.len() == limit {
                    return Ok(Page { items, next: last });
                }
                let mut shown = AccessShown::of(row, &withheld);
                shown.seen.participants.retain(|other| *other == id);
                items.push(shown);
            }
            last = Some(entry);
        }
        if !more {
            return Ok(Page { items, next: None });
        }
    }
}

impl Told {
    /// Whether the answer named a participant, or held everybody at their site while they were in the study.
    fn is_about(&self, participant: &Participant) -> bool {
        let was_there = self.at >= participant.registered.stored_at;
        let in_all = self.seen.everybody_at.as_ref().is_some_and(|sites| sites.contains(&participant.site));
        self.seen.participants.0.contains(&participant.participant) || was_there && in_all
    }
}

/// The next entries that may be about a participant, with who looked, and whether there are more: those that name them and
/// those about everybody, as far as both are known.
async fn pointers_of(
    tenant: &Tenant,
    study: &StudyId,
    id: &ParticipantId,
    after: Option<&str>,
) -> Result<(BTreeMap<String, UserId>, bool), Failure> {
    let (mut pointers, mut known_to) = (BTreeMap::new(), None::<String>);
    for prefix in [of_person(id, ""), of_study(study, "")] {
        let from = after.map(|after| format!("{}{after}", prefix.rest));
        let found = view::scan::<Accesses>(tenant, &prefix, from.as_deref(), AT_ONCE, &Visible::none()).await?;
        let is_cut = found.len() == AT_ONCE;
        let mut end = None;
        for (_, open) in found {
            if let Kept::Pointer(Pointer { user, entry }) = open.row {
                end = Some(entry.clone());
                pointers.insert(entry, user);
            }
        }
        if let Some(end) = end.filter(|_| is_cut) {
            known_to = Some(known_to.map_or(end.clone(), |known| known.min(end)));
        }
    }
    if let Some(known_to) = &known_to {
        pointers.retain(|entry, _| entry <= known_to);
    }
    Ok((pointers, known_to.is_some()))
}

type Opened = (EntryRow, std::collections::BTreeSet<crate::cells::Cell>);

async fn entry_of(tenant: &Tenant, user: UserId, entry: &str, visible: &Visible) -> Result<Option<Opened>, Failure> {
    let found = view::get_visible::<Accesses>(tenant, &entry_key(user, entry), visible).await?;
    Ok(found.and_then(|open| match open.row {
        Kept::Entry(row) => Some((row, open.withheld)),
        Kept::Pointer(_) => None,
    }))
}

/// What a user was shown, the newest first.
///
/// # Errors
/// What the store and the keys say.
pub async fn of_user(
    tenant: &Tenant,
    user: UserId,
    wanted: &Wanted,
    visible: &Visible,
    after: Option<&str>,
    limit: usize,
) -> Result<Page<AccessShown>, Failure> {
    let prefix = entry_key(user, "");
    let mut from = after.map(|after| format!("{}{after}", prefix.rest));
    let (mut items, mut last) = (Vec::new(), None);
    loop {
        let found = view::scan::<Accesses>(tenant, &prefix, from.as_deref(), AT_ONCE, visible).await?;
        let read = found.len();
        from = found.last().map(|(key, _)| key.rest.clone());
        for (key, open) in found {
            let Kept::Entry(row) = open.row else { continue };
            if !wanted.takes(&row.told) {
                continue;
            }
            if items.len() == limit {
                return Ok(Page { items, next: last });
            }
            last = key.rest.strip_prefix("entry/").map(str::to_owned);
            items.push(AccessShown::of(row, &open.withheld));
        }
        if read < AT_ONCE {
            return Ok(Page { items, next: None });
        }
    }
}

/// The next piece of the whole log, the oldest first, and after what the one after it begins; none: that was all.
///
/// # Errors
/// What the store and the keys say.
pub async fn piece(
    tenant: &Tenant,
    wanted: &Wanted,
    visible: &Visible,
    after: Option<&str>,
) -> Result<(Vec<AccessShown>, Option<String>), Failure> {
    let prefix = RowKey::plain(None, "time/");
    let found = view::scan::<Accesses>(tenant, &prefix, after, AT_ONCE, &Visible::none()).await?;
    let last = found.last().filter(|_| found.len() == AT_ONCE).map(|(key, _)| key.rest.clone());
    let mut items = Vec::new();
    for (_, open) in found {
        let Kept::Pointer(Pointer { user, entry }) = open.row else { continue };
        if wanted.user.is_some_and(|wanted| wanted != user) {
            continue;
        }
        if let Some((row, withheld)) = entry_of(tenant, user, &entry, visible).await?
            && wanted.takes(&row.told)
        {
            items.push(AccessShown::of(row, &withheld));
        }
    }
    Ok((items, last))
}

#[cfg(test)]
mod tests {
    use domain::access::{AccessLog, People, Purpose};
    use domain::permit::Sites;
    use domain::scope::{Extent, Scope};
    use time::macros::date;
    use uuid::Uuid;

    use super::*;
    use crate::participants;
    use crate::testing::{Story, World, actor, participant, site, tenant};

    fn seen(people: &[u128], everybody_at: Option<Sites>) -> Seen {
        Seen {
            view: "participant.list".parse().expect("valid"),
            outcome: Outcome::Shown,
            purpose: Purpose::Monitoring,
            study: Some(Story::study_id()),
            participants: People(people.iter().map(|n| participant(*n)).collect()),
            everybody_at,
            user: None,
            export: None,
            scopes: vec![Scope::HealthClinical],
            reflects: None,
            session: None,
            ticket: None,
            trace: None,
        }
    }

    /// Each list is one commit of as many facts.
    fn told(story: &mut Story, n: &mut u128, seen: Vec<Seen>) {
        let stream = AccessLog::stream(&tenant(), actor().id, date!(2026 - 11 - 23), 1);
        let facts: Vec<Event> = seen
            .into_iter()
            .map(|seen| {
                *n += 1;
                let at = Moment(time::macros::datetime!(2030-01-01 0:00 UTC));
                let address = Some(Personal::new("203.0.113.7".to_owned()));
                Event::Read { read: ReadId(Uuid::from_u128(*n)), at, seen, address, agent: None }
            })
            .collect();
        story.commit(stream, &facts);
    }

    async fn world() -> World {
        let mut story = Story::new();
        story.registered(1, "oslo");
        story.registered(2, "bergen");
        let mut n = 0;
        // This world folds all journal streams as one, so the sequences of the second go on behind those of the first.
        (0..2).for_each(|_| told(&mut story, &mut n, vec![]));
        let at = |name: &str| Some(Sites::Only([site(name)].into()));
        told(&mut story, &mut n, vec![seen(&[1], None), seen(&[1, 2], None)]);
        told(&mut story, &mut n, vec![seen(&[], at("oslo")), seen(&[2], None)]);
        told(&mut story, &mut n, vec![seen(&[], Some(Sites::All)), seen(&[1], at("bergen"))]);
        World::folded(&story).await
    }

    async fn reads_of(world: &World, n: u128, limit: usize) -> Vec<u128> {
        let who = participants::show(&world.tenant, &Story::study_id(), &participant(n)).await.expect("reads");
        let who = who.expect("registered");
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let (study, visible) = (Story::study_id(), Visible::all());
            let page = of_participant(&world.tenant, &study, &who, &visible, after.as_deref(), limit).await;
            let page = page.expect("reads");
            assert!(page.items.iter().all(|one| one.seen.participants.iter().all(|other| *other == participant(n))));
            found.extend(page.items.iter().map(|one| one.read.0.as_u128()));
            match page.next {
                Some(next) => after = Some(next),
                None => return found,
            }
        }
    }

    #[tokio::test]
    async fn who_has_looked_at_somebody_is_told_newest_first_whatever_the_page() {
        let world = world().await;
        for limit in [1, 2, 3, 100] {
            assert_eq!(reads_of(&world, 1, limit).await, [6, 5, 3, 2, 1], "{limit} a page");
            assert_eq!(reads_of(&world, 2, limit).await, [6, 5, 4, 2], "{limit} a page");
        }
    }

    #[tokio::test]
    async fn what_a_user_was_shown_and_the_whole_log_hold_every_entry_once() {
        let world = world().await;
        let (visible, wanted) = (Visible::all(), Wanted::default());
        let page = of_user(&world.tenant, actor().id, &wanted, &visible, None, 4).await.expect("reads");
        let ids = |items: &[AccessShown]| items.iter().map(|one| one.read.0.as_u128()).collect::<Vec<_>>();
        assert_eq!(ids(&page.items), [6, 5, 4, 3]);
        let rest = of_user(&world.tenant, actor().id, &wanted, &visible, page.next.as_deref(), 4).await.expect("reads");
        assert_eq!((ids(&rest.items), rest.next), (vec![2, 1], None));
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let (items, next) = piece(&world.tenant, &wanted, &visible, after.as_deref()).await.expect("reads");
            all.extend(ids(&items));
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert_eq!(all, [1, 2, 3, 4, 5, 6]);
        let nobody = Wanted { view: Some("participant.casebook".parse().expect("valid")), ..wanted };
        assert!(piece(&world.tenant, &nobody, &visible, None).await.expect("reads").0.is_empty());
    }

    #[tokio::test]
    async fn from_where_is_for_some_and_gone_when_it_is_erased() {
        let world = world().await;
        let address = async |visible: &Visible| {
            let page = of_user(&world.tenant, actor().id, &Wanted::default(), visible, None, 1).await.expect("reads");
            page.items[0].address.clone()
        };
        assert_eq!(address(&Visible::all()).await, Some(Shown::Value("203.0.113.7".to_owned())));
        let scope = Scope::TechnicalSession;
        assert_eq!(address(&Visible::none()).await, Some(Shown::Withheld { withheld: scope }));
        world.keys.erase(DataSubject(actor().id.0), &Extent::of_scopes([scope]));
        assert_eq!(address(&Visible::all()).await, Some(Shown::Erased { erased: scope }));
        assert!(!world.store.contains_bytes(b"203.0.113.7"), "it stands nowhere in the clear");
    }
}
