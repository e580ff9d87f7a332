//! Commands to the three streams of a person.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use domain::history::{Aggregate, CommitHash, StreamId};
use domain::identity::{self, Identity};
use domain::ids::{ParticipantId, StudyId};
use domain::participant;
use domain::privacy;
use edge::{Caller, Ids, JsonBody, Parameters, Problem, headers};
use tracing::Instrument;

use super::call::{Call, CommandHeaders, Since};
use super::reply::{Answers, Problems, crashed};
use super::step_up::{step_up, who_signs};
use crate::commands::Commands;
use crate::execute::Done;
use crate::migration::NoReport;
use crate::randomise::AllocationShown;

type Person = Ids<(StudyId, ParticipantId)>;

/// Everything that is recorded of a participant: registration, consent, visits, forms and their items, queries,
/// verification and review, freezing and locking, signatures, withdrawal.
///
/// The id is chosen by the client, at random, so that a retry registers once. `sign` needs the header `Lethe-Signer`.
///
/// A command about a form, or about an item of it, takes and answers the form's tag: the last revision that changed its items,
/// `tag` in the casebook. These are `save-items`, `complete-form`, `reopen-form`, `remove-form`, `restore-form`, `verify`,
/// `withdraw-verification`, `review-form`, and `open-query`, `freeze`, `unfreeze`, `lock`, `unlock` and `sign` at a form or an
/// item. Every other command takes and answers the participant's revision.
#[utoipa::path(
    post,
    path = "/v1/studies/{study}/participants/{participant}",
    operation_id = "command_participant",
    tag = "commands",
    params(
        ("study" = StudyId, Path, description = "the study"),
        ("participant" = ParticipantId, Path, description = "the participant"),
        CommandHeaders,
    ),
    request_body = participant::Command,
    responses(Answers, Problems)
)]
pub(super) async fn record(
    State(commands): State<Arc<Commands>>,
    call: Call,
    Ids((study, participant)): Person,
    JsonBody(mut command): JsonBody<participant::Command>,
) -> Result<Done, Problem> {
    if let (participant::Command::Sign { signer, .. }, Some(credential)) = (&mut command, &call.signer) {
        *signer = Some(who_signs(&commands, &call.request.principal, credential).await?);
    }
    let stream = StreamId::in_study(&call.tenant.id, &study, Aggregate::Participant, participant);
    // A task of its own: a randomisation that is asked for goes on, whether or not the client waits for it.
    let carried_out = async move { commands.execute_participant(&call.tenant, &stream, command, &call.request).await };
    let done = tokio::spawn(carried_out.in_current_span()).await.map_err(|_| crashed())?;
    Ok(done?)
}

/// A participant's allocation: its number, and the arm for those who may know it.
///
/// Whoever asked for an unblinding that another person has approved is told the arm; that they are is on record before.
#[utoipa::path(
    get,
    path = "/v1/studies/{study}/participants/{participant}/allocation",
    operation_id = "show_allocation",
    tag = "queries",
    params(
        ("study" = StudyId, Path, description = "the study"),
        ("participant" = ParticipantId, Path, description = "the participant"),
    ),
    responses((status = 200, description = "As it stands in the journal at this moment.", body = AllocationShown), Problems)
)]
pub(super) async fn allocation(
    State(commands): State<Arc<Commands>>,
    call: Call,
    Ids((study, participant)): Person,
) -> Result<Response, Problem> {
    let stream = StreamId::in_study(&call.tenant.id, &study, Aggregate::Participant, participant);
    let shown = commands.allocation(&call.tenant, &stream, &call.request).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(shown)).into_response())
}

/// Records or rectifies who the participant is.
#[utoipa::path(
    post,
    path = "/v1/studies/{study}/participants/{participant}/identity",
    operation_id = "command_identity",
    tag = "commands",
    params(
        ("study" = StudyId, Path, description = "the study"),
        ("participant" = ParticipantId, Path, description = "the participant"),
        CommandHeaders,
    ),
    request_body = identity::Command,
    responses(Answers, Problems)
)]
pub(super) async fn identity(
    State(commands): State<Arc<Commands>>,
    call: Call,
    Ids((study, participant)): Person,
    JsonBody(command): JsonBody<identity::Command>,
) -> Result<Done, Problem> {
    let stream = StreamId::in_study(&call.tenant.id, &study, Aggregate::Identity, participant);
    Ok(commands.execute::<Identity>(&call.tenant, &stream, &command, &call.request).await?)
}

/// Places and lifts holds and restrictions; requests, approves and refuses erasures.
///
/// An approved erasure is carried out at once, step by step; its progress is a query. `approve-erasure` and `accept-single-copy` cannot
/// be undone: in a session they need the header `Lethe-Signer` with both factors or a passkey, and in PROD no token sends them.
#[utoipa::path(
    post,
    path = "/v1/studies/{study}/participants/{participant}/privacy",
    operation_id = "command_privacy",
    tag = "commands",
    params(
        ("study" = StudyId, Path, description = "the study"),
        ("participant" = ParticipantId, Path, description = "the participant"),
        CommandHeaders,
    ),
    request_body = privacy::Command,
    responses(Answers, Problems)
)]
pub(super) async fn privacy(
    State(commands): State<Arc<Commands>>,
    call: Call,
    Ids((study, participant)): Person,
    JsonBody(command): JsonBody<privacy::Command>,
) -> Result<Done, Problem> {
    step_up(&commands, &call.request.principal, call.signer.as_deref(), &command).await?;
    let stream = StreamId::in_study(&call.tenant.id, &study, Aggregate::Privacy, participant);
    // A task of its own: an order that is stored has follow-ups, whether or not the client waits for them.
    let order = async move { commands.execute_privacy(&call.tenant, &stream, &command, &call.request).await };
    let done = tokio::spawn(order.in_current_span()).await.map_err(|_| crashed())?;
    Ok(done?)
}

/// What the command `migrate` would change for one participant: which values become read-only, which would not be taken
/// by the other version as they are, which items are new. It changes nothing and shows no value.
#[utoipa::path(
    get,
    path = "/v1/studies/{study}/participants/{participant}/migration/{design}",
    operation_id = "show_migration",
    tag = "queries",
    params(
        ("study" = StudyId, Path, description = "the study"),
        ("participant" = ParticipantId, Path, description = "the participant"),
        ("design" = String, Path, description = "content hash of the other version"),
        Since,
    ),
    responses(
        (status = 200, description = "As the record stands in the journal at this moment.", body = participant::MigrationReport),
        Problems
    )
)]
pub(super) async fn migration_report(
    State(commands): State<Arc<Commands>>,
    Caller(caller): Caller,
    Ids((study, participant, design)): Ids<(StudyId, ParticipantId, CommitHash)>,
    Parameters(since): Parameters<Since>,
) -> Result<Response, Problem> {
    since.check()?;
    match commands.migration_report(&caller, (&study, participant), &design).await {
        Ok((report, position)) => {
            let mut response = ([(header::CACHE_CONTROL, "no-store")], Json(report)).into_response();
            response.headers_mut().insert(headers::LETHE_POSITION, headers::positions_value(&[position]));
            Ok(response)
        }
        Err(NoReport::Refused(refusal)) => Err(refusal.into()),
        Err(NoReport::NoSuchParticipant) => {
            Err(Problem::not_found("no-such-participant", "there is no such participant at a site of this credential"))
        }
        Err(NoReport::NoSuchDesign) => {
            Err(Problem::not_found("no-such-design", "no design with this hash is published in the study"))
        }
    }
}
