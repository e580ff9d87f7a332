//! Why a command was not carried out.

use std::fmt;

use axum::http::StatusCode;
use domain::field::Malformed;
use domain::history::{Revision, StreamId};
use domain::port::{AppendError, Failure};
use domain::rejection::{Fault, Kind, Rejection};
use domain::scope::Scope;
use edge::Problem;

/// An answer that is no success, or a fault of ours. In both cases nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The role may not send this command.
    #[error("the role of this credential may not send {0}")]
    Forbidden(String),
    /// Unknown, of another tenant, or in another environment.
    #[error("there is no such study for this credential")]
    NoSuchStudy,
    /// The command id stands for another body.
    #[error("this Idempotency-Key was used before, with another body: choose a new one")]
    KeyReused,
    /// The aggregate said no.
    #[error("{0}")]
    Rejected(Answer),
    /// A value was sent for a scope that is erased.
    #[error("the scope {0} of this person has been erased: nothing of it is taken any more")]
    Erased(Scope),
    /// The commit would be too large.
    #[error("a command's commit may be {max} bytes, this one has {size}: send it in smaller commands")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The largest allowed, in bytes.
        max: usize,
    },
    /// Others wrote to the same stream all the time.
    #[error("too many others write here at once: try again")]
    Contended,
    /// The world failed.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// What an aggregate answered.
#[derive(Debug, Clone)]
pub struct Answer {
    code: &'static str,
    kind: Kind,
    sentence: String,
    faults: Vec<Fault>,
}

impl Answer {
    /// The answer of any aggregate.
    pub fn of(rejection: &dyn Rejection) -> Self {
        Self {
            code: rejection.code(),
            kind: rejection.kind(),
            sentence: rejection.to_string(),
            faults: rejection.faults(),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl Rejection for Answer {
    fn code(&self) -> &'static str {
        self.code
    }
    fn kind(&self) -> Kind {
        self.kind
    }
    fn faults(&self) -> Vec<Fault> {
        self.faults.clone()
    }
}

impl Refusal {
    /// `If-Match` names another revision than the current one.
    pub(crate) fn tag_differs(current: Revision) -> Self {
        Self::Rejected(Answer {
            code: "tag-differs",
            kind: Kind::PreconditionFailed { current },
            sentence: "it has changed: read it again and decide anew".into(),
            faults: Vec::new(),
        })
    }

    /// A stored event of `stream` does not have the shape that its type promises.
    pub(crate) fn malformed(stream: &StreamId, fault: &Malformed) -> Self {
        Self::Failed(Failure::damaged(stream, fault))
    }

    /// What is counted: an answer, or a fault.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::Erased(_) => "erased",
            Self::Rejected(rejection) if rejection.kind() == Kind::Erased => "erased",
            Self::Contended => "conflict",
            Self::Failed(_) => "failed",
            Self::Forbidden(_) | Self::NoSuchStudy | Self::KeyReused | Self::Rejected(_) | Self::TooLarge { .. } => {
                "rejected"
            }
        }
    }
}

/// The append of a decided commit. A conflict is answered by deciding anew; see [`crate::execute`].
impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Conflict => Self::Contended,
            AppendError::Erased(scope) => Self::Erased(scope),
            AppendError::TooLarge { size, max } => Self::TooLarge { size, max },
            AppendError::Failed(failure) => Self::Failed(failure),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            Refusal::Forbidden(_) => Self::forbidden(detail),
            Refusal::NoSuchStudy => Self::no_such_study(),
            Refusal::KeyReused => Self::invalid("idempotency-key-reused", detail),
            Refusal::Rejected(rejection) => Self::from(&rejection as &dyn Rejection),
            Refusal::Erased(_) => Self::new(StatusCode::GONE, "erased", detail),
            Refusal::TooLarge { .. } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail),
            Refusal::Contended => AppendError::Conflict.into(),
            Refusal::Failed(failure) => failure.into(),
        }
    }
}
