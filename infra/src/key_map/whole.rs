//! The root of the whole map, from the roots of its 65 536 buckets.

use super::{BUCKET_BITS, EMPTY, Prefix, branch_hash};
use crate::log::Hash;

/// How many buckets there are.
pub const BUCKETS: usize = 1 << BUCKET_BITS;

/// The upper levels of the map: a heap of hashes, node 1 the root, the buckets' roots from [`BUCKETS`] on. Memory is
/// taken only where there are keys: what is empty is zero, and zero pages cost nothing.
#[derive(Clone)]
pub struct Upper(Vec<Hash>);

impl Default for Upper {
    fn default() -> Self {
        Self(vec![EMPTY; 2 * BUCKETS])
    }
}

impl std::fmt::Debug for Upper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Upper({:02x?})", self.root())
    }
}

impl Upper {
    /// The root of the whole map.
    pub fn root(&self) -> Hash {
        self.0[1]
    }

    /// A bucket's root.
    pub fn bucket(&self, bucket: u16) -> Hash {
        self.0[BUCKETS + usize::from(bucket)]
    }

    /// The roots of all buckets that are not empty.
    pub fn buckets(&self) -> impl Iterator<Item = (u16, Hash)> {
        (0..=u16::MAX).zip(&self.0[BUCKETS..]).filter(|(_, root)| **root != EMPTY).map(|(bucket, root)| (bucket, *root))
    }

    /// Sets a bucket's root.
    pub fn set(&mut self, bucket: u16, root: Hash) {
        let mut node = BUCKETS + usize::from(bucket);
        self.0[node] = root;
        while node > 1 {
            node /= 2;
            let hash = self.combined(node);
            if self.0[node] == hash {
                return;
            }
            self.0[node] = hash;
        }
    }

    /// The hash of a node, from its children: an empty side leaves the other as it is.
    fn combined(&self, node: usize) -> Hash {
        match (&self.0[2 * node], &self.0[2 * node + 1]) {
            (&EMPTY, other) | (other, &EMPTY) => *other,
            (left, right) => {
                let prefix = prefix(node);
                branch_hash(prefix.length as u8, &prefix.bits, left, right)
            }
        }
    }

    pub(super) fn node(&self, node: usize) -> &Hash {
        &self.0[node]
    }
}

/// The bits that lead to a node of the heap.
pub(super) fn prefix(node: usize) -> Prefix {
    let length = node.ilog2() as u16;
    let bits = ((node << (BUCKET_BITS - length)) & (BUCKETS - 1)) as u16;
    let mut prefix = Prefix { bits: EMPTY, length };
    prefix.bits[..2].copy_from_slice(&bits.to_be_bytes());
    prefix
}
