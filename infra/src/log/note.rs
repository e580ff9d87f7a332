//! Signed notes (C2SP `signed-note`): a text, an empty line, and lines of signatures.
//!
//! ```text
//! <text, one or more lines>
//!
//! — <key name> <base64 of key id and signature>
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use domain::port::{Failure, PublicKey, Signature, Signer};
use ring::signature::{ED25519, UnparsedPublicKey};
use sha2::{Digest, Sha256};

/// C2SP's number for Ed25519 (RFC 8032) over the text.
const ED25519_TYPE: u8 = 1;

/// A note has at most this many bytes and signatures: more is no note of ours.
const BYTES_MAX: usize = 16 * 1024;
const SIGNATURES_MAX: usize = 16;

/// Why a note is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteFault {
    /// It is not spelt as the format says.
    #[error("it is not spelt as a signed note")]
    Spelling,
    /// None of its signatures is by the key that is trusted.
    #[error("it is not signed by the key that is trusted")]
    Unsigned,
    /// A signature in the trusted key's name does not fit the text.
    #[error("its signature does not fit its text")]
    Signature,
}

/// Whether an Ed25519 signature fits.
pub fn is_signed(key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
    UnparsedPublicKey::new(&ED25519, key.0).verify(message, &signature.0).is_ok()
}

/// The id of a key under a name: the first four bytes of `SHA-256(name || 0x0A || 0x01 || public key)`.
pub fn key_id(name: &str, key: &PublicKey) -> [u8; 4] {
    let hash: [u8; 32] =
        Sha256::new().chain_update(name).chain_update([b'\n', ED25519_TYPE]).chain_update(key.0).finalize().into();
    [hash[0], hash[1], hash[2], hash[3]]
}

/// Signs a text, which ends in a newline, under a key name.
///
/// # Errors
/// Whatever keeps the signer from signing.
pub async fn sign(text: &str, name: &str, signer: &dyn Signer) -> Result<String, Failure> {
    let key = signer.public_key().await?;
    let signature = signer.sign(text.as_bytes()).await?;
    Ok(format!("{text}\n{}", line(name, &key, &signature)))
}

/// Another signature's line, for a note that is signed already.
fn line(name: &str, key: &PublicKey, signature: &Signature) -> String {
    let bytes = [&key_id(name, key)[..], &signature.0].concat();
    format!("\u{2014} {name} {}\n", BASE64.encode(bytes))
}

/// The text of a note, if `key` signed it under `name`. Signatures by others are passed over, as C2SP demands.
///
/// # Errors
/// Another spelling, no signature by the key, or one that does not fit.
pub fn open<'a>(note: &'a str, name: &str, key: &PublicKey) -> Result<&'a str, NoteFault> {
    if note.len() > BYTES_MAX || note.chars().any(|c| c.is_control() && c != '\n') {
        return Err(NoteFault::Spelling);
    }
    let (text, signatures) = note.rsplit_once("\n\n").ok_or(NoteFault::Spelling)?;
    let text = &note[..=text.len()];
    let signatures = signatures.strip_suffix('\n').ok_or(NoteFault::Spelling)?;
    let id = key_id(name, key);
    let mut is_ours = false;
    for (index, line) in signatures.split('\n').enumerate() {
        let (signer, bytes) = read_line(line).filter(|_| index < SIGNATURES_MAX).ok_or(NoteFault::Spelling)?;
        let (by, signature) = bytes.split_at(4);
        if signer != name || by != id {
            continue;
        }
        let signature: [u8; 64] = signature.try_into().map_err(|_| NoteFault::Signature)?;
        if is_ours || !is_signed(key, text.as_bytes(), &Signature(signature)) {
            return Err(NoteFault::Signature);
        }
        is_ours = true;
    }
    if is_ours { Ok(text) } else { Err(NoteFault::Unsigned) }
}

