//! How an answer looks: JSON, the position it reflects, and never in anybody's cache.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Json, Response};
use domain::history::Position;
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
        reflecting(&self.reflected, Json(self.body))
    }
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
