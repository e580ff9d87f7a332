use axum::body::Body;
use axum::http::Request as HttpRequest;
use domain::history::{Aggregate, StreamId};
use domain::ids::ErasureId;
use domain::port::{Keys, Target};
use domain::scope::Scope;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::testing::*;

const ADA: &str = "/participants/c56a4180-65aa-42ec-a945-5fd21dec0538";
const ADA_ID: &str = "c56a4180-65aa-42ec-a945-5fd21dec0538";

fn ada(aggregate: Aggregate) -> StreamId {
    StreamId::in_study(&acme(), &cardio(), aggregate, ADA_ID)
}

fn register() -> Value {
    json!({"type": "register", "site": "oslo", "subject_number": "001"})
}

fn consent() -> Value {
    json!({"type": "give-consent", "version": "1.0"})
}

fn save(value: Value) -> Value {
    let item = json!({"group": "G", "item": "SYSBP", "value": value});
    json!({"type": "save-items", "visit": "V1", "form": "VS", "items": [item]})
}

fn change(value: &str, reason: Option<&str>) -> Value {
    let mut command = save(json!(value));
    if let Some(reason) = reason {
        command["items"][0]["reason"] = json!(reason);
    }
    command
}

async fn enrol(http: &Http) {
    for (command, status) in [(register(), 201), (consent(), 200)] {
        assert_eq!(http.post("investigator", ADA, &command).await.status, status);
    }
}

#[tokio::test]
async fn a_command_answers_with_its_tag_and_its_position() {
    let (world, .., http) = live_study().await;
    let reply = http.post("investigator", ADA, &register()).await;
    assert_eq!(reply.status, 201);
    let sequence = world.commits();
    assert_eq!(reply.body, json!({"revision": 1, "position": format!("cardio:1:{sequence}"), "events": 2}));
    assert_eq!(reply.header("etag"), "\"1\"");
    assert_eq!(reply.header("lethe-position"), format!("cardio:1:{sequence}"));
    let again = http.post("investigator", ADA, &register()).await;
    assert_eq!((again.status, &again.body["events"]), (200, &json!(0)), "it is so already");
    assert_eq!(world.commits(), sequence);
}

#[tokio::test]
async fn the_tag_of_a_form_is_the_last_revision_that_touched_it() {
    let (.., http) = live_study().await;
    enrol(&http).await;
    let nothing = http.post("investigator", ADA, &save(Value::Null)).await;
    assert_eq!((nothing.status, nothing.header("etag")), (200, "\"0\""), "the form was never saved");
    let none_match = [("if-none-match", "*")];
    let first = http.send("investigator", ADA, &none_match, save(json!("120")).to_string().into_bytes()).await;
    assert_eq!((first.status, first.header("etag")), (200, "\"3\""));
    let consent = json!({"type": "give-consent", "version": "2.0"});
    assert_eq!(http.post("investigator", ADA, &consent).await.header("etag"), "\"4\"");
    let if_match = [("if-match", "\"3\"")];
    let body = change("130", Some("typo")).to_string().into_bytes();
    let second = http.send("investigator", ADA, &if_match, body).await;
    assert_eq!((second.status, second.header("etag")), (200, "\"5\""), "{}", second.body);
    // So it is of every command about the form, whatever else happened to the participant meanwhile.
    let consent = json!({"type": "give-consent", "version": "3.0"});
    assert_eq!(http.post("investigator", ADA, &consent).await.header("etag"), "\"6\"");
    let verify = json!({"type": "verify", "visit": "V1", "form": "VS"});
    let at = |level: &str| json!({"level": level, "visit": "V1", "form": "VS"});
    let freeze = json!({"type": "freeze", "place": at("form")});
    let visit = json!({"type": "freeze", "place": {"level": "visit", "visit": "V1"}});
    for (who, command, tag, status, etag) in [
        ("monitor", &verify, "\"6\"", 412, "\"5\""),
        ("monitor", &verify, "\"5\"", 200, "\"5\""),
        ("data-manager", &freeze, "\"3\"", 412, "\"5\""),
        ("data-manager", &freeze, "\"5\"", 200, "\"5\""),
        ("data-manager", &visit, "\"5\"", 412, "\"8\""),
        ("data-manager", &visit, "\"8\"", 200, "\"9\""),
    ] {
        let answer = http.send(who, ADA, &[("if-match", tag)], command.to_string().into_bytes()).await;
        assert_eq!((answer.status, answer.header("etag")), (status, etag), "{command} {tag}: {}", answer.body);
    }
}

