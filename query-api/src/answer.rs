//! How an answer looks: JSON, the position it reflects, whom it names, and never in anybody's cache.

use std::collections::BTreeSet;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::history::Position;
use domain::ids::ParticipantId;
use domain::port::Failure;
use edge::Problem;
use edge::headers::{LETHE_POSITION, positions_value};
use projection_svc::Page;
use serde::Serialize;
use utoipa::ToSchema;

/// An answer with the position that it reflects.
pub(crate) struct Answer<T> {
    pub(crate) reflected: Vec<Position>,
    pub(crate) body: T,
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let body = match serde_json::to_vec(&self.body) {
            Ok(body) => body,
            Err(fault) => return Problem::from(Failure::damaged("an answer", fault)).into_response(),
        };
        let named = named(&body);
        let json = [(header::CONTENT_TYPE, "application/json")];
        naming(named, reflecting(&self.reflected, (StatusCode::OK, json, body)))
    }
}

/// The participants whom an answer names, for the access log. It travels with the response and is not sent.
#[derive(Debug, Clone)]
pub(crate) struct Names(pub(crate) BTreeSet<ParticipantId>);

/// Says whom an answer names that is not made by [`Answer`].
pub(crate) fn naming(participants: impl IntoIterator<Item = ParticipantId>, mut response: Response) -> Response {
    response.extensions_mut().insert(Names(participants.into_iter().collect()));
    response
}

/// How a participant stands in an answer. Within a text the quotes would be escaped, so that no value looks like one.
const NAMED: &[u8] = b"\"participant\":\"";

/// Whom an answer names, read off the answer itself: so no view can forget anybody.
pub(crate) fn named(json: &[u8]) -> BTreeSet<ParticipantId> {
    let mut found = BTreeSet::new();
    let mut rest = json;
    while let Some(at) = find(rest, NAMED) {
        rest = &rest[at + NAMED.len()..];
        let id: Option<ParticipantId> = rest.get(..36).and_then(|id| std::str::from_utf8(id).ok()?.parse().ok());
        found.extend(id);
    }
    found
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    // The first letter of what is wanted is a quote, of which a text is full; its third is rare enough.
    let rare = 3;
    let mut from = rare;
    while let Some(at) = text.get(from..)?.iter().position(|byte| *byte == wanted[rare]) {
        let start = from + at - rare;
        if text[start..].starts_with(wanted) {
            return Some(start);
        }
        from += at + 1;
    }
    None
}

/// The same for a body that is not made here.
pub(crate) fn reflecting(reflected: &[Position], answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    let headers = response.headers_mut();
    headers.insert(LETHE_POSITION, positions_value(reflected));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// One page of a list.
#[derive(Serialize, ToSchema)]
pub(crate) struct List<T> {
    /// The entries.
    items: Vec<T>,
    /// The `cursor` of the next page; null: this was the last.
    next: Option<String>,
}

impl<T> List<T> {
    /// Changes what is on it.
    pub(crate) fn each(&mut self, change: impl FnMut(&mut T)) {
        self.items.iter_mut().for_each(change);
    }

    /// A list that always fits on one page.
    pub(crate) fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }
}

impl<T> From<Page<T>> for List<T> {
    fn from(page: Page<T>) -> Self {
        Self { items: page.items, next: page.next.map(|next| edge::cursor::encode(next.as_bytes())) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn whom_an_answer_names_is_read_off_it_and_no_value_looks_like_a_name() {
        let one = |n| Uuid::from_u128(n);
        let body = json!({
            "items": [{"participant": one(1), "value": format!("\"participant\":\"{}\"", one(9))}, {"participant": one(2)}],
            "deep": {"more": {"participant": one(1)}},
            "participant": "nobody",
        });
        let found = named(&serde_json::to_vec(&body).expect("plain data"));
        assert_eq!(found, [1, 2].map(|n| ParticipantId(one(n))).into());
        assert_eq!(named(b"\"participant\":\""), BTreeSet::new());
        assert_eq!(named(b""), BTreeSet::new());
    }
}
