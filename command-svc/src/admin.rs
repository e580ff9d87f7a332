//! What only the platform does, for the command line and the demo: no address leads here.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Moment;
use domain::design::content_hash;
use domain::history::{Aggregate, CommitHash, Position, StreamId};
use domain::ids::{Environment, Label, OrganisationId, StudyId, TenantId, TokenId, UserId};
use domain::permit::{Principal, Role, Sites};
use domain::port::Tenant;
use domain::scope::Plain;
use domain::study::{self, Study};
use domain::user::{self, AccountKind, Grant, User};
use time::OffsetDateTime;

use crate::commands::Commands;
use crate::execute::{Done, Request};
use crate::refusal::Refusal;

/// Users belong to the tenant and to no study; they are real people even where a study is a test.
const OF_TENANT: Environment = Environment::Prod;

/// What a token opens, and until when.
#[derive(Debug, Clone)]
pub struct Terms {
    /// In which role.
    pub role: Role,
    /// In which environment.
    pub environment: Environment,
    /// For which organisation.
    pub organisation: OrganisationId,
    /// At which sites.
    pub sites: Sites,
    /// Until when.
    pub expires_at: OffsetDateTime,
}

/// A token that was issued. Its text is known here and now only: what is stored is its hash.
#[derive(Clone)]
pub struct IssuedToken {
    /// Its id, to revoke it by.
    pub id: TokenId,
    /// `lethe_<tenant>_<43 characters>`: what stands behind `Authorization: Bearer`.
    pub text: String,
    /// When the read models have taken this in, the token counts.
    pub position: Position,
}

/// Never prints the token.
impl fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedToken").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What a token is known by: SHA-256 over the whole of its text.
pub fn token_hash(token: &str) -> CommitHash {
    content_hash(token.as_bytes())
}

/// Whose token it says it is; none if it does not look like one.
pub fn tenant_of_token(token: &str) -> Option<TenantId> {
    let (tenant, secret) = token.strip_prefix("lethe_")?.split_once('_')?;
    (secret.len() == 43).then(|| tenant.parse().ok()).flatten()
}

impl Commands {
    /// Creates a study whose journal stream is provisioned. Creating it again does nothing.
    pub async fn create_study(
        &self,
        tenant: &Tenant,
        study: &StudyId,
        name: Label,
        environment: Environment,
    ) -> Result<Done, Refusal> {
        let stream = StreamId::in_study(&tenant.id, study, Aggregate::Study, study);
        let command = study::Command::Create { name, environment };
        self.execute::<Study>(tenant, &stream, &command, &self.system_request(tenant, environment)).await
    }

    /// Registers a person or program under an id of the caller's choice. Registering it again does nothing.
    pub async fn register_user(
        &self,
        tenant: &Tenant,
        user: UserId,
        kind: AccountKind,
        organisation: OrganisationId,
        name: Plain,
    ) -> Result<Done, Refusal> {
        let command = user::Command::Register { kind, organisation, name };
        self.command_user(tenant, user, &command).await
    }

    /// Issues a token to a registered user.
    pub async fn issue_token(&self, tenant: &Tenant, user: UserId, terms: Terms) -> Result<IssuedToken, Refusal> {
        let secret = URL_SAFE_NO_PAD.encode(self.dice.bytes());
        let text = format!("lethe_{}_{secret}", tenant.id);
        let id = TokenId(self.dice.uuid());
        let grant = Grant {
            token_hash: token_hash(&text),
            role: terms.role,
            environment: terms.environment,
            organisation: terms.organisation,
            sites: terms.sites,
            expires_at: Moment(terms.expires_at),
        };
        let command = user::Command::IssueToken { token: id, grant };
        let position = self.command_user(tenant, user, &command).await?.position;
        Ok(IssuedToken { id, text, position })
    }

    /// Ends a token.
    pub async fn revoke_token(&self, tenant: &Tenant, user: UserId, token: TokenId) -> Result<Done, Refusal> {
        self.command_user(tenant, user, &user::Command::RevokeToken { token }).await
    }

    async fn command_user(&self, tenant: &Tenant, user: UserId, command: &user::Command) -> Result<Done, Refusal> {
        let stream = StreamId::in_tenant(&tenant.id, Aggregate::User, user);
        self.execute::<User>(tenant, &stream, command, &self.system_request(tenant, OF_TENANT)).await
    }

    fn system_request(&self, tenant: &Tenant, environment: Environment) -> Request {
        self.request(Principal::system(tenant.id.clone(), environment))
    }
}
