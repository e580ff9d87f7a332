//! States of studies: as of now, kept and taken further commit by commit; as of an earlier moment, folded for the answer.
//!
//! What is kept holds nothing about a person: no value, no date of a visit.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::Day;
use domain::design::StudyDesign;
use domain::history::{CommitHash, JournalId};
use domain::ids::{StudyId, TenantId};
use domain::port::{Failure, Tenant};
use time::OffsetDateTime;
use tokio::sync::Mutex;

use super::answer::Wanted;
use super::days::{self, VisitDays};
use super::lag::{self, EntryLag};
use super::plan::{Plan, Plans};
use super::state::State;
use super::visits::{self, Visits};
use super::{FigureRow, Happenings, STEPS, step_key};
use crate::projection::Projection;
use crate::row::RowKey;
use crate::shown::Visible;
use crate::{studies, tables, view};

/// How many rows are read at a time.
const AT_ONCE: usize = 4096;

/// Up to when figures count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Everything, on the day of this time.
    Now(OffsetDateTime),
    /// What was stored up to this time, on the day of it.
    Time(OffsetDateTime),
    /// What stands up to this position, on the day of the last commit that counts.
    Position(u64),
}

impl Moment {
    fn takes(self, sequence: u64, stored_at: OffsetDateTime) -> bool {
        match self {
            Self::Now(_) => true,
            Self::Time(time) => stored_at <= time,
            Self::Position(last) => sequence <= last,
        }
    }
}

/// The states of studies as of now.
#[derive(Debug, Default)]
pub struct Figures {
    kept: Mutex<BTreeMap<(TenantId, StudyId), Shared>>,
    plans: Mutex<Plans>,
}

/// A study's state, with whoever takes it further.
type Shared = Arc<Mutex<Kept>>;

/// One study's state, and which life of the journal stream it is of.
#[derive(Debug, Default)]
struct Kept {
    incarnation: u64,
    state: Arc<State>,
}

/// A study as of a moment: what every figure is computed from.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(super) state: Arc<State>,
    pub(super) plans: Plans,
    /// As of when.
    pub at: OffsetDateTime,
}

impl Snapshot {
    /// The last position that counts.
    pub fn sequence(&self) -> u64 {
        self.state.sequence
    }

    pub(super) fn today(&self) -> Day {
        Day(self.at.to_offset(time::UtcOffset::UTC).date())
    }

    /// Which visits are due, overdue, out of their window.
    ///
    /// # Errors
    /// What the store and the keys say.
    pub async fn visits(&self, tenant: &Tenant, study: &StudyId, wanted: &Wanted<'_>) -> Result<Visits, Failure> {
        Ok(visits::visits(self, &self.days(tenant, study, wanted).await?, wanted))
    }

    /// How long it takes from a visit to its first value.
    ///
    /// # Errors
    /// What the store and the keys say.
    pub async fn entry_lag(&self, tenant: &Tenant, study: &StudyId, wanted: &Wanted<'_>) -> Result<EntryLag, Failure> {
        Ok(lag::entry_lag(self, &self.days(tenant, study, wanted).await?, wanted))
    }

    async fn days(&self, tenant: &Tenant, study: &StudyId, wanted: &Wanted<'_>) -> Result<VisitDays, Failure> {
        let people = self.state.people.iter().filter(|(_, person)| wanted.takes(&person.site));
        days::read(tenant, study, people.map(|(id, _)| *id), self.state.sequence).await
    }
}

impl Figures {
    /// A study as of a moment.
    ///
    /// # Errors
    /// What the store and the journal say.
    pub async fn snapshot(&self, tenant: &Tenant, study: &StudyId, moment: Moment) -> Result<Snapshot, Failure> {
        let state = match moment {
            Moment::Now(_) => self.current(tenant, study).await?,
            earlier => {
                let mut state = Arc::default();
                read_on(tenant, study, &mut state, earlier).await?;
                state
            }
        };
        let at = match moment {
            Moment::Now(at) | Moment::Time(at) => at,
            Moment::Position(_) => state.at.unwrap_or(OffsetDateTime::UNIX_EPOCH),
        };
        let plans = self.plans(tenant, study, &state).await?;
        Ok(Snapshot { state, plans, at })
    }

