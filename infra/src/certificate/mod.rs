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

pub use check::{Checked, verify};
pub use issue::{CertificateParts, Certificates};
pub use page::page;

#[cfg(test)]
mod tests;

/// A certificate has at most this many bytes.
pub const BYTES_MAX: usize = 10_000;
