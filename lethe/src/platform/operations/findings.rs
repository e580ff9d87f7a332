//! What is unsafe about the installation, as `lethe doctor` says it, as far as it concerns this tenant.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use edge::{Caller, Parameters, Problem};
use serde::Serialize;
use utoipa::ToSchema;

use super::Entered;
use super::reply::{Problems, Since, reflecting};
use crate::platform::doctor::{self, Finding};
use crate::platform::inner::Inner;

/// What was looked at.
#[derive(Serialize, ToSchema)]
#[schema(as = OperationsFindings)]
pub(super) struct Findings {
    /// Everything that was looked at, what is good too.
    items: Vec<Finding>,
}

/// What is unsafe about this installation. Folders are not named: they are for who may use the machine.
#[utoipa::path(
    get,
    path = "/v1/operations/findings",
    operation_id = "list_findings",
    tag = "operations",
    params(Since),
    responses((status = 200, description = "Looked at for this answer.", body = Findings), Problems)
)]
pub(super) async fn show(
    State(inner): State<Arc<Inner>>,
    Caller(who): Caller,
    Parameters(since): Parameters<Since>,
) -> Result<Response, Problem> {
    let entered = Entered::new(&inner, &who, "operations.show").await?;
    let positions = since.wait(&entered.open.ports).await?;
    let items = doctor::examine_for(&inner, Some(&entered.open)).await;
    let items = items.into_iter().map(|finding| finding.without_places(&inner)).collect();
    Ok(reflecting(&positions, Findings { items }))
}
