//! What is asked about the data: read, answered, closed.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use serde_json::json;

use super::on_to;
use crate::fields::{Fields, encoded};
use crate::frame::{Frame, Visit, page};
use crate::model::{Design, List, Query};
use crate::trouble::{Refused, Trouble};

/// How many queries a page shows.
const PAGE: usize = 50;

const STATES: [&str; 6] = ["open", "answered", "forwarded", "reopened", "candidate", "closed"];

struct Asked {
    query: Query,
    place: String,
    open: bool,
}

#[derive(Template)]
#[template(path = "queries.html")]
struct Shown {
    f: Frame,
    study: String,
    states: [&'static str; 6],
    state: String,
    site: String,
    participant: String,
    queries: Vec<Asked>,
    next: Option<String>,
}

/// `GET /desk/studies/{study}/queries`.
pub(crate) async fn show(visit: Visit, Path(study): Path<String>) -> Result<Response, Trouble> {
    shown(&visit, &study, None).await
}

async fn shown(visit: &Visit, study: &str, refused: Option<Refused>) -> Result<Response, Trouble> {
    let base = format!("/v1/studies/{}", encoded(study));
    let part = |name: &str| visit.asked.some(name).map(|text| format!("&{name}={}", encoded(text)));
    let only: String = ["state", "site", "participant", "cursor"].into_iter().filter_map(part).collect();
    let path = visit.since(&format!("{base}/queries?limit={PAGE}{only}"));
    let design = format!("{base}/design");
    let (list, design) = tokio::try_join!(visit.api.get::<List<Query>>(&path), visit.api.find::<Design>(&design))?;
    let (design, language) = (design.unwrap_or_default(), visit.words.language);
    let asked = |query: Query| {
        let place = &query.place;
        let names = [
            place.visit.as_deref().map(|visit| design.visit_name(visit)),
            place.form.as_deref().map(|form| design.form_name(form)),
            place.item.as_deref().map(|item| design.item_name(item, language)),
        ];
        let place = names.into_iter().flatten().collect::<Vec<_>>().join(" · ");
        Asked { open: super::casebook::is_open(&query.state), place, query }
    };
    let shown = Shown {
        f: visit.frame("queries").of_study(study).live().but(refused),
        study: study.to_owned(),
        states: STATES,
        state: visit.asked.text("state").to_owned(),
        site: visit.asked.text("site").to_owned(),
        participant: visit.asked.text("participant").to_owned(),
        queries: list.items.into_iter().map(asked).collect(),
        next: list.next,
    };
    Ok(page(&shown.f, &shown))
}

/// `POST …/queries/{participant}/{query}`: answers, closes, reopens, cancels.
pub(crate) async fn act(
    visit: Visit,
    Path((study, participant, query)): Path<(String, String, String)>,
    fields: Fields,
) -> Result<Response, Trouble> {
    let what = fields.text("do").to_owned();
    let mut command = json!({"type": what, "query": query});
    if let Some(text) = fields.some("text") {
        command["text"] = text.into();
    }
    let path = format!("/v1/studies/{}/participants/{}", encoded(&study), encoded(&participant));
    match visit.api.post(&path, &command).await {
        Ok(answer) => {
            // Who answers where the value stands goes on there.
            let to = match fields.text("back") {
                "casebook" => format!("/desk/studies/{}/participants/{}", encoded(&study), encoded(&participant)),
                _ => format!("/desk/studies/{}/queries?participant={}", encoded(&study), encoded(&participant)),
            };
            Ok(on_to(&to, "query", &answer))
        }
        Err(Trouble::Refused(refused)) => shown(&visit, &study, Some(refused)).await,
        Err(trouble) => Err(trouble),
    }
}
