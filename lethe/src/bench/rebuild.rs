//! All read models built again from the journal, every section opened, beside an ordered consumer that only counts the
//! messages of the same journal stream.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use domain::history::JournalId;
use infra::journal::count_in_order;
use projection_svc::rebuild::{self, Which};
use serde_json::json;

use super::figures::{Figure, Figures, median};
use super::ground::{Ground, STUDY, TENANT};
use super::memory::{processor, resident};
use super::{Plan, fill};
use crate::cli::CliError;
use crate::platform::{Options, Parts, Platform};

/// How many commits are asked for at once where they are opened and nothing is done with them.
const TOGETHER: usize = 2048;

/// Fills the study as far as it is not, then builds its read models again, round by round.
///
/// # Errors
/// Whatever is refused or does not answer; a rebuilt read model that is not the one before.
pub async fn rebuild(plan: &Plan, ground: &Ground) -> Result<Figures, CliError> {
    let mut scene = ground.open(plan).await?;
    fill::all(plan, &mut scene).await?;
    scene.close();
    // In this process: nothing else runs beside it, and its memory is what a rebuild takes.
    let options = Options::new(&ground.folder().join("data"), &ground.folder().join("kms"));
    let platform = Platform::start(options).await.map_err(CliError::unavailable)?;
    let measured = measure(plan, &platform).await;
    platform.stop().await;
    let mut figures = Figures::about(json!({
        "participants": plan.participants, "values": plan.values, "rounds": plan.rounds, "sync": "always", "replicas": 1,
    }));
    figures.results.push(measured?);
    Ok(figures)
}

/// What was measured, round by round.
#[derive(Default)]
struct Rounds {
    ours: Vec<f64>,
    raw: Vec<f64>,
    /// What this process worked for a commit, and for a message of the raw limit, in microseconds.
    ours_work: Vec<f64>,
    raw_work: Vec<f64>,
    /// Every section opened, and then nothing.
    opened: Vec<f64>,
    /// The comparison with what served before, and the switch.
    after: Vec<f64>,
}

async fn measure(plan: &Plan, platform: &Platform) -> Result<Figure, CliError> {
    let tenant = TENANT.parse().expect("a valid tenant id");
    let parts = platform.parts(&tenant).map_err(CliError::unavailable)?;
    let journal = JournalId { tenant, study: Some(STUDY.parse().expect("a valid study id")) };
    let idle = resident(std::process::id(), "VmRSS:").unwrap_or(f64::NAN);
    let (mut rounds, mut commits) = (Rounds::default(), 0);
    // The first round warms caches, the server's too.
    for round in 0..=plan.rounds {
        let (begun, before) = (Instant::now(), worked());
        let (count, _) = count_in_order(&parts.client, &journal).await.map_err(CliError::unavailable)?;
        let raw = count as f64 / begun.elapsed().as_secs_f64();
        let raw_work = per(count, before, worked());
        let opened = count as f64 / open_all(&parts, &journal, count).await?.as_secs_f64();
        let before = worked();
        let Built { total, built, after, done } = build_all(&parts).await?;
        let ours_work = per(total, before, done);
        commits = total;
        if round > 0 {
            rounds.ours.push(total as f64 / built.as_secs_f64());
            rounds.raw.push(raw);
            rounds.ours_work.push(ours_work);
            rounds.raw_work.push(raw_work);
            rounds.opened.push(opened);
            rounds.after.push(after.as_secs_f64());
        }
    }
    let peak = resident(std::process::id(), "VmHWM:").unwrap_or(f64::NAN);
    let ((ours, spread), (raw, raw_spread)) = (median(rounds.ours), median(rounds.raw));
    let more = vec![
        ("raw_spread", raw_spread),
        ("cpu_us", median(rounds.ours_work).0),
        ("raw_cpu_us", median(rounds.raw_work).0),
        ("opened", median(rounds.opened).0),
        ("compared_s", median(rounds.after).0),
        ("commits", commits as f64),
        ("idle_mib", idle),
        ("peak_mib", peak),
    ];
    Ok(Figure { name: "rebuild".to_owned(), ours, raw, unit: "1/s", spread, more })
}

/// How long this process has been on a processor, in seconds.
fn worked() -> Option<f64> {
    processor(std::process::id()).map(|time| time.as_secs_f64())
}

/// Microseconds of work for each of so many, between two looks.
fn per(count: u64, before: Option<f64>, after: Option<f64>) -> f64 {
    let seconds = before.zip(after).map_or(f64::NAN, |(before, after)| after - before);
    seconds * 1e6 / count.max(1) as f64
}

/// Reads, checks and opens every commit.
async fn open_all(parts: &Parts, journal: &JournalId, messages: u64) -> Result<Duration, CliError> {
    let begun = Instant::now();
    let mut feed = parts.tenant.journal.follow(journal, 0).await.map_err(CliError::unavailable)?;
    let mut reached = 0;
    while reached < messages {
        let commits = feed.next(TOGETHER).await.map_err(CliError::unavailable)?;
        // The last message need not be a commit: what is at the end of a filled study is one.
        reached = commits.last().map_or(reached, |last| last.position.sequence);
    }
    Ok(begun.elapsed())
}

/// How a rebuild went.
struct Built {
    /// How many messages there were.
    total: u64,
    /// How long it took to build.
    built: Duration,
    /// And to compare and switch.
    after: Duration,
    /// What this process had worked when all was built.
    done: Option<f64>,
}

/// Builds every read model again.
async fn build_all(parts: &Parts) -> Result<Built, CliError> {
    let begun = Instant::now();
    let built = Mutex::new(None);
    let report = rebuild::rebuild(&parts.runner, &Which::All, |progress| {
        if progress.done == progress.total {
            let mut built = built.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            built.get_or_insert_with(|| (progress.total, begun.elapsed(), worked()));
        }
    });
    let report = report.await.map_err(CliError::unavailable)?;
    let whole = begun.elapsed();
    let differing: Vec<&str> = report
        .projections
        .iter()
        .filter(|built| built.comparison.differences > 0)
        .map(|built| built.projection)
        .collect();
    if !differing.is_empty() {
        return Err(CliError::failed("the rebuild", format!("these read models came out otherwise: {differing:?}")));
    }
    let built = built.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let unsaid = || CliError::failed("the rebuild", "it did not say that it was done");
    let (total, built, done) = built.ok_or_else(unsaid)?;
    Ok(Built { total, built, after: whole.saturating_sub(built), done })
}
