//! `GET /v1/studies/{study}/events`: that the study moved on, as server-sent events. Positions, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use domain::history::Position;
use domain::ids::{StudyId, TenantId};
use edge::{Caller, Ids, Parameters, Problem};
use futures_util::stream::{self, Stream};
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout_at};
use utoipa::ToSchema;

use crate::answer::{Answer, reflecting};
use crate::desk::{Queries, Since};
use crate::erasures::wants_events;

/// The least time between two events, however busy the study is.
const PAUSE: Duration = Duration::from_secs(1);

/// How long one wait for the next position lasts at most.
const WAIT: Duration = Duration::from_secs(10);

/// How long one answer lasts. A client that asks again shows its credential again.
const LASTS: Duration = Duration::from_secs(5 * 60);

/// A comment is sent so often, so that nobody on the way takes the connection for dead.
const HEARTBEAT: Duration = Duration::from_secs(10);

pub(crate) fn routes() -> Router<Arc<Queries>> {
    Router::new().route("/v1/studies/{study}/events", get(follow))
}

/// How far a study is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Moved {
    /// The `Lethe-Position` that all views reflect; null: nothing has happened yet.
    position: Option<String>,
}

/// How far a study is: the `Lethe-Position` that all views reflect. It says nothing about what happened: ask a view again with it
/// as `min_position`.
///
/// With `Accept: text/event-stream` the same comes as server-sent events named `position`: now, and whenever it is a later one, at
/// most once a second.
#[utoipa::path(get, operation_id = "follow_study",
    path = "/v1/studies/{study}/events", tag = "queries", params(("study" = String, Path), Since),
    responses((status = 200, body = Moved)))]
pub(crate) async fn follow(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids(study): Ids<StudyId>,
    Parameters(since): Parameters<Since>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let asked_from = since.min_position.as_deref();
    let (entered, _) = queries.enter_study(&caller, "study.overview", &study, asked_from).await?;
    if !wants_events(&headers) {
        let position = entered.reflected.first().map(ToString::to_string);
        return Ok(Answer { reflected: entered.reflected, body: Moved { position } }.into_response());
    }
    let until = Instant::now() + LASTS;
    let following = Following { queries, tenant: caller.tenant, study, shown: None, until };
    let heartbeat = KeepAlive::new().interval(HEARTBEAT);
    let mut response = reflecting(&entered.reflected, Sse::new(following.into_stream()).keep_alive(heartbeat));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

struct Following {
    queries: Arc<Queries>,
    tenant: TenantId,
    study: StudyId,
    /// What the client was told last.
    shown: Option<Position>,
    until: Instant,
}

impl Following {
    fn into_stream(self) -> impl Stream<Item = Result<Event, axum::Error>> {
        stream::unfold(self, |mut following| async move {
            let position = following.next().await?;
            let moved = Moved { position: Some(position.to_string()) };
            Some((Event::default().event("position").json_data(&moved), following))
        })
    }

    /// The next position to tell; none: the answer has lasted long enough, or the tenant is not served any more.
    async fn next(&mut self) -> Option<Position> {
        loop {
            if Instant::now() >= self.until {
                return None;
            }
            // Asked anew each time: a tenant that is not served any more is let go of.
            let tenant = self.queries.tenant(&self.tenant)?;
            let reflected = tenant.progress.reflected();
            let here = reflected.into_iter().find(|position| position.study.as_ref() == Some(&self.study));
            let Some(here) = here.filter(|here| self.shown.as_ref() != Some(here)) else {
                let mut ahead = self.shown.clone()?;
                ahead.sequence += 1;
                // Behind, stopped or restored: whichever it is, the next look shows it.
                let news = tenant.progress.wait_for(&ahead, WAIT);
                if !matches!(timeout_at(self.until, news).await, Ok(Ok(_))) {
                    sleep(PAUSE).await;
                }
                continue;
            };
            if self.shown.is_some() {
                sleep(PAUSE).await;
            }
            self.shown = Some(here.clone());
            return Some(here);
        }
    }
}
