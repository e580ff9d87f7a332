//! A request in; status, headers and marks of the page out. The API behind it is one that answers what a test says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::{IntoResponse, Json};
use domain::history::{Actor, ActorKind};
use domain::ids::{Environment, SessionId, UserId};
use domain::permit::{Principal, Role, Sites};
use domain::port::{Clock, Credentials, Dice, Failure};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::words::Words;
use crate::{Parts, guard, router};

/// Sessions are named after their roles here.
struct ByRole;

#[async_trait]
impl Credentials for ByRole {
    async fn authenticate(&self, token: &str) -> Result<Option<Principal>, Failure> {
        let Ok(role) = token.parse::<Role>() else { return Ok(None) };
        let organisation = "own".parse().expect("valid");
        Ok(Some(Principal {
            tenant: "acme".parse().expect("valid"),
            environment: Environment::Test,
            actor: Actor { id: UserId(Uuid::nil()), kind: ActorKind::User, role, organisation },
            sites: Sites::All,
            session: Some(SessionId(Uuid::nil())),
        }))
    }
}

struct Still;

impl Clock for Still {
    fn now(&self) -> time::OffsetDateTime {
        time::macros::datetime!(2026-11-22 12:00 UTC)
    }
}

impl Dice for Still {
    fn uuid(&self) -> Uuid {
        Uuid::nil()
    }
    fn bytes(&self) -> [u8; 32] {
        [7; 32]
    }
}

type Answers = BTreeMap<&'static str, (StatusCode, Value)>;

/// The desk over an API that answers `METHOD /path` with this, and 404 otherwise.
fn desk(answers: Answers) -> Router {
    let api = Router::new().fallback(async move |request: Request<Body>| {
        let asked = format!("{} {}", request.method(), request.uri());
        let found = answers.iter().find(|(path, _)| asked == **path || asked.starts_with(&format!("{path}?")));
        let missing = || (StatusCode::NOT_FOUND, json!({"code": "no-such-address", "detail": "nothing is there"}));
        let (status, body) = found.map_or_else(missing, |(_, (status, body))| (*status, body.clone()));
        (status, [("retry-after", "30"), ("lethe-position", "p1")], Json(body)).into_response()
    });
    router(Parts { api, credentials: Arc::new(ByRole), clock: Arc::new(Still), dice: Arc::new(Still), tls: true })
}

struct Page {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Page {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

async fn send(desk: &Router, request: Request<Body>) -> Page {
    let response = desk.clone().oneshot(request).await.expect("it answers");
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
    let text = String::from_utf8(bytes.to_vec()).expect("text");
    Page { status: parts.status, headers: parts.headers, text }
}

fn request(method: &str, path: &str, session: Option<&str>, form: &str) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, "desk.test");
    if let Some(session) = session {
        request = request.header(header::COOKIE, format!("lethe-session={session}"));
    }
    if method == "POST" {
        request = request
            .header(header::ORIGIN, "https://desk.test")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    }
    request.body(Body::from(form.to_owned())).expect("a request")
}

/// Every route of the desk, as its own source says it: method and path, with an id in each hole.
fn routes() -> Vec<(&'static str, String)> {
    let mut routes = Vec::new();
    for line in include_str!("pages/mod.rs").lines() {
        let Some((path, handlers)) = line.split_once(".route(\"").and_then(|(_, rest)| rest.split_once('"')) else {
            continue;
        };
        let path: Vec<_> = path
            .split('/')
            .map(|part| if part.starts_with('{') { Uuid::nil().to_string() } else { part.into() })
            .collect();
        for (call, method) in [("get(", "GET"), ("post(", "POST")] {
            if handlers.contains(call) {
                routes.push((method, path.join("/")));
            }
        }
    }
    assert!(routes.len() > 30, "the routes are read from the source: {}", routes.len());
    routes
}

/// What somebody needs who has no session yet.
const OPEN: [&str; 6] =
    ["GET /sign-in", "POST /sign-in", "GET /join", "POST /join", "POST /join/open", "GET /desk/assets/"];

