//! What holds the root keys.

mod file;
mod memory;

use domain::ids::TenantId;
use domain::port::{Failure, KmsError};

pub use file::{FILE_KMS_WARNING, FileKms, KmsDirError, refuse_inside};
pub use memory::MemoryKms;

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
        .map_err(|fault| Failure::damaged(format!("what root version {version} wraps"), fault).into())
}

fn aad(tenant: &TenantId, version: u64, context: &[u8]) -> Vec<u8> {
    label_bytes("lethe/root/v1", tenant.as_str(), version, context)
}
