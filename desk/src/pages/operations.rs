//! How the platform fares: health and figures, read models with their rebuilds, and what stands still.

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::{Value, json};

use super::on_to;
use crate::chart;
use crate::fields::{Fields, encoded};
use crate::frame::{Frame, Visit, page};
use crate::model::List;
use crate::model::operations::{
    Fault, Figures, Finding, Followed, Health, Minute, Projection, Projections, Rebuild, Standstill,
};
use crate::trouble::{Refused, Trouble};

/// A number that matters, at the top.
pub(super) struct Key {
    pub(super) label: &'static str,
    pub(super) value: String,
    pub(super) unit: &'static str,
}

/// A picture, and the table that says the same.
pub(super) struct Panel {
    pub(super) title: &'static str,
    pub(super) picture: String,
    pub(super) legend: Vec<(&'static str, &'static str)>,
    pub(super) head: Vec<&'static str>,
    pub(super) rows: Vec<(String, Vec<String>)>,
}

/// What changes by itself on the first page.
struct Now {
    health: Health,
    keys: Vec<Key>,
    panels: Vec<Panel>,
    measured: bool,
}

#[derive(Template)]
#[template(path = "operations.html")]
struct Shown {
    f: Frame,
    now: Now,
    findings: Vec<Finding>,
    /// How many incidents there are, where the platform keeps a list of them.
    incidents: Option<usize>,
}

#[derive(Template)]
#[template(path = "operations_live.html")]
struct Live {
    f: Frame,
    now: Now,
}

const MIB: u64 = 1024 * 1024;

/// Milliseconds with one place behind the point.
fn milliseconds(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.1}"))
}

async fn now(visit: &Visit, f: &Frame) -> Result<Now, Trouble> {
    let (health, figures) = tokio::try_join!(
        visit.api.get::<Health>("/v1/operations/health"),
        visit.api.get::<Figures>("/v1/operations/figures"),
    )?;
    let last = figures.minutes.last();
    let mut keys = vec![
        Key { label: "ops.behind", value: f.n(&health.behind), unit: "ops.messages" },
        Key {
            label: "ops.appended",
            value: f.n(&last.map_or(0, |minute| minute.appended)),
            unit: "ops.messages-a-minute",
        },
        Key { label: "ops.append-p95", value: milliseconds(last.and_then(|one| one.append_p95_ms)), unit: "ops.ms" },
        Key { label: "ops.command-p95", value: milliseconds(last.and_then(|one| one.command_p95_ms)), unit: "ops.ms" },
    ];
    for (label, bytes) in [("ops.memory", health.memory_bytes), ("ops.nats-memory", health.nats_memory_bytes)] {
        keys.extend(bytes.map(|bytes| Key { label, value: f.n(&(bytes / MIB)), unit: "ops.mib" }));
    }
    let panels = vec![rate(&figures.minutes), latency(&figures.minutes)];
    Ok(Now { health, keys, panels, measured: figures.measured })
}

/// The time of day of a moment.
fn clock(at: &str) -> String {
    at.get(11..16).unwrap_or(at).to_owned()
}

fn rate(minutes: &[Minute]) -> Panel {
    let points: Vec<_> = minutes.iter().map(|minute| (clock(&minute.at), minute.appended)).collect();
    let row = |minute: &Minute| (clock(&minute.at), vec![minute.appended.to_string(), minute.commands.to_string()]);
    Panel {
        title: "ops.rate",
        picture: chart::growth(&points, 0),
        legend: vec![("curve", "ops.appended")],
        head: vec!["ops.minute", "ops.appended", "ops.commands"],
        rows: minutes.iter().rev().map(row).collect(),
    }
}

fn latency(minutes: &[Minute]) -> Panel {
    // The picture counts whole milliseconds, up; the table says them as they are.
    let whole = |minute: &Minute| minute.append_p95_ms.map_or(0, |value| value.ceil() as u64);
    let points: Vec<_> = minutes.iter().map(|minute| (clock(&minute.at), whole(minute))).collect();
    let row = |minute: &Minute| {
        let figures = [minute.append_median_ms, minute.append_p95_ms, minute.command_p95_ms];
        (clock(&minute.at), figures.map(milliseconds).to_vec())
    };
    Panel {
        title: "ops.latency",
        picture: chart::growth(&points, 0),
        legend: vec![("curve", "ops.append-p95")],
        head: vec!["ops.minute", "ops.append-median", "ops.append-p95", "ops.command-p95"],
        rows: minutes.iter().rev().map(row).collect(),
    }
}

/// `GET /desk/operations`. Who may look into journals and nothing else begins there.
pub(crate) async fn show(visit: Visit) -> Result<Response, Trouble> {
    let f = visit.frame("operations");
    if !f.asks("operations.show") && f.asks("operations.journals") {
        return Ok(Redirect::to("/desk/operations/journals").into_response());
    }
    let now = now(&visit, &f).await?;
    let findings: List<Finding> = visit.api.get("/v1/operations/findings").await?;
    let mut findings = findings.items;
    let order = ["unsafe", "weak", "unknown", "good"];
    findings.sort_by_key(|finding| order.iter().position(|verdict| *verdict == finding.verdict));
    let incidents: Option<Value> = visit.api.find("/v1/incidents").await?;
    let incidents = incidents.and_then(|incidents| incidents["items"].as_array().map(Vec::len));
    let shown = Shown { f, now, findings, incidents };
    Ok(page(&shown.f, &shown))
}

