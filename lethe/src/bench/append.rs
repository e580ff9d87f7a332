//! Commands one by one, over HTTP and over NATS, by one client and by many, beside single conditional publishes by as many
//! clients.

mod doors;

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use self::doors::{Door, Doors};
use super::beside::{Beside, RAW_BYTES};
use super::figures::{Figure, Figures, median, percentile};
use super::ground::{Ground, ITEMS, SITES, Scene, visit};
use super::{Plan, fill};
use crate::cli::{ApiError, CliError};

/// How many values a command carries: a small form.
const VALUES: u32 = 4;

/// How many visits there are to save at; the last one has the first value of each.
const VISITS: u32 = 50;

/// A participant gets so many commits, about.
const COMMITS_EACH: usize = 20;

/// How often, by how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendPlan {
    /// Numbers of clients that send side by side, each its next command once the last was answered.
    pub clients: Vec<usize>,
    /// How many commands each of several clients' rounds has; one client sends a fifth of it.
    pub commands: usize,
    /// How many rounds, ours and the raw limit in turn.
    pub rounds: usize,
    /// Over HTTP, over NATS, or both in turn.
    pub doors: Vec<String>,
}

/// Measures how many commands a second are answered as durable.
///
/// # Errors
/// Whatever is refused or does not answer.
pub async fn append(plan: &AppendPlan, ground: &Ground) -> Result<Figures, CliError> {
    let crowds = crowds(plan);
    let people = crowds.last().map_or(SITES, |crowd| crowd.end);
    let study =
        Plan { participants: people, values: VISITS * ITEMS, clients: 1, requests: 1, rounds: 1, formats: vec![] };
    let scene = ground.open(&study).await?;
    fill::register(&scene, people).await?;
    // A person's first value waits for the key of its kind, too: `lethe bench enrol` measures that.
    fill::first_values(&scene, people, &visit(VISITS - 1)).await?;
    let doors = Doors::of(&scene, &plan.doors).await?;
    let raw = Beside::start(&ground.folder().join("raw")).await?;
    let mut figures = Figures::about(json!({
        "clients": plan.clients, "commands": plan.commands, "rounds": plan.rounds, "doors": plan.doors,
        "participants": people, "values": VALUES, "raw_bytes": RAW_BYTES, "sync": "always", "replicas": 1,
    }));
    for (clients, crowd) in plan.clients.iter().zip(&crowds) {
        figures.results.extend(measure(plan, (*clients, crowd), &scene, &doors, &raw).await?);
    }
    raw.close().await;
    scene.close();
    Ok(figures)
}

/// The participants of each number of clients: others each time, so that no number finds what an earlier one left behind.
fn crowds(plan: &AppendPlan) -> Vec<Range<u32>> {
    let mut end = 0;
    let mut crowd = |clients: &usize| {
        let all = commands(plan, *clients) * (plan.rounds + 1) * plan.doors.len();
        // Each visit of each participant is saved once, and no stream gets longer than so many commits for it.
        let people = u32::try_from(all.div_ceil(COMMITS_EACH)).unwrap_or(u32::MAX).max(SITES);
        let first = end;
        end += people;
        first..end
    };
    plan.clients.iter().map(&mut crowd).collect()
}

fn commands(plan: &AppendPlan, clients: usize) -> usize {
    if clients == 1 { plan.commands.div_ceil(5) } else { plan.commands }
}

/// What the rounds of one thing came to.
#[derive(Default)]
struct Rounds {
    rates: Vec<f64>,
    times: Vec<Duration>,
    /// What one command takes of a processor in the serving process, read models included, µs.
    cost: Vec<f64>,
}

impl Rounds {
    fn add(&mut self, (rate, mut times): (f64, Vec<Duration>)) {
        self.rates.push(rate);
        self.times.append(&mut times);
    }
}

/// Each door in turn, and the raw limit after them, in each round.
async fn measure(
    plan: &AppendPlan,
    (clients, crowd): (usize, &Range<u32>),
    scene: &Scene,
    doors: &Doors,
    raw: &Beside,
) -> Result<Vec<Figure>, CliError> {
    let (commands, mut next) = (commands(plan, clients), 0);
    let (mut ours, mut limit) = (doors.iter().map(|_| Rounds::default()).collect::<Vec<_>>(), Rounds::default());
    for round in 0..=plan.rounds {
        for (door, rounds) in doors.iter().zip(&mut ours) {
            let (from, before) = (next, scene.processor());
            next += commands;
            let sent = side_by_side(clients, commands, |n| door.save(from + n, crowd)).await?;
            // What the read models still owe would slow down what comes next, and belongs to what the commands cost.
            fill::reflected_up_to(scene, doors.last(), "read models catch up").await?;
            let took = scene.processor().saturating_sub(before);
            // The first round opens connections and fills caches.
            if round > 0 {
                rounds.add(sent);
                rounds.cost.push(took.as_secs_f64() * 1e6 / commands as f64);
            }
        }
        let published = side_by_side(clients, commands, |n| raw.publish(n)).await?;
        if round > 0 {
            limit.add(published);
        }
    }
    let (raw, raw_p50) = (median(limit.rates).0, percentile(&mut limit.times, 0.5));
    let raw_p99 = percentile(&mut limit.times, 0.99);
    let figure = |(door, mut rounds): (&Door, Rounds)| {
        let (ours, spread) = median(rounds.rates);
        let more = vec![
            ("p50_ms", percentile(&mut rounds.times, 0.5)),
            ("p99_ms", percentile(&mut rounds.times, 0.99)),
            ("raw_p50_ms", raw_p50),
            ("raw_p99_ms", raw_p99),
            ("serve_us", median(rounds.cost).0),
        ];
        Figure { name: format!("append.{}.{clients}", door.name()), ours, raw, unit: "1/s", spread, more }
    };
    Ok(doors.iter().zip(ours).map(figure).collect())
}

/// Lets `clients` do `work` so often in all, each its next once the last is done. How many were done a second, and how long
/// each took.
async fn side_by_side<F, W>(clients: usize, work: usize, one: F) -> Result<(f64, Vec<Duration>), CliError>
where
    F: Fn(usize) -> W,
    W: Future<Output = Result<(), ApiError>> + Send + 'static,
{
    let pieces: Vec<W> = (0..work).map(one).collect();
    let pieces = Arc::new(std::sync::Mutex::new(pieces.into_iter().rev().collect::<Vec<_>>()));
    let begun = Instant::now();
    let clients: Vec<_> = (0..clients)
        .map(|_| {
            let pieces = pieces.clone();
            tokio::spawn(async move {
                let mut times = Vec::new();
                loop {
                    let piece = pieces.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop();
                    let Some(piece) = piece else { return Ok::<_, ApiError>(times) };
                    let begun = Instant::now();
                    piece.await?;
                    times.push(begun.elapsed());
                }
            })
        })
        .collect();
    let mut times = Vec::with_capacity(work);
    for client in clients {
        times.extend(client.await.map_err(|error| CliError::failed("a client", error))??);
    }
    Ok((work as f64 / begun.elapsed().as_secs_f64(), times))
}
