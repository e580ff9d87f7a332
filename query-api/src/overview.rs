//! `GET /v1/studies/{study}/overview`: counts, by site and week.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use domain::ids::StudyId;
use edge::{Caller, Ids, Parameters, Problem};
use projection_svc::overview::{self, Overview};

use crate::answer::Answer;
use crate::desk::{Queries, Since};

pub(crate) fn routes() -> Router<Arc<Queries>> {
    Router::new().route("/v1/studies/{study}/overview", get(show))
}

/// How many were registered, consented, withdrew and were erased: in all, by site and by week of capture.
#[utoipa::path(get, operation_id = "show_overview",
    path = "/v1/studies/{study}/overview", tag = "queries", params(("study" = String, Path), Since),
    responses((status = 200, body = Overview)))]
pub(crate) async fn show(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids(study): Ids<StudyId>,
    Parameters(since): Parameters<Since>,
) -> Result<Answer<Overview>, Problem> {
    let (entered, _) = queries.enter_study(&caller, "study.overview", &study, since.min_position.as_deref()).await?;
    let body = overview::show(&entered.tenant, &study, &caller.sites).await?;
    Ok(Answer { reflected: entered.reflected, body })
}
