//! How much is written and how fast, minute by minute for the last hour: from the metrics that `/metrics` shows, looked at
//! every few seconds. They are of the whole installation, so no tenant stands in them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use domain::Moment;
use domain::port::Clock as _;
use edge::{Caller, Parameters, Problem};
use infra::chance::SystemClock;
use infra::telemetry::{Metrics, Summary};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::Entered;
use super::reply::{Problems, Since, reflecting};
use crate::platform::inner::Inner;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(5);

/// An hour of looks, and the one before.
const LOOKS_MAX: usize = 721;

/// What was measured so far, at one moment.
#[derive(Debug, Clone)]
struct Look {
    at: OffsetDateTime,
    /// One flight carries many messages; its sum is how many.
    messages: Summary,
    flights: Summary,
    commands: Summary,
}

/// The last hour.
pub(in crate::platform) struct Figures {
    since: OffsetDateTime,
    looks: Mutex<VecDeque<Look>>,
}

impl Figures {
    pub(in crate::platform) fn new() -> Self {
        Self { since: SystemClock.now(), looks: Mutex::default() }
    }

    /// When this process started.
    pub(super) fn since(&self) -> OffsetDateTime {
        self.since
    }

    fn look(&self, metrics: &Metrics) {
        let at = SystemClock.now();
        let of = |name| metrics.histogram(name).unwrap_or_default();
        let (messages, flights) = (of("lethe_flight_messages"), of("lethe_flight_seconds"));
        let look = Look { at, messages, flights, commands: of("lethe_command_seconds") };
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        looks.push_back(look);
        if looks.len() > LOOKS_MAX {
            looks.pop_front();
        }
    }

    fn minutes(&self) -> Vec<Minute> {
        minutes(self.looks.lock().unwrap_or_else(PoisonError::into_inner).make_contiguous())
    }

    /// Looks until the platform is gone.
    pub(in crate::platform) async fn keep_looking(inner: Weak<Inner>) {
        while let Some(inner) = inner.upgrade() {
            inner.figures.look(&inner.metrics);
            drop(inner);
            tokio::time::sleep(EVERY).await;
        }
    }
}

/// What happened in a minute.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = OperationsMinute)]
pub(super) struct Minute {
    /// When it begins.
    at: Moment,
    /// Messages that were appended.
    appended: u64,
    /// The same each second.
    appended_per_second: f64,
    /// Half of the appends took no longer, in milliseconds; none: there were none.
    append_median_ms: Option<f64>,
    /// 95 of 100 took no longer.
    append_p95_ms: Option<f64>,
    /// Commands that were answered.
    commands: u64,
    /// 95 of 100 took no longer, in milliseconds.
    command_p95_ms: Option<f64>,
}

/// The last hour, by minutes.
#[derive(Serialize, ToSchema)]
#[schema(as = OperationsFigures)]
pub(super) struct Shown {
    /// Whether this process measures at all.
    measured: bool,
    /// The minutes, oldest first; the last one is not over.
    minutes: Vec<Minute>,
}

fn minutes(looks: &[Look]) -> Vec<Minute> {
    let minute = |look: &Look| look.at.unix_timestamp().div_euclid(60);
    let mut found = Vec::new();
    let mut before: Option<&Look> = None;
    for of_one in looks.chunk_by(|one, next| minute(one) == minute(next)) {
        let last = &of_one[of_one.len() - 1];
        // What happened before the first look is not this minute's.
        let first = before.unwrap_or(&of_one[0]);
        before = Some(last);
        found.extend(between(minute(last), first, last));
    }
    found
}

fn between(minute: i64, first: &Look, last: &Look) -> Option<Minute> {
    let seconds = (last.at - first.at).as_seconds_f64();
    let at = Moment(OffsetDateTime::from_unix_timestamp(minute * 60).ok()?);
    let (messages, flights) = (last.messages.since(&first.messages), last.flights.since(&first.flights));
    let commands = last.commands.since(&first.commands);
    let milliseconds = |summary: &Summary, share| summary.quantile(share).map(|seconds| seconds * 1000.0);
    Some(Minute {
        at,
        appended: messages.sum.round() as u64,
        appended_per_second: if seconds > 0.0 { messages.sum / seconds } else { 0.0 },
        append_median_ms: milliseconds(&flights, 0.5),
        append_p95_ms: milliseconds(&flights, 0.95),
        commands: commands.count,
        command_p95_ms: milliseconds(&commands, 0.95),
    })
}

/// How much was written and how fast, in the last hour, over the whole installation.
#[utoipa::path(
    get,
    path = "/v1/operations/figures",
    operation_id = "show_operations_figures",
    tag = "operations",
    params(Since),
    responses((status = 200, description = "From the metrics of this process.", body = Shown), Problems)
)]
pub(super) async fn show(
    State(inner): State<Arc<Inner>>,
    Caller(who): Caller,
    Parameters(since): Parameters<Since>,
) -> Result<Response, Problem> {
    let entered = Entered::new(&inner, &who, "operations.show").await?;
    let positions = since.wait(&entered.open.ports).await?;
    inner.figures.look(&inner.metrics);
    let measured = inner.metrics.histogram("lethe_command_seconds").is_some();
    Ok(reflecting(&positions, Shown { measured, minutes: inner.figures.minutes() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn look(at: OffsetDateTime, flights: u64, messages: f64) -> Look {
        let flown = Summary { count: flights, sum: 0.0, buckets: vec![(0.01, flights), (f64::INFINITY, flights)] };
        let messages = Summary { count: flights, sum: messages, buckets: Vec::new() };
        Look { at, messages, flights: flown.clone(), commands: flown }
    }

    #[test]
    fn a_minute_counts_from_the_last_look_before_it() {
        let looks = [
            look(datetime!(2026-11-22 12:00:50 UTC), 10, 100.0),
            look(datetime!(2026-11-22 12:00:55 UTC), 10, 110.0),
            look(datetime!(2026-11-22 12:01:05 UTC), 14, 130.0),
            look(datetime!(2026-11-22 12:01:15 UTC), 14, 150.0),
        ];
        let found = minutes(&looks);
        let counts: Vec<_> = found.iter().map(|minute| (minute.appended, minute.commands)).collect();
        assert_eq!(counts, [(10, 0), (40, 4)], "what came before the first look is nobody's");
        assert_eq!((found[0].append_median_ms, found[0].appended_per_second), (None, 2.0));
        assert_eq!((found[1].append_p95_ms, found[1].appended_per_second), (Some(9.5), 2.0));
        assert_eq!(found[1].at, Moment(datetime!(2026-11-22 12:01 UTC)));
    }
}
