//! A small study for tests: people with sealed commits, in a journal in memory, with checkpoints beside it.

use std::sync::Arc;

use domain::history::{Actor, ActorKind, Aggregate, DataSubject, EventType, OpenEvent, StreamId, Tail};
use domain::ids::{CommandId, CorrelationId, Environment, UserId};
use domain::permit::Role;
use domain::port::{Draft, Keys as _, Target};
use domain::scope::Scope;
use serde_json::{Value, json};
use time::macros::datetime;
use uuid::Uuid;

use crate::journal::names::stream_subject;
use crate::keys::kms::MemoryKms;
use crate::keys::memory::MemoryNodes;
use crate::keys::{KeyTree, Options};
use crate::log::testing::{World, cardio};
use crate::seal::Sealer;

pub(crate) struct Clinic {
    pub(crate) world: World,
    pub(crate) tree: Arc<KeyTree>,
    pub(crate) kms: Arc<MemoryKms>,
    pub(crate) sealer: Sealer,
    tails: std::sync::Mutex<std::collections::BTreeMap<StreamId, Tail>>,
}

pub(crate) fn person(number: u128) -> DataSubject {
    DataSubject(Uuid::from_u128(number))
}

pub(crate) fn stream(aggregate: Aggregate, person: u128) -> StreamId {
    StreamId { journal: cardio(), aggregate, id: Uuid::from_u128(person).to_string() }
}

pub(crate) fn values(scopes: &[(Scope, &str)]) -> Value {
    let places = scopes.iter().enumerate().map(|(index, (scope, part))| {
        let place = json!({ "$personal": { "scope": scope.as_str(), "part": part, "value": "72" } });
        (format!("item-{index}"), place)
    });
    Value::Object(places.collect())
}

impl Clinic {
    pub(crate) async fn new() -> Self {
        let tenant = "acme".parse().unwrap();
        let nodes = Arc::new(MemoryNodes::default());
        let kms = Arc::new(MemoryKms::new("acme".parse().unwrap()));
        let tree = Arc::new(KeyTree::new(tenant, nodes, kms.clone(), Options::default()));
        tree.create().await.unwrap();
        let sealer = Sealer::new(tree.clone());
        Self { world: World::new(), tree, kms, sealer, tails: Default::default() }
    }

    /// Appends one commit. Gives its sequence.
    pub(crate) async fn commit(&self, stream: &StreamId, event: &str, body: Value) -> u64 {
        let tail = self.tails.lock().unwrap().get(stream).copied().unwrap_or_default();
        let draft = Draft {
            stream: stream.clone(),
            expected: tail,
            guard: None,
            environment: Environment::Test,
            events: vec![OpenEvent { kind: EventType { name: event.to_owned(), version: 1 }, body: body.into() }],
            stored_at: datetime!(2026-03-01 09:30 UTC),
            captured_at: datetime!(2026-03-01 09:29 UTC),
            actor: Actor {
                id: UserId(Uuid::from_u128(8)),
                kind: ActorKind::User,
                role: Role::Investigator,
                organisation: "st-mary".parse().unwrap(),
            },
            command: CommandId(Uuid::from_u128(9)),
            body_digest: [7; 32],
            causation: None,
            correlation: CorrelationId(Uuid::from_u128(10)),
            traceparent: None,
        };
        let revision = tail.revision.next();
        let sealed = self.sealer.seal(&draft, revision, tail.hash).await.unwrap();
        self.tails.lock().unwrap().insert(stream.clone(), Tail { revision, hash: sealed.hash });
        self.world.journals.append(&stream.journal, &stream_subject(stream), &sealed.bytes)
    }

    /// Two people with data, one filler; the second is erased, and has the last word.
    pub(crate) async fn small() -> Self {
        let clinic = Self::new().await;
        clinic.commit(&stream(Aggregate::Study, 0), "study-created", json!({})).await;
        clinic.world.journals.append(&cardio(), "evt.acme.cardio._guard", b"");
        for person in [1, 2] {
            let clinical = values(&[(Scope::HealthClinical, "all"), (Scope::HealthFreeText, "a-1")]);
            let participant = stream(Aggregate::Participant, person);
            clinic.commit(&participant, "participant-registered", json!({})).await;
            clinic.commit(&participant, "items-saved", clinical.clone()).await;
            clinic.commit(&participant, "items-saved", clinical).await;
        }
        clinic.shred(2, &[Scope::HealthClinical, Scope::HealthFreeText]).await;
        clinic
    }

    pub(crate) async fn shred(&self, number: u128, scopes: &[Scope]) -> domain::port::ShredReceipt {
        let target = |scope: &Scope| Target { data_subject: person(number), scope: *scope, part: None };
        let targets: Vec<_> = scopes.iter().map(target).collect();
        self.tree.fence(&targets).await.unwrap();
        self.tree.shred(&targets).await.unwrap()
    }
}
