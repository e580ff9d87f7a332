//! What holds the root keys, and the key that signs.
//!
//! - [`FileKms`]: files in two folders. [`Pkcs11Kms`]: an HSM. [`OpenBaoKms`]: the transit engine of an OpenBao server.
//! - [`KmsConfig`] says which, and opens it for a tenant.
//! - [`dev`]: a SoftHSM token and an OpenBao server of one's own, for drills and tests.

mod careful;
mod config;
pub mod dev;
mod file;
mod memory;
mod openbao;
mod pkcs11;
mod secret;

#[cfg(test)]
pub(in crate::keys) mod contract;

use domain::ids::TenantId;
use domain::port::{Failure, KmsError};

pub use config::{KmsConfig, KmsConfigError, KmsOpenError, OpenKms};
pub use file::{FILE_KMS_WARNING, FileKms, KmsDirError, refuse_inside};
pub use memory::MemoryKms;
pub use openbao::{OpenBaoAddress, OpenBaoKms};
pub use pkcs11::{Pkcs11Kms, Pkcs11Module, TokenChoice};
pub use secret::SecretSource;

use super::key::Key;
use crate::frame::label_bytes;
use crate::seal::{Nonce, open, seal};

fn kid(version: u64) -> String {
    format!("root/{version}")
}

/// Wraps under a root that is held in software: a COSE_Encrypt0 bound to tenant, version and context.
fn wrap(root: &Key, tenant: &TenantId, version: u64, context: &[u8], plain: &[u8]) -> Vec<u8> {
    seal(root, Nonce::random(), &kid(version), &aad(tenant, version, context), plain)
}

fn unwrap(root: &Key, tenant: &TenantId, version: u64, context: &[u8], wrapped: &[u8]) -> Result<Vec<u8>, KmsError> {
    open(root, &kid(version), &aad(tenant, version, context), wrapped)
        .map(|plain| plain.to_vec())
        .map_err(|fault| Failure::damaged(wrapped_by(version), fault).into())
}

fn aad(tenant: &TenantId, version: u64, context: &[u8]) -> Vec<u8> {
    label_bytes("lethe/root/v1", tenant.as_str(), version, context)
}

fn wrapped_by(version: u64) -> String {
    format!("what root version {version} wraps")
}

/// The name of a root in a KMS that others use too.
fn root_name(tenant: &TenantId, version: u64) -> String {
    format!("lethe-{tenant}-root-{version}")
}

/// The name of the key that signs.
fn signing_name(tenant: &TenantId) -> String {
    format!("lethe-{tenant}-signing")
}

/// The version in the name of a root of this tenant, if it is one.
fn version_in(tenant: &TenantId, name: &str) -> Option<u64> {
    version(name.strip_prefix("lethe-")?.strip_prefix(tenant.as_str())?.strip_prefix("-root-")?)
}

/// A version as it is written: no sign, no leading zero.
fn version(text: &str) -> Option<u64> {
    text.parse().ok().filter(|version: &u64| version.to_string() == text)
}

/// A KMS that answers, and knows nothing of this tenant: the wrong one, or one that lost everything. Not an answer
/// about any root.
fn stranger(kind: &str, tenant: &TenantId) -> Failure {
    Failure::missing(format!(
        "the signing key of tenant {tenant} in the {kind} KMS, which every root is made after (do this next: check \
         that this is the KMS in which the tenant was created)"
    ))
}
