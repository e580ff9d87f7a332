//! Signing in by an identity provider of the tenant.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use domain::ids::{Environment, TenantId};
use domain::permit::Role;
use domain::scope::Plain;
use edge::{Caller, JsonBody, Origin, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::machines::NoAccess;
use super::reply::{Problems, fresh};
use super::sign_in::{BODY_MAX, SignedIn, is_tls, with_cookie};
use crate::Door;
use crate::provider::Going;

/// Where a browser comes back to.
const BACK: &str = "/sign-in/provider/back";

/// What a browser that went to a provider knows until it comes back. `Lax`: it comes back from elsewhere.
const COOKIE: &str = "lethe-provider";
const COOKIE_TLS: &str = "__Host-lethe-provider";

/// Who wants to come in by their provider.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GoToProvider {
    /// Into which tenant.
    tenant: TenantId,
    /// The link of an invitation, the first time.
    link: Option<String>,
    /// The full name, where the link asks for it.
    name: Option<Plain>,
    /// Under which address the browser has this platform. It counts on this machine alone; elsewhere it is that of `--public-url`.
    base: Option<String>,
    /// In which role, if there are several.
    role: Option<Role>,
    /// In which environment, if there are several. Without: PROD before QA before TEST.
    environment: Option<Environment>,
}

/// Where to send the browser.
#[derive(Serialize, ToSchema)]
pub(super) struct Location {
    /// The address; none: nowhere.
    location: Option<String>,
}

fn back(door: &Door, base: Option<&str>) -> Result<String, Problem> {
    let rules = &door.parts.rules;
    let here = |base: &&str| {
        let rest = base.strip_prefix("http://").or_else(|| base.strip_prefix("https://"));
        rest.is_some_and(|rest| {
            let host = rest.rsplit_once(':').map_or(rest, |(host, _)| host);
            matches!(host, "localhost" | "127.0.0.1" | "[::1]")
        })
    };
    let base = rules.public_url.as_deref().or(base.filter(here)).ok_or_else(|| {
        Problem::invalid(
            "no-address",
            "start lethe serve with --public-url: a provider sends people back to one address",
        )
    })?;
    Ok(format!("{}{BACK}", base.trim_end_matches('/')))
}

fn binding_cookie(door: &Door, binding: &str, seconds: u32) -> HeaderValue {
    let (name, secure) = if is_tls(&door.parts.rules) { (COOKIE_TLS, "; Secure") } else { (COOKIE, "") };
    let text = format!("{name}={binding}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}");
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

fn binding(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE || *name == COOKIE_TLS).map(|(_, binding)| binding)
}

/// Sends somebody to the identity provider of a tenant. What the browser gets as a cookie it must bring back.
#[utoipa::path(
    post,
    path = "/v1/sign-in/provider",
    operation_id = "go_to_provider",
    tag = "door",
    security(()),
    request_body = GoToProvider,
    responses((status = 200, description = "Where to send the browser.", body = Location), Problems)
)]
pub(super) async fn go(
    State(door): State<Arc<Door>>,
    Origin { address, .. }: Origin,
    JsonBody(body): JsonBody<GoToProvider, BODY_MAX>,
) -> Result<Response, Problem> {
    let back = back(&door, body.base.as_deref())?;
    let wanted = (body.role, body.environment);
    let going = Going { tenant: body.tenant, back, link: body.link, name: body.name, wanted };
    let gone = door.go(going, address).await?;
    let mut response = fresh(Location { location: Some(gone.location) });
    response.headers_mut().insert(header::SET_COOKIE, binding_cookie(&door, &gone.binding, 600));
    Ok(response)
}

/// What somebody brings back from their provider.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CameBack {
    /// As it stood in the address.
    state: String,
    /// As it stood in the address.
    code: String,
}

