use super::*;
use crate::audit::Audit;
use crate::casebook::{self, Casebooks};
use crate::overview::Overviews;
use crate::shown::Visible;
use crate::testing::{Story, World, json, participant};
use domain::scope::{Part, Scope};
use serde_json::{Value, json};

fn folding<P: Projection>(world: &World, story: &Story) -> Box<dyn Folding> {
    let stores = Stores { store: world.store.clone(), cells: world.cells.clone() };
    let table = tables::live_table(world.store.as_ref(), P::NAME).expect("was prepared");
    model::<P>().fold(&stores, table, &story.journal()).expect("reads")
}

async fn take_in<P: Projection>(world: &World, story: &Story, commits: &[Commit]) -> Result<(), Failure> {
    let mut fold = folding::<P>(world, story);
    for commit in commits {
        fold.take(commit).await?;
    }
    fold.flush().await
}

async fn values(world: &World) -> Vec<Value> {
    let casebook = casebook::show(&world.tenant, &Story::study_id(), &participant(1), &Visible::all()).await;
    let forms = casebook.expect("reads").forms;
    forms.iter().flat_map(|form| form.items.iter().map(|item| json(&item.value))).collect()
}

fn story() -> Story {
    let mut story = Story::new();
    story.registered(1, "oslo");
    story.saved(1, "VS", &[("SYSBP", Scope::HealthClinical, "120"), ("NOTE", Scope::HealthFreeText, "tired")]);
    story
}

#[tokio::test]
async fn a_cell_that_did_not_change_is_not_sealed_anew() {
    let mut story = story();
    let world = World::told(&story);
    take_in::<Casebooks>(&world, &story, &story.commits).await.expect("folds");
    assert_eq!(world.cells.count(), 2, "one cell for the clinical values, one for the text");
    story.saved(1, "VS", &[("AAA", Scope::HealthClinical, "60")]);
    take_in::<Casebooks>(&world, &story, &story.commits).await.expect("folds");
    assert_eq!(world.cells.count(), 3, "the text has a key of its own and stays as it is");
    assert_eq!(values(&world).await, [json!("60"), json!("tired"), json!("120")]);
}

/// Between the fence and the next lease a process may still hold what it read before. The marker itself ends it.
#[tokio::test]
async fn a_marker_ends_what_was_read_before_it_even_while_a_key_still_opens() {
    let mut story = story();
    story.fenced(1, &domain::scope::Extent::of_scopes([Scope::HealthClinical]));
    let erased = json!({"erased": "health.clinical"});
    for batch in [1, usize::MAX] {
        let world = World::told(&story);
        for commits in story.commits.chunks(batch.min(story.commits.len())) {
            take_in::<Casebooks>(&world, &story, commits).await.expect("folds");
        }
        assert_eq!(values(&world).await, [json!("tired"), erased.clone()], "in batches of {batch}");
    }
}

/// A new generation of a scope, after an erasure: what came before the marker stays gone.
#[tokio::test]
async fn what_is_written_after_a_marker_is_kept_and_what_was_before_is_not() {
    let mut story = story();
    story.fenced(1, &domain::scope::Extent::of_scopes([Scope::HealthClinical]));
    story.saved(1, "VS", &[("AAA", Scope::HealthClinical, "60")]);
    let world = World::told(&story);
    take_in::<Casebooks>(&world, &story, &story.commits).await.expect("folds");
    assert_eq!(values(&world).await, [json!("60"), json!("tired"), json!({"erased": "health.clinical"})]);
}

/// The key is fenced before the marker is written: what is read and sealed in between is erased already.
#[tokio::test]
async fn a_fence_without_its_marker_is_enough() {
    let mut story = story();
    let world = World::told(&story);
    take_in::<Casebooks>(&world, &story, &story.commits).await.expect("folds");
    world.keys.erase(
        domain::history::DataSubject(uuid::Uuid::from_u128(1)),
        &domain::scope::Extent::of_scopes([Scope::HealthClinical]),
    );
    assert_eq!(values(&world).await, [json!("tired"), json!({"erased": "health.clinical"})]);
    story.saved(1, "VS", &[("AAA", Scope::HealthClinical, "60")]);
    take_in::<Casebooks>(&world, &story, &story.commits).await.expect("folds");
    let erased = json!({"erased": "health.clinical"});
    assert_eq!(values(&world).await, [erased.clone(), json!("tired"), erased]);
}

