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
use crate::ids::{Environment, Label, RuleId, SiteId};
use crate::privacy::RefusalGround;
use crate::rejection::{Fault, Kind, Rejection};
use crate::scope::Scope;

mod retention;
mod versions;

pub use retention::{Due, MONTHS_MAX, Milestones, Rule, Trigger};
pub use versions::Versions;

// --- facts

facts! {
    /// What happened to a study.
    pub enum Event for Study {
        /// The study exists, in one environment for good.
        "study-created" 1 Created { name: Label, environment: Environment },
        /// A design version is published: immutable, found by its content hash, stored in parts.
        "design-published" 1 DesignPublished { design: CommitHash, version: Label, parts: Vec<CommitHash> },
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
        /// The last visit of the last participant is over.
        "study-completed" 1 Completed { on: Day },
        /// From now on data is kept for so long. A rule that was there under this id is replaced.
        "retention-set" 1 RetentionSet { rule: RuleId, scopes: Vec<Scope>, trigger: Trigger, months: u32, legal_basis: Label, ground: RefusalGround, allows_redaction: bool },
        /// This rule keeps nothing any more.
        "retention-ended" 1 RetentionEnded { rule: RuleId },
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
    /// Takes a published design into use at one site.
    ActivateDesign {
        /// Content hash of the design.
        design: CommitHash,
        /// At which site.
        site: SiteId,
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
}

impl decider::Command for Command {
    fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::PublishDesign { .. } => "publish-design",
            Self::OpenSite { .. } => "open-site",
            Self::GoLive { .. } => "go-live",
            Self::DemandApprovals {} => "demand-approvals",
            Self::ApproveDesign { .. } => "approve-design",
            Self::ActivateDesign { .. } => "activate-design",
            Self::Complete { .. } => "complete",
            Self::SetRetention { .. } => "set-retention",
            Self::EndRetention { .. } => "end-retention",
        }
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
    /// Not one of the study, or not one of the credential.
    #[error("the site is not open in this study, or not one of this credential")]
    NoSuchSite,
    /// Nobody is registered yet.
    #[error("the study is not live: go live first, then a site may take a version of its own into use")]
    NotLiveYet,
    /// The site has not approved it.
    #[error("this site's approval of the design version is not recorded, and the study demands it: record it first")]
    NotApproved,
    /// No site is open.
    #[error("no site is open: open one first")]
    NoSite,
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
            Self::NoSuchSite => "no-such-site",
            Self::NotLiveYet => "study-not-live",
            Self::NotApproved => "design-not-approved",
            Self::NoSite => "no-site",
            Self::NotLive => "study-not-live",
            Self::CompletedOtherwise => "completed-otherwise",
            Self::CompletedInFuture => "completed-in-future",
            Self::EmptyRule => "empty-rule",
            Self::ForeignScope(_) => "foreign-scope",
            Self::NoExemption(_) => "no-exemption",
            Self::NoSuchRule => "no-such-rule",
        }
    }
    fn kind(&self) -> Kind {
        match self {
            Self::NoSuchStudy | Self::NoSuchRule => Kind::NotFound,
            Self::CompletedInFuture
            | Self::EmptyRule
            | Self::ForeignScope(_)
            | Self::NoExemption(_)
            | Self::OtherContent
            | Self::Lowered(_)
            | Self::NoSuchSite => Kind::Invalid,
            Self::StudyExists
            | Self::SiteExists
            | Self::NoSite
            | Self::NoSuchDesign
            | Self::NotLive
            | Self::NotLiveYet
            | Self::NotApproved
            | Self::CompletedOtherwise => Kind::Conflict,
        }
    }

    fn faults(&self) -> Vec<Fault> {
        match self {
            Self::Lowered(faults) => faults.clone(),
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
            Command::OpenSite { site, name } => {
                let setup = self.setup().ok_or(Refused::NoSuchStudy)?;
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
        }
    }

    fn evolve(&mut self, event: &Event, _: Recorded) {
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
                });
            }
            Event::DesignPublished { design, parts, .. } => {
                if let Some(setup) = self.setup_mut() {
                    setup.designs.insert(*design, parts.clone());
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
        let setup = self.setup().ok_or(Refused::NoSuchStudy)?;
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