/// Signs in who came back from their provider, with the cookie that they were given on the way there.
#[utoipa::path(
    post,
    path = "/v1/sign-in/provider/back",
    operation_id = "come_back_from_provider",
    tag = "door",
    security(()),
    request_body = CameBack,
    responses((status = 200, description = "Signed in; the cookie and the token are the same session.", body = SignedIn), Problems)
)]
pub(super) async fn come_back(
    State(door): State<Arc<Door>>,
    Origin { address, .. }: Origin,
    headers: HeaderMap,
    JsonBody(body): JsonBody<CameBack, BODY_MAX>,
) -> Result<Response, Problem> {
    let binding = binding(&headers).unwrap_or_default();
    let begun = door.come_back((&body.state, &body.code, binding), address).await?;
    let rules = &door.parts.rules;
    let mut response = with_cookie(&begun, rules, SignedIn::of(&begun, rules));
    response.headers_mut().append(header::SET_COOKIE, binding_cookie(&door, "", 0));
    Ok(response)
}

/// Whether there are identity providers.
#[derive(Serialize, ToSchema)]
pub(super) struct Offered {
    /// Whether any tenant here has one. Which ones is said to nobody.
    offered: bool,
}

/// Whether a page should offer to sign in by a provider.
#[utoipa::path(
    get,
    path = "/v1/sign-in/provider",
    operation_id = "is_provider_offered",
    tag = "door",
    security(()),
    responses((status = 200, description = "Whether any tenant has one.", body = Offered), Problems)
)]
pub(super) async fn offered(State(door): State<Arc<Door>>) -> Response {
    fresh(Offered { offered: door.parts.providers.any() })
}

/// Where to send the browser after a sign-out, so that the provider's own session ends too (RP-initiated logout).
#[utoipa::path(
    get,
    path = "/v1/sign-out/provider",
    operation_id = "end_at_provider",
    tag = "door",
    responses((status = 200, description = "An address, if this session came by a provider that offers one.", body = Location), Problems)
)]
pub(super) async fn end_there(State(door): State<Arc<Door>>, Caller(who): Caller) -> Result<Response, Problem> {
    let base = door.parts.rules.public_url.as_deref();
    let location = match base {
        Some(base) => {
            let back = format!("{}/sign-in", base.trim_end_matches('/'));
            door.end_there(&who.tenant, who.session, &back).await?
        }
        None => None,
    };
    Ok(fresh(Location { location }))
}

/// Ends the sessions that a provider says are over (OpenID Connect Back-Channel Logout). The provider sends it, signed.
#[utoipa::path(
    post,
    path = "/oidc/{tenant}/back-channel-logout",
    operation_id = "back_channel_logout",
    tag = "door",
    security(()),
    params(("tenant" = TenantId, Path, description = "the tenant")),
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "They are over."),
        (status = 400, description = "It is no logout token of this tenant's provider.", body = NoAccess),
        (status = 503, description = "Not now: send the same again.", body = NoAccess),
    )
)]
pub(super) async fn back_channel_logout(
    State(door): State<Arc<Door>>,
    tenant: Result<Path<TenantId>, PathRejection>,
    body: Bytes,
) -> Response {
    let invalid = || {
        let body =
            NoAccess { error: "invalid_request", error_description: "no logout token of this tenant's provider" };
        (StatusCode::BAD_REQUEST, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
    };
    let token =
        form_urlencoded::parse(&body).find(|(key, _)| key == "logout_token").map(|(_, value)| value.into_owned());
    let (Ok(Path(tenant)), Some(token)) = (tenant, token.filter(|_| body.len() <= BODY_MAX)) else {
        return invalid();
    };
    match door.provider_logged_out(&tenant, &token).await.map_err(Problem::from) {
        Ok(()) => (StatusCode::OK, [(header::CACHE_CONTROL, "no-store")]).into_response(),
        Err(problem) if problem.status() == StatusCode::SERVICE_UNAVAILABLE => problem.into_response(),
        Err(_) => invalid(),
    }
}
