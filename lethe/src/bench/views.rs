//! What dashboards ask, asked many times by several clients, and beside it the same bytes from a server that does
//! nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use serde_json::Value;

use super::Plan;
use super::figures::{Figure, Figures, median, percentile};
use super::fill::participant;
use super::ground::{STUDY, Scene, site};
use super::still::Still;
use crate::cli::{CliError, Client};

/// How many cursors of a list are gone through, so that not the same page is asked for again and again.
const PAGES: usize = 20;

/// A view with the addresses that are asked in turn.
pub(super) struct View {
    pub(super) name: &'static str,
    pub(super) client: Client,
    pub(super) paths: Arc<Vec<String>>,
}

pub(super) async fn measure(plan: &Plan, scene: &Scene, figures: &mut Figures) -> Result<(), CliError> {
    for view in views(plan, scene).await? {
        note!("{}: {} rounds of {} requests", view.name, plan.rounds, plan.requests);
        figures.results.push(view.measure(plan).await?);
    }
    Ok(())
}

async fn views(plan: &Plan, scene: &Scene) -> Result<Vec<View>, CliError> {
    let (manager, local) = (&scene.manager, &scene.of_one_site);
    let at = |rest: &str| format!("/v1/studies/{STUDY}{rest}");
    // A step that has no factor in common with the number of sites reaches participants of all of them.
    let people: Vec<_> = (0..plan.requests as u32).map(|k| participant(k * 37 % plan.participants)).collect();
    let of_people = |path: &dyn Fn(&uuid::Uuid) -> String| Arc::new(people.iter().map(path).collect::<Vec<_>>());
    let one_of_many = site(3);
    let lists = [
        ("query.matrix", manager, at("/matrix?limit=100")),
        ("query.matrix-of-a-site", local, at("/matrix?limit=100")),
        ("query.queries", manager, at("/queries?limit=100")),
        ("query.queries-answered", manager, at("/queries?limit=100&state=answered")),
        ("query.queries-open-at-a-site", manager, at(&format!("/queries?limit=100&state=open&site={one_of_many}"))),
        ("query.queries-of-a-site-user", local, at("/queries?limit=100")),
        ("query.participants", manager, at("/participants?limit=100")),
    ];
    let mut views = Vec::new();
    for (name, client, path) in lists {
        views.push(View { name, client: client.clone(), paths: Arc::new(pages(client, &path).await?) });
    }
    let casebook = |id: &uuid::Uuid| at(&format!("/participants/{id}/casebook"));
    views.push(View { name: "query.casebook", client: manager.clone(), paths: of_people(&casebook) });
    let queries = |id: &uuid::Uuid| at(&format!("/queries?participant={id}"));
    views.push(View { name: "query.queries-of-a-participant", client: manager.clone(), paths: of_people(&queries) });
    Ok(views)
}

/// The addresses of the first pages of a list.
async fn pages(client: &Client, path: &str) -> Result<Vec<String>, CliError> {
    let mut paths = vec![path.to_owned()];
    while paths.len() < PAGES {
        let page = client.get(paths.last().expect("never empty")).await?.body;
        match page["next"].as_str() {
            Some(next) => paths.push(format!("{path}&cursor={next}")),
            None => break,
        }
    }
    Ok(paths)
}

impl View {
    pub(super) async fn measure(&self, plan: &Plan) -> Result<Figure, CliError> {
        let first = self.client.text(&self.paths[0]).await?;
        let entries = serde_json::from_str(&first).ok().map(|body: Value| count(&body)).unwrap_or_default();
        let still = Still::serve(Bytes::from(first.clone())).await?;
        let (still_client, still_path) = (self.client.at(&still.url()), Arc::new(vec!["/".to_owned()]));
        // Connections, caches, code: what is measured is a platform that runs.
        ask(&self.client, &self.paths, plan.clients, plan.requests / 4 + 1).await?;
        let (mut ours, mut raw, mut all, mut rates) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..plan.rounds {
            let began = Instant::now();
            let mut times = ask(&self.client, &self.paths, plan.clients, plan.requests).await?;
            rates.push(times.len() as f64 / began.elapsed().as_secs_f64());
            ours.push(percentile(&mut times, 0.99));
            all.append(&mut times);
            raw.push(percentile(&mut ask(&still_client, &still_path, plan.clients, plan.requests).await?, 0.99));
        }
        let ((ours, spread), (raw, _), (rate, _)) = (median(ours), median(raw), median(rates));
        let more = vec![
            ("p50", percentile(&mut all, 0.5)),
            ("p99_of_all", percentile(&mut all, 0.99)),
            ("max", percentile(&mut all, 1.0)),
            ("per_second", rate),
            ("kib", first.len() as f64 / 1024.0),
            ("entries", entries as f64),
        ];
        Ok(Figure { name: self.name.to_owned(), ours, raw, unit: "ms p99", spread, more })
    }
}

/// How much is on a page: entries of a list, values of a casebook.
fn count(body: &Value) -> usize {
    let len = |value: &Value| value.as_array().map(Vec::len);
    let forms = || body["forms"].as_array().into_iter().flatten();
    len(&body["items"]).unwrap_or_else(|| forms().filter_map(|form| len(&form["items"])).sum())
}

/// Asks `requests` times in all, `clients` at a time: each as soon as its last answer is there. How long each took.
pub(super) async fn ask(
    client: &Client,
    paths: &Arc<Vec<String>>,
    clients: usize,
    requests: usize,
) -> Result<Vec<Duration>, CliError> {
    let next = Arc::new(AtomicUsize::new(0));
    let asking: Vec<_> = (0..clients)
        .map(|_| {
            let (client, paths, next) = (client.clone(), Arc::clone(paths), Arc::clone(&next));
            tokio::spawn(async move {
                let mut times = Vec::new();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= requests {
                        return Ok::<_, crate::cli::ApiError>(times);
                    }
                    let began = Instant::now();
                    client.text(&paths[n % paths.len()]).await?;
                    times.push(began.elapsed());
                }
            })
        })
        .collect();
    let mut times = Vec::with_capacity(requests);
    for one in asking {
        times.extend(one.await.map_err(|error| CliError::failed("a client", error))??);
    }
    Ok(times)
}
