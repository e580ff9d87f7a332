//! Commits, made from facts.

use std::collections::BTreeMap;

use domain::design::ItemValue;
use domain::field::Fact;
use domain::history::{
    Actor, ActorKind, Aggregate, Commit, CommitHash, EventType, Header, JournalId, OpenEvent, Position, Revision,
    StreamId, Tail,
};
use domain::identity::{self, Detail, Details};
use domain::ids::{
    CommandId, CorrelationId, Environment, ErasureId, Label, ParticipantId, SiteId, StudyId, TenantId, UserId,
};
use domain::participant::{self, FormKey, ItemKey, SavedItem};
use domain::permit::Role;
use domain::scope::{DesignScoped, Erasable, Extent, Part, Personal, Scope};
use domain::{account, privacy, study, user};
use time::OffsetDateTime;
use time::macros::datetime;
use uuid::Uuid;

pub fn tenant() -> TenantId {
    "acme".parse().expect("valid")
}

pub fn site(id: &str) -> SiteId {
    id.parse().expect("valid")
}

pub fn label(text: &str) -> Label {
    text.parse().expect("valid")
}

pub fn participant(n: u128) -> ParticipantId {
    ParticipantId(Uuid::from_u128(n))
}

pub fn details<const N: usize>(known: [(Detail, &str); N]) -> Details {
    Details::of(known.into_iter().map(|(detail, text)| (detail, text.to_owned())).collect())
}

/// What happened in one study, commit by commit.
#[derive(Debug, Clone)]
pub struct Story {
    /// Every commit, in order.
    pub commits: Vec<Commit>,
    now: OffsetDateTime,
    tails: BTreeMap<StreamId, Tail>,
    sequences: BTreeMap<JournalId, u64>,
    study: StudyId,
}

impl Default for Story {
    fn default() -> Self {
        Self::new()
    }
}

impl Story {
    /// Before anything has happened.
    pub fn new() -> Self {
        Self::of_study("cardio")
    }

    /// The same of another study.
    pub fn of_study(study: &str) -> Self {
        Self {
            commits: Vec::new(),
            now: datetime!(2026-11-22 12:00 UTC),
            tails: BTreeMap::new(),
            sequences: BTreeMap::new(),
            study: study.parse().expect("valid"),
        }
    }

    pub fn study_id() -> StudyId {
        "cardio".parse().expect("valid")
    }

    /// The journal stream of the study.
    pub fn journal(&self) -> JournalId {
        JournalId { tenant: tenant(), study: Some(self.study.clone()) }
    }

    /// From now on, things are captured at this time.
    pub fn at(&mut self, now: OffsetDateTime) {
        self.now = now;
    }

    pub fn study(&mut self, event: study::Event) {
        let stream = StreamId::in_study(&tenant(), &self.study, Aggregate::Study, &self.study);
        self.commit(stream, &[event]);
    }

    pub fn participant(&mut self, n: u128, event: participant::Event) {
        self.commit(self.stream(Aggregate::Participant, n), &[event]);
    }

    pub fn identity(&mut self, n: u128, event: identity::Event) {
        self.commit(self.stream(Aggregate::Identity, n), &[event]);
    }

    pub fn privacy(&mut self, n: u128, events: &[privacy::Event]) {
        self.commit(self.stream(Aggregate::Privacy, n), events);
    }

    pub fn user(&mut self, n: u128, event: user::Event) {
        self.commit(StreamId::in_tenant(&tenant(), Aggregate::User, Uuid::from_u128(n)), &[event]);
    }

    pub fn account(&mut self, n: u128, event: account::Event) {
        self.commit(StreamId::in_tenant(&tenant(), Aggregate::Account, Uuid::from_u128(n)), &[event]);
    }

    /// Registered under the subject number `S-00n`.
    pub fn registered(&mut self, n: u128, at: &str) {
        let subject_number = format!("S-{n:03}").parse().expect("valid");
        self.participant(n, participant::Event::Registered { site: site(at), subject_number });
    }

    pub fn consented(&mut self, n: u128) {
        let version = "v1".parse().expect("valid");
        self.participant(n, participant::Event::ConsentGiven { version, reference: None });
    }

    /// One form of visit V1.
    pub fn form(form: &str) -> FormKey {
        FormKey {
            visit: "V1".parse().expect("valid"),
            visit_repeat: 1,
            form: form.parse().expect("valid"),
            form_repeat: 1,
        }
    }

