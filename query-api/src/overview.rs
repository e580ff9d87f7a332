//! `GET /v1/studies/{study}/overview`: counts, by site and week.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use domain::ids::StudyId;
use edge::{Caller, Ids, Parameters, Problem};
use projection_svc::figures::answer::Wanted;
use projection_svc::overview::{self, Overview};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::answer::Answer;
use crate::desk::Queries;

/// As of when counts are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Asked {
    /// As of this time (RFC 3339), not in the future: what was stored until then.
    as_of: Option<String>,
    /// As of this `Lethe-Position`: what stands up to it.
    as_of_position: Option<String>,
    /// A `Lethe-Position`: the answer reflects at least this.
    min_position: Option<String>,
}

pub(crate) fn routes() -> Router<Arc<Queries>> {
    Router::new().route("/v1/studies/{study}/overview", get(show))
}

/// How many were registered, consented, withdrew and were erased: in all, by site and by week of capture.
#[utoipa::path(get, operation_id = "show_overview",
    path = "/v1/studies/{study}/overview", tag = "queries", params(("study" = String, Path), Asked),
    responses((status = 200, body = Overview)))]
pub(crate) async fn show(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids(study): Ids<StudyId>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Answer<Overview>, Problem> {
    let (entered, _) = queries.enter_study(&caller, "study.overview", &study, asked.min_position.as_deref()).await?;
    let body = match (asked.as_of.as_deref(), asked.as_of_position.as_deref()) {
        (None, None) => overview::show(&entered.tenant, &study, &caller.sites).await?,
        (time, position) => {
            let snapshot = queries.snapshot(&entered, &study, time, position).await?;
            snapshot.overview(&Wanted { sites: &caller.sites, site: None, names: None })
        }
    };
    Ok(Answer { reflected: entered.reflected, body })
}
