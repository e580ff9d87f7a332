//! Log lines: what is logged, and how a line looks.

use std::io::IsTerminal;

use tracing::Subscriber;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, fmt};

use super::{LogFormat, OURS, TelemetryError};

/// The filter asked for, else that of the environment, else our own notes and everybody's warnings.
pub(super) fn filter(asked: Option<&str>) -> Result<EnvFilter, TelemetryError> {
    let from = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let text = asked.map(str::to_owned).or_else(|| from("LETHE_LOG")).or_else(|| from("RUST_LOG"));
    let text = text.unwrap_or_else(standard);
    EnvFilter::try_new(text).map_err(|error| TelemetryError::Filter(error.to_string()))
}

fn standard() -> String {
    OURS.iter().fold("warn".to_owned(), |text, krate| format!("{text},{krate}=info"))
}

/// Colour is for people at a terminal who did not ask to be spared it.
pub(super) fn colour_on_stderr() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The layer that writes lines to `writer`.
pub(super) fn layer<S, W>(format: LogFormat, writer: W, colour: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let lines = fmt::layer().with_writer(writer).with_ansi(colour);
    match format {
        LogFormat::Pretty => lines.compact().boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    }
}
