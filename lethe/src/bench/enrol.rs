//! Participants registered one by one, each a new person with a key that is durable before the first commit is; beside
//! single publishes by as many clients.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;

use super::Plan;
use super::beside::{Beside, RAW_BYTES};
use super::figures::{Figure, Figures, median, percentile};
use super::fill::participant;
use super::ground::{Ground, ITEMS, SITES, STUDY, Scene, site};
use crate::cli::{ApiError, CliError};
use crate::platform::random_id;

/// How much, how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolPlan {
    /// How many clients send side by side.
    pub clients: usize,
    /// How many participants are registered in each round.
    pub participants: u32,
    /// How many rounds, ours and the raw limit in turn.
    pub rounds: u32,
}

/// Measures how many registrations a second are answered as durable.
///
/// # Errors
/// Whatever is refused or does not answer.
pub async fn enrol(plan: &EnrolPlan, ground: &Ground) -> Result<Figures, CliError> {
    let all = plan.participants * (plan.rounds + 1);
    let study = Plan { participants: all, values: ITEMS, clients: 1, requests: 1, rounds: 1, formats: Vec::new() };
    let scene = ground.open(&study).await?;
    let beside = Beside::start(&ground.folder().join("raw")).await?;
    let next = AtomicUsize::new(0);
    let (mut ours, mut raw, mut times) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=plan.rounds {
        let (rate, mut took) =
            side_by_side(plan.clients, plan.participants, |_| register(&scene, next.fetch_add(1, Ordering::Relaxed)))
                .await?;
        let (limit, _) = side_by_side(plan.clients, plan.participants, |n| beside.publish(n)).await?;
        // The first round opens connections and fills caches.
        if round > 0 {
            ours.push(rate);
            raw.push(limit);
            times.append(&mut took);
        }
    }
    let mut figures = Figures::about(json!({
        "clients": plan.clients, "participants": plan.participants, "rounds": plan.rounds, "raw_bytes": RAW_BYTES,
        "sync": "always", "replicas": 1,
    }));
    let ((ours, spread), (raw, raw_spread)) = (median(ours), median(raw));
    let more = vec![
        ("raw_spread", raw_spread),
        ("p50_ms", percentile(&mut times, 0.5)),
        ("p99_ms", percentile(&mut times, 0.99)),
    ];
    figures.results.push(Figure { name: "enrol".to_owned(), ours, raw, unit: "1/s", spread, more });
    beside.close().await;
    scene.close();
    Ok(figures)
}

/// Lets the clients do so many pieces of work, each its next once the last is done.
pub(super) async fn side_by_side<W>(
    clients: usize,
    pieces: u32,
    one: impl Fn(usize) -> W,
) -> Result<(f64, Vec<Duration>), CliError>
where
    W: Future<Output = Result<(), ApiError>> + Send + 'static,
{
    let begun = Instant::now();
    let work = stream::iter(0..pieces as usize).map(|n| {
        let piece = one(n);
        async move {
            let task = tokio::spawn(async move {
                let begun = Instant::now();
                piece.await.map(|()| begun.elapsed())
            });
            task.await.map_err(|error| CliError::failed("a client", error))?.map_err(CliError::from)
        }
    });
    let times: Vec<Duration> = work.buffer_unordered(clients).try_collect().await?;
    Ok((f64::from(pieces) / begun.elapsed().as_secs_f64(), times))
}

fn register(scene: &Scene, n: usize) -> impl Future<Output = Result<(), ApiError>> + Send + use<> {
    let n = u32::try_from(n).unwrap_or(u32::MAX);
    let site = site(n % SITES);
    let command = json!({"type": "register", "site": site, "subject_number": format!("{site}-{n:05}")});
    let path = format!("/v1/studies/{STUDY}/participants/{}", participant(n));
    let client = scene.integrator.clone();
    async move { client.command(&path, random_id(), None, None, &command).await.map(drop) }
}
