//! Where every query passes: who asks, what for, and from which position on.

use std::sync::Arc;
use std::time::Duration;

use domain::history::{JournalId, Position};
use domain::ids::{ErasureId, ParticipantId, SiteId, StudyId, TenantId};
use domain::permit::{Principal, may_query};
use domain::port::{Clock, Failure, Tenant, Tenants, WaitingOn, Waits};
use edge::{Problem, headers};
use projection_svc::figures::Figures;
use projection_svc::{participants, studies};
use serde::Deserialize;
use time::OffsetDateTime;
use utoipa::IntoParams;

use crate::figures::Counted;

/// How long a query waits for the position it asks for.
const PATIENCE: Duration = Duration::from_secs(5);

const MIN_POSITION: &str = "min_position";

/// The state behind all views.
pub struct Queries {
    tenants: Arc<dyn Tenants>,
    waits: Arc<dyn Waits>,
    clock: Arc<dyn Clock>,
    /// The states from which figures are computed.
    pub(crate) figures: Figures,
    /// What of them was counted a moment ago.
    pub(crate) counted: Counted,
}

/// Query parameters of a view that shows one thing.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Since {
    /// A `Lethe-Position`: the answer reflects at least this.
    pub(crate) min_position: Option<String>,
}

/// Query parameters of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Paging {
    /// A `Lethe-Position`: the answer reflects at least this.
    pub(crate) min_position: Option<String>,
    /// Where an earlier page ended: its `next`.
    cursor: Option<String>,
    /// How many to show, at most.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

impl Paging {
    /// The reader's key after which to go on.
    pub(crate) fn after(&self) -> Result<Option<String>, Problem> {
        after(self.cursor.as_deref())
    }

    /// How many to show: 100 unless said.
    pub(crate) fn limit(&self) -> Result<usize, Problem> {
        limit(self.limit)
    }
}

/// How many to show: 100 unless said.
pub(crate) fn limit(wanted: Option<usize>) -> Result<usize, Problem> {
    match wanted.unwrap_or(100) {
        limit @ 1..=1000 => Ok(limit),
        _ => Err(Problem::bad_request("invalid-limit", "limit takes 1 to 1000")),
    }
}

/// The reader's key in a cursor.
pub(crate) fn after(cursor: Option<&str>) -> Result<Option<String>, Problem> {
    let Some(cursor) = cursor else { return Ok(None) };
    let wrong = |_| Problem::bad_request("invalid-cursor", "cursor takes what an earlier page gave, unchanged");
    String::from_utf8(edge::cursor::decode(cursor)?).map_err(wrong).map(Some)
}

/// A caller who may ask, at the tenant's read models, which are far enough.
pub(crate) struct Entered {
    /// The caller's tenant.
    pub(crate) tenant: Arc<Tenant>,
    /// What the answer reflects at least.
    pub(crate) reflected: Vec<Position>,
}

