use std::sync::Arc;

use domain::history::{Aggregate, StreamId};
use domain::ids::Environment;
use domain::participant::{self, Participant};
use domain::permit::Role;
use domain::port::{Dice, Failure};
use domain::study::Study;
use futures_util::future::join_all;
use uuid::Uuid;

use super::*;
use crate::testing::*;

mod kept;

fn register(number: usize) -> participant::Command {
    let subject_number = number.to_string().parse().expect("valid");
    participant::Command::Register { site: "oslo".parse().expect("valid"), subject_number }
}

fn participant(n: u128) -> StreamId {
    StreamId::in_study(&acme(), &cardio(), Aggregate::Participant, Uuid::from_u128(n))
}

/// What one registration writes.
const REGISTERED: [&str; 2] = ["participant-registered", "design-assigned"];

#[tokio::test]
async fn a_conflict_is_decided_anew_and_too_many_are_told() {
    let (world, commands, tenant, _) = live_study().await;
    let request = commands.request(person(Role::Investigator, 1));
    commands.execute::<Participant>(&tenant, &participant(1), &register(1), &request).await.expect("registered");
    let consent = participant::Command::GiveConsent { version: "1".parse().expect("valid"), reference: None };
    let request = commands.request(person(Role::Investigator, 1));
    world.conflict_next(ATTEMPTS_MAX - 1);
    let before = world.drafts().len();
    let done = commands.execute::<Participant>(&tenant, &participant(1), &consent, &request).await;
    assert_eq!(done.map(|done| done.revision.0).map_err(|refusal| refusal.to_string()), Ok(2));
    assert_eq!(world.drafts().len() - before, ATTEMPTS_MAX as usize);

    world.conflict_next(u32::MAX);
    let request = commands.request(person(Role::Investigator, 1));
    let refused = commands.execute::<Participant>(&tenant, &participant(2), &register(2), &request).await;
    assert!(matches!(refused, Err(Refusal::Contended)), "{refused:?}");
}

/// The freeze is stored between the decision of a save and its append: the save is decided anew, and refused.
#[tokio::test]
async fn what_was_decided_before_a_freeze_is_not_stored_after_it() {
    let (world, commands, tenant, _) = live_study().await;
    let by = |role| commands.request(person(role, 1));
    let doctor = || by(Role::Investigator);
    commands.execute::<Participant>(&tenant, &participant(1), &register(1), &doctor()).await.expect("registered");
    let consent = participant::Command::GiveConsent { version: "1".parse().expect("valid"), reference: None };
    commands.execute::<Participant>(&tenant, &participant(1), &consent, &doctor()).await.expect("consented");
    let study = StreamId::in_study(&acme(), &cardio(), Aggregate::Study, cardio());
    let freeze = domain::study::Command::FreezeData { site: None, reason: None };
    let item = serde_json::json!({"group": "G", "item": "SYSBP", "value": "120"});
    let save = serde_json::json!({"type": "save-items", "visit": "V1", "form": "VS", "items": [item]});
    let save = serde_json::from_value(save).expect("a command");
    let (manager, request, record) = (by(Role::DataManager), doctor(), participant(1));
    // Both are decided before either is stored; the one that is asked first is stored first.
    let (frozen, saved) = tokio::join!(
        biased;
        commands.execute::<Study>(&tenant, &study, &freeze, &manager),
        commands.execute::<Participant>(&tenant, &record, &save, &request),
    );
    frozen.expect("frozen");
    let tried = world.drafts().iter().filter(|draft| draft.stream == participant(1)).count();
    assert_eq!(tried, 3, "the save was decided, and tried, before the freeze was there");
    let Err(Refusal::Rejected(answer)) = saved else { panic!("stored behind the freeze: {saved:?}") };
    assert_eq!(domain::rejection::Rejection::code(&answer), "frozen");
    assert!(!world.events(&participant(1)).contains(&"items-saved".to_owned()));
}

#[tokio::test]
async fn of_those_who_race_each_is_decided_on_what_the_one_before_left() {
    let (world, commands, tenant, _) = live_study().await;
    let racers = (0..8).map(|number| {
        let (commands, tenant) = (commands.clone(), tenant.clone());
        async move {
            let request = commands.request(person(Role::Investigator, 1));
            commands.execute::<Participant>(&tenant, &participant(1), &register(number), &request).await
        }
    });
    let results = join_all(racers).await;
    let codes: Vec<_> = results.iter().map(|result| result.as_ref().err().map(ToString::to_string)).collect();
    assert_eq!(codes.iter().filter(|code| code.is_none()).count(), 1, "{codes:?}");
    let otherwise = "this participant id is registered already, at another site or under another subject number";
    assert_eq!(codes.iter().flatten().filter(|code| *code == otherwise).count(), 7, "{codes:?}");
    assert_eq!(world.events(&participant(1)), REGISTERED);
}

#[tokio::test]
async fn an_append_whose_answer_was_lost_is_found_again_by_its_command_id() {
    let (world, commands, tenant, _) = live_study().await;
    let request = commands.request(person(Role::Investigator, 1));
    for n in 0.. {
        world.fail_at(n, When::After);
        let result = commands.execute::<Participant>(&tenant, &participant(1), &register(1), &request).await;
        if world.heal() {
            assert_eq!(
                result.map(|done| (done.revision.0, done.events)).map_err(|refusal| refusal.to_string()),
                Ok((1, 2)),
                "registered, and a design assigned"
            );
            break;
        }
        assert!(matches!(result, Err(Refusal::Failed(Failure::Unavailable { .. }))), "{result:?}");
    }
    assert_eq!(world.events(&participant(1)), REGISTERED);
}

