//! A study: its designs, its sites, whether it is live, how long it keeps what. It governs every participant's record.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Day;
use crate::decider::{self, Context, Decider, Recorded};
use crate::design::StudyDesign;
use crate::field::Malformed;
use crate::history::{CommitHash, StreamId};
use crate::ids::{ConsentVersion, Environment, Label, RuleId, SiteId};
use crate::participant::Held;
use crate::privacy::RefusalGround;
use crate::rejection::{Fault, Kind, Rejection};
use crate::scope::Scope;

mod consents;
mod drafts;
mod locks;
mod retention;
mod targets;
mod versions;

pub use consents::{ConsentForm, Consents};
pub use drafts::{Drafted, Drafts};
pub use locks::{Checked, Database, StudyLocks};
pub use retention::{Due, MONTHS_MAX, Milestones, Rule, Trigger};
pub use targets::Target;
pub use versions::Versions;

// --- facts

facts! {
    /// What happened to a study.
    pub enum Event for Study {
        /// The study exists, in one environment for good.
        "study-created" 1 Created { name: Label, environment: Environment },
        /// A design version is published: immutable, found by its content hash, stored in parts.
        "design-published" 1 DesignPublished { design: CommitHash, version: Label, parts: Vec<CommitHash> },
        /// There is a draft of a design version, in force nowhere. It takes the place of an earlier one of that name.
        "design-drafted" 1 DesignDrafted { design: CommitHash, version: Label, parts: Vec<CommitHash> },
        /// A site may treat participants.
        "site-opened" 1 SiteOpened { site: SiteId, name: Label },
        /// Participants may be registered, under this design.
        "study-went-live" 1 WentLive { design: CommitHash },
        /// From now on no version is active at a site before that site's approval of it is recorded.
        "approvals-demanded" 1 ApprovalsDemanded { },
        /// A site may use a design version: its ethics committee and whoever else is asked there agree.
        "design-approved" 1 DesignApproved { design: CommitHash, site: SiteId, reference: Label },
        /// A site uses this version from now on, for those who are registered or migrated there.
        "design-activated" 1 DesignActivated { design: CommitHash, site: SiteId },
        /// There is a consent form. A consent to it holds for so many months, or until it is withdrawn.
        "consent-published" 1 ConsentPublished { version: ConsentVersion, months: Option<u32> },
        /// A site may use it.
        "consent-approved" 1 ConsentApproved { version: ConsentVersion, site: SiteId, reference: Label },
        /// Data from this day on needs consent to this version or a later one; no site: at each.
        "consent-required" 1 ConsentRequired { version: ConsentVersion, site: Option<SiteId>, from: Day },
        /// A site is to enrol so many participants by this day. A target that it had is replaced.
        "enrolment-target-set" 1 EnrolmentTargetSet { site: SiteId, participants: u32, by: Day },
        /// The last visit of the last participant is over.
        "study-completed" 1 Completed { on: Day },
        /// From now on data is kept for so long. A rule that was there under this id is replaced.
        "retention-set" 1 RetentionSet { rule: RuleId, scopes: Vec<Scope>, trigger: Trigger, months: u32, legal_basis: Label, ground: RefusalGround, allows_redaction: bool },
        /// This rule keeps nothing any more.
        "retention-ended" 1 RetentionEnded { rule: RuleId },
        /// No value changes at this site (none: in the whole study) for the time being; queries go on.
        "data-frozen" 1 DataFrozen { site: Option<SiteId>, reason: Option<Label> },
        /// Values may change again.
        "data-unfrozen" 1 DataUnfrozen { site: Option<SiteId>, reason: Label },
        /// Nothing changes at this site (none: in the whole study) any more.
        "data-locked" 1 DataLocked { site: Option<SiteId>, reason: Option<Label> },
        /// It may change again.
        "data-unlocked" 1 DataUnlocked { site: Option<SiteId>, reason: Label },
        /// Somebody asks for the lock of the database.
        "database-lock-asked" 1 DatabaseLockAsked { reason: Label },
        /// Every record was gone through, nothing hindered, and another person confirmed: this is the study's data.
        "database-locked" 1 DatabaseLocked { participants: u64, digest: CommitHash },
        /// Somebody asks for the end of that.
        "database-unlock-asked" 1 DatabaseUnlockAsked { reason: Label },
        /// Another person confirmed. What is frozen or locked beside stays so.
        "database-unlocked" 1 DatabaseUnlocked { },
    }
}

