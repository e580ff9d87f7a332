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
    let done: Vec<_> = page.items.iter().skip(1).map(|entry| json(&entry.action)).collect();
    assert_eq!(done[..2], [json!("entered"), json!("entered")], "nothing was there to clear");
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

#[tokio::test]
async fn words_of_a_draft_are_for_those_who_draft_and_a_signers_name_for_who_sees_signatures() {
    let mut story = Story::new();
    story.registered(1, "oslo");
    story.participant(
        1,
        Event::QueryOpened {
            query: domain::ids::QueryId::of_command(domain::ids::CommandId(uuid::Uuid::from_u128(9)), 0),
            kind: domain::participant::QueryKind::Manual,
            place: domain::participant::Place::Participant,
            check: None,
            by: Role::Monitor,
            to: None,
            candidate: true,
            text: Some(Personal::new("Sure?".to_owned())),
        },
    );
    story.participant(
        1,
        Event::Signed {
            signature: domain::ids::SignatureId::of_command(domain::ids::CommandId(uuid::Uuid::from_u128(8))),
            place: domain::participant::Place::Participant,
            meaning: domain::participant::Meaning::Review,
            forms: vec![],
            design: domain::history::CommitHash([1; 32]),
            digest: domain::history::CommitHash([2; 32]),
            factors: vec![],
            printed_name: Personal::new("Grace Hopper".to_owned()),
        },
    );
    let world = World::of::<Audit>(&story).await;
    let seen = async |role: Role| {
        let visible = Visible::of(role);
        let page = page(&world.tenant, &Story::study_id(), &participant(1), &visible, None, 9).await.expect("reads");
        json(&[&page.items[1].values["text"], page.items[2].values.get("printed_name").expect("a name")].map(json))
    };
    let (text, name) = (json!({"withheld": "health.free-text"}), json!({"withheld": "user.signature"}));
    assert_eq!(seen(Role::Auditor).await, json!(["Sure?", "Grace Hopper"]));
    assert_eq!(seen(Role::Investigator).await, json!([text, "Grace Hopper"]));
    assert_eq!(seen(Role::Dpo).await, json!([text, name]));
}

// --- the whole study

use domain::permit::Sites;
use domain::study;
use std::sync::Arc;

fn of_study() -> Story {
    let mut story = Story::new();
    story.study(study::Event::Created {
        name: crate::testing::label("Cardio"),
        environment: domain::ids::Environment::Test,
    });
    story.study(study::Event::SiteOpened { site: crate::testing::site("oslo"), name: crate::testing::label("Oslo") });
    story.registered(1, "oslo");
    story.registered(2, "bergen");
    story.saved(1, "VS", &[("SYSBP", Scope::HealthClinical, "120"), ("NOTE", Scope::HealthFreeText, "tired")]);
    story.at(time::macros::datetime!(2026-11-23 12:00 UTC));
    story.saved(2, "VS", &[("SYSBP", Scope::HealthClinical, "130")]);
    story.changed(1, "VS", ("SYSBP", Scope::HealthClinical, "125"), "misread");
    story.identity(1, identity::Event::Recorded { details: details([(Detail::Email, "ada@example.org")]) });
    story
}

/// Read models of the trail and of the participants that it is about.
async fn folded(story: &Story) -> World {
    World::folded(story).await
}

async fn walked(world: &World, filter: Filter, sites: Sites, from: TrailPosition) -> Vec<StudyEntry> {
    let through = 1_000;
    let tenant = Arc::new(world.tenant.clone());
    let reader = (sites, Visible::all());
    let mut trail = StudyTrail::new(tenant, Story::study_id(), filter, reader, from, through);
    let mut all = Vec::new();
    while let Some(entries) = trail.next().await.expect("reads") {
        all.extend(entries);
    }
    all
}

fn short(entries: &[StudyEntry]) -> Vec<Value> {
    let short = |of: &StudyEntry| {
        let item = of.entry.item.as_ref().map(|item| item.item.to_string()).or_else(|| of.entry.field.clone());
        json!([json(&of.subject_number), of.entry.event, item, json(&of.entry.old), json(&of.entry.new)])
    };
    entries.iter().map(short).collect()
}

#[tokio::test]
async fn the_trail_of_a_study_has_everything_in_the_order_in_which_it_happened() {
    let world = folded(&of_study()).await;
    let all = walked(&world, Filter::default(), Sites::All, TrailPosition::default()).await;
    let expected = [
        json!([null, "study-created", null, null, null]),
        json!([null, "site-opened", null, null, null]),
        json!(["S-001", "participant-registered", null, null, null]),
        json!(["S-002", "participant-registered", null, null, null]),
        json!(["S-001", "items-saved", "SYSBP", null, "120"]),
        json!(["S-001", "items-saved", "NOTE", null, "tired"]),
        json!(["S-002", "items-saved", "SYSBP", null, "130"]),
        json!(["S-001", "items-saved", "SYSBP", "120", "125"]),
        json!(["S-001", "identity-recorded", "email", null, "ada@example.org"]),
    ];
    assert_eq!(short(&all), expected);
    assert_eq!(all[1].entry.details, json!({"site": "oslo", "name": "Oslo"}));
    assert_eq!(json(&all[7].entry.reason), "misread");
}

