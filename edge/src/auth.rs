//! Who asks. Everything behind this layer needs a valid bearer token, or the session that a browser sends as a cookie; nothing
//! is answered without one.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::history::CommitHash;
use domain::permit::Principal;
use domain::port::{Credentials, Presented};

use crate::origin::Origin;

use crate::problem::Problem;

/// The longest token that is looked up, in bytes.
const TOKEN_BYTES_MAX: usize = 256;

/// Who sent the request, as the credential says.
#[derive(Debug, Clone)]
pub struct Caller(pub Principal);

/// The certificate that the client showed in the handshake, by the SHA-256 of its DER form. Put there by the listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerCertificate(pub CommitHash);

/// How the credential of a request comes.
fn presented(request: &Request) -> Presented<'_> {
    Presented {
        address: request.extensions().get::<Origin>().and_then(|origin| origin.address),
        certificate: request.extensions().get::<PeerCertificate>().map(|PeerCertificate(hash)| *hash),
        path: request.uri().path(),
    }
}

/// Puts every route behind a bearer token. Unknown addresses stay 404.
pub fn authenticated(router: Router, credentials: Arc<dyn Credentials>) -> Router {
    router.route_layer(from_fn_with_state(credentials, authenticate))
}

async fn authenticate(State(credentials): State<Arc<dyn Credentials>>, request: Request, next: Next) -> Response {
    let caller = match bearer(request.headers()).or_else(|| api_key(&request)).or_else(|| cookie(request.headers())) {
        Some(token) => credentials.authenticate_from(token, presented(&request)).await,
        None => return unauthorized("send a token: Authorization: Bearer …", "Bearer realm=\"lethe\"").into_response(),
    };
    match caller {
        Ok(Some(principal)) => answered_to(principal, request, next).await,
        Ok(None) => {
            let detail = "the token is unknown, expired or revoked";
            unauthorized(detail, "Bearer realm=\"lethe\", error=\"invalid_token\"").into_response()
        }
        Err(failure) => Problem::from(failure).into_response(),
    }
}

/// Tells what is within who asks, and what is around it whom it was that was answered.
async fn answered_to(principal: Principal, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(Caller(principal.clone()));
    let mut response = next.run(request).await;
    response.extensions_mut().insert(Caller(principal));
    response
}

/// The same for clients that know Basic authentication only: the password is the token. The user name is a label of
/// theirs: a token says by itself whose it is.
pub fn authenticated_by_password(router: Router, credentials: Arc<dyn Credentials>) -> Router {
    router.route_layer(from_fn_with_state(credentials, authenticate_by_password))
}

async fn authenticate_by_password(
    State(credentials): State<Arc<dyn Credentials>>,
    request: Request,
    next: Next,
) -> Response {
    let challenge = HeaderValue::from_static("Basic realm=\"lethe\", charset=\"UTF-8\"");
    let refused = |code, detail: &str| {
        let problem = Problem::new(StatusCode::UNAUTHORIZED, code, detail);
        problem.with_header(header::WWW_AUTHENTICATE, challenge.clone()).into_response()
    };
    let Some(token) = password(request.headers()) else {
        return refused("no-credentials", "send a token as the password of Basic authentication");
    };
    match credentials.authenticate_from(&token, presented(&request)).await {
        Ok(Some(principal)) => answered_to(principal, request, next).await,
        Ok(None) => refused("unauthorized", "the token is unknown, expired or revoked"),
        Err(failure) => Problem::from(failure).into_response(),
    }
}

fn password(headers: &HeaderMap) -> Option<String> {
    let (scheme, credentials) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || credentials.len() > 4 * TOKEN_BYTES_MAX {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(credentials.trim()).ok()?).ok()?;
    let (_, password) = decoded.split_once(':')?;
    (!password.is_empty() && password.len() <= TOKEN_BYTES_MAX).then(|| password.to_owned())
}

/// The bearer token of a request, if it has one that could be one.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    let good = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.len() <= TOKEN_BYTES_MAX;
    good.then_some(token)
}

/// The header in which clients of CDISC's Dataset-JSON API carry a token; taken at its addresses alone.
fn api_key(request: &Request) -> Option<&str> {
    let token = request.headers().get("api-key")?.to_str().ok()?.trim();
    let there = request.uri().path().starts_with("/v1/dataset-json/");
    (there && !token.is_empty() && token.len() <= TOKEN_BYTES_MAX).then_some(token)
}

/// The cookie of a session where people come by TLS: a browser takes it from this very host alone, by TLS alone.
const COOKIE_TLS: &str = "__Host-lethe-session";

/// The same on loopback without TLS.
const COOKIE: &str = "lethe-session";

/// Gives a browser its session. No script reads it, and no other site sends it.
pub fn session_cookie(secret: &str, tls: bool, lasts: Duration) -> HeaderValue {
    set_cookie(secret, tls, lasts.as_secs())
}

/// Takes a browser's session away.
pub fn no_session_cookie(tls: bool) -> HeaderValue {
    set_cookie("", tls, 0)
}

fn set_cookie(secret: &str, tls: bool, seconds: u64) -> HeaderValue {
    let (name, secure) = if tls { (COOKIE_TLS, "; Secure") } else { (COOKIE, "") };
    let text = format!("{name}={secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}");
    HeaderValue::try_from(text).expect("a secret is visible ASCII")
}

/// The session that a browser sends.
pub fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut ours = pairs.filter(|(name, _)| *name == COOKIE_TLS || *name == COOKIE).map(|(_, secret)| secret);
    // Two would be somebody else's doing.
    match (ours.next(), ours.next()) {
        (Some(secret), None) if !secret.is_empty() && secret.len() <= TOKEN_BYTES_MAX => Some(secret),
        _ => None,
    }
}

/// 401 with the challenge that RFC 9110, 11.6.1 asks for.
pub fn unauthorized(detail: &str, challenge: &'static str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
        .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
}

/// A route that was not put behind the layer has no caller, and denies.
impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| unauthorized("send a token: Authorization: Bearer …", "Bearer realm=\"lethe\""))
    }
}
