//! Coming in by an identity provider of the tenant (OpenID Connect). Who somebody is, the provider says; what they may, the rights given
//! here say. Nobody comes in whom no invitation joined to an account.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::account::{Account, Command, Right, Second};
use domain::history::CommitHash;
use domain::ids::{Environment, SessionId, TenantId, UserId};
use domain::permit::Role;
use domain::port::{Dice, Failure, Identified, ProviderAsk, ProviderFault, Tenant};
use domain::scope::Plain;
use edge::Problem;
use projection_svc::accounts;
use time::OffsetDateTime;

use crate::links::NotUsed;
use crate::sign_in::{Begun, holder};
use crate::{Door, NoEntry, platform, secret};

/// How long somebody may take at the provider.
const BACK_WITHIN: Duration = Duration::from_secs(600);

/// How many are under way at once at most, and how many sessions of providers are remembered.
const KEPT_MAX: usize = 10_000;

/// Somebody who is at the provider now.
struct Away {
    tenant: TenantId,
    nonce: String,
    verifier: String,
    back: String,
    /// What the browser that began knows.
    binding: CommitHash,
    link: Option<String>,
    name: Option<Plain>,
    wanted: (Option<Role>, Option<Environment>),
    until: OffsetDateTime,
}

/// Who is away, by what they bring back; and the sessions of providers that stand behind ours.
#[derive(Default)]
pub(crate) struct Provided {
    away: Mutex<BTreeMap<String, Away>>,
    sessions: Mutex<BTreeMap<(TenantId, String), (UserId, SessionId)>>,
}

/// Who wants to come in by a provider.
pub(crate) struct Going {
    pub(crate) tenant: TenantId,
    pub(crate) back: String,
    pub(crate) link: Option<String>,
    pub(crate) name: Option<Plain>,
    pub(crate) wanted: (Option<Role>, Option<Environment>),
}

/// Where to send the browser, and what it has to know when it comes back.
pub(crate) struct Gone {
    pub(crate) location: String,
    pub(crate) binding: String,
}

impl Provided {
    fn put(&self, state: String, away: Away, now: OffsetDateTime) -> Result<(), NoEntry> {
        let mut kept = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.retain(|_, one| now < one.until);
        }
        if kept.len() >= KEPT_MAX {
            return Err(NoEntry::TooMany(Duration::from_secs(60)));
        }
        kept.insert(state, away);
        Ok(())
    }

    /// Once, in time, and to the browser that began.
    fn take(&self, state: &str, binding: &str, now: OffsetDateTime) -> Option<Away> {
        let found = self.away.lock().unwrap_or_else(PoisonError::into_inner).remove(state);
        found.filter(|one| now < one.until && one.binding == secret::hash(binding))
    }

    fn remember(&self, tenant: &TenantId, provided: String, user: UserId, session: SessionId) {
        let mut kept = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        // One that is forgotten is ended together with the others of its account.
        if kept.len() >= KEPT_MAX {
            kept.pop_first();
        }
        kept.insert((tenant.clone(), provided), (user, session));
    }

    fn known(&self, tenant: &TenantId, provided: &str) -> Option<(UserId, SessionId)> {
        let kept = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(&(tenant.clone(), provided.to_owned())).copied()
    }

    fn stands_behind(&self, session: SessionId) -> bool {
        let kept = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        kept.values().any(|(_, one)| *one == session)
    }
}

fn drawn(dice: &dyn Dice) -> String {
    URL_SAFE_NO_PAD.encode(dice.bytes())
}

/// What people are told of a provider's fault; the log has the rest.
fn no_use(fault: ProviderFault) -> NotUsed {
    NotUsed::Chosen(match fault {
        ProviderFault::None => {
            let detail =
                "this organisation has no identity provider here: sign in by password and code, or by a passkey";
            Problem::new(StatusCode::CONFLICT, "no-provider", detail)
        }
        ProviderFault::Refused(why) => {
            tracing::warn!(why, "an identity provider's answer does not count");
            let detail = "the identity provider's answer does not count: begin again";
            Problem::new(StatusCode::UNAUTHORIZED, "not-opened", detail)
        }
        ProviderFault::Failed(failure) => failure.into(),
    })
}

fn too_few() -> NotUsed {
    let detail = "the identity provider does not say that two factors were proved there: ask who runs it";
    NotUsed::Chosen(Problem::new(StatusCode::FORBIDDEN, "too-few-factors-there", detail))
}

fn taken() -> NotUsed {
    let detail = "this person of the identity provider has another account here";
    NotUsed::Chosen(Problem::new(StatusCode::CONFLICT, "identity-taken", detail))
}

