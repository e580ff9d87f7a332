//! Marker commits: what a read model must forget, whatever it shows.

use std::collections::BTreeSet;

use domain::history::{Commit, DataSubject};
use domain::port::Failure;
use domain::scope::Scope;
use serde::Deserialize;

/// The event that an erasure leaves in every stream of the person it was about.
const SCOPES_FENCED: &str = "scopes-fenced";

/// Whose values of which scopes end with this commit, if it is a marker.
///
/// # Errors
/// A marker that does not name its scopes is `Damaged`: passing over it would keep what must go.
pub(crate) fn erased_by(commit: &Commit) -> Result<Option<(DataSubject, BTreeSet<Scope>)>, Failure> {
    let mut scopes = BTreeSet::new();
    for event in commit.events.iter().filter(|event| event.kind.name == SCOPES_FENCED) {
        let named = event.body.get("scopes").map(BTreeSet::<Scope>::deserialize);
        let Some(Ok(named)) = named else {
            return Err(damaged(commit, "a marker does not name its scopes"));
        };
        scopes.extend(named);
    }
    if scopes.is_empty() {
        return Ok(None);
    }
    match commit.header.stream.data_subject() {
        Some(person) => Ok(Some((person, scopes))),
        None => Err(damaged(commit, "a marker stands in a stream about nobody")),
    }
}

fn damaged(commit: &Commit, detail: &str) -> Failure {
    Failure::damaged(format!("commit {} of {}", commit.header.revision, commit.header.stream), detail)
}
