//! `lethe randomisation …`.

use std::path::PathBuf;

use clap::Subcommand;
use domain::ids::{ListId, StudyId};
use serde_json::{Value, json};

use super::options::Access;
use super::{CliError, Client};

/// Randomisation lists.
#[derive(Subcommand)]
pub(super) enum Randomisation {
    /// Makes a list of stratified permuted blocks and seals it. Prints its digest.
    Seal {
        #[command(flatten)]
        which: Which,
        /// An arm and its weight: A=2. Give it once for each arm.
        #[arg(long = "arm", required = true, value_parser = pair)]
        arms: Vec<(String, String)>,
        /// A stratification factor and its levels: sex=f,m. Give it once for each factor.
        #[arg(long = "factor", value_parser = pair)]
        factors: Vec<(String, String)>,
        /// A size of blocks, a multiple of the sum of the weights. Give it once for each size.
        #[arg(long = "block", required = true)]
        block_sizes: Vec<u32>,
        /// How many slots each stratum has at least.
        #[arg(long)]
        slots: u32,
        #[command(flatten)]
        access: Access,
    },
    /// Seals a list from a CSV file: `number,arm` and one column a factor. Prints its digest.
    Import {
        /// The file.
        file: PathBuf,
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        access: Access,
    },
    /// Closes a list: nobody is randomised from it any more.
    Close {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        access: Access,
    },
    /// Prints a closed list, byte by byte what its digest is over: `… | sha256sum`.
    Reveal {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        access: Access,
    },
}

/// Which list.
#[derive(clap::Args)]
pub(super) struct Which {
    /// The study.
    #[arg(long)]
    study: StudyId,
    /// The list's id: 1 to 32 of a-z, 0-9 and -.
    #[arg(long)]
    list: ListId,
}

impl Which {
    fn path(&self) -> String {
        format!("/v1/studies/{}/randomisation/{}", self.study, self.list)
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as name=value")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Randomisation {
    pub(super) async fn run(self) -> Result<(), CliError> {
        match self {
            Self::Seal { which, arms, factors, block_sizes, slots, access } => {
                let weight = |text: &str| text.parse::<u32>();
                let arm = |(arm, share): &(String, String)| match weight(share) {
                    Ok(weight) => Ok(json!({"arm": arm, "weight": weight})),
                    Err(_) => Err(CliError::input(format!("the weight of arm {arm} is no whole number"))),
                };
                let arms = arms.iter().map(arm).collect::<Result<Vec<Value>, _>>()?;
                let factor = |(factor, levels): &(String, String)| json!({"factor": factor, "levels": levels.split(',').collect::<Vec<_>>()});
                let factors: Vec<Value> = factors.iter().map(factor).collect();
                let body = json!({"type": "seal", "arms": arms, "factors": factors, "block_sizes": block_sizes, "slots": slots});
                seal(&which, &body, &access).await
            }
            Self::Import { file, which, access } => {
                let csv = tokio::fs::read_to_string(&file)
                    .await
                    .map_err(|error| CliError::input(format!("{}: {error}. Nothing was changed", file.display())))?;
                seal(&which, &json!({"type": "import", "csv": csv}), &access).await
            }
            Self::Close { which, access } => {
                Client::of(&access)?.post(&which.path(), &json!({"type": "close"})).await?;
                note!("The list {} of {} is closed.", which.list, which.study);
                Ok(())
            }
            Self::Reveal { which, access } => {
                let document = Client::of(&access)?.text(&format!("{}/reveal", which.path())).await?;
                // No line end: it would count.
                use std::io::Write as _;
                let written = std::io::stdout().lock().write_all(document.as_bytes());
                written.map_err(|error| CliError::failed("writing the list", error))
            }
        }
    }
}

async fn seal(which: &Which, body: &Value, access: &Access) -> Result<(), CliError> {
    let sealed = Client::of(access)?.post(&which.path(), body).await?.body;
    out!("{}", sealed["digest"].as_str().unwrap_or_default());
    note!(
        "The list {} of {} is sealed. Keep the digest elsewhere: it shows if the list is another one day.",
        which.list,
        which.study
    );
    Ok(())
}