#[tokio::test]
async fn every_page_has_its_headers_and_nothing_is_shown_or_done_without_a_session() {
    let desk = desk(Answers::new());
    for (method, path) in routes() {
        let name = format!("{method} {path}");
        let page = send(&desk, request(method, &path, None, "")).await;
        assert_eq!(page.header("content-security-policy"), guard::POLICY, "{name}");
        assert_eq!(page.header("x-content-type-options"), "nosniff", "{name}");
        assert_eq!(page.header("referrer-policy"), "same-origin", "{name}");
        assert_eq!(page.header("cache-control"), "no-store", "{name}");
        assert!(page.header("strict-transport-security").starts_with("max-age="), "{name}");
        if !OPEN.iter().any(|open| name.starts_with(open)) {
            assert_eq!((page.status, page.header("location")), (StatusCode::SEE_OTHER, "/sign-in"), "{name}");
        }
        let unknown = send(&desk, request(method, &path, Some("nobody"), "")).await;
        if !OPEN.iter().any(|open| name.starts_with(open)) {
            assert_eq!(unknown.header("location"), "/sign-in", "{name} with a session that is over");
        }
    }
    assert!(!guard::POLICY.contains("unsafe"));
}

#[tokio::test]
async fn a_form_from_elsewhere_does_nothing() {
    let desk = desk(Answers::new());
    for (method, path) in routes().into_iter().filter(|(method, _)| *method == "POST") {
        let mut foreign = request(method, &path, Some("controller"), "");
        foreign.headers_mut().insert(header::ORIGIN, header::HeaderValue::from_static("https://evil.test"));
        let page = send(&desk, foreign).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{path}");
        assert!(page.text.contains("does not come from a page of this platform"), "{path}");
    }
}

#[tokio::test]
async fn signing_in_passes_the_session_on_and_says_how_long_to_wait() {
    let form = "tenant=acme&login=ada&password=secret&code=123+456";
    let waits = (StatusCode::TOO_MANY_REQUESTS, json!({"code": "too-many-tries", "detail": "wait for 30 seconds"}));
    let page = send(&desk([("POST /v1/sign-in", waits)].into()), request("POST", "/sign-in", None, form)).await;
    assert_eq!((page.status, page.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "30"));
    assert!(page.text.contains("wait for 30 seconds") && page.text.contains("value=\"ada\""));
    assert!(!page.text.contains("secret"), "a password never comes back");

    let opened = (StatusCode::OK, json!({}));
    let page = send(&desk([("POST /v1/sign-in", opened)].into()), request("POST", "/sign-in", None, form)).await;
    assert_eq!((page.status, page.header("location")), (StatusCode::SEE_OTHER, "/desk"));
}

#[tokio::test]
async fn the_menu_shows_what_the_role_may_ask() {
    let studies = json!([{"study": "s1", "name": "<b>S</b>", "state": "live", "environment": "TEST", "sites": []}]);
    let desk = desk([("GET /v1/studies", (StatusCode::OK, studies))].into());
    for (role, privacy, people) in
        [("dpo", true, false), ("controller", true, true), ("monitor", false, false), ("sponsor-viewer", false, false)]
    {
        let page = send(&desk, request("GET", "/desk", Some(role), "")).await;
        assert_eq!(page.status, StatusCode::OK, "{role}: {}", page.text);
        assert_eq!(page.text.contains("href=\"/desk/privacy\""), privacy, "{role}");
        assert_eq!(page.text.contains("href=\"/desk/users\""), people, "{role}");
        assert!(page.text.contains("&#60;b&#62;S"), "names are text: {}", page.text);
    }
}

fn erasure(waiting_for: &str, requested_by: Uuid) -> Value {
    json!({
        "erasure": Uuid::nil(), "study": "s1", "participant": Uuid::nil(), "phase": "assessed", "open": true,
        "justification": "consent-withdrawn", "requested": ["identity.contact"], "requested_values": [],
        "requested_by": requested_by, "granted": ["identity.contact"], "granted_values": [],
        "refused": [{"scope": "health.clinical", "ground": "legal-hold", "part": null, "rule": null, "until": null, "after": null}],
        "approved_by": null, "instruction": null, "key_tree_copies": "off-site", "single_copy_accepted": false,
        "waiting_for": waiting_for, "steps": [], "destroyed": null, "probed": null, "certificate": null, "tell": [],
        "reason": {"withheld": "health.free-text"},
    })
}

