//! What the door answers, where several answers share it.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use domain::history::Position;
use domain::permit::Principal;
use domain::port::{Failure, Tenant};
use edge::headers::{LETHE_POSITION, parse_positions, positions_value};
use edge::{Problem, ProblemBody};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, IntoResponses};

use crate::{Door, NoEntry};

/// How long a query waits for the position it asks for.
const PATIENCE: Duration = Duration::from_secs(5);

/// An answer that is in nobody's cache.
pub(super) fn fresh(body: impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// The same with the positions that it reflects.
pub(super) fn reflecting(positions: &[Position], body: impl Serialize) -> Response {
    let mut response = fresh(body);
    response.headers_mut().insert(LETHE_POSITION, positions_value(positions));
    response
}

/// From when on an answer is good enough.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Since {
    /// A `Lethe-Position`: the answer reflects at least this.
    min_position: Option<String>,
}

impl Since {
    /// Waits until the read models are so far, and says how far they are.
    pub(super) async fn wait(&self, tenant: &Tenant) -> Result<Vec<Position>, Problem> {
        let wanted = self.min_position.as_deref().map(|text| parse_positions("min_position", text)).transpose()?;
        for position in wanted.unwrap_or_default() {
            match tenant.progress.wait_for(&position, PATIENCE).await {
                Ok(true) => {}
                Ok(false) => {
                    let detail = "the read models have not reached min_position yet: ask again";
                    return Err(Problem::unavailable("behind", detail));
                }
                Err(Failure::Missing { .. }) => {
                    let detail = "min_position is not from this journal: it was restored since, or is of another study";
                    return Err(Problem::bad_request("unknown-position", detail));
                }
                Err(failure) => return Err(failure.into()),
            }
        }
        Ok(tenant.progress.reflected())
    }
}

impl Door {
    /// The tenant of who calls.
    pub(super) fn tenant_of(&self, who: &Principal) -> Result<Arc<Tenant>, Problem> {
        let missing = || Problem::unavailable("unavailable", "this tenant is not served here");
        self.parts.tenants.tenant(&who.tenant).ok_or_else(missing)
    }
}

impl From<NoEntry> for Problem {
    fn from(no: NoEntry) -> Self {
        match no {
            NoEntry::TooMany(wait) => {
                let seconds = wait.as_secs().max(1);
                let detail = format!("too many tries: wait for {seconds} seconds");
                Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-tries", detail)
                    .with_header(header::RETRY_AFTER, HeaderValue::from(seconds))
            }
            NoEntry::Wrong => {
                let detail =
                    "this does not open: the name, the password, the code or the link is not right, or was used";
                Self::new(StatusCode::UNAUTHORIZED, "not-opened", detail)
                    .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"lethe\""))
            }
            NoEntry::NoRight => {
                let detail = "no right of this account counts for that now: ask who administers";
                Self::new(StatusCode::FORBIDDEN, "no-right", detail)
            }
            NoEntry::Refused(refusal) => refusal.into(),
            NoEntry::Failed(failure) => failure.into(),
        }
    }
}

/// Why it may not be answered, for the description.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "read by the macro: `Problem` makes the responses")]
pub(super) enum Problems {
    /// The request cannot be read.
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(ProblemBody),
    /// No valid credential, or what was given proves nothing.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(ProblemBody),
    /// Not for this role, or not for oneself.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(ProblemBody),
    /// Not there, or not for this credential.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(ProblemBody),
    /// A body took too long.
    #[response(status = 408, content_type = "application/problem+json")]
    TooSlow(ProblemBody),
    /// The state does not allow it (any more).
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(ProblemBody),
    /// The scope has been erased.
    #[response(status = 410, content_type = "application/problem+json")]
    Gone(ProblemBody),
    /// The body is too large.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(ProblemBody),
    /// The body has another media type.
    #[response(status = 415, content_type = "application/problem+json")]
    UnsupportedMediaType(ProblemBody),
    /// It does not fit the rules.
    #[response(status = 422, content_type = "application/problem+json")]
    Invalid(ProblemBody),
    /// Too many tries: again after `Retry-After`.
    #[response(status = 429, content_type = "application/problem+json",
        headers(("Retry-After" = u32, description = "seconds")))]
    TooMany(ProblemBody),
    /// Not now: send the same again after `Retry-After`.
    #[response(status = 503, content_type = "application/problem+json",
        headers(("Retry-After" = u32, description = "seconds")))]
    Unavailable(ProblemBody),
}
