use super::*;
use crate::testing::{Story, World};
use domain::port::Progress as _;
use domain::scope::Scope;
use std::time::Duration;

/// A world whose read models have seen all of a story, and are not running any more.
async fn seen() -> (Story, World) {
    let mut story = Story::new();
    story.registered(1, "oslo");
    story.saved(1, "VS", &[("SYSBP", Scope::HealthClinical, "120")]);
    story.consented(1);
    let world = World::told(&story);
    world.runner.start().await.expect("starts");
    let end = &story.commits.last().expect("something happened").position;
    assert!(world.runner.wait_for(end, Duration::from_secs(60)).await.expect("is followed"));
    world.runner.stop().await;
    (story, world)
}

/// What a start says.
async fn refusal(world: &World) -> String {
    let outcome = world.restarted(world.store.clone()).runner.start().await;
    match outcome {
        Err(Failure::Damaged { what, detail }) => format!("{what}: {detail}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_whole_journal_passes() {
    let (_, world) = seen().await;
    world.restarted(world.store.clone()).runner.start().await.expect("starts");
}

#[tokio::test]
async fn a_journal_that_was_cut_is_refused_and_says_what_is_lost() {
    let (story, world) = seen().await;
    world.journal.cut(&story.journal(), 2);
    let refusal = refusal(&world).await;
    for word in ["the journal of study cardio", "ends at 2", "commit 3", "lost", "backup"] {
        assert!(refusal.contains(word), "{word}: {refusal}");
    }
}

#[tokio::test]
async fn a_journal_that_was_cut_and_written_again_is_refused() {
    let (mut story, world) = seen().await;
    world.journal.cut(&story.journal(), 2);
    let mut last = story.commits.pop().expect("three commits");
    last.hash.0[0] ^= 1;
    world.journal.tell(&[last]);
    let refusal = refusal(&world).await;
    assert!(refusal.contains("another commit"), "{refusal}");
}

#[tokio::test]
async fn a_journal_that_is_gone_is_refused() {
    let (story, world) = seen().await;
    world.journal.lose(&story.journal());
    let refusal = refusal(&world).await;
    assert!(refusal.contains("the journal of study cardio") && refusal.contains("not there"), "{refusal}");
}

#[tokio::test]
async fn a_restored_journal_is_refused_until_the_read_models_are_built_again() {
    let (_, world) = seen().await;
    world.journal.restore();
    let refusal = refusal(&world).await;
    assert!(refusal.contains("incarnation 2"), "{refusal}");
}

#[tokio::test]
async fn a_rebuild_is_refused_as_well() {
    let (story, world) = seen().await;
    world.journal.cut(&story.journal(), 2);
    let before = world.store.dump();
    let outcome = crate::rebuild(&world.runner, &crate::Which::All, |_| {}).await;
    assert!(matches!(outcome, Err(Failure::Damaged { .. })), "{outcome:?}");
    assert_eq!(world.store.dump(), before, "the witness is kept");
}