#[tokio::test]
async fn every_commit_of_a_participant_is_guarded_by_the_study() {
    let (world, commands, tenant, _) = live_study().await;
    let request = commands.request(person(Role::Investigator, 1));
    commands.execute::<Participant>(&tenant, &participant(1), &register(1), &request).await.expect("registered");
    let study = StreamId::in_study(&acme(), &cardio(), Aggregate::Study, cardio());
    let tail = tenant.journal.load(&study, Default::default()).await.expect("in memory").last().map(Commit::tail);
    let guard = tail.map(|tail| (study, tail));
    assert_eq!(world.drafts().last().and_then(|draft| draft.guard.clone()), guard);
    let consent = participant::Command::GiveConsent { version: "1".parse().expect("valid"), reference: None };
    let request = commands.request(person(Role::Investigator, 1));
    commands.execute::<Participant>(&tenant, &participant(1), &consent, &request).await.expect("consented");
    assert_eq!(world.drafts().last().and_then(|draft| draft.guard.clone()), guard);
}

#[tokio::test]
async fn the_commit_says_who_when_and_under_which_command() {
    let (world, commands, tenant, _) = live_study().await;
    let captured_at = time::macros::datetime!(2026-11-20 08:00 UTC);
    let request = Request { captured_at: Some(captured_at), ..commands.request(person(Role::Coordinator, 5)) };
    commands.execute::<Participant>(&tenant, &participant(1), &register(1), &request).await.expect("registered");
    let draft = world.drafts().pop().expect("one");
    assert_eq!(draft.actor, request.principal.actor);
    assert_eq!((draft.command, draft.correlation), (request.command, request.correlation));
    assert_eq!((draft.captured_at, draft.stored_at), (captured_at, domain::port::Clock::now(&*world)));
    assert_eq!(draft.environment, Environment::Test);
}

#[tokio::test]
async fn a_study_is_created_once_and_only_where_its_journal_stream_is() {
    let (_, commands, tenant) = commands();
    let study = cardio();
    let create = |environment| commands.create_study(&tenant, &study, "Cardio".parse().expect("valid"), environment);
    assert_eq!(create(Environment::Test).await.expect("provisioned").events, 1);
    assert_eq!(create(Environment::Test).await.expect("provisioned").events, 0);
    assert!(matches!(create(Environment::Prod).await, Err(Refusal::NoSuchStudy)));
    let other = "other".parse().expect("valid");
    let lost = commands.create_study(&tenant, &other, "Other".parse().expect("valid"), Environment::Test).await;
    assert!(matches!(lost, Err(Refusal::Failed(Failure::Missing { .. }))), "{lost:?}");
    let stream = StreamId::in_study(&acme(), &other, Aggregate::Study, &other);
    let go_live = domain::study::Command::GoLive { design: Default::default() };
    let request = commands.request(person(Role::StudyDesigner, 1));
    let unknown = commands.execute::<Study>(&tenant, &stream, &go_live, &request).await;
    assert!(matches!(unknown, Err(Refusal::NoSuchStudy)), "{unknown:?}");
}

#[tokio::test]
async fn a_token_is_known_by_its_hash_and_its_text_is_nowhere() {
    let (world, commands, tenant) = commands();
    let user = domain::ids::UserId(world.uuid());
    let organisation: domain::ids::OrganisationId = "hospital".parse().expect("valid");
    let kind = domain::user::AccountKind::User;
    let registered = commands.register_user(&tenant, user, kind, organisation.clone(), "Grace Hopper".into()).await;
    assert_eq!(registered.expect("registered").events, 1);
    let terms = crate::admin::Terms {
        role: Role::Dpo,
        environment: Environment::Test,
        organisation,
        sites: domain::permit::Sites::All,
        expires_at: time::macros::datetime!(2027-01-01 00:00 UTC),
    };
    let token = commands.issue_token(&tenant, user, terms).await.expect("issued");
    assert_eq!(crate::admin::tenant_of_token(&token.text), Some(acme()));
    assert_eq!(token.text.len(), "lethe_acme_".len() + 43);
    assert_eq!(crate::admin::tenant_of_token("lethe_acme_short"), None);
    let bodies: String =
        world.drafts().iter().flat_map(|draft| &draft.events).map(|event| event.body.to_string()).collect();
    assert!(bodies.contains(&crate::admin::token_hash(&token.text).to_string()));
    let secret = token.text.rsplit('_').next().expect("a secret");
    assert!(!bodies.contains(secret) && !format!("{token:?}").contains(secret));
    assert_eq!(commands.revoke_token(&tenant, user, token.id).await.expect("revoked").events, 1);
}

#[tokio::test]
async fn no_state_about_a_person_is_kept_beside_those_that_are_vouched_for() {
    let (_, commands, tenant, _) = live_study().await;
    let cache = &commands.governing;
    let study = StreamId::in_study(&acme(), &cardio(), Aggregate::Study, cardio());
    let first = cache.current::<Study>(&tenant, &study).await.expect("in memory");
    let second = cache.current::<Study>(&tenant, &study).await.expect("in memory");
    assert!(Arc::ptr_eq(&first, &second), "the study is kept");
    let request = commands.request(person(Role::Investigator, 1));
    commands.execute::<Participant>(&tenant, &participant(1), &register(1), &request).await.expect("registered");
    let first = cache.current::<Participant>(&tenant, &participant(1)).await.expect("in memory");
    let second = cache.current::<Participant>(&tenant, &participant(1)).await.expect("in memory");
    assert!(first.state.record().is_some() && !Arc::ptr_eq(&first, &second), "a person is read anew");
}
