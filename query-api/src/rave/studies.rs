//! `GET /RaveWebServices/studies` and `/RaveWebServices/metadata/studies`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use edge::{Caller, Problem};
use projection_svc::studies;

use super::{Document, study_element, study_oid, unwritten};
use crate::desk::Queries;

pub(super) fn routes() -> Router<Arc<Queries>> {
    Router::new()
        .route("/RaveWebServices/studies", get(clinical))
        .route("/RaveWebServices/metadata/studies", get(metadata))
}

/// The studies of the caller's environment, each with it.
async fn clinical(State(queries): State<Arc<Queries>>, Caller(caller): Caller) -> Result<Response, Problem> {
    list(&queries, Caller(caller), true).await
}

/// The same as projects: a design is of no environment.
async fn metadata(State(queries): State<Arc<Queries>>, Caller(caller): Caller) -> Result<Response, Problem> {
    list(&queries, Caller(caller), false).await
}

async fn list(queries: &Queries, Caller(caller): Caller, clinical: bool) -> Result<Response, Problem> {
    let entered = queries.enter(&caller, "study.list", None).await?;
    let mut found = studies::list(&entered.tenant).await?;
    found.retain(|study| study.environment == caller.environment);
    let mut document = Document::begin("Snapshot", "STUDIES".to_owned(), &entered.reflected, &found)?;
    for study in &found {
        let oid = if clinical { study_oid(study) } else { study.study.to_string() };
        study_element(&mut document.0, &oid, study)?;
        document.0.end().map_err(unwritten)?;
    }
    document.answer(&entered.reflected)
}
