//! Whoever is blinded: no answer differs between two histories that differ in the arm alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::design::ItemValue;
use domain::history::{Aggregate, CommitHash, StreamId};
use domain::ids::{AllocationId, Environment, ErasureId, TenantId};
use domain::participant::{CheckOutcome, Event, FormKey, ItemKey, Severity};
use domain::permit::{Principal, QUERIES, Role, may_query};
use domain::port::{Clock, Credentials, Failure, Tenant, Tenants, WaitingOn, Waits};
use domain::randomisation::{self, Arm, Content, Origin, Seed, Stratum};
use domain::scope::{DesignScoped, Erasable, Part, Personal, Scope};
use domain::study;
use projection_svc::testing::{Story, World, label, site, tenant};
use tower::ServiceExt;
use uuid::Uuid;

/// The same story but for the arms: what tells them is `told`, in the list, the allocation and a blinded item.
fn story(told: &str, other: &str, place: u32) -> Story {
    let mut story = Story::new();
    story.study(study::Event::Created { name: label("Cardio"), environment: Environment::Test });
    story.study(study::Event::SiteOpened { site: site("oslo"), name: label("Oslo") });
    let arm = |arm: &str| Arm { arm: arm.parse().expect("valid"), weight: 1 };
    let content = Content {
        arms: vec![arm(told), arm(other)],
        factors: vec![],
        origin: Origin::Imported,
        strata: vec![Stratum { arms: vec![place, 1 - place], numbers: vec![] }],
        salt: Seed(CommitHash([1; 32])),
    };
    let list = StreamId::in_study(&tenant(), &Story::study_id(), Aggregate::Randomisation, "main");
    // The digest is a commitment: the salt hides what it is over. Here both have the same.
    story.commit(list.clone(), &[randomisation::Event::Sealed { content, digest: CommitHash([2; 32]) }]);
    story.registered(1, "oslo");
    story.consented(1);
    let allocation = AllocationId(Uuid::from_u128(77));
    story.participant(
        1,
        Event::RandomisationAsked {
            list: "main".parse().expect("valid"),
            strata: Personal::new(randomisation::Levels::default()),
            allocation: Personal::new(allocation),
            number: Personal::new("N-1".parse().expect("valid")),
        },
    );
    story.commit(list, &[randomisation::Event::SlotAssigned { allocation, stratum: 0, slot: place }]);
    story.participant(
        1,
        Event::Randomised {
            list: "main".parse().expect("valid"),
            number: Personal::new("N-1".parse().expect("valid")),
            stratum: Personal::new(0),
            slot: Personal::new(place),
            arm: Personal::new(told.parse().expect("valid")),
        },
    );
    story.saved(1, "VS", &[("SYSBP", Scope::HealthClinical, "120"), ("KIT", Scope::HealthBlinded, told)]);
    story.changed(1, "VS", ("KIT", Scope::HealthBlinded, &format!("{told}{told}")), "read again");
    story.participant(1, fired_at_the_kit(told));
    story
}

/// A check that stands at a blinded item, and reads open ones: what stood there is noted beside. That no check reads a
/// blinded one, and so none fires by it, is the domain's law (`domain/src/laws/blinded.rs`).
fn fired_at_the_kit(told: &str) -> Event {
    let oid = |text: &str| text.parse().expect("valid");
    let value = Erasable::Known(ItemValue(told.to_owned()));
    Event::CheckFired {
        form: FormKey { visit: oid("V1"), visit_repeat: 1, form: oid("VS"), form_repeat: 1 },
        item: ItemKey { group: oid("G"), group_repeat: 1, item: oid("KIT") },
        check: "CK".parse().expect("valid"),
        severity: Severity::Soft,
        outcome: CheckOutcome::Accepted,
        value: Some(DesignScoped { scope: Scope::HealthBlinded, part: Part::all(), value }),
        at: None,
        message: Some(label("given late")),
    }
}

struct One(Arc<Tenant>);

impl Tenants for One {
    fn tenant(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        (*id == self.0.id).then(|| self.0.clone())
    }
    fn all(&self) -> Vec<Arc<Tenant>> {
        vec![self.0.clone()]
    }
}

impl Waits for One {
    fn waits_on(&self, _: &TenantId, _: ErasureId) -> Option<(WaitingOn, time::OffsetDateTime)> {
        None
    }
}

struct Noon;

impl Clock for Noon {
    fn now(&self) -> time::OffsetDateTime {
        time::macros::datetime!(2026-11-23 12:00 UTC)
    }
}

struct Roles;

#[async_trait]
impl Credentials for Roles {
    async fn authenticate(&self, token: &str) -> Result<Option<Principal>, Failure> {
        let mut principal = Principal::system(tenant(), Environment::Test);
        Ok(token.parse().ok().map(|role| {
            principal.actor.role = role;
            principal
        }))
    }
}

