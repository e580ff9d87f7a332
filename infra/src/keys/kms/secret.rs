//! Where a PIN or a token comes from. Never from a command line, which everybody on the machine can read.

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

/// The place of a secret. It is read anew whenever it is needed, so that it may be replaced while we run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A file that holds it and nothing else; an end of line behind it is no part of it.
    File(PathBuf),
    /// The name of an environment variable.
    Environment(String),
}

impl SecretSource {
    /// The secret. The message of an error names the place, never what is there.
    pub(super) fn read(&self) -> Result<Zeroizing<String>, String> {
        let text = match self {
            Self::File(path) => {
                std::fs::read_to_string(path).map_err(|error| format!("cannot read {self}: {error}"))?
            }
            Self::Environment(name) => std::env::var(name).map_err(|_| format!("{self} is not set"))?,
        };
        let text = Zeroizing::new(text);
        let secret = Zeroizing::new(text.trim_end_matches(['\n', '\r']).to_owned());
        if secret.is_empty() { Err(format!("{self} is empty")) } else { Ok(secret) }
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Environment(name) => write!(f, "the environment variable {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_without_its_end_of_line_and_what_is_missing_is_named() {
        let folder = crate::keys::kms::contract::Scratch::new();
        let file = folder.path().join("pin");
        std::fs::write(&file, "12 34\r\n").expect("written");
        assert_eq!(SecretSource::File(file.clone()).read().expect("a secret").as_str(), "12 34");
        std::fs::write(&file, "\n").expect("written");
        let empty = SecretSource::File(file).read().expect_err("nothing");
        assert!(empty.ends_with("pin is empty"), "{empty}");
        let unset = SecretSource::Environment("LETHE_NOT_SET".into()).read().expect_err("nothing");
        assert_eq!(unset, "the environment variable LETHE_NOT_SET is not set");
    }
}