// --- state

/// The study as it stands.
#[derive(Debug, Clone, Default)]
pub enum Study {
    /// Nobody created it yet.
    #[default]
    Absent,
    /// Being set up.
    Configured(Setup),
    /// Open for participants, under one design.
    Live {
        /// What was set up.
        setup: Setup,
        /// The design that is live at every site without one of its own.
        design: CommitHash,
    },
}

/// What is set up so far.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The study's name, for people.
    pub name: Label,
    /// The study's environment.
    pub environment: Environment,
    /// Published designs and their parts.
    pub designs: BTreeMap<CommitHash, Vec<CommitHash>>,
    /// The sites that are open, with their names.
    pub sites: BTreeMap<SiteId, Label>,
    /// How long which data is kept, by rule; an ended rule is none.
    pub retention: BTreeMap<RuleId, Option<Rule>>,
    /// When the study was completed, if it is.
    pub completed: Option<Day>,
    /// Which design version is in force where.
    pub versions: Versions,
    /// What is frozen or locked.
    pub locks: StudyLocks,
    /// Its consent forms.
    pub consents: Consents,
    /// How many each site is to enrol, and by when.
    pub targets: BTreeMap<SiteId, Target>,
}

impl Study {
    /// What is set up, unless the study is absent.
    pub fn setup(&self) -> Option<&Setup> {
        match self {
            Self::Absent => None,
            Self::Configured(setup) | Self::Live { setup, .. } => Some(setup),
        }
    }

    fn setup_mut(&mut self) -> Option<&mut Setup> {
        match self {
            Self::Absent => None,
            Self::Configured(setup) | Self::Live { setup, .. } => Some(setup),
        }
    }
}

// --- commands