/// Where a query is asked; none: on the write side, which has a test of its own.
fn address(query: &str) -> Option<&'static str> {
    const PERSON: &str = "/v1/studies/cardio/participants/00000000-0000-0000-0000-000000000001";
    Some(match query {
        "study.list" => "/v1/studies",
        "study.design" => "/v1/studies/cardio/designs/0202020202020202020202020202020202020202020202020202020202020202",
        "study.overview" => "/v1/studies/cardio/overview",
        "participant.list" => "/v1/studies/cardio/participants",
        "participant.matrix" => "/v1/studies/cardio/matrix",
        "participant.casebook" => const_format(PERSON, "casebook"),
        "participant.identity" => const_format(PERSON, "identity"),
        "participant.audit" => const_format(PERSON, "audit"),
        "study.audit" => "/v1/studies/cardio/audit",
        "participant.signatures" => const_format(PERSON, "signatures"),
        "query.list" => "/v1/studies/cardio/queries",
        "study.figures" => "/v1/studies/cardio/figures/queries",
        "export.list" => "/v1/studies/cardio/exports",
        "export.download" => "/v1/studies/cardio/exports/00000000-0000-0000-0000-000000000009/files/cardio.csv",
        "erasure.list" => "/v1/erasures",
        "erasure.show" => "/v1/erasures/00000000-0000-0000-0000-000000000009",
        "access.participant" => const_format(PERSON, "access"),
        "access.user" => "/v1/users/00000000-0000-0000-0000-000000000042/access",
        "access.list" => "/v1/access",
        "incident.list" => "/v1/incidents",
        "study.audit-review" => "/v1/studies/cardio/audit/unusual",
        "participant.arm"
        | "access.origin"
        | "access.reviews"
        | "participant.allocation"
        | "randomisation.list"
        | "randomisation.reveal"
        | "study.lock-readiness"
        | "user.list" => return None,
        // Of the platform; they have a test of their own on a real server.
        operations if operations.starts_with("operations.") => return None,
        other => panic!("{other}: say where it is asked, so that it is held to this law"),
    })
}

/// The same queries under other addresses.
const ELSEWHERE: &[&str] = &[
    "/v1/studies/cardio/figures/enrolment",
    "/v1/studies/cardio/figures/visits",
    "/v1/studies/cardio/figures/completeness",
    "/v1/studies/cardio/figures/entry-lag",
    "/v1/studies/cardio/figures/verification",
    "/v1/studies/cardio/figures/lock-readiness",
    "/v1/studies/cardio/figures/signatures",
    "/v1/studies/cardio/figures/queries?as_of=2026-11-22T12:00:00Z",
    "/v1/studies/cardio/overview?as_of_position=cardio:1:5",
    "/v1/studies/cardio/audit?format=odm132",
    "/v1/studies/cardio/audit?format=odm20",
    "/RaveWebServices/studies",
    "/RaveWebServices/studies/cardio(Test)/subjects",
    "/RaveWebServices/datasets/ClinicalAuditRecords.odm?studyoid=cardio(Test)",
];

fn const_format(person: &str, view: &str) -> &'static str {
    Box::leak(format!("{person}/{view}").into_boxed_str())
}

/// Every answer of every view to `role`, byte by byte.
async fn answers(world: &World, role: Role) -> Vec<(String, Vec<u8>)> {
    let one = Arc::new(One(Arc::new(world.tenant.clone())));
    let queries = crate::Queries::new(one.clone(), one, Arc::new(Noon));
    let views = edge::authenticated(crate::router(queries.clone()), Arc::new(Roles));
    let views = views.merge(crate::rave::router(queries, Arc::new(Roles)));
    let mut answers = Vec::new();
    let addresses: BTreeSet<&str> = QUERIES.iter().filter_map(|(query, _)| address(query)).collect();
    for address in addresses.into_iter().chain(ELSEWHERE.iter().copied()) {
        let request = Request::get(address).header("authorization", format!("Bearer {role}"));
        let request = match address.starts_with("/RaveWebServices") {
            true => {
                Request::get(address).header("authorization", format!("Basic {}", STANDARD.encode(format!("x:{role}"))))
            }
            false => request,
        };
        let request = request.body(Body::empty()).expect("a request");
        let (parts, body) = views.clone().oneshot(request).await.expect("infallible").into_parts();
        let bytes = to_bytes(body, usize::MAX).await.expect("in memory").to_vec();
        answers.push((format!("{address} {} {:?}", parts.status, parts.headers), bytes));
    }
    answers
}

#[tokio::test]
async fn no_answer_to_a_role_that_knows_pseudonyms_only_hangs_on_an_identifier() {
    let told = |birth: &str| {
        let mut story = story("A", "B", 0);
        story.saved(1, "DM", &[("BIRTH", Scope::IdentityCodeList, birth)]);
        story.changed(1, "DM", ("BIRTH", Scope::IdentityCodeList, &format!("{birth}-02")), "read again");
        story
    };
    let (first, second) = (World::folded(&told("1980")).await, World::folded(&told("1999-12")).await);
    for role in Role::ALL.iter().copied().filter(|role| *role != Role::System) {
        let (one, two) = (answers(&first, role).await, answers(&second, role).await);
        match may_query(role, "participant.identity") {
            true => assert_ne!(one, two, "{role}: the histories do differ"),
            false => assert_eq!(one, two, "{role}"),
        }
    }
}

#[tokio::test]
async fn no_answer_to_a_blinded_role_hangs_on_the_arm() {
    let first = World::folded(&story("A", "B", 0)).await;
    for (told, other, place) in [("B", "A", 0), ("placebo-of-another-length", "verum", 0), ("A", "B", 1)] {
        let second = World::folded(&story(told, other, place)).await;
        for role in Role::ALL.iter().copied().filter(|role| *role != Role::System) {
            let (one, two) = (answers(&first, role).await, answers(&second, role).await);
            if may_query(role, "participant.arm") {
                assert_ne!(one, two, "{role}: the histories do differ");
                continue;
            }
            for ((what, one), (other, two)) in one.iter().zip(&two) {
                assert_eq!(what, other, "{role}");
                let text = |bytes| String::from_utf8_lossy(bytes);
                assert_eq!(text(one), text(two), "{role}: {what}");
            }
            let reads = one.iter().filter(|(what, _)| what.contains(" 200 ")).count();
            let may = QUERIES.iter().filter(|(query, roles)| roles.contains(&role) && address(query).is_some()).count();
            assert!(may < 2 || reads > 0, "{role} is answered something");
        }
    }
}
