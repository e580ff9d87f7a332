//! Incidents: what was found, and what was found out. Structure only.

use domain::Moment;
use domain::history::{Aggregate, Commit};
use domain::ids::{IncidentId, InstructionId};
use domain::incident::{Alert, Event, Finding};
use domain::port::{Failure, Tenant};
use domain::structural;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::projection::{Projection, Rows, Stop};
use crate::row::{Act, RowKey};
use crate::shown::{Page, Visible};
use crate::view;

// --- row

/// An incident as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Incident {
    /// Its id.
    pub incident: IncidentId,
    /// What was found.
    pub alert: Alert,
    /// When it was opened.
    pub opened_at: Moment,
    /// Who looks into it, and since when.
    pub acknowledged: Option<Act>,
    /// Who closed it, and when; null: it is open.
    pub closed: Option<Act>,
    /// What was found out.
    pub finding: Option<Finding>,
    /// Where in the controller's own register more is said.
    pub reference: Option<InstructionId>,
}

structural!(Incident);

// --- apply

/// The projection.
#[derive(Debug)]
pub struct Incidents;

impl Projection for Incidents {
    const NAME: &'static str = "incidents";
    const VERSION: u32 = 1;
    type Row = Incident;

    fn takes(aggregate: Aggregate) -> bool {
        aggregate == Aggregate::Incident
    }

    fn apply(commit: &Commit, rows: &mut Rows<'_, Incident>) -> Result<(), Stop> {
        let Ok(id) = commit.header.stream.id.parse::<IncidentId>() else { return Ok(()) };
        let key = RowKey::plain(None, id.to_string());
        let mut row = rows.get(&key)?.cloned();
        for event in commit.facts::<Event>()? {
            match (event, &mut row) {
                (Event::SecurityAlert { alert }, None) => {
                    let opened_at = Moment(commit.header.stored_at);
                    let (acknowledged, closed, finding, reference) = (None, None, None, None);
                    row = Some(Incident { incident: id, alert, opened_at, acknowledged, closed, finding, reference });
                }
                (Event::Acknowledged {}, Some(row)) => row.acknowledged = Some(Act::of(commit)),
                (Event::Closed { finding, reference }, Some(row)) => {
                    (row.closed, row.finding, row.reference) = (Some(Act::of(commit)), Some(finding), reference);
                }
                _ => {}
            }
        }
        if let Some(row) = row {
            rows.put(key, row);
        }
        Ok(())
    }
}

// --- readers

/// One incident.
///
/// # Errors
/// What the store says.
pub async fn show(tenant: &Tenant, incident: IncidentId) -> Result<Option<Incident>, Failure> {
    view::get::<Incidents>(tenant, &RowKey::plain(None, incident.to_string())).await
}

/// The incidents of a tenant, the newest first; `open`: those without a finding.
///
/// # Errors
/// What the store says.
pub async fn list(tenant: &Tenant, open: bool) -> Result<Page<Incident>, Failure> {
    let whole = view::whole::<Incidents>(tenant, &Visible::none()).await?;
    let mut items: Vec<Incident> = whole.into_iter().map(|(_, found)| found.row).collect();
    items.retain(|incident| !open || incident.closed.is_none());
    items.sort_by_key(|incident| std::cmp::Reverse((incident.opened_at, incident.incident)));
    Ok(Page { items, next: None })
}

#[cfg(test)]
mod tests {
    use domain::history::StreamId;
    use domain::incident::Rule;
    use time::macros::datetime;
    use uuid::Uuid;

    use super::*;
    use crate::testing::{Story, World, tenant};

    #[tokio::test]
    async fn an_incident_is_open_until_it_has_a_finding() {
        let at = Moment(datetime!(2026-11-23 3:00 UTC));
        let alert = Alert { rule: Rule::Probing, user: None, count: 20, limit: 20, since: at, until: at };
        let mut story = Story::new();
        let stream = |n| StreamId::in_tenant(&tenant(), Aggregate::Incident, Uuid::from_u128(n));
        for n in [1, 2] {
            story.commit(stream(n), &[Event::SecurityAlert { alert: alert.clone() }, Event::Opened {}]);
        }
        story.commit(stream(1), &[Event::Acknowledged {}]);
        story.commit(stream(1), &[Event::Closed { finding: Finding::Exercise, reference: None }]);
        let world = World::folded(&story).await;
        let open = list(&world.tenant, true).await.expect("reads").items;
        assert_eq!(open.iter().map(|one| one.incident.0.as_u128()).collect::<Vec<_>>(), [2]);
        let closed = show(&world.tenant, IncidentId(Uuid::from_u128(1))).await.expect("reads").expect("is there");
        assert_eq!((closed.finding, closed.acknowledged.is_some()), (Some(Finding::Exercise), true));
        assert_eq!(list(&world.tenant, false).await.expect("reads").items.len(), 2);
    }
}