/// What somebody wants of a study.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
#[schema(as = StudyCommand)]
pub enum Command {
    /// Creates it. Sent by the platform when the study's journal stream is provisioned.
    Create {
        /// Its name, for people.
        name: Label,
        /// Its environment.
        environment: Environment,
    },
    /// Publishes a design whose parts are stored.
    PublishDesign {
        /// Content hash of the whole.
        design: CommitHash,
        /// The version's name.
        version: Label,
        /// Content hashes of the parts, in order.
        parts: Vec<CommitHash>,
        /// The content, to be compared with the versions before it. Never from a body of this command.
        #[serde(skip)]
        content: Option<Arc<StudyDesign>>,
    },
    /// Stores a draft of a design version whose parts are stored. Sent by `…/designs?draft=true`.
    DraftDesign {
        /// Content hash of the whole.
        design: CommitHash,
        /// The version's name.
        version: Label,
        /// Content hashes of the parts, in order.
        parts: Vec<CommitHash>,
    },
    /// Publishes a draft, if nothing is wrong with it: for good.
    PublishDraft {
        /// Its content hash.
        design: CommitHash,
    },
    /// Opens a site.
    OpenSite {
        /// Which site.
        site: SiteId,
        /// Its name, for people.
        name: Label,
    },
    /// Takes the study live under a published design, or moves it to another one.
    GoLive {
        /// Content hash of the design.
        design: CommitHash,
    },
    /// Demands that a site's approval of a version is recorded before the version is active there. Cannot be taken back.
    DemandApprovals {},
    /// Records a site's approval of a design version.
    ApproveDesign {
        /// Content hash of the design.
        design: CommitHash,
        /// At which site.
        site: SiteId,
        /// Where the approval is found: the committee and its number.
        reference: Label,
    },
    /// Publishes a version of the consent form.
    PublishConsent {
        /// Which version.
        version: ConsentVersion,
        /// For how many months a consent to it holds; none: until it is withdrawn.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        months: Option<u32>,
    },
    /// Records that a site may use a version of the consent form.
    ApproveConsent {
        /// Which version.
        version: ConsentVersion,
        /// Which site.
        site: SiteId,
        /// Where the approval is found: the committee and its number.
        reference: Label,
    },
    /// Takes a published design into use at one site.
    ActivateDesign {
        /// Content hash of the design.
        design: CommitHash,
        /// At which site.
        site: SiteId,
    },
    /// Requires consent to a version, or a later one, for all data from a day on.
    RequireConsent {
        /// Which version.
        version: ConsentVersion,
        /// At which site; none: at each.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        site: Option<SiteId>,
        /// From which day on.
        from: Day,
    },
    /// Sets how many participants a site is to enrol, and by when, or changes that.
    SetEnrolmentTarget {
        /// Which site.
        site: SiteId,
        /// So many.
        participants: u32,
        /// By this day.
        by: Day,
    },
    /// Records that the study is over: nobody is registered any more, and retention counts from this day.
    Complete {
        /// The day of the last visit of the last participant.
        on: Day,
    },
    /// Sets how long data must be kept, or changes that. Erasures that wait are not assessed anew by it; none of them
    /// is approved or begun against it.
    SetRetention {
        /// The rule, as the study numbers it.
        rule: RuleId,
        /// Which scopes.
        scopes: BTreeSet<Scope>,
        /// From when it counts.
        trigger: Trigger,
        /// For how many months.
        months: u32,
        /// The law, contract or protocol that says so.
        legal_basis: Label,
        /// The case of GDPR Art 17(3) that it stands for.
        ground: RefusalGround,
        /// Whether single values may be redacted all the same.
        #[serde(default)]
        allows_redaction: bool,
    },
    /// Ends a rule: it keeps nothing any more, and erases nothing either.
    EndRetention {
        /// Which rule.
        rule: RuleId,
    },
    /// Lets no value change for the time being; queries go on.
    FreezeData {
        /// At this site; none: in the whole study.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        site: Option<SiteId>,
        /// Why, if there is more to say. It belongs to no person, so no erasure reaches it: name nobody, and say nothing about anybody, in it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Label>,
    },
    /// Lets values change again.
    UnfreezeData {
        /// At this site; none: in the whole study.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        site: Option<SiteId>,
        /// Why. It belongs to no person, so no erasure reaches it: name nobody, and say nothing about anybody, in it.
        reason: Label,
    },
    /// Lets nothing change any more.
    LockData {
        /// At this site; none: in the whole study.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        site: Option<SiteId>,
        /// Why, if there is more to say. It belongs to no person, so no erasure reaches it: name nobody, and say nothing about anybody, in it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Label>,
    },
    /// Lets it change again.
    UnlockData {
        /// At this site; none: in the whole study.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        site: Option<SiteId>,
        /// Why. It belongs to no person, so no erasure reaches it: name nobody, and say nothing about anybody, in it.
        reason: Label,
    },
    /// Asks for the lock of the database: all data is frozen by now. Another person confirms.
    AskDatabaseLock {
        /// Why now. It belongs to no person, so no erasure reaches it: name nobody, and say nothing about anybody, in it.
        reason: Label,
    },
    /// Confirms the lock of the database: every record is gone through, and nothing may hinder it.
    LockDatabase {
        /// What was found in the records. Never from a body.
        #[serde(skip)]
        checked: Option<Checked>,
    },
    /// Asks for the end of that lock. Another person confirms.
    AskDatabaseUnlock {
        /// Why. It belongs to no person, so no erasure reaches it: name nobody, and say nothing about anybody, in it.
        reason: Label,
    },
    /// Confirms the end of the lock of the database. The data stays frozen until it is unfrozen.
    UnlockDatabase {},
}

impl decider::Command for Command {
    fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::PublishDesign { .. } => "publish-design",
            Self::DraftDesign { .. } => "draft-design",
            Self::PublishDraft { .. } => "publish-draft",
            Self::OpenSite { .. } => "open-site",
            Self::GoLive { .. } => "go-live",
            Self::DemandApprovals {} => "demand-approvals",
            Self::ApproveDesign { .. } => "approve-design",
            Self::ActivateDesign { .. } => "activate-design",
            Self::PublishConsent { .. } => "publish-consent",
            Self::ApproveConsent { .. } => "approve-consent",
            Self::RequireConsent { .. } => "require-consent",
            Self::SetEnrolmentTarget { .. } => "set-enrolment-target",
            Self::Complete { .. } => "complete",
            Self::SetRetention { .. } => "set-retention",
            Self::EndRetention { .. } => "end-retention",
            Self::FreezeData { .. } => "freeze-data",
            Self::UnfreezeData { .. } => "unfreeze-data",
            Self::LockData { .. } => "lock-data",
            Self::UnlockData { .. } => "unlock-data",
            Self::AskDatabaseLock { .. } => "ask-database-lock",
            Self::LockDatabase { .. } => "lock-database",
            Self::AskDatabaseUnlock { .. } => "ask-database-unlock",
            Self::UnlockDatabase {} => "unlock-database",
        }
    }

    /// A version is compared with those before it.
    fn reads_parts(&self) -> bool {
        matches!(self, Self::PublishDesign { .. } | Self::PublishDraft { .. })
    }
}

