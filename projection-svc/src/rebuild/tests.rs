use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::casebook::Casebooks;
use crate::overview;
use crate::participants;
use crate::projection::Projection as _;
use crate::row::RowKey;
use crate::testing::{Story, World, participant};
use domain::permit::Sites;
use domain::port::{Change, Progress as _, ReadStore as _};
use domain::scope::Scope;

fn story() -> Story {
    let mut story = Story::new();
    for n in 1..=5 {
        story.registered(n, "oslo");
        story.saved(n, "VS", &[("SYSBP", Scope::HealthClinical, "120")]);
    }
    story
}

async fn followed(story: &Story) -> World {
    let world = World::told(story);
    world.runner.start().await.expect("starts");
    caught_up(&world, story).await;
    world
}

async fn caught_up(world: &World, story: &Story) {
    let end = &story.commits.last().expect("something happened").position;
    assert!(world.runner.wait_for(end, Duration::from_secs(60)).await.expect("is followed"), "never caught up");
}

fn live(world: &World, name: &str) -> Live {
    tables::live(world.store.as_ref(), name).expect("reads").expect("was prepared")
}

fn tables_of(world: &World, name: &str) -> Vec<String> {
    world.store.dump().into_keys().filter(|table| table.starts_with(name)).collect()
}

#[tokio::test]
async fn it_finds_no_difference_and_the_new_table_serves() {
    let mut story = story();
    let world = followed(&story).await;
    let told = Mutex::new(Vec::new());
    let report = rebuild(&world.runner, &Which::All, |progress| told.lock().expect("no panic").push(progress)).await;
    let report = report.expect("rebuilds");
    assert_eq!(report.projections.len(), crate::projections().len());
    for rebuilt in &report.projections {
        assert_eq!(rebuilt.comparison.differences, 0, "{rebuilt:?}");
        assert_eq!(live(&world, rebuilt.projection).generation, 2);
        assert_eq!(tables_of(&world, &format!("{}@", rebuilt.projection)), [format!("{}@2", rebuilt.projection)]);
    }
    let casebook = report.projections.iter().find(|rebuilt| rebuilt.projection == "casebook");
    assert_eq!(casebook.expect("is there").comparison.rows, 5);
    let told = told.into_inner().expect("no panic");
    assert_eq!(told.last(), Some(&RebuildProgress { stage: Stage::Switching, done: 10, total: 10 }));
    let mut stages: Vec<Stage> = told.iter().map(|progress| progress.stage).collect();
    stages.dedup();
    assert_eq!(stages, [Stage::Building, Stage::CatchingUp, Stage::Comparing, Stage::Switching]);

    // What comes afterwards reaches the new table.
    let before = story.commits.len();
    story.registered(6, "oslo");
    world.journal.tell(&story.commits[before..]);
    caught_up(&world, &story).await;
    let overview = overview::show(&world.tenant, &Story::study_id(), &Sites::All).await.expect("reads");
    assert_eq!(overview.total.registered, 6);
}

#[tokio::test]
async fn it_names_what_was_wrong_and_puts_it_right() {
    let world = followed(&story()).await;
    let table = tables::live_table(world.store.as_ref(), Casebooks::NAME).expect("was prepared");
    let key = |n: u128| {
        let person = crate::row::person(participant(n));
        RowKey::about(Some(&Story::study_id()), person, crate::casebook::form_path(&Story::form("VS")))
    };
    let broken = Change::Put { key: key(1).bytes(), value: b"no row".to_vec() };
    let lost = Change::Delete { key: key(2).bytes() };
    let stolen = world.store.get(&table, &key(3).bytes()).expect("reads").expect("is there");
    let invented = Change::Put { key: key(9).bytes(), value: stolen };
    world.store.apply(&table, &[broken, lost, invented]).expect("writes");

    let which = Which::One("casebook".to_owned());
    let report = rebuild(&world.runner, &which, |_| {}).await.expect("rebuilds");
    let [rebuilt] = &report.projections[..] else { panic!("{report:?}") };
    assert_eq!((rebuilt.comparison.rows, rebuilt.comparison.differences), (5, 3));
    assert_eq!(
        rebuilt.comparison.named,
        [
            format!("{}: the rows differ", key(1)),
            format!("{}: only the new table has it", key(2)),
            format!("{}: only the serving table has it", key(9)),
        ]
    );
    assert_eq!((live(&world, "casebook").generation, live(&world, "overview").generation), (2, 1));
    let again = rebuild(&world.runner, &which, |_| {}).await.expect("rebuilds");
    assert_eq!(again.projections[0].comparison.differences, 0);
}

