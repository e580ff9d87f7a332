//! Proof that between two roots some named subtrees were emptied, and that nothing else changed.
//!
//! The proof is the part of the old tree that leads to the named subtrees. Whoever checks computes the old root from
//! it, removes what is named, and computes the new root. What the proof does not open stands in it as a hash, and the
//! same hash goes into both roots: so it did not change. Three rules make that sound, whoever wrote the proof:
//!
//! - Where something named may lie, nothing may stand as a hash only.
//! - What is opened must lie where its own place says.
//! - A node that moves up, because the other side became empty, must be open: otherwise something named could hide in it.

use std::collections::BTreeMap;

use domain::port::Target;

use super::tree::Leaf;
use super::whole::{BUCKETS, Upper, prefix};
use super::{EMPTY, PLACE_BITS, Prefix, branch_hash, leaf_hash, tree};
use crate::log::Hash;

/// What is named: a scope of a person; or one part of it, through a generation.
pub type Named = (Target, u32);

/// Some of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Empty,
    Hash(Hash),
    Leaf(Hash, Hash),
    Branch(Prefix, Box<(Part, Part)>),
}

/// A proof that named subtrees were emptied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal(Part);

/// Why a proof is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofFault {
    /// Not a proof.
    #[error("it is not spelt as a proof of the key map")]
    Spelling,
    /// Something stands in it where it cannot be.
    #[error("a node lies where its own place says that it does not")]
    Place,
    /// It does not show all that must be seen.
    #[error("it does not open what must be seen")]
    Closed,
    /// It leads to another root than the one before.
    #[error("it does not lead to the root before")]
    Before,
    /// It leads to another root than the one after.
    #[error("it does not lead to the root after: something else was changed, or something named is there still")]
    After,
}

/// The keys of a bucket that must be opened, too, for the proof to be complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs(pub u16);

/// The leaves of some buckets, in ascending order.
pub type Open = BTreeMap<u16, tree::Leaves>;

/// Proves that the named subtrees are removed from the map whose buckets' roots are `upper`. `open` has the leaves, before
/// the removal, of at least every bucket in which something named can lie.
///
/// # Errors
/// Which bucket must be opened, too: call again with it.
pub fn removal(upper: &Upper, open: &Open, named: &[Named]) -> Result<Removal, Needs> {
    let open: BTreeMap<u16, _> = open.iter().map(|(bucket, leaves)| (*bucket, leaves.slice())).collect();
    let maker = Maker { upper, open: &open, gone: prefixes(named) };
    maker.part(View::Upper(1), Prefix::ALL, false).map(|(part, _)| Removal(part))
}

pub(super) fn prefixes(named: &[Named]) -> Vec<Prefix> {
    named.iter().flat_map(|(target, generations)| Prefix::of_target(target, *generations)).collect()
}

struct Maker<'a> {
    upper: &'a Upper,
    open: &'a BTreeMap<u16, Vec<Leaf>>,
    gone: Vec<Prefix>,
}

/// A subtree: a node of the upper levels, or some leaves of one bucket.
#[derive(Clone, Copy)]
enum View<'a> {
    Upper(usize),
    Leaves(&'a [Leaf]),
}

/// A subtree's topmost node.
enum Node<'a> {
    Empty,
    Leaf(Leaf),
    Branch(Prefix, View<'a>, View<'a>),
}

impl<'a> Maker<'a> {
    /// What must be shown of a subtree, and whether nothing is left of it.
    fn part(&self, view: View<'a>, position: Prefix, must_open: bool) -> Result<(Part, bool), Needs> {
        if !must_open && !may_meet(&self.gone, &position) {
            return Ok(match self.hash(view) {
                EMPTY => (Part::Empty, true),
                hash => (Part::Hash(hash), false),
            });
        }
        Ok(match self.node(view)? {
            Node::Empty => (Part::Empty, true),
            Node::Leaf((place, value)) => {
                (Part::Leaf(place, value), is_gone(&self.gone, &Prefix::of(&place, PLACE_BITS)))
            }
            Node::Branch(prefix, left, right)
                if !self.gone.iter().any(|gone| prefix.holds(gone) && *gone != prefix) =>
            {
                let sides = (Part::Hash(self.hash(left)), Part::Hash(self.hash(right)));
                (Part::Branch(prefix, Box::new(sides)), is_gone(&self.gone, &prefix))
            }
            Node::Branch(prefix, left, right) => {
                let at = (prefix.side(false), prefix.side(true));
                let (mut left_part, left_gone) = self.part(left, at.0, false)?;
                let (mut right_part, right_gone) = self.part(right, at.1, false)?;
                if left_gone && !right_gone && matches!(right_part, Part::Hash(_)) {
                    right_part = self.part(right, at.1, true)?.0;
                }
                if right_gone && !left_gone && matches!(left_part, Part::Hash(_)) {
                    left_part = self.part(left, at.0, true)?.0;
                }
                (Part::Branch(prefix, Box::new((left_part, right_part))), left_gone && right_gone)
            }
        })
    }

