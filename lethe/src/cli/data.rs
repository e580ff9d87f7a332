//! `lethe data …`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use domain::ids::{ConsentVersion, SiteId, StudyId};

use super::CliError;
use super::options::Access;

mod audit;
mod export;
mod exports;
pub(super) mod import;

/// Participants' data.
#[derive(Subcommand)]
pub(super) enum Data {
    /// Sends the participants and values of an ODM file (1.3.2 or 2.0) or a table (CSV) through the ordinary commands.
    Import(Box<Import>),
    /// Writes a study's data as ODM, CSV, Dataset-JSON or SAS transport files, as far as the token's holder may see it.
    Export(Box<export::Export>),
    /// Writes the audit trail of a whole study, as far as the token's holder may see it.
    Audit(Box<audit::Audit>),
    /// The register of exports: who got which data, what for and until when.
    #[command(subcommand)]
    Exports(Box<exports::Exports>),
    /// Checks offline that files are those of an export, by its signed manifest.
    VerifyManifest(exports::VerifyManifest),
}

/// Imports participants' data.
#[derive(Args)]
pub(super) struct Import {
    /// The file.
    file: PathBuf,
    /// The study.
    #[arg(long)]
    study: StudyId,
    /// The file carries no consent: under which version it was given. Without it, only those who have consented already
    /// get data.
    #[arg(long, value_name = "VERSION", requires = "reference")]
    consent: Option<ConsentVersion>,
    /// Where the signed consents are found; kept in the audit trail.
    #[arg(long, value_name = "TEXT", requires = "consent")]
    reference: Option<String>,
    /// The site of participants for which the file names none. Default: the study's site, if it has one only.
    #[arg(long)]
    site: Option<SiteId>,
    /// Which column of a table becomes what (JSON, docs/exchange.md): the file is CSV then.
    #[arg(long, value_name = "MAP.json", conflicts_with = "strict")]
    mapping: Option<PathBuf>,
    /// The file's data is of a study with this OID elsewhere: taken for this study's; may be given more than once. Otherwise
    /// a file that names another study is refused.
    #[arg(long = "from-study", value_name = "OID", conflicts_with = "mapping")]
    from_studies: Vec<String>,
    /// Why saved values change, where the file does not say why.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Takes the values of a form together or not at all. Otherwise those that are refused are left out. Rows of a table are
    /// always taken whole.
    #[arg(long)]
    whole_forms: bool,
    /// Decides everything and writes nothing.
    #[arg(long, conflicts_with = "resume")]
    dry_run: bool,
    /// Writes what became of each row to a new file, one line of JSON each. How far the import got stands in FILE.progress.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Goes on with an import that was broken off: the same file, study, options and report.
    #[arg(long, requires = "report")]
    resume: bool,
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
            Self::Exports(exports) => exports.run().await,
            Self::VerifyManifest(verify) => verify.run(),
        }
    }
}