/// The key's name and the bytes of a signature's line.
fn read_line(line: &str) -> Option<(&str, Vec<u8>)> {
    let (name, encoded) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
    let bytes = BASE64.decode(encoded).ok()?;
    let is_name = !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '+');
    (is_name && bytes.len() >= 5).then_some((name, bytes))
}

#[cfg(test)]
pub(crate) mod tests {
    use async_trait::async_trait;
    use ring::signature::{Ed25519KeyPair, KeyPair as _};

    use super::*;

    /// A signer whose key stands in the test.
    pub(crate) struct SeedSigner(Ed25519KeyPair);

    impl SeedSigner {
        pub(crate) fn new(seed: u8) -> Self {
            Self(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
        }

        pub(crate) fn key(&self) -> PublicKey {
            PublicKey(self.0.public_key().as_ref().try_into().unwrap())
        }
    }

    #[async_trait]
    impl Signer for SeedSigner {
        async fn public_key(&self) -> Result<PublicKey, Failure> {
            Ok(self.key())
        }

        async fn sign(&self, message: &[u8]) -> Result<Signature, Failure> {
            Ok(Signature(self.0.sign(message).as_ref().try_into().unwrap()))
        }
    }

    /// The example in the documentation of Go's package `golang.org/x/mod/sumdb/note`.
    #[test]
    fn a_note_of_another_implementation_opens() {
        let verifier = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let encoded = BASE64.decode(verifier.splitn(3, '+').last().unwrap()).unwrap();
        let key = PublicKey(encoded[1..].try_into().unwrap());
        assert_eq!(key_id("PeterNeumann", &key), [0xc7, 0x4f, 0x20, 0xa3]);
        let text =
            "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
        let signature = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=";
        let note = format!("{text}\n\u{2014} PeterNeumann {signature}\n");
        assert_eq!(open(&note, "PeterNeumann", &key), Ok(text));
        assert_eq!(open(&note, "PeterNewmann", &key), Err(NoteFault::Unsigned));
    }

    #[tokio::test]
    async fn no_flipped_bit_goes_unseen() {
        let signer = SeedSigner::new(1);
        let note = sign("origin\n7\n", "lethe/acme/_", &signer).await.unwrap();
        assert_eq!(open(&note, "lethe/acme/_", &signer.key()), Ok("origin\n7\n"));
        for bit in 0..note.len() * 8 {
            let mut bytes = note.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let Ok(flipped) = String::from_utf8(bytes) else { continue };
            assert!(open(&flipped, "lethe/acme/_", &signer.key()).is_err(), "bit {bit}: {flipped}");
        }
    }

    #[tokio::test]
    async fn other_signatures_are_passed_over_and_other_spellings_refused() {
        let (signer, other) = (SeedSigner::new(1), SeedSigner::new(2));
        let note = sign("a\n\nb\n", "us", &signer).await.unwrap();
        let theirs = line("them", &other.key(), &other.sign(b"a\n\nb\n").await.unwrap());
        let both = format!("{note}{theirs}");
        assert_eq!(open(&both, "us", &signer.key()), Ok("a\n\nb\n"));
        assert_eq!(open(&both, "them", &other.key()), Ok("a\n\nb\n"));
        assert_eq!(open(&both, "us", &other.key()), Err(NoteFault::Unsigned));
        let ours = note.rsplit_once("\n\n").unwrap().1;
        for bad in [
            note.trim_end().to_owned(),
            note.replace('\n', "\r\n"),
            format!("{note}\n"),
            format!("{note} "),
            note.replace("\u{2014}", "-"),
            note.replace(" us ", "  us "),
            note.replace("a\n\nb\n\n", "a\n"),
        ] {
            assert_eq!(open(&bad, "us", &signer.key()), Err(NoteFault::Spelling), "{bad:?}");
        }
        assert_eq!(open(&format!("{note}{ours}"), "us", &signer.key()), Err(NoteFault::Signature), "twice");
    }
}
