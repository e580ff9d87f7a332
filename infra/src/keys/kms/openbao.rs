//! Roots in the transit engine of an OpenBao server.
//!
//! One transit key a version, `lethe-<tenant>-root-<version>`, which never leaves the server; `lethe-<tenant>-signing`
//! signs. Whether a root is there is only ever answered by asking for the key itself: an error's text decides nothing.

mod client;

use std::collections::BTreeSet;
use std::path::Path;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::ids::TenantId;
use domain::port::{Destruction, Failure, Kms, KmsDescription, KmsError, PublicKey, Signature, Signer};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::config::KmsOpenError;
use super::secret::SecretSource;
use super::{aad, root_name, signing_name, stranger, version_in, wrapped_by};
use client::{Answer, Client};

pub use client::OpenBaoAddress;

const LIMITS: &str = "\
A deleted key is gone from the server, but its snapshots and backups, and its storage until it is compacted, hold the \
key, encrypted under the server's own, until they are destroyed or expire; whoever may administer the server can \
change that a key may not be exported.";

/// The OpenBao KMS of one tenant.
#[derive(Debug, Clone)]
pub struct OpenBaoKms {
    tenant: TenantId,
    client: Client,
    device: String,
}

impl OpenBaoKms {
    /// The roots of `tenant` in the transit engine at `mount`.
    ///
    /// # Errors
    /// If the server does not answer or does not let us in, or the engine makes keys whenever one is used.
    pub async fn open(
        address: &OpenBaoAddress,
        mount: &str,
        token: SecretSource,
        tenant: &TenantId,
    ) -> Result<Self, KmsOpenError> {
        let client = Client::new(address, mount, token)?;
        let version = client.version().await.map_err(|failure| cannot_open(address, &failure))?;
        let kms = Self { tenant: tenant.clone(), client, device: format!("OpenBao {version}, transit engine") };
        kms.refuse_upserts(address, mount).await?;
        Ok(kms)
    }

    /// A transit engine makes a key when one is used that is not there, unless it is told not to: then a root that
    /// was destroyed would come back as another one.
    async fn refuse_upserts(&self, address: &OpenBaoAddress, mount: &str) -> Result<(), KmsOpenError> {
        let refuses = |answer: &Answer| answer.data["disable_upsert"] == json!(true);
        let failed = |failure: Failure| cannot_open(address, &failure);
        let asked = self.client.get("config/keys").await.map_err(failed)?;
        if asked.status == 404 {
            let next = format!("enable it with `bao secrets enable -path={mount} transit`, or correct mount=");
            return Err(KmsOpenError::new(format!("OpenBao has no transit engine at {mount}"), next));
        }
        if refuses(&asked) {
            return Ok(());
        }
        let told = self.client.post("config/keys", &json!({ "disable_upsert": true })).await;
        match (told, self.client.get("config/keys").await.map_err(failed)?) {
            (_, now) if refuses(&now) => Ok(()),
            (told, _) => {
                let said = told.map_or_else(|failure| cause(&failure), |answer| cause(&answer.unexpected()));
                let what = format!(
                    "the transit engine at {mount} makes a key whenever one is used, and will not change that: {said}"
                );
                Err(KmsOpenError::new(what, format!("run `bao write {mount}/config/keys disable_upsert=true`")))
            }
        }
    }

    /// What the server says about a key; none if it answers and has it not.
    async fn look(&self, name: &str) -> Result<Option<Value>, Failure> {
        let answer = self.client.get(&format!("keys/{name}")).await?;
        match answer.status {
            200 => Ok(Some(answer.data)),
            404 if answer.says_nothing => Ok(None),
            _ => Err(answer.unexpected()),
        }
    }

    /// Refuses to speak about roots where this tenant was never at home.
    async fn be_known(&self) -> Result<(), Failure> {
        match self.look(&signing_name(&self.tenant)).await? {
            Some(_) => Ok(()),
            None => Err(stranger("openbao", &self.tenant)),
        }
    }

    /// Makes a key that cannot be exported, if it is not there, and looks at what is there then.
    async fn ensure(&self, name: &str, kind: &str) -> Result<Value, Failure> {
        if self.look(name).await?.is_none() {
            tracing::trace!(target: "failpoint", at = "kms-openbao-before-create");
            let wanted = json!({ "type": kind, "exportable": false, "allow_plaintext_backup": false });
            let answer = self.client.post(&format!("keys/{name}"), &wanted).await?;
            if !(200..300).contains(&answer.status) {
                return Err(answer.unexpected());
            }
            tracing::trace!(target: "failpoint", at = "kms-openbao-created");
        }
        let key = self.look(name).await?.ok_or_else(|| Failure::missing(format!("{name} right after it was made")))?;
        let unfit = |detail: &str| Err(Failure::damaged(format!("{name} in OpenBao"), detail));
        match &key {
            key if key["type"] != json!(kind) => unfit("it is a key of another type"),
            key if key["exportable"] != json!(false) || key["allow_plaintext_backup"] != json!(false) => {
                unfit("it can be exported")
            }
            key if key["imported_key"] == json!(true) => unfit("it was brought in from outside"),
            key if key["soft_deleted"] == json!(true) => unfit("it is soft-deleted: restore it, or delete it for good"),
            _ => Ok(key),
        }
    }

    /// Encrypts or decrypts. A refusal is looked into: no such root, or one that this was not wrapped by.
    async fn use_root(&self, verb: &str, version: u64, body: &Value) -> Result<Answer, KmsError> {
        let name = root_name(&self.tenant, version);
        let answer = self.client.post(&format!("{verb}/{name}"), body).await?;
        if answer.status == 200 {
            return Ok(answer);
        }
        match self.look(&name).await? {
            None => {
                self.be_known().await?;
                Err(KmsError::NoSuchVersion(version))
            }
            Some(key) if key["soft_deleted"] == json!(true) => {
                let cause = format!("{name} is soft-deleted: restore it, or delete it for good");
                Err(Failure::unavailable("OpenBao", cause).into())
            }
            Some(_) if answer.status == 400 => {
                Err(Failure::damaged(wrapped_by(version), "it was not wrapped so, under this root").into())
            }
            Some(_) => Err(answer.unexpected().into()),
        }
    }

