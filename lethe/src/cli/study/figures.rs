//! Figures of a study, as JSON: as of now, or of an earlier moment.

use clap::Args;
use domain::ids::{SiteId, StudyId};

use crate::cli::options::Access;
use crate::cli::{CliError, Client};

/// Prints a figure of a study as JSON.
#[derive(Args)]
pub(in crate::cli) struct Figures {
    /// Which one.
    #[arg(value_parser = ["enrolment", "visits", "completeness", "entry-lag", "queries", "verification", "lock-readiness", "signatures"])]
    name: String,
    /// The study.
    #[arg(long)]
    study: StudyId,
    /// Of this site only.
    #[arg(long)]
    site: Option<SiteId>,
    /// As of this time, such as 2026-11-22T12:00:00Z. Default: now.
    #[arg(long, value_name = "TIME", conflicts_with = "as_of_position")]
    as_of: Option<String>,
    /// As of this position, as an answer's `Lethe-Position` gave it.
    #[arg(long, value_name = "POSITION")]
    as_of_position: Option<String>,
    #[command(flatten)]
    access: Access,
}

impl Figures {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let Self { name, study, site, as_of, as_of_position, access } = self;
        let asked = [("site", site.map(|site| site.to_string())), ("as_of", as_of), ("as_of_position", as_of_position)];
        // A time east of Greenwich has a plus, which a query would read as a blank.
        let given = asked.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value?.replace('+', "%2B"))));
        let query = given.collect::<Vec<_>>().join("&");
        let path = format!("/v1/studies/{study}/figures/{name}?{query}");
        let figure = Client::of(&access)?.get(path.trim_end_matches('?')).await?.body;
        out!("{figure:#}");
        Ok(())
    }
}
