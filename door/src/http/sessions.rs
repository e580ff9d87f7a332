//! Sessions: seen and ended, by their holders and by who administers.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::Moment;
use domain::ids::{SessionId, UserId};
use domain::permit::{Principal, may_query};
use edge::{Caller, Ids, Parameters, Problem};
use projection_svc::accounts::{self, SessionShown};
use serde::Serialize;
use utoipa::ToSchema;

use super::reply::{Problems, Since, reflecting};
use super::sign_in::is_tls;
use crate::Door;

/// Sessions that are not over.
#[derive(Serialize, ToSchema)]
pub(super) struct Sessions {
    /// Whose.
    user: UserId,
    /// Those that are not over.
    items: Vec<SessionSeen>,
}

/// A session that is not over.
#[derive(Serialize, ToSchema)]
pub(super) struct SessionSeen {
    #[serde(flatten)]
    session: SessionShown,
    /// When it was last used, as far as this process knows.
    last_used_at: Moment,
    /// When it is over if it is not used.
    idle_until: Moment,
    /// Whether it is the one that asks.
    this: bool,
}

/// The sessions of one's own that are not over.
#[utoipa::path(
    get,
    path = "/v1/sessions",
    operation_id = "list_own_sessions",
    tag = "door",
    params(Since),
    responses((status = 200, description = "As they stand at `Lethe-Position`.", body = Sessions), Problems)
)]
pub(super) async fn own(
    State(door): State<Arc<Door>>,
    Caller(who): Caller,
    Parameters(since): Parameters<Since>,
) -> Result<Response, Problem> {
    show(&door, &who, who.actor.id, &since).await
}

/// The sessions of a user that are not over: for who administers, and for the user.
#[utoipa::path(
    get,
    path = "/v1/users/{user}/sessions",
    operation_id = "list_sessions",
    tag = "door",
    params(("user" = UserId, Path, description = "the user"), Since),
    responses((status = 200, description = "As they stand at `Lethe-Position`.", body = Sessions), Problems)
)]
pub(super) async fn of_user(
    State(door): State<Arc<Door>>,
    Caller(who): Caller,
    Ids(user): Ids<UserId>,
    Parameters(since): Parameters<Since>,
) -> Result<Response, Problem> {
    if user != who.actor.id && !may_query(who.actor.role, "user.list") {
        return Err(Problem::forbidden("the sessions of others are for who administers"));
    }
    show(&door, &who, user, &since).await
}

async fn show(door: &Door, who: &Principal, user: UserId, since: &Since) -> Result<Response, Problem> {
    let tenant = door.tenant_of(who)?;
    let positions = since.wait(&tenant).await?;
    let (now, idle) = (door.now(), door.parts.rules.idle);
    let found = accounts::sessions(&tenant, user, now).await?.ok_or_else(no_such_user)?;
    let seen = found.into_iter().map(|session| {
        let last = door.seen.last(session.session, session.begun_at.0);
        let this = who.session == Some(session.session);
        SessionSeen { session, last_used_at: Moment(last), idle_until: Moment(last + idle), this }
    });
    let items = seen.filter(|session| now <= session.idle_until.0).collect();
    Ok(reflecting(&positions, Sessions { user, items }))
}

pub(super) fn no_such_user() -> Problem {
    Problem::not_found("no-such-user", "there is no such user for this credential")
}

/// Ends the session that asks. A bearer token of a program is no session: it is revoked by who made it.
#[utoipa::path(
    post,
    path = "/v1/sign-out",
    operation_id = "sign_out",
    tag = "door",
    responses((status = 200, description = "The session is over."), Problems)
)]
pub(super) async fn sign_out(State(door): State<Arc<Door>>, Caller(who): Caller) -> Result<Response, Problem> {
    let none = || Problem::new(StatusCode::CONFLICT, "no-session", "this credential is no session: it is a token");
    let session = who.session.ok_or_else(none)?;
    let (tenant, user) = (door.tenant_of(&who)?, who.actor.id);
    door.end_session(&tenant, who, user, session).await?;
    let mut response = StatusCode::OK.into_response();
    response.headers_mut().insert(header::SET_COOKIE, edge::auth::no_session_cookie(is_tls(&door.parts.rules)));
    Ok(response)
}

/// Ends a session: one's own from elsewhere, or anybody's for who administers.
#[utoipa::path(
    post,
    path = "/v1/users/{user}/sessions/{session}/end",
    operation_id = "end_session",
    tag = "door",
    params(("user" = UserId, Path, description = "the user"), ("session" = SessionId, Path, description = "the session")),
    responses((status = 200, description = "The session is over."), Problems)
)]
pub(super) async fn end(
    State(door): State<Arc<Door>>,
    Caller(who): Caller,
    Ids((user, session)): Ids<(UserId, SessionId)>,
) -> Result<Response, Problem> {
    let tenant = door.tenant_of(&who)?;
    door.end_session(&tenant, who, user, session).await?;
    Ok(StatusCode::OK.into_response())
}
