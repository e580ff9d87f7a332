//! Spans in, exported spans out; measurements in, text out.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tracing::{event, info, info_span};
use tracing_subscriber::fmt::MakeWriter;

use super::*;

const CLIENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[derive(Debug, Clone, Default)]
struct Exported(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Exported {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().expect("not poisoned").extend(batch);
        Ok(())
    }
}

impl Exported {
    fn span(&self, name: &str) -> SpanData {
        let spans = self.0.lock().expect("not poisoned");
        spans.iter().find(|span| span.name == name).cloned().unwrap_or_else(|| panic!("no span {name}: {spans:?}"))
    }
}

/// Runs `work` with telemetry whose spans can be looked at.
fn recorded(work: impl FnOnce()) -> (Exported, Telemetry) {
    let exported = Exported::default();
    let resource = Resource::builder_empty().build();
    let tracers = SdkTracerProvider::builder().with_simple_exporter(exported.clone()).build();
    let (meters, metrics) = metrics::start(resource, None).expect("metrics start");
    let telemetry = Telemetry { tracers: Some(tracers), meters, metrics };
    tracing::subscriber::with_default(telemetry.layered(Registry::default()), work);
    (exported, telemetry)
}

/// A request that leads to a commit, as the services do it. Returns what the commit carries.
fn request(header: Option<&str>) -> Option<String> {
    let http = info_span!("http.request", traceparent = header);
    http.in_scope(|| info_span!("command.execute", command = "save-items").in_scope(|| traceparent_for(None)))
}

/// What the runner does with the commit, elsewhere and later.
fn apply(commit: Option<String>) {
    info_span!("projection.apply", traceparent = commit.as_deref()).in_scope(|| info!("applied"));
}

#[test]
fn one_trace_leads_from_the_request_over_the_commit_to_the_read_model() {
    let (exported, _) = recorded(|| apply(request(None)));
    let (http, command, apply) =
        (exported.span("http.request"), exported.span("command.execute"), exported.span("projection.apply"));
    assert_eq!(http.parent_span_id, opentelemetry::SpanId::INVALID);
    assert_eq!(command.parent_span_id, http.span_context.span_id());
    assert_eq!(apply.parent_span_id, command.span_context.span_id());
    assert!(apply.parent_span_is_remote);
    let trace = http.span_context.trace_id();
    assert_eq!((command.span_context.trace_id(), apply.span_context.trace_id()), (trace, trace));
}

