//! `lethe nats …`.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use domain::ids::TenantId;
use infra::nats_server::{TenantAccount, write_accounts};
use serde_json::json;

use super::CliError;
use super::options::Place;
use crate::platform::{Operator, StartError};

/// What a NATS that others run must be told about Lethe.
#[derive(Subcommand)]
pub(super) enum Nats {
    /// Writes the accounts and logins of tenants: `accounts.conf`, which the configuration of every server includes, and
    /// `credentials.json` for --nats-credentials. Tenants that have theirs in the folder keep them (docs/cluster.md).
    Accounts {
        /// Who gets an account. May be given more than once.
        #[arg(long = "tenant", required = true)]
        tenants: Vec<TenantId>,
        /// The folder. It holds passwords: it is made for this user only.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Prints what was written as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Prints the address and the login with which integrators send commands at a tenant's second door, which is NATS
    /// (docs/second-door.md). They need a token, too.
    Login {
        /// Whose door.
        #[arg(long)]
        tenant: TenantId,
        /// Prints a JSON object.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Box<Place>,
    },
}

impl Nats {
    pub(super) async fn run(self) -> Result<(), CliError> {
        match self {
            Self::Accounts { tenants, out, json } => accounts(&tenants, &out, json),
            Self::Login { tenant, json, place } => login(&tenant, json, &place).await,
        }
    }
}

async fn login(tenant: &TenantId, json: bool, place: &Place) -> Result<(), CliError> {
    let operator = Operator::of(place).await?;
    let login = operator.post("/v1/admin/nats/login", &json!({"tenant": tenant})).await;
    operator.leave().await;
    let login = login?;
    if json {
        out!("{login}");
        return Ok(());
    }
    for (name, key) in
        [("address", "url"), ("user", "user"), ("password", "password"), ("inbox prefix", "inbox_prefix")]
    {
        out!("{name:14}{}", login[key].as_str().unwrap_or_default());
    }
    out!("{:14}{}STUDY.participant.ID, …", "subjects", login["subject"].as_str().unwrap_or_default());
    Ok(())
}

fn accounts(tenants: &[TenantId], out: &Path, json: bool) -> Result<(), CliError> {
    let accounts: Vec<TenantAccount> = tenants
        .iter()
        .map(|tenant| TenantAccount::new(tenant.as_str()))
        .collect::<Result<_, _>>()
        .map_err(CliError::input)?;
    let written = write_accounts(out, &accounts).map_err(StartError::from)?;
    if json {
        out!(
            "{}",
            json!({"accounts": written.accounts, "credentials": written.credentials, "tenants": written.tenants})
        );
    } else {
        out!("{}", written.accounts.display());
        out!("{}", written.credentials.display());
    }
    note!("Every server includes accounts.conf and reloads it; lethe reads credentials.json. Keep both from others.");
    Ok(())
}
