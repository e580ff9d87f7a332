//! What the answers share.

use std::time::Duration;

use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Json, Response};
use domain::history::Position;
use domain::port::{Failure, Tenant};
use edge::headers::{LETHE_POSITION, parse_positions, positions_value};
use edge::{Problem, ProblemBody};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, IntoResponses};

/// How long a query waits for the position it asks for.
const PATIENCE: Duration = Duration::from_secs(5);

/// An answer with the positions that it reflects, in nobody's cache.
pub(super) fn reflecting(positions: &[Position], body: impl Serialize) -> Response {
    let mut response = ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response();
    response.headers_mut().insert(LETHE_POSITION, positions_value(positions));
    response
}

/// From when on an answer is good enough.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Since {
    /// A `Lethe-Position`: the answer reflects at least this.
    pub(super) min_position: Option<String>,
}

impl Since {
    /// Waits until the read models are so far, and says how far they are.
    pub(super) async fn wait(&self, tenant: &Tenant) -> Result<Vec<Position>, Problem> {
        wait(tenant, self.min_position.as_deref()).await
    }
}

/// Waits until the read models are so far, and says how far they are.
pub(super) async fn wait(tenant: &Tenant, wanted: Option<&str>) -> Result<Vec<Position>, Problem> {
    let wanted = wanted.map(|text| parse_positions("min_position", text)).transpose()?;
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

/// Whether a client follows what happens (`Accept: text/event-stream`).
pub(super) fn wants_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted
        .flat_map(|value| value.split(','))
        .any(|one| one.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("text/event-stream")))
}

/// Why it may not be answered, for the description.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "read by the macro: `Problem` makes the responses")]
pub(super) enum Problems {
    /// The request cannot be read.
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(ProblemBody),
    /// No valid credential.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(ProblemBody),
    /// Not for this role, or not proved anew.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(ProblemBody),
    /// Not there, or not for this credential.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(ProblemBody),
    /// A body took too long.
    #[response(status = 408, content_type = "application/problem+json")]
    TooSlow(ProblemBody),
    /// The state does not allow it now.
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(ProblemBody),
    /// The body is too large.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(ProblemBody),
    /// The body has another media type.
    #[response(status = 415, content_type = "application/problem+json")]
    UnsupportedMediaType(ProblemBody),
    /// It does not fit the rules.
    #[response(status = 422, content_type = "application/problem+json")]
    Invalid(ProblemBody),
    /// Not now: send the same again after `Retry-After`.
    #[response(status = 503, content_type = "application/problem+json",
        headers(("Retry-After" = u32, description = "seconds")))]
    Unavailable(ProblemBody),
}
