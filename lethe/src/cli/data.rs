//! `lethe data …`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use domain::ids::{ConsentVersion, SiteId, StudyId};

use super::CliError;
use super::options::Access;

mod audit;
mod export;
pub(super) mod import;

/// Participants' data.
#[derive(Subcommand)]
pub(super) enum Data {
    /// Sends the participants and values of an ODM 1.3.2 file through the ordinary commands.
    Import(Box<Import>),
    /// Writes a study's data as ODM, CSV, Dataset-JSON or SAS transport files, as far as the token's holder may see it.
    Export(Box<export::Export>),
    /// Writes the audit trail of a whole study, as far as the token's holder may see it.
    Audit(Box<audit::Audit>),
}

/// Imports participants' data.
#[derive(Args)]
pub(super) struct Import {
    /// The file.
    file: PathBuf,
    /// The study.
    #[arg(long)]
    study: StudyId,
    /// The file carries no consent: under which version it was given.
    #[arg(long, value_name = "VERSION")]
    consent: ConsentVersion,
    /// Where the signed consents are found; kept in the audit trail.
    #[arg(long, value_name = "TEXT")]
    reference: String,
    /// The site of participants for which the file names none. Default: the study's site, if it has one only.
    #[arg(long)]
    site: Option<SiteId>,
    /// Refuses a file with faults against what ODM demands, and names each. Otherwise they are noted.
    #[arg(long)]
    strict: bool,
    /// Prints the report as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    access: Access,
}

impl Data {
    pub(super) async fn run(self) -> Result<(), CliError> {
        match self {
            Self::Import(import) => import.run().await,
            Self::Export(export) => export.run().await,
            Self::Audit(audit) => audit.run().await,
        }
    }
}
