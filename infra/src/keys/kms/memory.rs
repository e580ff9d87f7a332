//! Roots in memory, for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use async_trait::async_trait;
use domain::ids::TenantId;
use domain::port::{Destruction, Failure, Kms, KmsDescription, KmsError, PublicKey, Signature, Signer};
use ring::signature::Ed25519KeyPair;

use super::file::{public_key, signature};
use super::{unwrap, wrap};
use crate::keys::Key;

/// A KMS that forgets everything when it is dropped.
#[derive(Debug)]
pub struct MemoryKms {
    tenant: TenantId,
    roots: Mutex<Roots>,
}

#[derive(Debug, Clone, Default)]
struct Roots {
    live: BTreeMap<u64, Key>,
    signing: Option<Key>,
}

impl MemoryKms {
    /// A KMS without roots.
    pub fn new(tenant: TenantId) -> Self {
        Self { tenant, roots: Mutex::default() }
    }

    /// A KMS with one root, known to the test.
    #[cfg(test)]
    pub(crate) fn whose_first_root_is(tenant: TenantId, root: Key) -> Self {
        Self { tenant, roots: Mutex::new(Roots { live: BTreeMap::from([(1, root)]), signing: None }) }
    }

    /// Another KMS that begins as this one is now.
    #[cfg(test)]
    pub(crate) fn fork(&self) -> Self {
        Self { tenant: self.tenant.clone(), roots: Mutex::new(self.roots().clone()) }
    }

    fn roots(&self) -> std::sync::MutexGuard<'_, Roots> {
        self.roots.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn root(&self, version: u64) -> Result<Key, KmsError> {
        self.roots().live.get(&version).cloned().ok_or(KmsError::NoSuchVersion(version))
    }

    fn signing_key(&self) -> Result<Ed25519KeyPair, Failure> {
        let seed = self.roots().signing.get_or_insert_with(Key::random).clone();
        Ed25519KeyPair::from_seed_unchecked(seed.expose()).map_err(|error| Failure::damaged("the signing key", error))
    }
}

#[async_trait]
impl Kms for MemoryKms {
    async fn create_root(&self, version: u64) -> Result<(), Failure> {
        self.roots().live.entry(version).or_insert_with(Key::random);
        Ok(())
    }

    async fn wrap(&self, version: u64, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, KmsError> {
        Ok(wrap(&self.root(version)?, &self.tenant, version, context, plain))
    }

    async fn unwrap(&self, version: u64, context: &[u8], wrapped: &[u8]) -> Result<Vec<u8>, KmsError> {
        unwrap(&self.root(version)?, &self.tenant, version, context, wrapped)
    }

    async fn versions(&self) -> Result<BTreeSet<u64>, Failure> {
        Ok(self.roots().live.keys().copied().collect())
    }

    async fn destroy(&self, version: u64) -> Result<Destruction, Failure> {
        self.roots().live.remove(&version);
        Ok(Destruction::Done)
    }

    fn describe(&self) -> KmsDescription {
        KmsDescription {
            kind: "memory".to_owned(),
            device: "this process".to_owned(),
            is_exportable: true,
            limits: "It forgets everything when the process ends: for tests only.".to_owned(),
        }
    }
}

#[async_trait]
impl Signer for MemoryKms {
    async fn public_key(&self) -> Result<PublicKey, Failure> {
        Ok(public_key(&self.signing_key()?))
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, Failure> {
        signature(&self.signing_key()?, message)
    }
}