    fn node(&self, view: View<'a>) -> Result<Node<'a>, Needs> {
        match view {
            View::Leaves([]) => Ok(Node::Empty),
            View::Leaves([leaf]) => Ok(Node::Leaf(*leaf)),
            View::Leaves(leaves) => {
                let (prefix, left, right) = tree::split(leaves);
                Ok(Node::Branch(prefix, View::Leaves(left), View::Leaves(right)))
            }
            View::Upper(node) if *self.upper.node(node) == EMPTY => Ok(Node::Empty),
            View::Upper(node) if node >= BUCKETS => {
                let bucket = (node - BUCKETS) as u16;
                let leaves = self.open.get(&bucket).ok_or(Needs(bucket))?;
                self.node(View::Leaves(leaves))
            }
            View::Upper(node) => match (self.upper.node(2 * node), self.upper.node(2 * node + 1)) {
                (&EMPTY, _) => self.node(View::Upper(2 * node + 1)),
                (_, &EMPTY) => self.node(View::Upper(2 * node)),
                _ => Ok(Node::Branch(prefix(node), View::Upper(2 * node), View::Upper(2 * node + 1))),
            },
        }
    }

    fn hash(&self, view: View<'_>) -> Hash {
        match view {
            View::Upper(node) => *self.upper.node(node),
            View::Leaves(leaves) => tree::root(leaves),
        }
    }
}

/// Whether something named may lie below a position.
fn may_meet(gone: &[Prefix], position: &Prefix) -> bool {
    gone.iter().any(|gone| gone.holds(position) || position.holds(gone))
}

/// Whether everything below a prefix is named.
fn is_gone(gone: &[Prefix], prefix: &Prefix) -> bool {
    gone.iter().any(|gone| gone.holds(prefix))
}

impl Removal {
    /// Checks that from `before` to `after` the named subtrees were emptied and nothing else was changed. Says for each
    /// of them whether it held something before.
    ///
    /// # Errors
    /// Why the proof is none.
    pub fn check(&self, before: &Hash, after: &Hash, named: &[Named]) -> Result<Vec<bool>, ProofFault> {
        let gone = prefixes(named);
        let mut removed = Vec::new();
        let (old, new) = self.0.check(&Prefix::ALL, &gone, &mut removed)?;
        if old != *before {
            return Err(ProofFault::Before);
        }
        if new != *after {
            return Err(ProofFault::After);
        }
        let held = |named: &Named| {
            let prefixes = Prefix::of_target(&named.0, named.1);
            removed
                .iter()
                .any(|removed| is_gone(&prefixes, removed) || prefixes.iter().any(|named| removed.holds(named)))
        };
        Ok(named.iter().map(held).collect())
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.0.write(&Prefix::ALL, &mut bytes);
        bytes
    }

    /// Reads its bytes.
    ///
    /// # Errors
    /// Bytes that are not exactly what [`Removal::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, ProofFault> {
        let mut rest = bytes;
        let removal = Self(Part::read(&Prefix::ALL, &mut rest)?);
        if rest.is_empty() && removal.encode() == bytes { Ok(removal) } else { Err(ProofFault::Spelling) }
    }
}

impl Part {
    /// The hash of this subtree, with and without what is named. Notes what was removed.
    fn check(&self, position: &Prefix, gone: &[Prefix], removed: &mut Vec<Prefix>) -> Result<(Hash, Hash), ProofFault> {
        match self {
            Self::Empty if *position == Prefix::ALL => Ok((EMPTY, EMPTY)),
            Self::Empty => Err(ProofFault::Place),
            Self::Hash(hash) if may_meet(gone, position) || *hash == EMPTY => Err(ProofFault::Closed),
            Self::Hash(hash) => Ok((*hash, *hash)),
            Self::Leaf(place, value) => {
                let (hash, place) = (leaf_hash(place, value), Prefix::of(place, PLACE_BITS));
                placed(position, &place)?;
                let is_gone = is_gone(gone, &place);
                removed.extend(is_gone.then_some(place));
                Ok((hash, if is_gone { EMPTY } else { hash }))
            }
            Self::Branch(prefix, sides) => {
                placed(position, prefix)?;
                if is_gone(gone, prefix) {
                    removed.push(*prefix);
                    let (hash, _) = Self::branch(prefix, sides, &[], removed)?;
                    return Ok((hash, EMPTY));
                }
                Self::branch(prefix, sides, gone, removed)
            }
        }
    }