// --- rejections

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such study.
    #[error("there is no such study")]
    NoSuchStudy,
    /// It is there already.
    #[error("the study exists already, with another name or environment: both stay as they are")]
    StudyExists,
    /// The site is open already.
    #[error("the site is open already, under another name: the name stays as it is")]
    SiteExists,
    /// That design is not published.
    #[error("this design is not published in the study: publish it first")]
    NoSuchDesign,
    /// Its content is not that of its address.
    #[error("the design's address is not the SHA-256 of its content")]
    OtherContent,
    /// It protects an item less than a version before it.
    #[error("{} of the items are protected less than in an earlier version: a scope or flag is never lowered", .0.len())]
    Lowered(Vec<Fault>),
    /// No such draft.
    #[error("the study has no draft with this hash: one of the same name may have taken its place")]
    NoSuchDraft,
    /// It cannot be used.
    #[error("the design cannot be used, so it was not published")]
    Unusable(Vec<Fault>),
    /// Nobody is registered yet.
    #[error("the study is not live: go live first, then a site may take a version of its own into use")]
    NotLiveYet,
    /// The site has not approved it.
    #[error("this site's approval of the design version is not recorded, and the study demands it: record it first")]
    NotApproved,
    /// No site is open.
    #[error("no site is open: open one first")]
    NoSite,
    /// No such consent form.
    #[error("the study has no consent form of this version: publish it first")]
    NoSuchConsent,
    /// Nobody could give it there.
    #[error("this version of the consent form is not approved at that site: record the approval first")]
    ConsentNotApproved,
    /// It stays as it is.
    #[error("this version of the consent form is published already, with another validity: publish another version")]
    ConsentPublishedOtherwise,
    /// For ever, or for nothing.
    #[error("a consent holds for 1 to {MONTHS_MAX} months, or without an end")]
    ConsentMonths,
    /// It was never live.
    #[error("the study is not live, so it cannot be completed")]
    NotLive,
    /// It is over already.
    #[error("the study was completed already, on another day: that stays as it is")]
    CompletedOtherwise,
    /// Not yet.
    #[error("the day of completion is in the future: record it when it has come")]
    CompletedInFuture,
    /// A rule that keeps nothing, or for ever.
    #[error("a retention rule names at least one scope and 1 to {MONTHS_MAX} months")]
    EmptyRule,
    /// A scope of users.
    #[error("participants have no data in the scope {0}")]
    ForeignScope(Scope),
    /// Not one of Art 17(3).
    #[error("a retention rule stands on a case of GDPR Art 17(3): the ground {} is none", .0.as_str())]
    NoExemption(RefusalGround),
    /// No such rule.
    #[error("there is no such retention rule in this study")]
    NoSuchRule,
    /// No such site.
    #[error("there is no such site in this study")]
    NoSuchSite,
    /// Locked already.
    #[error("this data is locked, which is more than frozen: unlock it first")]
    DataLocked,
    /// Over and done with.
    #[error("the database of this study is locked: ask for its unlock first")]
    DatabaseLocked,
    /// Nothing to unlock.
    #[error("the database of this study is not locked")]
    DatabaseNotLocked,
    /// Values may change.
    #[error("values may still change: freeze the data of the whole study first")]
    NotFrozen,
    /// Nobody asks for it.
    #[error("the lock of the database is not asked for: a data manager does that first")]
    LockNotAsked,
    /// Nobody asks for it.
    #[error("the unlock of the database is not asked for: a data manager does that first")]
    UnlockNotAsked,
    /// One person is not two.
    #[error("it takes two persons: another one than the one who asked confirms")]
    SamePerson,
    /// The records were not gone through.
    #[error("the records of this study have not been gone through")]
    NotChecked,
    /// Something hinders it.
    #[error("{} things hinder the lock, in the {} records of this study: settle them first", .0.blockers, .0.participants)]
    Blocked(Checked),
}

