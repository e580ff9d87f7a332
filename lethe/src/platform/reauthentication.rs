//! Who signs: asked anew by the bearer token, sent once more for this one signature.
//!
//! That is one component and no secret of the person alone, and the signature says so (`token`). Passwords, one-time
//! codes and passkeys take this place when accounts have them; the port stays.

use std::sync::Arc;

use async_trait::async_trait;
use domain::decider::Fold;
use domain::history::{Aggregate, StreamId, Tail};
use domain::participant::{Factor, Signer};
use domain::permit::Principal;
use domain::port::{Clock, Credentials, Failure, Reauthentication, ReauthenticationError, Tenants};
use domain::scope::Erasable;
use domain::user::{AccountKind, User};

use super::credentials::TokenCredentials;
use super::registry::Registry;

/// Takes the token again, and prints the name that the account was registered under.
pub(super) struct TokenReauthentication {
    tenants: Arc<Registry>,
    tokens: TokenCredentials,
}

impl TokenReauthentication {
    pub(super) fn new(tenants: Arc<Registry>, clock: Arc<dyn Clock>) -> Self {
        Self { tokens: TokenCredentials { tenants: Arc::clone(&tenants), clock }, tenants }
    }

    /// The account as its own stream says: a read model may be behind.
    async fn user(&self, principal: &Principal) -> Result<User, Failure> {
        let missing = || Failure::missing(format!("tenant {}", principal.tenant));
        let tenant = self.tenants.tenant(&principal.tenant).ok_or_else(missing)?;
        let stream = StreamId::in_tenant(&principal.tenant, Aggregate::User, principal.actor.id);
        let mut user = User::default();
        for commit in tenant.journal.load(&stream, Tail::default()).await? {
            user.apply(&commit).map_err(|fault| Failure::damaged(&stream, fault))?;
        }
        Ok(user)
    }
}

#[async_trait]
impl Reauthentication for TokenReauthentication {
    async fn signer(&self, principal: &Principal, credential: &str) -> Result<Signer, ReauthenticationError> {
        let token = credential.strip_prefix("Bearer ").unwrap_or(credential);
        let found = self.tokens.authenticate(token).await?.ok_or(ReauthenticationError::Refused)?;
        let same = (&found.tenant, found.environment, &found.actor)
            == (&principal.tenant, principal.environment, &principal.actor);
        if !same {
            return Err(ReauthenticationError::Refused);
        }
        match self.user(principal).await?.account() {
            Some(account) if account.kind == AccountKind::User => match &account.name {
                Erasable::Known(name) => Ok(Signer { printed_name: name.clone().into(), factors: vec![Factor::Token] }),
                Erasable::Erased => Err(ReauthenticationError::NoPrintedName),
            },
            Some(_) | None => Err(ReauthenticationError::Refused),
        }
    }
}
