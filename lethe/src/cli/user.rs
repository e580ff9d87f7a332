//! `lethe admin …` and `lethe user …`: who may come in.

use std::collections::BTreeSet;

use clap::{Args, Subcommand};
use domain::Moment;
use domain::ids::{Environment, OrganisationId, SiteId, TenantId};
use domain::permit::Role;
use serde_json::{Value, json};

use super::options::{Access, Place, word};
use super::{CliError, Client};
use crate::platform::Operator;

/// The operator's part: the first who administers.
#[derive(Subcommand)]
pub(super) enum Admin {
    /// Prints a link for the first who administers a tenant, as long as nobody does. An earlier one counts no more.
    Link {
        /// Which tenant.
        #[arg(long)]
        tenant: TenantId,
        #[command(flatten)]
        place: Place,
    },
}

impl Admin {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let Self::Link { tenant, place } = self;
        let operator = Operator::of(&place).await?;
        let link = first_link(&operator, &tenant).await;
        operator.leave().await;
        if link?.is_none() {
            return Err(CliError::conflict(format!(
                "somebody administers tenant {tenant} already: they invite others, and make new links"
            )));
        }
        Ok(())
    }
}

/// Prints the link, if nobody administers the tenant yet.
pub(super) async fn first_link(operator: &Operator, tenant: &TenantId) -> Result<Option<()>, CliError> {
    let body = json!({"tenant": tenant, "url": operator.url()});
    let link = operator.post("/v1/admin/first-link", &body).await?["link"].take();
    let Some(address) = link["address"].as_str() else { return Ok(None) };
    note!(
        "Nobody administers tenant {tenant} yet. Whoever opens this link first will, until {}:",
        link["expires_at"].as_str().unwrap_or_default()
    );
    out!("{address}");
    note!("At this terminal: lethe join '{address}'");
    Ok(Some(()))
}

/// People with accounts (role controller).
#[derive(Subcommand)]
pub(super) enum User {
    /// Invites somebody: prints a link with which they set their password and second factor.
    Invite(Box<Invite>),
    /// Makes a new link for somebody who lost theirs, or their password and codes.
    Link {
        /// The user.
        user: uuid::Uuid,
        #[command(flatten)]
        access: Box<Access>,
    },
    /// Lists users with their rights.
    List {
        /// Prints JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        access: Box<Access>,
    },
    /// Gives somebody else one more right.
    Give {
        /// The user.
        user: uuid::Uuid,
        #[command(flatten)]
        right: RightOptions,
        #[command(flatten)]
        access: Box<Access>,
    },
    /// Ends a right of somebody else.
    EndRight {
        /// The user.
        user: uuid::Uuid,
        /// The right's id.
        right: uuid::Uuid,
        #[command(flatten)]
        access: Box<Access>,
    },
}

/// Invites somebody.
#[derive(Args)]
pub(super) struct Invite {
    /// The full name, printed with signatures; sealed as `user.profile`.
    #[arg(long)]
    name: String,
    #[command(flatten)]
    right: RightOptions,
    #[command(flatten)]
    access: Access,
}

/// What somebody may be.
#[derive(Args)]
pub(super) struct RightOptions {
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
    /// Until when (RFC 3339). Without: until it is ended.
    #[arg(long, value_name = "TIME", value_parser = word::<Moment>)]
    until: Option<Moment>,
}

impl RightOptions {
    fn body(self) -> Value {
        let sites: BTreeSet<SiteId> = self.sites.into_iter().collect();
        let sites = if sites.is_empty() { json!("all") } else { json!({ "only": sites }) };
        json!({
            "role": self.role, "environment": self.environment, "organisation": self.organisation,
            "sites": sites, "expires_at": self.until,
        })
    }
}

impl User {
    pub(super) async fn run(self) -> Result<(), CliError> {
        match self {
            Self::Invite(invite) => {
                let Invite { name, right, access } = *invite;
                let client = Client::of(&access)?;
                let made = client.post("/v1/users", &json!({"name": name, "right": right.body()})).await?.body;
                made_link(&client, &made);
            }
            Self::Link { user, access } => {
                let client = Client::of(&access)?;
                let made = client.post(&format!("/v1/users/{user}/link"), &json!({})).await?.body;
                made_link(&client, &made);
            }
            Self::List { json, access } => {
                let users = Client::of(&access)?.get("/v1/users").await?.body["items"].take();
                if json {
                    out!("{users}");
                } else {
                    let columns = [("user", 36), ("login", 20), ("name", 24), ("opened", 6), ("link_until", 20)];
                    super::print::table(&columns, users.as_array().map_or(&[], Vec::as_slice));
                }
            }
            Self::Give { user, right, access } => {
                let given = Client::of(&access)?.post(&format!("/v1/users/{user}/rights"), &right.body()).await?.body;
                out!("{}", given["right"].as_str().unwrap_or_default());
            }
            Self::EndRight { user, right, access } => {
                let path = format!("/v1/users/{user}/rights/{right}/end");
                Client::of(&access)?.post(&path, &json!({})).await?;
                note!("The right counts no more.");
            }
        }
        Ok(())
    }
}

fn made_link(client: &Client, made: &Value) {
    let text = |key: &str| made[key].as_str().unwrap_or_default();
    let own = door::link_address(client.base(), text("link"));
    out!("{}", made["address"].as_str().unwrap_or(&own));
    note!(
        "For user {}, once, until {}. Hand it on by a way that reaches them alone.",
        text("user"),
        text("expires_at")
    );
}
