//! `lethe serve`.

use std::net::SocketAddr;

use clap::Args;

use super::CliError;
use super::backup::recipient;
use super::options::{Place, place};
use super::tls::TlsArgs;
use crate::platform::{DetectionRules, Platform, Schedule};
use infra::telemetry::LogFormat;

/// Serves the platform until Ctrl-C or SIGTERM.
#[derive(Args)]
pub(super) struct Serve {
    #[command(flatten)]
    place: Place,
    /// Where the HTTP API listens. Beyond loopback by TLS only.
    #[arg(long, env = "LETHE_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,
    #[command(flatten)]
    tls: TlsArgs,
    /// Where every tenant is backed up to by itself: a folder or an S3-compatible store.
    #[arg(long, env = "LETHE_BACKUP_TO", value_name = "PLACE", value_parser = place, requires = "backup_recipients")]
    backup_to: Option<infra::off_site::Place>,
    /// Who can read these backups: an age public key. May be given more than once.
    #[arg(long = "backup-recipient", env = "LETHE_BACKUP_RECIPIENTS", value_delimiter = ',', value_parser = recipient)]
    backup_recipients: Vec<infra::backup::Recipient>,
    /// How old the newest backup may become, in hours.
    #[arg(long, env = "LETHE_BACKUP_EVERY", default_value_t = 24, value_name = "HOURS", value_parser = clap::value_parser!(u32).range(1..))]
    backup_every: u32,
    /// Under which address people reach this platform, if that is a proxy's: `https://…`. It stands in links; with https,
    /// browsers send the session by TLS alone; and what the proxy says of where a request comes from is believed.
    #[arg(long, env = "LETHE_PUBLIC_URL", value_name = "URL", value_parser = public_url)]
    public_url: Option<String>,
    /// A file with the identity providers of tenants (OpenID Connect), which nobody else can read.
    #[arg(long, env = "LETHE_OIDC", value_name = "FILE")]
    oidc: Option<std::path::PathBuf>,
    /// After how many minutes without a request a session is over.
    #[arg(long, env = "LETHE_IDLE_MINUTES", default_value_t = 15, value_name = "MINUTES", value_parser = clap::value_parser!(u32).range(1..=60))]
    idle_minutes: u32,
    /// How much is too much, as JSON (docs/detection.md). Default: the limits there, and no working hours.
    #[arg(long, env = "LETHE_DETECTION", value_name = "FILE")]
    detection: Option<std::path::PathBuf>,
    /// How log lines look.
    #[arg(long, env = "LETHE_LOG_FORMAT", value_parser = log_format, default_value = "pretty", value_name = "pretty|json")]
    log_format: LogFormat,
}

fn public_url(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match rest.filter(|rest| !rest.is_empty() && !rest.contains(['#', '?', ' '])) {
        Some(_) => Ok(text.trim_end_matches('/').to_owned()),
        None => Err("an address such as https://lethe.example.org".into()),
    }
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "pretty" => Ok(LogFormat::Pretty),
        "json" => Ok(LogFormat::Json),
        _ => Err("pretty or json".into()),
    }
}

fn detection(file: &std::path::Path) -> Result<DetectionRules, CliError> {
    let wrong = |error: &dyn std::fmt::Display| CliError::input(format!("--detection {}: {error}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| wrong(&error))?;
    serde_json::from_str(&text).map_err(|error| wrong(&error))
}

impl Serve {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let telemetry = super::start_telemetry(self.log_format, None)?;
        let data_dir = self.place.data_dir()?;
        let mut options = self.place.options()?.listen(self.listen).metrics(telemetry.metrics());
        let idle = std::time::Duration::from_secs(u64::from(self.idle_minutes) * 60);
        options = options.door(door::Rules { idle, public_url: self.public_url, ..door::Rules::default() });
        if let Some(file) = &self.detection {
            options = options.detection(detection(file)?);
        }
        options = options.providers(self.oidc);
        if let Some(to) = self.backup_to {
            let every = std::time::Duration::from_secs(u64::from(self.backup_every) * 3600);
            options = options.schedule(Schedule { to, recipients: self.backup_recipients, every });
        }
        let platform = Platform::start(self.tls.with(options)).await?;
        note!("lethe serves {} (data in {}). Ctrl-C ends it.", platform.public_url(), data_dir.display());
        for tenant in platform.unadministered().await? {
            note!(
                "lethe knows nobody who administers tenant {tenant}: `lethe admin link --tenant {tenant}` prints a link."
            );
        }
        super::until_told_to_stop().await;
        note!("lethe stops: finishing what was begun.");
        platform.stop().await;
        super::end_telemetry(telemetry).await;
        Ok(())
    }
}
