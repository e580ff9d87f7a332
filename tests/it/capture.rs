//! Data capture over HTTP: what an edit check refuses or asks about is on record, and so is every reason.

use std::collections::BTreeSet;

use domain::ids::Environment;
use domain::permit::Role;
use lethe::cli::Client;
use lethe::demo::study;
use lethe::platform::random_id;
use serde_json::{Value, json};
use tests::api::{participant, vital_signs};
use tests::home::{Home, acme, cardio};

/// The demo's study with checks: a pressure of more than 200 is asked about, of more than 400 refused; the diastolic
/// one is below it.
async fn checked_study(home: &Home) {
    let name = "Cardio".parse().expect("valid");
    home.platform.create_study(&acme(), &cardio(), name, Environment::Test).await.expect("a study");
    let limit = |limit: &str, hard: bool| json!({"comparator": "LE", "hard": hard, "values": [limit], "message": {"en": format!("at most {limit}")}});
    let mut design = study::design();
    design["items"][0]["range_checks"] = json!([limit("200", false), limit("400", true)]);
    design["checks"] = json!([{"oid": "order", "name": "Order", "form": "VS", "group": "VS", "item": "DIABP", "hard": true,
        "expression": "value < item(\"SYSBP\")", "message": {"en": "Diastolic is below systolic."}}]);
    let designer = home.client(Role::StudyDesigner).await;
    let path = format!("/v1/studies/{}", study::STUDY);
    let mut broken = design.clone();
    broken["checks"][0]["expression"] = json!("value < item(\"UNHEARD\")");
    let refused = designer.post(&format!("{path}/designs"), &broken).await.expect_err("it reads what is not there");
    assert!(refused.to_string().contains("UNHEARD"), "{refused}");
    let published = designer.post(&format!("{path}/designs"), &design).await.expect("a good design");
    designer.post(&path, &json!({"type": "open-site", "site": "oslo", "name": "Oslo"})).await.expect("a site");
    designer.post(&path, &json!({"type": "go-live", "design": published.body["design"]})).await.expect("live");
}

/// Sends a command that is taken, and says what a reader waits for to see it.
async fn done(client: &Client, at: &str, tag: Option<&str>, body: Value) -> String {
    let reply = client.command(at, random_id(), tag, None, &body).await;
    let reply = reply.unwrap_or_else(|error| panic!("{body}: {error}"));
    reply.position.expect("a position")
}

async fn trail(reader: &Client, at: &str, position: &str) -> Vec<Value> {
    let page = reader.get(&format!("{at}/audit?limit=1000&min_position={position}")).await.expect("a trail").body;
    page["items"].as_array().cloned().unwrap_or_else(|| panic!("{page}"))
}

