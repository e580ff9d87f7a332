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

/// What a histogram counted, all labels together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    /// How many measurements.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// Upper bounds, ascending, each with how many measurements are not above it.
    pub buckets: Vec<(f64, u64)>,
}

impl Summary {
    /// What was counted since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let known =
            |bound: f64| before.buckets.iter().find(|(other, _)| *other == bound).map_or(0, |(_, count)| *count);
        let bucket = |(bound, count): &(f64, u64)| (*bound, count.saturating_sub(known(*bound)));
        Self {
            count: self.count.saturating_sub(before.count),
            sum: (self.sum - before.sum).max(0.0),
            buckets: self.buckets.iter().map(bucket).collect(),
        }
    }

    /// The value that this share of the measurements is not above, as if they lay evenly in their bucket; none if there are
    /// none. What lies above the last bound is told as that bound.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        let wanted = share * self.count as f64;
        let (mut floor, mut below) = (0.0, 0);
        for (bound, count) in &self.buckets {
            if *count as f64 >= wanted {
                let within = (count - below) as f64;
                let part = if within > 0.0 { (wanted - below as f64) / within } else { 1.0 };
                return Some(if bound.is_finite() { floor + (bound - floor) * part } else { floor });
            }
            (floor, below) = (*bound, *count);
        }
        Some(floor)
    }
}

impl Metrics {
    /// What the histogram of this name counted so far; none: nothing was measured under it.
    pub fn histogram(&self, name: &str) -> Option<Summary> {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name)?;
        let mut whole = Summary::default();
        for metric in family.get_metric() {
            let histogram = metric.get_histogram();
            whole.count += histogram.get_sample_count();
            whole.sum += histogram.get_sample_sum();
            for bucket in histogram.get_bucket() {
                let (bound, count) = (bucket.upper_bound(), bucket.cumulative_count());
                match whole.buckets.iter_mut().find(|(known, _)| *known == bound) {
                    Some((_, known)) => *known += count,
                    None => whole.buckets.push((bound, count)),
                }
            }
        }
        Some(whole)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(counts: [u64; 3]) -> Summary {
        let [first, second, all] = counts;
        Summary { count: all, sum: all as f64, buckets: vec![(0.01, first), (0.1, second), (f64::INFINITY, all)] }
    }

    #[test]
    fn a_share_lies_in_its_bucket_and_never_above_the_last_bound() {
        assert_eq!(summary([0, 0, 0]).quantile(0.5), None);
        assert_eq!(summary([10, 10, 10]).quantile(0.5), Some(0.005));
        assert_eq!(summary([5, 10, 10]).quantile(0.75).map(|value| (value * 1e6).round()), Some(55_000.0));
        assert_eq!(summary([0, 0, 4]).quantile(0.95), Some(0.1), "more than can be told");
    }

    #[test]
    fn what_was_counted_since_is_the_difference() {
        let since = summary([5, 9, 12]).since(&summary([4, 6, 8]));
        assert_eq!((since.count, since.sum), (4, 4.0));
        assert_eq!(since.buckets, [(0.01, 1), (0.1, 3), (f64::INFINITY, 4)]);
        assert_eq!(summary([1, 1, 1]).since(&Summary::default()), summary([1, 1, 1]));
    }
}