    fn branch(
        prefix: &Prefix,
        sides: &(Self, Self),
        gone: &[Prefix],
        removed: &mut Vec<Prefix>,
    ) -> Result<(Hash, Hash), ProofFault> {
        let depth = u8::try_from(prefix.length).map_err(|_| ProofFault::Place)?;
        let (left, right) = sides;
        let (left_old, left_new) = left.check(&prefix.side(false), gone, removed)?;
        let (right_old, right_new) = right.check(&prefix.side(true), gone, removed)?;
        let hash = |left: &Hash, right: &Hash| branch_hash(depth, &prefix.bits, left, right);
        let lifted = |part: &Self, hash| if matches!(part, Self::Hash(_)) { Err(ProofFault::Closed) } else { Ok(hash) };
        let new = match (left_new, right_new) {
            (EMPTY, EMPTY) => EMPTY,
            (EMPTY, other) => lifted(right, other)?,
            (other, EMPTY) => lifted(left, other)?,
            (left, right) => hash(&left, &right),
        };
        Ok((hash(&left_old, &right_old), new))
    }

    /// Of a place only those bytes that the position does not say.
    fn write(&self, position: &Prefix, bytes: &mut Vec<u8>) {
        let said = usize::from(position.length / 8);
        match self {
            Self::Empty => bytes.push(0),
            Self::Hash(hash) => {
                bytes.push(1);
                bytes.extend(hash);
            }
            Self::Leaf(place, value) => {
                bytes.push(2);
                bytes.extend(&place[said..]);
                bytes.extend(value);
            }
            Self::Branch(prefix, sides) => {
                bytes.extend([3, prefix.length as u8]);
                bytes.extend(&prefix.bits[said..usize::from(prefix.length.div_ceil(8)).max(said)]);
                sides.0.write(&prefix.side(false), bytes);
                sides.1.write(&prefix.side(true), bytes);
            }
        }
    }

    fn read(position: &Prefix, bytes: &mut &[u8]) -> Result<Self, ProofFault> {
        let said = usize::from(position.length / 8);
        match take(bytes, 1)?[0] {
            0 => Ok(Self::Empty),
            1 => Ok(Self::Hash(hash(take(bytes, 32)?))),
            2 => {
                let place = place(position, said, take(bytes, 32 - said)?);
                placed(position, &Prefix::of(&place, PLACE_BITS))?;
                Ok(Self::Leaf(place, hash(take(bytes, 32)?)))
            }
            3 => {
                let length = u16::from(take(bytes, 1)?[0]);
                let count = usize::from(length.div_ceil(8)).saturating_sub(said);
                let bits = place(position, said, take(bytes, count)?);
                let prefix = Prefix::of(&bits, length);
                // Longer with every step: so the depth of this is bounded.
                placed(position, &prefix)?;
                let left = Self::read(&prefix.side(false), bytes)?;
                let right = Self::read(&prefix.side(true), bytes)?;
                Ok(Self::Branch(prefix, Box::new((left, right))))
            }
            _ => Err(ProofFault::Spelling),
        }
    }
}

/// What is opened must lie where its own place says.
fn placed(position: &Prefix, prefix: &Prefix) -> Result<(), ProofFault> {
    if position.holds(prefix) { Ok(()) } else { Err(ProofFault::Place) }
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8], ProofFault> {
    let (taken, rest) = bytes.split_at_checked(count).ok_or(ProofFault::Spelling)?;
    *bytes = rest;
    Ok(taken)
}

fn hash(bytes: &[u8]) -> Hash {
    let mut hash = EMPTY;
    hash.copy_from_slice(bytes);
    hash
}

fn place(position: &Prefix, said: usize, bytes: &[u8]) -> Hash {
    let mut place = position.bits;
    place[said..said + bytes.len()].copy_from_slice(bytes);
    place
}

#[cfg(test)]
#[path = "proof_tests.rs"]
mod tests;
