//! Where keys are held that nobody may copy: the roots of the key tree, and the key that signs.

use std::collections::BTreeSet;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::Failure;

/// The root keys of one tenant: made, used and destroyed where they cannot be copied from.
///
/// Versions are numbered by the caller (see [`crate::rotation`]). A number that was destroyed and is created again is
/// another key.
#[async_trait]
pub trait Kms: Send + Sync {
    /// Makes the root `version`, durable in every replica before it returns. If it lives already, nothing changes.
    async fn create_root(&self, version: u64) -> Result<(), Failure>;

    /// Wraps `plain` under a root version, bound to `context`.
    async fn wrap(&self, version: u64, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, KmsError>;

    /// Unwraps what [`Kms::wrap`] gave.
    async fn unwrap(&self, version: u64, context: &[u8], wrapped: &[u8]) -> Result<Vec<u8>, KmsError>;

    /// Every version that still lives: one that waits for its destruction does, too.
    async fn versions(&self) -> Result<BTreeSet<u64>, Failure>;

    /// Destroys a version in every replica. Idempotent: one that is gone is [`Destruction::Done`].
    async fn destroy(&self, version: u64) -> Result<Destruction, Failure>;

    /// What kind of KMS this is, and what it can vouch for. Asks nothing.
    fn describe(&self) -> KmsDescription;
}

/// Whether a key is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Destruction {
    /// For good.
    Done,
    /// The KMS keeps it back until then, in case somebody changes his mind: it lives, though it may not be used.
    Scheduled {
        /// When it will be gone for good.
        #[serde(with = "time::serde::rfc3339")]
        at: OffsetDateTime,
    },
}

/// A KMS in words, for its status and for certificates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KmsDescription {
    /// `file`, `pkcs11`, `openbao`.
    pub kind: String,
    /// What stands behind it: maker, model and serial number of a token, version of a server. No secret, no path.
    pub device: String,
    /// Whether its keys can be copied out by whoever administers it.
    pub is_exportable: bool,
    /// What a destruction in it does not prove: one plain sentence.
    pub limits: String,
}

/// Three outcomes that must not be mistaken for each other.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KmsError {
    /// That version was destroyed or never existed here: the KMS answers, and has it not.
    #[error("the KMS has no root version {0}")]
    NoSuchVersion(u64),
    /// The KMS does not answer.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// An Ed25519 public key (RFC 8032).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

/// An Ed25519 signature (RFC 8032).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

/// The key with which a tenant's platform signs checkpoints, certificates and backup manifests. It is held in the KMS,
/// outlives every root, and no erasure touches it.
#[async_trait]
pub trait Signer: Send + Sync {
    /// The public half. The key is made if there is none yet.
    async fn public_key(&self) -> Result<PublicKey, Failure>;

    /// Signs `message`.
    async fn sign(&self, message: &[u8]) -> Result<Signature, Failure>;
}