impl Queries {
    /// Views of these tenants. `waits` knows what erasures wait for right now; `clock`, which visits are overdue.
    pub fn new(tenants: Arc<dyn Tenants>, waits: Arc<dyn Waits>, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { tenants, waits, clock, figures: Figures::default(), counted: Counted::default() })
    }

    /// Now.
    pub(crate) fn now(&self) -> OffsetDateTime {
        self.clock.now()
    }

    /// The tenant, while it is served here.
    pub(crate) fn tenant(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.tenants.tenant(id)
    }

    /// What holds an erasure up.
    pub(crate) fn waits_on(&self, tenant: &TenantId, erasure: ErasureId) -> Option<(WaitingOn, OffsetDateTime)> {
        self.waits.waits_on(tenant, erasure)
    }

    /// Checks the right to ask `query`, and waits for `min_position`.
    pub(crate) async fn enter(
        &self,
        caller: &Principal,
        query: &str,
        min_position: Option<&str>,
    ) -> Result<Entered, Problem> {
        if !may_query(caller.actor.role, query) {
            return Err(Problem::forbidden(format!("the role {} may not ask {query}", caller.actor.role)));
        }
        self.enter_own(caller, min_position).await
    }

    /// The same for what everybody may ask of themselves.
    pub(crate) async fn enter_own(&self, caller: &Principal, min_position: Option<&str>) -> Result<Entered, Problem> {
        let missing = || Problem::unavailable("unavailable", "this tenant is not served here");
        let tenant = self.tenants.tenant(&caller.tenant).ok_or_else(missing)?;
        let wanted = min_position.map(|text| headers::parse_positions(MIN_POSITION, text)).transpose()?;
        for position in wanted.unwrap_or_default() {
            wait_for(&tenant, MIN_POSITION, &position).await?;
        }
        // Every answer moves the access log on: what it reflects of that says nothing.
        let mut reflected = tenant.progress.reflected();
        reflected.retain(|position| position.study != Some(StudyId::access_log()));
        Ok(Entered { tenant, reflected })
    }

    /// The same for a query about one study, which must be there for this caller.
    pub(crate) async fn enter_study(
        &self,
        caller: &Principal,
        query: &str,
        study: &StudyId,
        min_position: Option<&str>,
    ) -> Result<(Entered, studies::Study), Problem> {
        let mut entered = self.enter(caller, query, min_position).await?;
        entered.reflected.retain(|position| position.study.as_ref() == Some(study));
        let found = studies::show(&entered.tenant, study).await?;
        match found.filter(|study| study.environment == caller.environment) {
            Some(study) => Ok((entered, study)),
            None => Err(Problem::no_such_study()),
        }
    }

    /// The same for a query about one participant, who must be at a site that the caller reaches.
    pub(crate) async fn enter_participant(
        &self,
        caller: &Principal,
        query: &str,
        (study, participant): (&StudyId, &ParticipantId),
        min_position: Option<&str>,
    ) -> Result<(Entered, participants::Participant), Problem> {
        let (entered, _) = self.enter_study(caller, query, study, min_position).await?;
        let found = participants::show(&entered.tenant, study, participant).await?;
        let is_there = found.is_some();
        match found.filter(|participant| caller.sites.contains(&participant.site)) {
            Some(participant) => Ok((entered, participant)),
            None => Err(no_such_participant().beyond(is_there)),
        }
    }
}

/// A site that a query names: unknown, or not for this credential, both look the same.
pub(crate) fn reach_site(study: &studies::Study, caller: &Principal, site: &SiteId) -> Result<(), Problem> {
    let there = study.sites.iter().any(|open| open.site == *site) && caller.sites.contains(site);
    let missing = || Problem::not_found("no-such-site", "the study has no such site for this credential");
    if there { Ok(()) } else { Err(missing()) }
}

/// Unknown, or at another site: both look the same.
fn no_such_participant() -> Problem {
    Problem::not_found("no-such-participant", "there is no such participant for this credential")
}

/// Waits until the read models have taken in a position.
async fn wait_for(tenant: &Tenant, name: &str, position: &Position) -> Result<(), Problem> {
    match tenant.progress.wait_for(position, PATIENCE).await {
        Ok(true) => Ok(()),
        Ok(false) => {
            let detail = format!("the read models have not reached {name} yet: ask again");
            Err(Problem::unavailable("behind", detail))
        }
        Err(Failure::Missing { .. }) => Err(Problem::bad_request(
            "unknown-position",
            format!("{name} is not from this journal: it was restored since, or the position is of another study"),
        )),
        Err(failure) => Err(failure.into()),
    }
}

/// The position of `study` in the parameter `name`, once the read models have taken it in. What nobody wrote yet is not waited
/// for.
pub(crate) async fn reached(tenant: &Tenant, study: &StudyId, name: &str, text: &str) -> Result<Position, Problem> {
    let of_study = headers::parse_positions(name, text)?.into_iter().find(|at| at.study.as_ref() == Some(study));
    let wrong = || Problem::bad_request("unknown-position", format!("{name} takes a position of this study"));
    let position = of_study.ok_or_else(wrong)?;
    let journal = JournalId { tenant: tenant.id.clone(), study: position.study.clone() };
    let head = tenant.journal.head(&journal).await?;
    if position.incarnation == head.incarnation && position.sequence > head.sequence {
        let detail = format!("{name} is ahead of the journal: nothing is recorded there yet");
        return Err(Problem::bad_request("position-ahead", detail));
    }
    wait_for(tenant, name, &position).await?;
    Ok(position)
}
