//! How a run ends, for scripts.

use std::fmt;
use std::process::ExitCode;

use super::client::ApiError;

/// Shown at the end of `--help`.
pub(super) const HELP: &str =
    "Exit codes: 0 done, 1 failed, 2 wrong usage or input, 3 conflict, 4 not found, 5 denied, 6 not available.";

/// What went wrong, and what to do next.
#[derive(Debug)]
pub struct CliError {
    code: u8,
    message: String,
}

impl CliError {
    /// Something failed on the way.
    pub fn failed(what: impl fmt::Display, cause: impl fmt::Display) -> Self {
        Self { code: 1, message: format!("{what}: {cause}") }
    }

    /// The input is not usable.
    pub fn input(message: impl fmt::Display) -> Self {
        Self { code: 2, message: message.to_string() }
    }

    /// Something is in the way.
    pub fn conflict(message: impl fmt::Display) -> Self {
        Self { code: 3, message: message.to_string() }
    }

    /// Something that is needed does not answer or is not there.
    pub fn unavailable(message: impl fmt::Display) -> Self {
        Self { code: 6, message: message.to_string() }
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ApiError> for CliError {
    fn from(error: ApiError) -> Self {
        let code = match error.status {
            Some(400 | 413 | 415 | 422 | 428) => 2,
            Some(409 | 410 | 412) => 3,
            Some(404) => 4,
            Some(401 | 403) => 5,
            Some(429 | 503) | None => 6,
            Some(_) => 1,
        };
        Self { code, message: error.to_string() }
    }
}

/// Prints the error once, on stderr.
pub(super) fn report(error: &CliError) -> ExitCode {
    note!("lethe: {error}");
    ExitCode::from(error.code)
}
