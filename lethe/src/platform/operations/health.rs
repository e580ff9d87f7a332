//! Whether it works: faults of this moment, and the few figures of the process.

use std::fs;
use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use domain::Moment;
use domain::port::Clock as _;
use edge::{Caller, Parameters, Problem};
use infra::chance::SystemClock;
use projection_svc::JournalState;
use serde::Serialize;
use utoipa::ToSchema;

use super::reply::{Problems, Since, reflecting, wants_events};
use super::{Entered, follow};
use crate::platform::inner::Inner;

/// How the platform fares, as far as this tenant is concerned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OperationsHealth)]
pub(super) struct Health {
    /// Nothing is wrong.
    ready: bool,
    /// What is wrong right now.
    faults: Vec<Fault>,
    /// How many messages the read models know of and have not taken in.
    behind: u64,
    /// The rebuild that is under way, if one is.
    rebuilding: bool,
    /// The program's version.
    version: &'static str,
    /// When this process started.
    started_at: Moment,
    /// Tenants that this process serves.
    tenants: usize,
    /// Tenants that it refuses to serve: their data does not fit what was known of it.
    tenants_refused: usize,
    /// Memory that this process holds, in bytes; none: the system does not say.
    memory_bytes: Option<u64>,
    /// The same of the nats-server, if it is one of the platform's own.
    nats_memory_bytes: Option<u64>,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OperationsFault)]
pub(super) struct Fault {
    /// A stable code: `nats-server`, `read-models-wait`, `read-models-stopped`, `backup-too-old`.
    code: &'static str,
    /// What, in words.
    found: String,
}

impl Health {
    pub(super) fn of(inner: &Inner, entered: &Entered) -> Self {
        let mut faults: Vec<Fault> =
            inner.nats.fault().map(|found| Fault { code: "nats-server", found }).into_iter().collect();
        let mut behind = 0;
        for journal in entered.open.runner.health() {
            if !entered.shows(journal.study.as_ref()) {
                continue;
            }
            behind += journal.behind;
            let name = journal.study.as_ref().map_or("the tenant's own journal", |study| study.as_str());
            let fault = match journal.state {
                JournalState::Following => None,
                JournalState::Retrying { reason } => Some(("read-models-wait", reason)),
                JournalState::Stopped { reason } => Some(("read-models-stopped", reason)),
            };
            faults.extend(fault.map(|(code, reason)| Fault { code, found: format!("{name}: {reason}") }));
        }
        let backup = inner.backups.as_ref().and_then(|watch| watch.fault_of(&entered.open.ports.id, SystemClock.now()));
        faults.extend(backup.map(|found| Fault { code: "backup-too-old", found }));
        Self {
            ready: faults.is_empty(),
            faults,
            behind,
            rebuilding: inner.rebuilds.is_running(&entered.open.ports.id),
            version: env!("CARGO_PKG_VERSION"),
            started_at: Moment(inner.figures.since()),
            tenants: inner.registry.open().len(),
            tenants_refused: inner.registry.refused().len(),
            memory_bytes: resident("self"),
            nats_memory_bytes: inner.nats.pid().and_then(|pid| resident(&pid.to_string())),
        }
    }

    /// The same but for what changes by itself all the time.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        (self.ready, &self.faults, self.behind, self.rebuilding)
            == (other.ready, &other.faults, other.behind, other.rebuilding)
    }
}

fn resident(process: &str) -> Option<u64> {
    kilobytes(&fs::read_to_string(format!("/proc/{process}/status")).ok()?).map(|count| count * 1024)
}

fn kilobytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Whether it works, and what does not. With `Accept: text/event-stream`: again whenever that changes.
#[utoipa::path(
    get,
    path = "/v1/operations/health",
    operation_id = "show_health",
    tag = "operations",
    params(Since),
    responses((status = 200, description = "As it is at this moment.", body = Health), Problems)
)]
pub(super) async fn show(
    State(inner): State<Arc<Inner>>,
    Caller(who): Caller,
    Parameters(since): Parameters<Since>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let entered = Entered::new(&inner, &who, "operations.show").await?;
    let positions = since.wait(&entered.open.ports).await?;
    if wants_events(&headers) {
        return Ok(follow::events(inner, who));
    }
    Ok(reflecting(&positions, Health::of(&inner, &entered)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_what_the_system_says() {
        assert_eq!(kilobytes("Name:\tlethe\nVmRSS:\t   12345 kB\nThreads:\t4\n"), Some(12_345));
        assert_eq!(kilobytes("Name:\tlethe\n"), None);
        assert!(resident("self").is_some_and(|bytes| bytes > 1024 * 1024));
    }
}
