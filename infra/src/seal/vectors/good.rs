//! Commits that open, wholly or in part.

use std::str::FromStr;

use domain::history::{Actor, ActorKind, Aggregate, CommitHash, DataSubject, EventType, Header, Revision, StreamId};
use domain::ids::{CommandId, CorrelationId, Environment, OrganisationId, StudyId, TenantId, UserId};
use domain::permit::Role;
use domain::scope::{Part, Scope};
use serde_json::{Value, json};
use time::macros::datetime;
use uuid::{Uuid, uuid};

use super::{KeyRow, Outcome, StreamName, Vector, hex};
use crate::keys::{Key, KeyId, PersonKey};
use crate::seal::Nonce;
use crate::seal::commit::{Plain, split};

const PARTICIPANT: Uuid = uuid!("0b9b5c1e-6f0e-4f9a-9d52-3c6f0f7a1c11");

pub(super) fn tenant() -> TenantId {
    TenantId::from_str("acme").expect("valid")
}

fn study() -> StudyId {
    StudyId::from_str("cardio").expect("valid")
}

pub(super) fn participant() -> StreamId {
    StreamId::in_study(&tenant(), &study(), Aggregate::Participant, PARTICIPANT)
}

/// A commit to be sealed for a vector.
pub(super) struct Recipe {
    pub(super) header: Header,
    pub(super) bodies: Vec<Value>,
    /// Generations of the personal keys, where not the first.
    pub(super) generation: u32,
    /// The nonces begin here: no two vectors share one.
    pub(super) nonce: u32,
}

pub(super) fn tenant_key() -> (u32, Key) {
    (1, Key::from_slice(&[0x10; 32]).expect("32 bytes"))
}

/// A key for each scope and part, the same in all vectors.
fn person_key(id: &PersonKey) -> Key {
    use sha2::{Digest, Sha256};
    Key::from_slice(&Sha256::digest(format!("test vector {id}"))).expect("32 bytes")
}

impl Recipe {
    fn new(stream: StreamId, events: &[&str], bodies: Vec<Value>, nonce: u32) -> Self {
        let events = events.iter().map(|name| EventType { name: (*name).to_owned(), version: 1 }).collect();
        let header = Header {
            environment: Environment::Test,
            stream,
            revision: Revision(1),
            events,
            stored_at: datetime!(2026-03-01 09:30:00.123456789 UTC),
            captured_at: datetime!(2026-03-01 09:29:58 UTC),
            actor: Actor {
                id: UserId(uuid!("7d0c1f2a-53b7-4b43-8a5b-9e3f6b1d2c04")),
                kind: ActorKind::User,
                role: Role::Investigator,
                organisation: OrganisationId::from_str("st-mary").expect("valid"),
            },
            command: CommandId(uuid!("c0ffee00-1111-4222-8333-444455556666")),
            causation: None,
            correlation: CorrelationId(uuid!("ab12cd34-0000-4000-8000-00000000beef")),
            previous: CommitHash::default(),
        };
        Self { header, bodies, generation: 1, nonce }
    }

    /// The commit's bytes and the keys that open it.
    pub(super) fn seal(self) -> (Vec<u8>, Vec<(KeyId, Key)>) {
        let Self { header, mut bodies, generation, nonce } = self;
        let data_subject = header.stream.data_subject().unwrap_or(DataSubject(Uuid::nil()));
        let sections = split(&mut bodies).expect("well spelt");
        let key = |(scope, part): (Scope, Part)| {
            let id = PersonKey { data_subject, scope, part, generation };
            (id.clone(), person_key(&id))
        };
        let values: Vec<_> = sections
            .into_iter()
            .map(|(place, values)| {
                let (id, key) = key(place);
                (id, key, values)
            })
            .collect();
        let mut keys = vec![(KeyId::Tenant { generation: tenant_key().0 }, tenant_key().1)];
        keys.extend(values.iter().map(|(id, key, _)| (KeyId::Person(id.clone()), key.clone())));
        let mut nonces = nonce..;
        let plain = Plain { header, bodies, digest: [0xd1; 32], tenant: tenant_key(), values };
        let bytes = plain.seal(|| Nonce::fixed(nonces.next().expect("endless"))).expect("a commit");
        (bytes, keys)
    }

    pub(super) fn vector(self, about: &str) -> Vector {
        let stream = StreamName::of(&self.header.stream);
        let (bytes, keys) = self.seal();
        let keys = keys.iter().map(|(id, key)| (id.to_string(), KeyRow::Known(hex(key.expose())))).collect();
        let commit = hex(&bytes);
        finish(Vector { about: about.to_owned(), stream, keys, commit, outcome: Outcome::Refused(String::new()) })
    }
}

/// Says in the vector what comes of it.
pub(super) fn finish(mut vector: Vector) -> Vector {
    vector.outcome = vector.run();
    vector
}

fn personal(scope: &str, part: &str, value: &str) -> Value {
    json!({ "$personal": { "scope": scope, "part": part, "value": value } })
}

fn vital_signs() -> Value {
    json!({ "form": "VS.1", "items": [
        { "item": "PULSE", "value": personal("health.clinical", "all", "72") },
        { "item": "SYSBP", "value": personal("health.clinical", "all", "128") },
    ]})
}

