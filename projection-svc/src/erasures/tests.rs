use super::*;
use crate::shown::Visible;
use crate::testing::{Story, World, json};
use domain::privacy::Event;
use serde_json::{Value, json};
use time::macros::date;
use uuid::Uuid;

const E: ErasureId = ErasureId(Uuid::from_u128(500));
const F: ErasureId = ErasureId(Uuid::from_u128(501));
const H: HoldId = HoldId(Uuid::from_u128(600));

fn text(text: &str) -> Reason {
    Some(Personal::new(text.to_owned()))
}

fn requested(erasure: ErasureId) -> [Event; 2] {
    let granted = vec![Scope::IdentityContact, Scope::HealthFreeText];
    let refused = RefusedScope {
        scope: Scope::HealthClinical,
        ground: RefusalGround::LegalHold,
        hold: Some(H),
        until: Some(Day(date!(2027 - 01 - 01))),
        part: None,
        rule: None,
        after: None,
    };
    [
        Event::ErasureRequested {
            erasure,
            scopes: vec![Scope::IdentityContact, Scope::HealthFreeText, Scope::HealthClinical],
            values: vec![],
            justification: Justification::ConsentWithdrawn,
            requested_by: UserId(Uuid::from_u128(7)),
            reason: text("she called"),
        },
        Event::ErasureAssessed { erasure, granted, values: vec![], refused: vec![refused] },
    ]
}

fn approved(erasure: ErasureId) -> Event {
    Event::ErasureApproved {
        erasure,
        approved_by: UserId(Uuid::from_u128(8)),
        instruction: "DPA-2026/014".parse().expect("valid"),
        accept_single_copy: false,
    }
}

fn story() -> Story {
    let mut story = Story::new();
    let scopes = vec![Scope::HealthClinical];
    let authority = "court".parse().expect("valid");
    let review_on = Day(date!(2027 - 01 - 01));
    story.privacy(1, &[Event::HoldPlaced { hold: H, scopes, authority, review_on, reason: text("a claim") }]);
    story.privacy(1, &requested(E));
    story.privacy(2, &requested(F));
    story.privacy(2, &[Event::ErasureRefused { erasure: F, ground: RefusalGround::Research, reason: text("needed") }]);
    story.privacy(
        2,
        &[Event::RestrictionPlaced { ground: RestrictionGround::AccuracyContested, reason: text("says wrong") }],
    );
    story
}

async fn show_one(world: &World, erasure: ErasureId) -> Value {
    let shown = show(&world.tenant, &Story::study_id(), &erasure, &Visible::all()).await.expect("reads");
    json(&shown.expect("is there"))
}

async fn open(world: &World) -> Vec<ErasureId> {
    let page = list(&world.tenant, &Story::study_id(), true, &Visible::all(), None, 10).await.expect("reads");
    page.items.into_iter().map(|erasure| erasure.erasure).collect()
}

#[tokio::test]
async fn an_erasure_shows_what_was_asked_what_was_granted_and_who_must_act() {
    let world = World::of::<Erasures>(&story()).await;
    let shown = show_one(&world, E).await;
    for (field, value) in [
        ("phase", json!("assessed")),
        ("waiting_for", json!("approval")),
        ("open", json!(true)),
        ("requested", json!(["identity.contact", "health.free-text", "health.clinical"])),
        ("granted", json!(["identity.contact", "health.free-text"])),
        ("reason", json!("she called")),
        ("participant", json!(Uuid::from_u128(1))),
    ] {
        assert_eq!(shown[field], value, "{field}");
    }
    assert_eq!(shown["refused"][0]["ground"], "legal-hold");
    let shown = show_one(&world, F).await;
    assert_eq!((&shown["phase"], &shown["open"]), (&json!("refused"), &json!(false)));
    assert_eq!(shown["refusal"], json!({"ground": "research", "reason": "needed"}));
    assert_eq!(open(&world).await, [E]);
    let unknown = ErasureId(Uuid::from_u128(9));
    assert_eq!(show(&world.tenant, &Story::study_id(), &unknown, &Visible::all()).await.expect("reads"), None);
}

