//! The operator's routes. Only who can read the data directory has the token for them, which is drawn at every start.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;
use domain::design::content_hash;
use domain::ids::{Environment, Label, OrganisationId, StudyId, TenantId, TokenId, UserId};
use domain::permit::{Role, Sites};
use edge::{JsonBody, Problem};
use serde::Deserialize;
use serde_json::{Value, json};

use super::inner::Inner;
use super::{NewToken, StartError, vault_admin};

/// The largest body of an operator's request.
pub(super) const BODY_MAX: usize = 64 * 1024;

pub(super) fn router(inner: Arc<Inner>) -> Router {
    Router::new()
        .route("/v1/admin/tenants", post(create_tenant))
        .route("/v1/admin/studies", post(create_study))
        .route("/v1/admin/tokens", post(create_token))
        .route("/v1/admin/tokens/revoke", post(revoke_token))
        .route("/v1/admin/nats/login", post(nats_login))
        .route("/v1/admin/doctor", post(doctor))
        .route("/v1/admin/first-link", post(first_link))
        .route("/v1/admin/rebuild", post(rebuild))
        .route("/v1/admin/kms/status", post(vault_admin::kms_status))
        .route("/v1/admin/kms/rotate", post(vault_admin::kms_rotate))
        .route("/v1/admin/backup", post(vault_admin::back_up))
        .route("/v1/admin/probe", post(vault_admin::probe))
        .route("/v1/admin/verify", post(vault_admin::verify))
        .layer(middleware::from_fn_with_state(Arc::clone(&inner), operators_only))
        .with_state(inner)
}

/// Compares hashes, so that the time taken says nothing about the token.
async fn operators_only(State(inner): State<Arc<Inner>>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = given.and_then(|text| text.strip_prefix("Bearer ")).unwrap_or_default();
    if content_hash(token.as_bytes()) == content_hash(inner.operator_token.as_bytes()) {
        next.run(request).await
    } else {
        edge::unauthorized("the operator's token is needed", "Bearer realm=\"lethe operator\"").into_response()
    }
}

/// What is unsafe about this installation.
async fn doctor(State(inner): State<Arc<Inner>>) -> Json<Value> {
    Json(json!({"findings": super::doctor::examine(&inner).await}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateTenant {
    tenant: TenantId,
}

async fn create_tenant(
    State(inner): State<Arc<Inner>>,
    JsonBody(body): JsonBody<CreateTenant, BODY_MAX>,
) -> Result<Json<Value>, Problem> {
    inner.create_tenant(&body.tenant).await.map_err(problem)?;
    Ok(Json(json!({"tenant": body.tenant})))
}

/// What an integrator needs to send commands at the second door, but for a token.
async fn nats_login(
    State(inner): State<Arc<Inner>>,
    JsonBody(body): JsonBody<CreateTenant, BODY_MAX>,
) -> Result<Json<Value>, Problem> {
    let no_door = || StartError::Refused {
        code: "no-second-door",
        detail: format!("tenant {} has no logins for one: `lethe nats accounts --tenant {0}` adds them", body.tenant),
    };
    let login = inner.nats.door(&body.tenant).and_then(|door| door.ok_or_else(no_door)).map_err(problem)?.asks;
    Ok(Json(json!({
        "url": inner.nats.url(), "user": login.user(), "password": login.password(),
        "inbox_prefix": login.inbox_prefix(), "subject": format!("cmd.{}.", body.tenant),
    })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateStudy {
    tenant: TenantId,
    study: StudyId,
    name: Label,
    environment: Environment,
}

async fn create_study(
    State(inner): State<Arc<Inner>>,
    JsonBody(body): JsonBody<CreateStudy, BODY_MAX>,
) -> Result<Json<Value>, Problem> {
    inner.create_study(&body.tenant, &body.study, body.name, body.environment).await.map_err(problem)?;
    Ok(Json(json!({"study": body.study})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateToken {
    tenant: TenantId,
    role: Role,
    name: String,
    user: Option<UserId>,
    service_account: bool,
    environment: Environment,
    organisation: OrganisationId,
    sites: Sites,
    days: u16,
}

async fn create_token(
    State(inner): State<Arc<Inner>>,
    JsonBody(body): JsonBody<CreateToken, BODY_MAX>,
) -> Result<Json<Value>, Problem> {
    let user = body.user.unwrap_or_else(|| UserId(inner.dice.uuid()));
    let new = NewToken {
        tenant: body.tenant,
        user,
        role: body.role,
        name: body.name,
        service_account: body.service_account,
        environment: body.environment,
        organisation: body.organisation,
        sites: body.sites,
        days: body.days,
    };
    let (token_id, token) = inner.create_token(new).await.map_err(problem)?;
    Ok(Json(json!({"token": token, "token_id": token_id, "user": user})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RevokeToken {
    tenant: TenantId,
    user: UserId,
    token_id: TokenId,
}

async fn revoke_token(
    State(inner): State<Arc<Inner>>,
    JsonBody(body): JsonBody<RevokeToken, BODY_MAX>,
) -> Result<StatusCode, Problem> {
    inner.revoke_token(&body.tenant, body.user, body.token_id).await.map_err(problem)?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct First {
    tenant: TenantId,
    /// Under which address the one who asks has found the platform.
    url: String,
}

/// Answers null if somebody administers the tenant: from then on, they invite.
async fn first_link(
    State(inner): State<Arc<Inner>>,
    JsonBody(body): JsonBody<First, BODY_MAX>,
) -> Result<Json<Value>, Problem> {
    let link = inner.first_link(&body.tenant, &body.url).await.map_err(problem)?;
    Ok(Json(json!({ "link": link })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rebuild {
    tenant: TenantId,
    projection: Option<String>,
}

/// Answers line by line: progress while it runs, a report for each read model.
async fn rebuild(
    State(inner): State<Arc<Inner>>,
    JsonBody(body): JsonBody<Rebuild, BODY_MAX>,
) -> Result<Response, Problem> {
    let lines = inner.rebuild(&body.tenant, body.projection).map_err(problem)?;
    let lines = futures_util::stream::unfold(lines, |mut lines| async {
        let line = lines.recv().await?;
        Some((Ok::<_, Infallible>(format!("{line}\n")), lines))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

pub(super) fn problem(error: StartError) -> Problem {
    let (status, code) = match &error {
        StartError::NoSuchTenant { .. } => (StatusCode::NOT_FOUND, "no-such-tenant"),
        StartError::Refused { code, .. } => (StatusCode::CONFLICT, *code),
        StartError::Failed(failure) => return Problem::from(failure.clone()),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    };
    Problem::new(status, code, error.to_string())
}
