//! `lethe study promote`: a design goes from one environment to the next. Nothing else does: no participant, no site, no right.

use std::path::PathBuf;

use clap::Args;
use domain::design::StudyDesign;
use domain::history::CommitHash;
use domain::ids::StudyId;
use serde_json::Value;

use crate::cli::options::Access;
use crate::cli::{CliError, Client};

/// Copies a published design into a study of another environment, as a draft there. Nothing else is copied.
#[derive(Args)]
pub(in crate::cli) struct Promote {
    /// The design's content hash.
    design: CommitHash,
    /// The study that published it.
    #[arg(long)]
    study: StudyId,
    /// The study that gets it.
    #[arg(long, value_name = "STUDY")]
    to: StudyId,
    /// File with a bearer token of the other environment: a credential of one is nothing in another.
    #[arg(long, env = "LETHE_TO_TOKEN_FILE", value_name = "FILE")]
    to_token_file: PathBuf,
    #[command(flatten)]
    access: Access,
}

impl Promote {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let from = Client::of(&self.access)?;
        let token = std::fs::read_to_string(&self.to_token_file)
            .map_err(|error| CliError::input(format!("token file {}: {error}", self.to_token_file.display())))?;
        let found = from.get(&format!("/v1/studies/{}/designs/{}", self.study, self.design)).await?.body;
        // Whatever the one platform answered, only a design that is the one asked for goes into the other.
        let design: StudyDesign =
            serde_json::from_value(found.clone()).map_err(|error| CliError::failed("the published design", error))?;
        if design.hash() != self.design {
            return Err(CliError::failed(
                "the published design",
                format!("it is {}, not {}", design.hash(), self.design),
            ));
        }
        let to = from.with_token(token.trim());
        let stored = to.post(&format!("/v1/studies/{}/designs?draft=true", self.to), &found).await?.body;
        note!("{} has the draft {}, in force nowhere.", self.to, hash(&stored));
        note!("Next, by somebody of that environment: lethe study publish {} --study {}", hash(&stored), self.to);
        Ok(())
    }
}

fn hash(stored: &Value) -> &str {
    stored["design"].as_str().unwrap_or_default()
}
