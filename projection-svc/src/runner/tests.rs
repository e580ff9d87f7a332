use super::*;
use crate::casebook;
use crate::overview;
use crate::shown::Visible;
use crate::testing::{MemoryStore, Story, World, json, participant};
use domain::permit::Sites;
use domain::scope::Scope;
use serde_json::json;

/// Longer than anything here takes: a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

fn story() -> Story {
    let mut story = Story::new();
    for n in 1..=5 {
        story.registered(n, "oslo");
        story.consented(n);
        story.saved(n, "VS", &[("SYSBP", Scope::HealthClinical, "120")]);
    }
    story
}

fn end(story: &Story) -> Position {
    story.commits.last().expect("something happened").position.clone()
}

async fn caught_up(world: &World, story: &Story) {
    assert!(world.runner.wait_for(&end(story), PATIENCE).await.expect("is followed"), "never caught up");
}

async fn registered(world: &World) -> u64 {
    overview::show(&world.tenant, &Story::study_id(), &Sites::All).await.expect("reads").total.registered
}

#[tokio::test]
async fn it_follows_from_the_start_and_what_comes_later() {
    let mut story = story();
    let world = World::told(&story);
    world.runner.start().await.expect("starts");
    caught_up(&world, &story).await;
    assert_eq!(registered(&world).await, 5);
    assert_eq!(world.runner.reflected(), [end(&story)]);

    let before = story.commits.len();
    story.registered(6, "oslo");
    world.journal.tell(&story.commits[before..]);
    caught_up(&world, &story).await;
    assert_eq!(registered(&world).await, 6);
}

#[tokio::test]
async fn a_new_runner_goes_on_where_the_last_one_stopped() {
    let mut story = story();
    let world = World::told(&story);
    world.runner.start().await.expect("starts");
    caught_up(&world, &story).await;
    world.runner.stop().await;
    let before = story.commits.len();
    story.registered(6, "oslo");
    world.journal.tell(&story.commits[before..]);

    let again = world.restarted(Arc::clone(&world.store));
    again.runner.start().await.expect("starts");
    caught_up(&again, &story).await;
    assert_eq!(registered(&again).await, 6, "nobody counts twice");
}

#[tokio::test]
async fn what_a_failed_disk_took_back_is_taken_in_again_before_anybody_is_told_so() {
    let mut story = story();
    let world = World::told(&story);
    world.runner.start().await.expect("starts");
    caught_up(&world, &story).await;
    let earlier = world.store.dump();
    let before = story.commits.len();
    story.registered(6, "oslo");
    world.journal.tell(&story.commits[before..]);
    caught_up(&world, &story).await;
    assert_eq!(registered(&world).await, 6);

    // Nothing is written, so only who looks after the store notices.
    let mut reached = lock(&world.runner.shared.reached)[&end(&story).study].subscribe();
    world.store.fail(earlier);
    reached.wait_for(|reached| reached.position.sequence == 0).await.expect("it is noticed");
    caught_up(&world, &story).await;
    assert_eq!(registered(&world).await, 6, "nobody is missing, nobody counts twice");
    let before = story.commits.len();
    story.registered(7, "oslo");
    world.journal.tell(&story.commits[before..]);
    caught_up(&world, &story).await;
    assert_eq!(registered(&world).await, 7, "and it goes on");
}

#[tokio::test]
async fn a_store_that_is_gone_gives_the_same_answers_again() {
    let story = story();
    let world = World::told(&story);
    world.runner.start().await.expect("starts");
    caught_up(&world, &story).await;
    let again = world.restarted(Arc::new(MemoryStore::default()));
    again.runner.start().await.expect("starts");
    caught_up(&again, &story).await;
    for world in [&world, &again] {
        assert_eq!(registered(world).await, 5);
        let casebook = casebook::show(&world.tenant, &Story::study_id(), &participant(3), &Visible::all()).await;
        assert_eq!(json(&casebook.expect("reads"))["forms"][0]["items"][0]["value"], "120");
    }
    assert!(world.store.dump() == again.store.dump(), "row by row, as the fake cells seal alike in the same order");
}