impl Rejection for Refused {
    fn code(&self) -> &'static str {
        match self {
            Self::NoSuchStudy => "no-such-study",
            Self::StudyExists => "study-exists",
            Self::SiteExists => "site-exists",
            Self::NoSuchDesign => "no-such-design",
            Self::OtherContent => "other-content",
            Self::Lowered(_) => "protection-lowered",
            Self::NoSuchDraft => "no-such-draft",
            Self::Unusable(_) => "invalid-design",
            Self::NoSuchSite => "no-such-site",
            Self::NotLiveYet => "study-not-live",
            Self::NotApproved => "design-not-approved",
            Self::NoSite => "no-site",
            Self::NoSuchConsent => "no-such-consent-version",
            Self::ConsentNotApproved => "consent-not-approved",
            Self::ConsentPublishedOtherwise => "consent-published-otherwise",
            Self::ConsentMonths => "consent-months",
            Self::NotLive => "study-not-live",
            Self::CompletedOtherwise => "completed-otherwise",
            Self::CompletedInFuture => "completed-in-future",
            Self::EmptyRule => "empty-rule",
            Self::ForeignScope(_) => "foreign-scope",
            Self::NoExemption(_) => "no-exemption",
            Self::NoSuchRule => "no-such-rule",
            Self::DataLocked => "locked",
            Self::DatabaseLocked => "database-locked",
            Self::DatabaseNotLocked => "database-not-locked",
            Self::NotFrozen => "not-frozen",
            Self::LockNotAsked => "lock-not-asked",
            Self::UnlockNotAsked => "unlock-not-asked",
            Self::SamePerson => "same-person",
            Self::NotChecked => "not-checked",
            Self::Blocked(_) => "lock-blocked",
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::NoSuchStudy | Self::NoSuchRule => Kind::NotFound,
            Self::NoSuchSite | Self::OtherContent | Self::Lowered(_) | Self::Unusable(_) => Kind::Invalid,
            Self::SamePerson => Kind::Forbidden,
            Self::NoSuchConsent
            | Self::ConsentMonths
            | Self::CompletedInFuture
            | Self::EmptyRule
            | Self::ForeignScope(_)
            | Self::NoExemption(_) => Kind::Invalid,
            Self::StudyExists
            | Self::ConsentNotApproved
            | Self::ConsentPublishedOtherwise
            | Self::SiteExists
            | Self::NoSite
            | Self::NoSuchDesign
            | Self::NoSuchDraft
            | Self::NotLive
            | Self::NotLiveYet
            | Self::NotApproved
            | Self::CompletedOtherwise
            | Self::DataLocked
            | Self::DatabaseLocked
            | Self::DatabaseNotLocked
            | Self::NotFrozen
            | Self::LockNotAsked
            | Self::UnlockNotAsked
            | Self::NotChecked
            | Self::Blocked(_) => Kind::Conflict,
        }
    }

    fn faults(&self) -> Vec<Fault> {
        match self {
            Self::Blocked(checked) => checked.faults.clone(),
            Self::Lowered(faults) | Self::Unusable(faults) => faults.clone(),
            _ => Vec::new(),
        }
    }
}

// --- evolve, decide

impl Decider for Study {
    type Command = Command;
    type Event = Event;
    type Rejection = Refused;
    type Governing = ();
    type Rules = ();

    fn governed_by(_: &StreamId) -> Option<StreamId> {
        None
    }

