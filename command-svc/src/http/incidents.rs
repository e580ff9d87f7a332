//! Incidents: looked into, and closed with a finding.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::history::{Aggregate, StreamId};
use domain::ids::IncidentId;
use domain::incident::{Command, Incident};
use edge::{Ids, JsonBody, Problem};

use super::call::{Call, CommandHeaders};
use super::reply::{Answers, Problems};
use crate::commands::Commands;

/// Says that somebody looks into an incident, or what was found out. Only the platform opens one.
#[utoipa::path(
    post,
    path = "/v1/incidents/{incident}",
    operation_id = "command_incident",
    tag = "commands",
    params(("incident" = IncidentId, Path, description = "the incident"), CommandHeaders),
    request_body = Command,
    responses(Answers, Problems)
)]
pub(super) async fn command(
    State(commands): State<Arc<Commands>>,
    call: Call,
    Ids(incident): Ids<IncidentId>,
    JsonBody(command): JsonBody<Command>,
) -> Result<Response, Problem> {
    let stream = StreamId::in_tenant(&call.tenant.id, Aggregate::Incident, incident);
    let done = commands.execute::<Incident>(&call.tenant, &stream, &command, &call.request).await?;
    Ok(done.into_response())
}
