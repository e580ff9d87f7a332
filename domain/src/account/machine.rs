//! Machines: accounts of programs. A machine comes in by secrets of its own, each of which ends; two count side by side, so one is
//! replaced while the other still opens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::decide::others_account;
use super::{Account, Event, Refused};
use crate::Moment;
use crate::decider::Context;
use crate::history::CommitHash;
use crate::ids::{Environment, OrganisationId, StudyId, TokenId};
use crate::network::Network;
use crate::permit::{Role, Sites};

/// How long a secret counts at most: a year and a day.
pub const SECRET_LASTS_MAX: Duration = Duration::from_secs(366 * 86_400);

/// How many secrets count side by side.
const SECRETS_MAX: usize = 2;

/// On which terms a machine comes in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MachineTerms {
    /// In which role.
    pub role: Role,
    /// In which environment.
    pub environment: Environment,
    /// For which organisation.
    pub organisation: OrganisationId,
    /// At which sites.
    pub sites: Sites,
    /// At the addresses of this study alone; none: at every address that its role may ask.
    #[serde(default)]
    pub study: Option<StudyId>,
    /// From these networks alone; empty: from everywhere.
    #[serde(default)]
    pub networks: Vec<Network>,
    /// With this client certificate alone, by the SHA-256 of its DER form (RFC 8705, 3.1).
    #[serde(default)]
    pub certificate: Option<CommitHash>,
}

structural!(MachineTerms);

/// A machine as it stands.
#[derive(Debug, Clone)]
pub struct Machine {
    /// On which terms it comes in.
    pub terms: MachineTerms,
    /// The secrets that were issued and not revoked; those that are over too.
    pub secrets: BTreeMap<TokenId, Secret>,
}

/// A secret of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Secret {
    /// SHA-256 of it.
    pub hash: CommitHash,
    /// When it ends.
    pub expires_at: Moment,
}

/// What was ever of machines in an account.
#[derive(Debug, Clone, Default)]
pub struct Machines {
    /// The machine, while it may come in.
    pub current: Option<Machine>,
    /// Whether the account is, or was, that of a machine.
    pub ever: bool,
    /// Every id of a secret: one is taken once.
    pub secrets_ever: BTreeSet<TokenId>,
}

impl Account {
    /// The machine whose secret has this hash, while the secret counts.
    pub fn machine_by(&self, hash: &CommitHash, now: OffsetDateTime) -> Option<(TokenId, &Machine, Moment)> {
        let machine = self.machines.current.as_ref()?;
        let (id, secret) = machine.secrets.iter().find(|(_, secret)| secret.hash == *hash)?;
        (now < secret.expires_at.0).then_some((*id, machine, secret.expires_at))
    }

    pub(super) fn admit(&self, terms: &MachineTerms, context: &Context<'_, ()>) -> Result<Vec<Event>, Refused> {
        others_account(context)?;
        if self.link.is_some() || self.credentials.is_some() || !self.rights.is_empty() {
            return Err(Refused::NotAMachine);
        }
        if self.machines.current.as_ref().is_some_and(|machine| machine.terms == *terms) {
            return Ok(vec![]);
        }
        let (by, from) = (context.principal.actor.role, context.principal.environment);
        match terms {
            MachineTerms { role: Role::System | Role::Controller | Role::Dpo, .. } => Err(Refused::NotForMachines),
            MachineTerms { sites: Sites::Only(sites), .. } if sites.is_empty() => Err(Refused::NoSites),
            MachineTerms { environment, .. }
                if by != Role::System && from != Environment::Prod && *environment != from =>
            {
                Err(Refused::OtherEnvironment)
            }
            terms => Ok(vec![Event::MachineAdmitted { terms: terms.clone() }]),
        }
    }

    pub(super) fn issue_secret(
        &self,
        (id, hash): (TokenId, CommitHash),
        expires_at: Moment,
        others_end: Option<Moment>,
        context: &Context<'_, ()>,
    ) -> Result<Vec<Event>, Refused> {
        self.administered_machine(context)?;
        let machine = self.machines.current.as_ref().ok_or(Refused::NotAMachine)?;
        let now = context.now;
        if self.machines.secrets_ever.contains(&id) {
            let same = machine.secrets.get(&id).is_some_and(|known| known.hash == hash);
            return if same { Ok(vec![]) } else { Err(Refused::SecretExists) };
        }
        if expires_at.0 <= now {
            return Err(Refused::Expired);
        }
        if expires_at.0 > now + SECRET_LASTS_MAX {
            return Err(Refused::LastsTooLong);
        }
        let others = machine.secrets.values().filter(|secret| now < secret.expires_at.0);
        if others.filter(|secret| others_end.is_none_or(|end| now < end.0) && now < secret.expires_at.0).count()
            >= SECRETS_MAX
        {
            return Err(Refused::TooManySecrets);
        }
        Ok(vec![Event::MachineSecretIssued { secret: id, hash, expires_at, others_end }])
    }

    pub(super) fn revoke_secret(&self, secret: TokenId, context: &Context<'_, ()>) -> Result<Vec<Event>, Refused> {
        self.administered_machine(context)?;
        if !self.machines.secrets_ever.contains(&secret) {
            return Err(Refused::NoSuchSecret);
        }
        let counts = self.machines.current.as_ref().is_some_and(|machine| machine.secrets.contains_key(&secret));
        Ok(counts.then_some(Event::MachineSecretRevoked { secret }).into_iter().collect())
    }

    pub(super) fn dismiss(&self, context: &Context<'_, ()>) -> Result<Vec<Event>, Refused> {
        if !self.machines.ever {
            others_account(context)?;
            return Err(Refused::NotAMachine);
        }
        self.administered_machine(context)?;
        Ok(self.machines.current.as_ref().map(|_| Event::MachineDismissed {}).into_iter().collect())
    }

    /// Who administers in TEST or QA does so there alone.
    fn administered_machine(&self, context: &Context<'_, ()>) -> Result<(), Refused> {
        others_account(context)?;
        let (by, from) = (context.principal.actor.role, context.principal.environment);
        let own = self.machines.current.as_ref().is_none_or(|machine| machine.terms.environment == from);
        if by == Role::System || from == Environment::Prod || own { Ok(()) } else { Err(Refused::OtherEnvironment) }
    }

    pub(super) fn evolve_machine(&mut self, event: &Event) {
        match event {
            Event::MachineAdmitted { terms } => {
                self.machines.ever = true;
                let secrets = self.machines.current.take().map(|machine| machine.secrets).unwrap_or_default();
                self.machines.current = Some(Machine { terms: terms.clone(), secrets });
            }
            Event::MachineSecretIssued { secret, hash, expires_at, others_end } => {
                self.machines.secrets_ever.insert(*secret);
                if let Some(machine) = &mut self.machines.current {
                    if let Some(end) = others_end {
                        machine.secrets.values_mut().for_each(|one| {
                            one.expires_at = Moment(one.expires_at.0.min(end.0));
                        });
                    }
                    machine.secrets.insert(*secret, Secret { hash: *hash, expires_at: *expires_at });
                }
            }
            Event::MachineSecretRevoked { secret } => {
                if let Some(machine) = &mut self.machines.current {
                    machine.secrets.remove(secret);
                }
            }
            Event::MachineDismissed {} => self.machines.current = None,
            _ => {}
        }
    }
}