fn with_comments() -> Vec<Value> {
    let comment = personal("health.free-text", "c0ffee00111142228333444455556666-0", "Felt dizzy after the visit.");
    let reason = personal("health.free-text", "c0ffee00111142228333444455556666-1", "Übertragungsfehler: 127 → 128");
    let saved = json!({ "form": "AE.1", "items": [
        { "item": "AESEV", "value": personal("health.clinical", "all", "2") },
        { "item": "AECOM", "value": comment },
    ]});
    let corrected = json!({ "form": "VS.1", "items": [
        { "item": "SYSBP", "value": personal("health.clinical", "all", "128"), "reason": reason },
    ]});
    vec![saved, corrected]
}

pub(super) fn structure_only() -> Recipe {
    let stream = StreamId::in_study(&tenant(), &study(), Aggregate::Study, "cardio");
    Recipe::new(stream, &["site-opened"], vec![json!({ "site": "S-01", "name": "St Mary" })], 0)
}

pub(super) fn one_section() -> Recipe {
    Recipe::new(participant(), &["items-saved"], vec![vital_signs()], 10)
}

pub(super) fn three_sections() -> Recipe {
    let mut recipe = Recipe::new(participant(), &["items-saved", "items-saved"], with_comments(), 20);
    recipe.header.revision = Revision(2);
    recipe.header.previous = hash_of(one_section());
    recipe
}

fn hash_of(recipe: Recipe) -> CommitHash {
    use sha2::{Digest, Sha256};
    CommitHash(Sha256::digest(recipe.seal().0).into())
}

fn of_a_user() -> Recipe {
    let id = uuid!("5e1f0c52-9d3b-4a55-b0f4-6a3b8f1f7a01");
    let stream = StreamId::in_tenant(&tenant(), Aggregate::User, id);
    let body = json!({ "profile": { "name": personal("user.profile", "all", "Ines Müller-Østergård") } });
    let mut recipe = Recipe::new(stream, &["user-registered"], vec![body], 30);
    recipe.header.environment = Environment::Prod;
    recipe.header.captured_at = datetime!(2026-03-01 10:29:58 +1);
    recipe.header.causation = Some(CommandId(uuid!("c0ffee00-1111-4222-8333-444455556667")));
    recipe.header.actor.kind = ActorKind::ServiceAccount;
    recipe.header.actor.role = Role::Controller;
    recipe
}

fn identity() -> Recipe {
    let stream = participant().sibling(Aggregate::Identity);
    let body = json!({
        "contact": personal("identity.contact", "all", "ada@example.org"),
        "name": personal("identity.code-list", "all", "Ada Example"),
        "number": personal("identity.national-id", "all", "010190-1234"),
    });
    Recipe::new(stream, &["identity-recorded"], vec![body], 50)
}

fn of_a_second_life() -> Recipe {
    let mut recipe = Recipe::new(participant(), &["items-saved"], vec![vital_signs()], 40);
    recipe.header.revision = Revision(3);
    recipe.header.previous = hash_of(three_sections());
    recipe.generation = 2;
    recipe
}

/// The same commit after an erasure of every key whose id contains `erased`.
pub(super) fn without(mut vector: Vector, about: &str, erased: &str) -> Vector {
    vector.about = about.to_owned();
    for (kid, row) in &mut vector.keys {
        if kid.contains(erased) {
            *row = KeyRow::Erased;
        }
    }
    finish(vector)
}

pub(super) fn vectors() -> Vec<(String, Vector)> {
    let three = three_sections().vector("Three values sections: clinical values of two events, and two free texts, each under a key of its own. It follows the commit of good-02.");
    let first_erased = without(
        three.clone(),
        "good-03 after the erasure of health.clinical: its values are gone, and the digest of the command's body with them, because it stood in the first values section.",
        "/health.clinical/",
    );
    let redacted = without(
        three.clone(),
        "good-03 after the redaction of one free text: everything else is there.",
        "/health.free-text/c0ffee00111142228333444455556666-0/",
    );
    let all_erased = without(
        three.clone(),
        "good-03 after the erasure of the whole person: the structure says still who did what to which item, when.",
        "0b9b5c1e-6f0e-4f9a-9d52-3c6f0f7a1c11",
    );
    let vectors = [
        ("good-01-structure-only", structure_only().vector("No personal value: one section, the digest of the command's body in it.")),
        ("good-02-one-values-section", one_section().vector("Two clinical values of one event: one values section, the digest of the command's body in it.")),
        ("good-03-three-values-sections", three),
        ("good-04-first-section-erased", first_erased),
        ("good-05-one-value-redacted", redacted),
        ("good-06-all-values-erased", all_erased),
        ("good-07-journal-of-the-tenant", of_a_user().vector("In the tenant's own journal stream (no study), by a service account, set off by another command, captured in another time zone, with letters beyond ASCII.")),
        ("good-08-second-generation", of_a_second_life().vector("Keys of a second generation: the scope was lawfully used again after an erasure.")),
        ("good-09-sections-by-name", identity().vector("Three scopes: their sections stand in the order of the scopes' names.")),
    ];
    vectors.map(|(name, vector)| (name.to_owned(), vector)).into()
}
