//! `GET /v1/studies/{study}/participants` and `/{participant}`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use domain::ids::{ParticipantId, StudyId};
use edge::{Caller, Ids, Parameters, Problem};
use projection_svc::participants::{self, Participant};

use crate::answer::{Answer, List};
use crate::desk::{Paging, Queries, Since};

pub(crate) fn routes() -> Router<Arc<Queries>> {
    Router::new()
        .route("/v1/studies/{study}/participants", get(list))
        .route("/v1/studies/{study}/participants/{participant}", get(show))
}

/// The participants of the caller's sites, by subject number.
#[utoipa::path(get, operation_id = "list_participants",
    path = "/v1/studies/{study}/participants", tag = "queries", params(("study" = String, Path), Paging),
    responses((status = 200, body = List<Participant>)))]
pub(crate) async fn list(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids(study): Ids<StudyId>,
    Parameters(paging): Parameters<Paging>,
) -> Result<Answer<List<Participant>>, Problem> {
    let (entered, _) = queries.enter_study(&caller, "participant.list", &study, paging.min_position.as_deref()).await?;
    let (after, limit) = (paging.after()?, paging.limit()?);
    let page = participants::list(&entered.tenant, &study, &caller.sites, after.as_deref(), limit).await?;
    Ok(Answer { reflected: entered.reflected, body: page.into() })
}

/// One participant, without values.
#[utoipa::path(get, operation_id = "show_participant",
    path = "/v1/studies/{study}/participants/{participant}", tag = "queries",
    params(("study" = String, Path), ("participant" = uuid::Uuid, Path), Since),
    responses((status = 200, body = Participant)))]
pub(crate) async fn show(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids((study, participant)): Ids<(StudyId, ParticipantId)>,
    Parameters(since): Parameters<Since>,
) -> Result<Answer<Participant>, Problem> {
    let place = (&study, &participant);
    let (entered, body) =
        queries.enter_participant(&caller, "participant.list", place, since.min_position.as_deref()).await?;
    Ok(Answer { reflected: entered.reflected, body })
}
