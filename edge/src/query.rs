//! Query parameters, strictly: an unknown or malformed one is refused, and its text is not repeated.

use axum::extract::{FromRequestParts, Query};
use axum::http::Uri;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// The query parameters of a request.
#[derive(Debug, Clone)]
pub struct Parameters<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(_) => Err(invalid()),
        }
    }
}

fn invalid() -> Problem {
    let detail = "a query parameter is unknown, stands twice or has the wrong form: see /openapi.json";
    Problem::bad_request("invalid-query", detail)
}

/// The same where the parameter `list` may stand more than once: it is read as one with commas between.
///
/// # Errors
/// What is unknown or has the wrong form.
pub fn with_list<T: DeserializeOwned>(query: &str, list: &str) -> Result<T, Problem> {
    let of_list = |pair: &&str| pair.split_once('=').is_some_and(|(name, _)| name == list);
    let (listed, mut pairs): (Vec<&str>, Vec<&str>) =
        query.split('&').filter(|pair| !pair.is_empty()).partition(|pair| of_list(pair));
    let values: Vec<&str> = listed.iter().filter_map(|pair| Some(pair.split_once('=')?.1)).collect();
    let joined = format!("{list}={}", values.join(","));
    pairs.extend((!values.is_empty()).then_some(joined.as_str()));
    let address: Uri = format!("/?{}", pairs.join("&")).parse().map_err(|_| invalid())?;
    Query::<T>::try_from_uri(&address).map(|Query(parameters)| parameters).map_err(|_| invalid())
}

#[test]
fn a_list_may_stand_more_than_once_and_nothing_else() {
    type Pairs = std::collections::BTreeMap<String, String>;
    let read = |query: &str| with_list::<Pairs>(query, "kind").map(|found| found.get("kind").cloned());
    assert_eq!(read("").expect("nothing"), None);
    assert_eq!(read("a=1&kind=x%26y&kind=z,w").expect("a list").as_deref(), Some("x&y,z,w"));
    #[derive(Debug, serde::Deserialize)]
    struct One {
        #[serde(rename = "a")]
        _a: Option<String>,
    }
    assert!(with_list::<One>("a=1&kind=x", "kind").is_ok() && with_list::<One>("a=1&a=2", "kind").is_err());
}
