//! Reviews of audit trails and of who may come in: recorded in the account of the one who looked, and listed.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::account::{Command, Reviewed};
use domain::ids::{ReviewId, StudyId};
use domain::permit::{Principal, Sites, may_query};
use domain::port::Tenant;
use domain::scope::Plain;
use edge::headers::{LETHE_POSITION, positions_value};
use edge::{Caller, Ids, JsonBody, Parameters, Problem};
use projection_svc::reviews::{self, Review};
use projection_svc::{Visible, studies};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::reply::{Problems, Since, fresh, reflecting};
use crate::Door;

/// The largest finding, with what is around it.
const BODY_MAX: usize = 64 * 1024;

/// Reviews, the newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct Reviews {
    items: Vec<Review>,
}

/// What somebody found in a study's audit trail.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TrailReview {
    /// The review's id: choose a random one. Sent twice, it counts once.
    review: ReviewId,
    /// Behind this sequence.
    after: u64,
    /// Up to and with this one: the `through` of what was looked at.
    through: u64,
    /// What was found, and what is done about it.
    finding: Plain,
}

/// What somebody found among who may come in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AccessReview {
    /// The review's id: choose a random one. Sent twice, it counts once.
    review: ReviewId,
    /// What was found, and what is done about it.
    finding: Plain,
}

fn may(who: &Principal, query: &str) -> Result<(), Problem> {
    if may_query(who.actor.role, query) {
        return Ok(());
    }
    Err(Problem::forbidden(format!("the role {} may not ask {query}", who.actor.role)))
}

/// Unknown, or of another environment: both look the same.
async fn study_of(tenant: &Tenant, who: &Principal, study: &StudyId) -> Result<(), Problem> {
    let found = studies::show(tenant, study).await?;
    found.filter(|found| found.environment == who.environment).map(|_| ()).ok_or_else(Problem::no_such_study)
}

/// The reviews of a study's audit trail: who looked through which part of it, at which sites, when, and what was found. A credential
/// that does not reach all sites is shown its user's own.
#[utoipa::path(
    get,
    path = "/v1/studies/{study}/audit/reviews",
    operation_id = "list_trail_reviews",
    tag = "door",
    params(("study" = StudyId, Path, description = "the study"), Since),
    responses((status = 200, description = "As they stand at `Lethe-Position`.", body = Reviews), Problems)
)]
pub(super) async fn of_trail(
    State(door): State<Arc<Door>>,
    Caller(who): Caller,
    Ids(study): Ids<StudyId>,
    Parameters(since): Parameters<Since>,
) -> Result<Response, Problem> {
    may(&who, "study.audit-review")?;
    let tenant = door.tenant_of(&who)?;
    let positions = since.wait(&tenant).await?;
    study_of(&tenant, &who, &study).await?;
    let wanted = |of: &Reviewed| matches!(of, Reviewed::AuditTrail { study: own, .. } if *own == study);
    let mut items = reviews::list(&tenant, who.environment, wanted, &Visible::of(who.actor.role)).await?;
    // What was found may name anybody: who does not reach all sites reads their own reviews.
    items.retain(|review| who.sites == Sites::All || review.act.actor.id == who.actor.id);
    Ok(reflecting(&positions, Reviews { items }))
}

/// Records that the caller looked through a part of a study's audit trail, and what they found.
#[utoipa::path(
    post,
    path = "/v1/studies/{study}/audit/reviews",
    operation_id = "record_trail_review",
    tag = "door",
    params(("study" = StudyId, Path, description = "the study")),
    request_body = TrailReview,
    responses((status = 200, description = "It is on record; see `Lethe-Position`."), Problems)
)]
pub(super) async fn review_trail(
    State(door): State<Arc<Door>>,
    Caller(who): Caller,
    Ids(study): Ids<StudyId>,
    JsonBody(body): JsonBody<TrailReview, BODY_MAX>,
) -> Result<Response, Problem> {
    let tenant = door.tenant_of(&who)?;
    study_of(&tenant, &who, &study).await?;
    let TrailReview { review, after, through, finding } = body;
    recorded(&door, &tenant, who, &Command::ReviewTrail { review, study, after, through, finding }).await
}

/// The reviews of who may come in.
#[utoipa::path(
    get,
    path = "/v1/users/reviews",
    operation_id = "list_access_reviews",
    tag = "door",
    params(Since),
    responses((status = 200, description = "As they stand at `Lethe-Position`.", body = Reviews), Problems)
)]
pub(super) async fn of_access(
    State(door): State<Arc<Door>>,
    Caller(who): Caller,
    Parameters(since): Parameters<Since>,
) -> Result<Response, Problem> {
    may(&who, "access.reviews")?;
    let tenant = door.tenant_of(&who)?;
    let positions = since.wait(&tenant).await?;
    let wanted = |of: &Reviewed| matches!(of, Reviewed::Access {});
    let items = reviews::list(&tenant, who.environment, wanted, &Visible::of(who.actor.role)).await?;
    Ok(reflecting(&positions, Reviews { items }))
}

/// Records that the caller looked through who may come in and by which rights, and what they found.
#[utoipa::path(
    post,
    path = "/v1/users/reviews",
    operation_id = "record_access_review",
    tag = "door",
    request_body = AccessReview,
    responses((status = 200, description = "It is on record; see `Lethe-Position`."), Problems)
)]
pub(super) async fn review_access(
    State(door): State<Arc<Door>>,
    Caller(who): Caller,
    JsonBody(body): JsonBody<AccessReview, BODY_MAX>,
) -> Result<Response, Problem> {
    let tenant = door.tenant_of(&who)?;
    let AccessReview { review, finding } = body;
    recorded(&door, &tenant, who, &Command::ReviewAccess { review, finding }).await
}

/// A review stands in the account of the one who looked: nobody records one for another.
async fn recorded(door: &Door, tenant: &Tenant, who: Principal, command: &Command) -> Result<Response, Problem> {
    let position = door.command(tenant, who.actor.id, who, command).await?;
    let mut response = fresh(serde_json::json!({})).into_response();
    response.headers_mut().insert(LETHE_POSITION, positions_value(&[position]));
    Ok(response)
}
