//! How a person comes in: the links that invite, the rights, what proves who it is, the sessions.
//!
//! Same id as the [`crate::user`]; a stream of its own, because sessions come and go for years. Nothing here computes a hash:
//! whoever sends a command has checked passwords and codes, and here it is decided what follows and that no code counts twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::Moment;
use crate::decider;
use crate::history::CommitHash;
use crate::ids::{
    AttemptId, Environment, Label, OrganisationId, PasskeyId, ReviewId, RightId, SessionId, StudyId, TokenId,
};
use crate::permit::{Role, Sites};
use crate::scope::{Erasable, Personal, Plain, tag};

mod decide;
mod machine;
mod passkey;
mod refused;
#[cfg(test)]
mod tests;

pub use machine::{Machine, MachineTerms, Machines, SECRET_LASTS_MAX, Secret};
pub use refused::Refused;

// --- facts

facts! {
    /// What happened to an account.
    pub enum Event for Account {
        /// A link was made with which the account's holder sets what proves who they are. An earlier one counts no more.
        "link-issued" 1 LinkIssued { link: CommitHash, expires_at: Moment },
        /// The holder may act so.
        "right-given" 1 RightGiven { right: RightId, terms: Terms },
        /// And no more.
        "right-ended" 1 RightEnded { right: RightId },
        /// The link was used. Every session before has ended. `step` is the one-time code's that proved the new secret.
        "credentials-set" 1 CredentialsSet {
            link: CommitHash,
            login: Personal<String, tag::UserProfile>,
            password: Personal<String, tag::TechnicalCredential>,
            one_time: Personal<String, tag::TechnicalCredential>,
            recovery: Personal<Vec<String>, tag::TechnicalCredential>,
            step: u64,
        },
        /// Another password. Every session but the one that said so has ended.
        "password-changed" 1 PasswordChanged { session: SessionId, second: Second, password: Personal<String, tag::TechnicalCredential> },
        /// Signed in.
        "session-begun" 1 SessionBegun {
            session: SessionId,
            token_hash: CommitHash,
            right: RightId,
            expires_at: Moment,
            second: Second,
            address: Option<Personal<String, tag::TechnicalSession>>,
        },
        /// Signed out, or made to.
        "session-ended" 1 SessionEnded { session: SessionId, cause: EndCause },
        /// Somebody did not prove to be the holder.
        "sign-in-failed" 1 SignInFailed { attempt: AttemptId, address: Option<Personal<String, tag::TechnicalSession>> },
        /// The holder proved anew who they are, to sign.
        "session-reauthenticated" 1 Reauthenticated { attempt: AttemptId, session: SessionId, password: bool, second: Option<Second> },
        /// The holder looked through something, and says what was found.
        "review-recorded" 1 ReviewRecorded { review: ReviewId, of: Reviewed, finding: Personal<String, tag::UserFreeText> },
        /// The holder looked into a sealed commit: at its structure. No study: it stands in the tenant's own journal stream.
        "commit-opened" 1 CommitOpened {
            attempt: AttemptId,
            session: SessionId,
            study: Option<StudyId>,
            sequence: u64,
            hash: CommitHash,
            reason: OpeningReason,
        },
        /// The holder had read models built again; none is named: all.
        "rebuild-ordered" 1 RebuildOrdered { attempt: AttemptId, session: SessionId, projection: Option<Label> },
        /// A passkey counts from now on. `second` is what its holder proved beside, to add it.
        "passkey-added" 1 PasskeyAdded {
            passkey: PasskeyId,
            session: SessionId,
            second: Second,
            credential: Personal<String, tag::TechnicalCredential>,
            key: Personal<String, tag::TechnicalCredential>,
            name: Personal<String, tag::TechnicalCredential>,
            count: u32,
        },
        /// And no more. Every session but the one that said so has ended.
        "passkey-removed" 1 PasskeyRemoved { passkey: PasskeyId, session: Option<SessionId> },
        /// The link was used: its holder comes in by an identity provider. Every session and factor before has ended.
        "identity-linked" 1 IdentityLinked {
            link: CommitHash,
            issuer: Personal<String, tag::UserProfile>,
            subject: Personal<String, tag::UserProfile>,
        },
        /// The account is that of a machine, which comes in on these terms from now on.
        "machine-admitted" 1 MachineAdmitted { terms: MachineTerms },
        /// A secret of a machine counts from now on; those before end at `others_end` at the latest.
        "machine-secret-issued" 1 MachineSecretIssued {
            secret: TokenId,
            hash: CommitHash,
            expires_at: Moment,
            others_end: Option<Moment>,
        },
        /// A secret counts no more.
        "machine-secret-revoked" 1 MachineSecretRevoked { secret: TokenId },
        /// The machine comes in no more.
        "machine-dismissed" 1 MachineDismissed {},
    }
}

