//! Machines: programs that come in by secrets of their own (RFC 6749, 4.4). What a secret opens is an access token of a few
//! minutes, kept in memory: after a restart a machine asks for another. Each use is held against what the machine is bound to.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::Moment;
use domain::account::{Account, Command, MachineTerms};
use domain::history::{Actor, ActorKind, CommitHash};
use domain::ids::{TenantId, TokenId, UserId};
use domain::permit::Principal;
use domain::port::{Presented, Tenant};
use domain::scope::Plain;
use domain::user::AccountKind;
use time::OffsetDateTime;

use crate::{Door, NoEntry, secret};

/// How long an access token counts.
pub(crate) const ACCESS_LASTS: Duration = Duration::from_secs(600);

/// How many are kept at most.
const KEPT_MAX: usize = 10_000;

/// What an access token opens.
#[derive(Debug, Clone)]
struct Access {
    secret: TokenId,
    terms: MachineTerms,
    principal: Principal,
    until: OffsetDateTime,
}

/// The access tokens that count, by their hash.
#[derive(Default)]
pub(crate) struct Accesses(Mutex<BTreeMap<CommitHash, Access>>);

impl Accesses {
    fn put(&self, hash: CommitHash, access: Access, now: OffsetDateTime) -> Result<(), NoEntry> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.retain(|_, one| now < one.until);
        }
        if kept.len() >= KEPT_MAX {
            return Err(NoEntry::TooMany(Duration::from_secs(60)));
        }
        kept.insert(hash, access);
        Ok(())
    }

    fn get(&self, hash: &CommitHash, now: OffsetDateTime) -> Option<Access> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(hash).filter(|one| now < one.until).cloned()
    }

    /// Lets go of what a machine was given: by one secret, or by all.
    fn end(&self, machine: UserId, by: Option<TokenId>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, one| one.principal.actor.id != machine || by.is_some_and(|by| one.secret != by));
    }
}

/// A secret that was issued. It is known here and now only.
pub(crate) struct IssuedSecret {
    pub(crate) machine: UserId,
    pub(crate) secret: TokenId,
    pub(crate) text: String,
    pub(crate) expires_at: Moment,
}

/// An access token that was given. It is known here and now only.
pub(crate) struct GivenAccess {
    pub(crate) text: String,
    pub(crate) lasts: Duration,
}

/// How long a secret lasts, and those before it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lasting {
    pub(crate) secret: Duration,
    pub(crate) others: Option<Duration>,
}

/// Whether a machine may come so. A certificate is compared as it was shown in the handshake, which proves that its key is there.
fn fits(terms: &MachineTerms, from: Presented<'_>) -> bool {
    let near =
        terms.networks.is_empty() || from.address.is_some_and(|one| terms.networks.iter().any(|net| net.contains(one)));
    near && terms.certificate.is_none_or(|bound| from.certificate == Some(bound))
}

