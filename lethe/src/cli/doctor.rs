//! `lethe doctor`.

use clap::Args;
use serde_json::{Value, json};

use super::CliError;
use super::options::Place;
use crate::platform::{Operator, running};

/// Looks at this installation and says what is unsafe about it; changes nothing. Ends with 1 if something is.
#[derive(Args)]
pub(super) struct Doctor {
    /// Prints it as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

impl Doctor {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let data_dir = self.place.data_dir()?;
        if running(&data_dir).is_none() {
            let message =
                format!("nothing serves {}: start it as it is to run, the doctor looks at that", data_dir.display());
            return Err(CliError::unavailable(message));
        }
        let operator = Operator::of(&self.place).await?;
        let answer = operator.post("/v1/admin/doctor", &json!({})).await;
        operator.leave().await;
        let findings = answer?["findings"].take();
        let findings = findings.as_array().map_or(&[][..], Vec::as_slice);
        if self.json {
            out!("{}", json!({ "findings": findings }));
        } else {
            findings.iter().for_each(print);
        }
        let unsafe_ones = findings.iter().filter(|one| one["verdict"] == "unsafe").count();
        match unsafe_ones {
            0 => Ok(()),
            _ => Err(CliError::failed("not for people's data as it is", format!("{unsafe_ones} unsafe"))),
        }
    }
}

fn print(finding: &Value) {
    let text = |key: &str| finding[key].as_str().unwrap_or_default();
    out!("{:<8} {}: {}", text("verdict"), text("about"), text("found"));
    if let Some(next) = finding["next"].as_str() {
        out!("         → {next}");
    }
}