#[tokio::test]
async fn without_a_runner_that_follows_it_takes_in_the_whole_journal() {
    let world = World::told(&story());
    let report = rebuild(&world.runner, &Which::All, |_| {}).await.expect("rebuilds");
    assert!(report.projections.iter().all(|rebuilt| rebuilt.comparison.differences == 0), "{report:?}");
    let found = participants::list(&world.tenant, &Story::study_id(), &Sites::All, None, 10).await.expect("reads");
    assert_eq!(found.items.len(), 5);
    world.runner.start().await.expect("starts");
}

#[tokio::test]
async fn an_erased_person_stays_erased() {
    let mut story = story();
    let world = followed(&story).await;
    world.keys.erase(
        domain::history::DataSubject(participant(2).0),
        &domain::scope::Extent::of_scopes([Scope::HealthClinical]),
    );
    let before = story.commits.len();
    story.fenced(2, &domain::scope::Extent::of_scopes([Scope::HealthClinical]));
    world.journal.tell(&story.commits[before..]);
    caught_up(&world, &story).await;
    let report = rebuild(&world.runner, &Which::All, |_| {}).await.expect("rebuilds");
    assert!(report.projections.iter().all(|rebuilt| rebuilt.comparison.differences == 0), "{report:?}");
}

#[tokio::test]
async fn readers_are_answered_while_it_runs_and_writing_goes_on() {
    let mut story = story();
    let world = Arc::new(followed(&story).await);
    for n in 6..40 {
        story.registered(n, "oslo");
    }
    let later = story.commits[10..].to_vec();
    let journal = world.journal.clone();
    let rebuilding = {
        let world = Arc::clone(&world);
        tokio::spawn(async move { rebuild(&world.runner, &Which::All, |_| {}).await })
    };
    for commit in later {
        journal.tell(&[commit]);
        let overview = overview::show(&world.tenant, &Story::study_id(), &Sites::All).await.expect("reads");
        assert!(overview.total.registered >= 5, "a reader saw an empty table");
        tokio::task::yield_now().await;
    }
    let report = rebuilding.await.expect("no panic").expect("rebuilds");
    assert!(report.projections.iter().all(|rebuilt| rebuilt.comparison.differences == 0), "{report:?}");
    caught_up(&world, &story).await;
    let overview = overview::show(&world.tenant, &Story::study_id(), &Sites::All).await.expect("reads");
    assert_eq!(overview.total.registered, 39);
}

#[tokio::test]
async fn an_unheard_of_read_model_is_an_answer() {
    let world = World::told(&story());
    let outcome = rebuild(&world.runner, &Which::One("nonsense".to_owned()), |_| {}).await;
    assert!(matches!(outcome, Err(Failure::Missing { .. })), "{outcome:?}");
}

#[tokio::test]
async fn many_batches_are_the_same_as_one() {
    let mut story = Story::new();
    for n in 1..=700 {
        story.registered(n, "oslo");
        story.saved(n, "VS", &[("SYSBP", Scope::HealthClinical, "120")]);
    }
    let world = followed(&story).await;
    let told = Mutex::new(Vec::new());
    let report =
        rebuild(&world.runner, &Which::All, |progress| told.lock().expect("no panic").push(progress.done)).await;
    let report = report.expect("rebuilds");
    assert!(report.projections.iter().all(|rebuilt| rebuilt.comparison.differences == 0), "{report:?}");
    let told = told.into_inner().expect("no panic");
    assert!(told.is_sorted() && told.iter().any(|done| (1..1400).contains(done)), "{told:?}");
}

#[tokio::test]
async fn what_one_table_cannot_take_ends_it_and_what_served_serves() {
    let mut story = story();
    let last = story.commits.last_mut().expect("something happened");
    last.events.iter_mut().for_each(|event| event.body = serde_json::json!({"nonsense": true}).into());
    let world = World::told(&story);
    let before = world.store.dump();
    let outcome = rebuild(&world.runner, &Which::All, |_| {}).await;
    assert!(matches!(outcome, Err(Failure::Damaged { .. })), "{outcome:?}");
    assert_eq!(world.store.dump(), before, "nothing is left of it");
}
