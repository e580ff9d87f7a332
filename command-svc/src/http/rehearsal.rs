//! What commands would do, without doing it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::ids::{CommandId, ParticipantId, StudyId};
use domain::participant;
use edge::headers::{parse_captured_at, parse_etag, parse_idempotency_key};
use edge::{Caller, Ids, JsonBody, Problem};
use serde::Deserialize;
use utoipa::ToSchema;

use super::reply::{Problems, Reply};
use crate::commands::Commands;
use crate::execute::Request;
use crate::rehearse::record_of;

/// The body of one rehearsal at most: all that one participant has.
const BODY_MAX: usize = 32 * 1024 * 1024;

/// The commands that one rehearsal takes at most.
const COMMANDS_MAX: usize = 10_000;

/// Commands to one participant's record, in order.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RehearsalBody {
    /// At least one.
    commands: Vec<RehearsedCommand>,
}

/// One of them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RehearsedCommand {
    /// The command.
    command: participant::Command,
    /// As the header `Idempotency-Key`.
    #[serde(default)]
    #[schema(value_type = Option<uuid::Uuid>)]
    idempotency_key: Option<String>,
    /// As the header `If-Match`.
    #[serde(default)]
    #[schema(example = "\"7\"")]
    if_match: Option<String>,
    /// As the header `Lethe-Captured-At`.
    #[serde(default)]
    captured_at: Option<String>,
}

/// What the last of these commands would answer, had those before it been sent. Nothing is written.
///
/// It is decided as commands are, on the record as it stands in the journal. Those that would be refused change nothing for
/// those after them. Who may not send a command may not try it. A randomisation cannot be tried: it would tell the slot.
#[utoipa::path(
    post,
    path = "/v1/studies/{study}/participants/{participant}/rehearsal",
    operation_id = "rehearse_commands",
    tag = "commands",
    params(
        ("study" = StudyId, Path, description = "the study"),
        ("participant" = ParticipantId, Path, description = "the participant, who need not be registered yet"),
    ),
    request_body = RehearsalBody,
    responses(
        (status = 200, body = Reply, description = "It would be carried out. The position is that of the state that was decided on.",
            headers(
                ("ETag" = String, description = "what would be sent as If-Match"),
                ("Lethe-Position" = String, description = "the state that was decided on"),
            )),
        Problems,
    )
)]
pub(super) async fn rehearse(
    State(commands): State<Arc<Commands>>,
    Caller(principal): Caller,
    Ids((study, participant)): Ids<(StudyId, ParticipantId)>,
    JsonBody(body): JsonBody<RehearsalBody, BODY_MAX>,
) -> Result<Response, Problem> {
    let tenant = commands.tenants.tenant(&principal.tenant).ok_or_else(Problem::no_such_study)?;
    let request = commands.request(principal);
    if body.commands.is_empty() || body.commands.len() > COMMANDS_MAX {
        let detail = format!("a rehearsal has 1 to {COMMANDS_MAX} commands");
        return Err(Problem::invalid("rehearsal-size", detail));
    }
    let steps: Result<Vec<_>, Problem> = body.commands.into_iter().map(|one| step(one, &request, &commands)).collect();
    let stream = record_of(&tenant, &study, participant);
    let done = commands.rehearse(&tenant, &stream, &steps?).await?.ok_or_else(super::reply::crashed)?;
    Ok(super::reply::with_headers(&done, axum::Json(Reply::of(&done)).into_response()))
}

fn step(
    one: RehearsedCommand,
    request: &Request,
    commands: &Commands,
) -> Result<(participant::Command, Request), Problem> {
    if matches!(one.command, participant::Command::Randomise { .. }) {
        return Err(Problem::invalid("not-rehearsed", "a randomisation cannot be tried: it would tell the slot"));
    }
    let key = one.idempotency_key.as_deref().map(parse_idempotency_key).transpose()?;
    let expected = one.if_match.as_deref().map(parse_etag).transpose()?;
    let captured_at =
        one.captured_at.as_deref().map(|text| parse_captured_at(text, commands.clock.now())).transpose()?;
    let command = key.unwrap_or_else(|| CommandId(commands.dice.uuid()));
    Ok((one.command, Request { command, expected, captured_at, ..request.clone() }))
}
