//! Bad input gets a clear 4xx and changes nothing.

use domain::permit::Role;
use lethe::platform::random_id;
use reqwest::{Client as Http, StatusCode};
use serde_json::{Value, json};
use tests::api::{enrol, participant, send, vital_signs};
use tests::home::Home;

/// What is sent, and what must come back.
struct Case {
    name: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    status: u16,
    code: &'static str,
}

fn case(name: &'static str, path: &str, body: impl Into<Vec<u8>>, status: u16, code: &'static str) -> Case {
    Case { name, path: path.to_owned(), headers: vec![], body: body.into(), status, code }
}

fn with(mut case: Case, name: &'static str, value: &str) -> Case {
    case.headers.push((name, value.to_owned()));
    case
}

fn save(item: &str, value: Value) -> String {
    json!({"type": "save-items", "visit": "BASELINE", "form": "VS", "items": [{"group": "VS", "item": item, "value": value}]}).to_string()
}

fn cases(at: &str, elsewhere: &str, used: &str) -> Vec<Case> {
    let good = save("SYSBP", json!(121));
    let changed = |reason: &str| {
        json!({"type": "save-items", "visit": "BASELINE", "form": "VS", "items": [{"group": "VS", "item": "SYSBP", "value": "121", "reason": reason}]}).to_string()
    };
    vec![
        case("malformed JSON", at, r#"{"type": "save-items", "#, 400, "malformed-json"),
        case("trailing garbage", at, format!("{good} x"), 400, "malformed-json"),
        case("invalid UTF-8", at, [b"{\"type\": \"".as_slice(), &[0xff, 0xfe], b"\"}"].concat(), 400, "invalid-utf8"),
        case("not an object", at, "[]", 400, "wrong-shape"),
        case("unknown command", at, r#"{"type": "explode"}"#, 400, "wrong-shape"),
        case("unknown field", at, r#"{"type": "withdraw", "because": "x"}"#, 400, "wrong-shape"),
        case("unknown item", at, save("UNHEARD", json!(1)), 422, "invalid-items"),
        case("wrong type", at, save("SYSBP", json!("high")), 428, "tag-required"),
        case("a structure for a value", at, save("SYSBP", json!({"a": 1})), 400, "wrong-shape"),
        case("missing reason", at, good.clone(), 422, "invalid-items"),
        case("missing tag", at, changed("typo"), 428, "tag-required"),
        with(case("stale tag", at, changed("typo"), 412, "tag-differs"), "If-Match", "\"1\""),
        with(case("a tag that is none", at, changed("typo"), 400, "invalid-etag"), "If-Match", "three"),
        with(
            case("a used key with another body", at, vital_signs("99").to_string(), 422, "idempotency-key-reused"),
            "Idempotency-Key",
            used,
        ),
        with(
            case("a key that is no UUID", at, good.clone(), 400, "invalid-idempotency-key"),
            "Idempotency-Key",
            "Ada Lovelace",
        ),
        case("10 MiB", at, vec![b' '; 10 * 1024 * 1024], 413, "too-large"),
        case("an unknown participant", &participant(random_id()), good.clone(), 404, "no-such-participant"),
        case("an id that is no UUID", "/v1/studies/cardio-1/participants/Ada", good.clone(), 400, "invalid-id"),
        case(
            "an unknown study",
            "/v1/studies/unheard/participants/7f1de7f6-5b1c-4b60-8f29-6c5c2f2d1f11",
            good.clone(),
            404,
            "no-such-study",
        ),
        case("the platform's own command", at, json!({"type": "restrict"}).to_string(), 403, "forbidden"),
        case("a study of another tenant", elsewhere, good, 404, "no-such-study"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_and_changes_nothing() {
    let home = Home::new().await;
    home.live_study().await;
    let integrator = home.client(Role::Integrator).await;
    let at = participant(enrol(&integrator, "oslo", "N-1").await);
    let used = random_id();
    integrator.command(&at, used, None, None, &vital_signs("120")).await.expect("saved");
    let stranger = home.stranger(Role::StudyDesigner).await;
    drop(stranger);
    let umbra = "umbra".parse().expect("valid");
    let secret = "secret".parse().expect("valid");
    let label = "Secret".parse().expect("valid");
    home.platform
        .create_study(&umbra, &secret, label, domain::ids::Environment::Test)
        .await
        .expect("a study elsewhere");

    let token = home.platform.create_token(token(Role::Integrator)).await.expect("a token");
    let before = answers(&home, &at).await;
    let elsewhere = format!("/v1/studies/secret/participants/{}", random_id());
    let mut wrong = Vec::new();
    for case in cases(&at, &elsewhere, &used.to_string()) {
        let mut request = Http::new()
            .post(format!("{}{}", home.platform.url(), case.path))
            .bearer_auth(&token)
            .header("Content-Type", "application/json")
            .body(case.body);
        for (name, value) in case.headers {
            request = request.header(name, value);
        }
        let response = request.send().await.expect("an answer");
        let (status, kind) = (response.status(), response.headers()["content-type"].clone());
        let problem: Value = response.json().await.expect("a problem");
        if (status.as_u16(), problem["code"].as_str()) != (case.status, Some(case.code)) {
            wrong.push(format!("{}: {status} {problem}", case.name));
        }
        assert_eq!(kind, "application/problem+json", "{}", case.name);
        assert!(!problem.to_string().contains("Ada"), "{}: no value is repeated: {problem}", case.name);
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(before, answers(&home, &at).await, "nothing has changed");
    home.stop().await;
}

fn token(role: Role) -> lethe::platform::NewToken {
    lethe::platform::NewToken::new(&tests::home::acme(), domain::ids::UserId(random_id()), role, "writer", false)
}

/// The audit trail and the casebook: what a change would show in.
async fn answers(home: &Home, at: &str) -> [Value; 2] {
    let investigator = home.client(Role::Investigator).await;
    let audit = investigator.get(&format!("{at}/audit")).await.expect("an audit trail").body;
    [audit, investigator.get(&format!("{at}/casebook")).await.expect("a casebook").body]
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_comes_in_without_a_token_and_no_role_does_what_it_may_not() {
    let home = Home::new().await;
    home.live_study().await;
    let integrator = home.client(Role::Integrator).await;
    let at = participant(enrol(&integrator, "oslo", "N-1").await);
    for (header, status) in [(None, 401), (Some("Bearer lethe_acme_nonsense"), 401), (Some("Basic YTpi"), 401)] {
        let mut request = Http::new().get(format!("{}{at}", home.platform.url()));
        if let Some(header) = header {
            request = request.header("Authorization", header);
        }
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::from_u16(status).expect("valid"));
        assert!(response.headers().contains_key("www-authenticate"));
    }
    for (role, path) in [(Role::Monitor, "identity"), (Role::Dpo, "casebook"), (Role::SponsorViewer, "audit")] {
        let denied = home.client(role).await.get(&format!("{at}/{path}")).await.expect_err("denied");
        assert_eq!(denied.status, Some(403), "{role} {path}");
    }
    let denied = send(&home.client(Role::Monitor).await, &at, vital_signs("120")).await.expect_err("denied");
    assert_eq!(denied.status, Some(403));
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_answers_line_by_line() {
    let home = Home::new().await;
    home.live_study().await;
    let token = home.platform.create_token(token(Role::Integrator)).await.expect("a token");
    let id = random_id();
    let line = |command: Value| json!({"aggregate": "participant", "id": id, "command": command}).to_string();
    let body = [
        line(json!({"type": "register", "site": "oslo", "subject_number": "N-1"})),
        "{ this is not JSON".to_owned(),
        line(json!({"type": "give-consent", "version": "2.0"})),
        line(vital_signs("high")),
        line(vital_signs("120")),
    ]
    .join("\n");
    let response = Http::new()
        .post(format!("{}/v1/studies/cardio-1/commands", home.platform.url()))
        .bearer_auth(&token)
        .header("Content-Type", "application/x-ndjson")
        .body(body)
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), 200);
    let text = response.text().await.expect("lines");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let statuses: Vec<_> = lines.iter().map(|line| line["status"].as_u64().unwrap_or_default()).collect();
    assert_eq!(statuses, [201, 400, 200, 422, 200], "{text}");
    assert_eq!(
        lines.iter().map(|line| line["line"].as_u64()).collect::<Vec<_>>(),
        (1..=5).map(Some).collect::<Vec<_>>()
    );
    home.stop().await;
}