    fn decide(&self, command: &Command, context: &Context<'_, ()>) -> Result<Vec<Event>, Refused> {
        match command {
            Command::Create { name, environment } => match self.setup() {
                None => Ok(vec![Event::Created { name: name.clone(), environment: *environment }]),
                Some(setup) if setup.environment == *environment && setup.name == *name => Ok(vec![]),
                Some(_) => Err(Refused::StudyExists),
            },
            Command::PublishDesign { design, version, parts, content } => {
                self.publish(design, version, parts, content.as_ref())
            }
            Command::DraftDesign { design, version, parts } => self.draft(design, version, parts),
            Command::PublishDraft { design } => self.publish_draft(design),
            Command::OpenSite { site, name } => {
                let setup = self.setup().ok_or(Refused::NoSuchStudy)?.unlocked()?;
                match setup.sites.get(site) {
                    None => Ok(vec![Event::SiteOpened { site: site.clone(), name: name.clone() }]),
                    Some(known) if known == name => Ok(vec![]),
                    Some(_) => Err(Refused::SiteExists),
                }
            }
            Command::GoLive { design } => self.go_live(design),
            Command::DemandApprovals {} => self.demand_approvals(),
            Command::ApproveDesign { design, site, reference } => self.approve((design, site), reference, context),
            Command::ActivateDesign { design, site } => self.activate((design, site), context),
            Command::PublishConsent { version, months } => self.publish_consent(version, *months),
            Command::ApproveConsent { version, site, reference } => self.approve_consent(version, site, reference),
            Command::RequireConsent { version, site, from } => self.require_consent(version, site.as_ref(), *from),
            Command::SetEnrolmentTarget { site, participants, by } => {
                self.set_target(site, Target { participants: *participants, by: *by })
            }
            Command::Complete { on } => self.complete(*on, Day(context.now.date())),
            Command::SetRetention { rule, scopes, trigger, months, legal_basis, ground, allows_redaction } => {
                let (scopes, legal_basis) = (scopes.clone(), legal_basis.clone());
                let (trigger, months, ground, allows_redaction) = (*trigger, *months, *ground, *allows_redaction);
                self.set_retention(rule, Rule { scopes, trigger, months, legal_basis, ground, allows_redaction })
            }
            Command::EndRetention { rule } => {
                let setup = self.setup().ok_or(Refused::NoSuchStudy)?;
                match setup.retention.get(rule) {
                    Some(Some(_)) => Ok(vec![Event::RetentionEnded { rule: rule.clone() }]),
                    Some(None) => Ok(vec![]),
                    None => Err(Refused::NoSuchRule),
                }
            }
            Command::FreezeData { site, reason } => self.hold(site.as_ref(), Held::Frozen, reason.as_ref()),
            Command::LockData { site, reason } => self.hold(site.as_ref(), Held::Locked, reason.as_ref()),
            Command::UnfreezeData { site, reason } => self.release(site.as_ref(), Held::Frozen, reason),
            Command::UnlockData { site, reason } => self.release(site.as_ref(), Held::Locked, reason),
            Command::AskDatabaseLock { reason } => self.ask_database_lock(reason),
            Command::LockDatabase { checked } => self.lock_database(checked.as_ref(), context.principal.actor.id),
            Command::AskDatabaseUnlock { reason } => self.ask_database_unlock(reason),
            Command::UnlockDatabase {} => self.unlock_database(context.principal.actor.id),
        }
    }

    fn evolve(&mut self, event: &Event, recorded: Recorded) {
        match event {
            Event::Created { name, environment } => {
                *self = Self::Configured(Setup {
                    name: name.clone(),
                    environment: *environment,
                    designs: BTreeMap::new(),
                    sites: BTreeMap::new(),
                    retention: BTreeMap::new(),
                    completed: None,
                    versions: Versions::default(),
                    locks: StudyLocks::default(),
                    consents: Consents::default(),
                    targets: BTreeMap::new(),
                });
            }
            Event::DesignPublished { design, parts, .. } => {
                if let Some(setup) = self.setup_mut() {
                    setup.designs.insert(*design, parts.clone());
                    setup.versions.drafts.evolve(event);
                }
            }
            Event::DesignDrafted { .. } => {
                if let Some(setup) = self.setup_mut() {
                    setup.versions.drafts.evolve(event);
                }
            }
            Event::SiteOpened { site, name } => {
                if let Some(setup) = self.setup_mut() {
                    setup.sites.insert(site.clone(), name.clone());
                }
            }
            Event::WentLive { design } => {
                if let Some(setup) = self.setup() {
                    *self = Self::Live { setup: setup.clone(), design: *design };
                }
            }
            Event::ApprovalsDemanded {} | Event::DesignApproved { .. } | Event::DesignActivated { .. } => {
                if let Some(setup) = self.setup_mut() {
                    setup.versions.evolve(event);
                }
            }
            Event::ConsentPublished { .. } | Event::ConsentApproved { .. } | Event::ConsentRequired { .. } => {
                if let Some(setup) = self.setup_mut() {
                    setup.consents.evolve(event);
                }
            }
            Event::EnrolmentTargetSet { site, participants, by } => {
                if let Some(setup) = self.setup_mut() {
                    setup.targets.insert(site.clone(), Target { participants: *participants, by: *by });
                }
            }
            Event::Completed { on } => {
                if let Some(setup) = self.setup_mut() {
                    setup.completed = Some(*on);
                }
            }
            Event::RetentionSet { rule, scopes, trigger, months, legal_basis, ground, allows_redaction } => {
                if let Some(setup) = self.setup_mut() {
                    let (scopes, legal_basis) = (scopes.iter().copied().collect(), legal_basis.clone());
                    let (trigger, months, ground, allows_redaction) = (*trigger, *months, *ground, *allows_redaction);
                    let terms = Rule { scopes, trigger, months, legal_basis, ground, allows_redaction };
                    setup.retention.insert(rule.clone(), Some(terms));
                }
            }
            Event::RetentionEnded { rule } => {
                if let Some(setup) = self.setup_mut() {
                    setup.retention.insert(rule.clone(), None);
                }
            }
            other => {
                if let Some(setup) = self.setup_mut() {
                    setup.locks.evolve(other, recorded.actor);
                }
            }
        }
    }

