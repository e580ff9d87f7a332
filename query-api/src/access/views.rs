//! `GET /v1/studies/{study}/participants/{participant}/access`, `/v1/users/{user}/access`, `/v1/access/mine`, `/v1/access`.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::Response;
use axum::routing::get;
use domain::Moment;
use domain::ids::{ParticipantId, StudyId, UserId, ViewName};
use domain::permit::Principal;
use domain::port::{Failure, Tenant};
use edge::{Caller, Ids, Parameters, Problem};
use futures_util::stream;
use projection_svc::Visible;
use projection_svc::access::{self, AccessShown, Wanted};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::answer::{Answer, List, reflecting};
use crate::desk::{Entered, Paging, Queries};

pub(crate) fn routes() -> Router<Arc<Queries>> {
    Router::new()
        .route("/v1/studies/{study}/participants/{participant}/access", get(of_participant))
        .route("/v1/users/{user}/access", get(of_user))
        .route("/v1/access/mine", get(mine))
        .route("/v1/access", get(list))
}

/// Who has looked at a participant, the newest first: one entry an answer. Others whom the same answer named are counted.
#[utoipa::path(get, operation_id = "list_participant_access",
    path = "/v1/studies/{study}/participants/{participant}/access", tag = "queries",
    params(("study" = String, Path), ("participant" = uuid::Uuid, Path), Paging),
    responses((status = 200, body = List<AccessShown>)))]
pub(crate) async fn of_participant(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids((study, participant)): Ids<(StudyId, ParticipantId)>,
    Parameters(paging): Parameters<Paging>,
) -> Result<Answer<List<AccessShown>>, Problem> {
    let place = (&study, &participant);
    let (entered, found) =
        queries.enter_participant(&caller, "access.participant", place, paging.min_position.as_deref()).await?;
    let (after, limit, visible) = (paging.after()?, paging.limit()?, Visible::of(caller.actor.role));
    let page = access::of_participant(&entered.tenant, &study, &found, &visible, after.as_deref(), limit).await?;
    Ok(Answer { reflected: entered.reflected, body: page.into() })
}

/// What a user was shown, the newest first.
#[utoipa::path(get, operation_id = "list_user_access",
    path = "/v1/users/{user}/access", tag = "queries", params(("user" = uuid::Uuid, Path), Paging),
    responses((status = 200, body = List<AccessShown>)))]
pub(crate) async fn of_user(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids(user): Ids<UserId>,
    Parameters(paging): Parameters<Paging>,
) -> Result<Answer<List<AccessShown>>, Problem> {
    let entered = queries.enter(&caller, "access.user", paging.min_position.as_deref()).await?;
    by(entered, &caller, user, &paging, &Visible::of(caller.actor.role)).await
}

/// What the caller was shown, the newest first: everybody may ask what is on record of themselves.
#[utoipa::path(get, operation_id = "list_own_access",
    path = "/v1/access/mine", tag = "queries", params(Paging),
    responses((status = 200, body = List<AccessShown>)))]
pub(crate) async fn mine(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Parameters(paging): Parameters<Paging>,
) -> Result<Answer<List<AccessShown>>, Problem> {
    let entered = queries.enter_own(&caller, paging.min_position.as_deref()).await?;
    // From where they come themselves, they may know; that what they asked for is there, at another site, they may not.
    let mut answer = by(entered, &caller, caller.actor.id, &paging, &Visible::all()).await?;
    answer.body.each(AccessShown::as_it_was_told);
    Ok(answer)
}

async fn by(
    entered: Entered,
    caller: &Principal,
    user: UserId,
    paging: &Paging,
    visible: &Visible,
) -> Result<Answer<List<AccessShown>>, Problem> {
    let wanted = Wanted { environment: Some(caller.environment), ..Wanted::default() };
    let (after, limit) = (paging.after()?, paging.limit()?);
    let page = access::of_user(&entered.tenant, user, &wanted, visible, after.as_deref(), limit).await?;
    Ok(Answer { reflected: entered.reflected, body: page.into() })
}

/// Which entries are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Asked {
    /// From this moment on (RFC 3339).
    #[param(value_type = Option<String>)]
    since: Option<Moment>,
    /// Before this moment.
    #[param(value_type = Option<String>)]
    until: Option<Moment>,
    /// By this user.
    #[param(value_type = Option<uuid::Uuid>)]
    user: Option<UserId>,
    /// In this study.
    #[param(value_type = Option<String>)]
    study: Option<StudyId>,
    /// What was asked for, such as `participant.casebook`.
    #[param(value_type = Option<String>)]
    view: Option<ViewName>,
    /// A `Lethe-Access` or `Lethe-Position`: the answer reflects at least this.
    min_position: Option<String>,
}

/// The access log as a whole, the oldest entry first, one a line: those of the caller's environment.
#[utoipa::path(get, operation_id = "export_access",
    path = "/v1/access", tag = "queries", params(Asked),
    responses((status = 200, body = AccessShown, content_type = "application/x-ndjson", description = "one entry a line")))]
pub(crate) async fn list(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Parameters(asked): Parameters<Asked>,
) -> Result<Response, Problem> {
    let entered = queries.enter(&caller, "access.list", asked.min_position.as_deref()).await?;
    let Asked { since, until, user, study, view, .. } = asked;
    let wanted = Wanted { environment: Some(caller.environment), since, until, user, study, view };
    let walk = Walk { tenant: entered.tenant, wanted, visible: Visible::of(caller.actor.role), after: None };
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok(reflecting(&entered.reflected, (kind, lines(walk))))
}

/// A walk through the log. The next piece is read when the client has taken the one before.
struct Walk {
    tenant: Arc<Tenant>,
    wanted: Wanted,
    visible: Visible,
    after: Option<String>,
}

fn lines(walk: Walk) -> Body {
    Body::from_stream(stream::unfold(Some(walk), async |state| {
        let mut walk = state?;
        match piece(&mut walk).await {
            Ok((bytes, ended)) => Some((Ok(bytes), (!ended).then_some(walk))),
            Err(failure) => {
                tracing::error!(%failure, "an export of the access log was cut short");
                Some((Err(failure), None))
            }
        }
    }))
}

async fn piece(walk: &mut Walk) -> Result<(Vec<u8>, bool), Failure> {
    let mut bytes = Vec::new();
    loop {
        let (entries, next) = access::piece(&walk.tenant, &walk.wanted, &walk.visible, walk.after.as_deref()).await?;
        for entry in entries {
            serde_json::to_writer(&mut bytes, &entry).map_err(|fault| Failure::damaged("the access log", fault))?;
            bytes.push(b'\n');
        }
        let ended = next.is_none();
        walk.after = next;
        if ended || !bytes.is_empty() {
            return Ok((bytes, ended));
        }
    }
}
