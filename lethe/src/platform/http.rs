//! The whole HTTP surface: both services behind one door, the operator's routes, health and metrics.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use domain::port::{Clock, Credentials};
use infra::chance::SystemClock;
use query_api::access::logged;
use serde_json::{Value, json};

use super::admin;
use super::described::openapi;
use super::inner::Inner;
use super::operations;

/// What this machine may ask: everything, and what its operator may.
pub(super) fn local(inner: &Arc<Inner>) -> Router {
    // Which commands are sent how often, and how long they take, is for whoever runs the platform.
    let metrics = Router::new().route("/metrics", get(metrics)).with_state(Arc::clone(inner));
    finished(services(inner).merge(admin::router(Arc::clone(inner))).merge(metrics))
}

/// What people may ask who come from elsewhere.
pub(super) fn public(inner: &Arc<Inner>) -> Router {
    finished(services(inner))
}

fn finished(routes: Router) -> Router {
    let routes = edge::read_out(edge::for_one_host(edge::fallbacks(routes)));
    edge::never_a_page(edge::traced(routes, infra::telemetry::current_traceparent))
}

fn services(inner: &Arc<Inner>) -> Router {
    let credentials: Arc<dyn Credentials> = Arc::clone(&inner.door) as _;
    let door = door::router(Arc::clone(&inner.door));
    let services =
        command_svc::router(Arc::clone(&inner.commands)).merge(query_api::router(Arc::clone(&inner.queries)));
    let services = services.merge(operations::router(Arc::clone(inner)));
    let open = Router::new()
        .route("/livez", get(|| async { "live\n" }))
        .route("/readyz", get(readyz))
        .route("/openapi.json", get(|| async { Json(openapi()) }))
        .with_state(Arc::clone(inner));
    let proxied = inner.door.is_behind_a_proxy();
    let rave = query_api::rave::router(Arc::clone(&inner.queries), Arc::clone(&credentials));
    let logged = |routes| edge::with_origin(logged(routes, Arc::clone(&inner.access)), proxied);
    let (rave, api) = (logged(rave), logged(edge::authenticated(services, Arc::clone(&credentials)).merge(door)));
    // An address that is not there is refused to a page as to anybody else.
    let desk = desk(inner, edge::fallbacks(api.clone()), credentials);
    api.merge(desk).merge(rave).merge(open)
}

/// The pages, which ask the API that is served beside them.
fn desk(inner: &Inner, api: Router, credentials: Arc<dyn Credentials>) -> Router {
    desk::router(desk::Parts {
        api,
        credentials,
        clock: Arc::clone(&inner.clock),
        dice: Arc::clone(&inner.dice),
        tls: inner.public_url.get().is_some_and(|url| url.starts_with("https://")),
    })
}

/// The commands alone: what the second door answers with.
pub(super) fn commands(inner: &Arc<Inner>, credentials: Arc<dyn Credentials>) -> Router {
    let all = edge::authenticated(command_svc::router(Arc::clone(&inner.commands)), credentials);
    edge::traced(edge::fallbacks(all), infra::telemetry::current_traceparent)
}

/// Ready: the nats-server answers, every tenant's read models follow their journals, and no scheduled backup is too old.
async fn readyz(State(inner): State<Arc<Inner>>) -> Response {
    let faults = inner.faults().await;
    let status = if faults.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let faults: Vec<Value> = faults.into_iter().map(Value::from).collect();
    let backups: Vec<Value> = inner.backups.iter().flat_map(|backups| backups.json(SystemClock.now())).collect();
    (status, Json(json!({"ready": faults.is_empty(), "faults": faults, "backups": backups}))).into_response()
}

async fn metrics(State(inner): State<Arc<Inner>>) -> Response {
    // An age grows by itself, so it is measured when somebody asks.
    inner.backups.iter().for_each(|backups| backups.measure(SystemClock.now()));
    ([(header::CONTENT_TYPE, infra::telemetry::Metrics::CONTENT_TYPE)], inner.metrics.text()).into_response()
}
