//! Erased is erased: in every answer, after a restart, after a rebuild, and in an old copy beside the live root keys.

use domain::permit::Role;
use lethe::cli::{Client, follow};
use lethe::platform::random_id;
use serde_json::{Value, json};
use tests::api::{adverse_event, enrol, identity, participant, send, vital_signs};
use tests::home::{Folder, Home, copy};

/// Every answer about a participant, and the study's counts.
async fn answers(investigator: &Client, at: &str) -> Vec<Value> {
    let mut answers = Vec::new();
    for path in [at.to_owned(), format!("{at}/casebook"), format!("{at}/identity"), format!("{at}/audit")] {
        answers.push(match investigator.get(&path).await {
            Ok(reply) => reply.body,
            Err(error) => json!({"refused": error.code}),
        });
    }
    answers.push(
        investigator.get(&format!("/v1/studies/{}/overview", lethe::demo::study::STUDY)).await.expect("counts").body,
    );
    answers
}

async fn erase(home: &Home, at: &str, scopes: Option<Value>) -> Value {
    let (dpo, controller) = (home.client(Role::Dpo).await, home.client(Role::Controller).await);
    let (path, erasure) = (format!("{at}/privacy"), random_id());
    let mut request = json!({"type": "request-erasure", "erasure": erasure, "justification": "consent-withdrawn"});
    if let Some(scopes) = scopes {
        request["scopes"] = scopes;
    }
    send(&dpo, &path, request).await.expect("asked for");
    let approve =
        json!({"type": "approve-erasure", "erasure": erasure, "instruction": "DPA-1", "accept_single_copy": true});
    let approved = send(&controller, &path, approve).await.expect("approved");
    follow(&dpo, erasure, approved.position.as_deref(), |_| {}).await.expect("followed")
}

