//! Commands by the thousand through the bulk route, beside atomic batches of 1000 raw messages.

use std::time::Instant;

use serde_json::json;

use super::beside::{Beside, RAW_BYTES};
use super::figures::{Figure, Figures, median};
use super::ground::{Ground, ITEMS};
use super::{Plan, fill};
use crate::cli::CliError;

/// How much, how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkPlan {
    /// How many participants are written in each round: each is registered, consents, and has `values`.
    pub participants: u32,
    /// How many values each of them has, in forms of twenty.
    pub values: u32,
    /// How many rounds, ours and the raw limit in turn.
    pub rounds: u32,
}

/// Measures how many commits a second the bulk route takes.
///
/// # Errors
/// Whatever is refused or does not answer.
pub async fn bulk(plan: &BulkPlan, ground: &Ground) -> Result<Figures, CliError> {
    // One round more goes before, unmeasured: it opens connections and fills caches.
    let all = plan.participants * (plan.rounds + 1);
    let study =
        Plan { participants: all, values: plan.values, clients: 1, requests: 1, rounds: 1, formats: Vec::new() };
    let mut scene = ground.open(&study).await?;
    let beside = Beside::start(&ground.folder().join("raw")).await?;
    let commits = plan.participants * (2 + plan.values / ITEMS);
    let (mut ours, mut raw) = (Vec::new(), Vec::new());
    for round in 0..=plan.rounds {
        let begun = Instant::now();
        fill::people_up_to(&study, &mut scene, (round + 1) * plan.participants).await?;
        let rate = f64::from(commits) / begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        beside.batches(commits as usize).await?;
        let limit = f64::from(commits) / begun.elapsed().as_secs_f64();
        if round > 0 {
            ours.push(rate);
            raw.push(limit);
        }
    }
    let mut figures = Figures::about(json!({
        "participants": plan.participants, "values": plan.values, "commits": commits, "rounds": plan.rounds,
        "raw_bytes": RAW_BYTES, "sync": "always", "replicas": 1,
    }));
    let ((ours, spread), (raw, raw_spread)) = (median(ours), median(raw));
    let more = vec![("raw_spread", raw_spread), ("commits", f64::from(commits))];
    figures.results.push(Figure { name: "bulk".to_owned(), ours, raw, unit: "1/s", spread, more });
    beside.close().await;
    scene.close();
    Ok(figures)
}
