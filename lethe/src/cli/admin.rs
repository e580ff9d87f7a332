//! `lethe tenant …` and `lethe token …`: what the operator does, through the running platform or, where none
//! serves the data directory, one started for the purpose.

use std::collections::BTreeSet;

use clap::{Args, Subcommand};
use domain::ids::{Environment, OrganisationId, SiteId, TenantId};
use domain::permit::Role;
use serde_json::{Value, json};

use super::CliError;
use super::options::Place;
use crate::platform::Operator;

/// Tenants.
#[derive(Subcommand)]
pub(super) enum Tenant {
    /// Creates a tenant: an account on the nats-server, journal, keys, root key.
    Create {
        /// Its id: 1 to 32 of a-z, 0-9 and -.
        tenant: TenantId,
        #[command(flatten)]
        place: Place,
    },
}

impl Tenant {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let Self::Create { tenant, place } = self;
        let operator = Operator::of(&place).await?;
        let done = operator.post("/v1/admin/tenants", &json!({"tenant": tenant})).await;
        let link = match &done {
            Ok(_) => super::user::first_link(&operator, &tenant).await,
            Err(_) => Ok(None),
        };
        operator.leave().await;
        done?;
        link?;
        note!("Tenant {tenant} is there. Next: lethe study create --tenant {tenant} STUDY --name NAME");
        Ok(())
    }
}

/// Tokens.
#[derive(Subcommand)]
pub(super) enum Token {
    /// Makes a token and prints it once; only its hash is kept.
    Create(Box<CreateToken>),
    /// Ends a token's life.
    Revoke {
        /// Whose tenant.
        #[arg(long)]
        tenant: TenantId,
        /// The user that has it.
        #[arg(long)]
        user: uuid::Uuid,
        /// The token's id, as `token create --json` printed it.
        token_id: uuid::Uuid,
        #[command(flatten)]
        place: Box<Place>,
    },
}

/// Makes a token.
#[derive(Args)]
pub(super) struct CreateToken {
    /// Whose tenant.
    #[arg(long)]
    tenant: TenantId,
    /// The role.
    #[arg(long)]
    role: Role,
    /// Who it is for, for people; sealed as `user.profile`.
    #[arg(long)]
    name: String,
    /// Id of a user that has tokens already; a new one is drawn otherwise.
    #[arg(long)]
    user: Option<uuid::Uuid>,
    /// For a program instead of a person.
    #[arg(long)]
    service_account: bool,
    /// In which environment it is worth something.
    #[arg(long, default_value = "TEST")]
    environment: Environment,
    /// For which organisation.
    #[arg(long, default_value = "own")]
    organisation: OrganisationId,
    /// A site it reaches; may be given more than once. Without: all sites.
    #[arg(long = "site")]
    sites: Vec<SiteId>,
    /// After how many days it ends.
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u16).range(1..=3650))]
    days: u16,
    /// Prints a JSON object with the token and its ids.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

impl Token {
    pub(super) async fn run(self) -> Result<(), CliError> {
        match self {
            Self::Create(create) => create.run().await,
            Self::Revoke { tenant, user, token_id, place } => {
                let operator = Operator::of(&place).await?;
                let body = json!({"tenant": tenant, "user": user, "token_id": token_id});
                let done = operator.post("/v1/admin/tokens/revoke", &body).await;
                operator.leave().await;
                done?;
                note!("The token is worth nothing any more.");
                Ok(())
            }
        }
    }
}

impl CreateToken {
    async fn run(self) -> Result<(), CliError> {
        let sites: BTreeSet<SiteId> = self.sites.into_iter().collect();
        let sites = if sites.is_empty() { json!("all") } else { json!({ "only": sites }) };
        let body = json!({
            "tenant": self.tenant, "role": self.role, "name": self.name, "user": self.user,
            "service_account": self.service_account, "environment": self.environment,
            "organisation": self.organisation, "sites": sites, "days": self.days,
        });
        let operator = Operator::of(&self.place).await?;
        let done = operator.post("/v1/admin/tokens", &body).await;
        operator.leave().await;
        let made = done?;
        if self.json {
            out!("{made}");
        } else {
            out!("{}", made.get("token").and_then(Value::as_str).unwrap_or_default());
            let text = |key: &str| made.get(key).and_then(Value::as_str).unwrap_or_default();
            note!("Keep it: it is not shown again. It ends in {} days, or when you revoke it:", self.days);
            note!("  lethe token revoke --tenant {} --user {} {}", self.tenant, text("user"), text("token_id"));
        }
        Ok(())
    }
}