/// What was looked through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "what", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Reviewed {
    /// A study's audit trail (EMA guideline on computerised systems, 6.2.2): what stands behind one position of its journal
    /// stream, up to and with another.
    AuditTrail {
        /// Which study.
        study: StudyId,
        /// At which sites: those that the holder reached then.
        sites: Sites,
        /// Behind this sequence; zero: from the beginning.
        after: u64,
        /// Up to and with this one.
        through: u64,
    },
    /// Who may come in, and by which rights.
    Access {},
}

/// What a right lets its holder be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RightTerms)]
pub struct Terms {
    /// In which role.
    pub role: Role,
    /// In which environment.
    pub environment: Environment,
    /// For which organisation.
    pub organisation: OrganisationId,
    /// At which sites.
    pub sites: Sites,
    /// Until when; none: until it is ended.
    #[serde(default)]
    pub expires_at: Option<Moment>,
}

impl Terms {
    /// Whether they still hold at `now`.
    pub fn hold_at(&self, now: OffsetDateTime) -> bool {
        self.expires_at.is_none_or(|end| now < end.0)
    }
}

/// The factor beside the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Second {
    /// The one-time code of this step of 30 seconds.
    OneTime(u64),
    /// The recovery code at this place of the list.
    Recovery(u32),
    /// A passkey that had verified its holder. It is two factors by itself, so no password stands beside it.
    Passkey(PasskeyUse),
    /// What the identity provider said: two factors at least were proved there. It stands for the password too.
    Provider,
}

/// One use of a passkey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PasskeyUse {
    /// Which one.
    pub passkey: PasskeyId,
    /// How often it was used, as it counts itself; 0: it does not count.
    pub count: u32,
}

/// Why a session ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EndCause {
    /// The holder signed out.
    SignedOut,
    /// Somebody ended it from elsewhere.
    Revoked,
}

/// Why somebody looks into a sealed commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OpeningReason {
    /// A read model stands still at it, or something else fails.
    Fault,
    /// Something unusual was noticed.
    Incident,
    /// A check of the record was announced.
    Audit,
    /// The person it is about asks, or somebody for them.
    RequestOfThePerson,
}

structural!(Terms, Second, EndCause, Reviewed, OpeningReason, PasskeyUse);

// --- state

/// The account as it stands. The default: nobody was invited.
#[derive(Debug, Clone, Default)]
pub struct Account {
    /// The link that may still be used, once.
    pub link: Option<Link>,
    /// Every right ever given.
    pub rights: BTreeMap<RightId, Right>,
    /// What proves who the holder is; none: no link was used yet.
    pub credentials: Option<Credentials>,
    /// The sessions that have not ended.
    pub sessions: BTreeMap<SessionId, Session>,
    /// What was tried in vain since the holder last came in.
    pub failures: Failures,
    /// The last proof for a signature: it is not counted twice.
    pub last_proof: Option<AttemptId>,
    /// The reviews that the holder recorded.
    pub reviews: BTreeSet<ReviewId>,
    /// The last time that a commit was opened or a rebuild ordered: it is not counted twice.
    pub last_act: Option<AttemptId>,
    /// The passkeys that count.
    pub passkeys: BTreeMap<PasskeyId, Passkey>,
    /// Every passkey there ever was: an id is taken once.
    pub passkeys_ever: BTreeSet<PasskeyId>,
    /// Whether its holder comes in by an identity provider.
    pub provided: bool,
    /// What it has of a machine, if it is one's.
    pub machines: Machines,
}

/// A passkey that counts.
#[derive(Debug, Clone)]
pub struct Passkey {
    /// What its authenticator knows it by, in base64url.
    pub credential: Erasable<String>,
    /// Its public key (COSE), in base64url.
    pub key: Erasable<String>,
    /// What its holder calls it.
    pub name: Erasable<String>,
    /// How often it was used, as it counted itself the last time.
    pub count: u32,
    /// Since when it counts.
    pub added_at: OffsetDateTime,
    /// When it was used last.
    pub used_at: Option<OffsetDateTime>,
}

/// A link by its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// SHA-256 of the link's secret.
    pub hash: CommitHash,
    /// Until when it may be used.
    pub expires_at: Moment,
}

