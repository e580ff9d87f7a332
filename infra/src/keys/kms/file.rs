//! Secrets in files: two folders, one file a secret in each.
//!
//! `<kms-dir>/<a|b>/<tenant>/root-<version>.key` holds 32 random bytes and a checksum, `signing.key` the seed of the
//! key that signs. Destroying renames a file to `.dying` in both folders, then overwrites and unlinks both: so a
//! destruction that was interrupted is never taken for a copy that was lost.

mod disk;
mod folders;
mod place;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use domain::ids::TenantId;
use domain::port::{Destruction, Failure, Kms, KmsDescription, KmsError, PublicKey, Signature, Signer};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use zeroize::Zeroizing;

use super::{unwrap, wrap};
use folders::{Folders, Secret};

pub use place::{KmsDirError, refuse_inside};

/// What whoever uses this KMS must know.
pub const FILE_KMS_WARNING: &str = "\
Root keys are files. Destroying one overwrites and unlinks it in both folders, but a flash disk may keep the old \
sectors, and a snapshot, a backup or a copy of the folder keeps the file: then an old copy of the key tree can be \
opened again. Keep the folder out of snapshots and backups, on a disk that is encrypted or that you destroy, or use \
an HSM.";

/// The file KMS of one tenant.
#[derive(Debug, Clone)]
pub struct FileKms(Arc<Folders>);

impl FileKms {
    /// The roots of `tenant` below `kms_dir`. Touches nothing yet.
    pub fn new(kms_dir: &Path, tenant: &TenantId) -> Self {
        Self(Arc::new(Folders::new(kms_dir, tenant)))
    }

    /// Files are slow and their calls block: they run where that harms nobody.
    async fn run<T: Send + 'static, E: From<Failure> + Send + 'static>(
        &self,
        work: impl FnOnce(&Folders) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let folders = self.0.clone();
        match tokio::task::spawn_blocking(move || work(&folders)).await {
            Ok(result) => result,
            Err(error) => Err(Failure::unavailable("file KMS", error).into()),
        }
    }
}

#[async_trait]
impl Kms for FileKms {
    async fn create_root(&self, version: u64) -> Result<(), Failure> {
        self.run(move |folders| folders.create(Secret::Root(version)).map(drop)).await
    }

    async fn wrap(&self, version: u64, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, KmsError> {
        let (context, plain) = (context.to_vec(), Zeroizing::new(plain.to_vec()));
        self.run(move |folders| Ok(wrap(&folders.root(version)?, &folders.tenant, version, &context, &plain))).await
    }

    async fn unwrap(&self, version: u64, context: &[u8], wrapped: &[u8]) -> Result<Vec<u8>, KmsError> {
        let (context, wrapped) = (context.to_vec(), wrapped.to_vec());
        self.run(move |folders| unwrap(&folders.root(version)?, &folders.tenant, version, &context, &wrapped)).await
    }

    async fn versions(&self) -> Result<BTreeSet<u64>, Failure> {
        self.run(Folders::versions).await
    }

    async fn destroy(&self, version: u64) -> Result<Destruction, Failure> {
        self.run(move |folders| folders.destroy(version)).await.map(|()| Destruction::Done)
    }

    fn describe(&self) -> KmsDescription {
        KmsDescription {
            kind: "file".to_owned(),
            device: "two folders".to_owned(),
            is_exportable: true,
            limits: FILE_KMS_WARNING.to_owned(),
        }
    }
}

#[async_trait]
impl Signer for FileKms {
    async fn public_key(&self) -> Result<PublicKey, Failure> {
        self.run(|folders| signing_key(folders).map(|pair| public_key(&pair))).await
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, Failure> {
        let message = message.to_vec();
        self.run(move |folders| signature(&signing_key(folders)?, &message)).await
    }
}

fn signing_key(folders: &Folders) -> Result<Ed25519KeyPair, Failure> {
    // Looked for first: one folder that is not mounted is no reason not to sign.
    let seed = match folders.get(Secret::Signing) {
        Ok(Some(seed)) => seed,
        Ok(None) | Err(KmsError::Failed(Failure::Unavailable { .. })) => folders.create(Secret::Signing)?,
        Err(KmsError::Failed(failure)) => return Err(failure),
        Err(error @ KmsError::NoSuchVersion(_)) => return Err(Failure::missing(error)),
    };
    Ed25519KeyPair::from_seed_unchecked(seed.expose()).map_err(|error| Failure::damaged("the signing key", error))
}

pub(super) fn public_key(pair: &Ed25519KeyPair) -> PublicKey {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(pair.public_key().as_ref());
    PublicKey(bytes)
}

pub(super) fn signature(pair: &Ed25519KeyPair, message: &[u8]) -> Result<Signature, Failure> {
    let bytes = pair.sign(message).as_ref().try_into();
    bytes.map(Signature).map_err(|_| Failure::damaged("a signature", "it is not 64 bytes"))
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
