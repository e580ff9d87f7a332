//! Options that several subcommands share.

use std::path::{Path, PathBuf};

use clap::Args;
use infra::keys::kms::KmsConfig;
use infra::nats_server::NatsElsewhere;
use infra::store::Engine;

use super::CliError;
use crate::platform::{Elsewhere, Options};

/// Where the platform keeps its things.
#[derive(Args, Debug, Clone)]
pub struct Place {
    /// The data directory (journal, read models, logs).
    #[arg(long, env = "LETHE_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where root keys are kept; never inside the data directory. Default: beside it, with the ending `.kms`.
    #[arg(long, env = "LETHE_KMS_DIR", value_name = "DIR")]
    kms_dir: Option<PathBuf>,
    /// Which KMS holds the root keys: `file:DIR`, `pkcs11:module=…;token=…;pin-file=…` or
    /// `openbao:URL;mount=…;token-file=…` (docs/kms.md). Default: files in --kms-dir.
    #[arg(long, env = "LETHE_KMS", value_name = "KMS", conflicts_with = "kms_dir")]
    kms: Option<KmsConfig>,
    /// Where the newest key tree, every erasure and the signed checkpoints go at once: a folder elsewhere, or
    /// `s3://bucket/prefix?endpoint=…` (docs/backup.md). Without it an erasure asks for --accept-single-copy.
    #[arg(long, env = "LETHE_OFF_SITE", value_name = "PLACE", value_parser = place)]
    off_site: Option<infra::off_site::Place>,
    /// What keeps the read models: `redb` or `sled` (docs/adr/0033). Those of the other one are set aside and built anew.
    #[arg(long, env = "LETHE_READ_STORE", value_name = "redb|sled", default_value_t)]
    read_store: Engine,
    #[command(flatten)]
    nats: Nats,
}

/// A NATS that others run.
#[derive(Args, Debug, Clone)]
struct Nats {
    /// The NATS cluster that holds the journals, with commas between its servers: `tls://a:4222,tls://b:4222`
    /// (docs/cluster.md). Default: a nats-server of its own, in the data directory.
    #[arg(long = "nats", env = "LETHE_NATS", value_name = "URL", value_delimiter = ',', requires = "nats_credentials")]
    urls: Vec<String>,
    /// The file of Lethe's logins there (`lethe nats accounts` writes it).
    #[arg(long = "nats-credentials", env = "LETHE_NATS_CREDENTIALS", value_name = "FILE")]
    nats_credentials: Option<PathBuf>,
    /// The certificate of who signed the servers' certificates, if the system does not know it.
    #[arg(long = "nats-ca", env = "LETHE_NATS_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// How many servers hold each new journal stream there.
    #[arg(long = "nats-replicas", env = "LETHE_NATS_REPLICAS", value_name = "NUMBER", default_value_t = 3)]
    replicas: usize,
}

impl Nats {
    fn elsewhere(&self) -> Result<Option<NatsElsewhere>, CliError> {
        match &self.nats_credentials {
            Some(credentials) if !self.urls.is_empty() => {
                NatsElsewhere::new(&self.urls, credentials, self.ca.as_deref(), self.replicas)
                    .map(Some)
                    .map_err(CliError::input)
            }
            _ => Ok(None),
        }
    }
}

/// A place for copies: a path that is not absolute is meant from here.
pub(super) fn place(text: &str) -> Result<infra::off_site::Place, String> {
    if text.contains("://") {
        return text.parse().map_err(|error: infra::off_site::PlaceError| error.to_string());
    }
    std::path::absolute(text).map(infra::off_site::Place::Folder).map_err(|error| error.to_string())
}

/// A word or a day as the API writes it.
pub(super) fn word<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(serde_json::Value::from(text)).map_err(|error| error.to_string())
}

impl Place {
    /// The data directory as given, if it was.
    pub(super) fn given_data_dir(&self) -> Option<&Path> {
        self.data_dir.as_deref()
    }

