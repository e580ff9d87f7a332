//! `lethe login`, `lethe join`, `lethe logout` and `lethe sessions …`: a person at the command line.

mod kept;
mod prompt;
mod proof;

use clap::{Args, Subcommand};
use domain::ids::{Environment, TenantId};
use domain::permit::Role;
use serde_json::{Value, json};

use super::options::Access;
use super::{CliError, Client};

pub(super) use kept::Kept;
use prompt::Prompt;
pub(super) use proof::proof;

/// Signs in and keeps the session for the commands that follow.
#[derive(Args)]
pub(super) struct Login {
    /// Into which tenant.
    #[arg(long)]
    tenant: TenantId,
    /// By which name; asked for otherwise.
    #[arg(long)]
    login: Option<String>,
    /// In which role, if there are several.
    #[arg(long)]
    role: Option<Role>,
    /// In which environment, if there are several.
    #[arg(long)]
    environment: Option<Environment>,
    /// Takes a recovery code instead of a one-time code.
    #[arg(long)]
    recovery: bool,
    /// Prints the session's token instead of keeping it: for LETHE_TOKEN of another machine.
    #[arg(long)]
    print: bool,
    #[command(flatten)]
    access: Access,
}

impl Login {
    /// Password and code are asked for unseen; where nobody sits at a terminal they are read from stdin, one a line.
    pub(super) async fn run(self) -> Result<(), CliError> {
        let client = Client::anonymous(&self.access)?;
        let mut prompt = Prompt::new();
        let login = match self.login {
            Some(login) => login,
            None => prompt.ask("Login")?,
        };
        let password = prompt.ask_unseen("Password")?;
        let (field, what) = if self.recovery { ("recovery_code", "Recovery code") } else { ("code", "One-time code") };
        let mut body = json!({"tenant": self.tenant, "login": login, "password": password});
        body[field] = prompt.ask_unseen(what)?.into();
        if let Some(role) = self.role {
            body["role"] = json!(role);
        }
        if let Some(environment) = self.environment {
            body["environment"] = json!(environment);
        }
        let begun = client.post("/v1/sign-in", &body).await?.body;
        keep(&client, &begun, self.print)
    }
}

/// Keeps or prints a session that has begun.
fn keep(client: &Client, begun: &Value, print: bool) -> Result<(), CliError> {
    let text = |key: &str| begun[key].as_str().unwrap_or_default().to_owned();
    if print {
        out!("{}", text("token"));
    } else {
        let kept = Kept { url: client.base().to_owned(), token: text("token") };
        let file = kept.write()?;
        note!("The session is kept in {} for the commands that follow.", file.display());
    }
    let minutes = begun["idle_seconds"].as_u64().unwrap_or_default() / 60;
    note!(
        "Signed in as {} in {} until {}; after {minutes} minutes without a command the session is over.",
        text("role"),
        text("environment"),
        text("session_ends_at")
    );
    Ok(())
}

/// Uses a link: sets the password and the second factor of a new account.
#[derive(Args)]
pub(super) struct Join {
    /// The link, or what stands behind its `#`. Asked for unseen if it is not given.
    link: Option<String>,
    #[command(flatten)]
    access: Access,
}

impl Join {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let mut prompt = Prompt::new();
        let link = match self.link {
            Some(link) => link,
            None => prompt.ask_unseen("Link")?,
        };
        let (base, secret) = link.split_once("/join#").map_or((None, link.as_str()), |(base, rest)| (Some(base), rest));
        let client = match base.filter(|_| self.access.url.is_none()) {
            Some(base) => Client::new(base, "").trusting(&self.access)?,
            None => Client::anonymous(&self.access)?,
        };
        let looked = client.post("/v1/links/look", &json!({ "link": secret })).await?.body;
        let text = |key: &str| looked[key].as_str().unwrap_or_default().to_owned();
        note!("An account of tenant {}. Add this to your authenticator:", text("tenant"));
        note!("  secret: {}", text("one_time_secret"));
        note!("  {}", text("one_time_uri"));
        let mut body = json!({ "link": secret });
        if looked["name_needed"] == true {
            body["name"] = prompt.ask("Full name, as printed with signatures")?.into();
            // The first administrator has rights everywhere, and studies begin in TEST.
            body["environment"] = json!(Environment::Test);
        }
        body["login"] = prompt.ask("Login")?.into();
        let password = prompt.ask_unseen("Password, 12 characters or more")?;
        if prompt.ask_unseen("The same again")? != password {
            return Err(CliError::input("the passwords differ: nothing was set, the link still counts"));
        }
        body["password"] = password.into();
        body["code"] = prompt.ask_unseen("One-time code of the authenticator")?.into();
        let opened = client.post("/v1/links/use", &body).await?.body;
        note!("The account is open. Recovery codes, each good once; keep them where you keep valuables:");
        opened["recovery_codes"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .for_each(|code| out!("{code}"));
        keep(&client, &opened, false)
    }
}

/// Ends the session that was kept.
#[derive(Args)]
pub(super) struct Logout {
    #[command(flatten)]
    access: Access,
}

impl Logout {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let ended = match Client::of(&self.access) {
            Ok(client) => client.post("/v1/sign-out", &json!({})).await.map(drop),
            Err(error) => return Err(error),
        };
        // One that is over is no reason to keep it.
        match ended {
            Err(error) if error.status != Some(401) => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        Kept::forget()?;
        note!("Signed out.");
        Ok(())
    }
}

/// Sessions.
#[derive(Subcommand)]
pub(super) enum Sessions {
    /// Lists the sessions that are not over: one's own, or a user's (role controller).
    List {
        /// Whose.
        #[arg(long)]
        user: Option<uuid::Uuid>,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        access: Access,
    },
    /// Ends a session: one's own from elsewhere, or a user's (role controller).
    Revoke {
        /// The session's id.
        session: uuid::Uuid,
        /// Whose. Needed if it is not one's own.
        #[arg(long)]
        user: Option<uuid::Uuid>,
        #[command(flatten)]
        access: Access,
    },
}

impl Sessions {
    pub(super) async fn run(self) -> Result<(), CliError> {
        match self {
            Self::List { user, json, access } => {
                let path = user.map_or_else(|| "/v1/sessions".to_owned(), |user| format!("/v1/users/{user}/sessions"));
                let found = Client::of(&access)?.get(&path).await?.body["items"].take();
                if json {
                    out!("{found}");
                } else {
                    let columns = [("session", 36), ("begun_at", 30), ("last_used_at", 30), ("this", 5)];
                    super::print::table(&columns, found.as_array().map_or(&[], Vec::as_slice));
                }
                Ok(())
            }
            Self::Revoke { session, user, access } => {
                let client = Client::of(&access)?;
                let user = match user {
                    Some(user) => user.to_string(),
                    None => own(&client).await?,
                };
                client.post(&format!("/v1/users/{user}/sessions/{session}/end"), &json!({})).await?;
                note!("The session is over.");
                Ok(())
            }
        }
    }
}

/// Who the kept session belongs to.
async fn own(client: &Client) -> Result<String, CliError> {
    let found = client.get("/v1/sessions").await?.body;
    found["user"].as_str().map(str::to_owned).ok_or_else(|| CliError::input("say whose session it is: --user"))
}