fn with_erasure(erasure: Value) -> Router {
    let person = json!({
        "participant": Uuid::nil(), "subject_number": "S-7", "site": "oslo", "state": "consented", "ended": null,
        "restricted": false, "erased": [], "forms": 1, "last_activity": "2026-11-22T12:00:00Z",
    });
    let here = "GET /v1/studies/s1/participants/00000000-0000-0000-0000-000000000000";
    let approve = "POST /v1/studies/s1/participants/00000000-0000-0000-0000-000000000000/privacy";
    let wrong = json!({"code": "reauthentication-failed", "detail": "these factors do not prove who signs"});
    desk(
        [
            ("GET /v1/erasures/00000000-0000-0000-0000-000000000000", (StatusCode::OK, erasure)),
            (here, (StatusCode::OK, person)),
            (approve, (StatusCode::FORBIDDEN, wrong)),
        ]
        .into(),
    )
}

const ERASURE: &str = "/desk/erasures/00000000-0000-0000-0000-000000000000";

#[tokio::test]
async fn an_erasure_is_shown_before_it_is_approved_and_by_another_person() {
    let other = Uuid::from_u128(1);
    for (role, asked_by, may) in
        [("controller", other, true), ("controller", Uuid::nil(), false), ("dpo", other, false)]
    {
        let page = send(&with_erasure(erasure("approval", asked_by)), request("GET", ERASURE, Some(role), "")).await;
        assert_eq!(page.status, StatusCode::OK);
        assert_eq!(page.text.contains("name=\"typed\""), may, "{role} {asked_by}");
        assert!(page.text.contains("name and contact") && page.text.contains("legal hold"));
        assert!(page.text.contains("not shown to your role"));
        assert!(!page.text.contains("http-equiv=\"refresh\""), "it waits for a person: nothing to look at again");
    }
    let page = send(&with_erasure(erasure("kms", other)), request("GET", ERASURE, Some("dpo"), "")).await;
    assert!(
        page.text.contains("http-equiv=\"refresh\""),
        "it goes on by itself: a browser without scripts looks again"
    );
}

#[tokio::test]
async fn an_approval_takes_the_number_typed_and_the_person_proved_anew() {
    let desk = with_erasure(erasure("approval", Uuid::from_u128(1)));
    for (form, status, says) in [
        ("typed=S-8&password=p&code=123456", StatusCode::UNPROCESSABLE_ENTITY, "not the participant"),
        ("typed=S-7&password=p", StatusCode::FORBIDDEN, "did not prove"),
        ("typed=S-7&password=p&code=123456", StatusCode::FORBIDDEN, "did not prove"),
    ] {
        let page = send(&desk, request("POST", ERASURE, Some("controller"), form)).await;
        assert_eq!(page.status, status, "{form}");
        assert!(page.text.contains(says), "{form}: {}", page.text);
    }
}

#[tokio::test]
async fn a_refusal_of_the_api_is_a_page_with_its_status() {
    let no = json!({"code": "forbidden", "detail": "the role monitor may not ask erasure.list"});
    let studies = json!([{"study": "s1", "name": "S", "state": "live", "environment": "TEST", "sites": []}]);
    let desk = desk(
        [("GET /v1/studies", (StatusCode::OK, studies)), ("GET /v1/studies/s1/erasures", (StatusCode::FORBIDDEN, no))]
            .into(),
    );
    let page = send(&desk, request("GET", "/desk/privacy", Some("monitor"), "")).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.text.contains("may not ask erasure.list") && page.text.contains("<h1>"));
}

