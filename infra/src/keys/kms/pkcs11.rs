//! Roots in a token behind PKCS#11: an HSM, or SoftHSM for tests.
//!
//! One AES-256 key a version, labelled `lethe-<tenant>-root-<version>`, made in the token and never out of it. The
//! standard lets two keys have one label, so each has an id of its own, every wrapped thing names the id of the key
//! that wraps it, and a destruction destroys whatever bears the label.

mod roots;
mod session;
mod signing;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::ids::TenantId;
use domain::port::{Destruction, Failure, Kms, KmsDescription, KmsError, PublicKey, Signature, Signer};
use zeroize::Zeroizing;

use super::config::KmsOpenError;
use super::secret::SecretSource;
use session::Token;

/// How long a token may take. Its calls cannot be broken off, but whoever waits for them can stop waiting.
const PATIENCE: Duration = Duration::from_secs(30);

const SOFT_LIMITS: &str = "\
A software token keeps its objects in files: it proves the protocol, not the destruction.";
const HARD_LIMITS: &str = "\
That a destroyed key is gone rests on the token's word, and copies that its vendor's tools made, backups and replicas, \
keep the key until they are destroyed too.";

/// Which token of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenChoice {
    /// The one with this label.
    Label(String),
    /// The one in this slot.
    Slot(u64),
}

impl fmt::Display for TokenChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(label) => write!(f, "token={label}"),
            Self::Slot(slot) => write!(f, "slot={slot}"),
        }
    }
}

/// A token and how to get into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pkcs11Module {
    /// The vendor's library.
    pub path: PathBuf,
    /// Which token.
    pub token: TokenChoice,
    /// The user's PIN.
    pub pin: SecretSource,
}

/// The token of one tenant.
#[derive(Clone)]
pub struct Pkcs11Kms(Arc<Token>);

impl fmt::Debug for Pkcs11Kms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pkcs11Kms").field(&self.0.device).finish()
    }
}

impl Pkcs11Kms {
    /// The roots of `tenant` in a token.
    ///
    /// # Errors
    /// If module or token is not there, does not let us in, or cannot do what is needed.
    pub async fn open(module: Pkcs11Module, tenant: &TenantId) -> Result<Self, KmsOpenError> {
        let tenant = tenant.clone();
        let opened = tokio::task::spawn_blocking(move || Token::open(module, tenant)).await;
        let opened = opened.map_err(|error| Failure::unavailable("PKCS#11 token", error))?;
        opened.map(|token| Self(Arc::new(token)))
    }

    #[cfg(test)]
    pub(super) fn end_sessions(&self) {
        self.0.end_sessions();
    }

    async fn run<T: Send + 'static, E: From<Failure> + Send + 'static>(
        &self,
        work: impl FnOnce(&Token) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let token = self.0.clone();
        match tokio::time::timeout(PATIENCE, tokio::task::spawn_blocking(move || work(&token))).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => Err(Failure::unavailable("PKCS#11 token", error).into()),
            Err(_) => Err(Failure::unavailable("PKCS#11 token", "it does not answer in time").into()),
        }
    }
}

#[async_trait]
impl Kms for Pkcs11Kms {
    async fn create_root(&self, version: u64) -> Result<(), Failure> {
        self.run(move |token| token.create_root(version)).await
    }

    async fn wrap(&self, version: u64, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, KmsError> {
        let (context, plain) = (context.to_vec(), Zeroizing::new(plain.to_vec()));
        self.run(move |token| token.wrap(version, &context, &plain)).await
    }

    async fn unwrap(&self, version: u64, context: &[u8], wrapped: &[u8]) -> Result<Vec<u8>, KmsError> {
        let (context, wrapped) = (context.to_vec(), wrapped.to_vec());
        self.run(move |token| token.unwrap(version, &context, &wrapped)).await
    }

    async fn versions(&self) -> Result<BTreeSet<u64>, Failure> {
        self.run(Token::versions).await
    }

    async fn destroy(&self, version: u64) -> Result<Destruction, Failure> {
        self.run(move |token| token.destroy(version)).await.map(|()| Destruction::Done)
    }

    fn describe(&self) -> KmsDescription {
        KmsDescription {
            kind: "pkcs11".to_owned(),
            device: self.0.device.clone(),
            is_exportable: self.0.is_exportable(),
            limits: if self.0.device.contains("SoftHSM") { SOFT_LIMITS } else { HARD_LIMITS }.to_owned(),
        }
    }
}

#[async_trait]
impl Signer for Pkcs11Kms {
    async fn public_key(&self) -> Result<PublicKey, Failure> {
        self.run(Token::public_key).await
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, Failure> {
        let message = message.to_vec();
        self.run(move |token| token.sign(&message)).await
    }
}
