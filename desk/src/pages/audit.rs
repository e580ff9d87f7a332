//! The audit trail of a study, with filters.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;

use crate::fields::encoded;
use crate::frame::{Frame, Visit, page};
use crate::model::Entry;
use crate::trouble::Trouble;

/// How many entries a page shows.
const PAGE: usize = 100;

#[derive(Template)]
#[template(path = "audit.html")]
struct Shown {
    f: Frame,
    study: String,
    since: String,
    until: String,
    site: String,
    kind: String,
    user: String,
    entries: Vec<Entry>,
    /// Where the next page goes on, and what this one was narrowed to.
    next: Option<String>,
}

/// `GET /desk/studies/{study}/audit`.
pub(crate) async fn show(visit: Visit, Path(study): Path<String>) -> Result<Response, Trouble> {
    let asked = |name: &str| visit.asked.text(name).to_owned();
    let (since, until) = (asked("since"), asked("until"));
    let mut only = String::new();
    for name in ["site", "kind", "user"] {
        if let Some(text) = visit.asked.some(name) {
            only += &format!("&{name}={}", encoded(text));
        }
    }
    // A day is asked for, and the API takes moments: from its beginning, to its end.
    if !since.is_empty() {
        only += &format!("&since={since}T00:00:00Z");
    }
    if !until.is_empty() {
        only += &format!("&until={until}T23:59:59Z");
    }
    let from = visit.asked.some("from").map(|from| format!("&from={}", encoded(from))).unwrap_or_default();
    let path = format!("/v1/studies/{}/audit?format=ndjson{only}{from}", encoded(&study));
    let lines = visit.api.lines(&path, PAGE).await?;
    let last = lines.last().and_then(|line| line.get("id")?.as_str()).map(str::to_owned);
    let next = last.filter(|_| lines.len() == PAGE).map(|last| {
        let days = format!("&since={}&until={}", encoded(&since), encoded(&until));
        let rest: String =
            ["site", "kind", "user"].map(|name| format!("&{name}={}", encoded(visit.asked.text(name)))).concat();
        format!("?from={}{days}{rest}", encoded(&last))
    });
    let entries = lines.into_iter().filter_map(|line| serde_json::from_value(line).ok()).collect();
    let f = visit.frame("audit").of_study(&study);
    let (site, kind, user) = (asked("site"), asked("kind"), asked("user"));
    let shown = Shown { f, study, since, until, site, kind, user, entries, next };
    Ok(page(&shown.f, &shown))
}
