//! Figures of a study that is known by hand, and laws that hold for any.

mod laws;
mod made;

use domain::participant::{Ending, Event};
use domain::permit::Sites;
use domain::scope::{Personal, Scope};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;

use super::answer::{Names, Wanted};
use super::{Figures, Happenings, Moment};
use super::{completeness, enrolment, lock, queries, signatures, verification};
use crate::testing::{Story, World, json as shown, site};

/// Every figure as JSON, by name.
async fn figures(world: &World, kept: &Figures, moment: Moment, sites: &Sites) -> Value {
    let study = Story::study_id();
    let snapshot = kept.snapshot(&world.tenant, &study, moment).await.expect("reads");
    let wanted = Wanted { sites, site: None, names: Some(Names { after: None, limit: 1000 }) };
    json!({
        "enrolment": shown(&enrolment::enrolment(&snapshot, &wanted)),
        "visits": shown(&snapshot.visits(&world.tenant, &study, &wanted).await.expect("opens")),
        "completeness": shown(&completeness::completeness(&snapshot, &wanted)),
        "lag": shown(&snapshot.entry_lag(&world.tenant, &study, &wanted).await.expect("opens")),
        "queries": shown(&queries::queries(&snapshot, &wanted)),
        "verification": shown(&verification::verification(&snapshot, &wanted)),
        "lock": shown(&lock::readiness(&snapshot, &wanted)),
        "signatures": shown(&signatures::signatures(&snapshot, &wanted)),
        "overview": shown(&snapshot.overview(&wanted)),
    })
}

async fn now(world: &World, at: OffsetDateTime) -> Value {
    figures(world, &Figures::default(), Moment::Now(at), &Sites::All).await
}

const NOON: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

#[tokio::test]
async fn enrolment_is_counted_by_site_and_week_against_the_target() {
    let world = World::of::<Happenings>(&made::story()).await;
    let found = now(&world, NOON).await["enrolment"].take();
    let line = |[screened, consented, failed, enrolled, randomised, completed, withdrawn]: [u64; 7]| {
        json!({"screened": screened, "consented": consented, "failed": failed, "enrolled": enrolled,
            "randomised": randomised, "completed": completed, "withdrawn": withdrawn})
    };
    assert_eq!(found["total"], line([4, 3, 1, 3, 0, 1, 0]));
    // 20 of 30 days from the opening to the day of the target.
    assert_eq!((&found["target"], &found["due"]), (&json!(12), &json!(8)));
    let [bergen, oslo] = [&found["sites"][0], &found["sites"][1]];
    assert_eq!((&bergen["site"], &bergen["total"]), (&json!("bergen"), &line([1, 0, 1, 0, 0, 0, 0])));
    assert_eq!((&bergen["target"], &bergen["due"]), (&Value::Null, &Value::Null));
    assert_eq!(oslo["target"], json!({"participants": 12, "by": "2026-12-02"}));
    assert_eq!(
        oslo["weeks"],
        json!([
            {"week": "2026-W45", "counts": line([3, 3, 0, 3, 0, 0, 0])},
            {"week": "2026-W47", "counts": line([0, 0, 0, 0, 0, 1, 0])},
        ])
    );
}

#[tokio::test]
async fn visits_are_due_overdue_and_out_of_their_window() {
    let world = World::of::<Happenings>(&made::story()).await;
    let found = now(&world, NOON).await["visits"].take();
    let counts = |counts: &Value, names: &[&str]| names.iter().map(|name| counts[name].as_u64()).collect::<Vec<_>>();
    let names = ["planned", "due", "overdue", "in_window", "out_of_window", "waiting"];
    // Who left is asked for nothing.
    assert_eq!(counts(&found["total"], &names), [6, 1, 1, 3, 1, 0].map(Some));
    let listed = |n: usize| {
        let visits = found["participants"][n]["visits"].as_array().expect("visits");
        visits.iter().map(|one| json!([one["visit"], one["standing"], one["from"], one["until"], one["on"]])).collect()
    };
    let lists: [Value; 2] = [listed(0), listed(1)];
    assert_eq!(
        lists,
        [
            json!([
                ["SCREEN", "out-of-window", "2026-11-03", "2026-11-06", "2026-11-10"],
                ["V1", "due", "2026-11-22", "2026-11-26", null],
            ]),
            json!([["V1", "overdue", "2026-11-15", "2026-11-19", null]]),
        ]
    );
    let later = now(&world, datetime!(2026-11-27 00:00 UTC)).await;
    assert_eq!(counts(&later["visits"]["total"], &names), [6, 0, 2, 3, 1, 0].map(Some));
}

