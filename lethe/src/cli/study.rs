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
                eprintln!("Study {study} is there, in {environment}. Next: publish a design, open a site, go live.");
                Ok(())
            }
            Self::Import { file, study, json, access } => import(file, &study, json, &access).await,
            Self::OpenSite { site, name, study, access } => {
                let body = json!({"type": "open-site", "site": site, "name": name});
                Client::of(&access)?.post(&format!("/v1/studies/{study}"), &body).await?;
                eprintln!("Site {site} is open in {study}.");
                Ok(())
            }
            Self::GoLive { study, design, access } => go_live(&study, design, &access).await,
        }
    }
}
