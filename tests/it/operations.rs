//! The operator's addresses and pages on a real server: what an operator is never shown, who is refused, and that a look into a
//! commit is on record before it is answered.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::ids::Environment;
use domain::permit::{Role, may_query};
use lethe::cli::Client;
use reqwest::{Client as Http, StatusCode};
use serde_json::{Value, json};
use tests::api::{adverse_event, enrol, identity, participant, send};
use tests::door::{PASSWORD, Person, Turned, home_by};
use tests::home::{Home, acme};

/// What no operator ever reads: values, names, logins, secrets, and from where somebody came.
const CANARIES: [&str; 10] = [
    "Kanarina",
    "Gelbfeder",
    "gelbfeder@example.org",
    "Flügelbruch",
    "Otto Operator",
    "otto-login",
    "Ada Admin",
    "127.0.0.1",
    PASSWORD,
    "$argon2id$",
];

/// Every view, with this test's address for it and the row that decides.
fn views() -> Vec<(&'static str, String, &'static str)> {
    let of = |path: &'static str, query| (path, path.replace("{journal}", "cardio-1"), query);
    vec![
        of("/v1/operations/health", "operations.show"),
        of("/v1/operations/findings", "operations.show"),
        of("/v1/operations/figures", "operations.show"),
        of("/v1/operations/projections", "operations.show"),
        of("/v1/operations/rebuilds", "operations.show"),
        of("/v1/operations/standstills", "operations.show"),
        of("/v1/operations/journals", "operations.journals"),
        of("/v1/operations/journals/{journal}/streams", "operations.journals"),
        of("/v1/operations/journals/{journal}/commits", "operations.journals"),
        of("/v1/operations/openings", "operations.journals"),
        of("/v1/operations/keys", "operations.show"),
        of("/v1/operations/kms", "operations.show"),
        of("/v1/operations/backups", "operations.show"),
        of("/v1/operations/sign-ins", "operations.sign-ins"),
    ]
}

const PAGES: [&str; 12] = [
    "/desk/operations",
    "/desk/operations/live",
    "/desk/operations/projections",
    "/desk/operations/projections/live",
    "/desk/operations/standstills",
    "/desk/operations/journals",
    "/desk/operations/journals/_",
    "/desk/operations/journals/cardio-1?kind=participant",
    "/desk/operations/journals/cardio-1/commits/1",
    "/desk/operations/keys",
    "/desk/operations/backups",
    "/desk/operations/sign-ins",
];

fn factors(given: &Value) -> String {
    format!("Factors {}", STANDARD.encode(given.to_string()))
}

/// A request with the headers that are given: status and text.
async fn asked(client: &Client, path: &str, body: Option<Value>, headers: &[(&str, String)]) -> (StatusCode, String) {
    let url = format!("{}{path}", client.base());
    let mut request = match &body {
        Some(body) => Http::new().post(url).json(body),
        None => Http::new().get(url),
    };
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let answer = request.send().await.expect("an answer");
    (answer.status(), answer.text().await.expect("text"))
}

