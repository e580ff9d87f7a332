//! `GET /v1/incidents` and `/v1/incidents/{incident}`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use domain::ids::IncidentId;
use edge::{Caller, Ids, Parameters, Problem};
use projection_svc::incidents::{self, Incident};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::answer::{Answer, List};
use crate::desk::{Queries, Since};

pub(crate) fn routes() -> Router<Arc<Queries>> {
    Router::new().route("/v1/incidents", get(list)).route("/v1/incidents/{incident}", get(show))
}

/// Which incidents are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// A `Lethe-Position`: the answer reflects at least this.
    min_position: Option<String>,
    /// Those without a finding only.
    open: Option<bool>,
}

/// What looked like an attack or a misuse, the newest first.
#[utoipa::path(get, operation_id = "list_incidents",
    path = "/v1/incidents", tag = "queries", params(Wanted),
    responses((status = 200, body = List<Incident>)))]
pub(crate) async fn list(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Answer<List<Incident>>, Problem> {
    let entered = queries.enter(&caller, "incident.list", wanted.min_position.as_deref()).await?;
    let page = incidents::list(&entered.tenant, wanted.open.unwrap_or(false)).await?;
    Ok(Answer { reflected: entered.reflected, body: page.into() })
}

/// One incident.
#[utoipa::path(get, operation_id = "show_incident",
    path = "/v1/incidents/{incident}", tag = "queries", params(("incident" = uuid::Uuid, Path), Since),
    responses((status = 200, body = Incident)))]
pub(crate) async fn show(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids(incident): Ids<IncidentId>,
    Parameters(since): Parameters<Since>,
) -> Result<Answer<Incident>, Problem> {
    let entered = queries.enter(&caller, "incident.list", since.min_position.as_deref()).await?;
    let missing = || Problem::not_found("no-such-incident", "there is no such incident for this credential");
    let body = incidents::show(&entered.tenant, incident).await?.ok_or_else(missing)?;
    Ok(Answer { reflected: entered.reflected, body })
}
