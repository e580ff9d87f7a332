//! The certificate of an erasure: one signed JSON file that anyone can check without us. `docs/format.md` says every
//! member, `docs/certificate.md` how to read and check one.
//!
//! - [`Certificates`] issues. [`verify`] checks, offline. [`page`] shows one to people.
//! - [`body`]: what it says. [`canonical`]: its one spelling (RFC 8785).

pub mod body;
pub mod canonical;
mod check;
mod issue;
mod page;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use domain::ids::InvalidId;
use domain::port::PublicKey;

pub use check::{Checked, verify};
pub use issue::{CertificateParts, Certificates};
pub use page::page;

#[cfg(test)]
mod tests;

/// A public key as text: what certificates name and `--trust` takes (base64 of its 32 bytes).
pub fn public_key_text(key: &PublicKey) -> String {
    BASE64.encode(key.0)
}

/// The inverse of [`public_key_text`].
///
/// # Errors
/// The text is none.
pub fn parse_public_key(text: &str) -> Result<PublicKey, InvalidId> {
    let bytes = BASE64.decode(text).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    bytes
        .map(PublicKey)
        .ok_or(InvalidId { kind: "public key", rule: "44 characters of base64, as `lethe kms status` prints it" })
}

/// A certificate has at most this many bytes.
pub const BYTES_MAX: usize = 10_000;