fn health(faults: Value) -> Value {
    json!({
        "ready": faults == json!([]), "faults": faults, "behind": 3, "rebuilding": false, "version": "0.1.0",
        "started_at": "2026-11-22T11:00:00Z", "tenants": 2, "tenants_refused": 0, "memory_bytes": 104857600,
        "nats_memory_bytes": null,
    })
}

/// A platform that stands still at one study, with a rebuild under way.
fn operated() -> Router {
    let fault = json!([{"code": "read-models-stopped", "found": "cardio: <b>a commit</b> is damaged"}]);
    let minutes = json!([
        {"at": "2026-11-22T11:58:00Z", "appended": 5, "appended_per_second": 0.1, "append_median_ms": 1.0,
         "append_p95_ms": 2.5, "commands": 4, "command_p95_ms": 7.0},
        {"at": "2026-11-22T11:59:00Z", "appended": 1234, "appended_per_second": 20.5, "append_median_ms": null,
         "append_p95_ms": 3.25, "commands": 0, "command_p95_ms": null},
    ]);
    let finding =
        |verdict: &str| json!({"about": "swap", "verdict": verdict, "found": "there is", "next": "turn it off"});
    let model = json!({"projection": "casebook", "version": 3, "generation": 2, "lag": 0, "reached": []});
    let followed =
        json!({"study": "cardio", "state": "stopped", "reason": "damaged", "reflected": "cardio:1:7", "behind": 3});
    let run = json!({
        "rebuild": Uuid::nil(), "projection": "casebook", "by": Uuid::nil(), "started_at": "2026-11-22T11:59:00Z",
        "stage": "comparing", "done": 9, "total": 9, "ended_at": null, "failed": null, "report": [],
    });
    let still = json!({
        "study": null, "code": "read-models-stopped", "reason": "damaged", "reflected": "_:1:7", "behind": 3, "next": "",
    });
    let commit = json!({
        "sequence": 4, "aggregate": "participant", "id": Uuid::nil(), "revision": 2, "facts": ["items-saved 2"],
        "stored_at": "2026-11-22T11:59:00Z", "captured_at": "2026-11-22T11:59:00Z", "environment": "TEST",
        "actor": {"id": Uuid::nil(), "kind": "user", "role": "investigator", "organisation": "own"},
        "command": Uuid::nil(), "hash": "ab", "previous": "cd", "bytes": 900, "scopes": ["health.clinical"],
    });
    let mut opened = commit.clone();
    opened["structure"] = json!([{"fact": "items-saved", "version": 2, "structure": {"form": "<VS>"}}]);
    let ok = |body: Value| (StatusCode::OK, body);
    desk(
        [
            ("GET /v1/operations/health", ok(health(fault))),
            ("GET /v1/operations/figures", ok(json!({"measured": true, "minutes": minutes}))),
            ("GET /v1/operations/findings", ok(json!({"items": [finding("good"), finding("unsafe")]}))),
            ("GET /v1/operations/projections", ok(json!({"journals": [followed], "items": [model]}))),
            ("GET /v1/operations/rebuilds", ok(json!({"items": [run]}))),
            ("POST /v1/operations/rebuilds", ok(json!({}))),
            ("GET /v1/operations/standstills", ok(json!({"items": [still]}))),
            ("GET /v1/operations/journals/cardio/commits", ok(json!({"items": [commit], "next": null}))),
            ("POST /v1/operations/journals/cardio/commits/4/open", ok(opened)),
        ]
        .into(),
    )
}

#[tokio::test]
async fn an_operator_begins_at_health_and_has_the_pages_of_the_platform_alone() {
    let begun = send(&operated(), request("GET", "/desk", Some("operator"), "")).await;
    assert_eq!((begun.status, begun.header("location")), (StatusCode::SEE_OTHER, "/desk/operations"));
    let page = send(&operated(), request("GET", "/desk/operations", Some("operator"), "")).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    for shown in ["Read models stopped", "&#60;b&#62;a commit", "1\u{202f}234", "3.2", "turn it off", "data-live="] {
        assert!(page.text.contains(shown), "{shown}: {}", page.text);
    }
    let (unsafe_at, good_at) = (page.text.find(">unsafe<"), page.text.find(">good<"));
    assert!(unsafe_at < good_at, "what is unsafe comes first");
    for menu in ["/desk/operations/journals", "/desk/operations/sign-ins"] {
        assert!(page.text.contains(&format!("href=\"{menu}\"")), "{menu}");
    }
    for menu in ["href=\"/desk\"", "/desk/privacy", "/desk/users", "/v1/incidents"] {
        assert!(!page.text.contains(menu), "{menu}");
    }
    let dpo = send(&operated(), request("GET", "/desk/operations", Some("dpo"), "")).await;
    assert_eq!(dpo.header("location"), "/desk/operations/journals", "who may look into journals alone begins there");
}

