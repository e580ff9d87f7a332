//! Reviews of an audit trail and of rights, what an erasure touches, and that a study moved on: over HTTP.

use std::ops::ControlFlow;
use std::time::Duration;

use domain::ids::Environment;
use domain::permit::Role;
use lethe::cli::{ApiError, Client, Reply};
use lethe::platform::random_id;
use serde_json::{Value, json};
use tests::api::{adverse_event, enrol, identity, participant, send, vital_signs};
use tests::door::{Person, Turned, home_by};
use tests::home::Home;
use tests::people::known;

const STUDY: &str = "/v1/studies/cardio-1";

fn refused(answer: Result<Reply, ApiError>) -> (Option<u16>, String) {
    let error = answer.expect_err("refused");
    (error.status, error.code)
}

/// A value that was entered and changed twice.
async fn changed(doctor: &Client, number: &str) -> (uuid::Uuid, String) {
    let person = enrol(doctor, "oslo", number).await;
    let mut last: Option<Reply> = None;
    for (n, value) in ["120", "121", "122", "123"].into_iter().enumerate() {
        let mut save = vital_signs(value);
        if n > 0 {
            save["items"].as_array_mut().expect("items").iter_mut().for_each(|item| item["reason"] = "misread".into());
        }
        let tag = last.as_ref().and_then(|reply| reply.etag.as_deref());
        last = Some(doctor.command(&participant(person), random_id(), tag, None, &save).await.expect("saved"));
    }
    (person, last.and_then(|reply| reply.position).expect("a position"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_review_of_the_trail_is_recorded_by_who_looked_and_goes_on_where_it_ended() {
    let home = Home::new().await;
    home.live_study().await;
    let doctor = home.client(Role::Investigator).await;
    let (person, at) = changed(&doctor, "N-1").await;
    let manager = home.client(Role::DataManager).await;
    let unusual = format!("{STUDY}/audit/unusual?day_begins=0&day_ends=24");
    let looked = manager.get(&format!("{unusual}&min_position={at}")).await.expect("may look").body;
    let often = &looked["items"][0];
    assert_eq!((often["rule"].as_str(), often["count"].as_u64()), (Some("often"), Some(3)), "{looked}");
    assert_eq!(often["participant"], json!(person));
    assert!(!looked.to_string().contains("123") || !looked.to_string().contains("misread"), "no value, no reason");

    // Nobody at another site is told of it.
    let bergen = home.at_site(Role::Monitor, "bergen").await;
    assert_eq!(bergen.get(&unusual).await.expect("may look").body["items"], json!([]));

    let reviews = format!("{STUDY}/audit/reviews");
    let (after, through) = (looked["after"].clone(), looked["through"].clone());
    let review = json!({"review": random_id(), "after": after, "through": through, "finding": "FINDING explained"});
    let recorded = manager.post(&reviews, &review).await.expect("recorded").position.expect("a position");
    manager.post(&reviews, &review).await.expect("once");
    let auditor = home.client(Role::Auditor).await;
    let listed = auditor.get(&format!("{reviews}?min_position={recorded}")).await.expect("may read").body;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed}");
    let first = &listed["items"][0];
    assert_eq!((&first["finding"], &first["of"]["through"]), (&json!("FINDING explained"), &through));
    assert_eq!(first["act"]["actor"]["role"], "data-manager");
    assert_eq!(first["of"]["sites"], "all");
    // What was found may name anybody at any site.
    let of_oslo = home.at_site(Role::Monitor, "oslo").await;
    assert_eq!(of_oslo.get(&reviews).await.expect("may read").body["items"], json!([]));
    let own = json!({"review": random_id(), "after": 0, "through": through, "finding": "seen"});
    let at = of_oslo.post(&reviews, &own).await.expect("recorded").position.expect("a position");
    let listed = of_oslo.get(&format!("{reviews}?min_position={at}")).await.expect("may read").body;
    assert_eq!(listed["items"][0]["of"]["sites"], json!({"only": ["oslo"]}), "{listed}");

    let next = manager.get(&format!("{unusual}&after={through}")).await.expect("may look").body;
    assert_eq!((&next["items"], &next["more"]), (&json!([]), &json!(false)), "what was reviewed is behind");

    let blank = json!({"review": random_id(), "after": 0, "through": 5, "finding": " "});
    assert_eq!(refused(manager.post(&reviews, &blank).await), (Some(422), "no-finding".to_owned()));
    let nothing = json!({"review": random_id(), "after": 5, "through": 5, "finding": "x"});
    assert_eq!(refused(manager.post(&reviews, &nothing).await), (Some(422), "nothing-reviewed".to_owned()));
    for path in [&unusual, &reviews] {
        assert_eq!(refused(doctor.get(path).await), (Some(403), "forbidden".to_owned()), "{path}");
        let other = home.client_with(Role::DataManager, |token| token.environment = Environment::Qa).await;
        assert_eq!(refused(other.get(path).await).0, Some(404), "{path}");
    }
    assert_eq!(refused(doctor.post(&reviews, &review).await).0, Some(403));
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_says_when_it_was_used_and_a_review_of_rights_is_on_record() {
    let clock = Turned::now();
    let home = home_by(&clock).await;
    let ada = Person::first(&home, &clock).await;
    let grace = ada.invite(&home, "monitor", "grace", "Grace Hopper").await;
    let users = ada.session.get("/v1/users").await.expect("may ask").body;
    let of = |user: &str| {
        let users = users["items"].as_array().expect("users").iter();
        users.clone().find(|known| known["user"] == user).cloned().expect("is there")
    };
    let right = of(&grace.user)["rights"][0].clone();
    assert!(right["given_at"].is_string() && right["used_at"].is_string(), "opening an account is a session: {right}");
    let review = json!({"review": random_id(), "finding": "All rights are needed."});
    let at = ada.session.post("/v1/users/reviews", &review).await.expect("recorded").position.expect("a position");
    let listed = ada.session.get(&format!("/v1/users/reviews?min_position={at}")).await.expect("listed").body;
    // Ada acts in PROD or TEST as her session does: where it was recorded, it is listed.
    assert_eq!(listed["items"][0]["finding"], "All rights are needed.");
    assert_eq!(listed["items"][0]["of"]["what"], "access");
    assert_eq!(refused(grace.session.post("/v1/users/reviews", &review).await).0, Some(403));
    assert_eq!(refused(grace.session.get("/v1/users/reviews").await).0, Some(403));
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_erasure_touches_is_counted_before_it_is_approved() {
    let home = Home::new().await;
    home.live_study().await;
    let doctor = home.client(Role::Investigator).await;
    let person = enrol(&doctor, "oslo", "N-1").await;
    send(&doctor, &participant(person), vital_signs("120")).await.expect("saved");
    send(&doctor, &participant(person), adverse_event("headache")).await.expect("saved");
    let details = identity("Ada", "Lovelace", "ada@example.org");
    send(&doctor, &format!("{}/identity", participant(person)), details).await.expect("recorded");
    let at = format!("{}/privacy", participant(person));
    let (dpo, erasure) = (home.client(Role::Dpo).await, random_id());
    let scopes = json!(["identity.contact", "health.free-text"]);
    let ask =
        json!({"type": "request-erasure", "erasure": erasure, "justification": "consent-withdrawn", "scopes": scopes});
    let asked = send(&dpo, &at, ask).await.expect("asked for").position.expect("a position");
    known(&dpo, erasure, &asked).await;
    let impact = dpo.get(&format!("/v1/erasures/{erasure}/impact")).await.expect("may ask").body;
    let stream = |name: &str| {
        let streams = impact["streams"].as_array().expect("streams").iter();
        streams.clone().find(|one| one["stream"] == name).cloned().expect("is there")
    };
    assert_eq!(stream("identity")["values_gone"], 1, "{impact}");
    assert!(stream("identity")["values_kept"].as_u64() > Some(0), "the name stays: {impact}");
    assert!(stream("participant")["values_gone"].as_u64() > Some(0), "{impact}");
    assert!(impact["keys"].as_u64() >= Some(2), "{impact}");
    let models: Vec<_> = impact["read_models"].as_array().expect("models").iter().map(|one| &one["model"]).collect();
    for model in ["casebook", "identity", "audit"] {
        assert!(models.contains(&&json!(model)), "{model}: {models:?}");
    }
    assert!(!impact.to_string().contains("headache"), "no value");
    assert_eq!(
        refused(home.client(Role::Monitor).await.get(&format!("/v1/erasures/{erasure}/impact")).await).0,
        Some(403)
    );
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn that_a_study_moved_on_is_told_as_positions_and_nothing_else() {
    let home = Home::new().await;
    home.live_study().await;
    let doctor = home.client(Role::Investigator).await;
    let viewer = home.client(Role::SponsorViewer).await;
    let (mut heard, events) = (Vec::new(), format!("{STUDY}/events"));
    let (tell, mut told) = tokio::sync::mpsc::channel::<()>(1);
    let moving = async {
        // Nothing is written before somebody listens.
        told.recv().await.expect("somebody listens");
        let person = enrol(&doctor, "oslo", "N-1").await;
        send(&doctor, &participant(person), vital_signs("120")).await.expect("saved");
    };
    let each = |said: Value| {
        let _ = tell.try_send(());
        heard.push(said);
        if heard.len() < 2 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let (listened, ()) = tokio::join!(viewer.events(&events, Duration::from_secs(60), each), moving);
    listened.expect("events");
    assert_eq!(heard.len(), 2);
    assert_ne!(heard[0], heard[1]);
    for said in &heard {
        assert!(said["position"].as_str().is_some_and(|at| at.contains("cardio-1")), "{said}");
        assert_eq!(said.as_object().map(serde_json::Map::len), Some(1), "{said}");
    }
    let other = home.client_with(Role::SponsorViewer, |token| token.environment = Environment::Qa).await;
    assert_eq!(refused(other.get(&events).await), (Some(404), "no-such-study".to_owned()));
    home.stop().await;
}