#[tokio::test]
async fn what_is_wrong_gets_a_clear_answer_and_changes_nothing() {
    let (world, .., http) = live_study().await;
    enrol(&http).await;
    let saved = http.post("investigator", ADA, &save(json!("120"))).await;
    assert_eq!((saved.status, saved.header("etag")), (200, "\"3\""));

    struct Case(&'static str, &'static str, Vec<(&'static str, &'static str)>, Vec<u8>, u16, &'static str);
    let case =
        |token, path, body: Value, status, code| Case(token, path, vec![], body.to_string().into_bytes(), status, code);
    let raw = |body: &[u8], status, code| Case("investigator", ADA, vec![], body.to_vec(), status, code);
    let with = |name, value, body: Value, status, code| {
        Case("investigator", ADA, vec![(name, value)], body.to_string().into_bytes(), status, code)
    };
    let mut unknown_item = save(json!("1"));
    unknown_item["items"][0]["item"] = json!("UNHEARD");
    let mut unknown_field = save(json!("1"));
    unknown_field["items"][0]["Lovelace"] = json!("1");
    let twice = br#"{"type":"give-consent","version":"2.0","version":"Lovelace"}"#;
    let key = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
    let elsewhere = "/participants/00000000-0000-4000-8000-000000000001";
    let cases = vec![
        raw(b"{\"type\": \"Lovelace", 400, "malformed-json"),
        raw(b"", 400, "malformed-json"),
        raw(b"{\"type\":\"withdraw\",\"reason\":\"\xff\xfe\"}", 400, "invalid-utf8"),
        raw(twice, 400, "malformed-json"),
        raw(&vec![b'x'; 10 * 1024 * 1024], 413, "too-large"),
        case("investigator", ADA, json!({"type": "Lovelace"}), 400, "wrong-shape"),
        case("investigator", ADA, json!({"type": "give-consent"}), 400, "wrong-shape"),
        case("investigator", ADA, json!({"type": "give-consent", "version": 1}), 400, "wrong-shape"),
        case("investigator", ADA, json!({"type": "give-consent", "version": "Ada Lovelace"}), 400, "wrong-shape"),
        case("investigator", ADA, unknown_field, 400, "wrong-shape"),
        case("investigator", ADA, unknown_item, 422, "invalid-items"),
        case("investigator", ADA, change("Lovelace", Some("x")), 428, "tag-required"),
        case("investigator", ADA, change("130", None), 422, "invalid-items"),
        case("investigator", ADA, change("130", Some("typo")), 428, "tag-required"),
        with("if-match", "\"2\"", change("130", Some("typo")), 412, "tag-differs"),
        with("if-match", "\"2\"", json!({"type": "withdraw"}), 412, "tag-differs"),
        with("if-match", "Lovelace", change("130", Some("typo")), 400, "invalid-etag"),
        with("idempotency-key", "Lovelace", consent(), 400, "invalid-idempotency-key"),
        with("lethe-captured-at", "2026-11-23T00:00:00Z", consent(), 422, "captured-in-future"),
        case("investigator", "/participants/Lovelace", register(), 400, "invalid-id"),
        case("investigator", elsewhere, consent(), 404, "no-such-participant"),
        case(
            "investigator",
            elsewhere,
            json!({"type": "register", "site": "paris", "subject_number": "2"}),
            422,
            "no-such-site",
        ),
        case(
            "investigator",
            ADA,
            json!({"type": "register", "site": "oslo", "subject_number": "2"}),
            409,
            "registered-otherwise",
        ),
        case("bergen", ADA, consent(), 404, "no-such-participant"),
        case("prod", ADA, consent(), 404, "no-such-study"),
        case("elsewhere", ADA, consent(), 404, "no-such-study"),
        case("monitor", ADA, consent(), 403, "forbidden"),
        case("nobody", ADA, consent(), 401, "unauthorized"),
        case("investigator", ADA, json!({"type": "restrict"}), 403, "forbidden"),
        case(
            "controller",
            ADA,
            json!({"type": "fence", "erasure": key, "scopes": ["health.clinical"]}),
            403,
            "forbidden",
        ),
        case("designer", "", json!({"type": "create", "name": "X", "environment": "TEST"}), 403, "forbidden"),
        case(
            "designer",
            "",
            json!({"type": "publish-design", "design": "0".repeat(64), "version": "2", "parts": []}),
            403,
            "forbidden",
        ),
        case("designer", "", json!({"type": "go-live", "design": "0".repeat(64)}), 409, "no-such-design"),
        case("investigator", "/designs", design_json(), 403, "forbidden"),
        case("designer", "/designs", json!({"name": "Lovelace"}), 400, "wrong-shape"),
        case("investigator", "/nowhere", register(), 404, "no-such-address"),
    ];
    let before = world.commits();
    for Case(token, path, headers, body, status, code) in cases {
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        let answer = http.send(token, path, &headers, body).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{token} {path} {shown}: {}", answer.body);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert!(!answer.body.to_string().contains("Lovelace"), "a problem repeats no value: {}", answer.body);
        assert_eq!(answer.header("etag") == "\"3\"", code == "tag-differs", "412 says the current tag");
        assert_eq!(world.commits(), before, "{token} {path} {shown}");
    }
}

#[tokio::test]
async fn faults_are_named_by_their_place() {
    let (.., http) = live_study().await;
    enrol(&http).await;
    let mut command = save(json!("high"));
    command["items"].as_array_mut().expect("a list").push(json!({"group": "G", "item": "NONE", "value": "1"}));
    let answer = http.post("investigator", ADA, &command).await;
    let pointers: Vec<_> =
        answer.body["errors"].as_array().expect("faults").iter().map(|fault| &fault["pointer"]).collect();
    assert_eq!(pointers, ["/items/0/value", "/items/1/item"]);
    let mut design = design_json();
    design["items"] = json!([]);
    let answer = http.post("designer", "/designs", &design).await;
    assert_eq!((answer.status, answer.code()), (422, "invalid-design"));
    design["version"] = json!("");
    let answer = http.post("designer", "/designs", &design).await;
    assert_eq!((answer.status, answer.code()), (422, "invalid-design"));
    let text = answer.body["errors"].to_string();
    assert!(text.contains("/item_groups/0/items/0") && text.contains("\"/version\""), "{text}");
}

#[tokio::test]
async fn a_command_sent_again_has_no_second_effect_and_another_body_is_refused() {
    let (world, .., http) = live_study().await;
    enrol(&http).await;
    let headers = [("idempotency-key", "\"3f2504e0-4f89-41d3-9a0c-0305e82c3301\"")];
    let send = |body: Value| http.send("investigator", ADA, &headers, body.to_string().into_bytes());
    let first = send(save(json!("120"))).await;
    let later = [("if-match", "\"3\"")];
    let body = change("130", Some("typo")).to_string().into_bytes();
    assert_eq!(http.send("investigator", ADA, &later, body).await.status, 200);
    let before = world.commits();
    let again = send(save(json!("120"))).await;
    assert_eq!((again.status, &again.body), (first.status, &first.body), "the recorded outcome");
    assert_eq!(again.header("etag"), first.header("etag"));
    assert_eq!(again.header("lethe-position"), first.header("lethe-position"));
    let other = send(save(json!("121"))).await;
    assert_eq!((other.status, other.code()), (422, "idempotency-key-reused"));
    assert_eq!(world.commits(), before);

    // Once the values are erased nobody can tell the bodies apart: the outcome stands.
    let person = ada(Aggregate::Participant).data_subject().expect("a person");
    world.fence(&[Target { data_subject: person, scope: Scope::HealthClinical, part: None }]).await.expect("in memory");
    let after = send(save(json!("121"))).await;
    assert_eq!((after.status, &after.body), (first.status, &first.body));
    assert_eq!(world.commits(), before);
}

#[tokio::test]
async fn publishing_a_design_again_does_nothing_and_its_parts_are_stored_once() {
    let (world, .., http) = live_study().await;
    let before = world.commits();
    let again = http.post("designer", "/designs", &design_json()).await;
    assert_eq!((again.status, &again.body["events"]), (200, &json!(0)));
    assert_eq!(world.commits(), before);
    let mut large = design_json();
    large["version"] = json!("2");
    large["items"][0]["name"] = json!((0..400_000).map(|n: u32| n.to_string()).collect::<String>());
    let published = http.post("designer", "/designs", &large).await;
    assert_eq!(published.status, 200, "{}", published.body);
    assert_eq!(world.commits(), before + 8, "seven parts and the fact");
    let go_live = json!({"type": "go-live", "design": published.body["design"]});
    assert_eq!(http.post("designer", "", &go_live).await.status, 200);
    assert_eq!(http.post("investigator", ADA, &register()).await.status, 201, "the parts make the design again");
}

#[tokio::test]
async fn a_version_that_protects_an_item_less_is_not_published() {
    let (world, .., http) = live_study().await;
    let mut strict = design_json();
    strict["version"] = json!("2");
    strict["items"][0]["blinded"] = json!(true);
    strict["items"][1]["scope"] = json!("identity.contact");
    assert_eq!(http.post("designer", "/designs", &strict).await.status, 200);
    let before = world.commits();
    let mut third = design_json();
    third["version"] = json!("3");
    let refused = http.post("designer", "/designs", &third).await;
    assert_eq!((refused.status, refused.code()), (422, "protection-lowered"), "{}", refused.body);
    let pointers: Vec<_> =
        refused.body["errors"].as_array().expect("faults").iter().map(|one| &one["pointer"]).collect();
    assert_eq!(pointers, ["/items/0/scope", "/items/0/blinded", "/items/1/scope"]);
    assert!(world.commits() <= before + 1, "its parts at most");
    strict["version"] = json!("3");
    assert_eq!(http.post("designer", "/designs", &strict).await.status, 200, "one that protects as well is published");
}

#[tokio::test]
async fn a_draft_is_stored_with_its_faults_and_published_by_a_command() {
    let (.., http) = live_study().await;
    let mut design = design_json();
    design["version"] = json!("2");
    design["items"][0]["range_checks"] = json!([{"comparator": "LTT", "hard": true, "values": ["5"]}]);
    let refused = http.post("designer", "/designs", &design).await;
    assert_eq!((refused.status, refused.code()), (422, "invalid-design"));
    let drafted = http.post("designer", "/designs?draft=true", &design).await;
    assert_eq!((drafted.status, &drafted.body["state"]), (200, &json!("draft")), "{}", drafted.body);
    assert_eq!(drafted.body["faults"][0]["pointer"], "/items/0/range_checks/0");
    let send = async |kind: &str, answer: &Answer| {
        http.post("designer", "", &json!({"type": kind, "design": answer.body["design"]})).await
    };
    let refused = send("publish-draft", &drafted).await;
    assert_eq!((refused.status, refused.code()), (422, "invalid-design"));
    assert_eq!(refused.body["errors"][0]["pointer"], "/items/0/range_checks/0");
    let early = send("go-live", &drafted).await;
    assert_eq!((early.status, early.code()), (409, "no-such-design"), "a draft is in force nowhere");

    design["items"][0]["range_checks"][0]["comparator"] = json!("LT");
    let better = http.post("designer", "/designs?draft=true", &design).await;
    assert_eq!((&better.body["state"], &better.body["faults"]), (&json!("draft"), &json!([])));
    let replaced = send("publish-draft", &drafted).await;
    assert_eq!((replaced.status, replaced.code()), (409, "no-such-draft"), "the better one took its place");
    assert_eq!(send("publish-draft", &better).await.status, 200);
    assert_eq!(send("publish-draft", &better).await.body["events"], 0);
    let again = http.post("designer", "/designs?draft=true", &design).await;
    assert_eq!((&again.body["state"], &again.body["events"]), (&json!("published"), &json!(0)));
    let live = send("go-live", &better).await;
    assert_eq!(live.status, 200);
    assert!(
        live.body["warnings"][0]["detail"].as_str().is_some_and(|text| text.contains("demands no approvals")),
        "{}",
        live.body
    );
    let forbidden = http.post("investigator", "/designs?draft=true", &design).await;
    assert_eq!(forbidden.status, 403);
    let direct = json!({"type": "draft-design", "design": "0".repeat(64), "version": "2", "parts": []});
    assert_eq!(http.post("designer", "", &direct).await.status, 403);
}

#[tokio::test]
async fn what_a_design_says_in_vain_is_told_when_it_is_published() {
    let (.., http) = live_study().await;
    let mut design = design_json();
    design["units"] = json!({"MMHG": {}, "KPA": {}});
    design["items"][0]["unit"] = json!("MMHG");
    design["items"][0]["range_checks"] = json!([{"comparator": "LT", "hard": true, "values": ["5"], "unit": "KPA"}]);
    let published = http.post("designer", "/designs", &design).await;
    assert_eq!(published.status, 200, "{}", published.body);
    let pointers: Vec<_> =
        published.body["warnings"].as_array().expect("warnings").iter().map(|one| &one["pointer"]).collect();
    assert_eq!(pointers, ["/items/0/range_checks/0", "/version"], "another unit, and the name of the first version");
}

#[tokio::test]
async fn what_is_erased_is_gone() {
    let (world, .., http) = live_study().await;
    enrol(&http).await;
    assert_eq!(http.post("investigator", ADA, &save(json!("120"))).await.status, 200);
    let erasure = ErasureId(Uuid::from_u128(42));
    let ask = json!({"type": "request-erasure", "erasure": erasure, "scopes": ["health.clinical"], "justification": "objection"});
    let approve = json!({"type": "approve-erasure", "erasure": erasure, "instruction": "DPA-1"});
    let privacy = format!("{ADA}/privacy");
    assert_eq!(http.post("dpo", &privacy, &ask).await.status, 201);
    assert_eq!(http.post("dpo", &privacy, &approve).await.status, 403, "the DPO never approves");
    assert_eq!(http.post("controller", &privacy, &approve).await.status, 200);
    // A fence without its marker: the key says no.
    let person = ada(Aggregate::Participant).data_subject().expect("a person");
    world.fence(&[Target { data_subject: person, scope: Scope::HealthClinical, part: None }]).await.expect("in memory");
    let if_match = [("if-match", "\"3\"")];
    let body = change("130", Some("typo")).to_string().into_bytes();
    let answer = http.send("investigator", ADA, &if_match, body).await;
    assert_eq!((answer.status, answer.code()), (410, "erased"));
}

#[tokio::test]
async fn a_restriction_reaches_the_record_and_the_vault_and_is_lifted_again() {
    let (world, .., http) = live_study().await;
    enrol(&http).await;
    let identity = format!("{ADA}/identity");
    let record = json!({"type": "record", "details": {"family_name": "Lovelace"}});
    assert_eq!(http.post("investigator", &identity, &record).await.status, 201);
    let privacy = format!("{ADA}/privacy");
    let place = json!({"type": "place-restriction", "ground": "legal-claims", "reason": "a claim"});
    assert_eq!(http.post("dpo", &privacy, &place).await.status, 201);
    let refused = http.post("investigator", ADA, &save(json!("120"))).await;
    assert_eq!((refused.status, refused.code()), (409, "restricted"));
    let lift = json!({"type": "lift-restriction", "reason": "settled"});
    assert_eq!(http.post("dpo", &privacy, &lift).await.status, 200);
    assert_eq!(http.post("investigator", ADA, &save(json!("120"))).await.status, 200);
    let expected = ["identity-recorded", "processing-restricted", "restriction-lifted"];
    assert_eq!(world.events(&ada(Aggregate::Identity)), expected);
}

#[tokio::test]
async fn an_order_whose_follow_ups_failed_is_completed_when_it_is_sent_again() {
    let (world, .., http) = live_study().await;
    enrol(&http).await;
    let privacy = format!("{ADA}/privacy");
    let place = json!({"type": "place-restriction", "ground": "legal-claims", "reason": "a claim"});
    for n in 0.. {
        world.fail_at(n, When::Before);
        let answer = http.post("dpo", &privacy, &place).await;
        if world.heal() {
            assert!(n > 4, "the order and its follow-ups are more than {n} calls");
            break;
        }
        assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
    }
    let events = world.events(&ada(Aggregate::Participant));
    assert_eq!(events.iter().filter(|event| *event == "processing-restricted").count(), 1);
    assert_eq!(world.events(&ada(Aggregate::Privacy)), ["restriction-placed"]);
}

#[tokio::test]
async fn an_order_is_completed_even_if_its_sender_goes_away() {
    let (world, .., http) = live_study().await;
    enrol(&http).await;
    let privacy = format!("{ADA}/privacy");
    let place = json!({"type": "place-restriction", "ground": "legal-claims", "reason": "a claim"});
    tokio::select! {
        biased;
        answer = http.post("dpo", &privacy, &place) => panic!("answered at once: {answer:?}"),
        () = tokio::task::yield_now() => {}
    }
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    let events = world.events(&ada(Aggregate::Participant));
    assert_eq!(events.last().map(String::as_str), Some("processing-restricted"));
}

fn line(id: &str, command: Value) -> Value {
    json!({"aggregate": "participant", "id": id, "command": command})
}

async fn bulk(http: &Http, body: Vec<u8>) -> (u16, Vec<Value>) {
    let request = HttpRequest::post("/v1/studies/cardio/commands")
        .header("authorization", "Bearer investigator")
        .header("content-type", "application/x-ndjson")
        .body(Body::from(body))
        .expect("a request");
    let answer = http.ask(request).await;
    let text = String::from_utf8(answer.bytes).expect("UTF-8");
    (answer.status, text.lines().map(|line| serde_json::from_str(line).expect("one result a line")).collect())
}

#[tokio::test]
async fn bulk_answers_each_line_in_order_and_keeps_each_participants_order() {
    let (world, .., http) = live_study().await;
    let ids: Vec<_> = (1..=40_u128).map(|n| Uuid::from_u128(n).to_string()).collect();
    let mut body = String::new();
    for command in [register(), consent(), save(json!("120"))] {
        for (n, id) in ids.iter().enumerate() {
            let mut command = command.clone();
            if command["type"] == "register" {
                command["subject_number"] = json!(n.to_string());
            }
            body.push_str(&format!("{}\n", line(id, command)));
        }
    }
    let before = world.commits();
    let (status, results) = bulk(&http, body.into_bytes()).await;
    assert_eq!((status, results.len()), (200, 120));
    for (n, result) in results.iter().enumerate() {
        assert_eq!(result["line"], n + 1);
        assert_eq!(result["status"], if n < 40 { 201 } else { 200 }, "{result}");
        assert_eq!(result["etag"], format!("\"{}\"", n / 40 + 1));
    }
    assert_eq!(world.commits(), before + 120 + 41, "and the claims of forty numbers, under the study's key");
}

#[tokio::test]
async fn a_wrong_line_gets_its_own_answer_and_the_others_go_on() {
    let (.., http) = live_study().await;
    let key = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
    let mut keyed = line(ADA_ID, consent());
    keyed["idempotency_key"] = json!(key);
    let mut reused = line(ADA_ID, json!({"type": "give-consent", "version": "2"}));
    reused["idempotency_key"] = json!(key);
    let mut stale = line(ADA_ID, json!({"type": "withdraw"}));
    stale["if_match"] = json!("\"9\"");
    let mut captured = line(ADA_ID, consent());
    captured["captured_at"] = json!("tomorrow");
    let vault = json!({"aggregate": "identity", "id": ADA_ID, "command": {"type": "record", "details": {"email": "ada@example.org"}}});
    let orders = json!({"aggregate": "privacy", "id": ADA_ID, "command": {"type": "approve-erasure", "erasure": key, "instruction": "X"}});
    let lines: Vec<(Vec<u8>, u16, &str)> = vec![
        (line(ADA_ID, register()).to_string().into_bytes(), 201, ""),
        (b"{\"aggregate\": \"participant\", ".to_vec(), 400, "malformed-json"),
        (b"\"\xff\"".to_vec(), 400, "invalid-utf8"),
        (json!({"aggregate": "study", "id": ADA_ID, "command": {}}).to_string().into_bytes(), 400, "wrong-shape"),
        (line("42", register()).to_string().into_bytes(), 400, "wrong-shape"),
        (line(ADA_ID, json!({"type": "unheard"})).to_string().into_bytes(), 400, "wrong-shape"),
        (vec![b'x'; 1024 * 1024 + 1], 413, "too-large"),
        (keyed.to_string().into_bytes(), 200, ""),
        (keyed.to_string().into_bytes(), 200, ""),
        (reused.to_string().into_bytes(), 422, "idempotency-key-reused"),
        (stale.to_string().into_bytes(), 412, "tag-differs"),
        (captured.to_string().into_bytes(), 400, "invalid-captured-at"),
        (vault.to_string().into_bytes(), 201, ""),
        (orders.to_string().into_bytes(), 403, "forbidden"),
        (line(ADA_ID, save(json!("120"))).to_string().into_bytes(), 200, ""),
    ];
    let body = lines.iter().map(|(bytes, ..)| bytes.clone()).collect::<Vec<_>>().join(&b'\n');
    let (status, results) = bulk(&http, body).await;
    assert_eq!((status, results.len()), (200, lines.len()));
    for (n, ((_, status, code), result)) in lines.iter().zip(&results).enumerate() {
        assert_eq!(result["line"], n + 1);
        assert_eq!(
            (&result["status"], result["code"].as_str().unwrap_or_default()),
            (&json!(status), *code),
            "{result}"
        );
    }
    assert_eq!(results[7]["position"], results[8]["position"], "the same command twice is one command");
}

#[tokio::test]
async fn bulk_needs_its_media_type_and_a_study_of_the_credential() {
    let (.., http) = live_study().await;
    let answer = http.post("investigator", "/commands", &json!({})).await;
    assert_eq!((answer.status, answer.code()), (415, "unsupported-media-type"));
    for token in ["prod", "elsewhere"] {
        let request = HttpRequest::post("/v1/studies/cardio/commands")
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/x-ndjson")
            .body(Body::empty())
            .expect("a request");
        assert_eq!(http.ask(request).await.code(), "no-such-study");
    }
}

#[test]
fn the_description_names_every_address_and_resolves() {
    let description = serde_json::to_value(super::openapi()).expect("JSON");
    assert_eq!(description["openapi"], "3.1.0");
    let paths: Vec<_> = description["paths"].as_object().expect("paths").keys().collect();
    let base = "/v1/studies/{study}";
    let person = "/v1/studies/{study}/participants/{participant}";
    let expected = [
        "/v1/incidents/{incident}",
        base,
        &format!("{base}/commands"),
        &format!("{base}/designs"),
        &format!("{base}/exports/{{export}}"),
        &format!("{base}/lock-readiness"),
        person,
        &format!("{person}/allocation"),
        &format!("{person}/identity"),
        &format!("{person}/migration/{{design}}"),
        &format!("{person}/privacy"),
        &format!("{person}/rehearsal"),
        &format!("{base}/randomisation"),
        &format!("{base}/randomisation/{{list}}"),
        &format!("{base}/randomisation/{{list}}/reveal"),
    ];
    assert_eq!(paths, expected);
    let text = description.to_string();
    let references = text.split("\"#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next());
    let dangling: std::collections::BTreeSet<_> =
        references.filter(|name| !description["components"]["schemas"][name].is_object()).collect();
    assert!(dangling.is_empty(), "{dangling:?} are not described");
    for name in ["ParticipantCommand", "IdentityCommand", "PrivacyCommand", "StudyCommand", "StudyDesign", "Problem"] {
        assert!(description["components"]["schemas"][name].is_object(), "{name} is not described");
    }
    for (path, item) in description["paths"].as_object().expect("paths") {
        let method = if item["post"].is_null() { "get" } else { "post" };
        let responses = item[method]["responses"].as_object().expect("responses");
        for status in ["200", "400", "401", "403", "404", "409", "410", "412", "413", "415", "422", "428", "503"] {
            assert!(responses.contains_key(status), "{path} {status}");
        }
    }
}

#[tokio::test]
async fn whoever_signs_is_asked_anew_and_a_body_never_says_who_it_is() {
    let (.., http) = live_study().await;
    enrol(&http).await;
    assert_eq!(http.post("investigator", ADA, &save(json!("120"))).await.status, 200);
    let sign = json!({"type": "sign", "place": {"level": "participant"}, "meaning": "approval"});
    let send = async |credential: Option<&str>, body: &Value| {
        let headers: Vec<_> = credential.map(|credential| ("Lethe-Signer", credential)).into_iter().collect();
        http.send("investigator", ADA, &headers, body.to_string().into_bytes()).await
    };
    for (credential, code) in [
        (None, "reauthentication-required"),
        (Some("a guess"), "reauthentication-failed"),
        (Some("nameless"), "no-printed-name"),
    ] {
        let refused = send(credential, &sign).await;
        assert_eq!((refused.status, refused.code()), (403, code));
    }
    let mut named = sign.clone();
    named["signer"] = json!({"printed_name": "Grace Hopper", "factors": ["password"]});
    assert!(matches!(send(None, &named).await.status, 400 | 403));
    let signed = send(Some("the word"), &sign).await;
    assert_eq!((signed.status, &signed.body["events"]), (200, &json!(1)), "{}", signed.body);
    assert!(signed.body["signature"].is_string(), "it is named: {}", signed.body);
}

#[tokio::test]
async fn a_database_is_locked_by_another_person_after_every_record_was_gone_through() {
    let (world, .., http) = live_study().await;
    enrol(&http).await;
    let missed = json!({"type": "miss-visit", "visit": "V1", "reason": "on holiday"});
    assert_eq!(http.post("investigator", ADA, &missed).await.status, 200);
    let open = json!({"type": "open-query", "place": {"level": "participant"}, "text": "Who?"});
    let opened = http.post("data-manager", ADA, &open).await;
    assert!(opened.status == 200 && opened.body["query"].is_string(), "it is named: {}", opened.body);
    for command in [json!({"type": "freeze-data"}), json!({"type": "ask-database-lock", "reason": "it is over"})] {
        assert_eq!(http.post("data-manager", "", &command).await.status, 200);
    }
    let lock = json!({"type": "lock-database"});
    let before = world.commits();
    let denied = http.post("data-manager", "", &lock).await;
    assert_eq!((denied.status, denied.code()), (403, "forbidden"));
    let blocked = http.post("controller", "", &lock).await;
    assert_eq!((blocked.status, blocked.code()), (409, "lock-blocked"));
    assert_eq!(
        blocked.body["errors"],
        json!([{"pointer": format!("/participants/{ADA_ID}"), "detail": "1 open-query"}])
    );
    assert_eq!(world.commits(), before);
    let get = async |token: &str| {
        let request =
            HttpRequest::get("/v1/studies/cardio/lock-readiness").header("authorization", format!("Bearer {token}"));
        http.ask(request.body(Body::empty()).expect("a request")).await
    };
    assert_eq!(get("investigator").await.status, 403);
    let ready = get("data-manager").await.body;
    let query = ready["records"][0]["blockers"][0]["query"].clone();
    assert_eq!((&ready["blockers"], &ready["records"][0]["participant"]), (&json!(1), &json!(ADA_ID)));
    let close = json!({"type": "close-query", "query": query});
    assert_eq!(http.post("data-manager", ADA, &close).await.status, 200);
    assert_eq!(http.post("controller", "", &lock).await.status, 200);
    let late = http.post("investigator", ADA, &save(json!("120"))).await;
    assert_eq!((late.status, late.code()), (409, "database-locked"));
}
