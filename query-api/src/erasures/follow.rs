//! An erasure as it goes on, as server-sent events.
//!
//! Every event is the whole of what a plain `GET` answers, so a client that was cut off asks again and has missed
//! nothing: `Last-Event-ID` is not needed, and does no harm.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use domain::permit::Principal;
use domain::port::Tenant;
use futures_util::stream::{self, Stream};
use projection_svc::erasures::Erasure;
use tokio::time::{Instant, sleep};

use super::present;
use crate::desk::Queries;

/// How long to wait for the journal before looking again: what holds an erasure up does not stand in it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The least time between two looks, however busy the study is.
const PAUSE: Duration = Duration::from_millis(50);

/// How long one answer lasts. A client that asks again shows its token again.
const LASTS: Duration = Duration::from_secs(15 * 60);

/// A comment is sent so often, so that nobody on the way takes the connection for dead.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The erasure as it stands, then again after every change, until nothing is left to do.
pub(super) fn events(queries: Arc<Queries>, caller: Principal, now: Erasure) -> Response {
    let following = Following { queries, caller, shown: None, now: Some(now), until: Instant::now() + LASTS };
    let heartbeat = KeepAlive::new().interval(HEARTBEAT);
    let mut response = Sse::new(following.into_stream()).keep_alive(heartbeat).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

struct Following {
    queries: Arc<Queries>,
    caller: Principal,
    /// What the client has seen.
    shown: Option<Erasure>,
    /// What it has not; none: nothing new.
    now: Option<Erasure>,
    until: Instant,
}

impl Following {
    fn into_stream(self) -> impl Stream<Item = Result<Event, axum::Error>> {
        stream::unfold(self, |mut following| async move { Some((following.next().await?, following)) })
    }

    async fn next(&mut self) -> Option<Result<Event, axum::Error>> {
        while self.now.is_none() {
            let shown = self.shown.as_ref()?;
            if !shown.open || Instant::now() >= self.until {
                return None;
            }
            let erasure = shown.erasure;
            // Asked anew each time: a tenant that is not served any more is let go of.
            let tenant = self.queries.tenant(&self.caller.tenant)?;
            news(&tenant, shown).await;
            let found = present(&self.queries, &tenant, &self.caller, &erasure).await.ok()??;
            if *shown != found {
                self.now = Some(found);
            }
        }
        let now = self.now.take()?;
        let event = Event::default().event("erasure").id(now.steps.len().to_string()).json_data(&now);
        self.shown = Some(now);
        Some(event)
    }
}

/// Waits until the read models have taken in more of the study, or for a moment.
async fn news(tenant: &Tenant, shown: &Erasure) {
    sleep(PAUSE).await;
    let reflected = tenant.progress.reflected().into_iter();
    let here = reflected.into_iter().find(|position| position.study.as_ref() == Some(&shown.study));
    match here {
        Some(mut position) => {
            position.sequence += 1;
            // Behind, stopped or restored: whichever it is, the next look shows it.
            let _ = tenant.progress.wait_for(&position, LOOK_EVERY).await;
        }
        None => sleep(LOOK_EVERY).await,
    }
}
