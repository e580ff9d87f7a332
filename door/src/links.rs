//! How accounts begin: with a link that is used once, and then with a password and a second factor that its holder sets. There is
//! no password that somebody else knows, and none that is there from the start.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use domain::Moment;
use domain::account::{Command, Second, Terms};
use domain::history::CommitHash;
use domain::ids::{Environment, OrganisationId, RightId, TenantId, UserId};
use domain::permit::{Principal, Role, Sites};
use domain::port::{Failure, Tenant};
use domain::scope::Plain;
use domain::user::AccountKind;
use edge::Problem;
use projection_svc::{Visible, accounts};
use time::OffsetDateTime;

use crate::proof::{recovery_codes, recovery_hash};
use crate::sign_in::Begun;
use crate::{Door, NoEntry, platform, secret};

/// How long the secret of one-time codes that a link was shown is kept.
const PENDING_FOR: Duration = Duration::from_secs(30 * 60);

/// How many are kept at most.
const PENDING_MAX: usize = 1000;

/// The shortest and the longest password, in characters. Length is what counts (NIST SP 800-63B, 3.1.1).
const PASSWORD_CHARS: std::ops::RangeInclusive<usize> = 12..=128;

/// The secret that somebody puts into what makes their codes, before they have proved that they did.
pub(crate) struct Pending {
    one_time: String,
    until: OffsetDateTime,
}

/// A link that was made. Its secret is known here and now only.
pub struct IssuedLink {
    /// Whose account it opens.
    pub user: UserId,
    /// What whoever is invited needs.
    pub secret: String,
    /// Until when.
    pub expires_at: Moment,
}

/// What a link shows to who has it.
pub(crate) struct Looked {
    pub(crate) tenant: TenantId,
    pub(crate) named: bool,
    pub(crate) one_time: String,
    pub(crate) expires_at: Moment,
}

/// Who is to be invited.
pub(crate) struct Invited {
    pub(crate) name: Plain,
    pub(crate) terms: Terms,
}

/// What the holder of a link sets.
pub(crate) struct Chosen {
    pub(crate) link: String,
    pub(crate) name: Option<Plain>,
    pub(crate) login: Plain,
    pub(crate) password: Plain,
    pub(crate) code: Plain,
    pub(crate) environment: Option<Environment>,
}

/// Why a link is not used, beside what the account says.
pub(crate) enum NotUsed {
    /// See [`NoEntry`].
    NoEntry(NoEntry),
    /// What was chosen does not do.
    Chosen(Problem),
}

impl<E: Into<NoEntry>> From<E> for NotUsed {
    fn from(error: E) -> Self {
        Self::NoEntry(error.into())
    }
}

impl Door {
    /// A link for the first who administers a tenant, unless there is somebody. An earlier one counts no more.
    ///
    /// # Errors
    /// The journal or the read models do not answer.
    pub async fn first_link(&self, tenant: &TenantId) -> Result<Option<IssuedLink>, Failure> {
        let (tenant, may) = self.may_administer(tenant).await?;
        if may.iter().any(|user| user.opened) {
            return Ok(None);
        }
        // Who was to be the first before, and never came.
        let user = match may.iter().find(|user| user.name.is_none()).map(|user| user.user) {
            Some(user) => user,
            None => self.first(&tenant).await.map_err(fault)?,
        };
        let until = self.parts.rules.first_link;
        self.issue_link(&tenant, platform(&tenant), user, until).await.map(Some).map_err(fault)
    }

    /// Whether somebody who came in administers a tenant.
    ///
    /// # Errors
    /// The read models do not answer.
    pub async fn is_administered(&self, tenant: &TenantId) -> Result<bool, Failure> {
        Ok(self.may_administer(tenant).await?.1.iter().any(|user| user.opened))
    }

    /// Who may administer a tenant, those included who have not come in yet.
    async fn may_administer(&self, id: &TenantId) -> Result<(Arc<Tenant>, Vec<accounts::UserShown>), Failure> {
        let tenant = self.parts.tenants.tenant(id).ok_or_else(|| Failure::missing(format!("tenant {id}")))?;
        let (now, mut users) = (self.now(), accounts::list(&tenant, &Visible::none()).await?);
        let administers =
            |right: &accounts::RightShown| right.terms.role == Role::Controller && right.terms.hold_at(now);
        users.retain(|user| user.rights.iter().any(administers));
        Ok((tenant, users))
    }

