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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::kms::{FileKms, MemoryKms};

    fn tenant() -> TenantId {
        "acme".parse().expect("valid")
    }

    fn careful(kms: Arc<dyn Kms>, signer: Arc<dyn Signer>) -> CarefulSigner {
        CarefulSigner { tenant: tenant(), kms, signer, first: OnceLock::new() }
    }

    #[tokio::test]
    async fn no_signing_key_is_made_where_the_tenant_has_no_root() {
        let kms = Arc::new(MemoryKms::new(tenant()));
        let signer = careful(kms.clone(), kms.clone());
        let refused = signer.public_key().await;
        assert!(matches!(refused, Err(Failure::Missing { .. })), "{refused:?}");
        assert!(signer.sign(b"text").await.is_err());
        kms.create_root(1).await.expect("a root");
        let key = signer.public_key().await.expect("at home");
        assert!(is_signed(&key, b"text", &signer.sign(b"text").await.expect("signed")));
    }

    #[tokio::test]
    async fn a_folder_that_is_gone_gets_no_new_signing_key_and_a_key_that_changed_is_damage() {
        let folder = std::env::temp_dir().join(format!("lethe-careful-{}", std::process::id()));
        let kms = Arc::new(FileKms::new(&folder, &tenant()));
        let signer = careful(kms.clone(), kms.clone());
        kms.create_root(1).await.expect("a root");
        let key = signer.public_key().await.expect("at home");
        let away = folder.with_extension("away");
        std::fs::rename(&folder, &away).expect("unmounted");
        assert!(signer.sign(b"text").await.is_err());
        assert!(!folder.exists(), "nothing was made in its place");
        std::fs::rename(&away, &folder).expect("mounted again");
        assert_eq!(signer.public_key().await.expect("back"), key);
        for copy in ["a", "b"] {
            std::fs::remove_file(folder.join(copy).join("acme").join("signing.key")).expect("there");
        }
        let other = signer.sign(b"text").await;
        assert!(matches!(other, Err(Failure::Damaged { .. })), "{other:?}");
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
