//! How long the figures of a large study take: the first answer of a process, which folds everything that ever happened in
//! it, and those after it. Beside each the same bytes from a server that does nothing else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;

use super::Plan;
use super::figures::{Figure, Figures, median};
use super::ground::{STUDY, Scene};
use super::still::Still;
use super::views::ask;
use crate::cli::CliError;

/// Every figure there is.
const ALL: [&str; 8] =
    ["enrolment", "visits", "completeness", "entry-lag", "queries", "verification", "lock-readiness", "signatures"];

/// How often each is asked in one round: one at a time, as dashboards do.
const ASKED: usize = 10;

pub(super) async fn measure(plan: &Plan, scene: &Scene, figures: &mut Figures) -> Result<(), CliError> {
    note!("figure: the first answer, then {} rounds of {ASKED} requests each", plan.rounds);
    for (n, name) in ALL.into_iter().enumerate() {
        let paths = Arc::new(vec![format!("/v1/studies/{STUDY}/figures/{name}")]);
        let began = Instant::now();
        let first = scene.manager.text(&paths[0]).await?;
        let first_took = began.elapsed();
        let still = Still::serve(Bytes::from(first.clone())).await?;
        let (still_client, still_path) = (scene.manager.at(&still.url()), Arc::new(vec!["/".to_owned()]));
        let (mut ours, mut raw) = (Vec::new(), Vec::new());
        for _ in 0..plan.rounds {
            ours.push(middle(ask(&scene.manager, &paths, 1, ASKED).await?));
            raw.push(middle(ask(&still_client, &still_path, 1, ASKED).await?));
        }
        let ((ours, spread), (raw, _)) = (median(ours), median(raw));
        // Whoever comes first in a process that has just started has it folded for all of them.
        let more = if n == 0 { vec![("first", first_took.as_secs_f64() * 1000.0)] } else { Vec::new() };
        let more = more.into_iter().chain([("kib", first.len() as f64 / 1024.0)]).collect();
        figures.results.push(Figure { name: format!("figure.{name}"), ours, raw, unit: "ms p50", spread, more });
    }
    Ok(())
}

fn middle(mut times: Vec<Duration>) -> f64 {
    super::figures::percentile(&mut times, 0.5)
}
