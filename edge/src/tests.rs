use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use axum::routing::post;
use domain::history::{Position, Revision};
use domain::ids::{ParticipantId, SiteId, StudyId};
use domain::permit::Principal;
use domain::port::{Credentials, Failure};
use domain::rejection::{Fault, Kind, Rejection};
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::Value;
use tower::ServiceExt;

use super::*;

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
enum Sample {
    Visit { site: SiteId, count: u32 },
}

fn code_and_detail(body: &[u8]) -> (u16, &'static str, String) {
    let problem = json::parse::<Sample>(body).expect_err("a wrong body");
    (problem.status().as_u16(), problem.code(), problem.body(None).detail)
}

#[test]
fn a_wrong_body_is_explained_by_its_rule_and_never_by_its_value() {
    let cases: [(&[u8], &str, &str); 12] = [
        (b"{\"type\":\"visit\",\"site\":\"Ada\xff\",\"count\":1}", "invalid-utf8", "byte 27"),
        (br#"{"type":"visit","site":"Ada","#, "malformed-json", "ends in the middle"),
        (br#"{"type":"visit","site":Ada}"#, "malformed-json", "column 24"),
        (br#"{"type":"visit","site":"oslo","count":1} "Ada""#, "malformed-json", "not JSON"),
        (br#"{"type":"visit","site":"oslo","site":"Ada","count":1}"#, "malformed-json", "twice"),
        (br#"{"type":"visit","site":"oslo","count":"Ada, expected Bob"}"#, "wrong-shape", "expected u32"),
        (br#"{"type":"visit","site":"Ada Lovelace","count":1}"#, "wrong-shape", "not a valid site id"),
        (br#"{"type":"visit","site":"oslo"}"#, "wrong-shape", "missing field `count`"),
        (br#"{"type":"visit","site":"oslo","count":1,"Ada":2}"#, "wrong-shape", "expected `site` or `count`"),
        (br#"{"type":"Ada"}"#, "wrong-shape", "expected `visit`"),
        (br#"["Ada"]"#, "wrong-shape", ""),
        (b"", "malformed-json", "ends in the middle"),
    ];
    for (body, code, words) in cases {
        let (status, found, detail) = code_and_detail(body);
        let shown = String::from_utf8_lossy(body);
        assert_eq!((status, found), (400, code), "{shown}: {detail}");
        assert!(detail.contains(words), "{shown}: {detail}");
        assert!(!detail.contains("Ada"), "{detail}");
    }
    let deep = [b"[".repeat(5_000), b"]".repeat(5_000)].concat();
    assert_eq!(code_and_detail(&deep).1, "malformed-json");
    let good = json::parse::<Sample>(br#"{"type":"visit","site":"oslo","count":1}"#);
    assert!(matches!(good, Ok(Sample::Visit { site, count: 1 }) if site.as_str() == "oslo"));
}

#[derive(Debug)]
struct Refused(Kind);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("refused")
    }
}

impl Rejection for Refused {
    fn code(&self) -> &'static str {
        "some-code"
    }
    fn kind(&self) -> Kind {
        self.0
    }
    fn faults(&self) -> Vec<Fault> {
        vec![Fault { pointer: "/items/0".into(), detail: "the rule".into() }]
    }
}

#[test]
fn every_kind_of_answer_has_one_status() {
    let cases = [
        (Kind::NotFound, 404),
        (Kind::Invalid, 422),
        (Kind::Conflict, 409),
        (Kind::Forbidden, 403),
        (Kind::PreconditionRequired, 428),
        (Kind::PreconditionFailed { current: Revision(7) }, 412),
        (Kind::Erased, 410),
    ];
    for (kind, status) in cases {
        let response = Problem::from(&Refused(kind) as &dyn Rejection).response(None);
        assert_eq!(response.status().as_u16(), status);
        let tag = response.headers().get(header::ETAG).map(|tag| tag.to_str().expect("ASCII").to_owned());
        assert_eq!(tag, (status == 412).then(|| "\"7\"".to_owned()));
    }
    let cases = [
        (Failure::unavailable("the journal", "timed out at 10.0.0.1"), 503),
        (Failure::damaged("participant/1", "hash differs"), 500),
        (Failure::missing("a key"), 500),
    ];
    for (failure, status) in cases {
        let problem = Problem::from(failure);
        assert_eq!(problem.status().as_u16(), status);
        let detail = problem.body(None).detail;
        assert!(!detail.contains("10.0.0.1") && !detail.contains("participant/1"), "{detail}");
    }
}

#[test]
fn headers_are_read_strictly() {
    let headers = |name: &'static str, value: &'static str| {
        HeaderMap::from_iter([(axum::http::HeaderName::from_static(name), HeaderValue::from_static(value))])
    };
    let tag = |name, value| headers::expected(&headers(name, value)).map_err(|problem| problem.code());
    assert_eq!(tag("if-match", "\"7\""), Ok(Some(Revision(7))));
    assert_eq!(tag("if-none-match", "*"), Ok(Some(Revision::NONE)));
    assert_eq!(headers::expected(&HeaderMap::new()).map_err(|problem| problem.code()), Ok(None));
    for wrong in ["7", "W/\"7\"", "\"x\"", "\"1\", \"2\"", "*", "\"+7\"", "\"\""] {
        assert_eq!(tag("if-match", wrong), Err("invalid-etag"), "{wrong}");
    }

    let key = "c56a4180-65aa-42ec-a945-5fd21dec0538";
    for text in [key.to_owned(), format!("\"{key}\"")] {
        let read = headers::parse_idempotency_key(&text).map(|id| id.to_string());
        assert_eq!(read.map_err(|problem| problem.code()), Ok(key.to_owned()));
    }
    for wrong in ["", "42", "c56a418065aa42eca9455fd21dec0538", "{c56a4180-65aa-42ec-a945-5fd21dec0538}"] {
        assert!(headers::parse_idempotency_key(wrong).is_err(), "{wrong}");
    }

    let now = time::macros::datetime!(2026-11-22 12:00 UTC);
    let captured = |text| headers::parse_captured_at(text, now).map_err(|problem| problem.status().as_u16());
    assert_eq!(captured("2026-11-22T12:00:00+01:00"), Ok(time::macros::datetime!(2026-11-22 11:00 UTC)));
    assert_eq!(captured("2026-11-22T12:00:01Z"), Err(422));
    assert_eq!(captured("yesterday"), Err(400));
}

#[test]
fn positions_and_cursors_read_back() {
    let position = |study: Option<&str>, sequence| Position {
        study: study.map(|study| study.parse::<StudyId>().expect("valid")),
        incarnation: 3,
        sequence,
    };
    let positions = vec![position(Some("cardio"), 42), position(None, 7)];
    let text = headers::positions_text(&positions);
    assert_eq!(headers::parse_positions("min_position", &text).map_err(|problem| problem.code()), Ok(positions));
    assert!(headers::parse_positions("min_position", "cardio:1:2,").is_err());

    let key = [0, 255, b'/'];
    assert_eq!(cursor::decode(&cursor::encode(&key)).map_err(|problem| problem.code()), Ok(key.to_vec()));
    for wrong in ["0", "zz", "+1", "ä"] {
        assert!(cursor::decode(wrong).is_err(), "{wrong}");
    }
}

struct OneToken;

#[async_trait]
impl Credentials for OneToken {
    async fn authenticate(&self, token: &str) -> Result<Option<Principal>, Failure> {
        match token {
            "good" => Ok(Some(Principal::system("acme".parse().expect("valid"), domain::ids::Environment::Test))),
            "later" => Err(Failure::unavailable("the register of tokens", "test")),
            _ => Ok(None),
        }
    }
}

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// One route with every layer, as the composition root puts them.
fn service() -> Router {
    async fn visit(_: Caller, Ids(_): Ids<(StudyId, ParticipantId)>, JsonBody(_): JsonBody<Sample>) -> &'static str {
        "seen"
    }
    let routes = Router::new().route("/{study}/{participant}", post(visit));
    traced(fallbacks(authenticated(routes, Arc::new(OneToken))), || Some(TRACE.to_owned()))
}

struct Ask {
    method: &'static str,
    path: &'static str,
    token: &'static str,
    media_type: &'static str,
    body: Vec<u8>,
}

const PATH: &str = "/cardio/c56a4180-65aa-42ec-a945-5fd21dec0538";

fn ask() -> Ask {
    let body = br#"{"type":"visit","site":"oslo","count":1}"#.to_vec();
    Ask { method: "POST", path: PATH, token: "Bearer good", media_type: "application/json; charset=utf-8", body }
}

async fn answer(ask: Ask) -> (u16, HeaderMap, Value) {
    let request = Request::builder()
        .method(ask.method)
        .uri(ask.path)
        .header(header::AUTHORIZATION, ask.token)
        .header(header::CONTENT_TYPE, ask.media_type)
        .body(Body::from(ask.body))
        .expect("a request");
    let response = service().oneshot(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.expect("in memory");
    (parts.status.as_u16(), parts.headers, serde_json::from_slice(&bytes).unwrap_or_default())
}

#[tokio::test]
async fn what_cannot_be_answered_is_a_problem_with_a_code_and_a_trace() {
    let cases = [
        (Ask { token: "", ..ask() }, 401, "unauthorized"),
        (Ask { token: "Basic good", ..ask() }, 401, "unauthorized"),
        (Ask { token: "Bearer bad", ..ask() }, 401, "unauthorized"),
        (Ask { token: "Bearer later", ..ask() }, 503, "unavailable"),
        (Ask { path: "/cardio", ..ask() }, 404, "no-such-address"),
        (Ask { method: "GET", ..ask() }, 405, "method-not-allowed"),
        (Ask { path: "/Cardio/c56a4180-65aa-42ec-a945-5fd21dec0538", ..ask() }, 400, "invalid-id"),
        (Ask { path: "/cardio/42", ..ask() }, 400, "invalid-id"),
        (Ask { media_type: "text/plain", ..ask() }, 415, "unsupported-media-type"),
        (Ask { body: vec![b' '; json::COMMAND_BYTES_MAX + 1], ..ask() }, 413, "too-large"),
        (Ask { body: vec![b' '; 10 * 1024 * 1024], ..ask() }, 413, "too-large"),
        (Ask { body: b"{".to_vec(), ..ask() }, 400, "malformed-json"),
    ];
    for (ask, status, code) in cases {
        let (found, headers, body) = answer(ask).await;
        assert_eq!((found, body["code"].as_str()), (status, Some(code)), "{body}");
        assert_eq!(headers[header::CONTENT_TYPE], problem::PROBLEM_JSON);
        assert_eq!(body["type"], format!("/problems/{code}"));
        assert_eq!(body["status"], status);
        assert_eq!(body["trace_id"], &TRACE[3..35]);
        assert_eq!(headers["traceparent"], TRACE);
        assert_eq!(headers.contains_key(header::WWW_AUTHENTICATE), status == 401);
        assert_eq!(headers.contains_key(header::RETRY_AFTER), status == 503);
        assert_eq!(headers.contains_key(header::ALLOW), status == 405);
    }
    assert_eq!(answer(ask()).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_wrong_id_in_an_address_is_explained_by_its_rule() {
    let study = "/Cardio/c56a4180-65aa-42ec-a945-5fd21dec0538";
    for (path, rule) in [(study, "1 to 32 of a-z, 0-9 and -"), ("/cardio/Lovelace", "a participant id is a UUID")] {
        let (.., body) = answer(Ask { path, ..ask() }).await;
        let detail = body["detail"].as_str().expect("a sentence");
        assert!(detail.ends_with(rule), "{detail}");
    }
}

// --- tokens as passwords

async fn asked_by_password(authorization: Option<&str>) -> (u16, String, Value) {
    let routes = Router::new().route("/who", axum::routing::get(|Caller(_): Caller| async { "seen" }));
    let routes = super::authenticated_by_password(routes, Arc::new(OneToken));
    let mut request = Request::get("/who");
    if let Some(authorization) = authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    let response = routes.oneshot(request.body(Body::empty()).expect("a request")).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let challenge = parts.headers.get(header::WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
    let challenge = challenge.unwrap_or_default().to_owned();
    let bytes = to_bytes(body, usize::MAX).await.expect("in memory");
    (parts.status.as_u16(), challenge, serde_json::from_slice(&bytes).unwrap_or_default())
}

#[tokio::test]
async fn a_token_may_be_the_password_of_basic_authentication_and_of_nobody_else() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
    for good in [basic("anybody:good"), basic(":good").replace("Basic", "basic")] {
        assert_eq!(asked_by_password(Some(&good)).await.0, 200, "{good}");
    }
    let long = format!("a:{}", "x".repeat(2000));
    for (wrong, code) in [
        (None, "no-credentials"),
        (Some("Bearer good".to_owned()), "no-credentials"),
        (Some("Basic !!!".to_owned()), "no-credentials"),
        (Some(basic("good")), "no-credentials"),
        (Some(basic("good:")), "no-credentials"),
        (Some(basic(&long)), "no-credentials"),
        (Some(basic("good:bad")), "unauthorized"),
        (Some(basic("a:good:good")), "unauthorized"),
    ] {
        let (status, challenge, body) = asked_by_password(wrong.as_deref()).await;
        assert_eq!((status, body["code"].as_str()), (401, Some(code)), "{wrong:?}");
        assert!(challenge.starts_with("Basic "), "{wrong:?}");
    }
}

#[tokio::test]
async fn what_a_refused_request_still_sends_is_read_so_that_the_answer_arrives() {
    const PIECES: usize = 40;
    // Token, a header, and how many pieces of the body are read.
    let cases = [
        ("Bearer bad", ("accept", "*/*"), 401, PIECES),
        ("Bearer good", ("accept", "*/*"), 413, PIECES),
        ("Bearer bad", ("expect", "100-continue"), 401, 0),
        ("Bearer bad", ("content-length", "134217729"), 401, 0),
    ];
    for (token, (name, value), status, pieces) in cases {
        let read = Arc::new(AtomicUsize::new(0));
        let counted = read.clone();
        let body = futures_util::stream::iter(0..PIECES).map(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok::<_, std::convert::Infallible>(vec![b' '; 64 * 1024])
        });
        let request = Request::post(PATH).header(header::AUTHORIZATION, token).header(name, value);
        let request = request.header(header::CONTENT_TYPE, "application/json").body(Body::from_stream(body));
        let response = read_out(service()).oneshot(request.expect("a request")).await.expect("infallible");
        assert_eq!((response.status().as_u16(), read.load(Ordering::Relaxed)), (status, pieces), "{token} {name}");
    }
}
