//! The stored bytes of a commit and of everything sealed, in and out of CBOR. Specified in `docs/format.md`.
//!
//! Every reader here writes again what it has read and compares: so each stored thing has exactly one spelling, and
//! no byte of it is outside what hashes and tags cover.

mod cbor;
mod header;

use std::convert::Infallible;

use minicbor::{Decoder, Encoder};

pub(crate) use header::{KeyEntry, StoredHeader, TAG_TIME, read_time, time_text};

pub(crate) use cbor::{label_bytes, label_texts};

/// The version of the commit format that is written.
pub(crate) const COMMIT_VERSION: u64 = 1;

/// Length of an AES-GCM nonce.
pub(crate) const NONCE_LENGTH: usize = 12;

/// COSE's name for AES-256-GCM (RFC 9053, table 5).
const A256GCM: u8 = 3;

/// COSE header labels (RFC 9052, table 3).
const ALG: u8 = 1;
const KID: u8 = 4;
const IV: u8 = 5;

/// Why stored bytes are not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Cut off, not CBOR, or not the one canonical spelling.
    #[error("it is not spelt as the format says")]
    Spelling,
    /// Written by a program newer than this one.
    #[error("its format version is unknown here; a newer program wrote it")]
    Version,
    /// Its header names another stream than the one it was read from.
    #[error("its header names another stream")]
    OtherStream,
    /// The key ids of header and sections are not those that this stream's commits have.
    #[error("its key ids do not fit")]
    KeyIds,
    /// The key is not the one that the header commits to.
    #[error("a key is not the one that its header commits to")]
    Commitment,
    /// The authentication tag does not fit: other bytes, another place, or another key.
    #[error("an authentication tag does not fit")]
    Tag,
    /// It opened, and does not hold what its header promises.
    #[error("what it holds is not what its header promises")]
    Content,
    /// A time that RFC 3339 cannot write.
    #[error("a time lies outside the years 0 to 9999")]
    Time,
}

impl From<minicbor::decode::Error> for Fault {
    fn from(_: minicbor::decode::Error) -> Self {
        Self::Spelling
    }
}

impl From<minicbor::encode::Error<Infallible>> for Fault {
    fn from(_: minicbor::encode::Error<Infallible>) -> Self {
        Self::Spelling
    }
}

/// A commit, taken apart: `[version, header, [section, …]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// The encoded header.
    pub(crate) header: &'a [u8],
    /// The sealed sections: the structure, then the values.
    pub(crate) sections: Vec<&'a [u8]>,
}

impl<'a> Frame<'a> {
    /// The frame's bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let size = self.header.len() + self.sections.iter().map(|section| section.len() + 5).sum::<usize>() + 16;
        cbor::encode(size, |e| {
            e.array(3)?.u64(COMMIT_VERSION)?.bytes(self.header)?.array(self.sections.len() as u64)?;
            self.sections.iter().try_for_each(|section| e.bytes(section)?.ok())
        })
    }

    /// Takes a commit's bytes apart.
    ///
    /// # Errors
    /// An unknown version, or bytes that are not a frame.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, Fault> {
        let d = &mut Decoder::new(bytes);
        cbor::array_of(d, 3)?;
        if d.u64()? != COMMIT_VERSION {
            return Err(Fault::Version);
        }
        let header = d.bytes()?;
        let count = cbor::array_len(d)?;
        let sections = (0..count).map(|_| Ok(d.bytes()?)).collect::<Result<_, Fault>>()?;
        let frame = Self { header, sections };
        if frame.encode() == bytes { Ok(frame) } else { Err(Fault::Spelling) }
    }
}

/// A COSE_Encrypt0 (RFC 9052 §5.2, untagged), taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) kid: &'a str,
    pub(crate) nonce: [u8; NONCE_LENGTH],
    pub(crate) ciphertext: &'a [u8],
}