impl Door {
    /// Sends somebody to their provider.
    pub(crate) async fn go(&self, going: Going, address: Option<IpAddr>) -> Result<Gone, NotUsed> {
        self.asking.admit(address, self.now()).map_err(NoEntry::TooMany)?;
        let dice = &*self.parts.dice;
        let (state, nonce, verifier, binding) = (drawn(dice), drawn(dice), drawn(dice), drawn(dice));
        let ask = ProviderAsk { back: &going.back, state: &state, nonce: &nonce, verifier: &verifier };
        let location = self.parts.providers.begin(&going.tenant, &ask).await.map_err(no_use)?;
        let Going { tenant, back, link, name, wanted } = going;
        let (until, hash) = (self.now() + BACK_WITHIN, secret::hash(&binding));
        let away = Away { tenant, nonce, verifier, back, binding: hash, link, name, wanted, until };
        self.provided.put(state, away, self.now())?;
        Ok(Gone { location, binding })
    }

    /// Takes somebody in who came back.
    pub(crate) async fn come_back(
        self: &Arc<Self>,
        (state, code, binding): (&str, &str, &str),
        address: Option<IpAddr>,
    ) -> Result<Begun, NotUsed> {
        self.admit(address)?;
        let away = self.provided.take(state, binding, self.now()).ok_or(NoEntry::Wrong)?;
        let ask = ProviderAsk { back: &away.back, state, nonce: &away.nonce, verifier: &away.verifier };
        let who = self.parts.providers.redeem(&away.tenant, &ask, code, self.now()).await.map_err(no_use)?;
        let tenant = self.parts.tenants.tenant(&away.tenant).ok_or(NoEntry::Wrong)?;
        // Two factors, always, wherever they are proved.
        if !who.two_factors {
            return Err(too_few());
        }
        let user = match &away.link {
            Some(link) => self.join_identity(&tenant, link, away.name.clone(), &who).await?,
            None => accounts::by_identity(&tenant, &who.issuer, &who.subject).await?.ok_or(NoEntry::Wrong)?,
        };
        let account = self.account(&tenant, user).await?;
        let begun = self.begin(&tenant, user, &account, away.wanted, Second::Provider, address).await?;
        if let Some(provided) = who.session {
            self.provided.remember(&tenant.id, provided, user, begun.session);
        }
        Ok(begun)
    }

    /// Joins a person of the provider to the account that a link opens.
    async fn join_identity(
        &self,
        tenant: &Arc<Tenant>,
        link: &str,
        name: Option<Plain>,
        who: &Identified,
    ) -> Result<UserId, NotUsed> {
        let hash = secret::hash(link);
        let (of, user) = self.find(link, &hash).await?;
        if of.id != tenant.id {
            return Err(NoEntry::Wrong.into());
        }
        let _nobody_else_takes_it = self.opening.lock().await;
        if accounts::by_identity(tenant, &who.issuer, &who.subject).await?.is_some_and(|other| other != user) {
            return Err(taken());
        }
        self.name(tenant, user, name).await?;
        let (issuer, subject) = (who.issuer.clone().into(), who.subject.clone().into());
        let command = Command::LinkIdentity { link: hash, issuer, subject };
        let position = self.command(tenant, user, platform(tenant), &command).await?;
        self.seen_by_all(tenant, &position).await?;
        Ok(user)
    }

    /// Ends what the provider says is over: one session of it, or all of the person's.
    pub(crate) async fn provider_logged_out(&self, tenant: &TenantId, token: &str) -> Result<(), NotUsed> {
        let over = self.parts.providers.logged_out(tenant, token, self.now()).await.map_err(no_use)?;
        let tenant = self.parts.tenants.tenant(tenant).ok_or(NoEntry::Wrong)?;
        let known = over.session.as_deref().and_then(|session| self.provided.known(&tenant.id, session));
        let user = match (&over.subject, known) {
            (Some(subject), _) => accounts::by_identity(&tenant, &over.issuer, subject).await?,
            (None, known) => known.map(|(user, _)| user),
        };
        // Nobody of ours: nothing is left to end.
        let Some(user) = user else { return Ok(()) };
        let account = self.account(&tenant, user).await?;
        let one = known.filter(|(of, _)| *of == user).map(|(_, session)| session);
        for session in account.sessions.keys().copied().filter(|session| one.is_none_or(|one| one == *session)) {
            let by = by_right_of(&tenant, user, &account, session);
            if let Some(by) = by {
                self.end_session(&tenant, by, user, session).await?;
            }
        }
        Ok(())
    }

    /// Where to send the browser so that the provider's own session ends too.
    pub(crate) async fn end_there(
        &self,
        tenant: &TenantId,
        session: Option<SessionId>,
        back: &str,
    ) -> Result<Option<String>, Failure> {
        if !session.is_some_and(|session| self.provided.stands_behind(session)) {
            return Ok(None);
        }
        match self.parts.providers.end(tenant, back).await {
            Ok(location) => Ok(location),
            Err(ProviderFault::Failed(failure)) => Err(failure),
            Err(_) => Ok(None),
        }
    }
}

/// The holder of a session, by its right.
fn by_right_of(
    tenant: &Tenant,
    user: UserId,
    account: &Account,
    session: SessionId,
) -> Option<domain::permit::Principal> {
    let right = account.sessions.get(&session)?.right;
    match account.rights.get(&right)? {
        Right::Given(terms) => Some(holder(tenant, user, terms, session)),
        // Its sessions ended with it.
        Right::Ended => None,
    }
}
