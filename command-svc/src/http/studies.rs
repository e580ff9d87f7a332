//! Commands to a study.

use std::sync::Arc;

use axum::extract::State;
use domain::history::{Aggregate, StreamId};
use domain::ids::StudyId;
use domain::study::{Command, Study};
use edge::{Ids, JsonBody, Problem};

use super::call::{Call, CommandHeaders};
use super::reply::{Answers, Problems};
use crate::commands::Commands;
use crate::execute::Done;
use crate::refusal::Refusal;

/// Opens a site or takes the study live.
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
    JsonBody(command): JsonBody<Command>,
) -> Result<Done, Problem> {
    if matches!(command, Command::PublishDesign { .. }) {
        // Without its parts a published design could not be read, and no participant could be registered.
        return Err(Refusal::Forbidden("study.publish-design here: send the design to …/designs".into()).into());
    }
    let stream = StreamId::in_study(&call.tenant.id, &study, Aggregate::Study, &study);
    Ok(commands.execute::<Study>(&call.tenant, &stream, &command, &call.request).await?)
}
