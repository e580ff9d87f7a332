//! `lethe nats …`.

use std::path::PathBuf;

use clap::Subcommand;
use domain::ids::TenantId;
use infra::nats_server::{TenantAccount, write_accounts};
use serde_json::json;

use super::CliError;
use crate::platform::StartError;

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
}

impl Nats {
    pub(super) fn run(self) -> Result<(), CliError> {
        let Self::Accounts { tenants, out, json } = self;
        let accounts: Vec<TenantAccount> = tenants
            .iter()
            .map(|tenant| TenantAccount::new(tenant.as_str()))
            .collect::<Result<_, _>>()
            .map_err(CliError::input)?;
        let written = write_accounts(&out, &accounts).map_err(StartError::from)?;
        if json {
            out!(
                "{}",
                json!({"accounts": written.accounts, "credentials": written.credentials, "tenants": written.tenants})
            );
        } else {
            out!("{}", written.accounts.display());
            out!("{}", written.credentials.display());
        }
        note!(
            "Every server includes accounts.conf and reloads it; lethe reads credentials.json. Keep both from others."
        );
        Ok(())
    }
}
