//! `lethe demo`.

use std::path::PathBuf;

use clap::Args;

use super::CliError;
use super::options::Place;
use super::tls::TlsArgs;
use crate::demo::{self, Voice};
use crate::platform::{Options, Platform};
use infra::telemetry::LogFormat;

/// Starts a platform with nothing configured, enrols invented participants through the public API, erases one, and
/// shows what is left. Then it serves until Ctrl-C.
#[derive(Args)]
pub(super) struct Demo {
    /// Stops when everything was shown, instead of serving.
    #[arg(long)]
    exit: bool,
    /// Prints one JSON object on stdout, and no tables.
    #[arg(long)]
    json: bool,
    /// How many participants to invent.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    participants: u32,
    /// Where the HTTP API listens. Default: a free port on loopback.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    listen: std::net::SocketAddr,
    #[command(flatten)]
    tls: TlsArgs,
    #[command(flatten)]
    place: Place,
}

impl Demo {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let telemetry = super::start_telemetry(LogFormat::Pretty, Some("warn"))?;
        let data_dir = self.data_dir()?;
        let kms_dir = self.place.kms_dir(&data_dir);
        let options = Options::new(&data_dir, &kms_dir)
            .elsewhere(self.place.elsewhere(&data_dir)?)
            .listen(self.listen)
            .install_nats_server()
            .metrics(telemetry.metrics());
        let platform = Platform::start(self.tls.with(options)).await?;
        if !self.json {
            out!(
                "A platform serves {} (data in {}, root keys in {}).",
                platform.public_url(),
                data_dir.display(),
                kms_dir.display()
            );
            out!("{}\n", infra::keys::kms::FILE_KMS_WARNING);
        }
        let voice = Voice { quiet: self.json };
        let outcome = demo::run(&platform, self.participants as usize, platform.dice(), &voice).await?;
        if self.json {
            out!("{}", outcome.json(&data_dir));
        }
        if !self.exit {
            if !self.json {
                at_the_desk(&platform).await?;
            }
            note!("\nThe platform goes on serving {}. Ctrl-C ends it.", platform.public_url());
            super::until_told_to_stop().await;
        }
        platform.stop().await;
        super::end_telemetry(telemetry).await;
        Ok(())
    }

    /// The folder given, if nothing is in it yet; otherwise a new one of its own.
    fn data_dir(&self) -> Result<PathBuf, CliError> {
        let Some(given) = self.place.given_data_dir() else {
            let name = format!("lethe-demo-{}", std::process::id());
            return Ok(std::env::temp_dir().join(name).join("data"));
        };
        if given.join("tenants").exists() {
            let message = format!(
                "{} holds a platform already: give an empty folder, or serve it with `lethe serve --data-dir`",
                given.display()
            );
            return Err(CliError::conflict(message));
        }
        // Shown to people and to scripts that run elsewhere.
        std::path::absolute(given).map_err(|error| CliError::failed("the data directory", error))
    }
}

/// Where a browser begins: the link for the first administrator, who begins in TEST, where the demo's study is.
async fn at_the_desk(platform: &Platform) -> Result<(), CliError> {
    let tenant = "demo".parse().expect("a valid tenant id");
    if let Some(link) = platform.first_link(&tenant).await? {
        note!(
            "\nAt the desk: open this in a browser. It counts once, for an hour, and makes you the first administrator:"
        );
        note!("  {}", link.address);
    }
    Ok(())
}