impl<'a> Message<'a> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        cbor::encode(self.ciphertext.len() + self.kid.len() + 48, |e| {
            e.array(3)?.bytes(&protected(self.kid))?;
            e.map(1)?.u8(IV)?.bytes(&self.nonce)?;
            e.bytes(self.ciphertext)?.ok()
        })
    }

    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, Fault> {
        let d = &mut Decoder::new(bytes);
        cbor::array_of(d, 3)?;
        let kid = kid_of(d.bytes()?)?;
        cbor::map_of(d, 1)?;
        cbor::expect_u8(d, IV)?;
        let nonce = d.bytes()?.try_into().map_err(|_| Fault::Spelling)?;
        let message = Self { kid, nonce, ciphertext: d.bytes()? };
        if message.encode() == bytes { Ok(message) } else { Err(Fault::Spelling) }
    }

    /// What the tag covers besides the ciphertext: the Enc_structure of RFC 9052 §5.3.
    pub(crate) fn associated_data(kid: &str, external: &[u8]) -> Vec<u8> {
        cbor::encode(external.len() + kid.len() + 32, |e| {
            e.array(3)?.str("Encrypt0")?.bytes(&protected(kid))?.bytes(external)?.ok()
        })
    }
}

/// The protected header: algorithm and key id.
fn protected(kid: &str) -> Vec<u8> {
    cbor::encode(kid.len() + 8, |e| e.map(2)?.u8(ALG)?.u8(A256GCM)?.u8(KID)?.bytes(kid.as_bytes())?.ok())
}

fn kid_of(protected: &[u8]) -> Result<&str, Fault> {
    let d = &mut Decoder::new(protected);
    cbor::map_of(d, 2)?;
    cbor::expect_u8(d, ALG)?;
    cbor::expect_u8(d, A256GCM)?;
    cbor::expect_u8(d, KID)?;
    std::str::from_utf8(d.bytes()?).map_err(|_| Fault::Spelling)
}

/// `external_aad` of the structure: the header and every other section.
pub(crate) fn structure_aad(header_hash: &[u8; 32], section_hashes: &[[u8; 32]]) -> Vec<u8> {
    cbor::encode(64 + 34 * section_hashes.len(), |e| {
        e.array(3)?.str("lethe/structure/v1")?.bytes(header_hash)?.array(section_hashes.len() as u64)?;
        section_hashes.iter().try_for_each(|hash| e.bytes(hash)?.ok())
    })
}

/// `external_aad` of a values section: the header.
pub(crate) fn values_aad(header_hash: &[u8; 32]) -> Vec<u8> {
    cbor::encode(64, |e| e.array(2)?.str("lethe/values/v1")?.bytes(header_hash)?.ok())
}

/// Encoding into memory cannot fail; the encoder's type does not know that.
pub(crate) type Encoded = Result<(), minicbor::encode::Error<Infallible>>;

/// An encoder into memory.
pub(crate) type MemoryEncoder<'a> = Encoder<&'a mut Vec<u8>>;

pub(crate) use cbor::{array_len, array_of, encode, finished};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_one_spelling() {
        let message = Message { kid: "structure/1", nonce: [7; 12], ciphertext: &[9; 20] };
        let bytes = message.encode();
        assert_eq!(Message::decode(&bytes), Ok(message));
        for cut in 0..bytes.len() {
            assert_eq!(Message::decode(&bytes[..cut]), Err(Fault::Spelling), "cut at {cut}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(Message::decode(&longer), Err(Fault::Spelling));
        // The same array of three, its length spelt in two bytes.
        let padded = [&[0x98, 0x03], &bytes[1..]].concat();
        assert_eq!(Message::decode(&padded), Err(Fault::Spelling));
    }

    #[test]
    fn the_associated_data_is_that_of_rfc_9052() {
        let expected =
            [&[0x83, 0x68][..], b"Encrypt0", &[0x46, 0xa2, 0x01, 0x03, 0x04, 0x41, b'k'], &[0x42, 0x01, 0x02]].concat();
        assert_eq!(Message::associated_data("k", &[1, 2]), expected);
    }
}
