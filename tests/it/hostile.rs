//! Requests that no client of ours sends: the shapes that attackers try first.

use std::collections::BTreeMap;

use domain::permit::Role;
use reqwest::{Client as Http, Method};
use serde_json::Value;
use tests::home::Home;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::contract::{description, operations};

/// Stands in everything that is sent here, and may come back in nothing.
const CANARY: &str = "Kvistberg";

/// All that comes back on a connection of its own until the platform closes it.
async fn raw(home: &Home, request: &str) -> String {
    let address = home.platform.url().trim_start_matches("http://").to_owned();
    let mut connection = TcpStream::connect(address).await.expect("a connection");
    connection.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    // However it ends, what came before counts.
    let _ = connection.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status of the first answer, and how many there are.
fn answers(text: &str) -> (&str, usize) {
    let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).unwrap_or_default();
    (status, text.matches("HTTP/1.1 ").count())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_one_request_for_one_host() {
    let home = Home::new().await;
    let second = "GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let post = "POST /v1/sign-in HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n";
    let refused = [
        format!("{post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{second}"),
        format!("{post}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}{second}"),
        format!("{post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{second}"),
        format!("{post}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{second}"),
        format!("{post}Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n{second}"),
        format!("GET /livez HTTP/1.1\r\nHost : a\r\n\r\n{second}"),
        format!("GET /livez HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n{second}"),
        format!("GET /live\0z HTTP/1.1\r\nHost: a\r\n\r\n{second}"),
        "GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(),
        "GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n".to_owned(),
    ];
    for request in refused {
        let answer = raw(&home, &request).await;
        assert_eq!(answers(&answer), ("400", 1), "{request:?}\n{answer}");
    }
    assert_eq!(answers(&raw(&home, second).await), ("200", 1));
    for what in ["?a=", " HTTP/1.1\r\nHost: a\r\nX: "] {
        let answer = raw(&home, &format!("GET /livez{what}{}\r\n\r\n", "x".repeat(70_000))).await;
        // The connection may be closed before the answer is read.
        assert!(answer.is_empty() || answers(&answer) == ("431", 1), "{what:?}: {answer}");
    }
    home.stop().await;
}

/// Where one parameter of an address is somebody's idea of a file, a query or a name.
const ODD: [&str; 8] = [
    "..%2f..%2f..%2fetc%2fpasswd",
    "%00",
    "%ff%fe",
    "%0d%0aSet-Cookie:%20a=b",
    "Kvistberg%27%20OR%201=1--",
    "%3Cscript%3EKvistberg%3C%2Fscript%3E",
    "99999999999999999999999999",
    "%F0%9F%92%A5",
];

#[tokio::test(flavor = "multi_thread")]
async fn whatever_stands_in_an_address_is_refused_and_not_repeated() {
    let home = Home::new().await;
    home.live_study().await;
    let token = home.client(Role::Auditor).await.token().to_owned();
    let (http, base) = (Http::new(), home.platform.url().to_owned());
    let mut asked = BTreeMap::new();
    for (name, _) in operations(&description()) {
        let (method, path) = name.split_once(' ').expect("a method and a path");
        let method: Method = method.to_uppercase().parse().expect("a method");
        let parts: Vec<&str> = path.split('/').collect();
        for at in (0..parts.len()).filter(|at| parts[*at].starts_with('{')) {
            for odd in ODD {
                let filled = parts.iter().enumerate().map(|(place, part)| match *part {
                    _ if place == at => odd,
                    "{study}" => "cardio-1",
                    part if part.starts_with('{') => "00000000-0000-4000-8000-000000000000",
                    part => part,
                });
                let address = format!("{base}{}", filled.collect::<Vec<_>>().join("/"));
                let sent = http.request(method.clone(), address).bearer_auth(&token);
                let sent = sent.header("content-type", "application/json").body(format!("\"{CANARY}\"")).send();
                let answer = sent.await.expect("an answer");
                let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
                assert!(matches!(status, 400 | 403 | 404 | 405 | 415 | 422), "{name} {odd}: {status}");
                // To identity providers it speaks as they do (OpenID Connect Back-Channel Logout 1.0, 2.8).
                let as_they_do = path.starts_with("/oidc/") && headers["content-type"] == "application/json";
                assert!(
                    as_they_do || headers["content-type"] == "application/problem+json",
                    "{name} {odd}: {headers:?}"
                );
                assert!(!headers.contains_key("set-cookie"), "{name} {odd}");
                let text = answer.text().await.expect("a text");
                assert!(!text.contains(CANARY) && !text.contains("passwd"), "{name} {odd}: {text}");
                *asked.entry(status).or_insert(0) += 1;
            }
        }
    }
    assert!(asked.values().sum::<usize>() > 500 && asked[&400] > 200, "{asked:?}");
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_data_and_every_other_method_is_named() {
    let home = Home::new().await;
    let (http, base) = (Http::new(), home.platform.url().to_owned());
    let never_a_page = |headers: &reqwest::header::HeaderMap, what: &str| {
        assert_eq!(headers["x-content-type-options"], "nosniff", "{what}");
        let policy = headers["content-security-policy"].to_str().expect("ASCII");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{what}: {policy}");
    };
    for path in
        ["/livez", "/readyz", "/openapi.json", "/v1/studies", "/nothing", "/desk/nothing", "/sign-in", "/metrics"]
    {
        let answer = http.get(format!("{base}{path}")).send().await.expect("an answer");
        never_a_page(answer.headers(), path);
    }
    let described = description();
    for path in described["paths"].as_object().expect("paths").keys() {
        for method in ["DELETE", "PUT", "PATCH", "TRACE", "OPTIONS", "MADEUP"] {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            let answer = http.request(method.clone(), format!("{base}{path}")).send().await.expect("an answer");
            assert_eq!(answer.status().as_u16(), 405, "{method} {path}");
            assert!(!answer.headers()["allow"].is_empty(), "{method} {path}");
            never_a_page(answer.headers(), path);
            let body: Value = answer.json().await.expect("JSON");
            assert_eq!(body["code"], "method-not-allowed");
        }
    }
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_neither_unpacked_nor_followed_into_the_depth() {
    let home = Home::new().await;
    let post =
        || Http::new().post(format!("{}/v1/sign-in", home.platform.url())).header("content-type", "application/json");
    let packed =
        post().header("content-encoding", "gzip").body(vec![0x1f, 0x8b, 8, 0]).send().await.expect("an answer");
    assert_eq!(packed.status(), 415);
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(12_000), close.repeat(12_000));
        let answer = post().body(deep).send().await.expect("an answer");
        assert!(matches!(answer.status().as_u16(), 400 | 413), "{}", answer.status());
    }
    home.stop().await;
}
