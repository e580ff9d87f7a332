//! What follows from a command to an account, and the account after it.

use time::OffsetDateTime;

use super::{
    Account, Command, Credentials, EndCause, Event, Failures, Link, Refused, Reviewed, Right, Second, Session, Terms,
};
use crate::Moment;
use crate::decider::{Context, Decider, Recorded};
use crate::history::{CommitHash, StreamId};
use crate::ids::{AttemptId, Environment, ReviewId, RightId, SessionId};
use crate::permit::{Role, Sites};
use crate::scope::{Erasable, Part, Personal, Plain};

impl Decider for Account {
    type Command = Command;
    type Event = Event;
    type Rejection = Refused;
    type Governing = ();
    type Rules = ();

    fn governed_by(_: &StreamId) -> Option<StreamId> {
        None
    }

    fn decide(&self, command: &Command, context: &Context<'_, ()>) -> Result<Vec<Event>, Refused> {
        let now = context.now;
        match command {
            Command::IssueLink { link, expires_at } => {
                others_account(context)?;
                self.of_a_person()?;
                self.issue_link(*link, *expires_at, now)
            }
            Command::GiveRight { right, terms } => {
                others_account(context)?;
                self.of_a_person()?;
                self.give(*right, terms, context)
            }
            Command::EndRight { right } => {
                others_account(context)?;
                match self.rights.get(right).ok_or(Refused::NoSuchRight)? {
                    Right::Given(_) => Ok(vec![Event::RightEnded { right: *right }]),
                    Right::Ended => Ok(vec![]),
                }
            }
            Command::SetCredentials { .. } => self.set_credentials(command, now),
            Command::ChangePassword { session, second, password } => {
                own_account(context)?;
                self.session_at(*session, now).ok_or(Refused::NoSuchSession)?;
                self.unused(*second)?;
                let password = Personal::new(password.0.clone());
                Ok(vec![Event::PasswordChanged { session: *session, second: *second, password }])
            }
            Command::BeginSession { .. } => {
                own_account(context)?;
                self.begin(command, context)
            }
            Command::EndSession { session } => self.end_session(*session, context),
            Command::RecordFailure { attempt, address } => match self.failures.last {
                Some((last, _)) if last == *attempt => Ok(vec![]),
                _ => Ok(vec![Event::SignInFailed { attempt: *attempt, address: personal(address.as_ref()) }]),
            },
            Command::Reauthenticate { .. } => {
                own_account(context)?;
                self.reauthenticate(command, now)
            }
            Command::ReviewTrail { review, study, after, through, finding } => {
                let (study, sites) = (study.clone(), context.principal.sites.clone());
                let of = Reviewed::AuditTrail { study, sites, after: *after, through: *through };
                self.review(*review, of, finding, context)
            }
            Command::ReviewAccess { review, finding } => self.review(*review, Reviewed::Access {}, finding, context),
            Command::OpenCommit { attempt, session, study, sequence, hash, reason } => {
                let opened = Event::CommitOpened {
                    attempt: *attempt,
                    session: *session,
                    study: study.clone(),
                    sequence: *sequence,
                    hash: *hash,
                    reason: *reason,
                };
                self.act(*attempt, *session, opened, context)
            }
            Command::OrderRebuild { attempt, session, projection } => {
                let ordered =
                    Event::RebuildOrdered { attempt: *attempt, session: *session, projection: projection.clone() };
                self.act(*attempt, *session, ordered, context)
            }
            Command::AddPasskey { .. } => {
                own_account(context)?;
                self.add_passkey(command, now)
            }
            Command::RemovePasskey { passkey } => self.remove_passkey(*passkey, context),
            Command::LinkIdentity { link, issuer, subject } => {
                self.link.filter(|known| known.hash == *link && now < known.expires_at.0).ok_or(Refused::NoSuchLink)?;
                let (issuer, subject) = (Personal::new(issuer.0.clone()), Personal::new(subject.0.clone()));
                Ok(vec![Event::IdentityLinked { link: *link, issuer, subject }])
            }
            Command::AdmitMachine { terms } => self.admit(terms, context),
            Command::IssueSecret { secret, hash, expires_at, others_end } => {
                self.issue_secret((*secret, *hash), *expires_at, *others_end, context)
            }
            Command::RevokeSecret { secret } => self.revoke_secret(*secret, context),
            Command::DismissMachine => self.dismiss(context),
        }
    }

