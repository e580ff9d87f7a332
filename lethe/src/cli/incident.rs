//! `lethe incident …`: what looked like an attack, and what was found out.

use clap::Subcommand;
use domain::ids::InstructionId;
use domain::incident::Finding;
use serde_json::{Value, json};

use super::options::{Access, word};
use super::{CliError, Client};
use crate::platform::random_id;

/// What looked like an attack or a misuse, and what was found out about it.
#[derive(Subcommand)]
pub(super) enum Incident {
    /// Lists incidents, the newest first (roles dpo, controller, auditor).
    List {
        /// Those without a finding only.
        #[arg(long)]
        open: bool,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        access: Box<Access>,
    },
    /// Says that somebody looks into it (roles dpo, controller).
    Acknowledge {
        /// The incident.
        incident: uuid::Uuid,
        #[command(flatten)]
        access: Box<Access>,
    },
    /// Says what was found out (roles dpo, controller).
    Close {
        /// The incident.
        incident: uuid::Uuid,
        /// What: false-alarm, mistake, misuse, attack-repelled, breach or exercise.
        #[arg(long, value_parser = word::<Finding>)]
        finding: Finding,
        /// Where in the controller's own register more is said. Not for words about a person.
        #[arg(long)]
        reference: Option<InstructionId>,
        #[command(flatten)]
        access: Box<Access>,
    },
}

impl Incident {
    pub(super) async fn run(self) -> Result<(), CliError> {
        match self {
            Self::List { open, json, access } => {
                let path = if open { "/v1/incidents?open=true" } else { "/v1/incidents" };
                let found = Client::of(&access)?.get(path).await?.body["items"].take();
                if json {
                    out!("{found}");
                } else {
                    let columns = [
                        ("incident", 36),
                        ("opened_at", 30),
                        ("rule", 16),
                        ("user", 36),
                        ("count", 5),
                        ("finding", 15),
                    ];
                    let rows: Vec<Value> = found.as_array().into_iter().flatten().map(row).collect();
                    super::print::table(&columns, &rows);
                }
                Ok(())
            }
            Self::Acknowledge { incident, access } => send(&access, incident, &json!({"type": "acknowledge"})).await,
            Self::Close { incident, finding, reference, access } => {
                send(&access, incident, &json!({"type": "close", "finding": finding, "reference": reference})).await
            }
        }
    }
}

fn row(incident: &Value) -> Value {
    let mut row = incident.clone();
    for name in ["rule", "user", "count"] {
        row[name] = incident["alert"][name].clone();
    }
    row
}

async fn send(access: &Access, incident: uuid::Uuid, command: &Value) -> Result<(), CliError> {
    let path = format!("/v1/incidents/{incident}");
    Client::of(access)?.command(&path, random_id(), None, None, command).await?;
    Ok(())
}
