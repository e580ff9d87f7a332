//! One span a request, linked to the client's trace; the trace goes out with the reply.
//!
//! This crate knows `tracing` only. A span's field `traceparent` makes that trace its parent, and the composition
//! root tells where the current one is found: both are done where the tracer lives.

use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use tracing::{Instrument, Level};

use crate::problem::Problem;

/// The header of the W3C trace context.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Where the current span's `traceparent` is found; none where nothing traces.
pub type CurrentTraceparent = fn() -> Option<String>;

/// Gives every request a span, counts it and times it. The outermost layer.
pub fn traced(router: Router, current: CurrentTraceparent) -> Router {
    router.layer(from_fn_with_state(current, trace))
}

async fn trace(State(current): State<CurrentTraceparent>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = method_name(&request);
    // The route's pattern and not the address: an address holds ids.
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!(
        "http.request",
        otel.kind = "server",
        traceparent = parent(request.headers()),
        method,
        route,
        status = tracing::field::Empty,
    );
    let response = async { with_trace(next.run(request).await, current()) }.instrument(span.clone()).await;
    let status = u64::from(response.status().as_u16());
    span.record("status", status);
    measure(method, &route, status, begun.elapsed().as_secs_f64());
    response
}

/// A closed list: a client may invent methods, and each would be a label of its own.
fn method_name(request: &Request) -> &'static str {
    match request.method().as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

fn measure(method: &'static str, route: &str, status: u64, seconds: f64) {
    tracing::event!(target: "metrics", Level::INFO, monotonic_counter.lethe_http_requests = 1_u64, route, method, status);
    tracing::event!(target: "metrics", Level::INFO, histogram.lethe_http_request_seconds = seconds, route, method);
}

/// Adds the header, and the trace id to a problem.
fn with_trace(mut response: Response, traceparent: Option<String>) -> Response {
    let Some(traceparent) = traceparent else {
        return response;
    };
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let allow = response.headers_mut().remove(header::ALLOW);
        response = problem.response(traceparent.split('-').nth(1).map(str::to_owned));
        response.headers_mut().extend(allow.map(|allow| (header::ALLOW, allow)));
    }
    if let Ok(value) = HeaderValue::try_from(traceparent) {
        response.headers_mut().insert(TRACEPARENT, value);
    }
    response
}

/// The client's trace context: `00-<32 hex>-<16 hex>-<2 hex>` and nothing else, because it is stored.
fn parent(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(TRACEPARENT)?.to_str().ok()?;
    let parts: Vec<_> = text.split('-').collect();
    let hex =
        |part: &str, length| part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let something = |part: &str| part.bytes().any(|byte| byte != b'0');
    let valid = matches!(parts[..], ["00", trace, span, flags]
        if hex(trace, 32) && something(trace) && hex(span, 16) && something(span) && hex(flags, 2));
    valid.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_trace_context_is_taken() {
        let cases = [
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true),
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", false),
            ("Ada", false),
        ];
        for (text, good) in cases {
            let headers = HeaderMap::from_iter([(TRACEPARENT, HeaderValue::from_static(text))]);
            assert_eq!(parent(&headers).is_some(), good, "{text}");
        }
    }
}
