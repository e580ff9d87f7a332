//! `GET /RaveWebServices/metadata/studies/{project}/versions` and one of them.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use edge::{Caller, Problem};
use exchange::odm::OdmVersion;
use exchange::odm::metadata::write_metadata_as;

use super::{Document, study_element, unwritten};
use crate::desk::Queries;
use crate::studies::content_of;

pub(super) fn routes() -> Router<Arc<Queries>> {
    Router::new()
        .route("/RaveWebServices/metadata/studies/{project}/versions", get(versions))
        .route("/RaveWebServices/metadata/studies/{project}/versions/{version}", get(version))
}

/// The published versions, newest first.
async fn versions(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Path(project): Path<String>,
) -> Result<Response, Problem> {
    let (entered, study) = queries.enter_rave_project(&caller, "study.design", &project).await?;
    let mut document = Document::begin(
        "Snapshot",
        format!("VERSIONS.{}", study.study),
        &entered.reflected,
        std::slice::from_ref(&study),
    )?;
    study_element(&mut document.0, study.study.as_str(), &study)?;
    for (n, design) in study.designs.iter().enumerate().rev() {
        let tag = document.0.tag("MetaDataVersion").attr("OID", (n + 1).to_string());
        tag.attr("Name", design.version.as_str()).empty().map_err(unwritten)?;
    }
    document.answer(&entered.reflected)
}

/// One of them, as ODM 1.3.2.
async fn version(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Path((project, version)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let (entered, study) = queries.enter_rave_project(&caller, "study.design", &project).await?;
    let number = version.parse::<usize>().ok();
    let published = number.and_then(|number| study.designs.get(number.checked_sub(1)?));
    let published = published.ok_or_else(|| Problem::not_found("no-such-design", "CRF version not found"))?;
    let design = content_of(&entered.tenant, &study.study, published).await?;
    let id = format!("METADATA.{}.{version}", study.study);
    let mut document = Document::begin("Snapshot", id, &entered.reflected, std::slice::from_ref(&study))?;
    write_metadata_as(&mut document.0, study.study.as_str(), &version, &design, OdmVersion::V1_3_2)
        .map_err(unwritten)?;
    document.answer(&entered.reflected)
}
