//! `GET /v1/studies/{study}/matrix`: participants by visits and forms.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use domain::ids::{SiteId, StudyId};
use domain::permit::Sites;
use edge::{Caller, Ids, Parameters, Problem};
use projection_svc::matrix::{self, Line};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::answer::{Answer, List};
use crate::desk::{self, Queries};

pub(crate) fn routes() -> Router<Arc<Queries>> {
    Router::new().route("/v1/studies/{study}/matrix", get(list))
}

/// Which part of the matrix is wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// The participants of this site only.
    #[param(value_type = Option<String>)]
    site: Option<SiteId>,
    /// A `Lethe-Position`: the answer reflects at least this.
    min_position: Option<String>,
    /// Where an earlier page ended: its `next`.
    cursor: Option<String>,
    /// How many participants to show, at most; 100 unless said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// The participants of the caller's sites, by site and subject number, each with how far every visit and form is, and
/// how many queries wait. No values. What the design expects and nobody has begun is not listed.
#[utoipa::path(get, operation_id = "show_matrix",
    path = "/v1/studies/{study}/matrix", tag = "queries", params(("study" = String, Path), Wanted),
    responses((status = 200, body = List<Line>)))]
pub(crate) async fn list(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids(study): Ids<StudyId>,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Answer<List<Line>>, Problem> {
    let position = wanted.min_position.as_deref();
    let (entered, _) = queries.enter_study(&caller, "participant.matrix", &study, position).await?;
    let (after, limit) = (desk::after(wanted.cursor.as_deref())?, desk::limit(wanted.limit)?);
    let sites = within(&caller.sites, wanted.site);
    let page = matrix::list(&entered.tenant, &study, &sites, after.as_deref(), limit).await?;
    Ok(Answer { reflected: entered.reflected, body: page.into() })
}

/// The sites that are reached and asked for: none at all if another's is asked for.
fn within(reached: &Sites, asked: Option<SiteId>) -> Sites {
    match asked {
        Some(site) => Sites::Only([site].into_iter().filter(|site| reached.contains(site)).collect()),
        None => reached.clone(),
    }
}
