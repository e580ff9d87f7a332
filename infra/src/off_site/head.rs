//! How a head is stored: one line of our own, then its bytes.
//!
//! The line holds a random mark, so that no two heads are alike: one that went from A to B and back to A is not taken
//! for the first A, and who lost an acknowledgement knows the own write when it reads it.

use domain::port::Failure;
use sha2::{Digest as _, Sha256};

use crate::chance::fill_random;

const FIRST: &str = "lethe-head/1 ";
const MARK_BYTES: usize = 16;

/// A stored head, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct StoredHead {
    pub(super) mark: String,
    pub(super) bytes: Vec<u8>,
}

impl StoredHead {
    /// A head with a mark of its own.
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self { mark: random_mark(), bytes: bytes.to_vec() }
    }

    pub(super) fn write(&self) -> Vec<u8> {
        [FIRST.as_bytes(), self.mark.as_bytes(), b"\n", &self.bytes].concat()
    }

    pub(super) fn read(stored: &[u8]) -> Result<Self, Failure> {
        let damaged = || Failure::damaged("the head at the off-site target", "Lethe writes no such head");
        let rest = stored.strip_prefix(FIRST.as_bytes()).ok_or_else(damaged)?;
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or_else(damaged)?;
        let (mark, bytes) = (&rest[..end], &rest[end + 1..]);
        let mark = std::str::from_utf8(mark).ok().filter(|mark| is_mark(mark)).ok_or_else(damaged)?;
        Ok(Self { mark: mark.to_owned(), bytes: bytes.to_vec() })
    }
}

/// Random hexadecimal digits.
pub(super) fn random_mark() -> String {
    let mut random = [0_u8; MARK_BYTES];
    fill_random(&mut random);
    hex(&random)
}

pub(super) fn is_mark(text: &str) -> bool {
    text.len() == 2 * MARK_BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_and_two_of_the_same_bytes_differ() {
        let (one, two) = (StoredHead::new(b"{}\n"), StoredHead::new(b"{}\n"));
        assert_ne!(one.write(), two.write());
        assert_eq!(StoredHead::read(&one.write()).unwrap(), one);
        let stored = one.write();
        for bad in [&b""[..], b"{}", &stored[1..], &stored[..20], b"lethe-head/1 zz\n{}"] {
            assert!(StoredHead::read(bad).is_err());
        }
    }
}
