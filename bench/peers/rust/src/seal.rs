//! AES-256-GCM under a person's key: nonce, ciphertext, tag; the person's id is authenticated with it.

use aes_gcm::aead::{Aead as _, AeadCore as _, KeyInit as _, OsRng, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use uuid::Uuid;

use crate::Fault;

const NONCE: usize = 12;

/// A key of one person.
pub(crate) type Key = [u8; 32];

/// A key from hex.
pub(crate) fn key(hex: &str) -> Result<Key, Fault> {
    let bytes: Result<Vec<u8>, _> =
        (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16)).collect();
    bytes?.try_into().map_err(|_| "a key has 32 bytes".into())
}

pub(crate) fn seal(key: &Key, person: Uuid, text: &str) -> Result<Vec<u8>, Fault> {
    let nonce = Aes256Gcm::generate_nonce(&mut OsRng);
    let payload = Payload { msg: text.as_bytes(), aad: person.as_bytes() };
    let sealed = Aes256Gcm::new(key.into()).encrypt(&nonce, payload).map_err(|_| "sealing failed")?;
    Ok([nonce.as_slice(), &sealed].concat())
}

pub(crate) fn open(key: &Key, person: Uuid, sealed: &[u8]) -> Result<String, Fault> {
    let (nonce, sealed) = sealed.split_at_checked(NONCE).ok_or("too short to be sealed")?;
    let payload = Payload { msg: sealed, aad: person.as_bytes() };
    let text = Aes256Gcm::new(key.into()).decrypt(Nonce::from_slice(nonce), payload);
    Ok(String::from_utf8(text.map_err(|_| "this key does not open it")?)?)
}
