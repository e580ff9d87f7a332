//! `lethe machine …`: programs that come in by secrets of their own.

use std::collections::BTreeSet;

use clap::{Args, Subcommand};
use domain::history::CommitHash;
use domain::ids::{Environment, OrganisationId, SiteId, StudyId};
use domain::network::Network;
use domain::permit::Role;
use serde_json::{Value, json};

use super::options::Access;
use super::{CliError, Client};

/// Programs with accounts of their own (role controller).
#[derive(Subcommand)]
pub(super) enum Machine {
    /// Lets a machine in and prints its id and its first secret, once.
    Create(Box<Create>),
    /// Issues one more secret and prints it, once. Two count side by side.
    Rotate {
        /// The machine.
        machine: uuid::Uuid,
        /// After how many days the new secret ends.
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..=366))]
        days: u64,
        /// For how many hours those before it go on counting, at most. Without: until they end by themselves.
        #[arg(long, value_name = "HOURS")]
        others_for_hours: Option<u64>,
        #[command(flatten)]
        access: Box<Access>,
    },
    /// Lists machines with their terms and the ends of their secrets.
    List {
        /// Prints JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        access: Box<Access>,
    },
    /// Ends a machine, or one of its secrets, at once.
    Revoke {
        /// The machine.
        machine: uuid::Uuid,
        /// This secret alone.
        #[arg(long)]
        secret: Option<uuid::Uuid>,
        #[command(flatten)]
        access: Box<Access>,
    },
}

/// Lets a machine in.
#[derive(Args)]
pub(super) struct Create {
    /// Its name, for people.
    #[arg(long)]
    name: String,
    /// In which role.
    #[arg(long)]
    role: Role,
    /// In which environment.
    #[arg(long)]
    environment: Environment,
    /// For which organisation.
    #[arg(long, default_value = "own")]
    organisation: OrganisationId,
    /// At which site; may be given more than once. Without: all sites.
    #[arg(long = "site")]
    sites: Vec<SiteId>,
    /// At the addresses of this study alone.
    #[arg(long)]
    study: Option<StudyId>,
    /// From this network alone (CIDR); may be given more than once. Without: from everywhere.
    #[arg(long = "from", value_name = "NETWORK")]
    networks: Vec<Network>,
    /// With this client certificate alone: SHA-256 of its DER form, in hexadecimal.
    #[arg(long, value_name = "SHA256")]
    certificate: Option<CommitHash>,
    /// After how many days its first secret ends.
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..=366))]
    days: u64,
    #[command(flatten)]
    access: Access,
}

impl Create {
    async fn run(self) -> Result<(), CliError> {
        let sites: BTreeSet<SiteId> = self.sites.into_iter().collect();
        let sites = if sites.is_empty() { json!("all") } else { json!({ "only": sites }) };
        let terms = json!({
            "role": self.role, "environment": self.environment, "organisation": self.organisation, "sites": sites,
            "study": self.study, "networks": self.networks, "certificate": self.certificate,
        });
        let body = json!({"name": self.name, "terms": terms, "days": self.days});
        print(&Client::of(&self.access)?.post("/v1/machines", &body).await?.body);
        Ok(())
    }
}

impl Machine {
    pub(super) async fn run(self) -> Result<(), CliError> {
        match self {
            Self::Create(create) => create.run().await,
            Self::Rotate { machine, days, others_for_hours, access } => {
                let body = json!({"days": days, "others_for_hours": others_for_hours});
                let path = format!("/v1/machines/{machine}/secrets");
                print(&Client::of(&access)?.post(&path, &body).await?.body);
                Ok(())
            }
            Self::List { json, access } => {
                let machines = Client::of(&access)?.get("/v1/machines").await?.body["items"].take();
                list(&machines, json);
                Ok(())
            }
            Self::Revoke { machine, secret, access } => {
                let path = match secret {
                    Some(secret) => format!("/v1/machines/{machine}/secrets/{secret}/revoke"),
                    None => format!("/v1/machines/{machine}/dismiss"),
                };
                Client::of(&access)?.post(&path, &json!({})).await?;
                note!("It counts no more, and what it was given does not.");
                Ok(())
            }
        }
    }
}

fn print(issued: &Value) {
    let text = |key: &str| issued[key].as_str().unwrap_or_default();
    out!("client_id      {}", text("client_id"));
    out!("client_secret  {}", text("client_secret"));
    note!("Secret {}, until {}. It is shown here only.", text("secret"), text("expires_at"));
}

fn list(machines: &Value, json: bool) {
    if json {
        out!("{machines}");
        return;
    }
    let line = |one: &Value| {
        let terms = &one["terms"];
        let ends = one["secrets"].as_array().into_iter().flatten().filter_map(|secret| secret["expires_at"].as_str());
        json!({
            "machine": one["machine"], "role": terms["role"], "environment": terms["environment"],
            "study": terms["study"], "secrets_end": ends.collect::<Vec<_>>().join(" "),
        })
    };
    let lines: Vec<Value> = machines.as_array().into_iter().flatten().map(line).collect();
    let columns = [("machine", 36), ("role", 14), ("environment", 11), ("study", 16), ("secrets_end", 41)];
    super::print::table(&columns, &lines);
}
