//! The same by the number of streams: a study of so many participants, each with a consent and one small form, and what
//! commands, a rebuild and a shred take there, with the memory of both processes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::json;

use super::beside::Beside;
use super::enrol::side_by_side;
use super::figures::{Figure, Figures, median, percentile};
use super::fill::{self, participant};
use super::ground::{Ground, ITEMS, STUDY, Scene};
use super::memory::{Watched, forget_peak, of_children, resident};
use super::{Plan, rebuild, shred};
use crate::cli::{ApiError, CliError};
use crate::platform::random_id;

/// How many values a form has: a small one.
const VALUES: u32 = 4;

/// How many visits there are to save at; the first is filled.
const VISITS: u32 = 100;

/// How much, how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurvePlan {
    /// Numbers of streams at which to measure.
    pub streams: Vec<u32>,
    /// How many clients send side by side.
    pub clients: usize,
    /// How many commands each round has.
    pub commands: u32,
    /// How many rounds, ours and the raw limit in turn.
    pub rounds: usize,
    /// What is measured.
    pub of: Vec<CurveOf>,
}

/// What a curve is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum CurveOf {
    /// Commands one by one, over HTTP.
    Append,
    /// All read models built again.
    Rebuild,
    /// One shred, with as many keys in the tree.
    Shred,
}

/// Measures at each number of streams. Each has a folder of its own below the ground's: what an earlier run filled is
/// not filled again.
///
/// # Errors
/// Whatever is refused or does not answer.
pub async fn curve(plan: &CurvePlan, ground: &Ground) -> Result<Figures, CliError> {
    let of: Vec<String> = plan.of.iter().map(|of| format!("{of:?}").to_lowercase()).collect();
    let mut figures = Figures::about(json!({
        "streams": plan.streams, "of": of, "clients": plan.clients, "commands": plan.commands, "rounds": plan.rounds,
        "values": VALUES, "sync": "always", "replicas": 1,
    }));
    for streams in &plan.streams {
        let there = ground.below(&streams.to_string());
        if plan.of.contains(&CurveOf::Append) || plan.of.contains(&CurveOf::Rebuild) {
            figures.results.extend(appended(plan, *streams, &there).await?);
        }
        if plan.of.contains(&CurveOf::Rebuild) {
            figures.results.push(rebuilt(plan, *streams, &there).await?);
        }
        if plan.of.contains(&CurveOf::Shred) {
            figures.results.extend(shredded(*streams, &there).await?);
        }
    }
    Ok(figures)
}

fn study(plan: &CurvePlan, streams: u32) -> Plan {
    let values = VISITS * ITEMS;
    Plan { participants: streams, values, clients: 1, requests: 1, rounds: plan.rounds, formats: Vec::new() }
}

/// Fills, then commands in rounds, if they are asked for.
async fn appended(plan: &CurvePlan, streams: u32, ground: &Ground) -> Result<Option<Figure>, CliError> {
    let mut scene = ground.open(&study(plan, streams)).await?;
    let begun = Instant::now();
    fill::small_people_up_to(&mut scene, streams, 0, VALUES).await?;
    // There are no queries that could be answered.
    scene.memory.answered = true;
    scene.remember()?;
    fill::reflected(&scene, "read models catch up").await?;
    let filled = begun.elapsed().as_secs_f64();
    let figure = match plan.of.contains(&CurveOf::Append) {
        true => Some(commands(plan, streams, &mut scene, filled).await?),
        false => None,
    };
    scene.close();
    Ok(figure)
}

async fn commands(plan: &CurvePlan, streams: u32, scene: &mut Scene, filled: f64) -> Result<Figure, CliError> {
    let all = u64::from(plan.commands) * (plan.rounds as u64 + 1);
    if u64::from(scene.memory.saved) + all > u64::from(streams) * u64::from(VISITS - 1) {
        return Err(CliError::conflict(format!(
            "{streams} streams have no visits left for {all} commands: fewer --commands, or another folder"
        )));
    }
    let beside = Beside::start(&scene.ground().folder().join("raw")).await?;
    let next = AtomicUsize::new(scene.memory.saved as usize);
    let (mut ours, mut raw, mut times) = (Vec::new(), Vec::new(), Vec::new());
    // The first round opens connections and fills caches.
    for round in 0..=plan.rounds {
        let work = |_| save(scene, next.fetch_add(1, Ordering::Relaxed), streams);
        let (rate, mut took) = side_by_side(plan.clients, plan.commands, work).await?;
        let (limit, _) = side_by_side(plan.clients, plan.commands, |n| beside.publish(n)).await?;
        if round > 0 {
            ours.push(rate);
            raw.push(limit);
            times.append(&mut took);
        }
    }
    beside.close().await;
    std::fs::remove_dir_all(scene.ground().folder().join("raw")).map_err(|error| CliError::failed("raw", error))?;
    scene.memory.saved = u32::try_from(next.into_inner()).unwrap_or(u32::MAX);
    scene.remember()?;
    let ((ours, spread), (raw, raw_spread)) = (median(ours), median(raw));
    let mut more = vec![
        ("p50_ms", percentile(&mut times, 0.5)),
        ("p99_ms", percentile(&mut times, 0.99)),
        ("raw_spread", raw_spread),
        ("fill_s", filled),
    ];
    let memory = |which| resident(scene.pid(), which).unwrap_or(f64::NAN);
    more.extend([("serve_mib", memory("VmRSS:")), ("serve_peak_mib", memory("VmHWM:"))]);
    more.extend([
        ("nats_mib", of_children(scene.pid(), "VmRSS:")),
        ("nats_peak_mib", of_children(scene.pid(), "VmHWM:")),
    ]);
    Ok(Figure { name: format!("append.streams.{streams}"), ours, raw, unit: "1/s", spread, more })
}

/// The `n`th command: a form of somebody who has none at that visit yet.
fn save(scene: &Scene, n: usize, streams: u32) -> impl Future<Output = Result<(), ApiError>> + Send + use<> {
    let n = u32::try_from(n).unwrap_or(u32::MAX);
    let command = fill::small(n, 1 + n / streams, VALUES);
    let path = format!("/v1/studies/{STUDY}/participants/{}", participant(n % streams));
    let client = scene.integrator.clone();
    async move { client.command(&path, random_id(), None, None, &command).await.map(drop) }
}

/// In this process: its memory is what a rebuild takes.
async fn rebuilt(plan: &CurvePlan, streams: u32, ground: &Ground) -> Result<Figure, CliError> {
    forget_peak();
    let watched = Watched::start();
    let mut rebuilt = rebuild(&study(plan, streams), ground).await?.results;
    let mut figure = rebuilt.pop().ok_or_else(|| CliError::failed("the rebuild", "it gave no figure"))?;
    figure.name = format!("rebuild.streams.{streams}");
    figure.more.push(("nats_peak_mib", watched.most()));
    Ok(figure)
}

/// In this process, on a tree of its own, which goes afterwards.
async fn shredded(streams: u32, ground: &Ground) -> Result<Vec<Figure>, CliError> {
    let folder = ground.folder().join("shred");
    std::fs::create_dir_all(&folder).map_err(|error| CliError::failed(folder.display(), error))?;
    let watched = Watched::start();
    let mut shredded = shred(&[streams as usize], &folder).await?.results;
    let most = watched.most();
    shredded.iter_mut().for_each(|figure| figure.more.push(("nats_peak_mib", most)));
    std::fs::remove_dir_all(&folder).map_err(|error| CliError::failed(folder.display(), error))?;
    Ok(shredded)
}
