//! Measurements: events with the target [`METRICS_TARGET`] and a field `monotonic_counter.NAME`, `histogram.NAME` or
//! `gauge.NAME`. Every other field of such an event is a label, so it comes from a closed list and is never an id.

use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{Aggregation, Instrument, InstrumentKind, PeriodicReader, SdkMeterProvider, Stream};
use prometheus::{Registry, TextEncoder};

use super::TelemetryError;

/// The target of events that are measurements. They are kept out of logs and traces.
pub const METRICS_TARGET: &str = "metrics";

/// Upper bounds for everything that is measured in seconds: from a cache hit to a request that somebody gave up.
const SECONDS: [f64; 14] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// What was measured so far, as the text that Prometheus reads.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// The media type of [`Metrics::text`].
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// The text of `GET /metrics`.
    pub fn text(&self) -> String {
        let families = self.registry.gather();
        TextEncoder::new().encode_to_string(&families).unwrap_or_else(|error| {
            tracing::error!(%error, "the metrics cannot be written as text");
            String::new()
        })
    }
}

/// Starts measuring: for `GET /metrics` always, for a collector if there is one.
pub(super) fn start(
    resource: Resource,
    pushed: Option<MetricExporter>,
) -> Result<(SdkMeterProvider, Metrics), TelemetryError> {
    let metrics = Metrics::default();
    let pulled = opentelemetry_prometheus::exporter()
        .with_registry(metrics.registry.clone())
        .scope_info_enabled(false)
        .without_target_info()
        .build()
        .map_err(|error| TelemetryError::Exporter(error.to_string()))?;
    let mut provider = SdkMeterProvider::builder().with_resource(resource).with_reader(pulled).with_view(seconds_view);
    if let Some(exporter) = pushed {
        provider = provider.with_reader(PeriodicReader::builder(exporter).build());
    }
    Ok((provider.build(), metrics))
}

/// The SDK's own bounds are meant for milliseconds.
fn seconds_view(instrument: &Instrument) -> Option<Stream> {
    if instrument.kind() != InstrumentKind::Histogram || !instrument.name().ends_with("_seconds") {
        return None;
    }
    let buckets = Aggregation::ExplicitBucketHistogram { boundaries: SECONDS.to_vec(), record_min_max: false };
    Stream::builder().with_aggregation(buckets).build().ok()
}
