//! Who writes, asks, approves and reads: a tenant with a live study, and tokens that outlive every restart.

use domain::ids::{Environment, UserId};
use domain::permit::{Role, Sites};
use serde_json::{Value, json};

use super::Server;
use crate::cli::{ApiError, Client};
use crate::demo::study::{SITES, STUDY, design};
use crate::platform::random_id;

/// The tenant.
pub(super) const TENANT: &str = "soak";

/// The tokens of all parts.
pub(super) struct Cast {
    integrator: String,
    investigator: String,
    dpo: String,
    controller: String,
}

/// The same people at the platform as it runs now: its port is another after each start.
#[derive(Clone)]
pub(super) struct Clients {
    pub(super) integrator: Client,
    pub(super) investigator: Client,
    pub(super) dpo: Client,
    pub(super) controller: Client,
}

impl Cast {
    /// Creates all by the operator's routes.
    pub(super) async fn assemble(server: &Server) -> Result<Self, ApiError> {
        let operator = Client::new(&server.url, &server.operator_token);
        operator.post("/v1/admin/tenants", &json!({"tenant": TENANT})).await?;
        let study = json!({"tenant": TENANT, "study": STUDY, "name": "Soak", "environment": Environment::Test});
        operator.post("/v1/admin/studies", &study).await?;
        let designer = Client::new(&server.url, token(&operator, Role::StudyDesigner).await?);
        let path = format!("/v1/studies/{STUDY}");
        let published = designer.post(&format!("{path}/designs"), &design()).await?;
        for (site, name) in SITES {
            designer.post(&path, &json!({"type": "open-site", "site": site, "name": name})).await?;
        }
        designer.post(&path, &json!({"type": "go-live", "design": published.body["design"]})).await?;
        Ok(Self {
            integrator: token(&operator, Role::Integrator).await?,
            investigator: token(&operator, Role::Investigator).await?,
            dpo: token(&operator, Role::Dpo).await?,
            controller: token(&operator, Role::Controller).await?,
        })
    }

    pub(super) fn at(&self, server: &Server) -> Clients {
        let client = |token: &String| Client::new(&server.url, token);
        Clients {
            integrator: client(&self.integrator),
            investigator: client(&self.investigator),
            dpo: client(&self.dpo),
            controller: client(&self.controller),
        }
    }
}

async fn token(operator: &Client, role: Role) -> Result<String, ApiError> {
    let body = json!({
        "tenant": TENANT, "role": role, "name": format!("soak {role}"), "user": UserId(random_id()),
        "service_account": role == Role::Integrator, "environment": Environment::Test, "organisation": "own",
        "sites": Sites::All, "days": 90,
    });
    let made = operator.post("/v1/admin/tokens", &body).await?.body;
    Ok(made.get("token").and_then(Value::as_str).unwrap_or_default().to_owned())
}