/// `GET /desk/operations/live`: the part of the page that changes.
pub(crate) async fn live(visit: Visit) -> Result<Response, Trouble> {
    let f = visit.frame("");
    let shown = Live { now: now(&visit, &f).await?, f };
    Ok(page(&shown.f, &shown))
}

/// The way of a rebuild, in its order.
const WAY: [&str; 5] = ["building", "catching-up", "comparing", "switching", "done"];

impl Rebuild {
    /// The steps, each with whether it was passed.
    pub(crate) fn way(&self) -> Vec<(&'static str, bool)> {
        let at = WAY.iter().position(|stage| *stage == self.stage);
        WAY.iter()
            .enumerate()
            .map(|(step, stage)| (*stage, at.is_some_and(|at| step < at || self.stage == "done")))
            .collect()
    }

    /// Whether it goes on.
    pub(crate) fn goes_on(&self) -> bool {
        self.ended_at.is_none()
    }

    /// How many rows were found to be wrong.
    pub(crate) fn differences(&self) -> u64 {
        self.report.iter().map(|one| one.differences).sum()
    }

    /// How many rows serve now.
    pub(crate) fn rows(&self) -> u64 {
        self.report.iter().map(|one| one.rows).sum()
    }
}

#[derive(Template)]
#[template(path = "projections.html")]
struct Models {
    f: Frame,
    journals: Vec<Followed>,
    models: Vec<Projection>,
    rebuilds: Vec<Rebuild>,
    /// What has to be typed for all of them.
    all: &'static str,
}

#[derive(Template)]
#[template(path = "projections_live.html")]
struct ModelsLive {
    f: Frame,
    journals: Vec<Followed>,
    models: Vec<Projection>,
    rebuilds: Vec<Rebuild>,
}

/// What is typed for all read models.
const ALL: &str = "all";

async fn models(visit: &Visit) -> Result<(Projections, Vec<Rebuild>), Trouble> {
    let (models, rebuilds) = tokio::try_join!(
        visit.api.get::<Projections>("/v1/operations/projections"),
        visit.api.get::<List<Rebuild>>("/v1/operations/rebuilds"),
    )?;
    Ok((models, rebuilds.items))
}

/// `GET /desk/operations/projections`.
pub(crate) async fn projections(visit: Visit) -> Result<Response, Trouble> {
    projections_but(&visit, None).await
}

async fn projections_but(visit: &Visit, refused: Option<Refused>) -> Result<Response, Trouble> {
    let (Projections { journals, items }, rebuilds) = models(visit).await?;
    let mut f = visit.frame("operations-projections").but(refused);
    if rebuilds.first().is_some_and(Rebuild::goes_on) {
        f.again = Some("/desk/operations/projections".to_owned());
    }
    let shown = Models { f, journals, models: items, rebuilds, all: ALL };
    Ok(page(&shown.f, &shown))
}

/// `GET /desk/operations/projections/live`: the part of the page that changes.
pub(crate) async fn projections_live(visit: Visit) -> Result<Response, Trouble> {
    let (Projections { journals, items }, rebuilds) = models(&visit).await?;
    let shown = ModelsLive { f: visit.frame(""), journals, models: items, rebuilds };
    Ok(page(&shown.f, &shown))
}

/// `POST /desk/operations/projections`: orders a rebuild, after its name was typed.
pub(crate) async fn rebuild(visit: Visit, fields: Fields) -> Result<Response, Trouble> {
    let (wanted, typed) = (fields.text("projection"), fields.text("typed"));
    if wanted.is_empty() || typed != wanted {
        let refused = Trouble::own(StatusCode::UNPROCESSABLE_ENTITY, "typed-another-name", "");
        let Trouble::Refused(refused) = refused else { return Err(refused) };
        return projections_but(&visit, Some(refused)).await;
    }
    let body = if wanted == ALL { json!({}) } else { json!({"projection": wanted}) };
    match visit.api.post("/v1/operations/rebuilds", &body).await {
        Ok(answer) => Ok(on_to("/desk/operations/projections", "rebuild-ordered", &answer)),
        Err(Trouble::Refused(refused)) => projections_but(&visit, Some(refused)).await,
        Err(trouble) => Err(trouble),
    }
}

#[derive(Template)]
#[template(path = "standstills.html")]
struct Standstills {
    f: Frame,
    standstills: Vec<Standstill>,
    faults: Vec<Fault>,
}

/// `GET /desk/operations/standstills`.
pub(crate) async fn standstills(visit: Visit) -> Result<Response, Trouble> {
    standstills_but(&visit, None).await
}

async fn standstills_but(visit: &Visit, refused: Option<Refused>) -> Result<Response, Trouble> {
    let (found, health) = tokio::try_join!(
        visit.api.get::<List<Standstill>>("/v1/operations/standstills"),
        visit.api.get::<Health>("/v1/operations/health"),
    )?;
    let faults = health.faults.into_iter().filter(|fault| !fault.code.starts_with("read-models")).collect();
    let shown = Standstills { f: visit.frame("operations-standstills").but(refused), standstills: found.items, faults };
    Ok(page(&shown.f, &shown))
}

/// `POST /desk/operations/standstills/{journal}/retry`.
pub(crate) async fn retry(visit: Visit, Path(journal): Path<String>) -> Result<Response, Trouble> {
    let path = format!("/v1/operations/standstills/{}/retry", encoded(&journal));
    match visit.api.post(&path, &json!({})).await {
        Ok(answer) => Ok(on_to("/desk/operations/standstills", "retried", &answer)),
        Err(Trouble::Refused(refused)) => standstills_but(&visit, Some(refused)).await,
        Err(trouble) => Err(trouble),
    }
}
