//! `GET /v1/erasures` and `/v1/erasures/{erasure}`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use domain::ids::{ErasureId, StudyId};
use domain::permit::Principal;
use domain::port::Tenant;
use domain::scope::Scope;
use edge::{Caller, Ids, Parameters, Problem};
use projection_svc::erasures::{self, Erasure};
use projection_svc::{participants, studies};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::answer::{Answer, List};
use crate::desk::{Queries, Since};

pub(crate) fn routes() -> Router<Arc<Queries>> {
    Router::new().route("/v1/erasures", get(list)).route("/v1/erasures/{erasure}", get(show))
}

/// A casebook or vault of which nothing can be left is gone, not empty.
pub(crate) fn refuse_if_erased<'a>(erased: impl IntoIterator<Item = &'a Scope>, all: &[Scope]) -> Result<(), Problem> {
    let erased: Vec<&Scope> = erased.into_iter().collect();
    if all.iter().all(|scope| erased.contains(&scope)) {
        let detail = "this was erased: the keys are destroyed. The audit trail still says what was done, and when";
        return Err(Problem::new(StatusCode::GONE, "erased", detail));
    }
    Ok(())
}

/// Query parameters of the list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// A `Lethe-Position`: the answer reflects at least this.
    min_position: Option<String>,
    /// Only those of one study.
    study: Option<String>,
    /// Only those that are not completed or refused.
    open: Option<bool>,
    /// Where an earlier page ended: its `next`.
    cursor: Option<String>,
}

/// How many erasures a page shows.
const PAGE: usize = 100;

/// The erasures of the caller's environment, with their steps and grounds.
#[utoipa::path(get, path = "/v1/erasures", tag = "queries", params(Wanted),
    responses((status = 200, body = List<Erasure>), (status = 403, body = edge::ProblemBody)))]
pub(crate) async fn list(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Answer<List<Erasure>>, Problem> {
    let entered = queries.enter(&caller, "erasure.list", wanted.min_position.as_deref()).await?;
    let study = wanted.study.as_deref().map(str::parse::<StudyId>).transpose()?;
    let cursor = wanted.cursor.as_deref().map(edge::cursor::decode).transpose()?;
    let after = cursor.and_then(|cursor| String::from_utf8(cursor).ok());
    let open = wanted.open.unwrap_or(false);
    let mut page = erasures::list(&entered.tenant, study.as_ref(), open, after.as_deref(), PAGE).await?;
    let mut seen = BTreeMap::new();
    let mut kept = Vec::new();
    for erasure in page.items {
        if is_callers(&entered.tenant, &caller, &erasure, &mut seen).await? {
            kept.push(erasure);
        }
    }
    page.items = kept;
    Ok(Answer { reflected: entered.reflected, body: page.into() })
}

/// One erasure, from request to completion.
#[utoipa::path(get, path = "/v1/erasures/{erasure}", tag = "queries", params(("erasure" = uuid::Uuid, Path), Since),
    responses((status = 200, body = Erasure), (status = 404, body = edge::ProblemBody)))]
pub(crate) async fn show(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids(erasure): Ids<ErasureId>,
    Parameters(since): Parameters<Since>,
) -> Result<Answer<Erasure>, Problem> {
    let entered = queries.enter(&caller, "erasure.show", since.min_position.as_deref()).await?;
    let missing = || Problem::not_found("no-such-erasure", "there is no such erasure for this credential");
    let body = erasures::show(&entered.tenant, &erasure).await?.ok_or_else(missing)?;
    if is_callers(&entered.tenant, &caller, &body, &mut BTreeMap::new()).await? {
        Ok(Answer { reflected: entered.reflected, body })
    } else {
        Err(missing())
    }
}

/// Whether the erasure is in the caller's environment, at a site that the caller reaches.
async fn is_callers(
    tenant: &Tenant,
    caller: &Principal,
    erasure: &Erasure,
    environments: &mut BTreeMap<StudyId, bool>,
) -> Result<bool, Problem> {
    if !environments.contains_key(&erasure.study) {
        let study = studies::show(tenant, &erasure.study).await?;
        let own = study.is_some_and(|study| study.environment == caller.environment);
        environments.insert(erasure.study.clone(), own);
    }
    let site = participants::show(tenant, &erasure.study, &erasure.participant).await?.map(|found| found.site);
    Ok(environments[&erasure.study] && site.is_none_or(|site| caller.sites.contains(&site)))
}
