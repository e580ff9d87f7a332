//! One trace from the request to the read models, and nothing personal in logs, traces, metrics and errors.

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use domain::permit::Role;
use lethe::cli::Client;
use lethe::platform::{NewToken, random_id};
use serde_json::{Value, json};
use tests::api::{identity, participant, send};
use tests::home::Home;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Everything that was exported over OTLP/HTTP, as it came.
type Received = Arc<Mutex<Vec<u8>>>;

/// A collector that takes everything in and says thank you.
async fn collector() -> (String, Received) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let received = Received::default();
    let all = received.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let all = all.clone();
            tokio::spawn(async move {
                let mut buffer = vec![0; 64 * 1024];
                let mut request = Vec::new();
                while let Ok(count @ 1..) = socket.read(&mut buffer).await {
                    request.extend_from_slice(&buffer[..count]);
                    if is_whole(&request) {
                        all.lock().expect("not poisoned").append(&mut request);
                        let thanks =
                            b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
                        let _ = socket.write_all(thanks).await;
                    }
                }
            });
        }
    });
    (url, received)
}

fn is_whole(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    request.len() >= end + 4 + length.unwrap_or_default()
}

const CANARIES: [&str; 6] = [
    "Canaria-Givenname",
    "Canaria-Familyname",
    "canaria@post.example",
    "canaria told a story",
    "canaria-reason-word",
    "canaria-not-a-number",
];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_personal_leaves_in_logs_traces_metrics_or_errors_and_a_request_is_one_trace() {
    let home = Home::new().await;
    home.live_study().await;
    let mut tokens = Vec::new();
    for role in [Role::Investigator, Role::Dpo] {
        let new =
            NewToken::new(&tests::home::acme(), domain::ids::UserId(random_id()), role, "canaria the user", false);
        tokens.push(home.platform.create_token(new).await.expect("a token"));
    }
    let folder = home.stop().await;
    let (endpoint, received) = collector().await;
    let log = folder.path().join("log");
    let file = std::fs::File::create(&log).expect("a file");
    let server = super::binary().serve(&folder, |command| {
        command
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
            .env("LETHE_LOG", "trace,h2=warn,hyper=warn,sled=warn")
            .env("LETHE_LOG_FORMAT", "json");
        command.stderr(Stdio::from(file));
    });
    let doctor = Client::new(&server.url, &tokens[0]);
    let at = participant(random_id());
    let mut errors = String::new();
    let commands = [
        (at.clone(), json!({"type": "register", "site": "oslo", "subject_number": "N-1"})),
        (at.clone(), json!({"type": "give-consent", "version": "2.0", "reference": CANARIES[3]})),
        (format!("{at}/identity"), identity(CANARIES[0], CANARIES[1], CANARIES[2])),
        (
            at.clone(),
            json!({"type": "save-items", "visit": "BASELINE", "form": "AE", "items": [{"group": "AE", "item": "AETERM", "value": CANARIES[3]}]}),
        ),
        // And what is refused: the value is in the request, and must not be in the answer.
        (
            at.clone(),
            json!({"type": "save-items", "visit": "BASELINE", "form": "VS", "items": [{"group": "VS", "item": "SYSBP", "value": CANARIES[5], "reason": CANARIES[4]}]}),
        ),
        (at.clone(), json!({"type": CANARIES[0]})),
        (at.clone(), json!({"type": "withdraw", "reason": {"nested": CANARIES[4]}})),
        (
            format!("{at}/identity"),
            json!({"type": "record", "details": {"given_name": [CANARIES[0]], "email": CANARIES[2]}}),
        ),
    ];
    let mut position = String::new();
    for (path, body) in commands {
        match send(&doctor, &path, body).await {
            Ok(reply) => position = reply.position.unwrap_or_default(),
            Err(error) => errors.push_str(&error.to_string()),
        }
    }
    doctor.get(&format!("{at}/casebook?min_position={position}")).await.expect("readable");
    let metrics = metrics(&server.url).await;
    assert!(metrics.contains("lethe_commands_total"), "{metrics}");
    assert!(server.stop(), "it ends in order, and exports what it has");

    let log = std::fs::read_to_string(&log).expect("a log");
    let exported = received.lock().expect("not poisoned").clone();
    let exported_text = String::from_utf8_lossy(&exported).into_owned();
    assert!(
        log.lines().count() > 10
            && log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok() || line.starts_with("lethe ")),
        "logs are JSON"
    );
    assert!(errors.matches("refused").count() >= 4, "{errors}");
    for (place, text) in [("logs", &log), ("traces", &exported_text), ("metrics", &metrics), ("errors", &errors)] {
        for canary in CANARIES.iter().chain(&["canaria the user", tokens[0].as_str()]) {
            assert!(!text.to_lowercase().contains(&canary.to_lowercase()), "{canary} is in the {place}");
        }
    }
    for span in ["http.request", "command.execute", "projection.apply"] {
        assert!(exported_text.contains(span), "{span} is exported");
    }
    let traces = |span: &str| trace_ids_before(&exported, span);
    let (requests, applied) = (traces("http.request"), traces("projection.apply"));
    assert!(applied.iter().any(|trace| requests.contains(trace)), "a commit's read models are in its request's trace");
}

async fn metrics(url: &str) -> String {
    reqwest::get(format!("{url}/metrics")).await.expect("metrics").text().await.expect("text")
}

/// The trace ids of the spans of this name, read from the protobuf: in a span, field 1 (16 bytes) is the trace id, and
/// field 5 the name (opentelemetry/proto/trace/v1/trace.proto).
fn trace_ids_before(bytes: &[u8], name: &str) -> Vec<[u8; 16]> {
    let mut field = vec![0x2a, name.len() as u8];
    field.extend_from_slice(name.as_bytes());
    let starts = bytes.windows(field.len()).enumerate().filter(|(_, window)| *window == field);
    starts
        .filter_map(|(at, _)| {
            let near = &bytes[at.saturating_sub(120)..at];
            let tag = near.windows(2).rposition(|window| window == [0x0a, 0x10])?;
            near.get(tag + 2..tag + 18)?.try_into().ok()
        })
        .collect()
}
