//! The signature of a manifest, in a file beside it: whoever has the tenant's public key checks it with any tool.

use domain::port::{Failure, PublicKey, Signer};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::backup::signed::unhex;
use crate::off_site::hex;

/// What the signature covers first; then a line feed, then the manifest's bytes as they stand in its file.
const LABEL: &str = "lethe-export-manifest-1";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    algorithm: String,
    public_key: String,
    signature: String,
    /// What was signed: this, a line feed, the manifest's bytes.
    label: String,
}

pub(super) async fn sign(signer: &dyn Signer, manifest: &[u8]) -> Result<Vec<u8>, Failure> {
    let key = signer.public_key().await?;
    let signature = signer.sign(&message(manifest)).await?;
    let document = Document {
        algorithm: "Ed25519".into(),
        public_key: hex(&key.0),
        signature: hex(&signature.0),
        label: LABEL.into(),
    };
    serde_json::to_vec(&document).map_err(|error| Failure::damaged("a signature", error))
}

fn message(manifest: &[u8]) -> Vec<u8> {
    [LABEL.as_bytes(), b"\n", manifest].concat()
}

/// Checks that `signature` is one of `trust` over the bytes of `manifest`.
///
/// # Errors
/// Why it is refused.
pub fn check_signature(manifest: &[u8], signature: &[u8], trust: &PublicKey) -> Result<(), String> {
    let document: Document =
        serde_json::from_slice(signature).map_err(|_| "the signature does not read: cut off or altered")?;
    if document.algorithm != "Ed25519" || document.label != LABEL {
        return Err("the signature is of another kind".to_owned());
    }
    if document.public_key != hex(&trust.0) {
        return Err(format!("it is signed by {}, not by the key that is trusted", document.public_key));
    }
    let bytes = unhex(&document.signature).ok_or("the signature does not read: altered")?;
    UnparsedPublicKey::new(&ED25519, trust.0)
        .verify(&message(manifest), &bytes)
        .map_err(|_| "the signature does not fit the manifest: altered".to_owned())
}
