//! What both HTTP services share: how a request is read, who sent it, and how an answer or a problem looks.
//!
//! - [`problem`]: problem details (RFC 9457), and the one place that translates rejections and failures to HTTP.
//! - [`auth`]: bearer tokens; [`trace`]: W3C trace context; [`headers`]: tags, positions, idempotency keys.
//! - [`bare`]: an answer is never taken for a page, a request is for one host. [`json`]: bodies, strictly; [`unread`]: what a refused request still sends; [`path`]: ids in addresses; [`cursor`]: paging.

pub mod auth;
pub mod bare;
pub mod cursor;
pub mod headers;
pub mod json;
pub mod origin;
pub mod path;
pub mod problem;
pub mod query;
pub mod trace;
pub mod unread;

pub use auth::{Caller, PeerCertificate, authenticated, authenticated_by_password, bearer, unauthorized};
pub use bare::{for_one_host, never_a_page};
pub use json::JsonBody;
pub use origin::{Origin, with_origin};
pub use path::Ids;
pub use problem::{FieldError, Problem, ProblemBody};
pub use query::{Parameters, with_list};
pub use trace::{CurrentTraceparent, traced};
pub use unread::read_out;

use axum::Router;
use axum::http::StatusCode;

/// Answers unknown addresses and methods with problem details. Applied once, after all routers are merged:
/// axum refuses to merge two fallbacks.
pub fn fallbacks(router: Router) -> Router {
    router
        .method_not_allowed_fallback(async || {
            let detail = "the address is there, but it does not take this method";
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
        })
        .fallback(async || {
            let detail = "there is nothing at this address: see /openapi.json";
            Problem::new(StatusCode::NOT_FOUND, "no-such-address", detail)
        })
}

#[cfg(test)]
mod tests;