/// Two participants of one study with everything about them; the second is the control.
async fn two_people(home: &Home) -> (Client, String, String) {
    home.live_study().await;
    let investigator = home.client(Role::Investigator).await;
    let mut places = Vec::new();
    for (number, name) in [("N-1", "Ingrid"), ("N-2", "Matthias")] {
        let at = participant(enrol(&investigator, "oslo", number).await);
        let vault = identity(name, "Kvistberg-Secret", &format!("{name}@post.example"));
        send(&investigator, &format!("{at}/identity"), vault).await.expect("recorded");
        send(&investigator, &at, vital_signs("137")).await.expect("saved");
        let last = send(&investigator, &at, adverse_event("a headache nobody else had")).await.expect("saved");
        let position = last.position.expect("a position");
        investigator.get(&format!("{at}/casebook?min_position={position}")).await.expect("readable");
        places.push(at);
    }
    (investigator, places.remove(0), places.remove(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_person_is_gone_from_every_answer_and_the_rest_stays() {
    let home = Home::new().await;
    let (investigator, erased, control) = two_people(&home).await;
    let control_before = answers(&investigator, &control).await;
    let before = answers(&investigator, &erased).await;
    assert!(Value::from(before.clone()).to_string().contains("a headache nobody else had"));

    let done = erase(&home, &erased, None).await;
    assert_eq!(done["phase"], "completed", "{done}");
    let after = answers(&investigator, &erased).await;
    let text = Value::from(after.clone()).to_string();
    for value in ["\"137\"", "headache", "Ingrid", "Kvistberg", "post.example"] {
        assert!(!text.contains(value), "{value} is still shown: {text}");
    }
    assert_eq!((&after[1]["refused"], &after[2]["refused"]), (&json!("erased"), &json!("erased")));
    let entries = |answer: &Value| answer["items"].as_array().map_or(0, Vec::len);
    assert!(entries(&after[3]) >= entries(&before[3]), "the audit trail keeps its structure");
    assert_eq!(after[4]["total"]["registered"], 2);
    assert_eq!(after[4]["total"]["erased"], 1);

    let control_after = answers(&investigator, &control).await;
    assert_eq!(control_before[..4], control_after[..4], "nobody else is touched");
    let late = send(&investigator, &erased, vital_signs("140")).await.expect_err("late data is refused, loudly");
    assert_eq!((late.status, late.code.as_str()), (Some(410), "erased"));
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_scope_goes_and_the_others_stay() {
    let home = Home::new().await;
    let (investigator, erased, _) = two_people(&home).await;
    let done = erase(&home, &erased, Some(json!(["identity.contact"]))).await;
    assert_eq!(done["phase"], "completed", "{done}");
    let after = answers(&investigator, &erased).await;
    let identity = after[2].to_string();
    assert!(identity.contains("Ingrid") && !identity.contains("post.example"), "{identity}");
    assert!(identity.contains(r#"{"erased":"identity.contact"}"#), "erased is said, not null: {identity}");
    assert!(after[1].to_string().contains("\"137\""), "the values are still there: {}", after[1]);
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_value_is_redacted_and_everything_else_stays() {
    let home = Home::new().await;
    let (investigator, at, _) = two_people(&home).await;
    let audit = investigator.get(&format!("{at}/audit")).await.expect("the trail").body;
    let entries = audit["items"].as_array().expect("entries");
    let entry = entries.iter().find(|entry| entry["item"]["item"] == "AETERM").expect("the adverse event");
    let value = entry["redactable"]["new"].clone();
    assert_eq!(value["scope"], "health.free-text", "{entry}");

    let (dpo, controller) = (home.client(Role::Dpo).await, home.client(Role::Controller).await);
    let (path, erasure) = (format!("{at}/privacy"), random_id());
    let ask = json!({"type": "request-erasure", "erasure": erasure, "values": [value], "justification": "objection"});
    send(&dpo, &path, ask).await.expect("asked for");
    let approve =
        json!({"type": "approve-erasure", "erasure": erasure, "instruction": "DPA-1", "accept_single_copy": true});
    let approved = send(&controller, &path, approve).await.expect("approved");
    let done = follow(&dpo, erasure, approved.position.as_deref(), |_| {}).await.expect("followed");
    assert_eq!((&done["phase"], &done["destroyed"]["keys"]), (&json!("completed"), &json!(1)), "{done}");

    let after = answers(&investigator, &at).await;
    let casebook = after[1].to_string();
    assert!(casebook.contains(r#"{"erased":"health.free-text"}"#) && !casebook.contains("headache"), "{casebook}");
    assert!(casebook.contains("\"137\"") && after[2].to_string().contains("Ingrid"), "{after:?}");
    assert_eq!((&after[0]["erased"], &after[0]["redacted"]), (&json!([]), &json!(1)));
    let again = json!({"type": "save-items", "visit": "BASELINE", "form": "AE", "items": [{"group": "AE", "item": "AETERM", "value": "a headache", "reason": "redacted"}]});
    let form = after[1]["forms"].as_array().expect("forms").iter().find(|form| form["form"] == "AE").expect("saved");
    let tag = format!("\"{}\"", form["tag"]);
    investigator.command(&at, random_id(), Some(&tag), None, &again).await.expect("a new text is taken");
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_is_followed_step_by_step_as_events() {
    let home = Home::new().await;
    let (_, at, _) = two_people(&home).await;
    let (dpo, controller) = (home.client(Role::Dpo).await, home.client(Role::Controller).await);
    let (path, erasure) = (format!("{at}/privacy"), random_id());
    let ask = json!({"type": "request-erasure", "erasure": erasure, "justification": "objection"});
    let asked = send(&dpo, &path, ask).await.expect("asked for").position.expect("a position");
    let (told, mut phases) = tokio::sync::mpsc::unbounded_channel();
    let listening = tokio::spawn(async move {
        let each = |event: Value| {
            told.send(event).expect("the test listens");
            std::ops::ControlFlow::Continue(())
        };
        let address = format!("/v1/erasures/{erasure}?min_position={asked}");
        dpo.events(&address, std::time::Duration::from_secs(60), each).await.expect("events");
    });
    let first = phases.recv().await.expect("how it stands");
    assert_eq!((&first["phase"], &first["waiting_for"]), (&json!("assessed"), &json!("approval")));
    let approve =
        json!({"type": "approve-erasure", "erasure": erasure, "instruction": "DPA-1", "accept_single_copy": true});
    send(&controller, &path, approve).await.expect("approved");
    listening.await.expect("the platform ends the answer when nothing is left to do");
    let mut last = first;
    while let Some(event) = phases.recv().await {
        assert_ne!(event, last, "an event is news");
        assert!(event["steps"].as_array().map(Vec::len) >= last["steps"].as_array().map(Vec::len));
        last = event;
    }
    assert_eq!((&last["phase"], &last["waiting_for"]), (&json!("completed"), &json!("nobody")));
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_and_a_restart_give_the_same_answers() {
    let home = Home::new().await;
    let (investigator, erased, control) = two_people(&home).await;
    erase(&home, &erased, None).await;
    let before = [answers(&investigator, &erased).await, answers(&investigator, &control).await];

    let operator = Client::new(home.platform.url(), home.platform.operator_token());
    let mut reports = Vec::new();
    let all = json!({"tenant": "acme", "projection": null});
    operator.lines("/v1/admin/rebuild", &all, |line| reports.push(line)).await.expect("it is rebuilt");
    let rebuilt: Vec<_> = reports.iter().filter(|line| line["kind"] == "report").collect();
    assert!(rebuilt.len() >= 5 && rebuilt.iter().all(|line| line["differences"] == 0), "{reports:?}");
    let token_outlives = answers(&investigator, &erased).await;
    assert_eq!(before[0], token_outlives);

    // From nothing: the store directory is gone.
    let folder = home.stop().await;
    std::fs::remove_dir_all(folder.data().join("tenants/acme/store")).expect("there was a store");
    let home = Home::start(folder).await;
    let investigator = home.client(Role::Investigator).await;
    for (place, before) in [(&erased, &before[0]), (&control, &before[1])] {
        assert_eq!(*before, answers(&investigator, place).await);
    }
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn yesterdays_data_beside_the_live_root_keys_opens_nobodys_erased_values() {
    let home = Home::new().await;
    let (_, erased, _) = two_people(&home).await;
    let folder = home.stop().await;
    let backup = Folder::new();
    copy(&folder.data(), &backup.data());
    let home = Home::start(folder).await;
    assert_eq!(erase(&home, &erased, None).await["phase"], "completed");
    let folder = home.stop().await;
    // The old data directory with the root keys of today.
    copy(&folder.kms(), &backup.kms());
    let options = lethe::platform::Options::new(&backup.data(), &backup.kms()).install_nats_server();
    let refused = lethe::platform::Platform::start(options).await;
    // The old tree's root is destroyed: nothing of it can be served, and it is said so.
    assert!(refused.is_err(), "an old copy of the key tree must not open under today's root keys");
}
