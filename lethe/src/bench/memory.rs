//! How much memory the serving process has, and its nats-server beside it: with nobody, and with some participants.

use std::fs;

use serde_json::json;

use super::figures::{Figure, Figures};
use super::ground::{Ground, ITEMS};
use super::{Plan, fill};
use crate::cli::CliError;

/// Fills the study step by step and looks at each.
///
/// # Errors
/// Whatever is refused or does not answer.
pub async fn memory(sizes: &[u32], ground: &Ground) -> Result<Figures, CliError> {
    let all = sizes.iter().copied().max().unwrap_or_default().max(1);
    let study = Plan { participants: all, values: ITEMS, clients: 1, requests: 1, rounds: 1, formats: Vec::new() };
    let mut figures = Figures::about(json!({"participants": sizes, "values": ITEMS, "sync": "always"}));
    let mut scene = ground.open(&study).await?;
    for size in sizes {
        fill::people_up_to(&study, &mut scene, *size).await?;
        fill::reflected(&scene, "read models catch up").await?;
        // What filling it took is not what serving it takes.
        scene.close();
        scene = ground.open(&study).await?;
        let Some(ours) = resident(scene.pid(), "VmRSS:") else {
            note!("skipped: memory (there is no /proc/self/status)");
            break;
        };
        let beside = children(scene.pid()).into_iter().filter_map(|pid| resident(pid, "VmRSS:")).sum();
        let peak = resident(scene.pid(), "VmHWM:").unwrap_or(f64::NAN);
        let name = if *size == 0 { "memory.idle".to_owned() } else { format!("memory.{size}") };
        figures.results.push(Figure { name, ours, raw: beside, unit: "MiB", spread: 0.0, more: vec![("peak", peak)] });
    }
    scene.close();
    Ok(figures)
}

/// What a process has of memory, in MiB.
pub(super) fn resident(pid: u32, which: &str) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(which))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

/// How long this process has been on a processor, in seconds: its own work and the kernel's for it.
pub(super) fn worked() -> Option<f64> {
    // The kernel counts in hundredths, whatever its own clock does.
    const TICKS: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program may hold anything: what is counted comes behind it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (own, kernel): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((own + kernel) / TICKS)
}

/// The processes that a process started.
fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let listed = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    listed.flat_map(|line| line.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}