#[tokio::test]
async fn a_cell_opens_only_in_its_own_row() {
    let mut story = story();
    story.saved(1, "AE", &[("SYSBP", Scope::HealthClinical, "999")]);
    let world = World::told(&story);
    take_in::<Casebooks>(&world, &story, &story.commits).await.expect("folds");
    let table = tables::live_table(world.store.as_ref(), Casebooks::NAME).expect("was prepared");
    let prefix = RowKey::about(Some(&Story::study_id()), crate::row::person(participant(1)), "").bytes();
    let rows = world.store.scan(&table, &prefix, None, 9).expect("reads");
    let [(first, _), (_, second)] = &rows[..] else { panic!("two forms") };
    let moved = Change::Put { key: first.clone(), value: second.clone() };
    world.store.apply(&table, &[moved]).expect("writes");
    let casebook = casebook::show(&world.tenant, &Story::study_id(), &participant(1), &Visible::all()).await;
    assert!(matches!(casebook, Err(Failure::Damaged { .. })), "{casebook:?}");
}

#[tokio::test]
async fn a_commit_of_another_incarnation_is_refused() {
    let story = story();
    let world = World::told(&story);
    take_in::<Overviews>(&world, &story, &story.commits[..1]).await.expect("folds");
    let mut later = story.commits[1].clone();
    later.position.incarnation = 2;
    let refused = take_in::<Overviews>(&world, &story, &[later]).await;
    assert!(matches!(refused, Err(Failure::Damaged { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_fact_without_its_shape_is_damaged_and_nothing_of_the_batch_is_written() {
    let story = story();
    let world = World::told(&story);
    let mut commits = story.commits.clone();
    commits[1].events[0].body = json!({"form": 7}).into();
    for outcome in
        [take_in::<Casebooks>(&world, &story, &commits).await, take_in::<Audit>(&world, &story, &commits).await]
    {
        let Err(Failure::Damaged { what, detail }) = outcome else { panic!("{outcome:?}") };
        assert_eq!(what, format!("commit 2 of participant/{}", participant(1)));
        assert!(detail.contains("form"), "{detail}");
    }
    assert!(!world.store.contains_bytes(b"V1"));
}

#[tokio::test]
async fn a_marker_that_names_no_scopes_is_damaged() {
    let mut story = story();
    story.fenced(1, &domain::scope::Extent::of_scopes([Scope::HealthClinical]));
    let world = World::told(&story);
    let mut commits = story.commits.clone();
    commits[3].events[0].body = json!({"scopes": ["health.unheard-of"]}).into();
    let outcome = take_in::<Casebooks>(&world, &story, &commits).await;
    assert!(matches!(outcome, Err(Failure::Damaged { .. })), "{outcome:?}");
}

#[tokio::test]
async fn redacting_one_text_leaves_the_others() {
    let mut story = story();
    story.saved(1, "VS", &[("OTHER", Scope::HealthFreeText, "well")]);
    let mut commits = story.commits.clone();
    // As the journal reads a redacted part: its section does not open.
    let text = &mut commits[1].events[0].body["items"][1]["value"]["$personal"];
    let redacted: Part = text["part"].as_str().expect("a part").to_owned().try_into().expect("valid");
    text.as_object_mut().expect("an object").remove("value");
    let world = World::told(&story);
    take_in::<Casebooks>(&world, &story, &commits).await.expect("folds");
    let erased = json!({"erased": "health.free-text"});
    assert_eq!(values(&world).await, [erased, json!("well"), json!("120")]);
    assert_ne!(redacted, Part::all());
}
