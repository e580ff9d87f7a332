//! `lethe restore`.

use std::io::{BufRead, Write};
use std::path::PathBuf;

use clap::Args;
use domain::ids::TenantId;
use domain::port::PublicKey;
use infra::off_site::Place;

use super::CliError;
use super::backup::{note_read, trust};
use super::options::{self, place};
use super::progress::Bar;
use crate::platform::{StartError, read_identity};
use crate::restore::{self, Order};

/// Restores a tenant from a backup into an empty data directory, beside the live KMS and the off-site copy. The site that
/// served it before is cut off. Begun again with the same words, it goes on where it was.
#[derive(Args)]
pub(super) struct Restore {
    /// Whose.
    #[arg(long)]
    tenant: TenantId,
    /// Where the backups are.
    #[arg(long, value_name = "PLACE", value_parser = place)]
    from: Place,
    /// Which one. Default: the newest.
    #[arg(long)]
    id: Option<String>,
    /// The file of the secret key that opens it.
    #[arg(long, value_name = "FILE")]
    identity: PathBuf,
    /// The public key that must have signed it. Default: the one that the KMS holds.
    #[arg(long, value_name = "PUBLIC-KEY", value_parser = trust)]
    trust: Option<PublicKey>,
    /// For scripts: does not ask.
    #[arg(long)]
    yes: bool,
    /// Prints the report as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: options::Place,
}

impl Restore {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let telemetry = super::start_telemetry(infra::telemetry::LogFormat::Pretty, Some("warn"))?;
        let done = self.restore().await;
        super::end_telemetry(telemetry).await;
        done
    }

    async fn restore(self) -> Result<(), CliError> {
        let data_dir = self.place.data_dir()?;
        let identity = read_identity(&self.identity).map_err(CliError::input)?;
        if !self.yes {
            self.confirm(&data_dir)?;
        }
        let order = Order {
            elsewhere: self.place.elsewhere(&data_dir)?,
            tenant: self.tenant,
            from: self.from,
            backup: self.id,
            identity,
            trust: self.trust,
            data_dir,
            install_nats_server: false,
        };
        let bar = Bar::new("restoring");
        let restored = restore::run(&order, &|what, progress| {
            bar.say(what);
            bar.show(progress);
        })
        .await;
        bar.end();
        let restored = restored?;
        let place = order.from.open(&order.tenant).map_err(StartError::from)?;
        note_read(&*place, &restored.backup, "restored").await?;
        if self.json {
            out!("{}", restored.json());
        } else {
            out!("{restored}");
        }
        note!("`lethe serve` may open it now.");
        Ok(())
    }

    fn confirm(&self, data_dir: &std::path::Path) -> Result<(), CliError> {
        note!("Tenant {} is restored from {} into {}.", self.tenant, self.from, data_dir.display());
        note!("Whatever serves this tenant now is cut off from its keys for good, and what it wrote since is lost.");
        eprint!("Type the tenant's id to go on: ");
        std::io::stderr().flush().map_err(|error| CliError::failed("the question", error))?;
        let mut typed = String::new();
        std::io::stdin().lock().read_line(&mut typed).map_err(|error| CliError::failed("the answer", error))?;
        if typed.trim() == self.tenant.as_str() {
            Ok(())
        } else {
            Err(CliError::input("that is not the id: nothing was done"))
        }
    }
}
