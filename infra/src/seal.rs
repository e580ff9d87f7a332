//! The one place that encrypts and decrypts. `docs/format.md` says every byte.
//!
//! - This file: AES-256-GCM in a COSE_Encrypt0, bound to its place. Nobody else calls the cipher.
//! - `commit`: a commit's sections. `sealer`: the same with the keys of a tenant's tree, and read models' cells.

mod commit;
mod sealer;
#[cfg(test)]
mod vectors;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce as GcmNonce};
use zeroize::Zeroizing;

pub use crate::frame::Fault;
pub(crate) use commit::SealedSections;
pub use commit::{COMMIT_MAX, Peeked, peek};
pub use sealer::{SealedCommit, Sealer};

use crate::chance::fill_random;
use crate::frame::{Message, NONCE_LENGTH};
use crate::keys::Key;

/// A nonce, used once. Ninety-six random bits: a key here seals far fewer than 2³² messages.
#[derive(Debug)]
pub(crate) struct Nonce([u8; NONCE_LENGTH]);

impl Nonce {
    pub(crate) fn random() -> Self {
        let mut nonce = [0; NONCE_LENGTH];
        fill_random(&mut nonce);
        Self(nonce)
    }

    /// For the test vectors, which must come out the same each time.
    #[cfg(test)]
    pub(crate) fn fixed(number: u32) -> Self {
        let mut nonce = [0; NONCE_LENGTH];
        nonce[NONCE_LENGTH - 4..].copy_from_slice(&number.to_be_bytes());
        Self(nonce)
    }
}

/// `COSE_Encrypt0[kid, external_aad](plain)` under `key`.
pub(crate) fn seal(key: &Key, nonce: Nonce, kid: &str, external_aad: &[u8], plain: &[u8]) -> Vec<u8> {
    let aad = Message::associated_data(kid, external_aad);
    let ciphertext = Aes256Gcm::new(key.expose().into())
        .encrypt(&GcmNonce::from(nonce.0), Payload { msg: plain, aad: &aad })
        .expect("AES-GCM takes up to 64 GiB");
    Message { kid, nonce: nonce.0, ciphertext: &ciphertext }.encode()
}

/// Opens what [`seal`] made; only with the same key, key id and place.
pub(crate) fn open(key: &Key, kid: &str, external_aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let message = Message::decode(sealed)?;
    if message.kid != kid {
        return Err(Fault::KeyIds);
    }
    open_message(key, &message, external_aad)
}

fn open_message(key: &Key, message: &Message<'_>, external_aad: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let aad = Message::associated_data(message.kid, external_aad);
    Aes256Gcm::new(key.expose().into())
        .decrypt(&GcmNonce::from(message.nonce), Payload { msg: message.ciphertext, aad: &aad })
        .map(Zeroizing::new)
        .map_err(|_| Fault::Tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_with_the_same_key_kid_and_place_only() {
        let (key, other) = (Key::random(), Key::random());
        let sealed = seal(&key, Nonce::random(), "structure/1", b"here", b"plain");
        assert_eq!(open(&key, "structure/1", b"here", &sealed).map(|plain| plain.to_vec()), Ok(b"plain".to_vec()));
        assert_eq!(open(&other, "structure/1", b"here", &sealed), Err(Fault::Tag));
        assert_eq!(open(&key, "structure/1", b"there", &sealed), Err(Fault::Tag));
        assert_eq!(open(&key, "structure/2", b"here", &sealed), Err(Fault::KeyIds));
    }

    #[test]
    fn no_flipped_bit_goes_unseen() {
        let key = Key::random();
        let sealed = seal(&key, Nonce::random(), "k/1", b"here", b"plain");
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&key, "k/1", b"here", &flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn two_seals_of_the_same_differ() {
        let key = Key::random();
        let seal = || seal(&key, Nonce::random(), "k/1", b"", b"plain");
        assert_ne!(seal(), seal());
    }
}
