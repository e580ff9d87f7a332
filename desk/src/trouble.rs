//! Why a page is not shown.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

/// Why a page is not shown, or a command was not carried out.
#[derive(Debug, Clone)]
pub(crate) enum Trouble {
    /// Nobody is signed in.
    SignIn,
    /// The API said no.
    Refused(Refused),
}

/// A refusal of the API, as a page says it.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) code: String,
    pub(crate) detail: String,
    pub(crate) faults: Vec<Fault>,
    retry_after: Option<HeaderValue>,
}

/// One fault in what was sent.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Fault {
    pub(crate) pointer: String,
    pub(crate) detail: String,
}

#[derive(Deserialize)]
struct Problem {
    code: String,
    detail: String,
    #[serde(default)]
    errors: Vec<Fault>,
}

impl Trouble {
    /// Reads a refusal of the API.
    pub(crate) fn refused(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let Ok(Problem { code, detail, errors }) = serde_json::from_slice(body) else { return Self::internal() };
        // The session ended since the page was asked for. At the door itself 401 means something else.
        if status == StatusCode::UNAUTHORIZED && code == "unauthorized" {
            return Self::SignIn;
        }
        let retry_after = headers.get(header::RETRY_AFTER).cloned();
        Self::Refused(Refused { status, code, detail, faults: errors, retry_after })
    }

    /// A refusal of the desk's own; `detail` is a text of the words.
    pub(crate) fn own(status: StatusCode, code: &str, detail: &str) -> Self {
        let (code, detail) = (code.to_owned(), detail.to_owned());
        Self::Refused(Refused { status, code, detail, faults: Vec::new(), retry_after: None })
    }

    /// Something that cannot be is so; the log says what.
    pub(crate) fn internal() -> Self {
        Self::own(StatusCode::INTERNAL_SERVER_ERROR, "internal", "")
    }

    /// There is no such page.
    pub(crate) fn not_there() -> Self {
        Self::own(StatusCode::NOT_FOUND, "no-such-page", "")
    }
}

impl Refused {
    /// The status, and when to try again.
    pub(crate) fn mark(&self, mut response: Response) -> Response {
        *response.status_mut() = self.status;
        if let Some(seconds) = &self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.clone());
        }
        response
    }
}

/// Goes out bare; `frame::framed` makes a page of it, because only there it is known whose.
impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        match &self {
            Self::SignIn => Redirect::to("/sign-in").into_response(),
            Self::Refused(refused) => {
                let mut response = refused.mark(StatusCode::OK.into_response());
                response.extensions_mut().insert(self.clone());
                response
            }
        }
    }
}
