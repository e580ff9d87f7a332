//! Users, for who administers: invited, given rights, asked about.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::Moment;
use domain::account::{Command, EndCause, Event, Terms};
use domain::history::Tail;
use domain::ids::{RightId, SessionId, UserId};
use domain::permit::{Principal, may_query};
use domain::scope::Plain;
use edge::{Caller, Ids, JsonBody, Parameters, Problem};
use projection_svc::Visible;
use projection_svc::accounts::{self, UserShown};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::reply::{Problems, Since, fresh, reflecting};
use super::sessions::no_such_user;
use super::sign_in::BODY_MAX;
use crate::links::{Invited, IssuedLink};
use crate::{Door, account_stream};

/// The users of a tenant.
#[derive(Serialize, ToSchema)]
pub(super) struct Users {
    items: Vec<UserShown>,
}

pub(super) fn administers(who: &Principal) -> Result<(), Problem> {
    if may_query(who.actor.role, "user.list") {
        return Ok(());
    }
    Err(Problem::forbidden(format!("the role {} may not ask user.list", who.actor.role)))
}

/// The users of the tenant, with their rights.
#[utoipa::path(
    get,
    path = "/v1/users",
    operation_id = "list_users",
    tag = "door",
    params(Since),
    responses((status = 200, description = "As they stand at `Lethe-Position`.", body = Users), Problems)
)]
pub(super) async fn list(
    State(door): State<Arc<Door>>,
    Caller(who): Caller,
    Parameters(since): Parameters<Since>,
) -> Result<Response, Problem> {
    administers(&who)?;
    let tenant = door.tenant_of(&who)?;
    let positions = since.wait(&tenant).await?;
    let items = accounts::list(&tenant, &Visible::of(who.actor.role)).await?;
    Ok(reflecting(&positions, Users { items }))
}

/// Who is to be invited.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Invitation {
    /// The full name, printed with signatures. Whoever invites has seen to it that it is theirs.
    name: Plain,
    /// What they may be.
    right: Terms,
}

/// A link for whoever it was made for. It is shown here only.
#[derive(Serialize, ToSchema)]
pub(super) struct LinkMade {
    /// Whose account it opens.
    user: UserId,
    /// What `…/links/look` and `…/links/use` take.
    link: String,
    /// Its address, if the platform knows under which one it is reached.
    address: Option<String>,
    /// Until when it may be used.
    expires_at: Moment,
}

fn made(door: &Door, issued: IssuedLink) -> Response {
    let IssuedLink { user, secret, expires_at } = issued;
    let address = door.parts.rules.public_url.as_deref().map(|url| crate::link_address(url, &secret));
    fresh(LinkMade { user, link: secret, address, expires_at })
}

/// Invites somebody: a link with which they set their password and second factor, and a right. Hand the link on by a way that
/// reaches them alone.
#[utoipa::path(
    post,
    path = "/v1/users",
    operation_id = "invite_user",
    tag = "door",
    request_body = Invitation,
    responses((status = 200, description = "The link counts.", body = LinkMade), Problems)
)]
pub(super) async fn invite(
    State(door): State<Arc<Door>>,
    Caller(who): Caller,
    JsonBody(body): JsonBody<Invitation, BODY_MAX>,
) -> Result<Response, Problem> {
    let tenant = door.tenant_of(&who)?;
    let issued = door.invite(&tenant, &who, Invited { name: body.name, terms: body.right }).await?;
    Ok(made(&door, issued))
}

/// Makes a new link for somebody who lost theirs, or their password and codes. When it is used, what was before is over.
#[utoipa::path(
    post,
    path = "/v1/users/{user}/link",
    operation_id = "make_link",
    tag = "door",
    params(("user" = UserId, Path, description = "the user")),
    responses((status = 200, description = "The link counts; an earlier one does not any more.", body = LinkMade), Problems)
)]
pub(super) async fn link(
    State(door): State<Arc<Door>>,
    Caller(who): Caller,
    Ids(user): Ids<UserId>,
) -> Result<Response, Problem> {
    let tenant = door.tenant_of(&who)?;
    // Nobody makes an account of nobody.
    if door.account(&tenant, user).await?.rights.is_empty() {
        return Err(no_such_user());
    }
    let issued = door.issue_link(&tenant, who, user, door.parts.rules.invitation).await?;
    Ok(made(&door, issued))
}

/// A right that was given.
#[derive(Serialize, ToSchema)]
pub(super) struct RightGiven {
    right: RightId,
}