#[tokio::test]
async fn a_rebuild_takes_its_name_typed_and_is_followed() {
    let path = "/desk/operations/projections";
    let page = send(&operated(), request("GET", path, Some("operator"), "")).await;
    assert!(page.text.contains("Comparing, row by row") && page.text.contains("http-equiv=\"refresh\""));
    assert_eq!(page.text.matches("<li class=\"done\">").count(), 2, "what was passed: building, catching up");
    for (form, status) in [
        ("projection=casebook&typed=casebok", StatusCode::UNPROCESSABLE_ENTITY),
        ("projection=&typed=", StatusCode::UNPROCESSABLE_ENTITY),
        ("projection=casebook&typed=casebook", StatusCode::SEE_OTHER),
    ] {
        assert_eq!(send(&operated(), request("POST", path, Some("operator"), form)).await.status, status, "{form}");
    }
    let auditor = send(&operated(), request("GET", path, Some("auditor"), "")).await;
    assert!(!auditor.text.contains("name=\"typed\""), "an auditor orders nothing");
}

#[tokio::test]
async fn a_standstill_says_what_to_do_and_the_operator_alone_lets_it_try_again() {
    for (role, may) in [("operator", true), ("auditor", false)] {
        let page = send(&operated(), request("GET", "/desk/operations/standstills", Some(role), "")).await;
        assert!(page.text.contains("_:1:7") && page.text.contains("Run lethe verify"), "{}", page.text);
        assert_eq!(page.text.contains("action=\"/desk/operations/standstills/_/retry\""), may, "{role}");
    }
}

#[tokio::test]
async fn a_commit_is_opened_by_who_proves_who_they_are_and_its_structure_is_text() {
    let path = "/desk/operations/journals/cardio/commits/4";
    let sealed = send(&operated(), request("GET", path, Some("operator"), "")).await;
    assert!(sealed.text.contains(">sealed<") && !sealed.text.contains("<pre>"), "{}", sealed.text);
    let bare = send(&operated(), request("POST", path, Some("operator"), "reason=fault&password=p")).await;
    assert_eq!(bare.status, StatusCode::FORBIDDEN);
    assert!(bare.text.contains("did not prove") && !bare.text.contains("<pre>"));
    let form = "reason=fault&password=p&code=123456";
    let opened = send(&operated(), request("POST", path, Some("operator"), form)).await;
    assert_eq!(opened.status, StatusCode::OK);
    assert!(opened.text.contains(">opened<") && opened.text.contains("&#60;VS&#62;"), "{}", opened.text);
    let other = send(&operated(), request("GET", "/desk/operations/journals/cardio/commits/5", Some("dpo"), "")).await;
    assert_eq!(other.status, StatusCode::NOT_FOUND);
}

/// Every template and source of the desk.
fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(format!("{}/{folder}", env!("CARGO_MANIFEST_DIR"))).expect("the folder is there") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == ending) {
            let text = std::fs::read_to_string(&path).expect("it can be read");
            found.push((path.display().to_string(), text));
        }
    }
    found
}

/// A text without what stands between these marks.
fn without(text: &str, open: &str, close: &str) -> String {
    let mut parts = text.split(open);
    let first = parts.next().unwrap_or_default().to_owned();
    let rests = parts.map(|part| part.split_once(close).map_or("", |(_, rest)| rest));
    rests.fold(first, |bare, rest| bare + " " + rest)
}

