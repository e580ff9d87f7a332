use std::str::FromStr;

use domain::history::{Actor, ActorKind, Aggregate, EventType, OpenEvent, Tail};
use domain::ids::{CommandId, CorrelationId, Environment, OrganisationId, StudyId, TenantId, UserId};
use domain::permit::Role;
use domain::port::{Keys as _, Target};
use serde_json::{Value, json};
use time::macros::datetime;
use uuid::Uuid;

use super::*;
use crate::keys::kms::MemoryKms;
use crate::keys::memory::MemoryNodes;
use crate::keys::{NodeStore as _, NodeWrite, Options};

fn tenant() -> TenantId {
    TenantId::from_str("acme").expect("valid")
}

fn participant() -> StreamId {
    let study = StudyId::from_str("cardio").expect("valid");
    StreamId::in_study(&tenant(), &study, Aggregate::Participant, Uuid::from_u128(1))
}

fn all_of(stream: &StreamId, scope: Scope) -> Target {
    Target { data_subject: stream.data_subject().expect("a person"), scope, part: None }
}

async fn sealer() -> (Arc<KeyTree>, Sealer) {
    let (nodes, kms) = (Arc::new(MemoryNodes::default()), Arc::new(MemoryKms::new(tenant())));
    let tree = Arc::new(KeyTree::new(tenant(), nodes, kms, Options::default()));
    tree.create().await.expect("a tree");
    (tree.clone(), Sealer::new(tree))
}

fn personal(scope: &str, value: &str) -> Value {
    json!({ "$personal": { "scope": scope, "part": "all", "value": value } })
}

fn draft(stream: StreamId, body: Value) -> Draft {
    Draft {
        stream,
        expected: Tail::default(),
        guard: None,
        environment: Environment::Test,
        events: vec![OpenEvent { kind: EventType { name: "items-saved".to_owned(), version: 1 }, body: body.into() }],
        stored_at: datetime!(2026-03-01 09:30 UTC),
        captured_at: datetime!(2026-03-01 09:29 UTC),
        actor: Actor {
            id: UserId(Uuid::from_u128(8)),
            kind: ActorKind::User,
            role: Role::Investigator,
            organisation: OrganisationId::from_str("st-mary").expect("valid"),
        },
        command: CommandId(Uuid::from_u128(9)),
        body_digest: [7; 32],
        causation: None,
        correlation: CorrelationId(Uuid::from_u128(10)),
        traceparent: None,
    }
}

fn two_scopes() -> Value {
    json!({ "pulse": personal("health.clinical", "72"), "note": personal("health.optional", "Ada said so") })
}

fn position() -> Position {
    Position::from_str("cardio:1:5").expect("valid")
}

async fn open_it(sealer: &Sealer, sealed: &SealedCommit) -> Result<Commit, Failure> {
    sealer.open(&sealed.bytes, &participant(), position(), Some("trace".to_owned())).await
}

#[tokio::test]
async fn what_was_sealed_opens_as_it_was() {
    let (_, sealer) = sealer().await;
    let draft = draft(participant(), two_scopes());
    let sealed = sealer.seal(&draft, Revision(4), CommitHash([5; 32])).await.expect("sealed");
    let text = String::from_utf8_lossy(&sealed.bytes);
    assert!(!text.contains("Ada") && !text.contains("pulse"), "neither value nor structure is clear");
    let commit = open_it(&sealer, &sealed).await.expect("opened");
    assert_eq!((&commit.header, commit.hash), (&sealed.header, sealed.hash));
    assert_eq!((commit.header.revision, commit.header.previous), (Revision(4), CommitHash([5; 32])));
    assert_eq!((commit.events, commit.body_digest), (draft.events, Some([7; 32])));
    assert_eq!((commit.position, commit.traceparent.as_deref()), (position(), Some("trace")));
    assert!(commit.erased.is_empty());
    let peeked = super::super::peek(&sealed.bytes).expect("a header");
    assert_eq!((peeked.header, peeked.hash, peeked.keys.len()), (sealed.header, sealed.hash, 3));
}

#[tokio::test]
async fn after_an_erasure_its_places_are_erased_and_the_rest_is_there() {
    let (tree, sealer) = sealer().await;
    let sealed = sealer.seal(&draft(participant(), two_scopes()), Revision(1), CommitHash::default()).await;
    let sealed = sealed.expect("sealed");
    let targets = [all_of(&participant(), Scope::HealthClinical)];
    tree.fence(&targets).await.expect("a fence");
    for shredded in [false, true] {
        if shredded {
            tree.shred(&targets).await.expect("shredded");
        }
        let commit = open_it(&sealer, &sealed).await.expect("opened");
        let body = json!({
            "pulse": { "$personal": { "scope": "health.clinical", "part": "all" } },
            "note": personal("health.optional", "Ada said so"),
        });
        assert_eq!(*commit.events[0].body, body);
        assert_eq!(commit.erased.into_iter().collect::<Vec<_>>(), [(Scope::HealthClinical, Part::all())]);
        assert_eq!(commit.body_digest, None, "it stood in the first values section");
    }
    let late = sealer.seal(&draft(participant(), two_scopes()), Revision(2), sealed.hash).await;
    assert!(matches!(late, Err(AppendError::Erased(Scope::HealthClinical))), "{late:?}");
}