/// Whether an address belongs to the study that a machine is bound to.
fn is_of_study(terms: &MachineTerms, path: &str) -> bool {
    let Some(study) = &terms.study else { return true };
    let rest = path.strip_prefix("/v1/studies/").and_then(|rest| rest.strip_prefix(study.as_str()));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Door {
    /// Lets a machine in on these terms, with a first secret.
    pub(crate) async fn create_machine(
        &self,
        tenant: &Tenant,
        by: &Principal,
        name: Plain,
        terms: MachineTerms,
        lasts: Duration,
    ) -> Result<IssuedSecret, NoEntry> {
        let machine = UserId(self.parts.dice.uuid());
        let organisation = terms.organisation.clone();
        // First what may be refused: nothing of what was not let in stays.
        self.command(tenant, machine, by.clone(), &Command::AdmitMachine { terms }).await?;
        let kind = AccountKind::ServiceAccount;
        self.parts.commands.register_user(tenant, machine, kind, organisation, name).await?;
        self.issue_secret(tenant, by.clone(), machine, Lasting { secret: lasts, others: None }).await
    }

    /// One more secret; those before it end when it is said.
    pub(crate) async fn issue_secret(
        &self,
        tenant: &Tenant,
        by: Principal,
        machine: UserId,
        lasting: Lasting,
    ) -> Result<IssuedSecret, NoEntry> {
        let (secret, text) = (TokenId(self.parts.dice.uuid()), secret::machine(&*self.parts.dice, &tenant.id));
        let expires_at = Moment(self.now() + lasting.secret);
        let others_end = lasting.others.map(|others| Moment(self.now() + others));
        let command = Command::IssueSecret { secret, hash: secret::hash(&text), expires_at, others_end };
        let position = self.command(tenant, machine, by, &command).await?;
        self.seen_by_all(tenant, &position).await?;
        if lasting.others.is_some_and(|others| others.is_zero()) {
            self.accesses.end(machine, None);
        }
        Ok(IssuedSecret { machine, secret, text, expires_at })
    }

    /// Ends one secret, or the machine; what it was given ends with it.
    pub(crate) async fn end_machine(
        &self,
        tenant: &Tenant,
        by: Principal,
        machine: UserId,
        secret: Option<TokenId>,
    ) -> Result<(), NoEntry> {
        let command = secret.map_or(Command::DismissMachine, |secret| Command::RevokeSecret { secret });
        let position = self.command(tenant, machine, by, &command).await?;
        self.accesses.end(machine, secret);
        Ok(self.seen_by_all(tenant, &position).await?)
    }

    /// Gives an access token for a secret, from where the machine may come.
    pub(crate) async fn machine_comes(
        self: &Arc<Self>,
        (machine, text): (UserId, &str),
        from: Presented<'_>,
    ) -> Result<GivenAccess, NoEntry> {
        self.admit(from.address)?;
        let (hash, now) = (secret::hash(text), self.now());
        let tenant = secret::tenant_of_machine(text).and_then(|id| self.parts.tenants.tenant(&id));
        let tenant = tenant.ok_or(NoEntry::Wrong)?;
        let account = self.account(&tenant, machine).await?;
        let found = account.machine_by(&hash, now).filter(|(_, found, _)| fits(&found.terms, from));
        let Some((secret, found, expires_at)) = found else {
            self.note_refused(&tenant, machine, &account, from.address);
            return Err(NoEntry::Wrong);
        };
        let until = expires_at.0.min(now + ACCESS_LASTS);
        let text = secret::access(&*self.parts.dice, &tenant.id);
        let principal = behind(&tenant.id, machine, &found.terms);
        let access = Access { secret, terms: found.terms.clone(), principal, until };
        self.accesses.put(secret::hash(&text), access, now)?;
        Ok(GivenAccess { text, lasts: Duration::try_from(until - now).unwrap_or_default() })
    }

    fn note_refused(self: &Arc<Self>, tenant: &Arc<Tenant>, machine: UserId, account: &Account, from: Option<IpAddr>) {
        if account.machines.ever {
            tracing::warn!(tenant = %tenant.id, %machine, "a machine was refused: its secret does not count, or not from there");
            self.record_failure(tenant, machine, from);
        }
    }

    /// Who stands behind an access token, used so.
    pub(crate) fn behind_access(&self, token: &str, from: Presented<'_>) -> Option<Principal> {
        let access = self.accesses.get(&secret::hash(token), self.now())?;
        if fits(&access.terms, from) && is_of_study(&access.terms, from.path) {
            return Some(access.principal);
        }
        tracing::warn!(machine = %access.principal.actor.id, "an access token was used from where, or for what, it does not count");
        None
    }
}

fn behind(tenant: &TenantId, machine: UserId, terms: &MachineTerms) -> Principal {
    let (role, organisation) = (terms.role, terms.organisation.clone());
    Principal {
        tenant: tenant.clone(),
        environment: terms.environment,
        actor: Actor { id: machine, kind: ActorKind::ServiceAccount, role, organisation },
        sites: terms.sites.clone(),
        session: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ids::Environment;
    use domain::permit::{Role, Sites};

    fn terms() -> MachineTerms {
        MachineTerms {
            role: Role::Integrator,
            environment: Environment::Test,
            organisation: "own".parse().expect("valid"),
            sites: Sites::All,
            study: None,
            networks: vec![],
            certificate: None,
        }
    }

    #[test]
    fn what_a_machine_is_bound_to_must_be_there() {
        let here = Presented { address: Some("198.51.100.7".parse().expect("one")), certificate: None, path: "/" };
        assert!(fits(&terms(), Presented::default()));
        let near = MachineTerms { networks: vec!["198.51.100.0/24".parse().expect("one")], ..terms() };
        assert!(fits(&near, here) && !fits(&near, Presented::default()));
        let bound = MachineTerms { certificate: Some(CommitHash([1; 32])), ..terms() };
        let with = |byte| Presented { certificate: Some(CommitHash([byte; 32])), ..here };
        assert!(fits(&bound, with(1)) && !fits(&bound, with(2)) && !fits(&bound, here));
    }

    #[test]
    fn a_machine_of_a_study_has_its_addresses_and_no_other() {
        let bound = MachineTerms { study: Some("cardio-1".parse().expect("valid")), ..terms() };
        for (path, good) in [
            ("/v1/studies/cardio-1", true),
            ("/v1/studies/cardio-1/participants", true),
            ("/v1/studies/cardio-10/participants", false),
            ("/v1/studies", false),
            ("/v1/users", false),
            ("", false),
        ] {
            assert_eq!(is_of_study(&bound, path), good, "{path}");
            assert!(is_of_study(&terms(), path));
        }
    }
}
