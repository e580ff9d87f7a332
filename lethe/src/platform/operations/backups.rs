//! How old the backups are, when one was last read, and when one was last restored.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use domain::Moment;
use domain::port::Clock as _;
use edge::{Caller, Parameters, Problem};
use infra::chance::SystemClock;
use serde::Serialize;
use utoipa::ToSchema;

use super::Entered;
use super::reply::{Problems, Since, reflecting};
use crate::platform::inner::Inner;

/// The backups of the tenant.
#[derive(Serialize, ToSchema)]
#[schema(as = OperationsBackups)]
pub(super) struct Backups {
    /// Whether this process makes them by itself. If not, nothing is known of them here.
    scheduled: bool,
    /// How old the newest may become, in seconds.
    every_seconds: Option<u64>,
    /// When the newest was made.
    newest: Option<Moment>,
    /// How old it is, in seconds.
    age_seconds: Option<i64>,
    /// When one was last read whole and found as it was written.
    last_verified: Option<Moment>,
    /// When one was last restored from.
    last_restored: Option<Moment>,
    /// Why the last try to make one failed, if it did.
    failed: Option<String>,
    /// When the whole record was last read by `lethe verify`; none: never, as far as this data directory knows.
    record_verified: Option<Moment>,
    /// How many damages that found.
    record_damages: Option<u64>,
}

/// How old the backups are, and when one was last read and restored.
#[utoipa::path(
    get,
    path = "/v1/operations/backups",
    operation_id = "show_backups",
    tag = "operations",
    params(Since),
    responses((status = 200, description = "As far as this process knows.", body = Backups), Problems)
)]
pub(super) async fn show(
    State(inner): State<Arc<Inner>>,
    Caller(who): Caller,
    Parameters(since): Parameters<Since>,
) -> Result<Response, Problem> {
    let entered = Entered::new(&inner, &who, "operations.show").await?;
    let positions = since.wait(&entered.open.ports).await?;
    let (tenant, now) = (&entered.open.ports.id, SystemClock.now());
    let known = inner.backups.as_ref().and_then(|watch| watch.of(tenant));
    let verified = inner.data_dir.verified(tenant);
    let moment = |moment: Option<time::OffsetDateTime>| moment.map(Moment);
    let shown = Backups {
        scheduled: inner.backups.is_some(),
        every_seconds: inner.backups.as_ref().map(|watch| watch.every().as_secs()),
        newest: moment(known.as_ref().and_then(|known| known.newest)),
        age_seconds: known.as_ref().and_then(|known| known.newest).map(|newest| (now - newest).whole_seconds()),
        last_verified: moment(known.as_ref().and_then(|known| known.last_read)),
        last_restored: moment(known.as_ref().and_then(|known| known.last_restored)),
        failed: known.and_then(|known| known.failed),
        record_verified: verified.as_ref().map(|one| one.at),
        record_damages: verified.map(|one| one.damaged),
    };
    Ok(reflecting(&positions, shown))
}