#[tokio::test]
async fn it_is_taken_up_again_behind_any_entry() {
    let world = folded(&of_study()).await;
    let all = walked(&world, Filter::default(), Sites::All, TrailPosition::default()).await;
    for (n, entry) in all.iter().enumerate() {
        let from = entry.entry.id.parse().expect("an id");
        let rest = walked(&world, Filter::default(), Sites::All, from).await;
        assert_eq!(rest, all[n + 1..], "behind {}", entry.entry.id);
    }
    let from = "5".parse().expect("a position");
    assert_eq!(walked(&world, Filter::default(), Sites::All, from).await, all[6..], "behind a whole commit");
    for wrong in ["", "x", "1/x", "1/2/3", "-1", "1/99999999999"] {
        assert!(wrong.parse::<TrailPosition>().is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn filters_leave_out_what_is_not_asked_for() {
    let world = folded(&of_study()).await;
    let all = walked(&world, Filter::default(), Sites::All, TrailPosition::default()).await;
    let kinds = |kinds: &[&str]| kinds.iter().map(|kind| (*kind).to_owned()).collect();
    let noon = |day: time::OffsetDateTime| Some(domain::Moment(day));
    let second = time::macros::datetime!(2026-11-23 12:00 UTC);
    let nobody = domain::ids::UserId(Uuid::from_u128(9));
    let cases = [
        ("a site", Filter { site: Some(crate::testing::site("oslo")), ..Filter::default() }, vec![1, 2, 4, 5, 7, 8]),
        ("another site", Filter { site: Some(crate::testing::site("bergen")), ..Filter::default() }, vec![3, 6]),
        ("since", Filter { since: noon(second), ..Filter::default() }, vec![6, 7, 8]),
        ("until", Filter { until: noon(second), ..Filter::default() }, vec![0, 1, 2, 3, 4, 5]),
        ("an event", Filter { kinds: kinds(&["site-opened", "identity-recorded"]), ..Filter::default() }, vec![1, 8]),
        ("an action", Filter { kinds: kinds(&["changed"]), ..Filter::default() }, vec![7]),
        ("a user", Filter { user: Some(nobody), ..Filter::default() }, vec![]),
        ("participants", Filter { participants_only: true, ..Filter::default() }, vec![2, 3, 4, 5, 6, 7, 8]),
    ];
    for (what, filter, expected) in cases {
        let expected: Vec<_> = expected.into_iter().map(|n: usize| all[n].clone()).collect();
        assert_eq!(walked(&world, filter, Sites::All, TrailPosition::default()).await, expected, "{what}");
    }
}

#[tokio::test]
async fn a_reader_of_one_site_learns_nothing_of_another() {
    let mut story = of_study();
    let list = domain::history::StreamId::in_study(
        &crate::testing::tenant(),
        &Story::study_id(),
        Aggregate::Randomisation,
        "main",
    );
    let numbers = domain::history::StreamId { aggregate: Aggregate::SubjectNumber, id: "key".into(), ..list.clone() };
    let key = domain::subject_number::NumberKey(domain::history::CommitHash([7; 32]));
    story.commit(numbers, &[domain::subject_number::Event::Keyed { key }]);
    story.commit(list, &[domain::randomisation::Event::Closed {}]);
    let world = folded(&story).await;
    let only = Sites::Only([crate::testing::site("bergen")].into());
    let seen = walked(&world, Filter::default(), only, TrailPosition::default()).await;
    let numbers: BTreeSet<_> = seen.iter().filter_map(|entry| entry.subject_number.clone()).collect();
    assert_eq!(numbers.into_iter().map(|number| number.to_string()).collect::<Vec<_>>(), ["S-002"]);
    let of_all_sites = [Aggregate::Randomisation, Aggregate::SubjectNumber];
    assert!(seen.iter().all(|entry| !of_all_sites.contains(&entry.entry.aggregate)));
    let all = walked(&world, Filter::default(), Sites::All, TrailPosition::default()).await;
    let last = &all.last().expect("the list's").entry;
    assert_eq!((last.event.as_str(), &last.details), ("list-closed", &json!({"stream": "randomisation/main"})));
    let keyed = &all[all.len() - 2].entry;
    assert_eq!(keyed.details, json!({"stream": "subject-number/key"}), "the key is nobody's to see");
    assert_eq!(last.act.command.0, Uuid::nil(), "the command of a list is an allocation");
}

#[tokio::test]
async fn what_is_erased_or_restricted_shows_no_value_in_the_trail_of_a_study() {
    let mut story = of_study();
    story.participant(2, Event::Restricted {});
    let mut world = World::folded(&story).await;
    world.erase::<Audit>(1, &[Scope::HealthClinical]).await;
    let all = walked(&world, Filter::default(), Sites::All, TrailPosition::default()).await;
    let gone = json!({"erased": "health.clinical"});
    let seen = short(&all);
    assert_eq!(seen[4], json!(["S-001", "items-saved", "SYSBP", null, gone]));
    assert_eq!(seen[7], json!(["S-001", "items-saved", "SYSBP", gone, gone]));
    assert_eq!(seen[6], json!(["S-002", "items-saved", "SYSBP", null, {"withheld": "health.clinical"}]));
    assert!(all[6].restricted && !all[4].restricted);
}
