//! `GET /v1/studies/{study}/participants/{participant}/audit`: who did what, when and why; values as far as they are known.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use domain::ids::{ParticipantId, StudyId};
use edge::{Caller, Ids, Parameters, Problem};
use projection_svc::Visible;
use projection_svc::audit::{self, AuditEntry};

use crate::answer::{Answer, List};
use crate::desk::{Paging, Queries};

pub(crate) fn routes() -> Router<Arc<Queries>> {
    Router::new().route("/v1/studies/{study}/participants/{participant}/audit", get(page))
}

/// The audit trail of one participant, oldest first. After an erasure every entry is still there, its values gone.
#[utoipa::path(get, operation_id = "list_audit_trail",
    path = "/v1/studies/{study}/participants/{participant}/audit", tag = "queries",
    params(("study" = String, Path), ("participant" = uuid::Uuid, Path), Paging),
    responses((status = 200, body = List<AuditEntry>)))]
pub(crate) async fn page(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids((study, participant)): Ids<(StudyId, ParticipantId)>,
    Parameters(paging): Parameters<Paging>,
) -> Result<Answer<List<AuditEntry>>, Problem> {
    let place = (&study, &participant);
    let (entered, _) =
        queries.enter_participant(&caller, "participant.audit", place, paging.min_position.as_deref()).await?;
    let (after, limit, visible) = (paging.after()?, paging.limit()?, Visible::of(caller.actor.role));
    let page = audit::page(&entered.tenant, &study, &participant, &visible, after.as_deref(), limit).await?;
    Ok(Answer { reflected: entered.reflected, body: page.into() })
}