#[test]
fn a_clients_trace_goes_on() {
    let (exported, _) = recorded(|| apply(request(Some(CLIENT))));
    let http = exported.span("http.request");
    assert_eq!(http.span_context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(http.parent_span_id.to_string(), "b7ad6b7169203331");
    assert_eq!(exported.span("projection.apply").span_context.trace_id(), http.span_context.trace_id());
}

#[test]
fn the_field_wins_over_the_current_span_and_only_for_its_own_span() {
    let (exported, _) = recorded(|| {
        info_span!("outer").in_scope(|| {
            info_span!("projection.apply", traceparent = CLIENT).in_scope(|| {});
            info_span!("inner").in_scope(|| {});
        });
    });
    let outer = exported.span("outer").span_context;
    assert_eq!(exported.span("projection.apply").parent_span_id.to_string(), "b7ad6b7169203331");
    assert_eq!(exported.span("inner").parent_span_id, outer.span_id());
    assert_eq!(exported.span("inner").span_context.trace_id(), outer.trace_id());
}

#[test]
fn a_malformed_traceparent_begins_a_new_trace() {
    for header in ["", "00-zz-b7ad6b7169203331-01", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "Ada"] {
        let (exported, _) = recorded(|| apply(request(Some(header))));
        let http = exported.span("http.request");
        assert!(http.span_context.is_valid());
        assert_eq!(http.parent_span_id, opentelemetry::SpanId::INVALID, "{header}");
    }
}

#[test]
fn a_parent_can_be_set_until_the_span_is_entered() {
    let (exported, _) = recorded(|| {
        let early = info_span!("early");
        assert!(set_parent(&early, CLIENT));
        early.in_scope(|| assert!(!set_parent(&early, CLIENT)));
        assert!(!set_parent(&info_span!("wrong"), "not a traceparent"));
    });
    assert_eq!(exported.span("early").parent_span_id.to_string(), "b7ad6b7169203331");
}

#[test]
fn a_trace_survives_waiting() {
    use tracing::Instrument;
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (exported, _) = recorded(|| {
        runtime.block_on(async {
            let both = [1, 2].map(|_| async {
                let before = current_traceparent();
                tokio::task::yield_now().await;
                assert_eq!(before, current_traceparent());
                before
            });
            let [one, two] = both;
            let one = one.instrument(info_span!("one", traceparent = CLIENT));
            let (one, two) = futures_util::join!(one, two.instrument(info_span!("two")));
            assert_ne!(one, two);
        });
    });
    assert_eq!(exported.span("two").parent_span_id, opentelemetry::SpanId::INVALID);
}

#[test]
fn outside_every_span_the_given_traceparent_is_handed_on_if_it_is_one() {
    recorded(|| {
        assert_eq!(current_traceparent(), None);
        assert_eq!(traceparent_for(Some(CLIENT)).as_deref(), Some(CLIENT));
        assert_eq!(traceparent_for(Some("not one")), None);
    });
}

#[test]
fn without_a_collector_ids_are_handed_on_as_not_sampled() {
    let telemetry = Telemetry::build(&options(None)).expect("telemetry");
    tracing::subscriber::with_default(telemetry.layered(Registry::default()), || {
        let carried = request(None).expect("ids");
        assert!(carried.ends_with("-00"), "{carried}");
        assert_eq!(request(Some(CLIENT)).expect("ids")[..35], CLIENT[..35]);
    });
}

#[test]
fn libraries_and_measurements_stay_out_of_traces() {
    let (exported, _) = recorded(|| {
        info_span!("ours").in_scope(|| {
            tracing::info_span!(target: "async_nats::connection", "theirs").in_scope(|| {});
            event!(target: "metrics", Level::INFO, monotonic_counter.lethe_commands = 1_u64);
            info!("noted");
        });
    });
    let events: Vec<_> = exported.span("ours").events.iter().map(|event| event.name.to_string()).collect();
    assert_eq!(events, ["noted"]);
    assert_eq!(exported.0.lock().expect("not poisoned").len(), 1);
}

#[test]
fn measurements_are_told_as_prometheus_reads_them() {
    let (_, telemetry) = recorded(|| {
        for outcome in ["accepted", "accepted", "rejected"] {
            event!(target: "metrics", Level::INFO, monotonic_counter.lethe_commands = 1_u64, command = "save-items", outcome);
        }
        event!(target: "metrics", Level::INFO, histogram.lethe_command_seconds = 0.003_f64, command = "save-items");
        event!(target: "metrics", Level::INFO, gauge.lethe_projection_lag = 7_u64, projection = "casebook");
        event!(target: "metrics", Level::INFO, gauge.lethe_projection_lag = 3_u64, projection = "casebook");
    });
    let text = telemetry.metrics().text();
    for line in [
        r#"lethe_commands_total{command="save-items",outcome="accepted"} 2"#,
        r#"lethe_commands_total{command="save-items",outcome="rejected"} 1"#,
        r#"lethe_command_seconds_bucket{command="save-items",le="0.0025"} 0"#,
        r#"lethe_command_seconds_bucket{command="save-items",le="0.005"} 1"#,
        r#"lethe_projection_lag{projection="casebook"} 3"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
    }
    assert!(!text.contains("otel_scope"), "{text}");
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'writer> MakeWriter<'writer> for Lines {
    type Writer = Self;
    fn make_writer(&'writer self) -> Self {
        self.clone()
    }
}

fn logged(format: LogFormat, filter: &str) -> String {
    let lines = Lines::default();
    let layer = logs::layer(format, lines.clone(), false).with_filter(logs::filter(Some(filter)).expect("a filter"));
    let subscriber = Registry::default().with(layer.with_filter(filter_fn(is_log)));
    tracing::subscriber::with_default(subscriber, || {
        info_span!("command.execute", command = "register").in_scope(|| {
            event!(target: "metrics", Level::INFO, monotonic_counter.lethe_commands = 1_u64);
            info!(revision = 3, "stored");
            tracing::debug!("details");
            tracing::warn!(target: "sled", "a library's warning");
        });
    });
    String::from_utf8(lines.0.lock().expect("not poisoned").clone()).expect("UTF-8")
}

#[test]
fn a_json_log_is_one_object_a_line_without_measurements() {
    let text = logged(LogFormat::Json, "info");
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("a JSON object")).collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert_eq!((&lines[0]["message"], &lines[0]["revision"]), (&"stored".into(), &3.into()));
    assert_eq!(lines[0]["span"]["command"], "register");
    assert_eq!(lines[1]["level"], "WARN");
}

#[test]
fn a_pretty_log_is_one_line_a_message_and_the_filter_holds() {
    let text = logged(LogFormat::Pretty, "infra=debug");
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.contains("stored") && text.contains("details") && !text.contains("library"), "{text}");
}

fn options(otlp_endpoint: Option<String>) -> TelemetryOptions {
    let otlp_endpoint = otlp_endpoint.or(Some(String::new()));
    TelemetryOptions {
        service_name: "lethe".into(),
        format: LogFormat::Json,
        filter: None,
        otlp_endpoint,
        failpoints: None,
    }
}