async fn bearer(client: &Client, path: &str, body: Option<Value>, signer: Option<String>) -> (StatusCode, Value) {
    let mut headers = vec![("authorization", format!("Bearer {}", client.token()))];
    headers.extend(signer.map(|signer| ("lethe-signer", signer)));
    let (status, text) = asked(client, path, body, &headers).await;
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

fn clean(what: &str, text: &str) {
    for canary in CANARIES {
        assert!(!text.contains(canary), "{what} says {canary}: {text}");
    }
}

/// A study with a participant whose every value would be recognised; where that is written.
async fn with_canaries(home: &Home) -> String {
    home.live_study().await;
    let integrator = home.client(Role::Integrator).await;
    let person = enrol(&integrator, "oslo", "N-1").await;
    send(&integrator, &participant(person), adverse_event("Flügelbruch am Käfig")).await.expect("saved");
    let at = format!("{}/identity", participant(person));
    let recorded = send(&integrator, &at, identity("Kanarina", "Gelbfeder", "gelbfeder@example.org")).await;
    recorded.expect("recorded").position.expect("a position")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_nobodys_value_in_any_answer_page_or_opened_commit() {
    let clock = Turned::now();
    let home = home_by(&clock).await;
    let ada = Person::first(&home, &clock).await;
    let last = with_canaries(&home).await;
    let otto = ada.invite(&home, "operator", "otto-login", "Otto Operator").await;
    assert!(otto.sign_in("not the password at all", &otto.next_code()).await.is_err());

    let described = crate::contract::description();
    let described: BTreeSet<String> = crate::contract::operations(&described)
        .into_keys()
        .filter_map(|name| {
            Some(name.strip_prefix("get ")?.to_owned()).filter(|path| path.starts_with("/v1/operations/"))
        })
        .collect();
    assert_eq!(views().iter().map(|(path, ..)| (*path).to_owned()).collect::<BTreeSet<_>>(), described);
    for (_, path, _) in views() {
        let path = format!("{path}?min_position={last}");
        let (status, text) =
            asked(&otto.session, &path, None, &[("authorization", format!("Bearer {}", otto.session.token()))]).await;
        assert_eq!(status, StatusCode::OK, "{path}: {text}");
        clean(&path, &text);
    }
    let cookie = [("cookie", format!("lethe-session={}", otto.session.token()))];
    for path in PAGES {
        let (status, text) = asked(&otto.session, path, None, &cookie).await;
        assert_eq!(status, StatusCode::OK, "{path}: {text}");
        clean(path, &text);
    }

    // Every commit there is, opened one by one: the first proof takes both factors, later ones the password.
    let mut signer = json!({"password": PASSWORD, "code": otto.next_code()});
    let mut opened = BTreeSet::new();
    for journal in ["cardio-1", "_"] {
        let (_, list) =
            bearer(&otto.session, &format!("/v1/operations/journals/{journal}/commits?limit=200"), None, None).await;
        for commit in list["items"].as_array().expect("commits") {
            let (aggregate, sequence) = (commit["aggregate"].as_str().expect("a kind"), &commit["sequence"]);
            let path = format!("/v1/operations/journals/{journal}/commits/{sequence}/open");
            let (status, body) =
                bearer(&otto.session, &path, Some(json!({"reason": "audit"})), Some(factors(&signer))).await;
            if matches!(aggregate, "randomisation" | "subject-number" | "design-part") {
                assert_eq!((status, &body["code"]), (StatusCode::FORBIDDEN, &json!("forbidden")), "{aggregate}");
                continue;
            }
            assert_eq!(status, StatusCode::OK, "{path}: {body}");
            signer = json!({"password": PASSWORD});
            clean(&path, &body.to_string());
            opened.insert(aggregate.to_owned());
        }
    }
    for kind in ["participant", "identity", "study", "user", "account"] {
        assert!(opened.contains(kind), "{kind} was looked into: {opened:?}");
    }
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_is_answered_what_the_tables_say_and_no_more() {
    let home = Home::new().await;
    with_canaries(&home).await;
    for role in Role::ALL.iter().copied().filter(|role| *role != Role::System) {
        let client = home.client(role).await;
        for (_, path, query) in views() {
            let expected = if may_query(role, query) { StatusCode::OK } else { StatusCode::FORBIDDEN };
            assert_eq!(bearer(&client, &path, None, None).await.0, expected, "{role} {path}");
        }
        // Tokens open nothing and order nothing, whatever the role.
        for (path, body) in [
            ("/v1/operations/journals/cardio-1/commits/1/open", json!({"reason": "audit"})),
            ("/v1/operations/rebuilds", json!({})),
        ] {
            let (status, _) = bearer(&client, path, Some(body), Some(format!("Bearer {}", client.token()))).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{role} {path}");
        }
        let (status, _) = bearer(&client, "/v1/operations/standstills/_/retry", Some(json!({})), None).await;
        let expected = if role == Role::Operator { StatusCode::OK } else { StatusCode::FORBIDDEN };
        assert_eq!(status, expected, "{role} retries");
    }
    // The other direction: an operator asks for nothing else.
    let operator = home.client(Role::Operator).await;
    for path in ["/v1/studies", "/v1/users", "/v1/erasures", "/v1/studies/cardio-1/participants"] {
        let (status, _) = bearer(&operator, path, None, None).await;
        assert!(matches!(status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND), "{path}: {status}");
    }
    // Another tenant's journal, and a study of another environment, are not there.
    let stranger = home.stranger(Role::Operator).await;
    let prod = home.client_with(Role::Operator, |new| new.environment = Environment::Prod).await;
    for other in [stranger, prod] {
        let (status, body) = bearer(&other, "/v1/operations/journals/cardio-1/commits", None, None).await;
        assert_eq!((status, &body["code"]), (StatusCode::NOT_FOUND, &json!("no-such-journal")));
        for path in ["journals", "projections", "health"] {
            let (_, body) = bearer(&other, &format!("/v1/operations/{path}"), None, None).await;
            assert!(!body.to_string().contains("cardio-1"), "{path}: {body}");
        }
    }
    let (_, findings) = bearer(&operator, "/v1/operations/findings", None, None).await;
    let told = findings.to_string();
    assert!(!told.contains("umbra") && !told.contains(&home.folder.path().display().to_string()), "{told}");
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_into_a_commit_takes_a_reason_and_a_proof_and_is_on_record() {
    let clock = Turned::now();
    let home = home_by(&clock).await;
    let ada = Person::first(&home, &clock).await;
    home.live_study().await;
    let otto = ada.invite(&home, "operator", "otto-login", "Otto Operator").await;
    let path = "/v1/operations/journals/cardio-1/commits/1/open";
    let proof = || factors(&json!({"password": PASSWORD, "code": otto.next_code()}));
    let refused = async |path: &str, reason: &str, signer: Option<String>| {
        let (status, body) = bearer(&otto.session, path, Some(json!({"reason": reason})), signer).await;
        (status.as_u16(), body["code"].as_str().unwrap_or_default().to_owned())
    };
    let no = |status, code: &str| (status, code.to_owned());
    assert_eq!(refused(path, "audit", None).await, no(403, "not-proved"));
    let wrong = factors(&json!({"password": "another one, long enough", "code": otto.next_code()}));
    assert_eq!(refused(path, "audit", Some(wrong)).await, no(403, "not-proved"));
    assert_eq!(refused(path, "curiosity", Some(proof())).await.0, 400);
    let nowhere = "/v1/operations/journals/cardio-1/commits/999999/open";
    assert_eq!(refused(nowhere, "audit", Some(proof())).await, no(404, "no-such-commit"));
    let (_, none) = bearer(&otto.session, "/v1/operations/openings", None, None).await;
    assert_eq!(none["items"], json!([]), "what was refused is no look");

    let (status, opened) = bearer(&otto.session, path, Some(json!({"reason": "fault"})), Some(proof())).await;
    assert_eq!(status, StatusCode::OK, "{opened}");
    assert_eq!(opened["structure"][0]["fact"], "study-created");
    assert_eq!(opened["structure"][0]["structure"]["environment"], "TEST", "{opened}");
    let (_, own) = bearer(&otto.session, "/v1/operations/journals/_/commits?limit=1", None, None).await;
    assert_eq!(own["items"][0]["facts"], json!(["commit-opened 1"]), "it is in the journal when it is answered");
    let at = own["items"][0]["sequence"].as_u64().expect("a number");
    let (_, listed) =
        bearer(&otto.session, &format!("/v1/operations/openings?min_position=_:1:{at}"), None, None).await;
    let one = &listed["items"][0];
    assert_eq!((&one["user"], &one["study"], &one["sequence"]), (&json!(otto.user), &json!("cardio-1"), &json!(1)));
    assert_eq!((&one["reason"], &one["hash"]), (&json!("fault"), &opened["hash"]));
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_is_ordered_followed_and_on_record() {
    let clock = Turned::now();
    let home = home_by(&clock).await;
    let ada = Person::first(&home, &clock).await;
    with_canaries(&home).await;
    let otto = ada.invite(&home, "operator", "otto-login", "Otto Operator").await;
    let order = async |body: Value| bearer(&otto.session, "/v1/operations/rebuilds", Some(body), None).await;
    assert_eq!(order(json!({"projection": "unheard-of"})).await.0, StatusCode::NOT_FOUND);
    let (status, begun) = order(json!({"projection": "casebook"})).await;
    assert_eq!(status, StatusCode::OK, "{begun}");
    let ended = loop {
        let (_, list) = bearer(&otto.session, "/v1/operations/rebuilds", None, None).await;
        let newest = list["items"][0].clone();
        if newest["ended_at"].is_string() {
            break newest;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((&ended["stage"], &ended["report"][0]["differences"]), (&json!("done"), &json!(0)), "{ended}");
    assert_eq!((&ended["by"], &ended["rebuild"]), (&json!(otto.user), &begun["rebuild"]));
    let (_, models) = bearer(&otto.session, "/v1/operations/projections", None, None).await;
    let model = models["items"].as_array().expect("models").iter().find(|model| model["projection"] == "casebook");
    assert_eq!(model.expect("is there")["generation"], 2);
    let (_, own) = bearer(&otto.session, "/v1/operations/journals/_/commits?limit=1", None, None).await;
    assert_eq!(own["items"][0]["facts"], json!(["rebuild-ordered 1"]));
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_as_it_changes() {
    let home = Home::new().await;
    let operator = home.client(Role::Operator).await;
    let mut answer = Http::new()
        .get(format!("{}/v1/operations/health", operator.base()))
        .bearer_auth(operator.token())
        .header("accept", "text/event-stream")
        .send()
        .await
        .expect("an answer");
    let kind = answer.headers()["content-type"].to_str().expect("text").to_owned();
    assert!(kind.starts_with("text/event-stream"), "{kind}");
    let mut told = String::new();
    while !told.contains("\n\n") {
        let piece = tokio::time::timeout(Duration::from_secs(30), answer.chunk()).await.expect("it tells at once");
        told += std::str::from_utf8(&piece.expect("readable").expect("goes on")).expect("text");
    }
    assert!(told.starts_with("event: operations\n") && told.contains("\"ready\":true"), "{told}");
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rotations_and_what_was_read_whole_are_told() {
    let home = Home::with_off_site().await;
    let operator = home.client(Role::Operator).await;
    let machine = Client::new(home.platform.url(), home.platform.operator_token());
    let shown = async |path: &str| bearer(&operator, &format!("/v1/operations/{path}"), None, None).await.1;
    let before = shown("keys").await;
    assert_eq!((&before["rotations"], &before["off_site"]), (&json!([]), &json!("a folder")), "{before}");
    machine.post("/v1/admin/kms/rotate", &json!({"tenant": acme()})).await.expect("rotated");
    let after = shown("keys").await;
    let root = after["root"].as_u64().expect("a number");
    assert!(root > before["root"].as_u64().expect("a number"), "{after}");
    assert_eq!((&after["rotations"][0]["root_after"], &after["rotations"][0]["targets"]), (&json!(root), &json!(0)));
    assert!(after["shipped_at"].is_string(), "the tree went elsewhere: {after}");
    assert_eq!(shown("kms").await["living_roots"], json!([root]));

    assert_eq!(shown("backups").await["record_verified"], Value::Null);
    let mut report = Value::Null;
    machine.lines("/v1/admin/verify", &json!({"tenant": acme()}), |line| report = line).await.expect("read");
    assert_eq!(report["kind"], "report", "{report}");
    let backups = shown("backups").await;
    assert!(backups["record_verified"].is_string() && backups["record_damages"] == 0, "{backups}");
    home.stop().await;
}
