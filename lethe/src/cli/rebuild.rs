//! `lethe rebuild`.

use clap::Args;
use domain::ids::TenantId;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::CliError;
use super::options::Place;
use super::progress::ended;
use crate::platform::Operator;

/// Builds the read models anew from the journal, beside the live ones; compares them and switches.
#[derive(Args)]
pub(super) struct Rebuild {
    /// Whose.
    #[arg(long)]
    tenant: TenantId,
    /// Which read model; without: all.
    #[arg(long)]
    projection: Option<String>,
    /// Prints the report as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

impl Rebuild {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let operator = Operator::of(&self.place).await?;
        let style = ProgressStyle::with_template("{msg:14} {bar:40} {pos}/{len} commits, {eta} left");
        let bar = ProgressBar::new(0).with_style(style.expect("the template is constant"));
        let mut reports = Vec::new();
        let mut failed = None;
        let body = json!({"tenant": self.tenant, "projection": self.projection});
        let done = operator
            .lines("/v1/admin/rebuild", &body, |line| match line.get("kind").and_then(Value::as_str) {
                Some("progress") => {
                    bar.set_length(line["total"].as_u64().unwrap_or_default());
                    bar.set_position(line["done"].as_u64().unwrap_or_default());
                    bar.set_message(line["projection"].as_str().unwrap_or_default().to_owned());
                }
                Some("report") => reports.push(line),
                _ => failed = Some(ended("the rebuild did not finish, the old read models go on", &line)),
            })
            .await;
        bar.finish_and_clear();
        operator.leave().await;
        done?;
        if let Some(failed) = failed {
            return Err(failed);
        }
        self.print(&reports);
        Ok(())
    }

    fn print(&self, reports: &[Value]) {
        if self.json {
            return out!("{}", Value::from(reports.to_vec()));
        }
        out!("{:<16} {:>8} {:>12}", "read model", "rows", "differences");
        for report in reports {
            let number = |key: &str| report[key].as_u64().unwrap_or_default();
            out!(
                "{:<16} {:>8} {:>12}",
                report["projection"].as_str().unwrap_or_default(),
                number("rows"),
                number("differences")
            );
        }
    }
}
