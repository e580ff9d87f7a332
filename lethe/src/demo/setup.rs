//! The people and programs of the demo, each with a token of its own, and the study they work in.

use domain::ids::{Environment, UserId};
use domain::permit::Role;
use serde_json::json;

use super::{client, study};
use crate::cli::{ApiError, CliError, Client};
use crate::platform::{NewToken, Platform};

/// A client for each part that somebody plays.
pub struct Cast {
    /// The program that enters data.
    pub integrator: Client,
    /// Reads values and identities.
    pub investigator: Client,
    /// Reads the audit trail.
    pub auditor: Client,
    /// Asks for the erasure.
    pub dpo: Client,
    /// Approves it.
    pub controller: Client,
    /// The token shown in the curl lines.
    pub investigator_token: String,
}

impl Cast {
    /// Creates tenant, study and tokens, publishes the design, opens the sites and goes live.
    pub(crate) async fn assemble(platform: &Platform) -> Result<Self, CliError> {
        let tenant = "demo".parse().expect("a valid tenant id");
        let study_id = study::STUDY.parse().expect("a valid study id");
        platform.create_tenant(&tenant).await?;
        let name = "CARDIO-1, a demonstration".parse().expect("a valid label");
        platform.create_study(&tenant, &study_id, name, Environment::Test).await?;
        let token = async |role: Role, name: &str| {
            let service_account = role == Role::Integrator;
            platform
                .create_token(NewToken::new(&tenant, UserId(platform.dice().uuid()), role, name, service_account))
                .await
        };
        let designer = client(platform, &token(Role::StudyDesigner, "demo designer").await?);
        set_up(&designer).await?;
        let investigator_token = token(Role::Investigator, "demo investigator").await?;
        Ok(Self {
            integrator: client(platform, &token(Role::Integrator, "demo integrator").await?),
            investigator: client(platform, &investigator_token),
            auditor: client(platform, &token(Role::Auditor, "demo auditor").await?),
            dpo: client(platform, &token(Role::Dpo, "demo dpo").await?),
            controller: client(platform, &token(Role::Controller, "demo controller").await?),
            investigator_token,
        })
    }
}

impl Cast {
    /// The same tokens at another address.
    pub(crate) fn move_to(&mut self, base: &str) {
        let clients =
            [&mut self.integrator, &mut self.investigator, &mut self.auditor, &mut self.dpo, &mut self.controller];
        clients.into_iter().for_each(|client| *client = client.at(base));
    }
}

async fn set_up(designer: &Client) -> Result<(), ApiError> {
    let path = format!("/v1/studies/{}", study::STUDY);
    let published = designer.post(&format!("{path}/designs"), &study::design()).await?;
    for (site, name) in study::SITES {
        designer.post(&path, &json!({"type": "open-site", "site": site, "name": name})).await?;
    }
    designer.post(&path, &json!({"type": "go-live", "design": published.body["design"]})).await?;
    Ok(())
}