    fn evolve(&mut self, event: &Event, recorded: Recorded) {
        match event {
            Event::LinkIssued { link, expires_at } => {
                self.link = Some(Link { hash: *link, expires_at: *expires_at });
            }
            Event::RightGiven { right, terms } => {
                self.rights.insert(*right, Right::Given(terms.clone()));
            }
            Event::RightEnded { right } => {
                self.rights.insert(*right, Right::Ended);
            }
            Event::CredentialsSet { login, password, one_time, recovery, step, .. } => {
                self.credentials = Some(Credentials {
                    login: login.value.clone(),
                    password: password.value.clone(),
                    one_time: one_time.value.clone(),
                    recovery: recovery.value.clone(),
                    step: *step,
                    used: Default::default(),
                });
                (self.link, self.failures) = (None, Failures::default());
                self.sessions.clear();
                self.passkeys.clear();
                self.provided = false;
            }
            Event::IdentityLinked { .. } => {
                (self.link, self.credentials, self.failures) = (None, None, Failures::default());
                self.sessions.clear();
                self.passkeys.clear();
                self.provided = true;
            }
            Event::PasswordChanged { session, second, password } => {
                if let Some(credentials) = &mut self.credentials {
                    credentials.password = password.value.clone();
                }
                self.sessions.retain(|id, _| id == session);
                self.spend(*second, recorded.stored_at);
            }
            Event::SessionBegun { session, token_hash, right, expires_at, second, .. } => {
                // Those that are over need no end of their own.
                self.sessions.retain(|_, session| recorded.stored_at < session.expires_at.0);
                let begun = Session { token_hash: *token_hash, right: *right, expires_at: *expires_at, signed: false };
                self.sessions.insert(*session, begun);
                self.failures = Failures::default();
                self.spend(*second, recorded.stored_at);
            }
            Event::SessionEnded { session, .. } => {
                self.sessions.remove(session);
            }
            Event::SignInFailed { attempt, .. } => {
                let last = Some((*attempt, recorded.stored_at));
                self.failures = Failures { count: self.failures.count.saturating_add(1), last };
            }
            Event::Reauthenticated { attempt, session, second, .. } => {
                if let Some(session) = self.sessions.get_mut(session) {
                    session.signed = true;
                }
                (self.last_proof, self.failures) = (Some(*attempt), Failures::default());
                second.iter().for_each(|second| self.spend(*second, recorded.stored_at));
            }
            Event::ReviewRecorded { review, .. } => {
                self.reviews.insert(*review);
            }
            Event::CommitOpened { attempt, .. } | Event::RebuildOrdered { attempt, .. } => {
                self.last_act = Some(*attempt);
            }
            Event::PasskeyAdded { .. } | Event::PasskeyRemoved { .. } => {
                self.evolve_passkeys(event, recorded.stored_at)
            }
            Event::MachineAdmitted { .. }
            | Event::MachineSecretIssued { .. }
            | Event::MachineSecretRevoked { .. }
            | Event::MachineDismissed {} => self.evolve_machine(event),
        }
    }
}

/// Who administers acts on others: what one could give oneself, one would.
pub(super) fn others_account(context: &Context<'_, ()>) -> Result<(), Refused> {
    if is_own(context) { Err(Refused::OwnAccount) } else { Ok(()) }
}