    fn body(&self, version: u64, context: &[u8], field: &str, value: &str) -> Value {
        json!({ field: value, "associated_data": STANDARD.encode(aad(&self.tenant, version, context)) })
    }
}

#[async_trait]
impl Kms for OpenBaoKms {
    async fn create_root(&self, version: u64) -> Result<(), Failure> {
        // First the key that says that this tenant is at home here.
        self.ensure(&signing_name(&self.tenant), "ed25519").await?;
        self.ensure(&root_name(&self.tenant, version), "aes256-gcm96").await.map(drop)
    }

    async fn wrap(&self, version: u64, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, KmsError> {
        let plain = Zeroizing::new(STANDARD.encode(plain));
        let answer = self.use_root("encrypt", version, &self.body(version, context, "plaintext", &plain)).await?;
        Ok(answer.text("ciphertext")?.as_bytes().to_vec())
    }

    async fn unwrap(&self, version: u64, context: &[u8], wrapped: &[u8]) -> Result<Vec<u8>, KmsError> {
        let wrapped = String::from_utf8_lossy(wrapped);
        let answer = self.use_root("decrypt", version, &self.body(version, context, "ciphertext", &wrapped)).await?;
        let plain = Zeroizing::new(answer.text("plaintext")?.to_owned());
        Ok(STANDARD.decode(plain.as_bytes()).map_err(|error| Failure::damaged(wrapped_by(version), error))?)
    }

    async fn versions(&self) -> Result<BTreeSet<u64>, Failure> {
        let answer = self.client.get("keys?list=true").await?;
        match answer.status {
            200 => {
                let names = answer.data["keys"].as_array().ok_or_else(|| answer.unexpected())?;
                Ok(names.iter().filter_map(|name| version_in(&self.tenant, name.as_str()?)).collect())
            }
            404 if answer.says_nothing => Ok(BTreeSet::new()),
            _ => Err(answer.unexpected()),
        }
    }

    async fn destroy(&self, version: u64) -> Result<Destruction, Failure> {
        let name = root_name(&self.tenant, version);
        if self.look(&name).await?.is_none() {
            return self.be_known().await.map(|()| Destruction::Done);
        }
        tracing::trace!(target: "failpoint", at = "kms-openbao-before-destroy");
        self.client.post(&format!("keys/{name}/config"), &json!({ "deletion_allowed": true })).await?;
        tracing::trace!(target: "failpoint", at = "kms-openbao-deletion-allowed");
        let answer = self.client.delete(&format!("keys/{name}")).await?;
        // Somebody else may have been faster, so what counts is what is there now.
        match self.look(&name).await? {
            None => {
                tracing::trace!(target: "failpoint", at = "kms-openbao-destroyed");
                Ok(Destruction::Done)
            }
            Some(_) => Err(answer.unexpected()),
        }
    }

    fn describe(&self) -> KmsDescription {
        KmsDescription {
            kind: "openbao".to_owned(),
            device: self.device.clone(),
            is_exportable: false,
            limits: LIMITS.to_owned(),
        }
    }
}

#[async_trait]
impl Signer for OpenBaoKms {
    async fn public_key(&self) -> Result<PublicKey, Failure> {
        let name = signing_name(&self.tenant);
        let key = self.ensure(&name, "ed25519").await?;
        // The first for ever: whoever rotates it must not change who signs.
        let text = key["keys"]["1"]["public_key"].as_str().unwrap_or_default();
        let bytes = STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(PublicKey).ok_or_else(|| Failure::damaged(name, "the server tells no public key of its version 1"))
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, Failure> {
        let name = signing_name(&self.tenant);
        let body = json!({ "input": STANDARD.encode(message), "key_version": 1 });
        let mut answer = self.client.post(&format!("sign/{name}"), &body).await?;
        if answer.status != 200 {
            self.ensure(&name, "ed25519").await?;
            answer = self.client.post(&format!("sign/{name}"), &body).await?;
        }
        if answer.status != 200 {
            return Err(answer.unexpected());
        }
        let text = answer.text("signature")?;
        let bytes = text.rsplit(':').next().and_then(|text| STANDARD.decode(text).ok()?.try_into().ok());
        bytes.map(Signature).ok_or_else(|| Failure::damaged("a signature of OpenBao", "it is not 64 bytes"))
    }
}

fn cause(failure: &Failure) -> String {
    match failure {
        Failure::Unavailable { cause, .. } => cause.clone(),
        other => other.to_string(),
    }
}

fn cannot_open(address: &OpenBaoAddress, failure: &Failure) -> KmsOpenError {
    let next = "check that the server runs, is unsealed, and that the token may use the transit engine (docs/kms.md)";
    KmsOpenError::new(format!("OpenBao at {} cannot be used: {}", address.url(), cause(failure)), next)
}

/// A certificate authority in a file.
fn certificates(file: &Path) -> Result<Vec<reqwest::Certificate>, KmsOpenError> {
    let bad = |error: &dyn std::fmt::Display| {
        let next = "give a file with certificates in PEM";
        KmsOpenError::new(format!("cannot take certificates from {}: {error}", file.display()), next)
    };
    let text = std::fs::read(file).map_err(|error| bad(&error))?;
    reqwest::Certificate::from_pem_bundle(&text).map_err(|error| bad(&error))
}