#[test]
fn every_word_of_a_template_comes_from_the_one_file() {
    // Names that are the same in every language.
    let names = ["Lethe", "PROD", "QA", "TEST", "UTC"];
    for (name, text) in files("templates", "html") {
        let bare = without(&without(&without(&text, "{{", "}}"), "{%", "%}"), "<", ">");
        let words = bare.split(|letter: char| !letter.is_alphabetic()).filter(|word| word.chars().count() > 1);
        let words: Vec<_> = words.filter(|word| !names.contains(word)).collect();
        assert!(words.is_empty(), "{name} has words of its own: {words:?}");
    }
    assert_eq!(without("a {{ b }} c", "{{", "}}").split_whitespace().collect::<Vec<_>>(), ["a", "c"]);
}

#[test]
fn every_key_has_words_and_every_word_a_use() {
    let words = Words::of(&HeaderMap::new());
    let keys: BTreeSet<_> = words.keys().collect();
    let mut texts = files("templates", "html");
    texts.extend(files("src", "rs"));
    texts.extend(files("src/pages", "rs"));
    let all: String = texts.iter().map(|(_, text)| text.as_str()).collect();
    let mut asked = BTreeSet::new();
    for (_, rest) in all.match_indices("t(\"").map(|(at, call)| (at, &all[at + call.len()..])) {
        asked.extend(
            rest.split_once('"').map(|(key, _)| key).filter(|key| key.contains('.') && !key.contains(['/', ' '])),
        );
    }
    let without: Vec<_> = asked.iter().filter(|key| !keys.contains(**key)).collect();
    assert!(without.is_empty(), "no words for {without:?}");
    // Names of the API are looked up by kind.
    let kinds: BTreeSet<_> = ["name(\"", "name(&"]
        .iter()
        .flat_map(|call| all.match_indices(call).map(|(at, call)| &all[at + call.len()..]))
        .filter_map(|rest| rest.split_once('"').map(|(kind, _)| kind))
        .collect();
    let of_kind = |key: &str| key.split_once('.').is_some_and(|(kind, _)| kinds.contains(kind) || kind == "problem");
    let unused: Vec<_> = keys.iter().filter(|key| !of_kind(key) && !all.contains(&format!("\"{key}\""))).collect();
    assert!(unused.is_empty(), "words that nobody says: {unused:?}");
    for role in Role::ALL {
        assert_ne!(words.name("role", role.as_str()), role.as_str(), "{role} has words");
    }
    for scope in domain::scope::Scope::ALL {
        assert_ne!(words.name("scope", scope.as_str()), scope.as_str(), "{scope} has words");
    }
}

#[tokio::test]
async fn what_differs_between_two_versions_is_shown_field_by_field() {
    let act = json!({"actor": {"id": "u1", "role": "study-designer"}, "stored_at": "2026-11-01T08:00:00Z"});
    let version = |design: &str, version: &str| json!({"design": design, "version": version, "published": act});
    let study = json!({"study": "s1", "name": "S", "state": "live", "environment": "TEST", "sites": [],
        "live_design": "bbb", "designs": [version("aaa", "1.0"), version("bbb", "2.0")]});
    let difference = json!({"from": "aaa", "to": "bbb", "changes": [
        {"kind": "item", "oid": "SYSBP", "name": "Systolic", "how": "changed",
            "fields": [{"field": "unit", "before": "mmHg", "after": "<kPa>"}]},
        {"kind": "form", "oid": "LAB", "name": "Laboratory", "how": "added"},
    ]});
    let desk = desk(
        [
            ("GET /v1/studies/s1/designs/aaa/difference/bbb", (StatusCode::OK, difference)),
            ("GET /v1/studies/s1", (StatusCode::OK, study)),
        ]
        .into(),
    );
    let path = "/desk/studies/s1/designs";
    let page = send(&desk, request("GET", path, Some("data-manager"), "")).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    assert!(page.text.contains("value=\"aaa\" selected") && page.text.contains("in force"), "{}", page.text);
    let page = send(&desk, request("GET", &format!("{path}?from=aaa&to=bbb"), Some("data-manager"), "")).await;
    for words in ["Systolic", "mmHg", "&#60;kPa&#62;", "Laboratory", "added"] {
        assert!(page.text.contains(words), "{words}: {}", page.text);
    }
}

