//! The root of some leaves.

use std::collections::BTreeMap;

use super::{EMPTY, PLACE_BITS, Prefix, bit, branch_hash, leaf_hash, place, value};
use crate::keys::PersonKey;
use crate::log::Hash;

/// A place and what stands there.
pub(super) type Leaf = (Hash, Hash);

/// Leaves, by place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leaves(BTreeMap<Hash, Hash>);

impl Leaves {
    /// The leaves of some keys and their commitments.
    pub fn of<'a>(keys: impl IntoIterator<Item = (&'a PersonKey, [u8; 32])>) -> Self {
        Self(keys.into_iter().map(|(key, commitment)| (place(key), value(&commitment))).collect())
    }

    /// The root of their tree.
    pub fn root(&self) -> Hash {
        root(&self.slice())
    }

    /// Without what is named.
    pub fn without(&self, named: &[super::proof::Named]) -> Self {
        let gone = super::proof::prefixes(named);
        let is_left = |place: &Hash| !gone.iter().any(|gone| gone.holds(&Prefix::of(place, PLACE_BITS)));
        Self(self.0.iter().filter(|(place, _)| is_left(place)).map(|(place, value)| (*place, *value)).collect())
    }

    /// Leaf by leaf, in order of their places.
    pub(super) fn slice(&self) -> Vec<(Hash, Hash)> {
        self.0.iter().map(|(place, value)| (*place, *value)).collect()
    }

    #[cfg(test)]
    pub(super) fn map(&mut self) -> &mut BTreeMap<Hash, Hash> {
        &mut self.0
    }
}

/// The root of the tree of leaves in ascending order.
pub(super) fn root(leaves: &[(Hash, Hash)]) -> Hash {
    match leaves {
        [] => EMPTY,
        [(place, value)] => leaf_hash(place, value),
        _ => {
            let (prefix, left, right) = split(leaves);
            branch_hash(prefix.length as u8, &prefix.bits, &root(left), &root(right))
        }
    }
}

/// Where at least two leaves in ascending order part, and the two sides.
pub(super) fn split(leaves: &[Leaf]) -> (Prefix, &[Leaf], &[Leaf]) {
    let (first, last) = (&leaves[0].0, &leaves[leaves.len() - 1].0);
    let depth = (0..PLACE_BITS).find(|depth| bit(first, *depth) != bit(last, *depth)).unwrap_or(PLACE_BITS - 1);
    let (left, right) = leaves.split_at(leaves.partition_point(|(place, _)| !bit(place, depth)));
    (Prefix::of(first, depth), left, right)
}
