use super::*;
use crate::shown::Visible;
use crate::testing::{Story, World, details, json, participant};
use domain::identity::{self, Detail};
use domain::ids::HoldId;
use domain::participant::Event;
use domain::privacy;
use domain::scope::Scope;
use serde_json::json;
use uuid::Uuid;

fn story() -> Story {
    let mut story = Story::new();
    story.registered(1, "oslo");
    let reference = Some(Personal::new("binder 4".to_owned()));
    story.participant(1, Event::ConsentGiven { version: "v1".parse().expect("valid"), reference });
    story.saved(1, "VS", &[("SYSBP", Scope::HealthClinical, "120"), ("NOTE", Scope::HealthFreeText, "tired")]);
    story.changed(1, "VS", ("SYSBP", Scope::HealthClinical, "125"), "misread");
    story.cleared(1, "VS", "SYSBP");
    story.identity(1, identity::Event::Recorded { details: details([(Detail::Email, "ada@example.org")]) });
    let cleared = vec![Detail::Email];
    story.identity(1, identity::Event::Rectified { details: details([]), cleared, reason: None });
    let hold = privacy::Event::HoldPlaced {
        hold: HoldId(Uuid::from_u128(5)),
        scopes: vec![Scope::HealthClinical],
        authority: "court".parse().expect("valid"),
        review_on: domain::Day(time::macros::date!(2027 - 01 - 01)),
        reason: Some(Personal::new("a claim".to_owned())),
    };
    story.privacy(1, &[hold]);
    story.registered(2, "oslo");
    story
}

/// Each entry in short: event, action, field, old, new, reason, other values.
async fn entries(world: &World, visible: &Visible) -> Vec<Value> {
    let page = page(&world.tenant, &Story::study_id(), &participant(1), visible, None, 100).await.expect("reads");
    assert_eq!(page.next, None);
    let short = |entry: AuditEntry| {
        let field = entry.item.map(|item| item.item.to_string()).or(entry.field);
        json!([
            entry.event,
            json(&entry.action),
            field,
            json(&entry.old),
            json(&entry.new),
            json(&entry.reason),
            json(&entry.values)
        ])
    };
    page.items.into_iter().map(short).collect()
}

#[tokio::test]
async fn every_change_of_every_field_and_every_other_fact_is_there() {
    let world = World::of::<Audit>(&story()).await;
    let expected = [
        json!(["participant-registered", "recorded", null, null, null, null, {}]),
        json!(["consent-given", "recorded", null, null, null, null, {"reference": "binder 4"}]),
        json!(["items-saved", "entered", "SYSBP", null, "120", null, {}]),
        json!(["items-saved", "entered", "NOTE", null, "tired", null, {}]),
        json!(["items-saved", "changed", "SYSBP", "120", "125", "misread", {}]),
        json!(["items-saved", "cleared", "SYSBP", "125", null, "entered by mistake", {}]),
        json!(["identity-recorded", "entered", "email", null, "ada@example.org", null, {}]),
        json!(["identity-rectified", "cleared", "email", "ada@example.org", null, null, {}]),
        json!(["hold-placed", "recorded", null, null, null, null, {"reason": "a claim"}]),
    ];
    assert_eq!(entries(&world, &Visible::all()).await, expected);
}

#[tokio::test]
async fn an_entry_says_who_did_what_when_and_under_which_command() {
    let world = World::of::<Audit>(&story()).await;
    let page = page(&world.tenant, &Story::study_id(), &participant(1), &Visible::all(), None, 3).await.expect("reads");
    let consent = json(&page.items[1]);
    assert_eq!(consent["details"], json!({"version": "v1"}));
    assert_eq!(consent["act"]["actor"]["role"], "investigator");
    assert_eq!(consent["act"]["actor"]["organisation"], "hospital");
    assert_eq!(consent["act"]["stored_at"], "2026-11-22T12:00:00Z");
    assert_eq!(consent["act"]["revision"], 2);
    assert_eq!(consent["act"]["command"], Uuid::from_u128(2).to_string());
    let item = json(&page.items[2]);
    assert_eq!((&item["form"]["form"], &item["form"]["visit_repeat"]), (&json!("VS"), &json!(1)));
    assert_eq!(item["item"]["group"], "G");
}

#[tokio::test]
async fn it_is_read_page_by_page() {
    let world = World::of::<Audit>(&story()).await;
    let (mut after, mut seen) = (None, 0);
    loop {
        let (study, all) = (Story::study_id(), Visible::all());
        let page = page(&world.tenant, &study, &participant(1), &all, after.as_deref(), 4).await.expect("reads");
        seen += page.items.len();
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, 9);
}

