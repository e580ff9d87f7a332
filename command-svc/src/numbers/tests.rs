use domain::participant;
use domain::permit::Role;
use domain::rejection::Rejection as _;
use futures_util::future::join_all;
use uuid::Uuid;

use super::*;
use crate::execute::Done;
use crate::testing::*;

fn record(n: u128) -> StreamId {
    StreamId::in_study(&acme(), &cardio(), Aggregate::Participant, Uuid::from_u128(n))
}

/// Registers participant `n` under `number`, as a request of its own.
async fn register(commands: &Commands, tenant: &Tenant, n: u128, number: &str) -> Result<Done, String> {
    let request = commands.request(person(Role::Investigator, 1));
    sent(commands, tenant, n, number, &request).await
}

async fn sent(commands: &Commands, tenant: &Tenant, n: u128, number: &str, request: &Request) -> Result<Done, String> {
    let (site, subject_number) = ("oslo".parse().expect("valid"), number.parse().expect("valid"));
    let command = participant::Command::Register { site, subject_number };
    let done = commands.execute_participant(tenant, &record(n), command, request).await;
    done.map_err(|refusal| match refusal {
        Refusal::Rejected(answer) => answer.code().to_owned(),
        other => other.to_string(),
    })
}

#[tokio::test]
async fn no_number_is_given_twice() {
    let (world, commands, tenant, _) = live_study().await;
    register(&commands, &tenant, 1, "N-1").await.expect("it is free");
    assert_eq!(register(&commands, &tenant, 2, "N-1").await, Err("subject-number-taken".into()));
    assert_eq!(world.events(&record(2)), Vec::<String>::new(), "nothing of the second is stored");
    register(&commands, &tenant, 2, "N-2").await.expect("another one is free");
    let again = register(&commands, &tenant, 1, "N-1").await.expect("it is hers");
    assert_eq!(again.events, 0);
}

#[tokio::test]
async fn what_is_refused_takes_no_number() {
    let (world, commands, tenant, _) = live_study().await;
    let request = commands.request(person(Role::Investigator, 1));
    let elsewhere = participant::Command::Register {
        site: "paris".parse().expect("valid"),
        subject_number: "N-1".parse().expect("valid"),
    };
    commands.execute_participant(&tenant, &record(1), elsewhere, &request).await.expect_err("no such site");
    assert!(world.drafts().iter().all(|draft| draft.stream.aggregate != Aggregate::SubjectNumber));
    register(&commands, &tenant, 2, "N-1").await.expect("it is free");
}

#[tokio::test]
async fn of_many_in_several_processes_one_gets_it() {
    let (world, commands, tenant, _) = live_study().await;
    let processes = [commands, another_process(&world), another_process(&world)];
    let racers = (1..=12).map(|n| {
        let (commands, tenant) = (processes[n as usize % 3].clone(), tenant.clone());
        async move { register(&commands, &tenant, n, "N-1").await }
    });
    let results = join_all(racers).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    let taken = |result: &&Result<Done, String>| **result == Err("subject-number-taken".into());
    assert_eq!(results.iter().filter(taken).count(), 11, "{results:?}");
}

/// Wherever it stops, before or after any call: the same participant gets the number when it is asked for again, by
/// another process too, and nobody else does once it is claimed.
#[tokio::test]
async fn a_crash_loses_no_number() {
    for when in [When::Before, When::After] {
        for n in 0.. {
            let (world, commands, tenant, _) = live_study().await;
            let request = commands.request(person(Role::Investigator, 1));
            world.fail_at(n, when);
            let first = sent(&commands, &tenant, 1, "N-1", &request).await;
            let finished = world.heal();
            let other = register(&another_process(&world), &tenant, 2, "N-1").await;
            let again = sent(&another_process(&world), &tenant, 1, "N-1", &request).await;
            assert!(again.is_ok() != other.is_ok(), "one of them has it: {again:?}, {other:?}");
            assert!(first.is_err() || again.is_ok(), "what was acknowledged holds");
            if finished {
                break;
            }
        }
    }
}

#[tokio::test]
async fn numbers_that_were_given_before_numbers_were_claimed_stay_taken() {
    let (world, commands, tenant, _) = live_study().await;
    register(&commands, &tenant, 1, "N-1").await.expect("it is free");
    register(&commands, &tenant, 2, "N-2").await.expect("it is free");
    world.forget(Aggregate::SubjectNumber);
    let later = another_process(&world);
    assert_eq!(register(&later, &tenant, 3, "N-2").await, Err("subject-number-taken".into()));
    register(&later, &tenant, 3, "N-3").await.expect("it is free");
    let again = register(&later, &tenant, 1, "N-1").await.expect("it is hers");
    assert_eq!(again.events, 0);
}

#[tokio::test]
async fn the_number_stands_in_no_id() {
    let (world, commands, tenant, _) = live_study().await;
    register(&commands, &tenant, 1, "CANARY-1").await.expect("it is free");
    let digest = domain::design::content_hash(b"CANARY-1").to_string();
    for draft in world.drafts() {
        let said = format!("{} {:?} {:?}", draft.stream, draft.command, draft.correlation);
        assert!(!said.contains("CANARY") && !said.contains(&digest), "{said}");
    }
    let claims = world.drafts().into_iter().filter(|draft| draft.stream.aggregate == Aggregate::SubjectNumber);
    assert_eq!(claims.count(), 2, "the key and the claim");
}
