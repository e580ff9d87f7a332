//! Signs only where the tenant is known to be at home.
//!
//! A KMS makes the signing key at its first use. Where its storage went away (a folder that is not mounted, another server
//! under the same address) it would make another one, and what that signed would be refused for ever after.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use domain::ids::TenantId;
use domain::port::{Failure, Kms, PublicKey, Signature, Signer};

use crate::log::note::is_signed;

/// A signer that asks first whether the tenant has a root there, and sticks to the key that it saw first.
pub(super) struct CarefulSigner {
    pub(super) tenant: TenantId,
    pub(super) kms: Arc<dyn Kms>,
    pub(super) signer: Arc<dyn Signer>,
    pub(super) first: OnceLock<PublicKey>,
}

impl CarefulSigner {
    async fn is_at_home(&self) -> Result<(), Failure> {
        match self.kms.versions().await {
            Ok(versions) if versions.is_empty() => Err(Failure::missing(format!(
                "every root of tenant {} in the KMS, and its signing key with them (do this next: is its folder mounted, is it \
                 the right KMS? Nothing was made anew)",
                self.tenant
            ))),
            // One of two folders away is no reason not to sign; a server that does not answer says so itself.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// The key of this tenant, the same as ever.
    async fn key(&self) -> Result<PublicKey, Failure> {
        let key = self.signer.public_key().await?;
        let first = *self.first.get_or_init(|| key);
        if first == key { Ok(key) } else { Err(self.another()) }
    }

    fn another(&self) -> Failure {
        Failure::damaged(format!("the signing key of tenant {}", self.tenant), "the KMS has another one than before")
    }
}

#[async_trait]
impl Signer for CarefulSigner {
    async fn public_key(&self) -> Result<PublicKey, Failure> {
        self.is_at_home().await?;
        self.key().await
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, Failure> {
        self.is_at_home().await?;
        let key = match self.first.get() {
            Some(key) => *key,
            None => self.key().await?,
        };
        let signature = self.signer.sign(message).await?;
        if is_signed(&key, message, &signature) { Ok(signature) } else { Err(self.another()) }
    }
}
