//! What a command that was carried out answers.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::decider::{ItemOutcome, Made};
use domain::ids::{QueryId, SignatureId, UnblindingId};
use edge::headers::{LETHE_POSITION, etag, positions_text, positions_value};
use edge::{FieldError, Problem, ProblemBody};
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

use crate::execute::Done;

/// A command was carried out, now or before.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Reply {
    /// The stream's revision with it.
    revision: u64,
    /// What a query takes as `min_position` to reflect it.
    #[schema(example = "cardio:1:42")]
    position: String,
    /// How many events it wrote: none if everything was so already.
    events: usize,
    /// What the sender should know about it; left out if there is nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<FieldError>,
    /// Of a `save-items`, what became of each item, in the order in which they were sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    items: Vec<ItemReply>,
    /// The query that was opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    query: Option<QueryId>,
    /// The signature that was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    signature: Option<SignatureId>,
    /// The unblinding that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    unblinding: Option<UnblindingId>,
}

/// What became of one item.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ItemReply {
    /// It was written; otherwise it was so already.
    saved: bool,
    /// How many questions edit checks ask about it because of this command.
    queries: usize,
}

impl Reply {
    pub(super) fn of(done: &Done) -> Self {
        let position = positions_text(std::slice::from_ref(&done.position));
        let item = |item: &ItemOutcome| ItemReply { saved: item.saved, queries: item.queries };
        let (mut query, mut signature, mut unblinding) = (None, None, None);
        match done.made.clone() {
            Some(Made::Query(id)) => query = Some(id),
            Some(Made::Signature(id)) => signature = Some(id),
            Some(Made::Unblinding(id)) => unblinding = Some(id),
            None => {}
        }
        let (items, warnings) = (done.items.iter().map(item).collect(), Vec::new());
        Self { revision: done.revision.0, position, events: done.events, warnings, items, query, signature, unblinding }
    }

    pub(super) fn warning(done: &Done, warnings: Vec<FieldError>) -> Self {
        Self { warnings, ..Self::of(done) }
    }
}

/// The status of what was done: 201 if it began a stream.
pub(super) fn status(done: &Done) -> StatusCode {
    if done.created() { StatusCode::CREATED } else { StatusCode::OK }
}

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        with_headers(&self, (status(&self), Json(Reply::of(&self))))
    }
}

/// Any body with the headers of a command's reply.
pub(super) fn with_headers(done: &Done, body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ETAG, etag(done.tag));
    headers.insert(LETHE_POSITION, positions_value(std::slice::from_ref(&done.position)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The answer where the task of a command panicked: whether it was stored is not known here.
pub(super) fn crashed() -> Problem {
    let detail = "the command ended unexpectedly: send it again with the same Idempotency-Key";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
}

/// What any command may answer, for the description.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "read by the macro: `Done` and `Problem` make the responses")]
pub(super) enum Answers {
    /// Carried out, now or before.
    #[response(status = 200, headers(
        ("ETag" = String, description = "the revision to send as If-Match"),
        ("Lethe-Position" = String, description = "what a query takes as min_position"),
    ))]
    Done(Reply),
    /// Carried out; it began a stream.
    #[response(status = 201, headers(
        ("ETag" = String, description = "the revision to send as If-Match"),
        ("Lethe-Position" = String, description = "what a query takes as min_position"),
    ))]
    Created(Reply),
}

/// Why a request may not be carried out, for the description.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "read by the macro: `Problem` makes the responses")]
pub(super) enum Problems {
    /// The request cannot be read: not UTF-8, not JSON, a field twice, another shape, a wrong header or id.
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(ProblemBody),
    /// No valid token.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(ProblemBody),
    /// The role may not.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(ProblemBody),
    /// Not there, or not for this credential.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(ProblemBody),
    /// The state does not allow it (any more).
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(ProblemBody),
    /// The scope has been erased (code `erased`).
    #[response(status = 410, content_type = "application/problem+json")]
    Gone(ProblemBody),
    /// It changed meanwhile. The current ETag is in the header.
    #[response(status = 412, content_type = "application/problem+json",
        headers(("ETag" = String, description = "the current revision")))]
    PreconditionFailed(ProblemBody),
    /// The body is too large.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(ProblemBody),
    /// The body has another media type.
    #[response(status = 415, content_type = "application/problem+json")]
    UnsupportedMediaType(ProblemBody),
    /// It does not fit the design or the rules, or the Idempotency-Key stands for another body.
    #[response(status = 422, content_type = "application/problem+json")]
    Invalid(ProblemBody),
    /// A change of something saved must say which revision it changes.
    #[response(status = 428, content_type = "application/problem+json")]
    PreconditionRequired(ProblemBody),
    /// Not now: send the same again after `Retry-After`.
    #[response(status = 503, content_type = "application/problem+json",
        headers(("Retry-After" = u32, description = "seconds")))]
    Unavailable(ProblemBody),
}
