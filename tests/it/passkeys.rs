//! Passkeys over HTTP, with an authenticator of the test's own.

use domain::permit::Role;
use lethe::cli::Client;
use serde_json::json;
use tests::door::{PASSWORD, Person, Turned, home_by};
use tests::passkey::{Authenticator, THERE, VERIFIED};

use super::door::{no, refused, sign, signable};

#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_comes_in_alone_signs_alone_and_is_known_once() {
    let clock = Turned::now();
    let home = home_by(&clock).await;
    home.live_study().await;
    let ada = Person::first(&home, &clock).await;
    let grace = ada.invite(&home, "investigator", "grace", "Grace Hopper").await;
    let mut laptop = Authenticator::new();
    assert_eq!(refused(laptop.signer(&grace.session).await), no(409, "no-passkey"));

    // It is added by who proves both factors, in the session that asked.
    let both = |code: String| json!({"password": PASSWORD, "code": code});
    for less in [json!({"password": PASSWORD}), json!({"code": grace.next_code()}), both("000000".into()), json!({})] {
        assert_eq!(refused(laptop.join(&grace.session, &less, "Laptop").await), no(401, "not-opened"), "{less}");
    }
    let options = grace.session.post("/v1/passkeys/new", &both(grace.next_code())).await.expect("asked").body;
    let made = laptop.make(&options, "Laptop");
    let elsewhere = grace.sign_in(PASSWORD, &grace.next_code()).await.expect("signed in");
    assert_eq!(refused(elsewhere.post("/v1/passkeys", &made).await), no(409, "not-asked"));
    assert_eq!(refused(grace.session.post("/v1/passkeys", &made).await), no(409, "not-asked"), "it was answered");
    laptop.flags = THERE;
    let unverified = laptop.join(&grace.session, &both(grace.next_code()), "Laptop").await;
    assert_eq!(refused(unverified), no(422, "passkey-refused"));
    laptop.flags = THERE | VERIFIED;
    let passkey = laptop.join(&grace.session, &both(grace.next_code()), "Laptop").await.expect("added");
    let again = laptop.join(&grace.session, &both(grace.next_code()), "Again").await;
    assert_eq!(refused(again), no(409, "passkey-known"));
    let listed = grace.session.get("/v1/passkeys").await.expect("listed").body;
    assert_eq!((&listed["items"][0]["name"], &listed["items"][0]["used_at"]), (&json!("Laptop"), &json!(null)));

    // It comes in by itself; what is changed, repeated, late or from another page does not.
    let inside = laptop.sign_in(&grace.nobody).await.expect("signed in");
    let listed = inside.get("/v1/passkeys").await.expect("in").body;
    assert!(listed["items"][0]["used_at"].is_string(), "{listed}");
    let ask = async || grace.nobody.post("/v1/sign-in/passkey/challenge", &json!({})).await.expect("asked").body;
    let send = async |answer: &serde_json::Value| {
        refused(grace.nobody.post("/v1/sign-in/passkey", &json!({"passkey": answer})).await)
    };
    let answer = laptop.answer(&ask().await);
    assert_eq!(send(&answer).await, (None, "done".to_owned()));
    assert_eq!(send(&answer).await, no(401, "not-opened"), "a challenge counts once");
    let late = laptop.answer(&ask().await);
    clock.on(std::time::Duration::from_secs(301));
    assert_eq!(send(&late).await, no(401, "not-opened"));
    laptop.origin = "https://lethe.example.com".to_owned();
    assert_eq!(send(&laptop.answer(&ask().await)).await, no(401, "not-opened"));
    laptop.origin = "http://localhost:8080".to_owned();
    laptop.flags = THERE;
    assert_eq!(send(&laptop.answer(&ask().await)).await, no(401, "not-opened"), "nobody was verified");
    laptop.flags = THERE | VERIFIED;
    let mut of_ada = laptop.answer(&ask().await);
    let handle = [uuid::Uuid::parse_str(&ada.user).expect("an id").as_bytes(), &b"acme"[..]].concat();
    of_ada["user_handle"] = base64_url(&handle).into();
    assert_eq!(send(&of_ada).await, no(401, "not-opened"), "another's account");
    let for_a_session = inside.post("/v1/passkeys/proof", &json!({})).await.expect("asked").body;
    assert_eq!(send(&laptop.answer(&for_a_session)).await, no(401, "not-opened"), "asked for something else");
    laptop.count = 1;
    assert_eq!(send(&laptop.answer(&ask().await)).await, no(403, "passkey-copied"));
    laptop.count = 100;

    // It signs alone, the first time too, and for nobody else.
    let inside = laptop.sign_in(&grace.nobody).await.expect("signed in");
    let at = signable(&inside).await;
    let given = laptop.signer(&inside).await.expect("asked");
    assert_eq!(sign(&elsewhere_of(&ada), &at, Some(&given)).await.0, 403);
    assert_eq!(sign(&inside, &at, Some(&given)).await.0, 403, "that one was answered");
    let given = laptop.signer(&inside).await.expect("asked");
    assert_eq!(sign(&inside, &at, Some(&given)).await, (200, String::new()));
    let monitor = home.client(Role::Monitor).await;
    let signatures = monitor.get(&format!("{at}/signatures")).await.expect("readable").body;
    assert_eq!(signatures["items"][0]["factors"], json!(["passkey"]));

    // A second one is added by the first. One that is removed opens nothing, and ends the sessions elsewhere.
    let options = inside.post("/v1/passkeys/proof", &json!({})).await.expect("asked").body;
    let proof = json!({"passkey": laptop.answer(&options)});
    let mut phone = Authenticator::new();
    phone.join(&inside, &proof, "Phone").await.expect("added");
    let by_phone = phone.sign_in(&grace.nobody).await.expect("signed in");
    let remove = format!("/v1/users/{}/passkeys/{passkey}/remove", grace.user);
    assert_eq!(
        refused(inside.post(&remove.replace(&passkey, &ada.user), &json!({})).await),
        no(404, "no-such-passkey")
    );
    by_phone.post(&remove, &json!({})).await.expect("removed");
    assert_eq!(refused(laptop.sign_in(&grace.nobody).await), no(401, "not-opened"));
    assert_eq!(refused(inside.get("/v1/passkeys").await), no(401, "unauthorized"));

    // Who administers sees that there is one, not what it is called, and removes it.
    let ada = ada.sign_in(PASSWORD, &ada.next_code()).await.expect("signed in");
    let theirs = format!("/v1/users/{}/passkeys", grace.user);
    let seen = ada.get(&theirs).await.expect("listed").body;
    assert_eq!((seen["items"].as_array().map(Vec::len), &seen["items"][0]["name"]), (Some(1), &json!(null)));
    let phone_id = seen["items"][0]["passkey"].as_str().expect("an id");
    ada.post(&format!("{theirs}/{phone_id}/remove"), &json!({})).await.expect("removed");
    assert_eq!(refused(by_phone.get("/v1/passkeys").await), no(401, "unauthorized"));
    home.stop().await;
}

fn base64_url(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

fn elsewhere_of(person: &Person) -> Client {
    Client::new(person.session.base(), person.session.token())
}
