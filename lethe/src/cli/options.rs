//! Options that several subcommands share.

use std::path::{Path, PathBuf};

use clap::Args;

use super::CliError;

/// Where the platform keeps its things.
#[derive(Args, Debug, Clone)]
pub struct Place {
    /// The data directory (journal, read models, logs).
    #[arg(long, env = "LETHE_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where root keys are kept; never inside the data directory. Default: beside it, with the ending `.kms`.
    #[arg(long, env = "LETHE_KMS_DIR", value_name = "DIR")]
    kms_dir: Option<PathBuf>,
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
    #[command(flatten)]
    pub(super) place: Place,
}

impl Access {
    /// The bearer token: from the file, or the environment. Never from an argument, where others could see it.
    pub(super) fn token(&self) -> Result<String, CliError> {
        let text = match &self.token_file {
            Some(file) => std::fs::read_to_string(file)
                .map_err(|error| CliError::input(format!("token file {}: {error}", file.display())))?,
            None => std::env::var("LETHE_TOKEN").map_err(|_| {
                CliError::input("no token: set LETHE_TOKEN or give --token-file (make one with `lethe token create`)")
            })?,
        };
        Ok(text.trim().to_owned())
    }
}
