//! Who comes in, over HTTP: links, sign-in, sessions, and who signs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use domain::ids::Environment;
use domain::permit::Role;
use lethe::cli::{ApiError, Client};
use lethe::platform::{DoorRules, NewToken, Platform, random_id};
use reqwest::Client as Http;
use serde_json::{Value, json};
use tests::api::{enrol, participant, send};
use tests::door::{PASSWORD, Person, Turned, home_by};
use tests::home::{Folder, Home, acme};

/// What stands in a `Lethe-Signer` for these factors.
fn factors(factors: &Value) -> String {
    use base64::Engine as _;
    format!("Factors {}", base64::engine::general_purpose::STANDARD.encode(factors.to_string()))
}

pub(super) fn refused<T>(outcome: Result<T, ApiError>) -> (Option<u16>, String) {
    match outcome {
        Ok(_) => (None, "done".to_owned()),
        Err(error) => (error.status, error.code),
    }
}

pub(super) fn no(status: u16, code: &str) -> (Option<u16>, String) {
    (Some(status), code.to_owned())
}

/// Waits until so many failures are on record: nobody who fails waits for that.
async fn recorded(who: &Person, failures: usize) {
    loop {
        let shown = who.session.get(&format!("/v1/users/{}/sign-ins", who.user)).await.expect("readable").body;
        let items = shown["items"].as_array().expect("a list");
        if items.iter().filter(|item| item["what"] == "sign-in-failed").count() >= failures {
            return;
        }
        tokio::task::yield_now().await;
    }
}

