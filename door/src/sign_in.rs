//! From a login to a session.

use std::net::IpAddr;
use std::sync::Arc;

use domain::Moment;
use domain::account::{Account, Command, Second, Terms};
use domain::history::{Actor, ActorKind};
use domain::ids::{AttemptId, Environment, RightId, SessionId, TenantId, UserId};
use domain::incident::watch::Sighting;
use domain::permit::{Principal, Role};
use domain::port::{Failure, Tenant};
use domain::rejection::Rejection as _;
use domain::scope::Plain;
use projection_svc::accounts;

use crate::proof::{Factors, Proved};
use crate::throttle::left;
use crate::{Door, NoEntry, platform, secret};

/// Who wants in, and as what.
pub(crate) struct Wanted {
    pub(crate) tenant: TenantId,
    pub(crate) login: Plain,
    pub(crate) factors: Factors,
    pub(crate) role: Option<Role>,
    pub(crate) environment: Option<Environment>,
}

/// A session that has begun. Its secret is known here and now only.
pub(crate) struct Begun {
    pub(crate) user: UserId,
    pub(crate) session: SessionId,
    pub(crate) secret: String,
    pub(crate) right: RightId,
    pub(crate) terms: Terms,
    pub(crate) expires_at: Moment,
}

impl Door {
    /// Checks what was given and begins a session. Unknown, wrong and used all end in the same answer, after the same work.
    pub(crate) async fn sign_in(self: &Arc<Self>, wanted: Wanted, address: Option<IpAddr>) -> Result<Begun, NoEntry> {
        let tenant = self.parts.tenants.tenant(&wanted.tenant);
        let outcome = self.try_sign_in(wanted, address).await;
        if let (Some(tenant), Err(NoEntry::Wrong | NoEntry::TooMany(_))) = (tenant, &outcome) {
            self.parts.watching.saw(&tenant.id, Sighting::NoEntry);
        }
        outcome
    }

    async fn try_sign_in(self: &Arc<Self>, wanted: Wanted, address: Option<IpAddr>) -> Result<Begun, NoEntry> {
        self.admit(address)?;
        let (now, name) = (self.now(), format!("{}/{}", wanted.tenant, wanted.login.0));
        self.names.begin("login", &name, now).map_err(NoEntry::TooMany)?;
        let Some(tenant) = self.parts.tenants.tenant(&wanted.tenant) else {
            self.prove(None, &wanted.factors).await?;
            return Err(NoEntry::Wrong);
        };
        let user = accounts::by_login(&tenant, &wanted.login.0).await?;
        // Who is not there is looked up all the same.
        let account = self.account(&tenant, user.unwrap_or(UserId(uuid::Uuid::nil()))).await?;
        if let Some(until) = account.locked_until().filter(|until| now < *until) {
            user.iter().for_each(|user| self.parts.watching.saw(&tenant.id, Sighting::SignInFailed(*user)));
            return Err(NoEntry::TooMany(left(now, until)));
        }
        let proved = self.prove(account.credentials.as_ref(), &wanted.factors).await?;
        let Some(user) = user else { return Err(NoEntry::Wrong) };
        let Some(Proved { password: true, second: Some(second) }) = proved else {
            self.record_failure(&tenant, user, address);
            return Err(NoEntry::Wrong);
        };
        let (role, environment) = (wanted.role, wanted.environment);
        let begun = match self.begin(&tenant, user, &account, (role, environment), second, address).await {
            Err(NoEntry::Refused(command_svc::Refusal::Rejected(answer))) if answer.code() == "code-used" => {
                self.record_failure(&tenant, user, address);
                return Err(NoEntry::Wrong);
            }
            other => other,
        };
        // Both factors were right: whatever is in the way now, it is no guess.
        self.names.forget("login", &name);
        begun
    }