#[tokio::test]
async fn after_an_erasure_the_old_and_the_new_value_are_gone_and_the_entries_stay() {
    let mut world = World::of::<Audit>(&story()).await;
    world.erase::<Audit>(1, &[Scope::HealthClinical, Scope::HealthFreeText, Scope::IdentityContact]).await;
    let (clinical, text, contact) = (
        json!({"erased": "health.clinical"}),
        json!({"erased": "health.free-text"}),
        json!({"erased": "identity.contact"}),
    );
    let expected = [
        json!(["participant-registered", "recorded", null, null, null, null, {}]),
        json!(["consent-given", "recorded", null, null, null, null, {"reference": text}]),
        json!(["items-saved", "entered", "SYSBP", null, clinical, null, {}]),
        json!(["items-saved", "entered", "NOTE", null, text, null, {}]),
        json!(["items-saved", "changed", "SYSBP", clinical, clinical, text, {}]),
        json!(["items-saved", "cleared", "SYSBP", clinical, null, text, {}]),
        json!(["identity-recorded", "entered", "email", null, contact, null, {}]),
        json!(["identity-rectified", "cleared", "email", contact, null, null, {}]),
        json!(["hold-placed", "recorded", null, null, null, null, {"reason": text}]),
        json!(["scopes-fenced", "recorded", null, null, null, null, {}]),
        json!(["scopes-fenced", "recorded", null, null, null, null, {}]),
    ];
    assert_eq!(entries(&world, &Visible::all()).await, expected);
}

#[tokio::test]
async fn a_role_that_sees_no_values_sees_every_entry() {
    let world = World::of::<Audit>(&story()).await;
    let seen = entries(&world, &Visible::of(domain::permit::Role::Dpo)).await;
    assert_eq!(seen.len(), 9);
    assert_eq!(seen[4][3], json!({"withheld": "health.clinical"}));
    assert_eq!(seen[6][4], json!({"withheld": "identity.contact"}));
}

#[tokio::test]
async fn a_value_is_sealed_once_although_two_entries_show_it() {
    let mut story = Story::new();
    story.registered(1, "oslo");
    story.saved(1, "VS", &[("SYSBP", Scope::HealthClinical, "120")]);
    story.saved(1, "VS", &[("SYSBP", Scope::HealthClinical, "125")]);
    story.saved(1, "VS", &[("SYSBP", Scope::HealthClinical, "130")]);
    let world = World::of::<Audit>(&story).await;
    // Three values, written once each by the live table and once each by the rebuilt one it is compared with.
    assert_eq!(world.cells.count(), 6);
}

#[tokio::test]
async fn the_trail_names_what_can_be_redacted_alone_and_shows_it_gone_on_both_sides() {
    let mut story = story();
    story.changed(1, "VS", ("NOTE", Scope::HealthFreeText, "rested"), "asked again");
    let mut world = World::of::<Audit>(&story).await;
    let page = async |world: &World| {
        page(&world.tenant, &Story::study_id(), &participant(1), &Visible::none(), None, 100)
            .await
            .expect("reads")
            .items
    };
    let trail = page(&world).await;
    assert!(trail[2].redactable.is_empty(), "clinical values share one key");
    assert_eq!(trail[4].redactable.keys().collect::<Vec<_>>(), ["reason"]);
    let note = trail[3].redactable["new"].clone();
    world.redact::<Audit>(1, &[note]).await;
    let gone = json!({"erased": "health.free-text"});
    let seen = entries(&world, &Visible::all()).await;
    assert_eq!(seen[3], json!(["items-saved", "entered", "NOTE", null, gone, null, {}]));
    assert_eq!(seen[9], json!(["items-saved", "changed", "NOTE", gone, "rested", "asked again", {}]));
    assert_eq!(seen[4], json!(["items-saved", "changed", "SYSBP", "120", "125", "misread", {}]));
}

#[tokio::test]
async fn a_value_that_is_not_there_or_was_not_typed_in_says_so() {
    let mut story = Story::new();
    story.registered(1, "oslo");
    story.saved(1, "VS", &[("SYSBP", Scope::HealthClinical, "120")]);
    let item = |item: &str, not_done, computed| domain::participant::SavedItem {
        item: domain::participant::ItemKey {
            group: "G".parse().expect("valid"),
            group_repeat: 1,
            item: item.parse().expect("valid"),
        },
        value: None,
        not_done,
        computed,
        reason: None,
    };
    let items = vec![item("PULSE", Some(domain::participant::NotDone::Refused), false), item("BMI", None, true)];
    let source = domain::participant::Source::Import;
    story.participant(1, Event::ItemsSaved { form: Story::form("VS"), items, source });
    let world = World::of::<Audit>(&story).await;
    let page = page(&world.tenant, &Story::study_id(), &participant(1), &Visible::all(), None, 9).await.expect("reads");
    let details: Vec<_> = page.items.iter().skip(1).map(|entry| entry.details.clone()).collect();
    assert_eq!(
        details,
        [
            json!(null),
            json!({"not_done": "refused", "source": "import"}),
            json!({"computed": true, "source": "import"})
        ]
    );
}