/// Gives somebody else a right. Nobody gives one to themselves.
#[utoipa::path(
    post,
    path = "/v1/users/{user}/rights",
    operation_id = "give_right",
    tag = "door",
    params(("user" = UserId, Path, description = "the user")),
    request_body = Terms,
    responses((status = 200, description = "It counts from now on.", body = RightGiven), Problems)
)]
pub(super) async fn give_right(
    State(door): State<Arc<Door>>,
    Caller(who): Caller,
    Ids(user): Ids<UserId>,
    JsonBody(terms): JsonBody<Terms, BODY_MAX>,
) -> Result<Response, Problem> {
    let tenant = door.tenant_of(&who)?;
    if who.actor.id != user && door.account(&tenant, user).await?.rights.is_empty() {
        return Err(no_such_user());
    }
    let right = RightId(door.parts.dice.uuid());
    let position = door.command(&tenant, user, who, &Command::GiveRight { right, terms }).await?;
    door.seen_by_all(&tenant, &position).await?;
    Ok(fresh(RightGiven { right }))
}

/// Ends a right of somebody else. Sessions that began by it are over.
#[utoipa::path(
    post,
    path = "/v1/users/{user}/rights/{right}/end",
    operation_id = "end_right",
    tag = "door",
    params(("user" = UserId, Path, description = "the user"), ("right" = RightId, Path, description = "the right")),
    responses((status = 200, description = "It counts no more."), Problems)
)]
pub(super) async fn end_right(
    State(door): State<Arc<Door>>,
    Caller(who): Caller,
    Ids((user, right)): Ids<(UserId, RightId)>,
) -> Result<Response, Problem> {
    let tenant = door.tenant_of(&who)?;
    let position = door.command(&tenant, user, who, &Command::EndRight { right }).await?;
    door.seen_by_all(&tenant, &position).await?;
    Ok(StatusCode::OK.into_response())
}

/// What is on record of how a user came in.
#[derive(Serialize, ToSchema)]
pub(super) struct SignIns {
    items: Vec<SignInShown>,
}

/// One act at the door.
#[derive(Serialize, ToSchema)]
pub(super) struct SignInShown {
    /// When.
    at: Moment,
    /// What: `session-begun`, `session-ended`, `sign-in-failed`, `session-reauthenticated`, `link-issued`, …
    what: &'static str,
    /// By whom: the user, who administers, or the platform.
    by: UserId,
    /// In which session.
    session: Option<SessionId>,
    /// Why a session ended before its time.
    cause: Option<EndCause>,
}

/// How a user came in and did not, newest last: for who administers, and for the user. From where is on record, sealed, and
/// shown to nobody here.
#[utoipa::path(
    get,
    path = "/v1/users/{user}/sign-ins",
    operation_id = "list_sign_ins",
    tag = "door",
    params(("user" = UserId, Path, description = "the user"), Since),
    responses((status = 200, description = "As it stands in the journal at this moment.", body = SignIns), Problems)
)]
pub(super) async fn sign_ins(
    State(door): State<Arc<Door>>,
    Caller(who): Caller,
    Ids(user): Ids<UserId>,
    Parameters(since): Parameters<Since>,
) -> Result<Response, Problem> {
    if user != who.actor.id {
        administers(&who)?;
    }
    let tenant = door.tenant_of(&who)?;
    let positions = since.wait(&tenant).await?;
    accounts::sessions(&tenant, user, door.now()).await?.ok_or_else(no_such_user)?;
    let stream = account_stream(&tenant, user);
    let mut items = Vec::new();
    for commit in tenant.journal.load(&stream, Tail::default()).await? {
        let damaged = |fault| Problem::from(domain::port::Failure::damaged(&stream, fault));
        for event in commit.facts::<Event>().map_err(damaged)? {
            items.push(shown(&event, Moment(commit.header.stored_at), commit.header.actor.id));
        }
    }
    Ok(reflecting(&positions, SignIns { items }))
}

fn shown(event: &Event, at: Moment, by: UserId) -> SignInShown {
    let (session, cause) = match event {
        Event::PasskeyRemoved { session, .. } => (*session, None),
        Event::SessionBegun { session, .. }
        | Event::PasskeyAdded { session, .. }
        | Event::PasswordChanged { session, .. }
        | Event::Reauthenticated { session, .. }
        | Event::CommitOpened { session, .. }
        | Event::RebuildOrdered { session, .. } => (Some(*session), None),
        Event::SessionEnded { session, cause } => (Some(*session), Some(*cause)),
        Event::LinkIssued { .. }
        | Event::RightGiven { .. }
        | Event::RightEnded { .. }
        | Event::CredentialsSet { .. }
        | Event::SignInFailed { .. }
        | Event::ReviewRecorded { .. } => (None, None),
        Event::IdentityLinked { .. }
        | Event::MachineAdmitted { .. }
        | Event::MachineSecretIssued { .. }
        | Event::MachineSecretRevoked { .. }
        | Event::MachineDismissed {} => (None, None),
    };
    SignInShown { at, what: domain::field::Fact::name(event), by, session, cause }
}