/// One HTTP request: its path and its body.
fn receive(listener: &TcpListener) -> (String, Vec<u8>) {
    let (mut stream, _) = listener.accept().expect("a connection");
    let mut read = Vec::new();
    let (mut body_at, mut length) = (usize::MAX, 0);
    while body_at == usize::MAX || read.len() < body_at + length {
        let mut chunk = [0; 4096];
        let n = stream.read(&mut chunk).expect("bytes");
        assert!(n > 0, "the request is cut off");
        read.extend_from_slice(&chunk[..n]);
        if let Some(at) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..at]).to_lowercase();
            body_at = at + 4;
            length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
                .expect("a content length");
        }
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").expect("answered");
    let path = String::from_utf8_lossy(&read).split(' ').nth(1).expect("a path").to_owned();
    (path, read[body_at..].to_vec())
}

/// In a runtime, as in the real process: the exporters are blocking and must not mind.
#[tokio::test]
async fn a_collector_receives_traces_and_metrics_at_shutdown() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}/", listener.local_addr().expect("an address"));
    let collector = std::thread::spawn(move || [receive(&listener), receive(&listener)]);
    let telemetry = Telemetry::build(&options(Some(endpoint))).expect("telemetry");
    tracing::subscriber::with_default(telemetry.layered(Registry::default()), || {
        assert!(request(Some(CLIENT)).is_some_and(|carried| carried.ends_with("-01")));
        event!(target: "metrics", Level::INFO, monotonic_counter.lethe_commands = 1_u64, outcome = "accepted");
    });
    telemetry.shutdown().expect("flushed");
    let received = collector.join().expect("two requests");
    let has = |path: &str, text: &[u8]| {
        received.iter().any(|(at, body)| at == path && body.windows(text.len()).any(|window| window == text))
    };
    assert!(has("/v1/traces", b"command.execute") && has("/v1/traces", b"lethe"));
    assert!(has("/v1/traces", &0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes()));
    assert!(has("/v1/metrics", b"lethe_commands") && has("/v1/metrics", b"accepted"));
}

#[test]
fn what_cannot_be_used_is_refused_with_an_example() {
    for (endpoint, word) in [("https://collector:4318", "TLS"), ("collector:4318", "http://")] {
        let error = Telemetry::build(&options(Some(endpoint.into()))).expect_err("not usable").to_string();
        assert!(error.contains(word) && error.contains("example"), "{error}");
    }
    let error = logs::filter(Some("infra=loudly")).expect_err("no such level").to_string();
    assert!(error.contains("example"), "{error}");
}

/// The ids of a `traceparent`.
fn ids_of(traceparent: Option<String>) -> [String; 2] {
    let text = traceparent.expect("ids");
    let fields: Vec<&str> = text.split('-').collect();
    [fields[1].to_owned(), fields[2].to_owned()]
}

#[test]
fn without_a_collector_the_ids_are_those_of_the_same_tree() {
    let telemetry = Telemetry::build(&options(None)).expect("telemetry");
    tracing::subscriber::with_default(telemetry.layered(Registry::default()), || {
        let here = || ids_of(current_traceparent());
        assert_eq!(current_traceparent(), None, "outside every span");
        let outer = info_span!("outer");
        let [trace, span] = outer.in_scope(here);
        assert_eq!(outer.in_scope(here), [trace.clone(), span.clone()], "the same at the second entry");
        outer.in_scope(|| {
            let inner = info_span!("inner").in_scope(here);
            assert_eq!(inner[0], trace);
            assert_ne!(inner[1], span);
            let theirs = tracing::info_span!(target: "async_nats::connection", "theirs");
            assert_eq!(theirs.in_scope(here), [trace.clone(), span.clone()], "a library's span has none");
            assert_eq!(theirs.in_scope(|| info_span!("within").in_scope(here))[0], trace);
            assert_ne!(info_span!(parent: None, "alone").in_scope(here)[0], trace);
            let adopted = info_span!("projection.apply", traceparent = CLIENT);
            assert_eq!(adopted.in_scope(here)[0], CLIENT[3..35]);
            assert_eq!(here(), [trace.clone(), span.clone()], "only for its own span");
        });
        let child = info_span!(parent: &outer, "child");
        assert_eq!(child.in_scope(here)[0], trace);
        assert_eq!(current_traceparent(), None);
    });
}

#[test]
fn what_nobody_wants_is_known_once_and_for_all() {
    for endpoint in [None, Some("http://127.0.0.1:1".to_owned())] {
        let telemetry = Telemetry::build(&options(endpoint)).expect("telemetry");
        let lines = Registry::default().with(fmt_lines());
        tracing::subscriber::with_default(telemetry.layered(lines), || {
            let theirs = tracing::trace_span!(target: "hyper::proto", "theirs");
            assert!(theirs.metadata().is_none(), "a library's span is looked at, wanted or not");
        });
    }
}

/// The log as `start` has it.
fn fmt_lines<S>() -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let filter = logs::filter(Some("warn")).expect("a filter");
    logs::layer(LogFormat::Json, Lines::default(), false).with_filter(filter_fn(is_log).and(filter))
}
