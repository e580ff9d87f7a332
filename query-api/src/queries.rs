//! `GET /v1/studies/{study}/queries`: what is asked about the data.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use domain::ids::{ParticipantId, SiteId, StudyId};
use domain::participant::QueryState;
use edge::{Caller, Ids, Parameters, Problem};
use projection_svc::Visible;
use projection_svc::queries::{self, Query};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::answer::{Answer, List};
use crate::desk::{self, Queries};

pub(crate) fn routes() -> Router<Arc<Queries>> {
    Router::new().route("/v1/studies/{study}/queries", get(list))
}

/// Which queries are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Those in this state only.
    state: Option<QueryState>,
    /// Those of this site only.
    #[param(value_type = Option<String>)]
    site: Option<SiteId>,
    /// Those of this participant only.
    #[param(value_type = Option<uuid::Uuid>)]
    participant: Option<ParticipantId>,
    /// A `Lethe-Position`: the answer reflects at least this.
    min_position: Option<String>,
    /// Where an earlier page ended: its `next`.
    cursor: Option<String>,
    /// How many to show, at most; 100 unless said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// The queries of the caller's sites, by state and then by age, each with all that was said.
#[utoipa::path(get, operation_id = "list_queries",
    path = "/v1/studies/{study}/queries", tag = "queries", params(("study" = String, Path), Wanted),
    responses((status = 200, body = List<Query>)))]
pub(crate) async fn list(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids(study): Ids<StudyId>,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Answer<List<Query>>, Problem> {
    let (entered, _) = queries.enter_study(&caller, "query.list", &study, wanted.min_position.as_deref()).await?;
    let (after, limit) = (desk::after(wanted.cursor.as_deref())?, desk::limit(wanted.limit)?);
    let Wanted { state, site, participant, .. } = wanted;
    let (wanted, visible) = (queries::Wanted { state, site, participant }, Visible::of(caller.actor.role));
    let which = (&caller.sites, &wanted);
    let page = queries::list(&entered.tenant, &study, which, &visible, after.as_deref(), limit).await?;
    Ok(Answer { reflected: entered.reflected, body: page.into() })
}
