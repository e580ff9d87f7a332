//! The platform's health as it changes, as server-sent events. Each event is the whole of what a plain `GET` answers.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use domain::permit::{Principal, may_query};
use futures_util::stream;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::Entered;
use super::health::Health;
use super::rebuilds::Run;
use crate::platform::inner::Inner;

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The least often that it is told though nothing changed: figures grow by themselves.
const TELL_EVERY: Duration = Duration::from_secs(15);

/// How long one answer lasts. A client that asks again shows its credential again.
const LASTS: Duration = Duration::from_secs(15 * 60);

/// A comment is sent so often, so that nobody on the way takes the connection for dead.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// What is told.
#[derive(Clone, Serialize)]
struct Told {
    #[serde(flatten)]
    health: Health,
    /// The newest rebuild.
    rebuild: Option<Run>,
}

struct Following {
    inner: Arc<Inner>,
    who: Principal,
    shown: Option<(Told, Instant)>,
    until: Instant,
}

/// Begins to tell.
pub(super) fn events(inner: Arc<Inner>, who: Principal) -> Response {
    let following = Following { inner, who, shown: None, until: Instant::now() + LASTS };
    let events = stream::unfold(following, |mut following| async move { Some((following.next().await?, following)) });
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl Following {
    async fn next(&mut self) -> Option<Result<Event, axum::Error>> {
        loop {
            let told = self.look().await?;
            let now = Instant::now();
            let news = self.shown.as_ref().is_none_or(|(before, at)| {
                !told.health.is_like(&before.health) || told.rebuild != before.rebuild || now - *at >= TELL_EVERY
            });
            if news {
                self.shown = Some((told.clone(), now));
                return Some(Event::default().event("operations").json_data(&told));
            }
            if now >= self.until {
                return None;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Asked anew each time: a tenant that is not served any more is let go of.
    async fn look(&self) -> Option<Told> {
        if !may_query(self.who.actor.role, "operations.show") {
            return None;
        }
        let entered = Entered::of(&self.inner, &self.who).await.ok()?;
        let rebuild = self.inner.rebuilds.newest(&entered.open.ports.id);
        Some(Told { health: Health::of(&self.inner, &entered), rebuild })
    }
}