#[tokio::test]
async fn forms_values_queries_and_signatures_are_counted() {
    let world = World::of::<Happenings>(&made::story()).await;
    let found = now(&world, NOON).await;
    assert_eq!(
        found["completeness"]["total"],
        json!({"expected": 6, "not_started": 3, "in_progress": 1, "complete": 0, "not_applicable": 2, "missing_items": 1})
    );
    // The one value of P1 stood three days after its visit; those of the others wait.
    assert_eq!(
        found["lag"]["total"],
        json!({"visits": 1, "unknown": 0, "undated": 0, "waiting": 3, "median_days": 3.0})
    );
    assert_eq!(
        found["verification"]["total"],
        json!({"required": 2, "verified": 0, "backlog": 2, "to_verify_again": 1, "excluded_identifiers": 0})
    );
    assert_eq!(
        found["queries"]["total"],
        json!({"asked": 2, "candidates": 0, "open": 2, "answered": 0, "closed": 0,
            "ages": {"0-7": 1, "8-14": 0, "15-30": 1, "over-30": 0},
            "median_response_hours": 6.0, "items": 2, "per_100_items": 100.0, "reopened": 1, "reopened_share": 100.0})
    );
    assert_eq!(found["queries"]["top_checks"], json!([{"check": "range:SYSBP:0", "fired": 2}]));
    assert_eq!(
        found["signatures"]["total"],
        json!({"forms": 1, "signed": 0, "to_sign": 0, "to_sign_again": 1, "to_give_again": 1})
    );
    assert_eq!(
        found["lock"]["total"],
        json!({"participants": 4, "ready": 1, "by_kind": {"open-query": 2, "visit-not-started": 2,
            "form-not-started": 3, "form-not-complete": 1, "missing-item": 1, "unverified-item": 2, "unsigned-form": 1}})
    );
    let blockers = found["lock"]["participants"][0]["blockers"].as_array().expect("a list");
    assert_eq!(blockers.len(), 7);
    assert!(
        blockers.iter().any(|one| one["blocker"] == "missing-item" && one["item"]["item"] == "PULSE"),
        "{blockers:?}"
    );
}

#[tokio::test]
async fn a_figure_of_before_is_what_it_was() {
    let world = World::of::<Happenings>(&made::story()).await;
    let at = async |moment| figures(&world, &Figures::default(), moment, &Sites::All).await;
    // Before the value was changed: it was verified, signed, and its query was answered.
    let before = at(Moment::Time(datetime!(2026-11-21 23:59 UTC))).await;
    assert_eq!(before["verification"]["total"]["verified"], 1);
    assert_eq!(before["signatures"]["total"]["signed"], 1);
    assert_eq!(before["queries"]["total"]["closed"], 1);
    let long_before = at(Moment::Time(datetime!(2026-11-03 23:59 UTC))).await;
    assert_eq!(long_before["enrolment"]["total"]["enrolled"], 1);
    let first = at(Moment::Position(3)).await;
    assert_eq!(
        (first["overview"]["total"]["registered"].as_u64(), first["lock"]["total"]["participants"].as_u64()),
        (Some(0), Some(0))
    );
    let whole = World::folded(&made::story()).await;
    let overview = crate::overview::show(&whole.tenant, &Story::study_id(), &Sites::All).await.expect("reads");
    assert_eq!(now(&whole, NOON).await["overview"], shown(&overview), "the overview of now, computed");
}

#[tokio::test]
async fn other_sites_are_not_counted_and_nobody_is_named_to_those_who_know_counts_only() {
    let world = World::of::<Happenings>(&made::story()).await;
    let sites = Sites::Only([site("bergen")].into());
    let found = figures(&world, &Figures::default(), Moment::Now(NOON), &sites).await;
    assert_eq!(found["enrolment"]["total"]["screened"], 1);
    assert!(!found.to_string().contains("oslo"), "{found}");
    let kept = Figures::default();
    let snapshot = kept.snapshot(&world.tenant, &Story::study_id(), Moment::Now(NOON)).await.expect("reads");
    let counts = Wanted { sites: &Sites::All, site: None, names: None };
    let found = [
        shown(&lock::readiness(&snapshot, &counts)),
        shown(&signatures::signatures(&snapshot, &counts)),
        shown(&snapshot.visits(&world.tenant, &Story::study_id(), &counts).await.expect("opens")),
    ];
    for figure in found {
        assert_eq!(figure["participants"], Value::Null);
        assert!(!figure.to_string().contains("S-00"), "{figure}");
    }
}

