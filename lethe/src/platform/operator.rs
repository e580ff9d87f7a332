//! The operator's way in: the platform that serves the data directory, or one started for the one command.

use serde_json::Value;

use super::{Platform, is_platform, running};
use crate::cli::{ApiError, CliError, Client, Place};

/// Somebody who may use the machine's data directory.
pub struct Operator {
    client: Client,
    started: Option<Platform>,
}

impl Operator {
    /// Finds the running platform, or starts one.
    pub async fn of(place: &Place) -> Result<Self, CliError> {
        let data_dir = place.data_dir()?;
        if let Some(run) = running(&data_dir) {
            return Ok(Self { client: Client::new(run.url, run.operator_token), started: None });
        }
        // A typing error must not make a platform.
        if !is_platform(&data_dir) {
            let message =
                format!("{0} holds no platform: start one there with `lethe serve --data-dir {0}`", data_dir.display());
            return Err(CliError::unavailable(message));
        }
        let platform = Platform::start(place.options()?).await?;
        let client = Client::new(platform.url(), platform.operator_token());
        Ok(Self { client, started: Some(platform) })
    }

    /// Where the platform is reached.
    pub fn url(&self) -> &str {
        self.client.base()
    }

    /// Sends an operator's request.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        self.client.post(path, body).await.map(|reply| reply.body)
    }

    /// Sends an operator's request whose reply comes line by line.
    pub async fn lines(&self, path: &str, body: &Value, each: impl FnMut(Value)) -> Result<(), ApiError> {
        self.client.lines(path, body, each).await
    }

    /// Ends the platform that was started for this, if one was.
    pub async fn leave(self) {
        if let Some(platform) = self.started {
            platform.stop().await;
        }
    }
}
