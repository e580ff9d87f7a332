//! The whole HTTP surface: both services behind one door, the operator's routes, health and metrics.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use domain::port::{Clock, Credentials};
use infra::chance::SystemClock;
use serde_json::{Value, json};
use utoipa::openapi::{RefOr, Schema};

use super::admin;
use super::inner::Inner;

/// What this machine may ask: everything, and what its operator may.
pub(super) fn local(inner: &Arc<Inner>) -> Router {
    finished(services(inner).merge(admin::router(Arc::clone(inner))))
}

/// What people may ask who come from elsewhere.
pub(super) fn public(inner: &Arc<Inner>) -> Router {
    finished(services(inner))
}

fn finished(routes: Router) -> Router {
    edge::traced(edge::read_out(edge::fallbacks(routes)), infra::telemetry::current_traceparent)
}

fn services(inner: &Arc<Inner>) -> Router {
    let credentials: Arc<dyn Credentials> = Arc::clone(&inner.door) as _;
    let door = door::router(Arc::clone(&inner.door));
    let services =
        command_svc::router(Arc::clone(&inner.commands)).merge(query_api::router(Arc::clone(&inner.queries)));
    let open = Router::new()
        .route("/livez", get(|| async { "live\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/openapi.json", get(|| async { Json(openapi()) }))
        .with_state(Arc::clone(inner));
    let proxied = inner.door.is_behind_a_proxy();
    let rave = query_api::rave::router(Arc::clone(&inner.queries), Arc::clone(&credentials));
    let rave = edge::with_origin(rave, proxied);
    let api = edge::with_origin(edge::authenticated(services, Arc::clone(&credentials)).merge(door), proxied);
    let desk = desk(inner, api.clone(), credentials);
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

/// The description of the API, put together from both services.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut whole = command_svc::openapi();
    whole.merge(query_api::openapi());
    whole.merge(door::openapi());
    whole.info.title = "Lethe".into();
    whole.info.version = env!("CARGO_PKG_VERSION").into();
    whole.info.description = Some(ABOUT.into());
    for part in ["ExportOrder", "FormKey", "ItemKey", "ItemPlace", "RightTerms", "VisitKey"] {
        open(&mut whole, part);
    }
    whole
}

/// What whoever reads the description must know before the first request.
const ABOUT: &str = "A clinical study data platform that remembers everything and can prove that it forgot. \
    Commands are sent with POST and stored durably before they are answered; queries are GET. \
    Every request carries a bearer token or a session, but those that begin one. Every refusal is a problem (RFC 9457) with a stable `code`.";

/// Lets a schema be part of another. Both refuse unknown fields as soon as the request is read, but said of the
/// part alone, in JSON Schema, it would refuse the fields of the whole.
fn open(description: &mut utoipa::openapi::OpenApi, name: &str) {
    let schemas = description.components.as_mut().map(|components| &mut components.schemas);
    if let Some(RefOr::T(Schema::Object(part))) = schemas.and_then(|schemas| schemas.get_mut(name)) {
        part.additional_properties = None;
    }
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
