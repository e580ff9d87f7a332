//! What a page loads: all of it from here, and part of the program.

use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::trouble::Trouble;

/// Name, media type and text of each.
const FILES: [(&str, &str, &str); 6] = [
    ("desk.css", "text/css; charset=utf-8", include_str!("../assets/desk.css")),
    ("desk.js", "text/javascript; charset=utf-8", include_str!("../assets/desk.js")),
    ("live.js", "text/javascript; charset=utf-8", include_str!("../assets/live.js")),
    ("htmx.js", "text/javascript; charset=utf-8", include_str!("../assets/htmx-4.0.1.min.js")),
    ("passkey.js", "text/javascript; charset=utf-8", include_str!("../assets/passkey.js")),
    ("icon.svg", "image/svg+xml", include_str!("../assets/icon.svg")),
];

/// `GET /desk/assets/{file}`.
pub(crate) async fn file(Path(name): Path<String>) -> Result<Response, Trouble> {
    let (_, kind, text) = FILES.iter().find(|(file, ..)| *file == name).ok_or_else(Trouble::not_there)?;
    let headers = [(header::CONTENT_TYPE, *kind), (header::CACHE_CONTROL, "public, max-age=300")];
    Ok((headers, *text).into_response())
}
