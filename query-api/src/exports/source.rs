//! What is known about a study's participants, as far as one caller may see it: the source of every table that leaves.
//!
//! It asks what the views ask, with the same rights, so that an export shows nobody more than the views do.

use std::sync::Arc;

use domain::design::StudyDesign;
use domain::history::{Aggregate, CommitHash, StreamId};
use domain::ids::{SiteId, StudyId};
use domain::permit::{Principal, Sites, may_query};
use domain::port::{Failure, Tenant};
use domain::scope::Scope;
use projection_svc::Visible;
use projection_svc::audit::{self, AuditEntry};
use projection_svc::casebook::{self, Casebook};
use projection_svc::participants::{self, Participant};
use projection_svc::queries::{self, Query};
use projection_svc::studies::{Design, Study};

use crate::signatures::{self, SignatureView};
use crate::studies::text_of;

/// How many entries are read at once.
const PAGE: usize = 500;

/// The scopes without which a casebook has nothing left.
const HEALTH: [Scope; 3] = [Scope::HealthClinical, Scope::HealthFreeText, Scope::HealthOptional];

/// A study, with one caller's rights.
pub(crate) struct Source {
    tenant: Arc<Tenant>,
    study: StudyId,
    sites: Sites,
    visible: Visible,
    /// Kinds of data that the caller may not read.
    pub(crate) not_permitted: Vec<&'static str>,
}

/// What is known of one participant.
pub(crate) struct Loaded {
    pub(crate) participant: Participant,
    /// The audit trail was asked for.
    pub(crate) history: bool,
    /// None: every value is erased.
    pub(crate) casebook: Option<Casebook>,
    /// Empty if it was not asked for, or may not be read.
    pub(crate) audit: Vec<AuditEntry>,
    pub(crate) queries: Vec<Query>,
    pub(crate) signatures: Vec<SignatureView>,
}

const AUDIT: (&str, &str) = ("participant.audit", "audit trails");
const QUERIES: (&str, &str) = ("query.list", "queries");
const SIGNATURES: (&str, &str) = ("participant.signatures", "signatures");

impl Source {
    /// A study at these of the caller's sites.
    pub(crate) fn new(tenant: &Arc<Tenant>, caller: &Principal, study: &StudyId, sites: Sites) -> Self {
        let role = caller.actor.role;
        let denied = [AUDIT, QUERIES, SIGNATURES].into_iter().filter(|(query, _)| !may_query(role, query));
        Self {
            tenant: Arc::clone(tenant),
            study: study.clone(),
            sites,
            visible: Visible::of(role),
            not_permitted: denied.map(|(_, kind)| kind).collect(),
        }
    }

    fn may(&self, (_, kind): (&str, &str)) -> bool {
        !self.not_permitted.contains(&kind)
    }

    /// One page of participants, and where the next one begins.
    pub(crate) async fn participants(
        &self,
        after: Option<&str>,
    ) -> Result<(Vec<Participant>, Option<String>), Failure> {
        let page = participants::list(&self.tenant, &self.study, &self.sites, after, PAGE).await?;
        Ok((page.items, page.next))
    }

    /// Everything that the caller may see of one participant. Of one whose processing is restricted nothing is asked.
    pub(crate) async fn load(&self, participant: Participant, wanted: Wanted) -> Result<Loaded, Failure> {
        let (audit, queries, signatures) = (Vec::new(), Vec::new(), Vec::new());
        let history = wanted == Wanted::History;
        let mut loaded = Loaded { participant, history, casebook: None, audit, queries, signatures };
        if loaded.participant.restricted {
            return Ok(loaded);
        }
        let id = loaded.participant.participant;
        if !HEALTH.iter().all(|scope| loaded.participant.erased.contains(scope)) {
            loaded.casebook = Some(casebook::show(&self.tenant, &self.study, &id, &self.visible).await?);
        }
        // Where everything is erased, the audit trail still says what was there.
        if self.may(AUDIT) && (history || loaded.casebook.is_none()) {
            loaded.audit = self.audit(&id).await?;
        }
        if self.may(QUERIES) && wanted != Wanted::Values {
            loaded.queries = self.queries(&id).await?;
        }
        if self.may(SIGNATURES) && wanted != Wanted::Values {
            loaded.signatures = signatures::verified(&self.tenant, &self.study, &id).await?;
        }
        Ok(loaded)
    }

    async fn audit(&self, id: &domain::ids::ParticipantId) -> Result<Vec<AuditEntry>, Failure> {
        let (mut all, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = audit::page(&self.tenant, &self.study, id, &self.visible, after.as_deref(), PAGE).await?;
            all.extend(page.items);
            after = page.next;
            if after.is_none() {
                return Ok(all);
            }
        }
    }

    async fn queries(&self, id: &domain::ids::ParticipantId) -> Result<Vec<Query>, Failure> {
        let wanted = queries::Wanted { state: None, site: None, participant: Some(*id) };
        let (mut all, mut after) = (Vec::new(), None::<String>);
        loop {
            let which = (&self.sites, &wanted);
            let page = queries::list(&self.tenant, &self.study, which, &self.visible, after.as_deref(), PAGE).await?;
            all.extend(page.items);
            after = page.next;
            if after.is_none() {
                return Ok(all);
            }
        }
    }
}

/// How much of a participant is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Current values alone: what tables hold.
    Values,
    /// And what is said about them.
    Notes,
    /// And all that happened to them.
    History,
}

/// The sites of a study that a caller reaches.
pub(crate) fn reached(study: &Study, caller: &Principal) -> impl Iterator<Item = SiteId> {
    study.sites.iter().map(|site| site.site.clone()).filter(|site| caller.sites.contains(site))
}

/// A published design of a study.
pub(crate) fn published<'s>(study: &'s Study, design: &CommitHash) -> Option<&'s Design> {
    study.designs.iter().find(|published| published.design == *design)
}

/// The content of a published design.
pub(crate) async fn content(tenant: &Tenant, study: &StudyId, design: &Design) -> Result<StudyDesign, Failure> {
    let stream = StreamId::in_study(&tenant.id, study, Aggregate::Study, study);
    let text = text_of(tenant, study, &design.parts).await?;
    serde_json::from_str(&text).map_err(|_| Failure::damaged(&stream, "a published design is no design"))
}
