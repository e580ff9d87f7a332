//! The studies of a tenant: what is set up, what is live.

use domain::Day;
use domain::decider::Fold;
use domain::design_part::DesignPart;
use domain::history::{Aggregate, Commit, CommitHash, StreamId, Tail};
use domain::ids::{ConsentVersion, Environment, Label, RuleId, SiteId, StudyId};
use domain::participant::Held;
use domain::port::{Failure, Tenant};
use domain::structural;
use domain::study::{Event, Rule, Target};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::projection::{Projection, Rows, Stop};
use crate::row::{Act, RowKey};
use crate::view;

// --- row

/// A study as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Study {
    /// Its id.
    pub study: StudyId,
    /// Its name, for people.
    pub name: Label,
    /// Its environment.
    pub environment: Environment,
    /// Whether participants may be registered.
    pub state: StudyState,
    /// Content hash of the design that is live.
    pub live_design: Option<CommitHash>,
    /// Whether no version is active at a site before that site's approval of it is recorded.
    #[serde(default)]
    pub approvals_demanded: bool,
    /// Every published design.
    pub designs: Vec<Design>,
    /// Drafts of designs: stored to be read and checked, in force nowhere.
    #[serde(default)]
    pub drafts: Vec<DesignDraft>,
    /// Every open site.
    pub sites: Vec<Site>,
    /// How long which data is kept.
    pub retention: Vec<Retention>,
    /// Its consent forms, in the order in which they were published.
    pub consents: Vec<ConsentForm>,
    /// When the study was completed, if it is.
    pub completed: Option<Day>,
    /// What data is frozen or locked.
    pub held: Vec<HeldData>,
    /// How far the lock of the database is; none: nobody asked for it.
    pub database: Option<DatabaseLock>,
    /// Who created it and when.
    pub created: Act,
}

/// Whether a study takes participants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StudyState {
    /// Being set up.
    Configured,
    /// Open for participants.
    Live,
}

/// A published design.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Design {
    /// Content hash of the whole.
    pub design: CommitHash,
    /// The version's name.
    pub version: Label,
    /// Content hashes of its parts, in order: their streams hold the text.
    pub parts: Vec<CommitHash>,
    /// Who published it and when.
    pub published: Act,
}

/// A draft of a design.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DesignDraft {
    /// Content hash of the whole.
    pub design: CommitHash,
    /// The version's name.
    pub version: Label,
    /// Content hashes of its parts, in order: their streams hold the text.
    pub parts: Vec<CommitHash>,
    /// Who stored it and when.
    pub drafted: Act,
}

/// An open site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Site {
    /// Which.
    pub site: SiteId,
    /// Its name, for people.
    pub name: Label,
    /// Who opened it and when.
    pub opened: Act,
    /// Content hash of the design version that it took into use for itself; none: the study's.
    #[serde(default)]
    pub design: Option<CommitHash>,
    /// Content hash of the design version that is in force there: its own, otherwise the study's; none: the site may not
    /// use that one, or none is live, so nobody can be registered there.
    #[serde(default)]
    pub in_force: Option<CommitHash>,
    /// Its approvals of design versions.
    #[serde(default)]
    pub approvals: Vec<Approval>,
    /// How many it is to enrol, and by when.
    #[serde(default)]
    pub target: Option<Target>,
}

/// A site's approval of a design version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = DesignApproval)]
pub struct Approval {
    /// Content hash of the design.
    pub design: CommitHash,
    /// Where the approval is found.
    pub reference: Label,
    /// Who recorded it and when.
    pub recorded: Act,
}

/// A retention rule in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Retention {
    /// Which.
    pub rule: RuleId,
    /// What it says.
    #[serde(flatten)]
    pub terms: Rule,
    /// Who set it and when.
    pub set: Act,
}

/// A version of the study's consent form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConsentForm {
    /// Which.
    pub version: ConsentVersion,
    /// For how many months a consent to it holds; none: until it is withdrawn.
    pub months: Option<u32>,
    /// Where it is approved.
    pub approved: Vec<ConsentApproval>,
    /// From when data needs consent to it, or to a later one.
    pub required: Vec<ConsentRequirement>,
    /// Who published it and when.
    pub published: Act,
}

/// A site that may use a consent form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConsentApproval {
    /// Which site.
    pub site: SiteId,
    /// Where the approval is found.
    pub reference: Label,
    /// Who recorded it and when.
    pub act: Act,
}

/// From a day on, data needs consent to this version or a later one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConsentRequirement {
    /// At which site; none: at each.
    pub site: Option<SiteId>,
    /// From which day on.
    pub from: Day,
    /// Who required it and when.
    pub act: Act,
}

