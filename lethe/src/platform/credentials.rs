//! Who stands behind a bearer token: looked up by its hash among the tenant's tokens.

use std::sync::Arc;

use async_trait::async_trait;
use command_svc::admin::{tenant_of_token, token_hash};
use domain::permit::Principal;
use domain::port::{Clock, Credentials, Failure, Tenants};

use super::registry::Registry;

/// Reads the token projection of the tenant that the token names.
pub(super) struct TokenCredentials {
    pub(super) tenants: Arc<Registry>,
    pub(super) clock: Arc<dyn Clock>,
}

#[async_trait]
impl Credentials for TokenCredentials {
    async fn authenticate(&self, token: &str) -> Result<Option<Principal>, Failure> {
        let Some(id) = tenant_of_token(token) else { return Ok(None) };
        let Some(tenant) = self.tenants.tenant(&id) else {
            return match self.tenants.refused().into_iter().find(|(refused, _)| *refused == id) {
                Some((_, reason)) => Err(Failure::unavailable("this tenant", reason)),
                None => Ok(None),
            };
        };
        projection_svc::tokens::principal_of(&tenant, &token_hash(token), self.clock.now()).await
    }
}
