//! The key tree of one tenant: `docs/format.md` says its bytes, `docs/adr` why it is a tree.
//!
//! ```text
//! root version v (KMS) ── top: 256 keys ── node: 256 keys ── bucket: the keys of the people whose id hashes there
//! ```
//!
//! Every key is random and wrapped by its parent, never derived from it. A `shred` draws fresh keys for the whole
//! path, wraps the top under a new root and destroys the old ones: then no old copy of anything leads to what was
//! removed, and whoever remains is still readable.
//!
//! - What is stored: `node` (top, nodes), `bucket` (keys and fences); where: [`NodeStore`].
//! - What is done: `create`, `tree` (get), `insert`, `fence`, `shred`, `probe`; all of them by `walk`.
//! - What is remembered: `cache`, under a lease.
//! - What holds the roots: [`kms`].

mod bucket;
mod cache;
mod create;
mod fence;
mod insert;
mod key;
mod key_id;
pub mod kms;
pub mod memory;
mod node;
mod probe;
mod shred;
mod store;
mod tree;
mod walk;

#[cfg(test)]
mod tests;

pub use key::{Key, KeyState};
pub use key_id::{InvalidKeyId, KeyId, PersonKey};
pub use probe::TreeCopy;
pub use store::{NodeStore, NodeWrite, NodeWriteError, WRITES_MAX, bucket_of};
pub use tree::{KeyError, KeyTree, Options};