#[tokio::test]
async fn what_is_overdue_says_so() {
    let studies = json!([{"study": "s1", "name": "S", "state": "live", "environment": "TEST", "sites": []}]);
    let mut late = erasure("approval", Uuid::from_u128(1));
    let asked =
        |at: &str| json!([{"phase": "requested", "act": {"actor": {"id": "u1", "role": "dpo"}, "stored_at": at}}]);
    late["steps"] = asked("2026-10-01T12:00:00Z");
    let none = (StatusCode::OK, json!({"items": []}));
    let shown = |open: Value| {
        desk(
            [
                ("GET /v1/studies/s1/erasures", (StatusCode::OK, json!({"items": [open]}))),
                ("GET /v1/studies/s1/holds", none.clone()),
                ("GET /v1/studies/s1/restrictions", none.clone()),
                ("GET /v1/studies", (StatusCode::OK, studies.clone())),
            ]
            .into(),
        )
    };
    let page = send(&shown(late.clone()), request("GET", "/desk/privacy", Some("dpo"), "")).await;
    assert!(page.text.contains("overdue") && page.text.contains("2026-11-01"), "{}", page.text);
    late["steps"] = asked("2026-11-20T12:00:00Z");
    let page = send(&shown(late), request("GET", "/desk/privacy", Some("dpo"), "")).await;
    assert!(!page.text.contains("overdue"), "{}", page.text);
}

#[tokio::test]
async fn who_has_looked_is_told_line_by_line_and_what_is_erased_is_called_so() {
    let entry = json!({
        "read": Uuid::nil(), "at": "2026-11-22T12:00:00Z", "environment": "TEST", "view": "participant.casebook",
        "actor": {"id": Uuid::nil(), "kind": "user", "role": "monitor", "organisation": "own"}, "outcome": "beyond-site",
        "purpose": "safety", "study": "s1", "participants": [Uuid::nil()], "named": 41, "scopes": ["health.optional"],
        "address": {"erased": "technical.session"}, "agent": {"withheld": "technical.session"},
    });
    let list = json!({"items": [entry], "next": "abc"});
    let path = "GET /v1/studies/s1/participants/00000000-0000-0000-0000-000000000000/access";
    let desk = desk([(path, (StatusCode::OK, list))].into());
    let at = "/desk/studies/s1/participants/00000000-0000-0000-0000-000000000000/access";
    let page = send(&desk, request("GET", at, Some("dpo"), "")).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    for text in ["casebook", "another site", "safety", "optional data", "Monitor", "among others: 40", "?from=abc"] {
        assert!(page.text.contains(text), "{text}: {}", page.text);
    }
    assert!(page.text.contains(Words::of(&HeaderMap::new()).text("value.erased")), "{}", page.text);
}

#[tokio::test]
async fn incidents_are_closed_by_who_may_and_shown_to_who_looks_on() {
    let incident = json!({
        "incident": Uuid::nil(), "opened_at": "2026-11-22T12:00:00Z", "acknowledged": null, "closed": null,
        "finding": null, "reference": null,
        "alert": {"rule": "probing", "user": Uuid::nil(), "count": 20, "limit": 20, "since": "2026-11-22T12:00:00Z", "until": "2026-11-22T12:00:00Z"},
    });
    let desk = desk([("GET /v1/incidents", (StatusCode::OK, json!({"items": [incident]})))].into());
    for (role, closes) in [("dpo", true), ("controller", true), ("auditor", false)] {
        let page = send(&desk, request("GET", "/desk/incidents", Some(role), "")).await;
        assert_eq!(page.status, StatusCode::OK, "{role}: {}", page.text);
        assert!(page.text.contains("not there or not allowed"), "{role}");
        assert_eq!(page.text.contains("value=\"attack-repelled\""), closes, "{role}");
    }
}
