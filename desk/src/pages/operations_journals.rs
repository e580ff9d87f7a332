//! The journal browser: journal streams, streams and commits, sealed. Opening one commit is an act with a reason, on record.

use askama::Template;
use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::json;

use super::erasure::factors;
use crate::fields::{Fields, encoded};
use crate::frame::{Frame, Visit, page};
use crate::model::List;
use crate::model::operations::{Commit, Commits, Journal, Kind, Opened, Opening, Stream, Streams};
use crate::trouble::{Refused, Trouble};

/// Why a commit may be opened.
const REASONS: [&str; 4] = ["fault", "incident", "audit", "request-of-the-person"];

#[derive(Template)]
#[template(path = "journals.html")]
struct All {
    f: Frame,
    journals: Vec<Journal>,
    openings: Vec<Opening>,
}

/// `GET /desk/operations/journals`.
pub(crate) async fn all(visit: Visit) -> Result<Response, Trouble> {
    let openings = visit.since("/v1/operations/openings");
    let (journals, openings) = tokio::try_join!(
        visit.api.get::<List<Journal>>("/v1/operations/journals"),
        visit.api.get::<List<Opening>>(&openings),
    )?;
    let shown = All { f: visit.frame("operations-journals"), journals: journals.items, openings: openings.items };
    Ok(page(&shown.f, &shown))
}

#[derive(Template)]
#[template(path = "journal.html")]
struct One {
    f: Frame,
    journal: String,
    kinds: Vec<Kind>,
    streams: Vec<Stream>,
    more_streams: Option<String>,
    /// The kind whose streams are shown.
    kind: String,
    /// The stream whose commits are shown; empty: all.
    stream: String,
    commits: Vec<Commit>,
    next: Option<u64>,
}

/// `GET /desk/operations/journals/{journal}`.
pub(crate) async fn one(visit: Visit, Path(journal): Path<String>) -> Result<Response, Trouble> {
    let base = format!("/v1/operations/journals/{}", encoded(&journal));
    let (kind, stream) = (visit.asked.text("kind").to_owned(), visit.asked.text("stream").to_owned());
    let mut streams = format!("{base}/streams?");
    for (name, value) in [("aggregate", &*kind), ("after", visit.asked.text("after"))] {
        if !value.is_empty() {
            streams += &format!("{name}={}&", encoded(value));
        }
    }
    let mut commits = format!("{base}/commits?limit=50");
    for (name, value) in [("stream", &*stream), ("before", visit.asked.text("before"))] {
        if !value.is_empty() {
            commits += &format!("&{name}={}", encoded(value));
        }
    }
    let streams = streams.trim_end_matches(['?', '&']);
    let (found, commits) = tokio::try_join!(visit.api.get::<Streams>(streams), visit.api.get::<Commits>(&commits))?;
    let shown = One {
        f: visit.frame("operations-journals"),
        journal,
        kinds: found.kinds,
        streams: found.items,
        more_streams: found.next,
        kind,
        stream,
        commits: commits.items,
        next: commits.next,
    };
    Ok(page(&shown.f, &shown))
}

#[derive(Template)]
#[template(path = "commit.html")]
struct Sealed {
    f: Frame,
    journal: String,
    commit: Commit,
    reasons: [&'static str; 4],
    /// What was chosen, if something was.
    reason: String,
    opened: Option<Opened>,
}

/// `GET /desk/operations/journals/{journal}/commits/{sequence}`: sealed.
pub(crate) async fn commit(visit: Visit, Path((journal, sequence)): Path<(String, u64)>) -> Result<Response, Trouble> {
    shown(&visit, journal, sequence, None, None).await
}

async fn shown(
    visit: &Visit,
    journal: String,
    sequence: u64,
    opened: Option<(Opened, String)>,
    refused: Option<Refused>,
) -> Result<Response, Trouble> {
    let before = sequence.saturating_add(1);
    let path = format!("/v1/operations/journals/{}/commits?before={before}&limit=1", encoded(&journal));
    let found: Commits = visit.api.get(&path).await?;
    let commit = found.items.into_iter().find(|commit| commit.sequence == sequence).ok_or_else(Trouble::not_there)?;
    let f = visit.frame("operations-journals").but(refused);
    let (opened, reason) = opened.map_or_else(|| (None, String::new()), |(opened, reason)| (Some(opened), reason));
    let shown = Sealed { f, journal, commit, reasons: REASONS, reason, opened };
    Ok(page(&shown.f, &shown))
}

/// `POST /desk/operations/journals/{journal}/commits/{sequence}`: opens it. What is shown stands in this answer only, so there
/// is no redirect.
pub(crate) async fn open(
    visit: Visit,
    Path((journal, sequence)): Path<(String, u64)>,
    fields: Fields,
) -> Result<Response, Trouble> {
    match opened(&visit, &journal, sequence, &fields).await {
        Ok(opened) => shown(&visit, journal, sequence, Some((opened, fields.text("reason").to_owned())), None).await,
        Err(Trouble::Refused(refused)) => shown(&visit, journal, sequence, None, Some(refused)).await,
        Err(trouble) => Err(trouble),
    }
}

async fn opened(visit: &Visit, journal: &str, sequence: u64, fields: &Fields) -> Result<Opened, Trouble> {
    if fields.raw("password").is_empty() || fields.text("code").is_empty() {
        return Err(Trouble::own(StatusCode::FORBIDDEN, "not-proved", ""));
    }
    let path = format!("/v1/operations/journals/{}/commits/{sequence}/open", encoded(journal));
    let signer = HeaderValue::from_str(&factors(fields)).map_err(|_| Trouble::internal())?;
    let headers = [(edge::headers::LETHE_SIGNER, signer)];
    visit.api.post_with(&path, &json!({"reason": fields.text("reason")}), &headers).await?.read()
}