#[tokio::test]
async fn an_erasure_takes_the_days_and_leaves_the_counts() {
    let mut world = World::of::<Happenings>(&made::story()).await;
    let before = now(&world, NOON).await;
    world.erase::<Happenings>(1, &[Scope::HealthClinical]).await;
    let after = now(&world, NOON).await;
    for same in ["enrolment", "completeness", "queries", "verification", "lock", "signatures"] {
        assert_eq!(before[same], after[same], "{same}");
    }
    // Both visits of P1 took place on days that nobody knows any more.
    let counts = &after["visits"]["total"];
    assert_eq!((&counts["unknown"], &counts["in_window"], &counts["planned"]), (&json!(2), &json!(1), &json!(6)));
    assert_eq!(
        after["lag"]["total"],
        json!({"visits": 0, "unknown": 1, "undated": 0, "waiting": 2, "median_days": null})
    );
    let earlier =
        figures(&world, &Figures::default(), Moment::Time(datetime!(2026-11-21 23:59 UTC)), &Sites::All).await;
    assert_eq!(earlier["visits"]["total"]["unknown"], 2, "of an earlier time too");
    assert!(!earlier.to_string().contains("2026-11-18"), "the day of a visit is gone");
}

#[tokio::test]
async fn what_may_hang_on_the_arm_is_not_counted() {
    let plain = now(&World::of::<Happenings>(&made::story()).await, NOON).await;
    let mut story = made::story();
    story.participant(1, made::fired("KIT"));
    story.participant(1, made::asked("q9", made::item("KIT")));
    // A check at an item that is not blinded reads one that is.
    story.participant(1, made::fired("NOTE"));
    story.participant(1, made::asked("q8", made::item("NOTE")));
    let told = now(&World::of::<Happenings>(&story).await, NOON).await;
    for figure in ["queries", "lock"] {
        assert_eq!(told[figure], plain[figure], "{figure}");
    }
    story.participant(1, made::asked("q7", made::item("PULSE")));
    let asked = now(&World::of::<Happenings>(&story).await, NOON).await;
    assert_eq!(asked["queries"]["total"]["asked"], 3);
}

#[tokio::test]
async fn whose_part_in_the_study_ended_is_counted_by_how_and_asked_for_nothing_more() {
    let funnel = async |how: Ending| {
        let mut story = made::story();
        story.participant(2, made::ended(how));
        let found = now(&World::of::<Happenings>(&story).await, NOON).await;
        assert_eq!(found["visits"]["total"]["overdue"], json!(1), "P4 alone is awaited: {how:?}");
        assert_eq!(found["visits"]["total"]["due"], json!(0), "{how:?}");
        assert_eq!(found["lock"]["total"]["by_kind"]["visit-not-started"], json!(1), "{how:?}");
        let line = &found["enrolment"]["total"];
        ["failed", "enrolled", "completed", "withdrawn"].map(|name| line[name].as_u64().expect("a count"))
    };
    assert_eq!(funnel(Ending::ScreenFailed).await, [2, 2, 1, 0], "who failed screening was never enrolled");
    assert_eq!(funnel(Ending::Completed).await, [1, 3, 2, 0]);
    assert_eq!(funnel(Ending::LostToFollowUp).await, [1, 3, 1, 1]);
    assert_eq!(funnel(Ending::Died).await, [1, 3, 1, 1]);
    let mut story = made::story();
    story.participant(2, made::ended(Ending::ScreenFailed));
    story.participant(2, Event::ParticipationResumed { reason: Personal::new("a mistake".to_owned()) });
    let found = now(&World::of::<Happenings>(&story).await, NOON).await;
    assert_eq!(found["enrolment"]["total"]["enrolled"], json!(3));
    assert_eq!(found["lock"]["total"]["by_kind"]["visit-not-started"], json!(2));
}

#[tokio::test]
async fn identifiers_are_counted_beside_what_is_to_be_compared() {
    let mut story = made::story();
    story.saved(1, "VS", &[("BORN", Scope::IdentityCodeList, "1980-01-01")]);
    let found = now(&World::of::<Happenings>(&story).await, NOON).await["verification"].take();
    assert_eq!(
        found["total"],
        json!({"required": 2, "verified": 0, "backlog": 2, "to_verify_again": 1, "excluded_identifiers": 1})
    );
    let left_out = |item: &str, why: &str| json!({"form": "VS", "group": "G", "item": item, "why": why});
    assert_eq!(found["left_out"], json!([left_out("BORN", "identifier"), left_out("KIT", "blinded")]));
}
