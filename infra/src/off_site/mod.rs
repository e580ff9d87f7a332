//! What stands elsewhere: the port `OffSite`, in a folder and in an S3-compatible store.
//!
//! - [`Place`] says where, from one line of configuration, and opens one tenant's part of it.
//! - [`FolderOffSite`] and [`S3OffSite`] hold one contract, [`MemoryOffSite`] for tests and models too; `contract.rs`
//!   tests it. `head.rs` is how the head is stored.
//! - [`CopiedLedger`] keeps every `privacy` stream there. [`seaweed`] starts a real S3 server for tests and drills.
//!
//! What must never be there: an object that was overwritten; a head that was changed without its expectation; a personal
//! value in a name.

#[cfg(test)]
pub(crate) mod contract;
mod folder;
mod head;
mod ledger;
#[cfg(test)]
mod ledger_tests;
mod memory;
mod place;
mod s3;
#[cfg(test)]
mod s3_tests;
pub mod seaweed;

use domain::port::Failure;

pub(crate) use head::{hex, sha256_hex};

pub use folder::FolderOffSite;
pub use ledger::{CopiedLedger, LedgerStream, NoLedger, PutBack, put_back, read_ledger};
pub use memory::MemoryOffSite;
pub use place::{Place, PlaceError};
pub use s3::{Credentials, S3OffSite, S3Place};

/// What failed, in words for people.
const TARGET: &str = "the off-site target";

/// The name of the head, beside the objects.
const HEAD: &str = "head";

/// The longest name of an object.
const NAME_MAX: usize = 512;

/// Names are `[a-z0-9._-]` with `/` between folders. No part begins with a dot, so none is a way up or a file of our
/// own; and none is the head's.
fn check_name(name: &str) -> Result<(), Failure> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    let is_part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.bytes().all(plain);
    let is_head = name == HEAD || name.starts_with("head.") || name.starts_with("head/");
    if name.len() <= NAME_MAX && !is_head && name.split('/').all(is_part) {
        Ok(())
    } else {
        Err(Failure::damaged("the name of an off-site object", "it is not one that Lethe gives"))
    }
}

/// An object that is there already will do if it is the same.
fn same(name: &str, there: &[u8], bytes: &[u8]) -> Result<(), Failure> {
    if there == bytes {
        Ok(())
    } else {
        Err(Failure::damaged(format!("the off-site object {name}"), "another one of this name is there already"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for good in ["tree/ab.pack", "ledger/cardio/0b9b/00000001", "a", "checkpoints/_/1", "headed"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        let long = "a".repeat(NAME_MAX + 1);
        for bad in [
            "",
            "/a",
            "a/",
            "a//b",
            "..",
            "a/../b",
            ".a",
            "a/.b",
            "A",
            "ä",
            "a b",
            "head",
            "head/x",
            "head.lock",
            &long,
        ] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
