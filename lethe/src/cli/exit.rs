//! How a run ends, for scripts.

use std::fmt;
use std::process::ExitCode;

use domain::port::Failure;
use infra::backup::BackupError;

use super::client::ApiError;

/// Shown at the end of `--help`.
pub(super) const HELP: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage or input, 3 conflict, 4 not found, 5 denied, 6 not available, 7 done in part.";

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

    /// It was done, but for some of it that was refused.
    pub fn in_part(message: impl fmt::Display) -> Self {
        Self { code: 7, message: message.to_string() }
    }

    /// The same, with what was under way.
    pub(crate) fn during(self, what: impl fmt::Display) -> Self {
        Self { code: self.code, message: format!("{what}: {}", self.message) }
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        self.code
    }
}

impl CliError {
    /// There is no such thing.
    pub fn not_found(message: impl fmt::Display) -> Self {
        Self { code: 4, message: message.to_string() }
    }

    /// What the platform answered, by its HTTP status; none: it did not answer.
    pub(crate) fn answered(status: Option<u16>, message: impl fmt::Display) -> Self {
        let code = match status {
            Some(400 | 413 | 415 | 422 | 428) => 2,
            Some(409 | 410 | 412) => 3,
            Some(404) => 4,
            Some(401 | 403) => 5,
            Some(429 | 503) | None => 6,
            Some(_) => 1,
        };
        Self { code, message: message.to_string() }
    }
}

impl CliError {
    /// The HTTP status that says the same.
    pub(crate) fn status(&self) -> u16 {
        match self.code {
            2 => 400,
            3 => 409,
            4 => 404,
            5 => 403,
            6 => 503,
            _ => 500,
        }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ApiError> for CliError {
    fn from(error: ApiError) -> Self {
        Self::answered(error.status, error)
    }
}

/// The operator may see the cause: it is their machine.
impl From<Failure> for CliError {
    fn from(failure: Failure) -> Self {
        match &failure {
            Failure::Unavailable { cause, .. } => Self::unavailable(format!("{failure}: {cause}")),
            Failure::Missing { .. } => Self::unavailable(failure),
            Failure::Damaged { .. } => Self { code: 1, message: failure.to_string() },
        }
    }
}

/// A backup that is refused, or that the identity does not open, is input that is not usable.
impl From<BackupError> for CliError {
    fn from(error: BackupError) -> Self {
        match &error {
            BackupError::Failed(Failure::Unavailable { .. } | Failure::Missing { .. }) => Self::unavailable(error),
            BackupError::NoSuchTenant(_) | BackupError::NoSuchBackup(_) | BackupError::NoSuchJournal(_) => {
                Self::not_found(error)
            }
            BackupError::Exists(_) | BackupError::Occupied { .. } => Self::conflict(error),
            BackupError::NoRecipients
            | BackupError::BadId(_)
            | BackupError::Refused { .. }
            | BackupError::NewestRefused { .. }
            | BackupError::Chunk { .. }
            | BackupError::WrongIdentity { .. }
            | BackupError::Failed(Failure::Damaged { .. }) => Self::input(error),
            _ => Self { code: 1, message: error.to_string() },
        }
    }
}

/// Prints the error once, on stderr.
pub(super) fn report(error: &CliError) -> ExitCode {
    note!("lethe: {error}");
    ExitCode::from(error.code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::StartError;

    fn unavailable() -> Failure {
        Failure::unavailable("the KMS", "it is away")
    }

    #[test]
    fn every_answer_of_the_platform_has_the_code_that_the_help_promises() {
        for (status, code) in [(400, 2), (409, 3), (412, 3), (410, 3), (404, 4), (401, 5), (403, 5), (503, 6), (500, 1)]
        {
            assert_eq!(CliError::answered(Some(status), "").code(), code, "{status}");
        }
        assert_eq!(CliError::answered(None, "").code(), 6, "no answer");
        for code in 1..=6 {
            let error = CliError { code, message: String::new() };
            assert_eq!(CliError::answered(Some(error.status()), "").code(), code, "there and back");
        }
    }

    #[test]
    fn a_backup_that_is_not_there_is_not_found_and_one_that_is_out_of_reach_is_unavailable() {
        let id = || "b-1".to_owned();
        for (error, code) in [
            (BackupError::NoSuchBackup(id()), 4),
            (BackupError::Exists(id()), 3),
            (BackupError::Refused { name: id(), detail: String::new() }, 2),
            (BackupError::WrongIdentity { recipients: Vec::new() }, 2),
            (BackupError::Failed(unavailable()), 6),
        ] {
            let said = error.to_string();
            assert_eq!(CliError::from(error).code(), code, "{said}");
        }
    }

    /// A platform that was started for one command answers as one that serves.
    #[test]
    fn what_keeps_a_platform_from_starting_has_one_code_whoever_asked() {
        let tenant = || "acme".parse().expect("valid");
        for (error, code) in [
            (StartError::NoSuchTenant { tenant: tenant() }, 4),
            (StartError::Refused { code: "restore-refused", detail: String::new() }, 3),
            (StartError::OffSiteInside, 2),
            (StartError::Failed(unavailable()), 6),
        ] {
            let said = error.to_string();
            assert_eq!(CliError::from(ApiError::from(error)).code(), code, "{said}");
        }
        assert_eq!(CliError::from(StartError::NoSuchTenant { tenant: tenant() }).code(), 4);
    }
}
