//! Logs, traces and metrics of the whole process.
//!
//! The services know only the crate `tracing`; the layers here turn their spans into OpenTelemetry traces and their
//! events into log lines and metrics.
//!
//! - A span created with a field `traceparent` continues that trace: see `context.rs`.
//! - An event with the target [`METRICS_TARGET`] is a measurement: see `metrics.rs`.
//! - Everything else is a log line on stderr; stdout belongs to data.
//!
//! Nothing personal may stand in a field or a message: what is recorded here leaves the process unsealed.

mod context;
mod failpoint;
mod ids;
mod logs;
mod metrics;
mod otlp;
#[cfg(test)]
mod tests;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Level, Metadata, Subscriber};
use tracing_opentelemetry::MetricsLayer;
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

pub use self::context::{current_traceparent, set_parent, traceparent_for};
pub use self::failpoint::{DieAt, FAILPOINT_TARGET, Failpoints};
pub use self::metrics::{METRICS_TARGET, Metrics, Summary};

/// The crates whose spans make our traces. What libraries report about themselves stays out.
const OURS: [&str; 6] = ["lethe", "command_svc", "projection_svc", "query_api", "edge", "infra"];

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One line a message, for people.
    Pretty,
    /// One JSON object a message, for machines.
    Json,
}

/// What can be chosen about telemetry.
#[derive(Debug, Clone)]
pub struct TelemetryOptions {
    /// The name under which a collector knows this process.
    pub service_name: String,
    /// How log lines look.
    pub format: LogFormat,
    /// What is logged, in the syntax of `RUST_LOG`. None: `LETHE_LOG`, then `RUST_LOG`, then our own notes and
    /// everybody's warnings.
    pub filter: Option<String>,
    /// Base address of an OTLP collector (HTTP, protobuf). None: `OTEL_EXPORTER_OTLP_ENDPOINT`, otherwise no export.
    pub otlp_endpoint: Option<String>,
    /// For test binaries only: where to die.
    pub failpoints: Option<Failpoints>,
}

/// Why telemetry did not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log filter is not in the syntax of `RUST_LOG`.
    #[error("the log filter is not valid: {0}. An example of a valid one: warn,lethe=debug")]
    Filter(String),
    /// The collector's address cannot be used.
    #[error("the OTLP endpoint cannot be used: {0}. An example of a valid one: http://127.0.0.1:4318")]
    Endpoint(String),
    /// An exporter could not be made.
    #[error("telemetry cannot be exported: {0}")]
    Exporter(String),
    /// Something in this process receives logs already.
    #[error("telemetry was started before in this process: start it once, in main")]
    StartedBefore,
    /// What was recorded last may not have reached the collector.
    #[error("the last traces and metrics may not have reached the collector: {0}")]
    NotFlushed(String),
}

/// The running telemetry of this process. Keep it until the end, then [`Telemetry::shutdown`].
#[derive(Debug)]
pub struct Telemetry {
    /// None: there is no collector.
    tracers: Option<SdkTracerProvider>,
    meters: SdkMeterProvider,
    metrics: Metrics,
}

impl Telemetry {
    /// Starts logs, traces and metrics for the whole process. Once, in `main`.
    pub fn start(options: TelemetryOptions) -> Result<Self, TelemetryError> {
        let filter = logs::filter(options.filter.as_deref())?;
        let telemetry = Self::build(&options)?;
        let logs = logs::layer(options.format, std::io::stderr, logs::colour_on_stderr());
        // One filter and not one in another: two that disagree would be asked anew for each line.
        let subscriber = Registry::default().with(logs.with_filter(filter_fn(is_log).and(filter)));
        let dies = options.failpoints.is_some();
        let dying = options.failpoints.clone().map(failpoint::DyingLayer::new);
        let dying = dying.with_filter(filter_fn(move |metadata| dies && metadata.target() == FAILPOINT_TARGET));
        telemetry.layered(subscriber).with(dying).try_init().map_err(|_| TelemetryError::StartedBefore)?;
        Ok(telemetry)
    }

    /// The text of `GET /metrics`.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Sends what is still to be sent and stops. Blocks for up to five seconds a collector: the last thing in `main`.
    pub fn shutdown(self) -> Result<(), TelemetryError> {
        let traces = self.tracers.map_or(Ok(()), |tracers| tracers.shutdown());
        let metrics = self.meters.shutdown();
        traces.and(metrics).map_err(|error| TelemetryError::NotFlushed(error.to_string()))
    }

    fn build(options: &TelemetryOptions) -> Result<Self, TelemetryError> {
        let resource = Resource::builder().with_service_name(options.service_name.clone()).build();
        let exporters = match otlp::base(options.otlp_endpoint.as_deref())? {
            Some(base) => Some(otlp::exporters(&base)?),
            None => None,
        };
        let (tracers, pushed) = match exporters {
            Some((spans, metrics)) => {
                let tracers = SdkTracerProvider::builder().with_resource(resource.clone());
                (Some(tracers.with_batch_exporter(spans).build()), Some(metrics))
            }
            None => (None, None),
        };
        let (meters, metrics) = metrics::start(resource, pushed)?;
        Ok(Self { tracers, meters, metrics })
    }

    /// The layers of traces and metrics around a subscriber. Their order matters: see `context.rs`.
    fn layered<S>(&self, inner: S) -> impl Subscriber + Send + Sync + for<'span> LookupSpan<'span> + use<S>
    where
        S: Subscriber + Send + Sync + for<'span> LookupSpan<'span>,
    {
        // Each has a filter, also where it is left out: a layer without one has every line of every library looked at anew,
        // wanted or not.
        let collects = self.tracers.is_some();
        let traced = move || filter_fn(move |of| collects && is_trace(of));
        let traces = self.tracers.as_ref().map(|tracers| {
            tracing_opentelemetry::layer()
                .with_tracer(tracers.tracer("lethe"))
                .with_location(false)
                .with_threads(false)
                .with_target(false)
        });
        // Ids are still made and handed on where nobody would read what is recorded.
        let ids = ids::IdsLayer.with_filter(filter_fn(move |of| !collects && of.is_span() && is_trace(of)));
        // It has a filter inside, which nobody outside sees.
        let measures = MetricsLayer::new(self.meters.clone());
        let measures = measures.with_filter(filter_fn(|of| of.is_event() && of.target() == METRICS_TARGET));
        inner
            .with(ids)
            .with(context::AdoptParent.with_filter(traced()))
            .with(traces.with_filter(traced()))
            .with(context::ReleaseParent.with_filter(traced()))
            .with(measures)
    }
}

/// Whether this is a log line: all that is neither a measurement nor a point of a test.
fn is_log(metadata: &Metadata<'_>) -> bool {
    metadata.target() != METRICS_TARGET && metadata.target() != FAILPOINT_TARGET
}

/// Whether this belongs in a trace: our own spans and notes, not a library's and not the measurements.
fn is_trace(metadata: &Metadata<'_>) -> bool {
    let krate = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() <= Level::INFO && OURS.contains(&krate)
}
