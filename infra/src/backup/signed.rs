//! A JSON text with a detached Ed25519 signature: `{"public_key", "signature", "signed"}`.
//!
//! What is signed is a label, a line feed, and `signed` in canonical form (RFC 8785 for what we write: sorted keys, no
//! spaces, whole numbers). The label tells one kind of text from another.

use domain::port::{Failure, PublicKey, Signer};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::off_site::hex;

/// Signs `content`.
pub(super) async fn sign<T: Serialize>(signer: &dyn Signer, label: &str, content: &T) -> Result<Vec<u8>, Failure> {
    let signed = serde_json::to_value(content).map_err(|error| Failure::damaged("a signed text", error))?;
    let key = signer.public_key().await?;
    let signature = signer.sign(&message(label, &signed)).await?;
    let text = json!({ "public_key": hex(&key.0), "signature": hex(&signature.0), "signed": signed });
    Ok(text.to_string().into_bytes())
}

/// What was signed by `trust`, or why it is refused.
pub(super) fn open<T: DeserializeOwned>(bytes: &[u8], label: &str, trust: &PublicKey) -> Result<T, String> {
    let text: Value = serde_json::from_slice(bytes).map_err(|_| "it is not JSON: cut off or altered")?;
    if text.to_string().as_bytes() != bytes {
        return Err("it is not spelt as Lethe spells it: altered".to_owned());
    }
    if text["public_key"] != hex(&trust.0).as_str() {
        return Err(format!("it is signed by {}, not by the key that is trusted", text["public_key"]));
    }
    let signature = text["signature"].as_str().and_then(unhex).ok_or("its signature is not readable: altered")?;
    UnparsedPublicKey::new(&ED25519, trust.0)
        .verify(&message(label, &text["signed"]), &signature)
        .map_err(|_| "its signature does not fit: altered")?;
    serde_json::from_value(text["signed"].clone()).map_err(|error| format!("a newer program wrote it ({error})"))
}

fn message(label: &str, signed: &Value) -> Vec<u8> {
    format!("{label}\n{signed}").into_bytes()
}

pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let is_hex = text.len().is_multiple_of(2) && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let digits = is_hex.then_some(text)?;
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_whatever_other_crates_ask_of_the_library() {
        let value = json!({ "b": [1, { "z": null, "a": "x" }], "a": true });
        assert_eq!(value.to_string(), r#"{"a":true,"b":[1,{"a":"x","z":null}]}"#);
    }
}
