//! Exports: ordered, handed on, deleted.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::export::Command;
use domain::history::{Aggregate, StreamId};
use domain::ids::{ExportId, StudyId};
use edge::{Ids, JsonBody, Problem};
use tracing::Instrument;

use super::call::{Call, CommandHeaders};
use super::reply::{Answers, Problems, crashed};
use crate::commands::Commands;

/// Orders an export; says that a copy of it was handed on; deletes its files.
///
/// `start` answers as soon as the order is stored: the files are written beside, with the rights of the one who ordered.
/// They are held here, sealed, until `expires_at`, or until data of somebody in them is erased or restricted.
#[utoipa::path(
    post,
    path = "/v1/studies/{study}/exports/{export}",
    operation_id = "command_export",
    tag = "commands",
    params(
        ("study" = StudyId, Path, description = "the study"),
        ("export" = ExportId, Path, description = "the export; choose a random id to order one"),
        CommandHeaders,
    ),
    request_body = Command,
    responses(Answers, Problems)
)]
pub(super) async fn command(
    State(commands): State<Arc<Commands>>,
    call: Call,
    Ids((study, export)): Ids<(StudyId, ExportId)>,
    JsonBody(command): JsonBody<Command>,
) -> Result<Response, Problem> {
    let stream = StreamId::in_study(&call.tenant.id, &study, Aggregate::Export, export);
    // A client that goes away must not leave a deletion half done.
    let order = async move { commands.execute_export(&call.tenant, &stream, command, &call.request).await };
    let done = tokio::spawn(order.in_current_span()).await.map_err(|_| crashed())?;
    Ok(done?.into_response())
}
