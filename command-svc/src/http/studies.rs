//! Commands to a study.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use domain::history::{Aggregate, StreamId};
use domain::ids::{ParticipantId, StudyId};
use domain::study::{Command, Study};
use edge::{Caller, Ids, JsonBody, Parameters, Problem, headers};
use serde::Deserialize;
use utoipa::IntoParams;

use super::call::{Call, CommandHeaders};
use super::reply::{Answers, Problems};
use crate::commands::Commands;
use crate::execute::Done;
use crate::lock::LockReadiness;
use crate::refusal::Refusal;

/// Opens a site, takes the study live, freezes and locks its data, locks its database.
///
/// `lock-database` goes through every record first; what hinders is in `errors` of the answer, by participant, and in full
/// at `…/lock-readiness`.
///
/// Designs are published at `…/designs`, which stores their content first.
#[utoipa::path(
    post,
    path = "/v1/studies/{study}",
    operation_id = "command_study",
    tag = "commands",
    params(("study" = StudyId, Path, description = "the study"), CommandHeaders),
    request_body = Command,
    responses(Answers, Problems)
)]
pub(super) async fn command(
    State(commands): State<Arc<Commands>>,
    call: Call,
    Ids(study): Ids<StudyId>,
    JsonBody(mut command): JsonBody<Command>,
) -> Result<Done, Problem> {
    if matches!(command, Command::PublishDesign { .. }) {
        // Without its parts a published design could not be read, and no participant could be registered.
        return Err(Refusal::Forbidden("study.publish-design here: send the design to …/designs".into()).into());
    }
    if let Command::LockDatabase { checked } = &mut command {
        *checked = commands.check_before_lock(&call.tenant, &study, &call.request.principal).await?;
    }
    let stream = StreamId::in_study(&call.tenant.id, &study, Aggregate::Study, &study);
    Ok(commands.execute::<Study>(&call.tenant, &stream, &command, &call.request).await?)
}

/// Which part of the list to show.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Part {
    /// Where an earlier page ended: its `next`.
    cursor: Option<ParticipantId>,
    /// How many records to show, at most; 100 unless said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// A `Lethe-Position`: the answer reflects at least this, as every answer from the journal does.
    min_position: Option<String>,
}

/// What hinders the lock of the database: every record is gone through as it stands in the journal, at this moment.
#[utoipa::path(
    get,
    path = "/v1/studies/{study}/lock-readiness",
    operation_id = "show_lock_readiness",
    tag = "queries",
    params(("study" = StudyId, Path, description = "the study"), Part),
    responses((status = 200, body = LockReadiness), Problems)
)]
pub(super) async fn lock_readiness(
    State(commands): State<Arc<Commands>>,
    Caller(caller): Caller,
    Ids(study): Ids<StudyId>,
    Parameters(Part { cursor, limit, min_position }): Parameters<Part>,
) -> Result<Response, Problem> {
    min_position.as_deref().map(headers::parse_positions).transpose()?;
    let limit = match limit.unwrap_or(100) {
        limit @ 1..=1000 => limit,
        _ => return Err(Problem::bad_request("invalid-limit", "limit takes 1 to 1000")),
    };
    let (readiness, position) = commands.lock_readiness(&caller, &study, cursor, limit).await?;
    let mut response = ([(header::CACHE_CONTROL, "no-store")], Json(readiness)).into_response();
    response.headers_mut().insert(headers::LETHE_POSITION, headers::positions_value(&[position]));
    Ok(response)
}