    /// An account that may administer everywhere.
    async fn first(&self, tenant: &Tenant) -> Result<UserId, NoEntry> {
        let user = UserId(self.parts.dice.uuid());
        for environment in [Environment::Prod, Environment::Qa, Environment::Test] {
            let organisation = OrganisationId::try_from("own".to_owned()).expect("a valid organisation id");
            let (role, sites) = (Role::Controller, Sites::All);
            let terms = Terms { role, environment, organisation, sites, expires_at: None };
            let command = Command::GiveRight { right: RightId(self.parts.dice.uuid()), terms };
            self.command(tenant, user, platform(tenant), &command).await?;
        }
        Ok(user)
    }

    /// Invites somebody: registers who they are, gives them a right, and makes a link for them.
    pub(crate) async fn invite(&self, tenant: &Tenant, by: &Principal, who: Invited) -> Result<IssuedLink, NoEntry> {
        let user = UserId(self.parts.dice.uuid());
        let right = RightId(self.parts.dice.uuid());
        let organisation = who.terms.organisation.clone();
        let give = Command::GiveRight { right, terms: who.terms };
        // First what may be refused: nothing of who was not invited stays.
        self.command(tenant, user, by.clone(), &give).await?;
        self.parts.commands.register_user(tenant, user, AccountKind::User, organisation, who.name).await?;
        self.issue_link(tenant, by.clone(), user, self.parts.rules.invitation).await
    }

    /// Makes a link with which the holder sets everything anew.
    pub(crate) async fn issue_link(
        &self,
        tenant: &Tenant,
        by: Principal,
        user: UserId,
        lasts: Duration,
    ) -> Result<IssuedLink, NoEntry> {
        let secret = secret::link(&*self.parts.dice, &tenant.id);
        let expires_at = Moment(self.now() + lasts);
        let command = Command::IssueLink { link: secret::hash(&secret), expires_at };
        let position = self.command(tenant, user, by, &command).await?;
        self.seen_by_all(tenant, &position).await?;
        Ok(IssuedLink { user, secret, expires_at })
    }

    /// Shows a link's holder the secret for their one-time codes. It changes nothing: the link may be looked at again.
    pub(crate) async fn look(&self, link: &str, address: Option<IpAddr>) -> Result<Looked, NoEntry> {
        self.admit(address)?;
        let (hash, now) = (secret::hash(link), self.now());
        let (tenant, user) = self.find(link, &hash).await?;
        let account = self.account(&tenant, user).await?;
        let known = account.link.filter(|known| known.hash == hash).ok_or(NoEntry::Wrong)?;
        let one_time = self.show(hash, now);
        let named = self.is_named(&tenant, user).await?;
        Ok(Looked { tenant: tenant.id.clone(), named, one_time, expires_at: known.expires_at })
    }