    fn missing_parts(&self) -> Vec<CommitHash> {
        self.parts_to_read()
    }

    fn supply_parts(&mut self, parts: Vec<String>) -> Result<(), Malformed> {
        self.read_parts(parts)
    }
}

impl Study {
    fn go_live(&self, wanted: &CommitHash) -> Result<Vec<Event>, Refused> {
        let setup = self.setup().ok_or(Refused::NoSuchStudy)?.unlocked()?;
        if !setup.designs.contains_key(wanted) {
            return Err(Refused::NoSuchDesign);
        }
        if setup.sites.is_empty() {
            return Err(Refused::NoSite);
        }
        match self {
            Self::Live { design, .. } if design == wanted => Ok(vec![]),
            Self::Absent | Self::Configured(_) | Self::Live { .. } => Ok(vec![Event::WentLive { design: *wanted }]),
        }
    }

    fn complete(&self, on: Day, today: Day) -> Result<Vec<Event>, Refused> {
        match self {
            Self::Absent => Err(Refused::NoSuchStudy),
            Self::Configured(_) => Err(Refused::NotLive),
            Self::Live { setup, .. } => match setup.completed {
                Some(before) if before == on => Ok(vec![]),
                Some(_) => Err(Refused::CompletedOtherwise),
                None if on > today => Err(Refused::CompletedInFuture),
                None => Ok(vec![Event::Completed { on }]),
            },
        }
    }

