//! Machines over HTTP: let in, bound to where they come from, their secrets replaced without a gap.

use std::time::Duration;

use lethe::cli::Client;
use lethe::platform::{DoorRules, Platform};
use reqwest::Client as Http;
use serde_json::{Value, json};
use std::sync::Arc;
use tests::door::{Person, Turned, home_by};
use tests::home::{Folder, Home, acme};

use super::door::{no, refused};

fn terms(more: Value) -> Value {
    let mut terms = json!({"role": "integrator", "environment": "TEST", "organisation": "own", "sites": "all"});
    terms.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    terms
}

async fn create(admin: &Client, more: Value) -> Value {
    let body = json!({"name": "Feed of the laboratory", "terms": terms(more), "days": 30});
    admin.post("/v1/machines", &body).await.expect("let in").body
}

/// Asks for access: the status, and the token or the error.
async fn ask(
    home: &Home,
    made: &Value,
    change: impl Fn(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
) -> (u16, String) {
    let (id, secret) = (made["client_id"].as_str().expect("an id"), made["client_secret"].as_str().expect("a secret"));
    let request = Http::new().post(format!("{}/oauth/token", home.platform.url())).basic_auth(id, Some(secret));
    let form =
        request.header("Content-Type", "application/x-www-form-urlencoded").body("grant_type=client_credentials");
    let answer = change(form).send().await.expect("an answer");
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.expect("JSON");
    assert!(status != 200 || body["token_type"] == "Bearer" && body["expires_in"].as_u64().is_some_and(|s| s <= 600));
    (status, body["access_token"].as_str().or(body["error"].as_str()).expect("either").to_owned())
}

async fn comes(home: &Home, made: &Value) -> Client {
    let (status, token) = ask(home, made, |request| request).await;
    assert_eq!(status, 200, "{token}");
    Client::new(home.platform.url(), &token)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_comes_in_by_a_secret_that_is_replaced_without_a_gap() {
    let clock = Turned::now();
    let home = home_by(&clock).await;
    home.live_study().await;
    let ada = Person::first(&home, &clock).await;
    let made = create(&ada.session, json!({})).await;
    let invalid = (401, "invalid_client".to_owned());

    // What it is given counts for ten minutes.
    let first = comes(&home, &made).await;
    first.get("/v1/studies").await.expect("lists");
    clock.on(Duration::from_secs(601));
    assert_eq!(refused(first.get("/v1/studies").await), no(401, "unauthorized"));
    assert_eq!(
        refused(
            Client::new(home.platform.url(), made["client_secret"].as_str().expect("one")).get("/v1/studies").await
        ),
        no(401, "unauthorized"),
        "the secret itself is no token"
    );

    // Wrong ways to ask, each with the error that RFC 6749 names.
    let wrong = json!({"client_id": made["client_id"], "client_secret": format!("lethec_acme_{}", "A".repeat(43))});
    assert_eq!(ask(&home, &wrong, |request| request).await, invalid);
    let nobody = json!({"client_id": uuid::Uuid::nil().to_string(), "client_secret": made["client_secret"]});
    assert_eq!(ask(&home, &nobody, |request| request).await, invalid);
    let grant = ask(&home, &made, |request| request.body("grant_type=password")).await;
    assert_eq!(grant, (400, "unsupported_grant_type".to_owned()));
    assert_eq!(ask(&home, &made, |request| request.body("")).await, (400, "invalid_request".to_owned()));

    // Replaced: both count for an hour, then the new one alone.
    let machine = format!("/v1/machines/{}", made["machine"].as_str().expect("an id"));
    let ada = ada.sign_in(tests::door::PASSWORD, &ada.next_code()).await.expect("signed in");
    let rotated = ada.post(&format!("{machine}/secrets"), &json!({"others_for_hours": 1})).await.expect("issued").body;
    for secret in [&made, &rotated] {
        comes(&home, secret).await.get("/v1/studies").await.expect("lists");
    }
    let third = ada.post(&format!("{machine}/secrets"), &json!({})).await;
    assert_eq!(refused(third), no(409, "too-many-secrets"));
    let shown = ada.get("/v1/machines").await.expect("listed").body;
    assert_eq!(
        (shown["items"][0]["secrets"].as_array().map(Vec::len), shown.to_string().contains("lethec_")),
        (Some(2), false)
    );
    for _ in 0..6 {
        clock.on(Duration::from_secs(601));
        ada.get("/v1/sessions").await.expect("awake");
    }
    assert_eq!(ask(&home, &made, |request| request).await, invalid, "its time is over");
    let newer = comes(&home, &rotated).await;

    // Revoked, and dismissed: at once, what it was given too.
    let secret = rotated["secret"].as_str().expect("an id");
    ada.post(&format!("{machine}/secrets/{secret}/revoke"), &json!({})).await.expect("revoked");
    assert_eq!(refused(newer.get("/v1/studies").await), no(401, "unauthorized"));
    let last = ada.post(&format!("{machine}/secrets"), &json!({"days": 1})).await.expect("issued").body;
    let token = comes(&home, &last).await;
    ada.post(&format!("{machine}/dismiss"), &json!({})).await.expect("dismissed");
    assert_eq!(refused(token.get("/v1/studies").await), no(401, "unauthorized"));
    assert_eq!(ask(&home, &last, |request| request).await, invalid);
    assert_eq!(ada.get("/v1/machines").await.expect("listed").body, json!({"items": []}));
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_let_in_by_who_administers_alone_and_is_bound_to_its_study_and_its_place() {
    let clock = Turned::now();
    let folder = Folder::new();
    // As behind a proxy that says where clients come from.
    let rules = DoorRules { public_url: Some("https://lethe.example.org".to_owned()), ..DoorRules::default() };
    let options = folder.options().clock(Arc::new(clock.clone())).door(rules);
    let platform = Platform::start(options).await.expect("the platform starts");
    platform.create_tenant(&acme()).await.expect("a tenant can be created");
    let home = Home { folder, platform };
    home.live_study().await;
    let ada = Person::first(&home, &clock).await;
    let grace = ada.invite(&home, "investigator", "grace", "Grace Hopper").await;
    let body = |more: Value| json!({"name": "Feed", "terms": terms(more)});
    assert_eq!(refused(grace.session.post("/v1/machines", &body(json!({}))).await), no(403, "forbidden"));
    assert_eq!(refused(grace.session.get("/v1/machines").await), no(403, "forbidden"));
    for (more, status, code) in [
        (json!({"role": "dpo"}), 422, "not-for-machines"),
        (json!({"sites": {"only": []}}), 422, "no-sites"),
        (json!({"networks": ["198.51.100.1/24"]}), 400, "bad-json"),
    ] {
        let (found, told) = refused(ada.session.post("/v1/machines", &body(more)).await);
        assert_eq!(found, Some(status), "{told}");
        assert!(status == 400 || told == code, "{told}");
    }
    assert_eq!(
        ada.session.get("/v1/machines").await.expect("listed").body["items"],
        json!([]),
        "nothing is left of them"
    );

    let study = tests::home::cardio();
    let made = create(&ada.session, json!({"study": study, "networks": ["198.51.100.0/24", "2001:db8::/32"]})).await;
    let invalid = (401, "invalid_client".to_owned());
    assert_eq!(ask(&home, &made, |request| request).await, invalid, "from loopback");
    assert_eq!(ask(&home, &made, |request| request.header("X-Forwarded-For", "203.0.113.9")).await, invalid);
    let (status, token) = ask(&home, &made, |request| request.header("X-Forwarded-For", "198.51.100.7")).await;
    assert_eq!(status, 200);
    let with = async |path: &str, from: &str| {
        let asked = Http::new().get(format!("{}{path}", home.platform.url())).bearer_auth(&token);
        asked.header("X-Forwarded-For", from).send().await.expect("an answer").status().as_u16()
    };
    let own = format!("/v1/studies/{study}");
    assert_eq!(with(&own, "198.51.100.7").await, 200);
    assert_eq!(with(&own, "2001:db8::9").await, 200);
    assert_eq!(with(&own, "203.0.113.9").await, 401, "the token is of no use elsewhere");
    assert_eq!(with("/v1/studies", "198.51.100.7").await, 401, "nor for anything beside its study");
    home.stop().await;
}

/// A client that shows a certificate of its own; and that certificate's SHA-256.
fn showing(folder: &std::path::Path, server: &std::path::Path) -> (Http, String, Vec<u8>) {
    use base64::Engine as _;
    std::fs::create_dir_all(folder).expect("a folder");
    let address = std::net::Ipv4Addr::LOCALHOST.into();
    let files = infra::tls::self_signed(folder, address, &infra::chance::SystemClock).expect("a certificate");
    let pem = std::fs::read(&files.certificate).expect("there");
    let key = std::fs::read(&files.key).expect("there");
    let text = String::from_utf8(pem.clone()).expect("PEM");
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = base64::engine::general_purpose::STANDARD.decode(body).expect("base64");
    let identity = reqwest::Identity::from_pem(&[key, pem.clone()].concat()).expect("an identity");
    let trusted = reqwest::Certificate::from_pem(&std::fs::read(server).expect("there")).expect("a certificate");
    let http = Http::builder().tls_certs_only([trusted]).identity(identity).build().expect("a client");
    (http, domain::design::content_hash(&der).to_string(), pem)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_bound_to_a_certificate_comes_with_it_alone() {
    let (clock, folder) = (Turned::now(), Folder::new());
    let at = folder.path().join("certificates");
    std::fs::create_dir_all(at.join("server")).expect("a folder");
    let own =
        infra::tls::self_signed(&at.join("server"), std::net::Ipv4Addr::LOCALHOST.into(), &infra::chance::SystemClock);
    let own = own.expect("a certificate");
    let (ours, thumbprint, one) = showing(&at.join("ours"), &own.certificate);
    let (theirs, _, two) = showing(&at.join("theirs"), &own.certificate);
    let clients = at.join("clients.pem");
    std::fs::write(&clients, [one, two].concat()).expect("written");
    let files = infra::tls::Files { clients: Some(clients), ..own };
    let options =
        folder.options().clock(Arc::new(clock.clone())).certificate(lethe::platform::Certificate::Files(files));
    let platform = Platform::start(options).await.expect("the platform starts");
    platform.create_tenant(&acme()).await.expect("a tenant can be created");
    let home = Home { folder, platform };
    let ada = Person::first(&home, &clock).await;
    let made = create(&ada.session, json!({"certificate": thumbprint})).await;
    let public = home.platform.public_url().to_owned();
    let asks = async |http: &Http, at: &str| {
        let (id, secret) = (made["client_id"].as_str().expect("an id"), made["client_secret"].as_str());
        let form = http.post(format!("{at}/oauth/token")).basic_auth(id, secret);
        let form = form.header("Content-Type", "application/x-www-form-urlencoded");
        let answer = form.body("grant_type=client_credentials").send().await.expect("an answer");
        (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON"))
    };
    assert_eq!(asks(&theirs, &public).await.0, 401, "a good certificate, and another one");
    assert_eq!(asks(&Http::new(), &home.platform.url()).await.0, 401, "none, on this machine's own port");
    let (status, given) = asks(&ours, &public).await;
    assert_eq!(status, 200, "{given}");
    let token = given["access_token"].as_str().expect("a token");
    let uses = async |http: &Http| {
        let asked = http.get(format!("{public}/v1/studies")).bearer_auth(token).send().await;
        asked.expect("an answer").status().as_u16()
    };
    assert_eq!((uses(&ours).await, uses(&theirs).await), (200, 401), "the token is of use to its machine alone");
    home.stop().await;
}