    /// The data directory: as given, or the user's own.
    ///
    /// # Errors
    /// Neither is known.
    pub fn data_dir(&self) -> Result<PathBuf, CliError> {
        if let Some(dir) = &self.data_dir {
            return Ok(dir.clone());
        }
        let home = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        home("XDG_DATA_HOME")
            .or_else(|| home("HOME").map(|home| home.join(".local/share")))
            .map(|share| share.join("lethe"))
            .ok_or_else(|| CliError::input("no data directory: give --data-dir DIR"))
    }

    /// What stands outside the data directory.
    ///
    /// # Errors
    /// The NATS elsewhere cannot be used.
    pub fn elsewhere(&self, data_dir: &Path) -> Result<Elsewhere, CliError> {
        let kms = self.kms.clone().unwrap_or_else(|| KmsConfig::File { dir: self.kms_dir(data_dir) });
        Ok(Elsewhere { kms, off_site: self.off_site.clone(), nats: self.nats.elsewhere()? })
    }

    /// A platform on this data directory.
    ///
    /// # Errors
    /// No data directory is known, or the NATS elsewhere cannot be used.
    pub fn options(&self) -> Result<Options, CliError> {
        let data_dir = self.data_dir()?;
        Ok(Options::new(&data_dir, &self.kms_dir(&data_dir))
            .elsewhere(self.elsewhere(&data_dir)?)
            .read_store(self.read_store))
    }

    /// The folder of root keys, for this data directory.
    pub fn kms_dir(&self, data_dir: &Path) -> PathBuf {
        self.kms_dir.clone().unwrap_or_else(|| {
            let mut name = data_dir.as_os_str().to_owned();
            name.push(".kms");
            PathBuf::from(name)
        })
    }
}

/// How to reach a running platform, and as whom.
#[derive(Args, Debug, Clone)]
pub(super) struct Access {
    /// Address of the platform. Default: the one that serves the data directory.
    #[arg(long, env = "LETHE_URL", value_name = "URL")]
    pub(super) url: Option<String>,
    /// File that holds the bearer token. Otherwise LETHE_TOKEN is used.
    #[arg(long, env = "LETHE_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Who signed the platform's certificate, in PEM, if that is nobody whom this machine knows.
    #[arg(long = "ca", env = "LETHE_CA", value_name = "FILE")]
    signed_by: Option<PathBuf>,
    #[command(flatten)]
    pub(super) place: Place,
}

impl Access {
    /// Whom to believe beside those whom this machine knows.
    pub(super) fn roots(&self) -> Result<Vec<reqwest::Certificate>, CliError> {
        let Some(file) = &self.signed_by else { return Ok(vec![]) };
        let wrong = |error: &dyn std::fmt::Display| CliError::input(format!("--ca {}: {error}", file.display()));
        let pem = std::fs::read(file).map_err(|error| wrong(&error))?;
        match reqwest::Certificate::from_pem_bundle(&pem) {
            Ok(found) if found.is_empty() => Err(wrong(&"it holds no certificate in PEM")),
            found => found.map_err(|error| wrong(&error)),
        }
    }

    /// Whether a token was given.
    pub(super) fn has_token(&self) -> bool {
        self.token_file.is_some() || std::env::var_os("LETHE_TOKEN").is_some()
    }

    /// The bearer token: from the file, or the environment. Never from an argument, where others could see it.
    pub(super) fn token(&self) -> Result<String, CliError> {
        let text = match &self.token_file {
            Some(file) => std::fs::read_to_string(file)
                .map_err(|error| CliError::input(format!("token file {}: {error}", file.display())))?,
            None => std::env::var("LETHE_TOKEN").map_err(|_| {
                CliError::input(
                    "no token: sign in with `lethe login`, or set LETHE_TOKEN or give --token-file (`lethe token create`)",
                )
            })?,
        };
        Ok(text.trim().to_owned())
    }
}
