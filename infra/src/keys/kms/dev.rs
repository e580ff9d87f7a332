//! Key stores of one's own, for drills and tests: a SoftHSM token in a folder, an OpenBao server on loopback.
//!
//! They are real, and good for nothing else: their PINs, tokens and unseal keys lie beside the data. `lethe serve`
//! never starts one.

mod openbao;
mod softhsm;

pub use openbao::OpenBao;
pub use softhsm::SoftHsm;

/// Why there is no key store to try things on. The message says what to do next.
#[derive(Debug, thiserror::Error)]
#[error("{what}; do this next: {next}")]
pub struct DevKmsError {
    what: String,
    next: String,
}

impl DevKmsError {
    fn new(what: impl std::fmt::Display, next: impl Into<String>) -> Self {
        Self { what: what.to_string(), next: next.into() }
    }
}

/// A secret for a key store of one's own: digits and letters.
fn random_secret() -> String {
    let mut bytes = [0; 12];
    crate::chance::fill_random(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a file that only this user may read.
fn write_private(path: &std::path::Path, text: &str) -> Result<(), DevKmsError> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| DevKmsError::new(format!("cannot write {}: {error}", path.display()), "check the folder"))
}
