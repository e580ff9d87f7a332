//! Problem details (RFC 9457), and the one mapping from what the domain and its ports say to HTTP.
//!
//! `type` is `/problems/<code>`, relative to the server, and `code` is stable: programs branch on it.
//! No member ever repeats a value that was sent.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::ids::InvalidId;
use domain::port::{AppendError, Failure};
use domain::rejection::{Fault, Kind, Rejection};
use serde::Serialize;
use utoipa::ToSchema;

use crate::headers::etag;

/// The media type of problem details.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request was not carried out.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    errors: Vec<FieldError>,
    headers: Vec<(HeaderName, HeaderValue)>,
    beyond: bool,
}

/// Problem details as sent.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// What kind of problem, as a URI reference: `/problems/<code>`.
    #[serde(rename = "type")]
    #[schema(example = "/problems/no-such-study")]
    pub kind: String,
    /// The kind of problem in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time and what to do next. For people.
    pub detail: String,
    /// What kind of problem, for programs. Stable.
    #[schema(example = "no-such-study")]
    pub code: &'static str,
    /// Every fault in the body, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// The request's trace, to quote in a support case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// One fault in the body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) to the place.
    #[schema(example = "/items/0/value")]
    pub pointer: String,
    /// The rule that is broken there.
    pub detail: String,
}

impl From<Fault> for FieldError {
    fn from(Fault { pointer, detail }: Fault) -> Self {
        Self { pointer, detail }
    }
}

impl Problem {
    /// A problem without faults of single fields.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), errors: Vec::new(), headers: Vec::new(), beyond: false }
    }

    /// 400: the request cannot be read.
    pub fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 404.
    pub fn not_found(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    /// 422: well formed, but not what the rules allow.
    pub fn invalid(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    /// 503, to be tried again.
    pub fn unavailable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
            .with_header(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// The study is unknown, of another tenant or of another environment: all three look the same.
    pub fn no_such_study() -> Self {
        Self::not_found("no-such-study", "there is no such study for this credential")
    }

    /// 403: the role may not do this.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// The same with faults of single fields.
    #[must_use]
    pub fn with_errors(mut self, faults: Vec<Fault>) -> Self {
        self.errors = faults.into_iter().map(FieldError::from).collect();
        self
    }

    /// The same with a response header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The same where it is there, beyond what the credential reaches. The client is told nothing of it; the access log is.
    #[must_use]
    pub fn beyond(mut self, beyond: bool) -> Self {
        self.beyond = beyond;
        self
    }

    /// Whether it is there, beyond what the credential reaches.
    pub fn is_beyond(&self) -> bool {
        self.beyond
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The members to send.
    pub fn body(self, trace_id: Option<String>) -> ProblemBody {
        ProblemBody {
            kind: format!("/problems/{}", self.code),
            title: title(self.code),
            status: self.status.as_u16(),
            detail: self.detail,
            code: self.code,
            errors: self.errors,
            trace_id,
        }
    }

    /// The response. The problem travels in it as an extension, so that the trace layer can add the trace id.
    pub(crate) fn response(self, trace_id: Option<String>) -> Response {
        let body = self.clone().body(trace_id);
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// `no-such-study` → `No such study`.
fn title(code: &str) -> String {
    let words = code.replace('-', " ");
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.response(None)
    }
}

/// A rejection is an answer: its kind is the status, its code and sentence go out as they are.
impl From<&dyn Rejection> for Problem {
    fn from(rejection: &dyn Rejection) -> Self {
        let status = match rejection.kind() {
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Kind::Conflict => StatusCode::CONFLICT,
            Kind::Forbidden => StatusCode::FORBIDDEN,
            Kind::PreconditionRequired => StatusCode::PRECONDITION_REQUIRED,
            Kind::PreconditionFailed { .. } => StatusCode::PRECONDITION_FAILED,
            Kind::Erased => StatusCode::GONE,
        };
        let problem = Self::new(status, rejection.code(), rejection.to_string()).with_errors(rejection.faults());
        match rejection.kind() {
            Kind::PreconditionFailed { current } => problem.with_header(header::ETAG, etag(current)),
            _ => problem,
        }
    }
}

/// A failure is a fault of ours: its cause goes to the log, and neutral words to the client.
impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        match &failure {
            Failure::Unavailable { what, cause } => {
                tracing::warn!(what, cause, "not available");
                Self::unavailable(
                    "unavailable",
                    format!("{what} is not available: try again (a command with the same Idempotency-Key)"),
                )
            }
            Failure::Damaged { .. } | Failure::Missing { .. } => {
                tracing::error!(%failure, "a request could not be answered");
                let detail = "the stored record did not pass its checks, so nothing was done: tell an operator";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
            }
        }
    }
}

/// Why an append did not happen.
impl From<AppendError> for Problem {
    fn from(error: AppendError) -> Self {
        let detail = error.to_string();
        match error {
            AppendError::Conflict => Self::unavailable("contended", "too many others write here at once: try again"),
            AppendError::Erased(_) => Self::new(StatusCode::GONE, "erased", detail),
            AppendError::TooLarge { .. } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail),
            AppendError::Failed(failure) => failure.into(),
        }
    }
}

/// A text that is not an id. The error names the rule, never the text.
impl From<InvalidId> for Problem {
    fn from(invalid: InvalidId) -> Self {
        Self::bad_request("invalid-id", invalid.to_string())
    }
}
