//! `lethe study …`.

use std::path::PathBuf;

use clap::Subcommand;
use command_svc::odm;
use domain::history::CommitHash;
use domain::ids::{Environment, Label, SiteId, StudyId, TenantId};
use exchange::odm::OdmVersion;
use serde_json::{Value, json};

use super::options::{Access, Place};
use super::{CliError, Client};
use crate::platform::Operator;

mod figures;
mod import;
mod migrate;
mod promote;
mod versions;

pub(super) use import::counted;

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
    /// Publishes the study design in an ODM file, 1.3.2 or 2.0, or stores a draft of it.
    Import {
        /// The file.
        file: PathBuf,
        /// Refuses a file with faults against what ODM demands, and names each.
        #[arg(long, conflicts_with = "lenient")]
        strict: bool,
        /// Reads what can be read, and notes each fault. The default.
        #[arg(long)]
        lenient: bool,
        /// Stores a draft, which is in force nowhere: to be read, compared and checked. `lethe study publish` publishes it.
        #[arg(long)]
        draft: bool,
        /// The study.
        #[arg(long)]
        study: StudyId,
        /// Prints the report as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        access: Access,
    },
    /// Publishes a draft, for good, if nothing is wrong with it.
    Publish {
        /// The draft's content hash, as `study import --draft` printed it.
        design: CommitHash,
        /// The study.
        #[arg(long)]
        study: StudyId,
        #[command(flatten)]
        access: Access,
    },
    Promote(promote::Promote),
    /// Opens a site.
    OpenSite {
        /// The site's id.
        site: SiteId,
        /// Its name, for people.
        #[arg(long)]
        name: Label,
        /// The study.
        #[arg(long)]
        study: StudyId,
        #[command(flatten)]
        access: Access,
    },
    /// Writes a published design as ODM metadata.
    Export {
        /// The study.
        #[arg(long)]
        study: StudyId,
        /// The version of ODM: 1.3.2 or 2.0.
        #[arg(long, default_value = "1.3.2", value_parser = odm_version)]
        odm: OdmVersion,
        /// The design's content hash. Default: the live one.
        #[arg(long)]
        design: Option<CommitHash>,
        /// Where to. Default: standard output.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        access: Access,
    },
    /// Says what is different between two published designs.
    Diff {
        /// Content hash of the one.
        from: CommitHash,
        /// Content hash of the other.
        to: CommitHash,
        /// The study.
        #[arg(long)]
        study: StudyId,
        /// Prints it as JSON, with all values before and after.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        access: Access,
    },
    /// From now on no design is active at a site before the site's approval of it is recorded. Cannot be taken back.
    DemandApprovals {
        /// The study.
        #[arg(long)]
        study: StudyId,
        #[command(flatten)]
        access: Access,
    },
    /// Records a site's approval of a published design.
    Approve {
        /// The site.
        site: SiteId,
        /// The design's content hash.
        #[arg(long)]
        design: CommitHash,
        /// Where the approval is found: the committee and its number.
        #[arg(long, value_name = "TEXT")]
        reference: Label,
        /// The study.
        #[arg(long)]
        study: StudyId,
        #[command(flatten)]
        access: Access,
    },
    /// Takes a published design into use at one site.
    Activate {
        /// The site.
        site: SiteId,
        /// The design's content hash.
        #[arg(long)]
        design: CommitHash,
        /// The study.
        #[arg(long)]
        study: StudyId,
        #[command(flatten)]
        access: Access,
    },
    /// Moves participants to another published design, without losing a value.
    Migrate(Box<migrate::Migrate>),
    /// Prints a figure of the study as JSON: as of now, or of an earlier moment.
    Figures(Box<figures::Figures>),
    /// Sets how many participants a site is to enrol, and by when.
    SetTarget {
        /// The site.
        site: SiteId,
        /// So many.
        #[arg(long)]
        participants: u32,
        /// By this day, such as 2027-01-31.
        #[arg(long, value_name = "DAY")]
        by: String,
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
        design: Option<CommitHash>,
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
            Self::Import { file, strict, lenient: _, draft, study, json, access } => {
                let mode = if strict { odm::Mode::Strict } else { odm::Mode::Lenient };
                import::run((file, mode, draft), &study, json, &access).await
            }
            Self::Publish { design, study, access } => {
                send(&study, &json!({"type": "publish-draft", "design": design}), &access).await?;
                note!("Published: {design} is immutable from now on. Next: `lethe study go-live` or `activate`.");
                Ok(())
            }
            Self::Promote(promote) => promote.run().await,
            Self::Export { study, odm, design, out, access } => {
                versions::export(&study, (odm, design), out.as_deref(), &access).await
            }
            Self::Diff { from, to, study, json, access } => versions::diff((&from, &to), &study, json, &access).await,
            Self::DemandApprovals { study, access } => {
                send(&study, &json!({"type": "demand-approvals"}), &access).await?;
                note!("From now on {study} has no design active at a site that has not approved it.");
                Ok(())
            }
            Self::Approve { site, design, reference, study, access } => {
                let body = json!({"type": "approve-design", "design": design, "site": site, "reference": reference});
                send(&study, &body, &access).await?;
                note!("The approval of {design} by {site} is recorded. Next: `lethe study activate`.");
                Ok(())
            }
            Self::Activate { site, design, study, access } => {
                let body = json!({"type": "activate-design", "design": design, "site": site});
                print_warnings(&send(&study, &body, &access).await?);
                note!("{site} uses {design} for whoever is registered from now on. Next: `lethe study migrate`.");
                Ok(())
            }
            Self::Migrate(migrate) => migrate.run().await,
            Self::Figures(figures) => figures.run().await,
            Self::SetTarget { site, participants, by, study, access } => {
                let body =
                    json!({"type": "set-enrolment-target", "site": site, "participants": participants, "by": by});
                send(&study, &body, &access).await?;
                note!(
                    "{site} is to enrol {participants} by {by}. `lethe study figures enrolment` shows how far it is."
                );
                Ok(())
            }
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

async fn send(study: &StudyId, body: &Value, access: &Access) -> Result<Value, CliError> {
    Ok(Client::of(access)?.post(&format!("/v1/studies/{study}"), body).await?.body)
}

/// What the answer to a command says beside.
fn print_warnings(answer: &Value) {
    let warnings = answer["warnings"].as_array().into_iter().flatten();
    warnings.filter_map(|warning| warning["detail"].as_str()).for_each(|warning| note!("Warning: {warning}."));
}

fn odm_version(text: &str) -> Result<OdmVersion, String> {
    match text {
        "1.3.2" => Ok(OdmVersion::V1_3_2),
        "2.0" => Ok(OdmVersion::V2_0),
        _ => Err("it is 1.3.2 or 2.0".to_owned()),
    }
}

async fn go_live(study: &StudyId, design: Option<CommitHash>, access: &Access) -> Result<(), CliError> {
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
    print_warnings(&client.post(&path, &json!({"type": "go-live", "design": design})).await?.body);
    note!("{study} is live under the design {}.", design.as_str().unwrap_or_default());
    Ok(())
}