/// Data of a site, or of the whole study, that is frozen or locked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeldData {
    /// Of which site; none: of the whole study.
    pub site: Option<SiteId>,
    /// How firmly.
    pub held: Held,
    /// Why, if somebody said so.
    pub reason: Option<Label>,
    /// Who did it and when.
    pub act: Act,
}

/// How far the lock of a study's database is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DatabaseLock {
    /// How far.
    pub state: DatabaseState,
    /// Why, of what was asked for.
    pub reason: Option<Label>,
    /// Over which records it was locked: SHA-256 of every participant's stream and the hash of its last commit.
    pub digest: Option<CommitHash>,
    /// Who did the last step and when.
    pub act: Act,
}

/// How far the lock of a study's database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DatabaseState {
    /// Somebody asks for it.
    LockAsked,
    /// Nothing changes any more.
    Locked,
    /// The same; somebody asks for the end of that.
    UnlockAsked,
}

structural!(Study);

// --- apply

/// The projection.
#[derive(Debug)]
pub struct Studies;

impl Projection for Studies {
    const NAME: &'static str = "studies";
    const VERSION: u32 = 6;
    type Row = Study;

    fn takes(aggregate: Aggregate) -> bool {
        aggregate == Aggregate::Study
    }

    fn apply(commit: &Commit, rows: &mut Rows<'_, Study>) -> Result<(), Stop> {
        let Some(study) = &commit.header.stream.journal.study else {
            return Ok(());
        };
        let key = key(study);
        for event in commit.facts::<Event>()? {
            let row = match (rows.get(&key)?.cloned(), event) {
                (_, Event::Created { name, environment }) => created(study, name, environment, commit),
                (Some(study), event) => study.after(event, commit),
                (None, _) => continue,
            };
            rows.put(key.clone(), row);
        }
        Ok(())
    }
}

fn key(study: &StudyId) -> RowKey {
    RowKey::plain(Some(study), "study")
}

fn created(study: &StudyId, name: Label, environment: Environment, commit: &Commit) -> Study {
    Study {
        study: study.clone(),
        name,
        environment,
        state: StudyState::Configured,
        live_design: None,
        approvals_demanded: false,
        designs: Vec::new(),
        drafts: Vec::new(),
        sites: Vec::new(),
        retention: Vec::new(),
        completed: None,
        consents: Vec::new(),
        held: Vec::new(),
        database: None,
        created: Act::of(commit),
    }
}

impl Study {
    fn after(mut self, event: Event, commit: &Commit) -> Self {
        match event {
            Event::Created { .. } => {}
            Event::DesignDrafted { design, version, parts } => {
                self.drafts.retain(|known| known.version != version);
                self.drafts.push(DesignDraft { design, version, parts, drafted: Act::of(commit) });
            }
            Event::DesignPublished { design, version, parts } => {
                self.drafts.retain(|known| known.design != design);
                self.designs.push(Design { design, version, parts, published: Act::of(commit) });
            }
            Event::SiteOpened { site, name } => {
                let opened = Act::of(commit);
                self.sites.push(Site {
                    site,
                    name,
                    opened,
                    design: None,
                    in_force: None,
                    approvals: Vec::new(),
                    target: None,
                });
            }
            Event::ApprovalsDemanded {} => self.approvals_demanded = true,
            Event::DesignApproved { design, site, reference } => {
                if let Some(site) = self.sites.iter_mut().find(|known| known.site == site) {
                    site.approvals.retain(|known| known.design != design);
                    site.approvals.push(Approval { design, reference, recorded: Act::of(commit) });
                }
            }
            Event::DesignActivated { design, site } => {
                if let Some(site) = self.sites.iter_mut().find(|known| known.site == site) {
                    site.design = Some(design);
                }
            }
            Event::WentLive { design } => {
                self.state = StudyState::Live;
                self.live_design = Some(design);
            }
            Event::ConsentPublished { version, months } => {
                let (approved, required) = (Vec::new(), Vec::new());
                self.consents.push(ConsentForm { version, months, approved, required, published: Act::of(commit) });
            }
            Event::ConsentApproved { version, site, reference } => {
                let approval = ConsentApproval { site, reference, act: Act::of(commit) };
                if let Some(known) = self.consents.iter_mut().find(|known| known.version == version) {
                    known.approved.retain(|before| before.site != approval.site);
                    known.approved.push(approval);
                }
            }
            Event::ConsentRequired { version, site, from } => {
                let required = ConsentRequirement { site, from, act: Act::of(commit) };
                let known = self.consents.iter_mut().find(|known| known.version == version);
                known.into_iter().for_each(|known| known.required.push(required.clone()));
            }
            Event::EnrolmentTargetSet { site, participants, by } => {
                if let Some(site) = self.sites.iter_mut().find(|known| known.site == site) {
                    site.target = Some(Target { participants, by });
                }
            }
            Event::Completed { on } => self.completed = Some(on),
            Event::RetentionSet { rule, scopes, trigger, months, legal_basis, ground, allows_redaction } => {
                let scopes = scopes.into_iter().collect();
                let terms = Rule { scopes, trigger, months, legal_basis, ground, allows_redaction };
                self.retention.retain(|known| known.rule != rule);
                self.retention.push(Retention { rule, terms, set: Act::of(commit) });
            }
            Event::RetentionEnded { rule } => self.retention.retain(|known| known.rule != rule),
            Event::DataFrozen { site, reason } => self.hold(site, Some(Held::Frozen), reason, commit),
            Event::DataLocked { site, reason } => self.hold(site, Some(Held::Locked), reason, commit),
            Event::DataUnfrozen { site, reason } | Event::DataUnlocked { site, reason } => {
                self.hold(site, None, Some(reason), commit);
            }
            Event::DatabaseLockAsked { reason } => self.database(DatabaseState::LockAsked, Some(reason), None, commit),
            Event::DatabaseLocked { digest, .. } => self.database(DatabaseState::Locked, None, Some(digest), commit),
            Event::DatabaseUnlockAsked { reason } => {
                let digest = self.database.as_ref().and_then(|known| known.digest);
                self.database(DatabaseState::UnlockAsked, Some(reason), digest, commit);
            }
            Event::DatabaseUnlocked {} => self.database = None,
        }
        self.put_in_force();
        self
    }

