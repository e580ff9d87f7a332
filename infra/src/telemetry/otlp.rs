//! Export to an OpenTelemetry collector: OTLP over HTTP, protobuf. Batches are sent by threads of their own.

use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig};

use super::TelemetryError;

/// The standard variable; a base address to which the path of each signal is added.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// The collector's base address, if one is configured: as asked for, else as the environment says.
pub(super) fn base(asked: Option<&str>) -> Result<Option<String>, TelemetryError> {
    let found = asked.map(str::to_owned).or_else(|| std::env::var(ENDPOINT).ok());
    match found.as_deref().map(|text| text.trim().trim_end_matches('/')) {
        None | Some("") => Ok(None),
        Some(base) if base.starts_with("http://") => Ok(Some(base.to_owned())),
        Some(base) if base.starts_with("https://") => {
            Err(TelemetryError::Endpoint("TLS is not built in: send to a collector on this machine".into()))
        }
        Some(_) => Err(TelemetryError::Endpoint("it must begin with http://".into())),
    }
}

/// The exporters of traces and metrics.
pub(super) fn exporters(base: &str) -> Result<(SpanExporter, MetricExporter), TelemetryError> {
    let failed = |error: opentelemetry_otlp::ExporterBuildError| TelemetryError::Exporter(error.to_string());
    let spans = SpanExporter::builder().with_http().with_endpoint(format!("{base}/v1/traces")).build();
    let metrics = MetricExporter::builder().with_http().with_endpoint(format!("{base}/v1/metrics")).build();
    Ok((spans.map_err(failed)?, metrics.map_err(failed)?))
}