    /// Values saved without a reason.
    pub fn saved(&mut self, n: u128, form: &str, items: &[(&str, Scope, &str)]) {
        let items = items.iter().map(|(item, scope, value)| self.item(item, Some((*scope, value)), None)).collect();
        self.participant(
            n,
            participant::Event::ItemsSaved { form: Self::form(form), items, source: participant::Source::User },
        );
    }

    /// A value changed with a reason.
    pub fn changed(&mut self, n: u128, form: &str, item: (&str, Scope, &str), reason: &str) {
        let items = vec![self.item(item.0, Some((item.1, item.2)), Some(reason))];
        self.participant(
            n,
            participant::Event::ItemsSaved { form: Self::form(form), items, source: participant::Source::User },
        );
    }

    /// A value cleared.
    pub fn cleared(&mut self, n: u128, form: &str, item: &str) {
        let items = vec![self.item(item, None, Some("entered by mistake"))];
        self.participant(
            n,
            participant::Event::ItemsSaved { form: Self::form(form), items, source: participant::Source::User },
        );
    }

    /// The markers of an erasure, in both streams that get them.
    pub fn fenced(&mut self, n: u128, extent: &Extent) {
        let erasure = ErasureId(Uuid::from_u128(1000 + n));
        let (scopes, values): (Vec<_>, Vec<_>) =
            (extent.scopes.iter().copied().collect(), extent.values.iter().cloned().collect());
        self.participant(n, participant::Event::Fenced { erasure, scopes: scopes.clone(), values: values.clone() });
        self.identity(n, identity::Event::Fenced { erasure, scopes, values });
    }

    fn item(&self, item: &str, value: Option<(Scope, &str)>, reason: Option<&str>) -> SavedItem {
        let own = |k| Part::of_command(self.next_command(), k);
        let value = value.map(|(scope, value)| {
            let part = if scope == Scope::HealthFreeText { own(0) } else { Part::all() };
            DesignScoped { scope, part, value: Erasable::Known(ItemValue(value.to_owned())) }
        });
        let reason = reason.map(|reason| Personal::in_part(own(1), Erasable::Known(reason.to_owned())));
        let group = "G".parse().expect("valid");
        let item = item.parse().expect("valid");
        SavedItem { item: ItemKey { group, group_repeat: 1, item }, value, not_done: None, computed: false, reason }
    }

    fn next_command(&self) -> CommandId {
        CommandId(Uuid::from_u128(1 + self.commits.len() as u128))
    }

    fn stream(&self, aggregate: Aggregate, n: u128) -> StreamId {
        StreamId::in_study(&tenant(), &self.study, aggregate, Uuid::from_u128(n))
    }

    /// Appends one commit.
    pub fn commit<F: Fact>(&mut self, stream: StreamId, facts: &[F]) {
        let command = self.next_command();
        let tail = self.tails.entry(stream.clone()).or_default();
        let sequence = self.sequences.entry(stream.journal.clone()).or_default();
        *sequence += 1;
        let kinds: Vec<_> =
            facts.iter().map(|fact| EventType { name: fact.name().to_owned(), version: fact.version() }).collect();
        let header = Header {
            environment: Environment::Test,
            revision: tail.revision.next(),
            events: kinds.clone(),
            stored_at: self.now,
            captured_at: self.now,
            actor: actor(),
            command,
            causation: None,
            correlation: CorrelationId(command.0),
            previous: tail.hash,
            stream: stream.clone(),
        };
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&sequence.to_be_bytes());
        hash[8..24].copy_from_slice(command.0.as_bytes());
        let hash = CommitHash(hash);
        *tail = Tail { revision: Revision(tail.revision.0 + 1), hash };
        let position = Position { study: stream.journal.study, incarnation: 1, sequence: *sequence };
        let events =
            kinds.into_iter().zip(facts).map(|(kind, fact)| OpenEvent { kind, body: fact.write().into() }).collect();
        let (erased, decoded) = Default::default();
        self.commits.push(Commit {
            header,
            hash,
            position,
            events,
            body_digest: None,
            erased,
            traceparent: None,
            decoded,
        });
    }
}

pub fn actor() -> Actor {
    let organisation = "hospital".parse().expect("valid");
    Actor { id: UserId(Uuid::from_u128(42)), kind: ActorKind::User, role: Role::Investigator, organisation }
}