    /// Which version is in force at each site.
    fn put_in_force(&mut self) {
        let (live, demanded) = (self.live_design, self.approvals_demanded);
        for site in &mut self.sites {
            let approved = |design: &CommitHash| site.approvals.iter().any(|known| known.design == *design);
            let active = live.map(|live| site.design.unwrap_or(live));
            site.in_force = active.filter(|active| !demanded || approved(active));
        }
    }

    fn hold(&mut self, site: Option<SiteId>, held: Option<Held>, reason: Option<Label>, commit: &Commit) {
        self.held.retain(|known| known.site != site);
        // Who lets values change again has taken back what was asked for.
        let asked = self.database.as_ref().is_some_and(|known| known.state == DatabaseState::LockAsked);
        if held.is_none() && site.is_none() && asked {
            self.database = None;
        }
        self.held.extend(held.map(|held| HeldData { site, held, reason, act: Act::of(commit) }));
    }

    fn database(&mut self, state: DatabaseState, reason: Option<Label>, digest: Option<CommitHash>, commit: &Commit) {
        self.database = Some(DatabaseLock { state, reason, digest, act: Act::of(commit) });
    }
}

// --- readers

/// The text of a published design. Designs are not copied into the read models: each part is read from its stream.
///
/// # Errors
/// What the journal says.
pub async fn design_text(tenant: &Tenant, study: &StudyId, parts: &[CommitHash]) -> Result<String, Failure> {
    let mut text = String::new();
    for part in parts {
        let stream = StreamId::in_study(&tenant.id, study, Aggregate::DesignPart, part);
        let mut state = DesignPart::default();
        for commit in tenant.journal.load(&stream, Tail::default()).await? {
            state.apply(&commit).map_err(|fault| Failure::damaged(&stream, fault))?;
        }
        match state {
            DesignPart::Stored(part) => text.push_str(&part.0),
            DesignPart::Absent => return Err(Failure::missing(stream)),
        }
    }
    Ok(text)
}

/// Every study of the tenant, by id.
///
/// # Errors
/// What the store says.
pub async fn list(tenant: &Tenant) -> Result<Vec<Study>, Failure> {
    view::all::<Studies>(tenant).await
}

