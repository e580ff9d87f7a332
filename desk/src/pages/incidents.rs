//! What looked like an attack or a misuse, and what was found out.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::on_to;
use crate::fields::{Fields, encoded};
use crate::frame::{Frame, Visit, page};
use crate::model::List;
use crate::trouble::{Refused, Trouble};

/// What can be found out.
const FINDINGS: [&str; 6] = ["false-alarm", "mistake", "misuse", "attack-repelled", "breach", "exercise"];

/// An incident, as far as a page reads it.
#[derive(Deserialize)]
pub(crate) struct Incident {
    incident: String,
    alert: Alert,
    opened_at: String,
    acknowledged: Option<serde_json::Value>,
    finding: Option<String>,
    reference: Option<String>,
}

#[derive(Deserialize)]
struct Alert {
    rule: String,
    user: Option<String>,
    count: u64,
    since: String,
    until: String,
}

#[derive(Template)]
#[template(path = "incidents.html")]
struct Page {
    f: Frame,
    incidents: Vec<Incident>,
    findings: [&'static str; 6],
}

/// `GET /desk/incidents`.
pub(crate) async fn show(visit: Visit) -> Result<Response, Trouble> {
    shown(&visit, None).await
}

async fn shown(visit: &Visit, refused: Option<Refused>) -> Result<Response, Trouble> {
    let List { items, .. } = visit.api.get(&visit.since("/v1/incidents")).await?;
    let shown = Page { f: visit.frame("incidents").but(refused), incidents: items, findings: FINDINGS };
    Ok(page(&shown.f, &shown))
}

/// `POST /desk/incidents/{incident}`: says that somebody looks into it, or what was found out.
pub(crate) async fn act(visit: Visit, Path(incident): Path<String>, fields: Fields) -> Result<Response, Trouble> {
    let (command, done) = match fields.text("do") {
        "close" => {
            let (finding, reference) = (fields.text("finding"), fields.some("reference"));
            (json!({"type": "close", "finding": finding, "reference": reference}), "incident-closed")
        }
        _ => (json!({"type": "acknowledge"}), "incident-acknowledged"),
    };
    match visit.api.post(&format!("/v1/incidents/{}", encoded(&incident)), &command).await {
        Ok(answer) => Ok(on_to("/desk/incidents", done, &answer)),
        Err(Trouble::Refused(refused)) => shown(&visit, Some(refused)).await,
        Err(trouble) => Err(trouble),
    }
}
