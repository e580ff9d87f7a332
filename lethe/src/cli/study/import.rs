//! `lethe study import`.

use std::path::PathBuf;

use command_svc::odm;
use domain::design::StudyDesign;
use domain::ids::StudyId;
use serde_json::{Value, json};

use crate::cli::options::Access;
use crate::cli::{CliError, Client};

/// Reads the whole file first: a damaged one changes nothing.
pub(super) async fn run(
    (file, mode, draft): (PathBuf, odm::Mode, bool),
    study: &StudyId,
    json: bool,
    access: &Access,
) -> Result<(), CliError> {
    let client = Client::of(access)?;
    let name = file.display().to_string();
    let (design, report) = tokio::task::spawn_blocking(move || read_design(&file, mode))
        .await
        .map_err(|error| CliError::failed("reading the file", error))??;
    let body = serde_json::to_value(&design).map_err(|error| CliError::failed("the design", error))?;
    let how = if draft { "?draft=true" } else { "" };
    let stored = client.post(&format!("/v1/studies/{study}/designs{how}"), &body).await?.body;
    if json {
        let part = |name: &str| stored[name].clone();
        out!(
            "{}",
            json!({"design": part("design"), "version": part("version"), "state": part("state"),
                "faults": part("faults"), "warnings": part("warnings"), "position": part("position"), "report": report})
        );
        return Ok(());
    }
    crate::cli::data::import::print_rows(&report.rows);
    print_faults("fault", &stored["faults"]);
    print_faults("warning", &stored["warnings"]);
    let done = if draft { "stored as a draft," } else { "published as" };
    note!("{name}: {done} {}", stored["design"].as_str().unwrap_or_default());
    note!(
        "{}: {} visits, {} forms, {} item groups, {} items, {} code lists. {}",
        design.version,
        design.visits.len(),
        design.forms.len(),
        design.item_groups.len(),
        design.items.len(),
        design.code_lists.len(),
        counted(&report),
    );
    Ok(())
}

/// What the platform says about the design, by its place there.
fn print_faults(kind: &str, faults: &Value) {
    for fault in faults.as_array().into_iter().flatten() {
        let text = |name: &str| fault[name].as_str().unwrap_or_default();
        out!("{kind}: {}: {}", text("pointer"), text("detail"));
    }
}

/// The report in one sentence.
pub(in crate::cli) fn counted(report: &odm::Report) -> String {
    let odm::Counts { notes, warnings, refused, .. } = report.counts();
    format!("Report: {notes} notes, {warnings} warnings, {refused} refused.")
}

fn read_design(file: &std::path::Path, mode: odm::Mode) -> Result<(StudyDesign, odm::Report), CliError> {
    let fault =
        |error: &dyn std::fmt::Display| CliError::input(format!("{}: {error}. Nothing was changed", file.display()));
    let opened = std::fs::File::open(file).map_err(|error| fault(&error))?;
    odm::read_design(std::io::BufReader::new(opened), &odm::Limits::default(), mode).map_err(|error| {
        if let odm::OdmError::Unusable(report) = &error {
            // Each with its line and element: the error itself names the first only.
            report.rows.iter().for_each(|row| out!("{row}"));
        }
        fault(&error)
    })
}