    fn set_retention(&self, id: &RuleId, rule: Rule) -> Result<Vec<Event>, Refused> {
        let setup = self.setup().ok_or(Refused::NoSuchStudy)?;
        if rule.scopes.is_empty() || !(1..=MONTHS_MAX).contains(&rule.months) {
            return Err(Refused::EmptyRule);
        }
        let of_participants = |scope: &Scope| Scope::of_participants().any(|one| one == *scope);
        if let Some(foreign) = rule.scopes.iter().find(|scope| !of_participants(scope)) {
            return Err(Refused::ForeignScope(*foreign));
        }
        if !rule.ground.is_exemption() {
            return Err(Refused::NoExemption(rule.ground));
        }
        if setup.retention.get(id) == Some(&Some(rule.clone())) {
            return Ok(vec![]);
        }
        let Rule { scopes, trigger, months, legal_basis, ground, allows_redaction } = rule;
        let scopes = scopes.into_iter().collect();
        let rule = id.clone();
        Ok(vec![Event::RetentionSet { rule, scopes, trigger, months, legal_basis, ground, allows_redaction }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{given, label, site};

    fn created() -> Event {
        Event::Created { name: label("Cardio"), environment: Environment::Test }
    }
    fn published() -> Event {
        Event::DesignPublished { design: CommitHash([1; 32]), version: label("1"), parts: vec![CommitHash([2; 32])] }
    }
    fn opened() -> Event {
        Event::SiteOpened { site: site("oslo"), name: label("Oslo") }
    }
    fn go_live() -> Command {
        Command::GoLive { design: CommitHash([1; 32]) }
    }

    #[test]
    fn going_live_needs_a_design_and_a_site() {
        given::<Study>([]).when(go_live()).rejected("no-such-study");
        given::<Study>([created()]).when(go_live()).rejected("no-such-design");
        given::<Study>([created(), published()]).when(go_live()).rejected("no-site");
        given::<Study>([created(), published(), opened()])
            .when(go_live())
            .then([Event::WentLive { design: CommitHash([1; 32]) }]);
    }

    #[test]
    fn a_site_keeps_its_name() {
        let open = |name: &str| Command::OpenSite { site: site("oslo"), name: label(name) };
        given::<Study>([created(), opened()]).when(open("Oslo")).then([]);
        given::<Study>([created(), opened()]).when(open("Bergen")).rejected("site-exists");
    }

    fn set(rule: &str, months: u32, scopes: &[Scope], ground: RefusalGround) -> Command {
        Command::SetRetention {
            rule: rule.parse().expect("valid"),
            scopes: scopes.iter().copied().collect(),
            trigger: Trigger::StudyCompleted,
            months,
            legal_basis: label("Regulation (EU) 536/2014 Art 58"),
            ground,
            allows_redaction: false,
        }
    }
    fn rule_set(months: u32) -> Event {
        Event::RetentionSet {
            rule: "ctr-58".parse().expect("valid"),
            scopes: vec![Scope::HealthClinical],
            trigger: Trigger::StudyCompleted,
            months,
            legal_basis: label("Regulation (EU) 536/2014 Art 58"),
            ground: RefusalGround::LegalObligation,
            allows_redaction: false,
        }
    }

    #[test]
    fn a_retention_rule_is_set_changed_and_ended() {
        let clinical = [Scope::HealthClinical];
        let wanted = |months| set("ctr-58", months, &clinical, RefusalGround::LegalObligation);
        let end = || Command::EndRetention { rule: "ctr-58".parse().expect("valid") };
        let ended = || Event::RetentionEnded { rule: "ctr-58".parse().expect("valid") };
        given::<Study>([created()]).when(wanted(300)).then([rule_set(300)]);
        given::<Study>([created(), rule_set(300)]).when(wanted(300)).then([]);
        given::<Study>([created(), rule_set(300)]).when(wanted(12)).then([rule_set(12)]);
        given::<Study>([created(), rule_set(300)]).when(end()).then([ended()]);
        given::<Study>([created(), rule_set(300), ended()]).when(end()).then([]);
        given::<Study>([created(), rule_set(300), ended()]).when(wanted(300)).then([rule_set(300)]);
        given::<Study>([created()]).when(end()).rejected("no-such-rule");
        given::<Study>([]).when(wanted(300)).rejected("no-such-study");
    }

    #[test]
    fn a_retention_rule_keeps_something_for_a_time_on_a_ground_of_article_17_3() {
        let legal = RefusalGround::LegalObligation;
        let clinical = [Scope::HealthClinical];
        let on = |command| given::<Study>([created()]).when(command);
        on(set("a", 0, &clinical, legal)).rejected("empty-rule");
        on(set("a", MONTHS_MAX + 1, &clinical, legal)).rejected("empty-rule");
        on(set("a", 12, &[], legal)).rejected("empty-rule");
        on(set("a", 12, &[Scope::UserProfile], legal)).rejected("foreign-scope");
        for ground in [RefusalGround::LegalHold, RefusalGround::Restriction, RefusalGround::NotJustified] {
            on(set("a", 12, &clinical, ground)).rejected("no-exemption");
        }
    }

    #[test]
    fn a_study_is_completed_once_when_the_day_has_come() {
        let day = |text: &str| serde_json::from_value::<Day>(text.into()).expect("a day");
        let complete = |text| Command::Complete { on: day(text) };
        let live = || [created(), published(), opened(), Event::WentLive { design: CommitHash([1; 32]) }];
        let over = || live().into_iter().chain([Event::Completed { on: day("2026-11-20") }]);
        given::<Study>([created()]).when(complete("2026-11-20")).rejected("study-not-live");
        given::<Study>(live()).when(complete("2026-11-20")).then([Event::Completed { on: day("2026-11-20") }]);
        given::<Study>(live()).when(complete("2026-11-23")).rejected("completed-in-future");
        given::<Study>(over()).when(complete("2026-11-20")).then([]);
        given::<Study>(over()).when(complete("2026-11-21")).rejected("completed-otherwise");
    }

    #[test]
    fn a_study_keeps_its_environment() {
        let command = Command::Create { name: label("Cardio"), environment: Environment::Prod };
        given::<Study>([created()]).when(command).rejected("study-exists");
    }
}
