//! `lethe drill …`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::CliError;
use crate::drill::{self, Ground, KmsKind, OffSiteKind, Plan, shred};
use crate::platform::random_id;

/// Rehearsals on a scratch instance of their own, with figures.
#[derive(Subcommand)]
pub(super) enum Drill {
    /// Erases three people, loses the site, restores backups from five moments beside the live root keys, and looks at
    /// everything. Exits with 1 if an erased person comes back, a survivor is missing, or a certificate does not verify.
    Erasure(Erasure),
    /// Measures one shred, by the number of keys in the tree.
    Shred(Shred),
}

#[derive(Args)]
pub(super) struct Erasure {
    /// How many invented participants take part.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(4..=10_000))]
    participants: u32,
    /// What holds the root keys: `file`, `pkcs11` (SoftHSM) or `openbao`; a server is started where one is needed.
    #[arg(long, default_value = "file", value_parser = KmsKind::parse)]
    kms: KmsKind,
    /// Where the off-site copy and the backups are: `folder`, or `s3` (two buckets with object lock on a SeaweedFS of its
    /// own, which is started).
    #[arg(long, default_value = "folder", value_parser = OffSiteKind::parse)]
    off_site: OffSiteKind,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
pub(super) struct Shred {
    /// Numbers of keys at which to measure.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 100_000])]
    keys: Vec<usize>,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct Common {
    /// Prints one JSON object on stdout.
    #[arg(long)]
    json: bool,
    /// Folder for everything; it is kept. Default: a new temporary one, removed when all is well.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Drill {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let telemetry = super::start_telemetry(infra::telemetry::LogFormat::Pretty, Some("error"))?;
        let done = match self {
            Self::Erasure(erasure) => erasure.run().await,
            Self::Shred(shred) => shred.run().await,
        };
        super::end_telemetry(telemetry).await;
        done
    }
}

impl Erasure {
    async fn run(self) -> Result<(), CliError> {
        let plan = Plan { participants: self.participants as usize, kms: self.kms, off_site: self.off_site };
        if self.kms == KmsKind::Pkcs11 && std::env::var_os(TOKEN_CONFIG).is_none() {
            return self.again_with_token().await;
        }
        let ground = self.common.ground(self.kms, self.off_site).await?;
        let figures = drill::run(&plan, &ground, self.common.json).await?;
        if self.common.json {
            out!("{}", figures.json());
        } else {
            out!("{figures}");
        }
        let faults = figures.faults();
        if faults.is_empty() {
            let folder = ground.folder().to_owned();
            // Its servers write there until they end.
            drop(ground);
            return self.common.tidy(&folder);
        }
        faults.iter().for_each(|fault| note!("{fault}"));
        Err(CliError::failed("the drill", format!("{} things are wrong", faults.len())))
    }
}

/// SoftHSM's module reads this variable, which a process must have from its start.
const TOKEN_CONFIG: &str = "SOFTHSM2_CONF";

impl Erasure {
    /// Runs the same drill in a process that has the token.
    async fn again_with_token(&self) -> Result<(), CliError> {
        let folder = self.common.folder()?;
        let token = Ground::token(&folder)?;
        let binary = std::env::current_exe().map_err(|error| CliError::failed("the running binary", error))?;
        let mut command = tokio::process::Command::new(binary);
        command.args(["drill", "erasure", "--kms", "pkcs11", "--participants", &self.participants.to_string()]);
        command.args(["--off-site", self.off_site.as_str()]);
        command.arg("--data-dir").arg(&folder).env(TOKEN_CONFIG, token.config_file()).kill_on_drop(true);
        if self.common.json {
            command.arg("--json");
        }
        let status = command.status().await.map_err(|error| CliError::failed("the drill", error))?;
        if !status.success() {
            return Err(CliError::failed("the drill", status));
        }
        self.common.tidy(&folder)
    }
}

impl Shred {
    async fn run(mut self) -> Result<(), CliError> {
        self.keys.sort_unstable();
        let ground = self.common.ground(KmsKind::File, OffSiteKind::Folder).await?;
        let measured = shred::run(&self.keys, &ground, self.common.json).await?;
        if self.common.json {
            out!("{measured}");
        } else {
            out!("{:>10} {:>12} {:>12} {:>12} {:>12}", "keys", "own ms", "KMS ms", "off-site ms", "memory KiB");
            for row in measured["results"].as_array().into_iter().flatten() {
                let (own, kms, off_site) = (&row["own"], &row["kms"], &row["off_site"]);
                out!("{:>10} {own:>12} {kms:>12} {off_site:>12} {:>12}", row["keys"], row["resident_kib"]);
            }
        }
        self.common.tidy(ground.folder())
    }
}

impl Common {
    fn folder(&self) -> Result<PathBuf, CliError> {
        let temporary = || std::env::temp_dir().join(format!("lethe-drill-{}", random_id().simple()));
        let folder = self.data_dir.clone().unwrap_or_else(temporary);
        std::path::absolute(folder).map_err(|error| CliError::failed("the folder", error))
    }

    async fn ground(&self, kms: KmsKind, off_site: OffSiteKind) -> Result<Ground, CliError> {
        let folder = self.folder()?;
        if kms != KmsKind::Pkcs11
            && folder.exists()
            && std::fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some())
        {
            return Err(CliError::conflict(format!("{} is not empty: give an empty folder", folder.display())));
        }
        note!("Everything of the drill is in {}.", folder.display());
        Ground::prepare(&folder, kms, off_site).await
    }

    fn tidy(&self, folder: &std::path::Path) -> Result<(), CliError> {
        if self.data_dir.is_some() {
            return Ok(());
        }
        let removed = std::fs::remove_dir_all(folder);
        removed.map_err(|error| CliError::failed(format!("{} cannot be removed", folder.display()), error))
    }
}