structural!(Link);

/// A right as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Right {
    /// Counts until it expires.
    Given(Terms),
    /// Counts no more.
    Ended,
}

/// What proves who the holder is.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// By which name they sign in.
    pub login: Erasable<String>,
    /// The password's hash, in PHC form.
    pub password: Erasable<String>,
    /// The secret of the one-time codes.
    pub one_time: Erasable<String>,
    /// The hashes of the recovery codes.
    pub recovery: Erasable<Vec<String>>,
    /// The last step whose code was taken: it and all before count no more.
    pub step: u64,
    /// The recovery codes that were used.
    pub used: BTreeSet<u32>,
}

/// A session that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// SHA-256 of its secret.
    pub token_hash: CommitHash,
    /// By which right.
    pub right: RightId,
    /// When it ends by itself.
    pub expires_at: Moment,
    /// Whether both factors were given for a signature in it.
    pub signed: bool,
}

/// What was tried in vain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Failures {
    /// How often, one after another.
    pub count: u32,
    /// The last time.
    pub last: Option<(AttemptId, OffsetDateTime)>,
}

/// How many failures cost nothing: people mistype.
const FREE_FAILURES: u32 = 5;

/// The longest pause: longer ones would let anybody lock anybody else out for good.
const PAUSE_MAX: Duration = Duration::from_secs(3600);

/// How many passkeys an account has at most.
pub const PASSKEYS_MAX: usize = 10;

/// How long nothing is tried after so many failures in a row: nothing at first, then half a minute, doubled each time.
pub fn pause_after(failures: u32) -> Duration {
    match failures.checked_sub(FREE_FAILURES) {
        None => Duration::ZERO,
        Some(doublings) => Duration::from_secs(30 << doublings.min(8)).min(PAUSE_MAX),
    }
}

impl Account {
    /// Until when nothing is tried, by what the record says; none: now is fine.
    pub fn locked_until(&self) -> Option<OffsetDateTime> {
        let (_, last) = self.failures.last?;
        let pause = pause_after(self.failures.count);
        (!pause.is_zero()).then(|| last + pause)
    }

    /// The rights that count at `now`.
    pub fn rights_at(&self, now: OffsetDateTime) -> impl Iterator<Item = (RightId, &Terms)> {
        self.rights.iter().filter_map(move |(id, right)| match right {
            Right::Given(terms) if terms.hold_at(now) => Some((*id, terms)),
            Right::Given(_) | Right::Ended => None,
        })
    }

    /// The session, while it and its right count at `now`.
    pub fn session_at(&self, session: SessionId, now: OffsetDateTime) -> Option<&Session> {
        let found = self.sessions.get(&session)?;
        let counts = now < found.expires_at.0 && self.rights_at(now).any(|(right, _)| right == found.right);
        counts.then_some(found)
    }
}

// --- commands

