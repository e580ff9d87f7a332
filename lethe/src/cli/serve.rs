//! `lethe serve`.

use std::net::SocketAddr;

use clap::Args;

use super::CliError;
use super::options::Place;
use crate::platform::Platform;
use infra::telemetry::LogFormat;

/// Serves the platform until Ctrl-C or SIGTERM.
#[derive(Args)]
pub(super) struct Serve {
    #[command(flatten)]
    place: Place,
    /// Where the HTTP API listens. Loopback only: there is no TLS yet.
    #[arg(long, env = "LETHE_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// How log lines look.
    #[arg(long, env = "LETHE_LOG_FORMAT", value_parser = log_format, default_value = "pretty", value_name = "pretty|json")]
    log_format: LogFormat,
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "pretty" => Ok(LogFormat::Pretty),
        "json" => Ok(LogFormat::Json),
        _ => Err("pretty or json".into()),
    }
}

impl Serve {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let telemetry = super::start_telemetry(self.log_format, None)?;
        let data_dir = self.place.data_dir()?;
        let options = self.place.options()?.listen(self.listen).metrics(telemetry.metrics());
        let platform = Platform::start(options).await?;
        note!("lethe serves {} (data in {}). Ctrl-C ends it.", platform.url(), data_dir.display());
        super::until_told_to_stop().await;
        note!("lethe stops: finishing what was begun.");
        platform.stop().await;
        super::end_telemetry(telemetry).await;
        Ok(())
    }
}
