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
//! - What is stored: `node` (top, nodes), `bucket` (keys and fences), `change` (what each re-keying did), `site`; where:
//!   [`NodeStore`].
//! - What is done: `create`, `tree` (get), `insert`, `fence`, `shred`, `probe`; all of them by `walk`.
//! - How a root is replaced: `rotate` carries out what [`domain::rotation`] asks for; `rekey` writes the paths, `head` is
//!   the record that is changed by compare-and-set, `ship` and `pack` bring the tree off-site, `attach` moves the head
//!   there (`adopt` first gives one to a tree that has none), `claim` takes a tree over from there.
//! - What is done now and then: `tend`.
//! - What is remembered: `cache`, under a lease, which an announced fence (`announce`) ends at once.
//! - What holds the roots: [`kms`].

mod adopt;
mod announce;
mod attach;
mod bucket;
mod cache;
mod change;
mod claim;
mod create;
mod fence;
mod head;
mod insert;
mod key;
mod key_id;
pub mod kms;
mod map;
pub mod memory;
mod node;
mod pack;
mod probe;
mod rekey;
mod rotate;
mod ship;
mod shred;
mod site;
mod status;
mod store;
mod tail;
mod tend;
mod tree;
mod walk;

#[cfg(test)]
mod tests;

pub use announce::{Announced, Announcements, Listening};
pub use change::{Change, ChangedTarget};
pub use claim::Claimed;
pub use head::{HeadRecord, Moved};
pub use key::{Key, KeyState};
pub use key_id::{InvalidKeyId, KeyId, PersonKey};
pub use map::Removed;
pub use pack::{Pack, shipped_copies};
pub use probe::TreeCopy;
pub use ship::Shipped;
pub use status::TreeStatus;
pub use store::{NodeStore, NodeWrite, NodeWriteError, StoredNode, WRITES_MAX, bucket_of};
pub use tree::{KeyError, KeyTree, Options};

/// A point at which a test lets the process die.
fn failpoint(at: &'static str) {
    tracing::trace!(target: "failpoint", at);
}
