//! A key in memory.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::chance::fill_random;

/// 256 random bits. Held behind a pointer, so that passing it on copies no secret, and wiped when the last holder
/// lets go. It cannot be printed.
#[derive(Clone)]
pub struct Key(Arc<Zeroizing<[u8; 32]>>);

impl Key {
    /// A fresh one.
    pub fn random() -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        fill_random(bytes.as_mut());
        Self(Arc::new(bytes))
    }

    /// A key that was stored; none if `bytes` are not 32.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let mut key = Zeroizing::new([0; 32]);
        if bytes.len() != key.len() {
            return None;
        }
        key.copy_from_slice(bytes);
        Some(Self(Arc::new(key)))
    }

    /// The secret itself. Only what seals, and what writes sealed nodes, may ask for it.
    pub(crate) fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// What a commit says about the key that seals a section. AES-GCM alone does not bind a ciphertext to one key;
    /// the commitment does, and tells nothing about 256 random bits.
    pub fn commitment(&self) -> [u8; 32] {
        Sha256::new().chain_update(b"lethe/key-commitment/v1").chain_update(self.expose()).finalize().into()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// What the tree says about a key. Unknown is not erased: it means the wrong store, the wrong tenant, or a loss.
#[derive(Debug, Clone)]
pub enum KeyState {
    /// Here it is.
    Known(Key),
    /// A fence covers it: it is destroyed, or about to be.
    Erased,
    /// The tree has never heard of it.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_does_not_print_itself() {
        let key = Key::from_slice(&[0xab; 32]).expect("32 bytes");
        assert_eq!(format!("{key:?}"), "Key(…)");
        assert_eq!(format!("{:?}", KeyState::Known(key)), "Known(Key(…))");
    }

    #[test]
    fn only_32_bytes_are_a_key() {
        for (length, good) in [(0, false), (31, false), (32, true), (33, false)] {
            assert_eq!(Key::from_slice(&vec![1; length]).is_some(), good, "{length}");
        }
    }
}