async fn link_of(home: &Home) -> String {
    let link = home.platform.first_link(&acme()).await.expect("asked").expect("nobody administers yet");
    link.address.rsplit('#').next().expect("a secret").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_link_makes_one_administrator_once_and_in_time() {
    let clock = Turned::now();
    let home = home_by(&clock).await;
    let nobody = Client::new(home.platform.url(), "");
    let look = async |link: &str| refused(nobody.post("/v1/links/look", &json!({ "link": link })).await);

    let replaced = link_of(&home).await;
    let late = link_of(&home).await;
    assert_eq!(look(&replaced).await, no(401, "not-opened"), "a new link ends the one before");
    clock.on(Duration::from_secs(3601));
    assert_eq!(look(&late).await, no(401, "not-opened"), "an hour is over");
    assert_eq!(look("lethel_acme_nonsense").await, no(401, "not-opened"));

    let link = link_of(&home).await;
    let shown = nobody.post("/v1/links/look", &json!({ "link": link })).await.expect("shown").body;
    assert_eq!((&shown["tenant"], &shown["name_needed"]), (&json!("acme"), &json!(true)));
    let choose = async |more: Value| {
        let mut body =
            json!({"link": link, "login": "ada", "name": "Ada Admin", "password": PASSWORD, "code": "000000"});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        refused(nobody.post("/v1/links/use", &body).await)
    };
    assert_eq!(choose(json!({"password": "too short"})).await, no(422, "weak-password"));
    assert_eq!(choose(json!({})).await, no(422, "wrong-code"), "a code of the secret that was shown");

    let ada = Person::join(&home, &clock, &link, "ada", Some("Ada Admin")).await.expect("it opens");
    assert_eq!(ada.recovery.len(), 10);
    assert_eq!(look(&link).await, no(401, "not-opened"), "it opens once");
    assert_eq!(choose(json!({})).await, no(401, "not-opened"));
    assert!(home.platform.first_link(&acme()).await.expect("asked").is_none(), "somebody administers now");
    let users = ada.session.get("/v1/users").await.expect("may ask").body;
    assert_eq!((&users["items"][0]["login"], &users["items"][0]["name"]), (&json!("ada"), &json!("Ada Admin")));
    assert_eq!(users["items"][0]["rights"].as_array().map(Vec::len), Some(3), "in every environment");
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_administers_invites_others_and_nobody_gives_themselves_anything() {
    let clock = Turned::now();
    let home = home_by(&clock).await;
    let ada = Person::first(&home, &clock).await;
    let right = |role: &str, environment: &str| json!({"role": role, "environment": environment, "organisation": "own", "sites": "all"});
    let (own, dpo) = (format!("/v1/users/{}/rights", ada.user), right("dpo", "TEST"));
    assert_eq!(refused(ada.session.post(&own, &dpo).await), no(403, "own-account"));
    let link = format!("/v1/users/{}/link", ada.user);
    assert_eq!(refused(ada.session.post(&link, &json!({})).await), no(403, "own-account"));
    for (body, status, code) in [
        (right("system", "TEST"), 422, "not-for-people"),
        (right("integrator", "TEST"), 422, "not-for-people"),
        (json!({"role": "dpo", "environment": "TEST", "organisation": "own", "sites": {"only": []}}), 422, "no-sites"),
    ] {
        let invited = ada.session.post("/v1/users", &json!({"name": "Nobody", "right": body})).await;
        assert_eq!(refused(invited), no(status, code));
    }

    let grace = ada.invite(&home, "investigator", "grace", "Grace Hopper").await;
    assert_eq!(refused(grace.session.get("/v1/users").await), no(403, "forbidden"));
    let friend = json!({"name": "Friend", "right": right("investigator", "TEST")});
    assert_eq!(refused(grace.session.post("/v1/users", &friend).await), no(403, "forbidden"));
    let given = grace.session.post(&format!("/v1/users/{}/rights", grace.user), &right("controller", "PROD")).await;
    assert_eq!(refused(given), no(403, "forbidden"));

    // Who administers in TEST does so there alone.
    let tom = ada.invite(&home, "controller", "tom", "Tom Tester").await;
    let give = format!("/v1/users/{}/rights", grace.user);
    assert_eq!(refused(tom.session.post(&give, &right("monitor", "PROD")).await), no(403, "other-environment"));
    let given = tom.session.post(&give, &right("monitor", "TEST")).await.expect("given").body;

    // The session acts by the right that it began with; one that is ended ends it.
    let monitor =
        json!({"tenant": "acme", "login": "grace", "password": PASSWORD, "code": grace.next_code(), "role": "monitor"});
    let monitor = grace.nobody.post("/v1/sign-in", &monitor).await.expect("signed in").body;
    assert_eq!((&monitor["role"], &monitor["environment"]), (&json!("monitor"), &json!("TEST")));
    let monitor = Client::new(home.platform.url(), monitor["token"].as_str().expect("a session"));
    monitor.get("/v1/studies").await.expect("lists");
    let end = format!("{give}/{}/end", given["right"].as_str().expect("an id"));
    tom.session.post(&end, &json!({})).await.expect("ended");
    assert_eq!(refused(monitor.get("/v1/studies").await), no(401, "unauthorized"));
    grace.session.get("/v1/studies").await.expect("her other right still counts");

    let taken = ada.session.post("/v1/users", &json!({"name": "G. Hopper", "right": right("monitor", "TEST")})).await;
    let taken = taken.expect("invited").body["link"].as_str().expect("a link").to_owned();
    let joined = Person::join(&home, &clock, &taken, "GRACE", None).await;
    assert_eq!(refused(joined), no(409, "login-taken"), "logins differ by more than the size of letters");
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_gets_one_answer_and_each_failure_a_longer_wait() {
    let clock = Turned::now();
    let home = home_by(&clock).await;
    let ada = Person::first(&home, &clock).await;
    let told = async |login: &str, password: &str, code: &str| {
        let body = json!({"tenant": "acme", "login": login, "password": password, "code": code});
        let sent = Http::new().post(format!("{}/v1/sign-in", home.platform.url())).json(&body).send().await;
        let answer = sent.expect("an answer");
        let (status, retry) = (answer.status().as_u16(), answer.headers().get("retry-after").cloned());
        let mut problem: Value = answer.json().await.expect("JSON");
        problem.as_object_mut().expect("an object").remove("trace_id");
        (status, retry.map(|seconds| seconds.to_str().expect("digits").to_owned()), problem)
    };
    let code = ada.next_code();
    let wrong = told("ada", "not the password", &code).await;
    assert_eq!((wrong.0, wrong.2["code"].as_str()), (401, Some("not-opened")));
    assert_eq!(told("nobody", "not the password", &code).await, wrong, "an unknown name");
    assert_eq!(told("ada", PASSWORD, "000000").await, wrong, "a wrong code");
    let elsewhere = json!({"tenant": "unheard", "login": "ada", "password": PASSWORD, "code": code});
    assert_eq!(refused(ada.nobody.post("/v1/sign-in", &elsewhere).await), no(401, "not-opened"), "another tenant");

    // A code counts once; the password and the code were right each time.
    ada.sign_in(PASSWORD, &code).await.expect("signed in");
    assert_eq!(told("ada", PASSWORD, &code).await, wrong, "the code was used");
    recorded(&ada, 3).await;
    ada.sign_in(PASSWORD, &ada.next_code()).await.expect("the next one counts");

    // Known and unknown names wait alike, whatever is sent meanwhile.
    clock.on(Duration::from_secs(60));
    for name in ["ada", "nobody-at-all"] {
        for _ in 0..5 {
            assert_eq!(told(name, "not the password", "000000").await, wrong);
        }
    }
    let (ada_waits, nobody_waits) = (told("ada", PASSWORD, &ada.code()).await, told("nobody-at-all", "x", "0").await);
    assert_eq!(ada_waits, nobody_waits);
    assert_eq!((ada_waits.0, ada_waits.1.as_deref()), (429, Some("30")));
    clock.on(Duration::from_secs(30));
    assert_eq!(told("ada", "not the password", "000000").await, wrong);
    assert_eq!(told("ada", PASSWORD, &ada.code()).await.1.as_deref(), Some("60"), "each failure doubles it");
    clock.on(Duration::from_secs(60));
    ada.sign_in(PASSWORD, &ada.code()).await.expect("waited long enough");

    // All of it is on record.
    recorded(&ada, 9).await;

    // An address has so many tries a minute, whatever names it tries.
    clock.on(Duration::from_secs(60));
    let mut answers = Vec::new();
    for n in 0..31 {
        answers.push(told(&format!("name-{n}"), "x", "0").await.0);
    }
    assert_eq!(answers.iter().filter(|status| **status == 401).count(), 30, "{answers:?}");
    assert_eq!(answers.last(), Some(&429));
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wait_of_a_known_name_outlives_the_process() {
    let clock = Turned::now();
    let home = home_by(&clock).await;
    let ada = Person::first(&home, &clock).await;
    for _ in 0..5 {
        assert_eq!(refused(ada.sign_in("not the password", "000000").await), no(401, "not-opened"));
    }
    recorded(&ada, 5).await;
    let folder = home.stop().await;
    let options = folder.options().clock(Arc::new(clock.clone()));
    let platform = Platform::start(options).await.expect("it starts again");
    let nobody = Client::new(platform.url(), "");
    let body = |code| json!({"tenant": "acme", "login": "ada", "password": PASSWORD, "code": code});
    let early = nobody.post("/v1/sign-in", &body(ada.code())).await;
    assert_eq!(refused(early), no(429, "too-many-tries"));
    nobody.post("/v1/sign-in", &body(ada.next_code())).await.expect("the pause is over");
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_by_rest_by_age_by_its_holder_and_by_who_administers() {
    let clock = Turned::now();
    let home = home_by(&clock).await;
    let ada = Person::first(&home, &clock).await;
    let grace = ada.invite(&home, "investigator", "grace", "Grace Hopper").await;
    let minutes = |n: u64| Duration::from_secs(60 * n);

    // Used every ten minutes it stays awake, and ends after twelve hours all the same.
    for _ in 0..71 {
        clock.on(minutes(10));
        grace.session.get("/v1/sessions").await.expect("awake");
    }
    assert_eq!(refused(ada.session.get("/v1/sessions").await), no(401, "unauthorized"), "hers rested");
    clock.on(minutes(10));
    assert_eq!(refused(grace.session.get("/v1/sessions").await), no(401, "unauthorized"), "twelve hours are over");

    let one = grace.sign_in(PASSWORD, &grace.next_code()).await.expect("signed in");
    clock.on(minutes(14));
    one.get("/v1/sessions").await.expect("awake");
    clock.on(minutes(15) + Duration::from_secs(1));
    assert_eq!(refused(one.get("/v1/sessions").await), no(401, "unauthorized"), "it rested for too long");

    let (one, two) = (
        grace.sign_in(PASSWORD, &grace.next_code()).await.expect("signed in"),
        grace.sign_in(PASSWORD, &grace.next_code()).await.expect("signed in elsewhere"),
    );
    let shown = one.get("/v1/sessions").await.expect("listed").body;
    let items = shown["items"].as_array().expect("a list");
    assert_eq!(items.len(), 2, "those that are over are not listed: {shown}");
    let other = items.iter().find(|item| item["this"] == false).expect("the other one");
    assert!(!shown.to_string().contains("hash"), "{shown}");
    let end = format!("/v1/users/{}/sessions/{}/end", grace.user, other["session"].as_str().expect("an id"));
    one.post(&end, &json!({})).await.expect("ended");
    assert_eq!(refused(two.get("/v1/sessions").await), no(401, "unauthorized"));
    one.post("/v1/sign-out", &json!({})).await.expect("signed out");
    assert_eq!(refused(one.get("/v1/sessions").await), no(401, "unauthorized"));

    let ada_again = ada.sign_in(PASSWORD, &ada.next_code()).await.expect("signed in");
    let three = grace.sign_in(PASSWORD, &grace.next_code()).await.expect("signed in");
    let theirs = ada_again.get(&format!("/v1/users/{}/sessions", grace.user)).await.expect("listed").body;
    let end =
        format!("/v1/users/{}/sessions/{}/end", grace.user, theirs["items"][0]["session"].as_str().expect("an id"));
    let of_ada = format!("/v1/users/{}/sessions", ada.user);
    assert_eq!(refused(three.get(&of_ada).await), no(403, "forbidden"), "not those of others");
    let ours = ada_again.get("/v1/sessions").await.expect("listed").body;
    let not_theirs = format!("{of_ada}/{}/end", ours["items"][0]["session"].as_str().expect("an id"));
    assert_eq!(refused(three.post(&not_theirs, &json!({})).await), no(403, "not-own-account"));
    ada_again.post(&end, &json!({})).await.expect("ended");
    assert_eq!(refused(three.get("/v1/sessions").await), no(401, "unauthorized"));

    // Another password ends the sessions elsewhere; a recovery code counts once.
    let here = grace.sign_in(PASSWORD, &grace.next_code()).await.expect("signed in");
    let there = grace.sign_in(PASSWORD, &grace.next_code()).await.expect("signed in");
    let change = |code: String| json!({"password": PASSWORD, "code": code, "new_password": "another long password"});
    assert_eq!(refused(here.post("/v1/password", &change("000000".into())).await), no(401, "not-opened"));
    here.post("/v1/password", &change(grace.next_code())).await.expect("changed");
    here.get("/v1/sessions").await.expect("this one goes on");
    assert_eq!(refused(there.get("/v1/sessions").await), no(401, "unauthorized"));
    assert_eq!(refused(grace.sign_in(PASSWORD, &grace.next_code()).await), no(401, "not-opened"));
    let recover = |code: &str| json!({"tenant": "acme", "login": "grace", "password": "another long password", "recovery_code": code});
    let code = grace.recovery[3].to_uppercase();
    grace.nobody.post("/v1/sign-in", &recover(&code)).await.expect("recovered");
    let again = grace.nobody.post("/v1/sign-in", &recover(&code)).await;
    assert_eq!(refused(again), no(401, "not-opened"), "it counts once");
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_has_its_session_as_a_cookie_that_no_script_reads() {
    let clock = Turned::now();
    let home = home_by(&clock).await;
    let ada = Person::first(&home, &clock).await;
    let body = json!({"tenant": "acme", "login": "ada", "password": PASSWORD, "code": ada.next_code()});
    let answer = Http::new().post(format!("{}/v1/sign-in", home.platform.url())).json(&body).send().await;
    let answer = answer.expect("an answer");
    let cookie = answer.headers()["set-cookie"].to_str().expect("text").to_owned();
    for part in ["lethe-session=lethes_acme_", "HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let pair = cookie.split(';').next().expect("a pair").to_owned();
    let with = async |cookie: &str| {
        let asked = Http::new().get(format!("{}/v1/sessions", home.platform.url())).header("Cookie", cookie);
        asked.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(with(&pair).await, 200);
    assert_eq!(with(&format!("a=b; {pair}")).await, 200);
    assert_eq!(with(&format!("{pair}; {pair}x")).await, 401, "two are nobody's");
    assert_eq!(with("lethe-session=").await, 401);
    home.stop().await;
}

/// Somebody with a form that can be signed.
pub(super) async fn signable(doctor: &Client) -> String {
    let at = participant(enrol(doctor, "oslo", "N-1").await);
    let values = [("SYSBP", "120"), ("DIABP", "80"), ("PULSE", "70"), ("WEIGHT", "70.5")];
    let items = values.map(|(item, value)| json!({"group": "VS", "item": item, "value": value}));
    send(doctor, &at, json!({"type": "save-items", "visit": "BASELINE", "form": "VS", "items": items}))
        .await
        .expect("saved");
    at
}

pub(super) async fn sign(client: &Client, at: &str, credential: Option<&str>) -> (u16, String) {
    let place = json!({"level": "form", "visit": "BASELINE", "form": "VS"});
    let body = json!({"type": "sign", "place": place, "meaning": "responsibility"});
    let mut request = Http::new().post(format!("{}{at}", client.base())).bearer_auth(client.token()).json(&body);
    if let Some(credential) = credential {
        request = request.header("Lethe-Signer", credential);
    }
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.expect("JSON");
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_signature_of_a_session_takes_both_factors_and_nobody_signs_for_another() {
    let clock = Turned::now();
    let home = home_by(&clock).await;
    home.live_study().await;
    let ada = Person::first(&home, &clock).await;
    let grace = ada.invite(&home, "investigator", "grace", "Grace Hopper").await;
    let ivan = ada.invite(&home, "investigator", "ivan", "Ivan Petrov").await;
    let at = signable(&grace.session).await;
    let no = |code: &str| (403, code.to_owned());

    assert_eq!(sign(&grace.session, &at, None).await, no("reauthentication-required"));
    let bearer = format!("Bearer {}", grace.session.token());
    assert_eq!(
        sign(&grace.session, &at, Some(&bearer)).await,
        no("reauthentication-failed"),
        "the session proves nothing"
    );
    let given = |password: Option<&str>, code: Option<&str>| factors(&json!({"password": password, "code": code}));
    let wrong = given(Some("not the password"), Some(&grace.next_code()));
    assert_eq!(sign(&grace.session, &at, Some(&wrong)).await, no("reauthentication-failed"));
    let one = given(Some(PASSWORD), None);
    assert_eq!(sign(&grace.session, &at, Some(&one)).await, no("too-few-factors"));
    let of_another = given(Some(PASSWORD), Some(&ivan.next_code()));
    assert_eq!(sign(&grace.session, &at, Some(&of_another)).await, no("reauthentication-failed"));
    let code = grace.next_code();
    let both = given(Some(PASSWORD), Some(&code));
    assert_eq!(sign(&grace.session, &at, Some(&both)).await.0, 200);
    assert_eq!(sign(&grace.session, &at, Some(&given(None, Some(&code)))).await, no("reauthentication-failed"), "used");
    let signatures = ada_reads(&home, &at).await;
    assert_eq!(signatures[0]["printed_name"], "Grace Hopper");
    assert_eq!(signatures[0]["factors"], json!(["password", "one-time-code"]));
    assert_eq!(signatures[0]["actor"]["id"], *grace.user);

    // One factor is enough now, in this session alone.
    let anew = json!({"type": "save-items", "visit": "BASELINE", "form": "VS", "items": [
        {"group": "VS", "item": "SYSBP", "value": "125", "reason": "misread"}]});
    let casebook = grace.session.get(&format!("{at}/casebook")).await.expect("readable").body;
    let tag = format!("\"{}\"", casebook["forms"][0]["tag"]);
    grace.session.command(&at, random_id(), Some(&tag), None, &anew).await.expect("changed");
    let elsewhere = grace.sign_in(PASSWORD, &grace.next_code()).await.expect("signed in elsewhere");
    assert_eq!(sign(&elsewhere, &at, Some(&one)).await, no("too-few-factors"));
    assert_eq!(sign(&grace.session, &at, Some(&one)).await.0, 200);
    assert_eq!(ada_reads(&home, &at).await.iter().filter(|one| one["factors"] == json!(["password"])).count(), 1);
    home.stop().await;
}

async fn ada_reads(home: &Home, at: &str) -> Vec<Value> {
    let monitor = home.client(Role::Monitor).await;
    let list = monitor.get(&format!("{at}/signatures")).await.expect("readable").body;
    list["items"].as_array().expect("a list").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_alone_signs_where_nothing_is_real_and_nowhere_else() {
    let home = Home::new().await;
    home.live_study().await;
    let doctor = home.client(Role::Investigator).await;
    let at = signable(&doctor).await;
    assert_eq!(sign(&doctor, &at, Some(doctor.token())).await.0, 200, "in TEST, and the signature says so");
    let secret = "real".parse().expect("valid");
    let name = "Real".parse().expect("valid");
    home.platform.create_study(&acme(), &secret, name, Environment::Prod).await.expect("created");
    let real = home.client_with(Role::Investigator, |new: &mut NewToken| new.environment = Environment::Prod).await;
    let there = format!("/v1/studies/real/participants/{}", random_id());
    let (status, code) = sign(&real, &there, Some(real.token())).await;
    assert_eq!((status, code.as_str()), (403, "reauthentication-failed"));
    home.stop().await;
}

async fn approve(client: &Client, at: &str, erasure: uuid::Uuid, signer: Option<&str>) -> (u16, String) {
    let body =
        json!({"type": "approve-erasure", "erasure": erasure, "instruction": "DPA-1", "accept_single_copy": true});
    let mut request =
        Http::new().post(format!("{}{at}/privacy", client.base())).bearer_auth(client.token()).json(&body);
    if let Some(signer) = signer {
        request = request.header("Lethe-Signer", signer);
    }
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.expect("JSON");
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_undone_takes_both_factors_anew_and_no_token_in_prod() {
    let clock = Turned::now();
    let home = home_by(&clock).await;
    home.live_study().await;
    let ada = Person::first(&home, &clock).await;
    let tom = ada.invite(&home, "controller", "tom", "Tom Tester").await;
    let (doctor, dpo) = (home.client(Role::Investigator).await, home.client(Role::Dpo).await);
    let mut asked = Vec::new();
    for number in ["N-1", "N-2", "N-3"] {
        let (at, erasure) = (participant(enrol(&doctor, "oslo", number).await), random_id());
        let ask = json!({"type": "request-erasure", "erasure": erasure, "justification": "consent-withdrawn",
            "scopes": ["identity.contact"]});
        send(&dpo, &format!("{at}/privacy"), ask).await.expect("asked for");
        asked.push((at, erasure));
    }
    let no = |code: &str| (403, code.to_owned());
    let (at, erasure) = &asked[0];
    assert_eq!(approve(&tom.session, at, *erasure, None).await, no("step-up-required"));
    assert_eq!(approve(&dpo, at, *erasure, None).await, no("forbidden"), "by the table of roles");
    let given = |password: Option<&str>, code: Option<&str>| factors(&json!({"password": password, "code": code}));
    let wrong = given(Some("not the password"), Some(&tom.next_code()));
    assert_eq!(approve(&tom.session, at, *erasure, Some(&wrong)).await, no("reauthentication-failed"));
    // In a batch there is no place for a proof.
    let line = json!({"aggregate": "privacy", "id": at.rsplit('/').next(), "command":
        {"type": "approve-erasure", "erasure": erasure, "instruction": "DPA-1", "accept_single_copy": true}});
    let mut lines = Vec::new();
    let batch = at.split("/participants").next().expect("a study").to_owned() + "/commands";
    tom.session.bulk(&batch, line.to_string(), |line| lines.push(line)).await.expect("answered");
    assert_eq!(lines[0]["code"], "step-up-required", "{lines:?}");
    let both = given(Some(PASSWORD), Some(&tom.next_code()));
    assert_eq!(approve(&tom.session, at, *erasure, Some(&both)).await.0, 200);
    // Both, each time: one that was enough for a later signature is not enough here.
    let (at, erasure) = &asked[1];
    let one = given(Some(PASSWORD), None);
    assert_eq!(approve(&tom.session, at, *erasure, Some(&one)).await, no("step-up-required"));
    let mut key = tests::passkey::Authenticator::new();
    let factors = json!({"password": PASSWORD, "code": tom.next_code()});
    key.join(&tom.session, &factors, "Key").await.expect("added");
    let by_key = key.signer(&tom.session).await.expect("asked");
    assert_eq!(approve(&tom.session, at, *erasure, Some(&by_key)).await.0, 200);

    // A token approves where nothing is real, and in PROD not even what is not there.
    let (at, erasure) = &asked[2];
    let token = home.client(Role::Controller).await;
    assert_eq!(approve(&token, at, *erasure, None).await.0, 200);
    let secret = "real".parse().expect("valid");
    home.platform
        .create_study(&acme(), &secret, "Real".parse().expect("valid"), Environment::Prod)
        .await
        .expect("created");
    let real = home.client_with(Role::Controller, |new: &mut NewToken| new.environment = Environment::Prod).await;
    let there = format!("/v1/studies/real/participants/{}", random_id());
    assert_eq!(approve(&real, &there, random_id(), None).await, no("step-up-required"));
    home.stop().await;
}

/// Whether the bytes stand in any file below `folder`.
fn is_on_disk(folder: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(folder).expect("a folder").flatten().any(|entry| {
        if entry.path().is_dir() {
            is_on_disk(&entry.path(), bytes)
        } else {
            // The server may remove a file under our eyes.
            std::fs::read(entry.path()).unwrap_or_default().windows(bytes.len()).any(|window| window == bytes)
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_no_name_and_no_address_of_the_door_is_on_disk_unsealed() {
    let clock = Turned::now();
    let folder = Folder::new();
    // As behind a proxy that says where people come from.
    let rules = DoorRules { public_url: Some("https://lethe.example.org".to_owned()), ..DoorRules::default() };
    let options = folder.options().clock(Arc::new(clock.clone())).door(rules);
    let platform = Platform::start(options).await.expect("the platform starts");
    platform.create_tenant(&acme()).await.expect("a tenant can be created");
    let home = Home { folder, platform };
    let link = link_of(&home).await;
    let name = Some("Ada Canaria");
    let ada = Person::join(&home, &clock, &link, "ada.canary@example.org", name).await.expect("it opens");
    assert_eq!(refused(ada.sign_in("not the password", "000000").await), no(401, "not-opened"));
    recorded(&ada, 1).await;
    let body = json!({"tenant": "acme", "login": ada.login, "password": PASSWORD, "code": ada.next_code()});
    let sign_in = Http::new().post(format!("{}/v1/sign-in", home.platform.url())).json(&body);
    let answer = sign_in.header("X-Forwarded-For", "198.51.100.1, 203.0.113.77").send().await.expect("an answer");
    let cookie = answer.headers()["set-cookie"].to_str().expect("text").to_owned();
    assert!(cookie.starts_with("__Host-lethe-session=lethes_acme_") && cookie.ends_with("; Secure"), "{cookie}");
    let session = cookie.split(['=', ';']).nth(1).expect("a secret").to_owned();
    Client::new(home.platform.url(), &session).get("/v1/users").await.expect("listed");
    let (one_time, recovery, first) = (ada.one_time.clone(), ada.recovery.clone(), ada.session.token().to_owned());
    let folder = home.stop().await;
    assert!(is_on_disk(folder.path(), b"session-begun"), "what is not personal is there to be found");
    let secrets = [&link, &one_time, &first, &session, PASSWORD, "$argon2id$", "ada.canary", "Canaria", "203.0.113.77"];
    for secret in secrets.into_iter().chain(recovery.iter().map(String::as_str)) {
        assert!(!is_on_disk(folder.path(), secret.as_bytes()), "{secret}");
    }
}

/// Everything at a command line: from the link that is printed to a session that is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_joins_signs_in_and_out_at_the_command_line() {
    let (lethe, folder) = (super::binary(), Folder::new());
    let server = lethe.serve(&folder, |_| {});
    let address = lethe.done(&folder, &["tenant", "create", "acme"]);
    assert!(address.contains("/join#lethel_acme_"), "{address}");
    let secret = address.rsplit('#').next().expect("a secret");
    let newer = lethe.done(&folder, &["admin", "link", "--tenant", "acme"]);
    let (code, _, err) = lethe.answering(&folder, &["join", secret], &[]);
    assert_eq!(code, Some(5), "the newer link ended it: {err}");

    // What is shown in the first run is what the second one answers with.
    let (_, _, err) = lethe.answering(&folder, &["join", &newer], &[]);
    let one_time = err.split("secret: ").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("a secret");
    let code_in = |seconds: i64| {
        let at = domain::port::Clock::now(&infra::chance::SystemClock) + time::Duration::seconds(seconds);
        infra::secrets::shown_by_authenticator(one_time, at).expect("a code")
    };
    let answers = ["Ada Admin", "ada", PASSWORD, PASSWORD, &code_in(0)];
    let (code, out, err) = lethe.answering(&folder, &["join", &newer], &answers);
    assert_eq!((code, out.lines().count()), (Some(0), 10), "ten recovery codes: {err}");
    let kept = folder.path().join("config/lethe/session.json");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&kept).expect("it is kept").permissions());
    assert_eq!(mode & 0o777, 0o600);
    let (code, said) = lethe.said(&folder, &["admin", "link", "--tenant", "acme"]);
    assert_eq!(code, Some(3), "{said}");

    let arguments = ["--name", "Ivo Investigator", "--role", "investigator", "--environment", "TEST", "--site", "oslo"];
    let invited = lethe.done(&folder, &[&["user", "invite"][..], &arguments].concat());
    assert!(invited.contains("/join#lethel_acme_"), "{invited}");
    let users = lethe.json(&folder, &["user", "list"]);
    assert_eq!(users.as_array().map(Vec::len), Some(2), "{users}");
    let sessions = lethe.json(&folder, &["sessions", "list"]);
    assert_eq!((sessions.as_array().map(Vec::len), &sessions[0]["this"]), (Some(1), &json!(true)));
    lethe.done(&folder, &["logout"]);
    assert!(!kept.exists());
    assert_eq!(lethe.said(&folder, &["sessions", "list"]).0, Some(2), "nobody is signed in");

    let login = ["login", "--tenant", "acme", "--login", "ada"];
    assert_eq!(lethe.answering(&folder, &login, &["not the password", "000000"]).0, Some(5));
    let (code, out, err) = lethe.answering(&folder, &login, &[PASSWORD, &code_in(30)]);
    assert_eq!((code, out.as_str()), (Some(0), ""), "{err}");
    let sessions = lethe.json(&folder, &["sessions", "list"]);
    let session = sessions[0]["session"].as_str().expect("an id");
    lethe.done(&folder, &["sessions", "revoke", session]);
    assert_eq!(lethe.said(&folder, &["sessions", "list"]).0, Some(5), "it is over");
    drop(server);
}