/// What somebody wants of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
#[schema(as = AccountCommand)]
pub enum Command {
    /// Makes a link known with which the holder sets new credentials. Who asks hands the link on; only its hash comes here.
    IssueLink {
        /// SHA-256 of its secret.
        link: CommitHash,
        /// Until when it may be used.
        expires_at: Moment,
    },
    /// Lets the holder act in a role.
    GiveRight {
        /// Its id.
        right: RightId,
        /// Which role, where and until when.
        terms: Terms,
    },
    /// Ends a right.
    EndRight {
        /// Which one.
        right: RightId,
    },
    /// Uses a link.
    SetCredentials {
        /// SHA-256 of its secret.
        link: CommitHash,
        /// By which name the holder signs in.
        login: Plain,
        /// The password's hash.
        password: Plain,
        /// The secret of the one-time codes.
        one_time: Plain,
        /// The hashes of the recovery codes.
        recovery: Vec<Plain>,
        /// The step of the code that proved the secret.
        step: u64,
    },
    /// Takes another password.
    ChangePassword {
        /// In which session.
        session: SessionId,
        /// What was proved beside the old password.
        second: Second,
        /// The new one's hash.
        password: Plain,
    },
    /// Begins a session: password and second factor were proved.
    BeginSession {
        /// Its id.
        session: SessionId,
        /// SHA-256 of its secret.
        token_hash: CommitHash,
        /// By which right.
        right: RightId,
        /// When it ends by itself.
        expires_at: Moment,
        /// What was proved beside the password.
        second: Second,
        /// From where.
        address: Option<Plain>,
    },
    /// Ends a session.
    EndSession {
        /// Which one.
        session: SessionId,
    },
    /// Records that somebody did not prove to be the holder.
    RecordFailure {
        /// Which attempt.
        attempt: AttemptId,
        /// From where.
        address: Option<Plain>,
    },
    /// Records that the holder proved anew who they are.
    Reauthenticate {
        /// Which attempt.
        attempt: AttemptId,
        /// In which session.
        session: SessionId,
        /// Whether the password was proved.
        password: bool,
        /// What else was.
        second: Option<Second>,
    },
    /// Records that the holder looked through a study's audit trail.
    ReviewTrail {
        /// The review's id.
        review: ReviewId,
        /// Which study.
        study: StudyId,
        /// Behind this sequence.
        after: u64,
        /// Up to and with this one.
        through: u64,
        /// What was found, and what is done about it.
        finding: Plain,
    },
    /// Records that the holder looked through who may come in.
    ReviewAccess {
        /// The review's id.
        review: ReviewId,
        /// What was found, and what is done about it.
        finding: Plain,
    },
    /// Records that the holder looks into a sealed commit, before it is shown.
    OpenCommit {
        /// Which attempt.
        attempt: AttemptId,
        /// In which session.
        session: SessionId,
        /// The study in whose journal stream it stands; none: in the tenant's own.
        study: Option<StudyId>,
        /// Where in it.
        sequence: u64,
        /// Its hash.
        hash: CommitHash,
        /// Why.
        reason: OpeningReason,
    },
    /// Records that the holder has read models built again, before it begins.
    OrderRebuild {
        /// Which attempt.
        attempt: AttemptId,
        /// In which session.
        session: SessionId,
        /// Which read model; none: all.
        projection: Option<Label>,
    },
    /// Adds a passkey: what it says was checked, and its holder proved both factors beside.
    AddPasskey {
        /// Its id.
        passkey: PasskeyId,
        /// In which session.
        session: SessionId,
        /// What was proved.
        second: Second,
        /// What its authenticator knows it by, in base64url.
        credential: Plain,
        /// Its public key (COSE), in base64url.
        key: Plain,
        /// What its holder calls it.
        name: Plain,
        /// How often it was used, as it counts itself.
        count: u32,
    },
    /// Uses a link: joins a person of an identity provider to the account.
    LinkIdentity {
        /// SHA-256 of its secret.
        link: CommitHash,
        /// Which provider.
        issuer: Plain,
        /// By what it knows the person.
        subject: Plain,
    },
    /// Lets a machine come in on these terms.
    AdmitMachine {
        /// On which.
        terms: MachineTerms,
    },
    /// Makes a secret of a machine known. Who asks hands the secret on; only its hash comes here.
    IssueSecret {
        /// The secret's id.
        secret: TokenId,
        /// SHA-256 of it.
        hash: CommitHash,
        /// When it ends.
        expires_at: Moment,
        /// When those before it end at the latest; none: at their own time.
        others_end: Option<Moment>,
    },
    /// Ends a secret.
    RevokeSecret {
        /// Which one.
        secret: TokenId,
    },
    /// Lets the machine come in no more.
    DismissMachine,
    /// Removes a passkey.
    RemovePasskey {
        /// Which one.
        passkey: PasskeyId,
    },
}

impl decider::Command for Command {
    fn name(&self) -> &'static str {
        match self {
            Self::IssueLink { .. } => "issue-link",
            Self::GiveRight { .. } => "give-right",
            Self::EndRight { .. } => "end-right",
            Self::SetCredentials { .. } => "set-credentials",
            Self::ChangePassword { .. } => "change-password",
            Self::BeginSession { .. } => "begin-session",
            Self::EndSession { .. } => "end-session",
            Self::RecordFailure { .. } => "record-failure",
            Self::Reauthenticate { .. } => "reauthenticate",
            Self::ReviewTrail { .. } => "review-trail",
            Self::ReviewAccess { .. } => "review-access",
            Self::OpenCommit { .. } => "open-commit",
            Self::OrderRebuild { .. } => "order-rebuild",
            Self::AddPasskey { .. } => "add-passkey",
            Self::RemovePasskey { .. } => "remove-passkey",
            Self::LinkIdentity { .. } => "link-identity",
            Self::AdmitMachine { .. } => "admit-machine",
            Self::IssueSecret { .. } => "issue-secret",
            Self::RevokeSecret { .. } => "revoke-secret",
            Self::DismissMachine => "dismiss-machine",
        }
    }
}