async fn enrolled(client: &Client) -> String {
    let at = participant(random_id());
    done(client, &at, None, json!({"type": "register", "site": "oslo", "subject_number": "N-1"})).await;
    done(client, &at, None, json!({"type": "give-consent", "version": "2.0"})).await;
    at
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hard_check_refuses_and_is_on_record_a_soft_one_asks() {
    let home = Home::new().await;
    checked_study(&home).await;
    let doctor = home.client(Role::Investigator).await;
    let at = enrolled(&doctor).await;

    let command = random_id();
    let tried = vital_signs("1234567");
    for again in [false, true] {
        let refused = doctor.command(&at, command, None, None, &tried).await.expect_err("refused");
        assert_eq!((refused.status, refused.code.as_str()), (Some(422), "hard-check"), "again: {again}");
        let expected = ("/items/0/value".to_owned(), "range:SYSBP:1: at most 400".to_owned());
        assert_eq!(refused.faults, [expected], "again: {again}");
    }
    let both = json!({"type": "save-items", "visit": "BASELINE", "form": "VS", "items": [
        {"group": "VS", "item": "SYSBP", "value": "120"}, {"group": "VS", "item": "DIABP", "value": "130"}]});
    let refused = doctor.command(&at, random_id(), None, None, &both).await.expect_err("refused");
    assert_eq!(refused.faults, [("/items/1/value".to_owned(), "order: Diastolic is below systolic.".to_owned())]);

    let position = done(&doctor, &at, None, vital_signs("222")).await;
    let entries = trail(&doctor, &at, &position).await;
    let fired: Vec<_> = entries.iter().filter(|entry| entry["event"] == "check-fired").collect();
    let told =
        |entry: &Value| ["check", "outcome"].map(|key| entry["details"][key].as_str().unwrap_or_default().to_owned());
    let told: Vec<_> = fired.iter().map(|entry| told(entry)).collect();
    let expected = [["range:SYSBP:1", "refused"], ["order", "refused"], ["range:SYSBP:0", "accepted"]];
    assert_eq!(told, expected.map(|one| one.map(str::to_owned)), "each attempt once: {entries:?}");
    for (entry, value) in fired.iter().zip(["1234567", "130", "222"]) {
        assert!(entry.to_string().contains(value), "what was tried is kept: {entry}");
    }
    let casebook = doctor.get(&format!("{at}/casebook?min_position={position}")).await.expect("a casebook").body;
    assert!(casebook.to_string().contains("222") && !casebook.to_string().contains("1234567"), "{casebook}");
    assert!(entries.iter().any(|entry| entry["event"] == "query-opened"), "the soft check asks: {entries:?}");
    home.stop().await;
}

/// Who sends it, what, and whether the form's tag goes with it. `WHY` stands where the reason goes.
type Step = (Role, &'static str, bool, Value);

fn place() -> Value {
    json!({"level": "form", "visit": "BASELINE", "form": "VS"})
}

/// A history in which each command that takes a reason can be sent.
fn steps() -> Vec<Step> {
    use Role::{Controller, DataManager, Investigator, Monitor};
    let on = |kind: &str, more: Value| {
        let mut body = json!({"type": kind, "visit": "BASELINE"});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    let form = |kind: &str| on(kind, json!({"form": "VS", "reason": "WHY"}));
    let held = |kind: &str| json!({"type": kind, "place": place(), "reason": "WHY"});
    let changed = json!({"type": "save-items", "visit": "BASELINE", "form": "VS", "items": [
        {"group": "VS", "item": "SYSBP", "value": "125", "reason": "WHY"}]});
    vec![
        (Investigator, "", false, on("start-visit", json!({"on": "2025-11-19"}))),
        (Investigator, "start-visit", false, on("start-visit", json!({"on": "2025-11-20", "reason": "WHY"}))),
        (Investigator, "miss-visit", false, on("miss-visit", json!({"visit": "WEEK-4", "reason": "WHY"}))),
        (Investigator, "", false, full_form()),
        (Investigator, "save-items", true, changed),
        (Investigator, "", false, on("complete-form", json!({"form": "VS"}))),
        (Investigator, "reopen-form", false, form("reopen-form")),
        (Investigator, "remove-form", false, form("remove-form")),
        (Investigator, "restore-form", false, form("restore-form")),
        (Monitor, "", false, on("verify", json!({"form": "VS"}))),
        (Monitor, "withdraw-verification", false, form("withdraw-verification")),
        (Monitor, "freeze", false, held("freeze")),
        (Monitor, "unfreeze", false, held("unfreeze")),
        (DataManager, "lock", false, held("lock")),
        (DataManager, "unlock", false, held("unlock")),
        (Controller, "waive-eligibility", false, json!({"type": "waive-eligibility", "reason": "WHY"})),
        (Investigator, "", false, json!({"type": "randomise", "list": "main"})),
        (Investigator, "ask-unblinding", false, json!({"type": "ask-unblinding", "reason": "WHY"})),
        (
            Investigator,
            "record-inadvertent-unblinding",
            false,
            json!({"type": "record-inadvertent-unblinding", "reason": "WHY"}),
        ),
        (
            Investigator,
            "end-participation",
            false,
            json!({"type": "end-participation", "how": "lost-to-follow-up", "on": "2026-01-31", "reason": "WHY"}),
        ),
        (Investigator, "resume-participation", false, json!({"type": "resume-participation", "reason": "WHY"})),
        (Investigator, "withdraw-consent", false, json!({"type": "withdraw-consent", "reason": "WHY"})),
        (Investigator, "withdraw", false, json!({"type": "withdraw", "reason": "WHY"})),
    ]
}

fn full_form() -> Value {
    let values = [("SYSBP", "120"), ("DIABP", "80"), ("PULSE", "70"), ("WEIGHT", "70.5")];
    let items = values.map(|(item, value)| json!({"group": "VS", "item": item, "value": value}));
    json!({"type": "save-items", "visit": "BASELINE", "form": "VS", "items": items})
}

/// The commands that the described API gives a reason.
fn with_a_reason() -> BTreeSet<String> {
    let described = serde_json::to_value(lethe::platform::openapi()).expect("plain data");
    let commands =
        described["components"]["schemas"]["ParticipantCommand"]["oneOf"].as_array().expect("commands").clone();
    let flat = |command: &Value| {
        let mut parts = command["allOf"].as_array().cloned().unwrap_or_default();
        parts.push(command.clone());
        parts
    };
    let property = |command: &Value, name: &str| {
        flat(command).iter().map(|part| part["properties"][name].clone()).find(|found| !found.is_null())
    };
    let names = commands.iter().filter(|command| property(command, "reason").is_some());
    let name = |command: &Value| property(command, "type").and_then(|kind| Some(kind["enum"][0].as_str()?.to_owned()));
    // The reason for a change stands beside the item, not beside the command.
    names.filter_map(name).chain(["save-items".to_owned()]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reason_is_found_in_the_audit_trail() {
    let told: BTreeSet<String> =
        steps().into_iter().filter(|step| !step.1.is_empty()).map(|step| step.1.to_owned()).collect();
    assert_eq!(told, with_a_reason(), "the table has every command that takes a reason");
    let home = Home::new().await;
    home.live_study().await;
    let doctor = home.client(Role::Investigator).await;
    let (monitor, manager) = (home.client(Role::Monitor).await, home.client(Role::DataManager).await);
    let controller = home.client(Role::Controller).await;
    let list = json!({"type": "seal", "arms": [{"arm": "A", "weight": 1}, {"arm": "B", "weight": 1}], "block_sizes": [2],
        "slots": 4});
    let unblinded = home.client(Role::Unblinded).await;
    unblinded.post("/v1/studies/cardio-1/randomisation/main", &list).await.expect("sealed");
    let at = enrolled(&doctor).await;
    let mut tag = None;
    for (n, (role, name, tagged, body)) in steps().into_iter().enumerate() {
        let reason = format!("because of {n} {name}");
        let body: Value = serde_json::from_str(&body.to_string().replace("WHY", &reason)).expect("JSON");
        let client = match role {
            Role::Monitor => &monitor,
            Role::DataManager => &manager,
            Role::Controller => &controller,
            _ => &doctor,
        };
        let sent = client.command(&at, random_id(), tag.as_deref().filter(|_| tagged), None, &body).await;
        let reply = sent.unwrap_or_else(|error| panic!("{body}: {error}"));
        if body["type"] == "save-items" {
            tag = reply.etag;
        }
        let entries = trail(&doctor, &at, &reply.position.expect("a position")).await;
        let last = entries.iter().rev().any(|entry| entry.to_string().contains(&reason));
        assert!(name.is_empty() || last, "{name}: {entries:?}");
    }
    home.stop().await;
}
