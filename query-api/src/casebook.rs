//! `GET /v1/studies/{study}/participants/{participant}/casebook`: all current values.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use domain::ids::{ParticipantId, StudyId};
use domain::scope::Scope;
use edge::{Caller, Ids, Parameters, Problem};
use projection_svc::Visible;
use projection_svc::casebook::{self, Casebook};

use crate::answer::Answer;
use crate::desk::{Queries, Since};
use crate::erasures::refuse_if_erased;

pub(crate) fn routes() -> Router<Arc<Queries>> {
    Router::new().route("/v1/studies/{study}/participants/{participant}/casebook", get(show))
}

/// All current values of a participant, form by form; each form's `tag` is its `ETag`.
#[utoipa::path(get, operation_id = "show_casebook",
    path = "/v1/studies/{study}/participants/{participant}/casebook", tag = "queries",
    params(("study" = String, Path), ("participant" = uuid::Uuid, Path), Since),
    responses((status = 200, body = Casebook),
        (status = 410, description = "Erased: the values are gone for good.",
            content_type = "application/problem+json", body = edge::ProblemBody)))]
pub(crate) async fn show(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids((study, participant)): Ids<(StudyId, ParticipantId)>,
    Parameters(since): Parameters<Since>,
) -> Result<Answer<Casebook>, Problem> {
    let place = (&study, &participant);
    let (entered, found) =
        queries.enter_participant(&caller, "participant.casebook", place, since.min_position.as_deref()).await?;
    refuse_if_erased(&found.erased, &[Scope::HealthClinical, Scope::HealthFreeText, Scope::HealthOptional])?;
    let visible = Visible::of(caller.actor.role);
    let body = casebook::show(&entered.tenant, &study, &participant, &visible).await?;
    Ok(Answer { reflected: entered.reflected, body })
}
