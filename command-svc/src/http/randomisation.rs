//! Randomisation lists: sealed, closed, revealed.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use domain::history::{Aggregate, StreamId};
use domain::ids::{ListId, StudyId};
use domain::randomisation::{Command, Randomisation};
use edge::{Caller, Ids, JsonBody, Parameters, Problem, headers};
use serde::Serialize;
use utoipa::ToSchema;

use super::call::{Call, CommandHeaders, Since};
use super::reply::{Answers, Problems, Reply, status, with_headers};
use crate::commands::Commands;
use crate::randomise::ListShown;

/// A command to a list was carried out.
#[derive(Serialize, ToSchema)]
#[schema(as = RandomisationReply)]
struct ListReply {
    #[serde(flatten)]
    reply: Reply,
    /// SHA-256 of all that was sealed: keep it, so that you see it if the list is another one day.
    digest: Option<domain::history::CommitHash>,
}

/// Makes and seals a randomisation list, or one that was made elsewhere; closes it.
///
/// The answer to `seal` and `import` holds the list's digest. The list itself is shown to nobody while it is in use.
#[utoipa::path(
    post,
    path = "/v1/studies/{study}/randomisation/{list}",
    operation_id = "command_randomisation",
    tag = "commands",
    params(
        ("study" = StudyId, Path, description = "the study"),
        ("list" = ListId, Path, description = "the list"),
        CommandHeaders,
    ),
    request_body = Command,
    responses(Answers, Problems)
)]
pub(super) async fn command(
    State(commands): State<Arc<Commands>>,
    call: Call,
    Ids((study, list)): Ids<(StudyId, ListId)>,
    JsonBody(mut command): JsonBody<Command>,
) -> Result<Response, Problem> {
    if let Command::Seal { drawn, .. } | Command::Import { drawn, .. } = &mut command {
        *drawn = Some(commands.draw_list());
    }
    let stream = StreamId::in_study(&call.tenant.id, &study, Aggregate::Randomisation, &list);
    let done = commands.execute::<Randomisation>(&call.tenant, &stream, &command, &call.request).await?;
    let folded = commands.governing.current::<Randomisation>(&call.tenant, &stream).await?;
    let digest = folded.state.list().map(|list| list.digest);
    Ok(with_headers(&done, (status(&done), Json(ListReply { reply: Reply::of(&done), digest }))))
}

/// The randomisation lists of a study with their digests, and nothing of what is in them.
#[utoipa::path(
    get,
    path = "/v1/studies/{study}/randomisation",
    operation_id = "list_randomisation",
    tag = "queries",
    params(("study" = StudyId, Path, description = "the study"), Since),
    responses(
        (status = 200, description = "As they stand in the journal at this moment.", body = Vec<ListShown>),
        Problems
    )
)]
pub(super) async fn list(
    State(commands): State<Arc<Commands>>,
    Caller(caller): Caller,
    Ids(study): Ids<StudyId>,
    Parameters(since): Parameters<Since>,
) -> Result<Response, Problem> {
    since.check()?;
    let tenant = commands.tenants.tenant(&caller.tenant).ok_or_else(Problem::no_such_study)?;
    let (lists, position) = commands.lists(&caller, &tenant, &study).await?;
    let mut response = ([(header::CACHE_CONTROL, "no-store")], Json(lists)).into_response();
    response.headers_mut().insert(headers::LETHE_POSITION, headers::positions_value(&[position]));
    Ok(response)
}

/// All of a list that is closed, or whose study's database is locked: byte by byte what its digest is over.
#[utoipa::path(
    get,
    path = "/v1/studies/{study}/randomisation/{list}/reveal",
    operation_id = "reveal_randomisation",
    tag = "queries",
    params(
        ("study" = StudyId, Path, description = "the study"),
        ("list" = ListId, Path, description = "the list"),
    ),
    responses(
        (status = 200, description = "All that the digest is over.", content_type = "application/json", body = Object),
        Problems
    )
)]
pub(super) async fn reveal(
    State(commands): State<Arc<Commands>>,
    Caller(caller): Caller,
    Ids((study, list)): Ids<(StudyId, ListId)>,
) -> Result<Response, Problem> {
    let tenant = commands.tenants.tenant(&caller.tenant).ok_or_else(Problem::no_such_study)?;
    let document = commands.reveal(&caller, &tenant, &study, &list).await?;
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::CONTENT_TYPE, "application/json")];
    Ok((headers, document).into_response())
}
