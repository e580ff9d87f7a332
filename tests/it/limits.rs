//! Each limit of `docs/limits.md`: at it all is well, one above it the answer is the one that the page says.

use domain::permit::Role;
use lethe::platform::random_id;
use reqwest::{Client as Http, RequestBuilder};
use serde_json::{Value, json};
use tests::api::{adverse_event, enrol, participant, vital_signs};
use tests::home::Home;

/// The number in the row of the page that names this test.
fn limit(name: &str) -> usize {
    let row = include_str!("../../docs/limits.md")
        .lines()
        .find(|line| line.ends_with(&format!("| `{name}` |")))
        .unwrap_or_else(|| panic!("docs/limits.md has no row {name}"));
    let number = row.split('|').nth(2).unwrap_or_default().trim();
    number.parse().unwrap_or_else(|_| panic!("{name}: {number} is no number"))
}

/// `text` with so many spaces behind it that it has `length` bytes: JSON says the same.
fn padded(text: &Value, length: usize) -> Vec<u8> {
    let mut bytes = text.to_string().into_bytes();
    assert!(bytes.len() <= length, "it is longer already");
    bytes.resize(length, b' ');
    bytes
}

struct Asking<'h> {
    home: &'h Home,
    token: String,
}

impl Asking<'_> {
    fn post(&self, path: &str) -> RequestBuilder {
        Http::new().post(format!("{}{path}", self.home.platform.url())).bearer_auth(&self.token)
    }

    /// The status and the problem's code, if there is one.
    async fn answer(&self, path: &str, media_type: &str, body: Vec<u8>) -> (u16, String) {
        let request = self.post(path).header("Content-Type", media_type).body(body);
        let response = request.send().await.expect("an answer, not a broken connection");
        let status = response.status().as_u16();
        let said: Value = response.json().await.expect("JSON");
        (status, said["code"].as_str().unwrap_or_default().to_owned())
    }

    async fn json(&self, path: &str, body: Vec<u8>) -> (u16, String) {
        self.answer(path, "application/json", body).await
    }
}

async fn asking(home: &Home, role: Role) -> Asking<'_> {
    let token =
        lethe::platform::NewToken::new(&tests::home::acme(), domain::ids::UserId(random_id()), role, "limits", false);
    Asking { home, token: home.platform.create_token(token).await.expect("a token") }
}

fn too_large() -> (u16, String) {
    (413, "too-large".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_may_be_as_large_as_the_page_says() {
    let home = Home::new().await;
    home.live_study().await;
    let at = participant(enrol(&home.client(Role::Integrator).await, "oslo", "N-1").await);
    let asking = asking(&home, Role::Integrator).await;

    let body = limit("command-body");
    assert_eq!(asking.json(&at, padded(&vital_signs("120"), body)).await, (200, String::new()), "command-body");
    assert_eq!(asking.json(&at, padded(&vital_signs("121"), body + 1)).await, too_large(), "command-body");

    let rehearsal = json!({"commands": [{"command": vital_signs("120")}]});
    let (path, body) = (format!("{at}/rehearsal"), limit("rehearsal"));
    assert_eq!(asking.json(&path, padded(&rehearsal, body)).await.0, 200, "rehearsal");
    assert_eq!(asking.json(&path, padded(&rehearsal, body + 1)).await, too_large(), "rehearsal");

    let text = limit("text");
    let term = |length: usize| adverse_event(&"x".repeat(length)).to_string().into_bytes();
    assert_eq!(asking.json(&at, term(text)).await, (200, String::new()), "text");
    let longer = json!({"type": "save-items", "visit": "WEEK-4", "form": "AE",
        "items": [{"group": "AE", "item": "AETERM", "value": "x".repeat(text + 1)}]});
    assert_eq!(asking.json(&at, longer.to_string().into_bytes()).await.0, 422, "text");

    // What is around the reason is small beside a two hundredth of the limit.
    let commit = limit("commit");
    let withdrawal =
        |length: usize| json!({"type": "withdraw-consent", "reason": "x".repeat(length)}).to_string().into_bytes();
    assert_eq!(asking.json(&at, withdrawal(commit)).await, too_large(), "commit");
    assert_eq!(asking.json(&at, withdrawal(commit - commit / 200)).await, (200, String::new()), "commit");
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_too_long_leaves_the_others_alone() {
    let home = Home::new().await;
    home.live_study().await;
    let integrator = home.client(Role::Integrator).await;
    let (one, other) = (enrol(&integrator, "oslo", "N-1").await, enrol(&integrator, "oslo", "N-2").await);
    let asking = asking(&home, Role::Integrator).await;

    let line = |id: uuid::Uuid| json!({"aggregate": "participant", "id": id, "command": vital_signs("120")});
    let longest = limit("bulk-line");
    let body = [padded(&line(one), longest), padded(&line(one), longest + 1), line(other).to_string().into_bytes()];
    let path = format!("/v1/studies/{}/commands", tests::home::cardio());
    let request = asking.post(&path).header("Content-Type", "application/x-ndjson").body(body.join(&b'\n'));
    let said = request.send().await.expect("an answer").text().await.expect("a text");
    let results: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let statuses: Vec<_> = results.iter().map(|result| (result["line"].as_u64(), result["status"].as_u64())).collect();
    assert_eq!(statuses, [(Some(1), Some(200)), (Some(2), Some(413)), (Some(3), Some(200))], "{said}");
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_design_and_a_token_may_be_as_large_as_the_page_says() {
    let home = Home::new().await;
    home.live_study().await;
    let asking = asking(&home, Role::StudyDesigner).await;
    let path = format!("/v1/studies/{}/designs", tests::home::cardio());
    let design = lethe::demo::study::design();
    let body = limit("design");
    assert_eq!(asking.json(&path, padded(&design, body)).await.0, 200, "design");
    assert_eq!(asking.json(&path, padded(&design, body + 1)).await, too_large(), "design");

    let longer = Asking { home: &home, token: format!("{}{}", asking.token, "x".repeat(limit("token"))) };
    assert_eq!(longer.json(&path, padded(&design, body)).await.0, 401, "token");
    home.stop().await;
}