#[tokio::test]
async fn every_step_is_shown_until_it_is_completed() {
    let mut story = story();
    story.privacy(1, &[approved(E)]);
    story.privacy(1, &[Event::ErasureBegun { erasure: E }]);
    story.privacy(1, &[Event::ErasureCommitted { erasure: E }]);
    let world = World::of::<Erasures>(&story).await;
    assert_eq!(show_one(&world, E).await["waiting_for"], "single-copy");

    story.privacy(1, &[Event::SingleCopyAccepted { erasure: E }]);
    let world = World::of::<Erasures>(&story).await;
    assert_eq!(show_one(&world, E).await["waiting_for"], "platform");

    let until = domain::Moment(time::macros::datetime!(2026-12-22 12:00 UTC));
    story.privacy(1, &[Event::DestructionScheduled { erasure: E, until }]);
    let world = World::of::<Erasures>(&story).await;
    let shown = show_one(&world, E).await;
    assert_eq!(
        (&shown["waiting_for"], &shown["destruction_due"]),
        (&json!("destruction-date"), &json!("2026-12-22T12:00:00Z"))
    );

    let target = |scope, keys| TargetKeys { scope, part: None, keys, root_before: 1, root_after: 2 };
    let destroyed = vec![target(Scope::IdentityContact, 1), target(Scope::HealthFreeText, 2)];
    let copy = TreeCopies::Single;
    story.privacy(1, &[Event::KeysDestroyed { erasure: E, keys: 3, root_before: 1, root_after: 2, destroyed, copy }]);
    story.privacy(1, &[Event::DerivedPurged { erasure: E }]);
    story.privacy(1, &[Event::RecipientsNotified { erasure: E, recipients: 0 }]);
    story.privacy(1, &[Event::ErasureVerified { erasure: E, probed: 2, controls: 1 }]);
    story.privacy(1, &[Event::ErasureCompleted { erasure: E, certificate: Some(CommitHash([7; 32])) }]);
    let world = World::of::<Erasures>(&story).await;
    let shown = show_one(&world, E).await;
    let steps: Vec<_> = shown["steps"].as_array().expect("a list").iter().map(|step| step["phase"].clone()).collect();
    let names = [
        "requested",
        "assessed",
        "approved",
        "begun",
        "committed",
        "destruction-scheduled",
        "keys-destroyed",
        "derived-purged",
        "recipients-notified",
        "verified",
        "completed",
    ];
    assert_eq!(steps, names.map(Value::from));
    let told = &shown["destroyed"];
    assert_eq!((&told["keys"], &told["targets"][1]["keys"], &told["copy"]), (&json!(3), &json!(2), &json!("single")));
    assert_eq!(shown["certificate"], CommitHash([7; 32]).to_string());
    assert_eq!((&shown["probed"], &shown["instruction"]), (&json!(2), &json!("DPA-2026/014")));
    assert_eq!(shown["waiting_for"], "nobody");
    assert_eq!(open(&world).await, []);
    let all = list(&world.tenant, &Story::study_id(), false, &Visible::all(), None, 1).await.expect("reads");
    let rest = list(&world.tenant, &Story::study_id(), false, &Visible::all(), all.next.as_deref(), 1).await;
    let rest = rest.expect("reads");
    assert_eq!((all.items[0].erasure, rest.items[0].erasure, rest.next), (E, F, None));
}

#[tokio::test]
async fn a_new_assessment_makes_the_approval_void() {
    let mut story = story();
    story.privacy(1, &[approved(E)]);
    story.privacy(
        1,
        &[Event::ErasureAssessed {
            erasure: E,
            granted: vec![Scope::IdentityContact],
            values: vec![],
            refused: vec![],
        }],
    );
    let world = World::of::<Erasures>(&story).await;
    let shown = show_one(&world, E).await;
    assert_eq!((&shown["approved_by"], &shown["instruction"]), (&Value::Null, &Value::Null));
    assert_eq!((&shown["phase"], &shown["granted"]), (&json!("assessed"), &json!(["identity.contact"])));
}

#[tokio::test]
async fn holds_and_restrictions_are_listed_while_they_are_in_force() {
    let mut story = story();
    let world = World::of::<Erasures>(&story).await;
    let (study, all) = (Story::study_id(), Visible::all());
    let in_force = holds(&world.tenant, &study, &all).await.expect("reads");
    assert_eq!((in_force.len(), json(&in_force[0].review_on)), (1, json!("2027-01-01")));
    let restricted = restrictions(&world.tenant, &study, &all).await.expect("reads");
    assert_eq!(json(&restricted[0].ground), json!("accuracy-contested"));

    story.privacy(1, &[Event::HoldLifted { hold: H, reason: None }]);
    story.privacy(2, &[Event::RestrictionLifted { reason: None }]);
    let world = World::of::<Erasures>(&story).await;
    assert_eq!(holds(&world.tenant, &study, &all).await.expect("reads"), []);
    assert_eq!(restrictions(&world.tenant, &study, &all).await.expect("reads"), []);
}

#[tokio::test]
async fn the_erasure_itself_forgets_its_reason_and_nothing_else() {
    let mut world = World::of::<Erasures>(&story()).await;
    let mut before = show_one(&world, E).await;
    world.erase::<Erasures>(1, &[Scope::HealthFreeText]).await;
    before["reason"] = json!({"erased": "health.free-text"});
    assert_eq!(show_one(&world, E).await, before);
    assert_eq!(show_one(&world, F).await["reason"], "she called");
}
