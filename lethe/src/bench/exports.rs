//! How much memory an export of the whole study takes: of the process that serves and writes it, and of the one that asks
//! for it.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::process::Command;

use super::Plan;
use super::figures::{Figure, Figures};
use super::ground::{EMPTY, STUDY, Scene};
use crate::cli::CliError;

/// The most that a process has had only grows, so looking this often misses little of its last moment.
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(super) async fn measure(plan: &Plan, scene: &Scene, figures: &mut Figures) -> Result<(), CliError> {
    if !plan.formats.is_empty() && peak(std::process::id()).is_none() {
        note!("skipped: memory.export (there is no /proc/self/status)");
        return Ok(());
    }
    for format in &plan.formats {
        note!("memory.export.{format}");
        let nobody = export(scene, EMPTY, format).await?;
        let everybody = export(scene, STUDY, format).await?;
        figures.results.push(Figure {
            name: format!("memory.export.{format}"),
            ours: everybody.server,
            raw: nobody.server,
            unit: "MiB",
            spread: 0.0,
            more: vec![("client", everybody.exporter), ("seconds", everybody.seconds), ("file_mib", everybody.written)],
        });
    }
    Ok(())
}

/// What one export took, in MiB.
struct Taken {
    exporter: f64,
    server: f64,
    seconds: f64,
    written: f64,
}

/// The command line of an export, in one place: what it demands belongs to the exporter.
fn arguments(study: &str, format: &str, to: &Path) -> Vec<String> {
    let to = to.display().to_string();
    let options = [
        ("--study", study),
        ("--format", format),
        ("--to", to.as_str()),
        ("--recipient", "A benchmark"),
        ("--purpose", "Measuring memory"),
        ("--expires", "1"),
    ];
    let options = options.into_iter().flat_map(|(name, value)| [name.to_owned(), value.to_owned()]);
    ["data", "export"].map(str::to_owned).into_iter().chain(options).collect()
}

async fn export(scene: &Scene, study: &str, format: &str) -> Result<Taken, CliError> {
    let to = scene.ground().folder().join(format!("export-{format}"));
    let fault = |error: std::io::Error| CliError::failed(to.display(), error);
    if to.exists() {
        fs::remove_dir_all(&to).map_err(fault)?;
    }
    fs::create_dir_all(&to).map_err(fault)?;
    // Forgets what the serving process has had at most until now.
    let _ = fs::write(format!("/proc/{}/clear_refs", scene.pid()), "5");
    let began = Instant::now();
    let mut child = Command::new(scene.ground().binary())
        .args(arguments(study, format, &to))
        .env("LETHE_URL", scene.url())
        .env("LETHE_TOKEN", scene.manager.token())
        .env_remove("LETHE_TOKEN_FILE")
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| CliError::failed("the export", error))?;
    let (mut most, mut server) = (0.0, 0.0);
    let status = loop {
        most = child.id().and_then(peak).unwrap_or(most).max(most);
        server = peak(scene.pid()).unwrap_or(server).max(server);
        tokio::select! {
            status = child.wait() => break status.map_err(|error| CliError::failed("the export", error))?,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    };
    if !status.success() {
        return Err(CliError::failed(format!("the export in {format}"), status));
    }
    let seconds = began.elapsed().as_secs_f64();
    let written = size(&to).map_err(fault)? as f64 / f64::from(1 << 20);
    fs::remove_dir_all(&to).map_err(fault)?;
    Ok(Taken { exporter: most, server, seconds, written })
}

/// The most memory that a process has had, in MiB.
fn peak(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

fn size(folder: &Path) -> std::io::Result<u64> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
}
