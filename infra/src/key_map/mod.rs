//! The key map: a Merkle tree over commitments to every live key, at fixed places, so that two roots and a short proof
//! show which keys went and that nobody else's did. `docs/format.md` says every byte.
//!
//! - This file: places and hashes. [`tree`]: the root of some leaves. [`whole`]: the root of all buckets.
//! - [`proof`]: that nothing but some named subtrees was emptied, and how it is checked.
//!
//! It is a binary radix tree over 256-bit places. An inner node stands only where both its sides hold something, and
//! its hash names its own place. So no hash of anything empty is ever made, a path has about as many nodes as the
//! logarithm of the number of keys, and a subtree keeps its hash wherever the tree around it grows or shrinks.

pub mod proof;
pub mod tree;
pub mod whole;

use domain::history::DataSubject;
use domain::port::Target;
use domain::scope::{Part, Scope};
use sha2::{Digest, Sha256};

use crate::keys::PersonKey;
use crate::log::Hash;

/// Begins every hash of the map, so that none of them is a hash of something else.
const LABEL: &[u8] = b"lethe/key-map/v1";
const LEAF: u8 = 0;
const BRANCH: u8 = 1;

/// The root of a map without keys, and what stands for a side without any: never the hash of anything.
pub const EMPTY: Hash = [0; 32];

/// Bits of a place that name the bucket, the person and scope, and the key.
const BUCKET_BITS: u16 = 16;
const SCOPE_BITS: u16 = 192;
const PLACE_BITS: u16 = 256;

/// The place of a key: 16 bytes for the person, 8 for the scope, 8 for part and generation.
pub fn place(key: &PersonKey) -> Hash {
    let mut place = scope_place(key.data_subject, key.scope);
    place[24..].copy_from_slice(&part_hash(&key.part, key.generation)[..8]);
    place
}

fn scope_place(data_subject: DataSubject, scope: Scope) -> Hash {
    let mut place = EMPTY;
    place[..16].copy_from_slice(&Sha256::digest(data_subject.0.as_bytes())[..16]);
    place[16..24].copy_from_slice(&Sha256::digest(scope.as_str())[..8]);
    place
}

fn part_hash(part: &Part, generation: u32) -> Hash {
    Sha256::new().chain_update(part.as_str()).chain_update(generation.to_be_bytes()).finalize().into()
}

/// What a leaf says about a key: the hash of its commitment. The commitment itself stands in the headers of commits.
pub fn value(commitment: &[u8; 32]) -> Hash {
    Sha256::digest(commitment).into()
}

fn leaf_hash(place: &Hash, value: &Hash) -> Hash {
    Sha256::new().chain_update(LABEL).chain_update([LEAF]).chain_update(place).chain_update(value).finalize().into()
}

/// `prefix` has `depth` bits; the bit after them parts left from right.
fn branch_hash(depth: u8, prefix: &Hash, left: &Hash, right: &Hash) -> Hash {
    let head = Sha256::new().chain_update(LABEL).chain_update([BRANCH, depth]);
    head.chain_update(prefix).chain_update(left).chain_update(right).finalize().into()
}

/// The first bits of places: what lies below it is one subtree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    /// The bits, zeros after them.
    bits: Hash,
    length: u16,
}

impl Prefix {
    /// Every place.
    pub const ALL: Self = Self { bits: EMPTY, length: 0 };

    /// The first `length` bits of a place.
    fn of(place: &Hash, length: u16) -> Self {
        let mut bits = *place;
        for (index, byte) in bits.iter_mut().enumerate() {
            let kept = (usize::from(length)).saturating_sub(index * 8).min(8);
            *byte &= !(0xff_u8.checked_shr(kept as u32).unwrap_or(0));
        }
        Self { bits, length }
    }

    /// Where a person's keys of a scope lie; or of one part, in each of its first `generations` lives.
    fn of_target(target: &Target, generations: u32) -> Vec<Self> {
        let scope = scope_place(target.data_subject, target.scope);
        match &target.part {
            None => vec![Self::of(&scope, SCOPE_BITS)],
            Some(part) => (1..=generations)
                .map(|generation| {
                    let mut place = scope;
                    place[24..].copy_from_slice(&part_hash(part, generation)[..8]);
                    Self::of(&place, PLACE_BITS)
                })
                .collect(),
        }
    }

    /// Whether everything below `other` is below this.
    fn holds(&self, other: &Self) -> bool {
        self.length <= other.length && Self::of(&other.bits, self.length) == *self
    }

    /// One of the two halves.
    fn side(&self, is_right: bool) -> Self {
        let mut bits = self.bits;
        if is_right {
            bits[usize::from(self.length / 8)] |= 0x80 >> (self.length % 8);
        }
        Self { bits, length: self.length + 1 }
    }
}

fn bit(place: &Hash, depth: u16) -> bool {
    place[usize::from(depth / 8)] & (0x80 >> (depth % 8)) != 0
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn key(person: u128, scope: Scope, part: &str, generation: u32) -> PersonKey {
        let part = Part::try_from(part.to_owned()).unwrap();
        PersonKey { data_subject: DataSubject(Uuid::from_u128(person)), scope, part, generation }
    }

    #[test]
    fn a_place_begins_with_the_bucket_and_all_of_a_scope_is_one_subtree() {
        let one = place(&key(7, Scope::HealthClinical, "all", 1));
        let person = Sha256::digest(Uuid::from_u128(7).as_bytes());
        assert_eq!(one[..16], person[..16]);
        let bucket = crate::keys::bucket_of(DataSubject(Uuid::from_u128(7)));
        assert_eq!(one[..2], bucket.to_be_bytes());
        let scope = Target { data_subject: DataSubject(Uuid::from_u128(7)), scope: Scope::HealthClinical, part: None };
        let below = |place: &Hash| Prefix::of_target(&scope, 1)[0].holds(&Prefix::of(place, PLACE_BITS));
        assert!(below(&one));
        assert!(below(&place(&key(7, Scope::HealthClinical, "x", 3))));
        assert!(!below(&place(&key(7, Scope::HealthOptional, "all", 1))));
        assert!(!below(&place(&key(8, Scope::HealthClinical, "all", 1))));
        let places =
            [("all", 1), ("all", 2), ("b", 1)].map(|(part, life)| place(&key(7, Scope::HealthClinical, part, life)));
        assert!(places[0] != places[1] && places[0] != places[2] && places[1] != places[2]);
    }

    #[test]
    fn a_prefix_holds_what_begins_with_it() {
        let place = [0b1010_1010; 32];
        for length in 0..=PLACE_BITS {
            let prefix = Prefix::of(&place, length);
            assert!(prefix.holds(&Prefix::of(&place, PLACE_BITS)), "{length}");
            if length < PLACE_BITS {
                assert!(prefix.holds(&prefix.side(true)) && prefix.holds(&prefix.side(false)));
                let side = prefix.side(bit(&place, length));
                assert_eq!(side, Prefix::of(&place, length + 1));
                assert!(!prefix.side(!bit(&place, length)).holds(&Prefix::of(&place, PLACE_BITS)));
            }
        }
    }
}
