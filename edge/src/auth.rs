//! Who asks. Everything behind this layer needs a valid bearer token; nothing is answered without one.

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use domain::permit::Principal;
use domain::port::Credentials;

use crate::problem::Problem;

/// The longest token that is looked up, in bytes.
const TOKEN_BYTES_MAX: usize = 256;

/// Who sent the request, as the credential says.
#[derive(Debug, Clone)]
pub struct Caller(pub Principal);

/// Puts every route behind a bearer token. Unknown addresses stay 404.
pub fn authenticated(router: Router, credentials: Arc<dyn Credentials>) -> Router {
    router.route_layer(from_fn_with_state(credentials, authenticate))
}

async fn authenticate(State(credentials): State<Arc<dyn Credentials>>, mut request: Request, next: Next) -> Response {
    let caller = match bearer(request.headers()).or_else(|| api_key(&request)) {
        Some(token) => credentials.authenticate(token).await,
        None => return unauthorized("send a token: Authorization: Bearer …", "Bearer realm=\"lethe\"").into_response(),
    };
    match caller {
        Ok(Some(principal)) => {
            request.extensions_mut().insert(Caller(principal));
            next.run(request).await
        }
        Ok(None) => {
            let detail = "the token is unknown, expired or revoked";
            unauthorized(detail, "Bearer realm=\"lethe\", error=\"invalid_token\"").into_response()
        }
        Err(failure) => Problem::from(failure).into_response(),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
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