    /// Uses a link: sets password and second factor, and signs in with them. Gives the recovery codes, once.
    pub(crate) async fn use_link(
        self: &Arc<Self>,
        chosen: Chosen,
        address: Option<IpAddr>,
    ) -> Result<(Begun, Vec<String>, Arc<Tenant>), NotUsed> {
        self.admit(address).map_err(NotUsed::NoEntry)?;
        let hash = secret::hash(&chosen.link);
        let (tenant, user) = self.find(&chosen.link, &hash).await?;
        check_password(&chosen).map_err(NotUsed::Chosen)?;
        self.names.begin("link", &chosen.link, self.now()).map_err(NoEntry::TooMany)?;
        let one_time = self.shown(&hash).ok_or_else(|| NotUsed::Chosen(look_first()))?;
        let step = self.parts.secrets.step_of(&one_time, chosen.code.0.trim(), self.now());
        let step = step.ok_or_else(|| NotUsed::Chosen(wrong_code()))?;
        let _nobody_else_takes_it = self.opening.lock().await;
        if accounts::by_login(&tenant, &chosen.login.0).await?.is_some_and(|other| other != user) {
            return Err(NotUsed::Chosen(login_taken()));
        }
        self.name(&tenant, user, chosen.name).await?;
        let codes = recovery_codes(&*self.parts.dice);
        let command = Command::SetCredentials {
            link: hash,
            login: chosen.login,
            password: self.hashed(chosen.password).await?,
            one_time: one_time.into(),
            recovery: codes.iter().map(|code| recovery_hash(code)).collect(),
            // The code itself counts for the session that begins with it.
            step: step.saturating_sub(1),
        };
        let position = self.command(&tenant, user, platform(&tenant), &command).await?;
        self.seen_by_all(&tenant, &position).await?;
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).remove(&hash);
        self.names.forget("link", &chosen.link);
        let account = self.account(&tenant, user).await?;
        // The link is used by now: whoever has no right there begins elsewhere.
        let there = |wanted: &Environment| account.rights_at(self.now()).any(|(_, terms)| terms.environment == *wanted);
        let wanted = (None, chosen.environment.filter(there));
        let begun = self.begin(&tenant, user, &account, wanted, Second::OneTime(step), address).await?;
        Ok((begun, codes, tenant))
    }

    /// The secret for the codes of who has this link: the same one, as long as it is kept.
    fn show(&self, link: CommitHash, now: OffsetDateTime) -> String {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.len() >= PENDING_MAX {
            pending.retain(|_, one| now < one.until);
        }
        let made = || Pending { one_time: self.parts.secrets.one_time_secret(), until: now };
        let kept = pending.entry(link).or_insert_with(made);
        kept.until = now + PENDING_FOR;
        kept.one_time.clone()
    }

    pub(crate) async fn find(&self, link: &str, hash: &CommitHash) -> Result<(Arc<Tenant>, UserId), NoEntry> {
        let tenant =
            secret::tenant_of_link(link).and_then(|id| self.parts.tenants.tenant(&id)).ok_or(NoEntry::Wrong)?;
        let user = accounts::by_link(&tenant, hash, self.now()).await?.ok_or(NoEntry::Wrong)?;
        Ok((tenant, user))
    }

    fn shown(&self, link: &CommitHash) -> Option<String> {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.get(link).filter(|one| self.now() < one.until).map(|one| one.one_time.clone())
    }

    async fn is_named(&self, tenant: &Tenant, user: UserId) -> Result<bool, Failure> {
        let users = accounts::list(tenant, &Visible::none()).await?;
        Ok(users.iter().any(|one| one.user == user && one.name.is_some()))
    }

    /// Registers who the first is, whom nobody invited by name.
    pub(crate) async fn name(&self, tenant: &Tenant, user: UserId, name: Option<Plain>) -> Result<(), NotUsed> {
        if self.is_named(tenant, user).await? {
            return Ok(());
        }
        let name = name.ok_or_else(|| {
            NotUsed::Chosen(Problem::invalid("name-needed", "say your full name: it is printed with your signatures"))
        })?;
        let organisation = OrganisationId::try_from("own".to_owned()).expect("a valid organisation id");
        self.parts.commands.register_user(tenant, user, AccountKind::User, organisation, name).await?;
        Ok(())
    }
}

fn fault(error: NoEntry) -> Failure {
    match error {
        NoEntry::Failed(failure) => failure,
        other => Failure::unavailable("the first administrator's account", format!("{other:?}")),
    }
}

/// Refuses a password that is too short, or that its login gives away.
pub(crate) fn good_password(password: &str, login: Option<&str>) -> Result<(), Problem> {
    let lower = password.to_lowercase();
    let alone = lower.chars().next().is_none_or(|first| lower.chars().all(|letter| letter == first));
    let given_away = login.is_some_and(|login| lower.contains(&login.to_lowercase()));
    if PASSWORD_CHARS.contains(&password.chars().count()) && !alone && !given_away {
        return Ok(());
    }
    let detail = "a password has 12 to 128 characters, more than one of them different, and does not hold the login";
    Err(Problem::invalid("weak-password", detail))
}

fn check_password(chosen: &Chosen) -> Result<(), Problem> {
    good_password(&chosen.password.0, Some(&chosen.login.0))
}

fn look_first() -> Problem {
    let detail = "the secret that was shown for this link is not known any more: look at the link again";
    Problem::new(StatusCode::CONFLICT, "look-first", detail)
}

fn wrong_code() -> Problem {
    Problem::invalid(
        "wrong-code",
        "this is not the code of the secret that was shown: check the clock of what makes it",
    )
}

fn login_taken() -> Problem {
    Problem::new(StatusCode::CONFLICT, "login-taken", "somebody else signs in by this name: choose another")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_long_and_not_given_away_by_its_login() {
        for (password, good) in [
            ("correct horse battery", true),
            ("elevenchars", false),
            ("aaaaaaaaaaaaaa", false),
            ("the Grace password", false),
            (&"ab".repeat(65), false),
        ] {
            assert_eq!(good_password(password, Some("grace")).is_ok(), good, "{password}");
        }
    }
}
