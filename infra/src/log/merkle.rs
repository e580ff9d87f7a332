//! RFC 6962, section 2.1: the Merkle tree of an append-only log, its proofs, and how they are checked.

use domain::port::Failure;
use sha2::{Digest, Sha256};

use super::Hash;

/// The hash of a leaf: `SHA-256(0x00 || entry)`.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(entry).finalize().into()
}

/// The hash of an inner node: `SHA-256(0x01 || left || right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The root of the log without entries: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// The hashes of a log: of every leaf, and of every inner node that has all its leaves.
pub trait Hashes {
    /// How many leaves there are.
    fn size(&self) -> u64;

    /// The hash of the `index`th node of a level: of the leaves `index << level` up to (`index + 1) << level`.
    fn node(&self, level: u32, index: u64) -> Result<Hash, Failure>;
}

/// The root of the first `size` leaves.
///
/// # Errors
/// `Damaged` if there are not as many; whatever reading a hash gives.
pub fn root(hashes: &impl Hashes, size: u64) -> Result<Hash, Failure> {
    within(hashes, size)?;
    if size == 0 { Ok(empty_root()) } else { range(hashes, 0, size) }
}

/// The proof that the leaf `index` is in the log of the first `size` leaves.
///
/// # Errors
/// `Damaged` if there is no such leaf; whatever reading a hash gives.
pub fn inclusion(hashes: &impl Hashes, index: u64, size: u64) -> Result<Vec<Hash>, Failure> {
    within(hashes, size)?;
    if index >= size {
        return Err(Failure::damaged("Merkle log", format!("it has no leaf {index} among its first {size}")));
    }
    let (mut start, mut left, mut proof) = (0, size, Vec::new());
    while left > 1 {
        let half = half(left);
        if index < start + half {
            proof.push(range(hashes, start + half, left - half)?);
            left = half;
        } else {
            proof.push(range(hashes, start, half)?);
            (start, left) = (start + half, left - half);
        }
    }
    proof.reverse();
    Ok(proof)
}

/// The proof that the log of the first `new` leaves begins with that of the first `old`.
///
/// # Errors
/// `Damaged` if there are not as many, or `old` is the larger; whatever reading a hash gives.
pub fn consistency(hashes: &impl Hashes, old: u64, new: u64) -> Result<Vec<Hash>, Failure> {
    within(hashes, new)?;
    if old > new {
        return Err(Failure::damaged("Merkle log", format!("a log of {new} leaves cannot begin with one of {old}")));
    }
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let (mut start, mut size, mut proof) = (0, new, Vec::new());
    while old - start != size {
        let half = half(size);
        if old - start <= half {
            proof.push(range(hashes, start + half, size - half)?);
            size = half;
        } else {
            proof.push(range(hashes, start, half)?);
            (start, size) = (start + half, size - half);
        }
    }
    // The part that is the whole old log is known to whoever checks.
    if start > 0 {
        proof.push(range(hashes, start, size)?);
    }
    proof.reverse();
    Ok(proof)
}

fn within(hashes: &impl Hashes, size: u64) -> Result<(), Failure> {
    if size <= hashes.size() {
        return Ok(());
    }
    Err(Failure::damaged("Merkle log", format!("it has {} leaves, not {size}", hashes.size())))
}

/// The hash over `size` leaves from `start` on, which is a multiple of a power of two that is at least `size`.
fn range(hashes: &impl Hashes, start: u64, size: u64) -> Result<Hash, Failure> {
    if size.is_power_of_two() {
        let level = size.trailing_zeros();
        return hashes.node(level, start >> level);
    }
    let half = half(size);
    Ok(node_hash(&range(hashes, start, half)?, &range(hashes, start + half, size - half)?))
}

/// The largest power of two below `size`, which is at least two.
fn half(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// Checks an inclusion proof (RFC 9162, section 2.1.3.2).
pub fn is_included(leaf: &Hash, index: u64, size: u64, root: &Hash, proof: &[Hash]) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            skip_missing(&mut node, &mut last);
        } else {
            hash = node_hash(&hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    last == 0 && hash == *root
}

/// Checks a consistency proof (RFC 9162, section 2.1.4.2). Every log begins with the empty one.
pub fn is_consistent(old: (u64, &Hash), new: (u64, &Hash), proof: &[Hash]) -> bool {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    if old_size == 0 || old_size == new_size {
        let same = if old_size == 0 { *old_root == empty_root() } else { old_root == new_root };
        return same && proof.is_empty();
    }
    if old_size > new_size {
        return false;
    }
    let whole = old_size.is_power_of_two().then_some(old_root);
    let mut proof = whole.into_iter().chain(proof);
    let Some(first) = proof.next() else {
        return false;
    };
    let (mut node, mut last) = (old_size - 1, new_size - 1);
    while node & 1 == 1 {
        (node, last) = (node >> 1, last >> 1);
    }
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            skip_missing(&mut node, &mut last);
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    last == 0 && old_hash == *old_root && new_hash == *new_root
}

/// At the right edge a node without a sibling stands on several levels at once.
fn skip_missing(node: &mut u64, last: &mut u64) {
    while *node & 1 == 0 && *node != 0 {
        (*node, *last) = (*node >> 1, *last >> 1);
    }
}

/// The root of a log that is read from its start, in memory for a few hashes only.
#[derive(Debug, Clone, Default)]
pub struct Peaks {
    size: u64,
    /// The roots of the whole subtrees from left to right, each with its level.
    peaks: Vec<(u32, Hash)>,
}

impl Peaks {
    /// How many leaves it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf's hash.
    pub fn push(&mut self, leaf: Hash) {
        let (mut level, mut hash) = (0, leaf);
        while let Some((_, left)) = self.peaks.pop_if(|(at, _)| *at == level) {
            (level, hash) = (level + 1, node_hash(&left, &hash));
        }
        self.peaks.push((level, hash));
        self.size += 1;
    }

    /// The root of what was appended.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev().map(|(_, hash)| *hash);
        let last = peaks.next().unwrap_or_else(empty_root);
        peaks.fold(last, |right, left| node_hash(&left, &right))
    }
}

#[cfg(test)]
#[path = "merkle_tests.rs"]
mod tests;
