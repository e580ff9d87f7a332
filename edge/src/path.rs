//! Ids in addresses.

use axum::extract::FromRequestParts;
use axum::extract::path::{ErrorKind, Path};
use axum::extract::rejection::PathRejection;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// The typed ids of an address, such as `Ids<(StudyId, ParticipantId)>`.
#[derive(Debug, Clone)]
pub struct Ids<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Ids<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(ids)) => Ok(Self(ids)),
            Err(rejection) => Err(Problem::bad_request("invalid-id", explain(rejection))),
        }
    }
}

/// Our own ids explain themselves without repeating the text; other messages may repeat it.
fn explain(rejection: PathRejection) -> String {
    let ours = match rejection {
        PathRejection::FailedToDeserializePathParams(fault) => match fault.into_kind() {
            ErrorKind::DeserializeError { message, .. } | ErrorKind::Message(message) => Some(message),
            _ => None,
        },
        _ => None,
    };
    ours.filter(|message| message.starts_with("not a valid "))
        .unwrap_or_else(|| "an id in the address does not have the right form: a participant id is a UUID".into())
}
