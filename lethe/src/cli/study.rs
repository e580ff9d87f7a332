//! `lethe study …`.

use std::path::PathBuf;

use clap::Subcommand;
use command_svc::odm;
use domain::ids::{Environment, Label, StudyId, TenantId};
use serde_json::json;

use super::options::{Access, Place};
use super::{CliError, Client};
use crate::platform::Operator;

/// Studies.
#[derive(Subcommand)]
pub(super) enum Study {
    /// Creates a study: its journal stream and its first commit.
    Create {
        /// Whose tenant.
        #[arg(long)]
        tenant: TenantId,
        /// Its id: 1 to 32 of a-z, 0-9 and -.
        study: StudyId,
        /// Its name, for people.
        #[arg(long)]
        name: Label,
        /// Its environment, for good.
        #[arg(long, default_value = "TEST")]
        environment: Environment,
        #[command(flatten)]
        place: Place,
    },
    /// Publishes the study design in an ODM 1.3.2 file.
    Import {
        /// The file.
        file: PathBuf,
        /// The study.
        #[arg(long)]
        study: StudyId,
        /// Prints the report as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        access: Access,
    },
    /// Opens a site.
    OpenSite {
        /// The site's id.
        site: domain::ids::SiteId,
        /// Its name, for people.
        #[arg(long)]
        name: Label,
        /// The study.
        #[arg(long)]
        study: StudyId,
        #[command(flatten)]
        access: Access,
    },
    /// Takes the study live under a published design.
    GoLive {
        /// The study.
        #[arg(long)]
        study: StudyId,
        /// The design's content hash, as `study import` printed it. Default: the one published last.
        #[arg(long)]
        design: Option<domain::history::CommitHash>,
        #[command(flatten)]
        access: Access,
    },
}

impl Study {
    pub(super) async fn run(self) -> Result<(), CliError> {
        match self {
            Self::Create { tenant, study, name, environment, place } => {
                let operator = Operator::of(&place).await?;
                let body = json!({"tenant": tenant, "study": study, "name": name, "environment": environment});
                let done = operator.post("/v1/admin/studies", &body).await;
                operator.leave().await;
                done?;
                note!("Study {study} is there, in {environment}. Next: publish a design, open a site, go live.");
                Ok(())
            }
            Self::Import { file, study, json, access } => import(file, &study, json, &access).await,
            Self::OpenSite { site, name, study, access } => {
                let body = json!({"type": "open-site", "site": site, "name": name});
                Client::of(&access)?.post(&format!("/v1/studies/{study}"), &body).await?;
                note!("Site {site} is open in {study}.");
                Ok(())
            }
            Self::GoLive { study, design, access } => go_live(&study, design, &access).await,
        }
    }
}

/// Reads the whole file first: a damaged one changes nothing.
async fn import(file: PathBuf, study: &StudyId, json: bool, access: &Access) -> Result<(), CliError> {
    let client = Client::of(access)?;
    let name = file.display().to_string();
    let (design, report) = tokio::task::spawn_blocking(move || read_design(&file))
        .await
        .map_err(|error| CliError::failed("reading the file", error))??;
    let body = serde_json::to_value(&design).map_err(|error| CliError::failed("the design", error))?;
    let published = client.post(&format!("/v1/studies/{study}/designs"), &body).await?.body;
    if json {
        out!("{}", json!({"design": published["design"], "version": published["version"], "report": report}));
        return Ok(());
    }
    super::data::import::print_rows(&report.rows);
    note!("{name}: published as {}", published["design"].as_str().unwrap_or_default());
    note!(
        "Published {}: {} visits, {} forms, {} item groups, {} items, {} code lists. {}",
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

/// The report in one sentence.
pub(super) fn counted(report: &odm::Report) -> String {
    let odm::Counts { notes, warnings, refused, .. } = report.counts();
    format!("Report: {notes} notes, {warnings} warnings, {refused} refused.")
}

fn read_design(file: &std::path::Path) -> Result<(domain::design::StudyDesign, odm::Report), CliError> {
    let fault =
        |error: &dyn std::fmt::Display| CliError::input(format!("{}: {error}. Nothing was changed", file.display()));
    let opened = std::fs::File::open(file).map_err(|error| fault(&error))?;
    odm::read_design(std::io::BufReader::new(opened), &odm::Limits::default()).map_err(|error| fault(&error))
}

async fn go_live(
    study: &StudyId,
    design: Option<domain::history::CommitHash>,
    access: &Access,
) -> Result<(), CliError> {
    let client = Client::of(access)?;
    let path = format!("/v1/studies/{study}");
    let design = match design {
        Some(design) => json!(design),
        None => {
            let found = client.get(&path).await?.body;
            let last =
                found["designs"].as_array().and_then(|designs| designs.last()).map(|last| last["design"].clone());
            last.ok_or_else(|| CliError::conflict("no design is published: `lethe study import` publishes one"))?
        }
    };
    client.post(&path, &json!({"type": "go-live", "design": design})).await?;
    note!("{study} is live under the design {}.", design.as_str().unwrap_or_default());
    Ok(())
}