    async fn current(&self, tenant: &Tenant, study: &StudyId) -> Result<Arc<State>, Failure> {
        let of_study = (tenant.id.clone(), study.clone());
        let kept = Arc::clone(self.kept.lock().await.entry(of_study).or_default());
        let mut kept = kept.lock().await;
        let incarnation = incarnation(tenant, study)?;
        if kept.incarnation != incarnation {
            *kept = Kept { incarnation, state: Arc::default() };
        }
        if let Err(failure) = read_on(tenant, study, &mut kept.state, Moment::Now(OffsetDateTime::UNIX_EPOCH)).await {
            *kept = Kept::default();
            return Err(failure);
        }
        Ok(Arc::clone(&kept.state))
    }

    /// The plans of the designs that somebody's data was entered under. A design never changes, so neither does its plan.
    async fn plans(&self, tenant: &Tenant, study: &StudyId, state: &State) -> Result<Plans, Failure> {
        let used = state.people.values().filter_map(|person| state.design_of(person));
        let mut found = Plans::new();
        for design in used.collect::<std::collections::BTreeSet<_>>() {
            let known = self.plans.lock().await.get(&design).cloned();
            let plan = match (known, state.designs.get(&design)) {
                (Some(plan), _) => plan,
                (None, Some(parts)) => Arc::new(read_plan(tenant, study, parts).await?),
                (None, None) => continue,
            };
            self.plans.lock().await.insert(design, Arc::clone(&plan));
            found.insert(design, plan);
        }
        Ok(found)
    }
}

async fn read_plan(tenant: &Tenant, study: &StudyId, parts: &[CommitHash]) -> Result<Plan, Failure> {
    let text = studies::design_text(tenant, study, parts).await?;
    let damaged = |_| Failure::damaged(format!("a published design of study {study}"), "it is no design");
    serde_json::from_str::<StudyDesign>(&text).map(|design| Plan::of(&design)).map_err(damaged)
}

/// Which life of the journal stream the rows are of.
fn incarnation(tenant: &Tenant, study: &StudyId) -> Result<u64, Failure> {
    let store = tenant.store.as_ref();
    let table = tables::live_table(store, Happenings::NAME)?;
    let journal = JournalId { tenant: tenant.id.clone(), study: Some(study.clone()) };
    Ok(tables::checkpoint(store, &table, &journal)?.map_or(0, |checkpoint| checkpoint.incarnation))
}

/// Takes in what happened after the state, up to `moment`.
async fn read_on(tenant: &Tenant, study: &StudyId, state: &mut Arc<State>, moment: Moment) -> Result<(), Failure> {
    let prefix = RowKey::plain(Some(study), STEPS);
    loop {
        let after = step_key(state.sequence);
        let rows = view::scan::<Happenings>(tenant, &prefix, Some(&after), AT_ONCE, &Visible::none()).await?;
        let whole = rows.len() == AT_ONCE;
        if rows.is_empty() {
            return Ok(());
        }
        // Whoever still holds the state of before keeps it; otherwise it is taken further in place.
        let state = Arc::make_mut(state);
        for (key, open) in rows {
            let sequence = key.rest.strip_prefix(STEPS).and_then(|number| number.parse().ok());
            let (Some(sequence), FigureRow::Happened(happened)) = (sequence, open.row) else {
                return Err(Failure::damaged(format!("row {key} of the read model figures"), "it is no step"));
            };
            // The server's clock may be set back: a commit after one that is too late is too late as well.
            if !moment.takes(sequence, happened.stored_at.0) {
                return Ok(());
            }
            state.take(sequence, &happened);
        }
        if !whole {
            return Ok(());
        }
        // Whoever else is served here gets a turn.
        tokio::task::yield_now().await;
    }
}
