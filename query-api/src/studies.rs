//! `GET /v1/studies`, `/v1/studies/{study}`, its live design, its published versions and their difference.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::Response;
use axum::routing::get;
use domain::design::{Difference, StudyDesign};
use domain::history::{Aggregate, CommitHash, Position, StreamId};
use domain::ids::StudyId;
use domain::port::{Failure, Tenant};
use edge::{Caller, Ids, Parameters, Problem};
use projection_svc::studies::{self, Design, Study};

use crate::answer::{Answer, reflecting};
use crate::desk::{Queries, Since};

pub(crate) fn routes() -> Router<Arc<Queries>> {
    Router::new()
        .route("/v1/studies", get(list))
        .route("/v1/studies/{study}", get(show))
        .route("/v1/studies/{study}/design", get(design))
        .route("/v1/studies/{study}/designs/{design}", get(version))
        .route("/v1/studies/{study}/designs/{design}/difference/{other}", get(difference))
}

/// The studies of the caller's environment.
#[utoipa::path(get, operation_id = "list_studies", path = "/v1/studies", tag = "queries", params(Since),
    responses((status = 200, body = Vec<Study>)))]
pub(crate) async fn list(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Parameters(since): Parameters<Since>,
) -> Result<Answer<Vec<Study>>, Problem> {
    let entered = queries.enter(&caller, "study.list", since.min_position.as_deref()).await?;
    let mut body = studies::list(&entered.tenant).await?;
    body.retain(|study| study.environment == caller.environment);
    Ok(Answer { reflected: entered.reflected, body })
}

/// One study: its designs, sites, and whether it is live.
#[utoipa::path(get, operation_id = "show_study",
    path = "/v1/studies/{study}", tag = "queries", params(("study" = String, Path), Since),
    responses((status = 200, body = Study)))]
pub(crate) async fn show(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids(study): Ids<StudyId>,
    Parameters(since): Parameters<Since>,
) -> Result<Answer<Study>, Problem> {
    let (entered, body) = queries.enter_study(&caller, "study.list", &study, since.min_position.as_deref()).await?;
    Ok(Answer { reflected: entered.reflected, body })
}

/// The live design, exactly as it was published.
#[utoipa::path(get, operation_id = "show_design",
    path = "/v1/studies/{study}/design", tag = "queries", params(("study" = String, Path), Since),
    responses((status = 200, body = domain::design::StudyDesign)))]
pub(crate) async fn design(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids(study): Ids<StudyId>,
    Parameters(since): Parameters<Since>,
) -> Result<Response, Problem> {
    let (entered, found) = queries.enter_study(&caller, "study.design", &study, since.min_position.as_deref()).await?;
    let live = found.designs.iter().find(|design| Some(design.design) == found.live_design);
    let Some(live) = live else {
        return Err(Problem::not_found("study-not-live", "the study is not live: no design is in force"));
    };
    let text = text_of(&entered.tenant, &study, live).await?;
    Ok(as_published(&entered.reflected, live, text))
}

/// One published design version, exactly as it was published.
#[utoipa::path(get, operation_id = "show_design_version",
    path = "/v1/studies/{study}/designs/{design}", tag = "queries",
    params(("study" = String, Path), ("design" = String, Path, description = "content hash of the design"), Since),
    responses((status = 200, body = domain::design::StudyDesign)))]
pub(crate) async fn version(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids((study, design)): Ids<(StudyId, CommitHash)>,
    Parameters(since): Parameters<Since>,
) -> Result<Response, Problem> {
    let (entered, found) = queries.enter_study(&caller, "study.design", &study, since.min_position.as_deref()).await?;
    let published = published(&found, &design)?;
    let text = text_of(&entered.tenant, &study, published).await?;
    Ok(as_published(&entered.reflected, published, text))
}

/// What has to be changed in one published design version to get another.
#[utoipa::path(get, operation_id = "show_design_difference",
    path = "/v1/studies/{study}/designs/{design}/difference/{other}", tag = "queries",
    params(("study" = String, Path), ("design" = String, Path, description = "content hash of the one version"),
        ("other" = String, Path, description = "content hash of the other"), Since),
    responses((status = 200, body = Difference)))]
pub(crate) async fn difference(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids((study, design, other)): Ids<(StudyId, CommitHash, CommitHash)>,
    Parameters(since): Parameters<Since>,
) -> Result<Answer<Difference>, Problem> {
    let (entered, found) = queries.enter_study(&caller, "study.design", &study, since.min_position.as_deref()).await?;
    let (before, after) = (published(&found, &design)?, published(&found, &other)?);
    let before = content_of(&entered.tenant, &study, before).await?;
    let after = content_of(&entered.tenant, &study, after).await?;
    Ok(Answer { reflected: entered.reflected, body: before.difference(&after) })
}

fn published<'a>(study: &'a Study, design: &CommitHash) -> Result<&'a Design, Problem> {
    let found = study.designs.iter().find(|published| published.design == *design);
    found.ok_or_else(|| Problem::not_found("no-such-design", "no design with this hash is published in the study"))
}

fn as_published(reflected: &[Position], design: &Design, text: String) -> Response {
    let tag = format!("\"{}\"", design.design);
    let headers = [(header::CONTENT_TYPE, "application/json".to_owned()), (header::ETAG, tag)];
    reflecting(reflected, (headers, text))
}

pub(crate) async fn content_of(tenant: &Tenant, study: &StudyId, design: &Design) -> Result<StudyDesign, Failure> {
    let stream = StreamId::in_study(&tenant.id, study, Aggregate::Study, study);
    let text = text_of(tenant, study, design).await?;
    serde_json::from_str(&text).map_err(|_| Failure::damaged(&stream, "a published design is no design"))
}

pub(crate) async fn text_of(tenant: &Tenant, study: &StudyId, design: &Design) -> Result<String, Failure> {
    studies::design_text(tenant, study, &design.parts).await
}
