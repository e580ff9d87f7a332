//! A command sent again has no second effect, however late and however often.

use domain::permit::Role;
use lethe::platform::random_id;
use serde_json::json;
use tests::api::{enrol, participant, vital_signs};
use tests::home::Home;

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_answered_as_before_also_after_a_restart() {
    let home = Home::new().await;
    home.live_study().await;
    let integrator = home.client(Role::Integrator).await;
    let at = participant(enrol(&integrator, "oslo", "N-1").await);
    let id = random_id();
    let first = integrator.command(&at, id, None, None, &vital_signs("120")).await.expect("saved");
    let again = integrator.command(&at, id, None, None, &vital_signs("120")).await.expect("answered");
    assert_eq!((&first.etag, &first.position), (&again.etag, &again.position));

    let home = home.restart().await;
    let integrator = home.client(Role::Integrator).await;
    let again = integrator.command(&at, id, None, None, &vital_signs("120")).await.expect("answered");
    assert_eq!((&first.etag, &first.position), (&again.etag, &again.position));
    let other = integrator.command(&at, id, None, None, &vital_signs("121")).await.expect_err("another body");
    assert_eq!((other.status, other.code.as_str()), (Some(422), "idempotency-key-reused"));
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_who_write_one_form_at_once_one_wins_and_the_others_are_told() {
    let home = Home::new().await;
    home.live_study().await;
    let integrator = home.client(Role::Integrator).await;
    let at = participant(enrol(&integrator, "oslo", "N-1").await);
    let first = integrator.command(&at, random_id(), None, None, &vital_signs("120")).await.expect("saved");
    let tag = first.etag.expect("a tag");
    let writers = (0..20).map(|n| {
        let (integrator, at, tag) = (integrator.clone(), at.clone(), tag.clone());
        tokio::spawn(async move {
            let change = json!({"type": "save-items", "visit": "BASELINE", "form": "VS", "items": [
                {"group": "VS", "item": "SYSBP", "value": 130 + n, "reason": "measured again"}]});
            integrator.command(&at, random_id(), Some(&tag), None, &change).await.map_err(|error| error.status)
        })
    });
    let mut won = 0;
    for writer in writers.collect::<Vec<_>>() {
        match writer.await.expect("it ends") {
            Ok(_) => won += 1,
            Err(status) => assert_eq!(status, Some(412)),
        }
    }
    assert_eq!(won, 1);
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn others_on_the_same_stream_are_decided_anew_inside() {
    let home = Home::new().await;
    home.live_study().await;
    let integrator = home.client(Role::Integrator).await;
    let at = participant(enrol(&integrator, "oslo", "N-1").await);
    let writers = ["BASELINE", "WEEK-4", "WEEK-12"].map(|visit| {
        let (integrator, at) = (integrator.clone(), at.clone());
        tokio::spawn(async move {
            let save = json!({"type": "save-items", "visit": visit, "form": "VS", "items": [{"group": "VS", "item": "PULSE", "value": 70}]});
            integrator.command(&at, random_id(), None, None, &save).await.map(|reply| reply.status)
        })
    });
    for writer in writers {
        assert_eq!(writer.await.expect("it ends").expect("saved"), 200);
    }
    home.stop().await;
}
