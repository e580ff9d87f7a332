//! Marker commits: what a read model must forget, whatever it shows.

use domain::history::{Commit, DataSubject};
use domain::port::Failure;
use domain::scope::{Extent, OneValue, Scope};
use domain::upcast::upcast;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The event that an erasure leaves in every stream of the person it was about.
const SCOPES_FENCED: &str = "scopes-fenced";

/// Whose values end with this commit, of which scopes and which single ones, if it is a marker.
///
/// # Errors
/// A marker that does not name what it is about is `Damaged`: passing over it would keep what must go.
pub(crate) fn erased_by(commit: &Commit) -> Result<Option<(DataSubject, Extent)>, Failure> {
    let mut extent = Extent::default();
    for event in commit.events.iter().filter(|event| event.kind.name == SCOPES_FENCED) {
        let event = upcast(commit.header.stream.aggregate, event);
        let (scopes, values) = (named::<Scope>(&event.body, "scopes"), named::<OneValue>(&event.body, "values"));
        let (Some(scopes), Some(values)) = (scopes, values) else {
            return Err(damaged(commit, "a marker does not name its scopes"));
        };
        extent.scopes.extend(scopes);
        extent.values.extend(values);
    }
    if extent.is_empty() {
        return Ok(None);
    }
    match commit.header.stream.data_subject() {
        Some(person) => Ok(Some((person, extent))),
        None => Err(damaged(commit, "a marker stands in a stream about nobody")),
    }
}

fn named<T: DeserializeOwned>(body: &Value, list: &str) -> Option<Vec<T>> {
    Vec::deserialize(body.get(list)?).ok()
}

fn damaged(commit: &Commit, detail: &str) -> Failure {
    Failure::damaged(format!("commit {} of {}", commit.header.revision, commit.header.stream), detail)
}