#[tokio::test]
async fn structure_alone_needs_no_person_and_values_need_one() {
    let (_, sealer) = sealer().await;
    let study = StudyId::from_str("cardio").expect("valid");
    let stream = StreamId::in_study(&tenant(), &study, Aggregate::Study, "cardio");
    let structure = draft(stream.clone(), json!({ "site": "S-01" }));
    let sealed = sealer.seal(&structure, Revision(1), CommitHash::default()).await.expect("sealed");
    let commit = sealer.open(&sealed.bytes, &stream, position(), None).await.expect("opened");
    assert_eq!(commit.body_digest, Some([7; 32]));
    let refused = sealer.seal(&draft(stream, two_scopes()), Revision(2), sealed.hash).await;
    assert!(matches!(refused, Err(AppendError::Failed(Failure::Damaged { .. }))), "{refused:?}");
}

#[tokio::test]
async fn another_tenant_s_draft_is_refused() {
    let (_, sealer) = sealer().await;
    let other = TenantId::from_str("other").expect("valid");
    let stream = StreamId::in_tenant(&other, Aggregate::User, Uuid::from_u128(1));
    let refused = sealer.seal(&draft(stream, json!({})), Revision(1), CommitHash::default()).await;
    assert!(matches!(refused, Err(AppendError::Failed(Failure::Damaged { .. }))), "{refused:?}");
}

#[tokio::test]
async fn a_commit_too_large_is_refused_with_its_size() {
    let (_, sealer) = sealer().await;
    let body = json!({ "note": personal("health.clinical", &"x".repeat(COMMIT_MAX)) });
    let refused = sealer.seal(&draft(participant(), body), Revision(1), CommitHash::default()).await;
    assert!(
        matches!(refused, Err(AppendError::TooLarge { size, max: COMMIT_MAX }) if size > COMMIT_MAX),
        "{refused:?}"
    );
}

#[tokio::test]
async fn an_unknown_key_is_missing_and_another_tree_s_commit_is_damaged() {
    let (nodes, kms) = (Arc::new(MemoryNodes::default()), Arc::new(MemoryKms::new(tenant())));
    let tree = Arc::new(KeyTree::new(tenant(), nodes.clone(), kms.clone(), Options::default()));
    tree.create().await.expect("a tree");
    let sealed = Sealer::new(tree).seal(&draft(participant(), two_scopes()), Revision(1), CommitHash::default()).await;
    let sealed = sealed.expect("sealed");
    // A store that has lost the bucket: nothing says that anybody was erased.
    let lossy = Arc::new(MemoryNodes::default());
    let kept = nodes.copy().into_iter().filter(|(place, _)| !place.starts_with("bucket/"));
    let writes = kept.map(|(place, bytes)| NodeWrite { place, bytes, expected_sequence: 0 });
    lossy.write(writes.collect()).await.expect("memory takes them");
    let lossy = Sealer::new(Arc::new(KeyTree::new(tenant(), lossy, kms, Options::default())));
    let answer = open_it(&lossy, &sealed).await;
    assert!(matches!(&answer, Err(Failure::Missing { what }) if what.contains("health.clinical/all/1")), "{answer:?}");
    // The structure key of another tree has the same name and is another key.
    let answer = open_it(&sealer().await.1, &sealed).await;
    assert!(matches!(&answer, Err(Failure::Damaged { .. })), "{answer:?}");
}

fn cell(row: &str) -> CellPlace {
    CellPlace {
        projection: "casebook",
        row: row.to_owned(),
        data_subject: participant().data_subject().expect("a person"),
        scope: Scope::HealthClinical,
        part: Part::all(),
    }
}

#[tokio::test]
async fn a_cell_opens_in_its_place_only() {
    let (_, sealer) = sealer().await;
    let sealed = Cells::seal(&sealer, &cell("a"), b"72").await.expect("an answer").expect("sealed");
    assert!(!sealed.windows(2).any(|window| window == b"72"));
    assert_eq!(Cells::open(&sealer, &cell("a"), &sealed).await.expect("opened"), Opened::Known(b"72".to_vec()));
    let other_person = CellPlace { data_subject: domain::history::DataSubject(Uuid::from_u128(2)), ..cell("a") };
    let other_scope = CellPlace { scope: Scope::HealthOptional, ..cell("a") };
    let other_projection = CellPlace { projection: "participants", ..cell("a") };
    for place in [cell("b"), other_person, other_scope, other_projection] {
        let answer = Cells::open(&sealer, &place, &sealed).await;
        assert!(matches!(answer, Err(Failure::Damaged { .. })), "{place:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_cell_of_somebody_erased_in_another_s_place_is_damaged_not_erased() {
    let (tree, sealer) = sealer().await;
    let erased = CellPlace { scope: Scope::HealthOptional, ..cell("a") };
    let sealed = Cells::seal(&sealer, &erased, b"72").await.expect("an answer").expect("sealed");
    tree.fence(&[all_of(&participant(), Scope::HealthOptional)]).await.expect("a fence");
    assert_eq!(Cells::open(&sealer, &erased, &sealed).await.expect("an answer"), Opened::Erased);
    let answer = Cells::open(&sealer, &cell("a"), &sealed).await;
    assert!(matches!(answer, Err(Failure::Damaged { .. })), "{answer:?}");
}

#[tokio::test]
async fn a_cell_of_an_erased_scope_is_erased_and_none_is_sealed_again() {
    let (tree, sealer) = sealer().await;
    let sealed = Cells::seal(&sealer, &cell("a"), b"72").await.expect("an answer").expect("sealed");
    let targets = [all_of(&participant(), Scope::HealthClinical)];
    tree.fence(&targets).await.expect("a fence");
    assert_eq!(Cells::open(&sealer, &cell("a"), &sealed).await.expect("an answer"), Opened::Erased);
    tree.shred(&targets).await.expect("shredded");
    assert_eq!(Cells::open(&sealer, &cell("a"), &sealed).await.expect("an answer"), Opened::Erased);
    assert_eq!(Cells::seal(&sealer, &cell("a"), b"72").await.expect("an answer"), None);
}
