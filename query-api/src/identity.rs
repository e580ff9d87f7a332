//! `GET /v1/studies/{study}/participants/{participant}/identity`: who the participant is.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use domain::ids::{ParticipantId, StudyId};
use domain::scope::Scope;
use edge::{Caller, Ids, Parameters, Problem};
use projection_svc::Visible;
use projection_svc::identity::{self, Identity};

use crate::answer::Answer;
use crate::desk::{Queries, Since};
use crate::erasures::refuse_if_erased;

pub(crate) fn routes() -> Router<Arc<Queries>> {
    Router::new().route("/v1/studies/{study}/participants/{participant}/identity", get(show))
}

/// Name, contact and national id of a participant.
#[utoipa::path(get, operation_id = "show_identity",
    path = "/v1/studies/{study}/participants/{participant}/identity", tag = "queries",
    params(("study" = String, Path), ("participant" = uuid::Uuid, Path), Since),
    responses((status = 200, body = Identity),
        (status = 410, description = "Erased: the values are gone for good.",
            content_type = "application/problem+json", body = edge::ProblemBody)))]
pub(crate) async fn show(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids((study, participant)): Ids<(StudyId, ParticipantId)>,
    Parameters(since): Parameters<Since>,
) -> Result<Answer<Identity>, Problem> {
    let place = (&study, &participant);
    let (entered, found) =
        queries.enter_participant(&caller, "participant.identity", place, since.min_position.as_deref()).await?;
    refuse_if_erased(&found.erased, &[Scope::IdentityContact, Scope::IdentityCodeList, Scope::IdentityNationalId])?;
    let recorded = identity::show(&entered.tenant, &study, &participant, &Visible::of(caller.actor.role)).await?;
    let body =
        recorded.ok_or_else(|| Problem::not_found("no-identity", "no identity is recorded for this participant"))?;
    Ok(Answer { reflected: entered.reflected, body })
}
