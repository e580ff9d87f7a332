//! Who has looked at a participant, and what a user was shown.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use serde::Deserialize;

use crate::fields::encoded;
use crate::frame::{Frame, Visit, page};
use crate::model::{List, Shown};
use crate::trouble::Trouble;

/// How many entries a page shows.
const PAGE: usize = 100;

/// An entry of the access log, as far as a page reads it.
#[derive(Deserialize)]
pub(crate) struct Entry {
    at: String,
    actor: Actor,
    view: String,
    outcome: String,
    purpose: String,
    study: Option<String>,
    participants: Vec<String>,
    named: u64,
    scopes: Vec<String>,
    address: Option<Shown>,
    agent: Option<Shown>,
}

#[derive(Deserialize)]
struct Actor {
    id: String,
    role: String,
    organisation: String,
}

impl Entry {
    /// How many others the same answer named.
    fn others(&self) -> u64 {
        self.named.saturating_sub(1)
    }
}

#[derive(Template)]
#[template(path = "access.html")]
struct Page {
    f: Frame,
    /// Whom the page is about.
    whom: String,
    /// Whether that is a participant, and in which study.
    of: Option<(String, String)>,
    entries: Vec<Entry>,
    next: Option<String>,
}

/// `GET /desk/studies/{study}/participants/{participant}/access`.
pub(crate) async fn of_participant(visit: Visit, Path(place): Path<(String, String)>) -> Result<Response, Trouble> {
    let (study, participant) = &place;
    let path = format!("/v1/studies/{}/participants/{}/access", encoded(study), encoded(participant));
    let List { items, next } = asked(&visit, &path).await?;
    let f = visit.frame("participants").of_study(study);
    let shown = Page { f, whom: participant.clone(), of: Some(place.clone()), entries: items, next };
    Ok(page(&shown.f, &shown))
}

/// `GET /desk/access/{user}`.
pub(crate) async fn of_user(visit: Visit, Path(user): Path<String>) -> Result<Response, Trouble> {
    let List { items, next } = asked(&visit, &format!("/v1/users/{}/access", encoded(&user))).await?;
    let shown = Page { f: visit.frame("users"), whom: user, of: None, entries: items, next };
    Ok(page(&shown.f, &shown))
}

async fn asked(visit: &Visit, path: &str) -> Result<List<Entry>, Trouble> {
    let from = visit.asked.some("from").map(|from| format!("&cursor={}", encoded(from))).unwrap_or_default();
    let mut list: List<Entry> = visit.api.get(&visit.since(&format!("{path}?limit={PAGE}{from}"))).await?;
    list.next = list.next.map(|next| format!("?from={}", encoded(&next)));
    Ok(list)
}
