//! Commands over NATS: the same rules and the same replies as over HTTP.

use std::time::Duration;

use domain::permit::Role;
use domain::port::{Answered, Asked};
use infra::requests::DoorClient;
use lethe::platform::{NewToken, random_id};
use serde_json::{Value, json};
use tests::api::{enrol, participant, vital_signs};
use tests::home::{Home, acme};

const PATIENCE: Duration = Duration::from_secs(20);

struct Integrator {
    door: DoorClient,
    token: String,
}

impl Integrator {
    async fn ask(&self, to: &[&str], headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Answered {
        let bearer = ("Authorization".to_owned(), format!("Bearer {}", self.token));
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let asked = Asked {
            to: to.iter().map(|word| (*word).to_owned()).collect(),
            headers: headers.chain([bearer]).collect(),
            body: body.into(),
        };
        self.door.ask(asked, PATIENCE).await.expect("an answer")
    }
}

fn header<'a>(answered: &'a Answered, name: &str) -> &'a str {
    let found = answered.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
    found.map_or("", |(_, value)| value)
}

fn said(answered: &Answered) -> Value {
    serde_json::from_slice(&answered.body).expect("JSON")
}

async fn token(home: &Home, role: Role) -> String {
    let new = NewToken::new(&acme(), domain::ids::UserId(random_id()), role, "a program", true);
    home.platform.create_token(new).await.expect("a token")
}

async fn integrator(home: &Home) -> Integrator {
    let door = home.platform.second_door(&acme()).await.expect("a second door");
    Integrator { door, token: token(home, Role::Integrator).await }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_over_nats_is_the_command_over_http() {
    let home = Home::new().await;
    home.live_study().await;
    let http = home.client(Role::Integrator).await;
    let id = enrol(&http, "oslo", "N-1").await;
    let (integrator, person, key) = (integrator(&home).await, id.to_string(), random_id());
    let to = ["cardio-1", "participant", person.as_str()];

    let keyed = [("Idempotency-Key", key.to_string())];
    let keyed: Vec<_> = keyed.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let first = integrator.ask(&to, &keyed, vital_signs("120").to_string()).await;
    assert_eq!(first.status, 200, "{first:?}");
    assert!(!header(&first, "ETag").is_empty() && !header(&first, "Lethe-Position").is_empty(), "{first:?}");

    // Once, by whichever door it comes again.
    let again = integrator.ask(&to, &keyed, vital_signs("120").to_string()).await;
    assert_eq!((again.status, said(&again)["position"].clone()), (200, said(&first)["position"].clone()));
    let by_http = http.command(&participant(id), key, None, None, &vital_signs("120")).await.expect("done before");
    assert_eq!(by_http.body["position"], said(&first)["position"]);

    let casebook = home.client(Role::Investigator).await.get(&format!("{}/casebook", participant(id))).await;
    assert!(casebook.expect("a casebook").body.to_string().contains("120"));
    home.stop().await;
}

/// The subject's words, headers, body; the status and the code that must come back.
type Case<'c> = (&'c [&'c str], &'c [(&'c str, &'c str)], String, u16, &'c str);

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_those_of_http() {
    let home = Home::new().await;
    home.live_study().await;
    let id = enrol(&home.client(Role::Integrator).await, "oslo", "N-1").await.to_string();
    let integrator = integrator(&home).await;
    let to = ["cardio-1", "participant", id.as_str()];
    let changed = json!({"type": "save-items", "visit": "BASELINE", "form": "VS",
        "items": [{"group": "VS", "item": "SYSBP", "value": "121", "reason": "typo"}]});
    assert_eq!(integrator.ask(&to, &[], vital_signs("120").to_string()).await.status, 200);

    let cases: [Case<'_>; 7] = [
        (&to, &[], "{".into(), 400, "malformed-json"),
        (&to, &[], changed.to_string(), 428, "tag-required"),
        (&to, &[("If-Match", "\"1\"")], changed.to_string(), 412, "tag-differs"),
        (&to, &[("Idempotency-Key", "mine")], vital_signs("1").to_string(), 400, "invalid-idempotency-key"),
        (&["cardio-1", "participant", "Ada"], &[], vital_signs("1").to_string(), 400, "invalid-id"),
        (&["unheard", "participant", &id], &[], vital_signs("1").to_string(), 404, "no-such-study"),
        (&["cardio-1", "somewhere"], &[], vital_signs("1").to_string(), 404, "no-such-address"),
    ];
    for (to, headers, body, status, code) in cases {
        let answered = integrator.ask(to, headers, body).await;
        assert_eq!((answered.status, said(&answered)["code"].as_str()), (status, Some(code)), "{to:?} {answered:?}");
        assert_eq!(header(&answered, "Nats-Service-Error"), code);
        assert_eq!(header(&answered, "Nats-Service-Error-Code"), status.to_string());
    }

    let nobody = Integrator { token: "lethe_acme_nonsense".into(), door: integrator.door.clone() };
    assert_eq!(nobody.ask(&to, &[], vital_signs("1").to_string()).await.status, 401);
    let reader = Integrator { token: token(&home, Role::SponsorViewer).await, door: integrator.door.clone() };
    assert_eq!(reader.ask(&to, &[], vital_signs("1").to_string()).await.status, 403);

    // Who has a token of another tenant learns nothing at this one's door.
    home.stranger(Role::Integrator).await;
    let umbra = "umbra".parse().expect("valid");
    let theirs = NewToken::new(&umbra, domain::ids::UserId(random_id()), Role::Integrator, "x", true);
    let theirs = home.platform.create_token(theirs).await.expect("a token");
    let stranger = Integrator { token: theirs, door: integrator.door.clone() };
    assert_eq!(stranger.ask(&to, &[], vital_signs("1").to_string()).await.status, 401);
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_commands_in_one_request_have_one_result_a_line() {
    let home = Home::new().await;
    home.live_study().await;
    let integrator = integrator(&home).await;
    let line = |n: usize, command: Value| {
        json!({"aggregate": "participant", "id": uuid::Uuid::from_u128(n as u128 + 1), "command": command}).to_string()
    };
    let register = |n: usize| json!({"type": "register", "site": "oslo", "subject_number": format!("N-{n}")});
    let lines: Vec<_> = (0..50).map(|n| line(n, register(n))).chain([line(50, json!({"type": "explode"}))]).collect();
    let answered = integrator.ask(&["cardio-1", "bulk"], &[], lines.join("\n")).await;
    assert_eq!(answered.status, 200, "{answered:?}");
    let results: Vec<Value> = String::from_utf8(answered.body)
        .expect("text")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(results.len(), 51);
    assert!(
        results[..50].iter().all(|result| result["status"].as_u64().is_some_and(|status| status < 300)),
        "{results:?}"
    );
    assert_eq!(results[50]["status"], 400);
    home.stop().await;
}

/// Its account is its own: no journal stream, no key and no announcement can be reached with it.
#[tokio::test(flavor = "multi_thread")]
async fn the_login_for_integrators_reaches_nothing_but_the_door() {
    let home = Home::new().await;
    home.live_study().await;
    let door = home.platform.second_door(&acme()).await.expect("a second door");
    for subject in
        ["evt.acme.cardio-1.participant.x", "keys.acme.top", "announce.acme.x", "$JS.API.STREAM.NAMES", "cmd.umbra.x"]
    {
        let heard = door.ask_anywhere(subject, Duration::from_millis(400)).await;
        assert!(heard.is_err(), "{subject} was answered");
    }
    home.stop().await;
}