fn own_account(context: &Context<'_, ()>) -> Result<(), Refused> {
    if is_own(context) { Ok(()) } else { Err(Refused::NotOwnAccount) }
}

pub(super) fn is_own(context: &Context<'_, ()>) -> bool {
    context.principal.actor.id.to_string() == context.stream.id
}

fn personal<S: crate::scope::ScopeTag>(value: Option<&Plain>) -> Option<Personal<String, S>> {
    value.map(|value| Personal::new(value.0.clone()))
}

impl Account {
    fn of_a_person(&self) -> Result<(), Refused> {
        if self.machines.ever { Err(Refused::OfAMachine) } else { Ok(()) }
    }

    fn issue_link(&self, link: CommitHash, expires_at: Moment, now: OffsetDateTime) -> Result<Vec<Event>, Refused> {
        if self.link.is_some_and(|known| known.hash == link) {
            return Ok(vec![]);
        }
        if expires_at.0 <= now {
            return Err(Refused::Expired);
        }
        Ok(vec![Event::LinkIssued { link, expires_at }])
    }

    fn give(&self, right: RightId, terms: &Terms, context: &Context<'_, ()>) -> Result<Vec<Event>, Refused> {
        match self.rights.get(&right) {
            Some(Right::Given(known)) if known == terms => return Ok(vec![]),
            Some(_) => return Err(Refused::RightExists),
            None => {}
        }
        let (by, from) = (context.principal.actor.role, context.principal.environment);
        match terms {
            Terms { role: Role::System | Role::Integrator, .. } => Err(Refused::NotForPeople),
            Terms { sites: Sites::Only(sites), .. } if sites.is_empty() => Err(Refused::NoSites),
            Terms { environment, .. } if by != Role::System && from != Environment::Prod && *environment != from => {
                Err(Refused::OtherEnvironment)
            }
            terms if !terms.hold_at(context.now) => Err(Refused::Expired),
            terms => Ok(vec![Event::RightGiven { right, terms: terms.clone() }]),
        }
    }

    fn set_credentials(&self, command: &Command, now: OffsetDateTime) -> Result<Vec<Event>, Refused> {
        let Command::SetCredentials { link, login, password, one_time, recovery, step } = command else {
            return Ok(vec![]);
        };
        self.link.filter(|known| known.hash == *link && now < known.expires_at.0).ok_or(Refused::NoSuchLink)?;
        if !is_login(&login.0) {
            return Err(Refused::InvalidLogin);
        }
        Ok(vec![Event::CredentialsSet {
            link: *link,
            login: Personal::new(login.0.clone()),
            password: Personal::new(password.0.clone()),
            one_time: Personal::new(one_time.0.clone()),
            recovery: Personal::new(recovery.iter().map(|code| code.0.clone()).collect()),
            step: *step,
        }])
    }

    fn begin(&self, command: &Command, context: &Context<'_, ()>) -> Result<Vec<Event>, Refused> {
        let Command::BeginSession { session, token_hash, right, expires_at, second, address } = command else {
            return Ok(vec![]);
        };
        if let Some(known) = self.sessions.get(session) {
            return if known.token_hash == *token_hash { Ok(vec![]) } else { Err(Refused::SessionExists) };
        }
        match second {
            Second::Provider if self.provided => {}
            second => self.unused(*second)?,
        }
        let (_, terms) = self.rights_at(context.now).find(|(id, _)| id == right).ok_or(Refused::NoSuchRight)?;
        if terms.role != context.principal.actor.role {
            return Err(Refused::NoSuchRight);
        }
        if expires_at.0 <= context.now {
            return Err(Refused::Expired);
        }
        Ok(vec![Event::SessionBegun {
            session: *session,
            token_hash: *token_hash,
            right: *right,
            expires_at: *expires_at,
            second: *second,
            address: personal(address.as_ref()),
        }])
    }