#[tokio::test]
async fn a_study_that_is_added_later_is_followed_beside_the_first() {
    let story = story();
    let world = World::told(&story);
    world.runner.start().await.expect("starts");
    let mut other = Story::of_study("onco");
    other.registered(1, "oslo");
    world.journal.tell(&other.commits);
    let missing = world.runner.wait_for(&end(&other), PATIENCE).await;
    assert!(matches!(missing, Err(Failure::Missing { .. })), "{missing:?}");
    for _ in 0..2 {
        world.runner.add_journal(other.journal()).await.expect("follows");
    }
    caught_up(&world, &other).await;
    caught_up(&world, &story).await;
    assert_eq!(registered(&world).await, 5);
    let onco = overview::show(&world.tenant, &"onco".parse().expect("valid"), &Sites::All).await.expect("reads");
    assert_eq!(onco.total.registered, 1);
    assert_eq!(world.runner.reflected().len(), 2);
}

#[tokio::test]
async fn a_journal_that_does_not_answer_is_asked_again() {
    let mut story = story();
    let world = World::told(&story);
    world.runner.start().await.expect("starts");
    caught_up(&world, &story).await;
    world.journal.fail(3);
    let before = story.commits.len();
    story.registered(6, "oslo");
    world.journal.tell(&story.commits[before..]);
    caught_up(&world, &story).await;
    assert_eq!(
        json(&world.runner.health()),
        json!([{"study": "cardio", "reflected": "cardio:1:16", "behind": 0, "state": "following"}])
    );
}

#[tokio::test]
async fn who_waits_for_what_has_not_happened_is_told_so_in_time() {
    let story = story();
    let world = World::told(&story);
    world.runner.start().await.expect("starts");
    let future = Position { sequence: 99, ..end(&story) };
    assert!(!world.runner.wait_for(&future, Duration::from_millis(10)).await.expect("is followed"));
    let restored = Position { incarnation: 2, ..end(&story) };
    let refused = world.runner.wait_for(&restored, PATIENCE).await;
    assert!(matches!(refused, Err(Failure::Missing { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_damaged_commit_stops_its_journal_and_no_other() {
    let story = story();
    let world = World::told(&story);
    let mut broken = Story::of_study("broken");
    broken.registered(1, "oslo");
    broken.registered(2, "oslo");
    broken.commits[1].events[0].body = json!({}).into();
    world.journal.tell(&broken.commits);
    world.runner.start().await.expect("starts");
    caught_up(&world, &story).await;
    assert!(!world.runner.wait_for(&end(&broken), PATIENCE).await.expect("is known"));
    let health = json(&world.runner.health());
    assert_eq!((&health[0]["study"], &health[0]["state"]), (&json!("broken"), &json!("stopped")));
    assert!(health[0]["reason"].as_str().is_some_and(|reason| reason.contains("commit 1 of participant/")), "{health}");
    assert_eq!(health[1]["state"], "following");
}

#[tokio::test]
async fn an_erasure_reaches_every_read_model_by_its_markers() {
    let mut story = story();
    let world = World::told(&story);
    world.runner.start().await.expect("starts");
    caught_up(&world, &story).await;
    let person = domain::history::DataSubject(participant(2).0);
    world.keys.erase(person, &domain::scope::Extent::of_scopes([Scope::HealthClinical]));
    let before = story.commits.len();
    story.fenced(2, &domain::scope::Extent::of_scopes([Scope::HealthClinical]));
    world.journal.tell(&story.commits[before..]);
    caught_up(&world, &story).await;
    for (n, expected) in [(1, json!("120")), (2, json!({"erased": "health.clinical"}))] {
        let casebook = casebook::show(&world.tenant, &Story::study_id(), &participant(n), &Visible::all()).await;
        assert_eq!(json(&casebook.expect("reads"))["forms"][0]["items"][0]["value"], expected);
    }
}