    /// Begins a session for who has proved both factors: by the right that was asked for, or the first there is.
    pub(crate) async fn begin(
        &self,
        tenant: &Tenant,
        user: UserId,
        account: &Account,
        (role, environment): (Option<Role>, Option<Environment>),
        second: Second,
        address: Option<IpAddr>,
    ) -> Result<Begun, NoEntry> {
        let now = self.now();
        let fits = |terms: &Terms| {
            role.is_none_or(|role| role == terms.role) && environment.is_none_or(|one| one == terms.environment)
        };
        // Real participants first.
        let found = account.rights_at(now).filter(|(_, terms)| fits(terms)).max_by_key(|(_, terms)| terms.environment);
        let (right, terms) = found.map(|(right, terms)| (right, terms.clone())).ok_or(NoEntry::NoRight)?;
        let (session, secret) = (SessionId(self.parts.dice.uuid()), secret::session(&*self.parts.dice, &tenant.id));
        let expires_at = Moment(now + self.parts.rules.session);
        let command = Command::BeginSession {
            session,
            token_hash: secret::hash(&secret),
            right,
            expires_at,
            second,
            address: address.map(|address| address.to_string().into()),
        };
        let by = holder(tenant, user, &terms, session);
        let position = self.command(tenant, user, by, &command).await?;
        self.seen_by_all(tenant, &position).await?;
        tracing::info!(tenant = %tenant.id, %user, %session, role = %terms.role, "signed in");
        Ok(Begun { user, session, secret, right, terms, expires_at })
    }

    /// Has it recorded that somebody did not prove to be the holder. Nobody waits for that: an account that is there would be
    /// told from one that is not by the time of its answer.
    pub(crate) fn record_failure(self: &Arc<Self>, tenant: &Arc<Tenant>, user: UserId, address: Option<IpAddr>) {
        let (door, tenant) = (Arc::clone(self), Arc::clone(tenant));
        let attempt = AttemptId(self.parts.dice.uuid());
        self.parts.watching.saw(&tenant.id, Sighting::SignInFailed(user));
        tokio::spawn(async move {
            let address = address.map(|address| address.to_string().into());
            let command = Command::RecordFailure { attempt, address };
            if let Err(refusal) = door.command(&tenant, user, platform(&tenant), &command).await {
                tracing::warn!(tenant = %tenant.id, %user, %refusal, "a failed sign-in is not on record");
            }
        });
    }

    /// Takes another password, from who proves the one there is and a code.
    pub(crate) async fn change_password(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        who: &Principal,
        factors: &Factors,
        new: Plain,
    ) -> Result<(), NoEntry> {
        let Some(session) = who.session else { return Err(NoEntry::NoRight) };
        let (user, name) = (who.actor.id, who.actor.id.to_string());
        self.names.begin("password", &name, self.now()).map_err(NoEntry::TooMany)?;
        let account = self.account(tenant, user).await?;
        let Some(Proved { password: true, second: Some(second) }) =
            self.prove(account.credentials.as_ref(), factors).await?
        else {
            self.record_failure(tenant, user, None);
            return Err(NoEntry::Wrong);
        };
        let password = self.hashed(new).await?;
        let command = Command::ChangePassword { session, second, password };
        let position = self.command(tenant, user, who.clone(), &command).await?;
        self.names.forget("password", &name);
        Ok(self.seen_by_all(tenant, &position).await?)
    }

    /// The hash of a password, as it is stored.
    pub(crate) async fn hashed(self: &Arc<Self>, password: Plain) -> Result<Plain, Failure> {
        let door = Arc::clone(self);
        let hash = self.slowly(move || door.parts.secrets.hash_password(&password.0)).await??;
        Ok(hash.into())
    }
}

/// The holder of an account, acting by one of their rights.
pub(crate) fn holder(tenant: &Tenant, user: UserId, terms: &Terms, session: SessionId) -> Principal {
    let (role, organisation) = (terms.role, terms.organisation.clone());
    Principal {
        tenant: tenant.id.clone(),
        environment: terms.environment,
        actor: Actor { id: user, kind: ActorKind::User, role, organisation },
        sites: terms.sites.clone(),
        session: Some(session),
    }
}
