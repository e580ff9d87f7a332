//! On a real server: no subject number is given twice, and what was decided before a freeze is not stored after it.

use domain::permit::Role;
use lethe::cli::{ApiError, Client, Reply};
use lethe::platform::random_id;
use serde_json::{Value, json};
use tests::api::{enrol, participant, send, vital_signs};
use tests::home::{Home, cardio};

fn register(number: &str) -> Value {
    json!({"type": "register", "site": "oslo", "subject_number": number})
}

/// Sends all of them at the same time; the answers in their order.
async fn at_once(client: &Client, commands: impl Iterator<Item = (String, Value)>) -> Vec<Result<Reply, ApiError>> {
    let sent: Vec<_> = commands
        .map(|(at, command)| {
            let client = client.clone();
            tokio::spawn(async move { send(&client, &at, command).await })
        })
        .collect();
    let mut answers = Vec::new();
    for one in sent {
        answers.push(one.await.expect("it is answered"));
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_number_is_given_once_across_sites_restarts_and_erasures() {
    let home = Home::with_off_site().await;
    home.live_study().await;
    let doctor = home.client(Role::Investigator).await;
    let ids: Vec<_> = (0..8).map(|_| random_id()).collect();
    let results = at_once(&doctor, ids.iter().map(|id| (participant(*id), register("N-1")))).await;
    let won: Vec<_> = results.iter().zip(&ids).filter(|(result, _)| result.is_ok()).map(|(_, id)| *id).collect();
    let [owner] = won.as_slice() else { panic!("one of them gets it, not {}", won.len()) };
    for refused in results.iter().filter_map(|result| result.as_ref().err()) {
        assert_eq!((refused.status, refused.code.as_str()), (Some(409), "subject-number-taken"));
    }
    let porto = json!({"type": "register", "site": "porto", "subject_number": "N-1"});
    let refused = send(&doctor, &participant(random_id()), porto).await.expect_err("at another site neither");
    assert_eq!(refused.code, "subject-number-taken");

    tests::people::erase(&home, &participant(*owner), None).await;
    let home = home.restart().await;
    let doctor = home.client(Role::Investigator).await;
    let refused = send(&doctor, &participant(random_id()), register("N-1")).await.expect_err("it was taken once");
    assert_eq!((refused.status, refused.code.as_str()), (Some(409), "subject-number-taken"));
    send(&doctor, &participant(*owner), register("N-1")).await.expect("it is theirs: so already");
    enrol(&doctor, "porto", "N-2").await;
    home.stop().await;
}

/// Many save while the study is frozen: those that were taken stand before the freeze in the journal, all others were told.
#[tokio::test(flavor = "multi_thread")]
async fn no_save_is_stored_behind_a_freeze() {
    let home = Home::new().await;
    home.live_study().await;
    let doctor = home.client(Role::Investigator).await;
    let manager = home.client(Role::DataManager).await;
    let mut people = Vec::new();
    for n in 0..24 {
        people.push(participant(enrol(&doctor, "oslo", &format!("N-{n}")).await));
    }
    let study = format!("/v1/studies/{}", cardio());
    let saves = people.into_iter().map(|at| (at, vital_signs("120")));
    let freeze = async {
        let frozen = send(&manager, &study, json!({"type": "freeze-data"})).await.expect("frozen");
        sequence(&frozen.position.expect("a position"))
    };
    let (saved, frozen_at) = tokio::join!(at_once(&doctor, saves), freeze);
    for one in saved {
        match one {
            Ok(reply) => assert!(sequence(&reply.position.expect("a position")) < frozen_at, "stored behind it"),
            Err(refused) => assert_eq!((refused.status, refused.code.as_str()), (Some(409), "frozen")),
        }
    }
    home.stop().await;
}

fn sequence(position: &str) -> u64 {
    position.rsplit(':').next().and_then(|sequence| sequence.parse().ok()).expect("a sequence")
}
