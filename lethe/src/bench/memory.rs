//! How much memory the serving process has, and its nats-server beside it: with nobody, and with some participants.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinHandle;

use super::figures::{Figure, Figures, median};
use super::ground::{Ground, ITEMS, Scene};
use super::{Plan, fill};
use crate::cli::CliError;

/// The most that a process has had only grows, so looking this often misses little of its last moment.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What was seen, round by round; beside it, of the nats-server.
#[derive(Default)]
struct Rounds {
    ours: Vec<f64>,
    peak: Vec<f64>,
    beside: Vec<f64>,
    beside_peak: Vec<f64>,
}

/// Fills the study step by step and looks at each: at a process that was just started, each round at a new one.
///
/// # Errors
/// Whatever is refused or does not answer.
pub async fn memory(sizes: &[u32], rounds: usize, ground: &Ground) -> Result<Figures, CliError> {
    let all = sizes.iter().copied().max().unwrap_or_default().max(1);
    let study = Plan { participants: all, values: ITEMS, clients: 1, requests: 1, rounds: 1, formats: Vec::new() };
    let about = json!({"participants": sizes, "values": ITEMS, "rounds": rounds, "sync": "always"});
    let mut figures = Figures::about(about);
    for size in sizes {
        let mut scene = ground.open(&study).await?;
        let begun = Instant::now();
        fill::people_up_to(&study, &mut scene, *size).await?;
        fill::reflected(&scene, "read models catch up").await?;
        // What filling it takes is told apart from what serving it takes.
        let filled = [("fill_s", begun.elapsed().as_secs_f64()), ("fill_peak", of(&scene, "VmHWM:"))];
        scene.close();
        if !Path::new("/proc/self/status").exists() {
            note!("skipped: memory (there is no /proc/self/status)");
            break;
        }
        let mut seen = Rounds::default();
        for _ in 0..rounds {
            seen.look(ground, &study).await?;
        }
        figures.results.push(seen.figure(*size, &filled));
    }
    Ok(figures)
}

impl Rounds {
    async fn look(&mut self, ground: &Ground, study: &Plan) -> Result<(), CliError> {
        let scene = ground.open(study).await?;
        fill::reflected(&scene, "read models catch up").await?;
        self.ours.push(of(&scene, "VmRSS:"));
        self.peak.push(of(&scene, "VmHWM:"));
        self.beside.push(of_children(scene.pid(), "VmRSS:"));
        self.beside_peak.push(of_children(scene.pid(), "VmHWM:"));
        scene.close();
        Ok(())
    }

    fn figure(self, size: u32, filled: &[(&'static str, f64)]) -> Figure {
        let ((ours, spread), (raw, _)) = (median(self.ours), median(self.beside));
        let mut more = vec![("peak", median(self.peak).0), ("raw_peak", median(self.beside_peak).0)];
        let name = match size {
            0 => "memory.idle".to_owned(),
            _ => format!("memory.participants.{size}"),
        };
        more.extend(if size == 0 { &[] } else { filled });
        Figure { name, ours, raw, unit: "MiB", spread, more }
    }
}

fn of(scene: &Scene, which: &str) -> f64 {
    resident(scene.pid(), which).unwrap_or(f64::NAN)
}

/// Forgets what this process has had at most until now. Where that cannot be, the most counts from its start.
pub(super) fn forget_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// The same of all processes that a process started: of `serve`, its nats-server.
pub(super) fn of_children(pid: u32, which: &str) -> f64 {
    children(pid).into_iter().filter_map(|pid| resident(pid, which)).sum()
}

/// Looks now and then how much memory this process's nats-server has, until it is asked for the most: the server may be
/// gone by then.
pub(super) struct Watched {
    most: Arc<AtomicU64>,
    looking: JoinHandle<()>,
}

impl Watched {
    pub(super) fn start() -> Self {
        let most = Arc::new(AtomicU64::new(0));
        let seen = most.clone();
        let looking = tokio::spawn(async move {
            loop {
                // In KiB, as a number that can be shared.
                seen.fetch_max((of_children(std::process::id(), "VmHWM:") * 1024.0) as u64, Ordering::Relaxed);
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        Self { most, looking }
    }

    /// The most there was, in MiB.
    pub(super) fn most(self) -> f64 {
        self.looking.abort();
        self.most.load(Ordering::Relaxed) as f64 / 1024.0
    }
}

/// What a process has of memory, in MiB.
pub(super) fn resident(pid: u32, which: &str) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(which))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

/// How long a process has been on a processor, in both modes.
pub(super) fn processor(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name, which may hold anything; ticks are hundredths of a second on every Linux.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10))
}

/// The processes that a process started.
fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let listed = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    listed.flat_map(|line| line.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}
