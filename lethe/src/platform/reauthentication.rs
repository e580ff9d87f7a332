//! Who signs, asked anew: in a session by the door, with what proves its holder.
//!
//! Without a session, by the bearer token, sent once more for this one signature: for programs that try a study out. That is one
//! component and no secret of the person alone, and the signature says so (`token`); in PROD it is none (ADR 0032).

use std::sync::{Arc, OnceLock, Weak};

use async_trait::async_trait;
use domain::decider::Fold;
use domain::history::{Aggregate, StreamId, Tail};
use domain::ids::Environment;
use domain::participant::{Factor, Signer};
use domain::permit::Principal;
use domain::port::{Clock, Credentials, Failure, Reauthentication, ReauthenticationError, Tenants};
use domain::scope::Erasable;
use domain::user::{AccountKind, User};
use door::Door;

use super::credentials::TokenCredentials;
use super::registry::Registry;

/// Asks the door, or takes the token again and prints the name that the account was registered under.
pub(super) struct AskedAnew {
    tenants: Arc<Registry>,
    tokens: TokenCredentials,
    /// Put there when both are: the door writes by the very commands that ask here.
    door: OnceLock<Weak<Door>>,
}

impl AskedAnew {
    pub(super) fn new(tenants: Arc<Registry>, clock: Arc<dyn Clock>) -> Self {
        Self { tokens: TokenCredentials { tenants: Arc::clone(&tenants), clock }, tenants, door: OnceLock::new() }
    }

    /// Has the door asked.
    pub(super) fn ask(&self, door: &Arc<Door>) {
        let _ = self.door.set(Arc::downgrade(door));
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
impl Reauthentication for AskedAnew {
    async fn signer(&self, principal: &Principal, credential: &str) -> Result<Signer, ReauthenticationError> {
        if principal.session.is_some() {
            let door = self.door.get().and_then(Weak::upgrade);
            return door.ok_or(ReauthenticationError::Refused)?.signer(principal, credential).await;
        }
        if principal.environment == Environment::Prod {
            return Err(ReauthenticationError::Refused);
        }
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