    /// One's own, or any for who administers.
    fn end_session(&self, session: SessionId, context: &Context<'_, ()>) -> Result<Vec<Event>, Refused> {
        let own = is_own(context);
        if !own && context.principal.actor.role != Role::Controller {
            return Err(Refused::NotOwnAccount);
        }
        if !self.sessions.contains_key(&session) {
            return Ok(vec![]);
        }
        let cause = if context.principal.session == Some(session) { EndCause::SignedOut } else { EndCause::Revoked };
        Ok(vec![Event::SessionEnded { session, cause }])
    }

    /// Each looks through with their own eyes, and says so themselves.
    fn review(
        &self,
        review: ReviewId,
        of: Reviewed,
        finding: &Plain,
        context: &Context<'_, ()>,
    ) -> Result<Vec<Event>, Refused> {
        own_account(context)?;
        if self.reviews.contains(&review) {
            return Ok(vec![]);
        }
        if matches!(of, Reviewed::AuditTrail { after, through, .. } if through <= after) {
            return Err(Refused::NothingReviewed);
        }
        if finding.is_blank() {
            return Err(Refused::NoFinding);
        }
        let finding = Personal::in_part(Part::of_command(context.command, 0), Erasable::Known(finding.0.clone()));
        Ok(vec![Event::ReviewRecorded { review, of, finding }])
    }

    fn reauthenticate(&self, command: &Command, now: OffsetDateTime) -> Result<Vec<Event>, Refused> {
        let Command::Reauthenticate { attempt, session, password, second } = command else {
            return Ok(vec![]);
        };
        if self.last_proof == Some(*attempt) {
            return Ok(vec![]);
        }
        let signed = self.session_at(*session, now).ok_or(Refused::NoSuchSession)?.signed;
        let passkey = matches!(second, Some(Second::Passkey(_)));
        let (both, one) = (passkey || *password && second.is_some(), *password || second.is_some());
        if !(both || signed && one) {
            return Err(Refused::TooFewFactors);
        }
        second.iter().try_for_each(|second| self.unused(*second))?;
        let proved =
            Event::Reauthenticated { attempt: *attempt, session: *session, password: *password, second: *second };
        Ok(vec![proved])
    }

    /// An act of the holder at the operator's desk, in a session that counts.
    fn act(
        &self,
        attempt: AttemptId,
        session: SessionId,
        fact: Event,
        context: &Context<'_, ()>,
    ) -> Result<Vec<Event>, Refused> {
        own_account(context)?;
        if self.last_act == Some(attempt) {
            return Ok(vec![]);
        }
        self.session_at(session, context.now).ok_or(Refused::NoSuchSession)?;
        Ok(vec![fact])
    }

    /// Refuses a code that was taken before.
    pub(super) fn unused(&self, second: Second) -> Result<(), Refused> {
        if let Second::Passkey(used) = second {
            return self.usable(used);
        }
        let credentials = self.credentials.as_ref().ok_or(Refused::NotOpened)?;
        let used = match second {
            Second::OneTime(step) => step <= credentials.step,
            Second::Recovery(at) => credentials.used.contains(&at),
            // What a provider said counts for the session that begins with it alone.
            Second::Provider => true,
            Second::Passkey(_) => false,
        };
        if used { Err(Refused::CodeUsed) } else { Ok(()) }
    }

    pub(super) fn spend(&mut self, second: Second, at: OffsetDateTime) {
        if let Second::Passkey(used) = second {
            return self.count_use(used, at);
        }
        let Some(credentials) = &mut self.credentials else { return };
        match second {
            Second::OneTime(step) => credentials.step = credentials.step.max(step),
            Second::Recovery(at) => {
                credentials.used.insert(at);
            }
            Second::Passkey(_) | Second::Provider => {}
        }
    }
}

fn is_login(login: &str) -> bool {
    let length = login.chars().count();
    (3..=200).contains(&length) && !login.contains(|letter: char| letter.is_whitespace() || letter.is_control())
}
