//! What a person waits for: the overview of a large study as a page, in a session, with all its figures and pictures.
//!
//! `desk.overview` is asked by one browser again and again: the study stands still, so its figures were counted a moment ago. Beside
//! it stands `fresh`: the first page for a reader who reaches other sites than anybody before, so that every figure is counted anew.

use std::sync::Arc;
use std::time::Instant;

use domain::permit::Sites;
use domain::port::Clock as _;
use infra::chance::SystemClock;
use infra::secrets::shown_by_authenticator;
use serde_json::json;

use super::Plan;
use super::figures::{Figure, Figures, median};
use super::ground::{SITES, STUDY, Scene, site};
use super::views::View;
use crate::cli::{CliError, Client};
use crate::platform::random_id;

/// The mark of the page that is meant: a refusal would be a page, too.
const MARK: &str = "id=\"figures\"";

pub(super) async fn measure(plan: &Plan, scene: &Scene, figures: &mut Figures) -> Result<(), CliError> {
    let path = format!("/desk/studies/{STUDY}");
    let controller = scene.controller().await?;
    note!(
        "desk.overview: {} readers of other sites, then {} rounds of {} requests",
        plan.rounds,
        plan.rounds,
        plan.requests
    );
    let mut fresh = Vec::new();
    for without in 0..plan.rounds as u32 {
        let others = (0..SITES).filter(|n| *n != without % SITES).map(site);
        let others = others.filter_map(|site| site.parse().ok()).collect();
        let reader = session(&controller, &Sites::Only(others)).await?;
        let began = Instant::now();
        page(&reader, &path).await?;
        fresh.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    let client = session(&controller, &Sites::All).await?;
    page(&client, &path).await?;
    let view = View { name: "desk.overview", client, paths: Arc::new(vec![path]) };
    let mut figure: Figure = view.measure(plan).await?;
    figure.more.push(("fresh", median(fresh).0));
    figures.results.push(figure);
    let path = format!("/v1/studies/{STUDY}/overview");
    let view = View { name: "query.overview", client: scene.manager.clone(), paths: Arc::new(vec![path]) };
    figures.results.push(view.measure(plan).await?);
    Ok(())
}

async fn page(client: &Client, path: &str) -> Result<(), CliError> {
    let text = client.text(path).await?;
    if text.contains(MARK) { Ok(()) } else { Err(CliError::failed("the overview", "it is another page")) }
}

/// A data manager who was invited and opened an account, as a browser.
async fn session(controller: &Client, sites: &Sites) -> Result<Client, CliError> {
    let right = json!({"role": "data-manager", "environment": "TEST", "organisation": "own", "sites": sites});
    let invited = controller.post("/v1/users", &json!({"name": "A reader", "right": right})).await?.body;
    let link = invited["link"].as_str().unwrap_or_default();
    let nobody = controller.with_token("");
    let looked = nobody.post("/v1/links/look", &json!({ "link": link })).await?.body;
    let secret = looked["one_time_secret"].as_str().unwrap_or_default();
    let code = shown_by_authenticator(secret, SystemClock.now()).unwrap_or_default();
    let login = format!("reader-{}", random_id().simple());
    let opened = json!({"link": link, "login": login, "password": "only for a benchmark", "code": code});
    let opened = nobody.post("/v1/links/use", &opened).await?.body;
    controller.with_session(opened["token"].as_str().unwrap_or_default())
}