/// One study.
///
/// # Errors
/// What the store says.
pub async fn show(tenant: &Tenant, study: &StudyId) -> Result<Option<Study>, Failure> {
    view::get::<Studies>(tenant, &key(study)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Story, World, json, label, site};

    #[tokio::test]
    async fn a_study_is_set_up_and_goes_live() {
        let hash = CommitHash([1; 32]);
        let mut story = Story::new();
        story.study(Event::Created { name: label("Cardio"), environment: Environment::Test });
        story.study(Event::DesignPublished { design: hash, version: label("1"), parts: vec![CommitHash([2; 32])] });
        story.study(Event::SiteOpened { site: site("oslo"), name: label("Oslo") });
        let world = World::of::<Studies>(&story).await;
        let study = show(&world.tenant, &Story::study_id()).await.expect("reads").expect("is there");
        assert_eq!((study.state, study.live_design), (StudyState::Configured, None));

        story.study(Event::WentLive { design: hash });
        let world = World::of::<Studies>(&story).await;
        let studies = list(&world.tenant).await.expect("reads");
        assert_eq!(studies.len(), 1);
        assert_eq!((studies[0].state, studies[0].live_design), (StudyState::Live, Some(hash)));
        let shown = json(&studies[0]);
        assert_eq!(shown["sites"][0]["site"], "oslo");
        assert_eq!(shown["designs"][0]["parts"][0], CommitHash([2; 32]).to_string());
        assert_eq!(shown["created"]["revision"], 1);
    }

    #[tokio::test]
    async fn a_draft_is_shown_until_it_is_published_or_replaced() {
        let hash = |n| CommitHash([n; 32]);
        let drafted = |n, name| Event::DesignDrafted { design: hash(n), version: label(name), parts: vec![hash(9)] };
        let mut story = Story::new();
        story.study(Event::Created { name: label("Cardio"), environment: Environment::Test });
        [drafted(1, "1"), drafted(2, "2"), drafted(3, "1")].into_iter().for_each(|event| story.study(event));
        let drafts = async |story: &Story| {
            let world = World::of::<Studies>(story).await;
            let study = show(&world.tenant, &Story::study_id()).await.expect("reads").expect("is there");
            study.drafts.iter().map(|draft| draft.design).collect::<Vec<_>>()
        };
        assert_eq!(drafts(&story).await, [hash(2), hash(3)]);
        story.study(Event::DesignPublished { design: hash(2), version: label("2"), parts: vec![hash(9)] });
        assert_eq!(drafts(&story).await, [hash(3)]);
    }

    #[tokio::test]
    async fn a_site_says_which_version_is_in_force_there() {
        let (first, second) = (CommitHash([1; 32]), CommitHash([2; 32]));
        let published = |design, name| Event::DesignPublished { design, version: label(name), parts: vec![] };
        let mut story = Story::new();
        story.study(Event::Created { name: label("Cardio"), environment: Environment::Test });
        story.study(published(first, "1"));
        story.study(published(second, "2"));
        story.study(Event::SiteOpened { site: site("oslo"), name: label("Oslo") });
        let in_force = async |story: &Story| {
            let world = World::of::<Studies>(story).await;
            show(&world.tenant, &Story::study_id()).await.expect("reads").expect("is there").sites[0].in_force
        };
        assert_eq!(in_force(&story).await, None, "nothing is live");
        story.study(Event::WentLive { design: first });
        assert_eq!(in_force(&story).await, Some(first));
        story.study(Event::DesignActivated { design: second, site: site("oslo") });
        assert_eq!(in_force(&story).await, Some(second));
        story.study(Event::ApprovalsDemanded {});
        assert_eq!(in_force(&story).await, None, "no approval is recorded");
        story.study(Event::DesignApproved { design: second, site: site("oslo"), reference: label("REK 17") });
        assert_eq!(in_force(&story).await, Some(second));
    }

    #[tokio::test]
    async fn a_retention_rule_is_shown_while_it_holds() {
        let day: Day = serde_json::from_value("2026-11-20".into()).expect("a day");
        let set = |months| Event::RetentionSet {
            rule: "ctr-58".parse().expect("valid"),
            scopes: vec![domain::scope::Scope::HealthClinical],
            trigger: domain::study::Trigger::StudyCompleted,
            months,
            legal_basis: label("Regulation (EU) 536/2014 Art 58"),
            ground: domain::privacy::RefusalGround::LegalObligation,
            allows_redaction: false,
        };
        let mut story = Story::new();
        story.study(Event::Created { name: label("Cardio"), environment: Environment::Test });
        story.study(set(12));
        story.study(set(300));
        story.study(Event::Completed { on: day });
        let world = World::of::<Studies>(&story).await;
        let study = show(&world.tenant, &Story::study_id()).await.expect("reads").expect("is there");
        let shown = json(&study);
        assert_eq!(shown["retention"].as_array().map(Vec::len), Some(1));
        assert_eq!((&shown["retention"][0]["rule"], &shown["retention"][0]["months"]), (&"ctr-58".into(), &300.into()));
        assert_eq!(shown["completed"], "2026-11-20");

        story.study(Event::RetentionEnded { rule: "ctr-58".parse().expect("valid") });
        let world = World::of::<Studies>(&story).await;
        let study = show(&world.tenant, &Story::study_id()).await.expect("reads").expect("is there");
        assert_eq!(study.retention, []);
    }
}
