//! What this process wrote last, as far as nobody else has written in between: whoever needs the store's last changes
//! need not ask for these.
//!
//! The sequences say it: every message of the store has the next one, whoever wrote it. What follows on one another
//! without a gap was written by this process alone, and it knows the bytes. Nothing in here is open.

use std::collections::BTreeMap;

use super::bucket::Bucket;
use super::store::{BucketPlace, NodeWrite, Place, StoredNode};
use super::tree::KeyTree;
use crate::log::Hash;

/// A write of more nodes than this is not kept, nor what was written before it. A shred of one person has six.
const NODES_MAX: usize = 64;

/// So many nodes are kept at most.
const KEPT_MAX: usize = 4 * NODES_MAX;

/// A message that this process wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) node: StoredNode,
    /// The bucket, and the root of its part of the key map, if it is one.
    pub(super) leaves: Option<(BucketPlace, Hash)>,
}

/// Every message of the store after one sequence, up to another.
#[derive(Debug, Default)]
pub(super) struct Tail {
    after: u64,
    through: u64,
    written: Vec<Written>,
}

impl Tail {
    fn begin_anew(&mut self, after: u64) {
        *self = Self { after, through: after, written: Vec::new() };
    }

    fn wrote(&mut self, written: Written) {
        let sequence = written.node.sequence;
        if sequence != self.through + 1 || self.written.len() >= KEPT_MAX {
            self.begin_anew(sequence.saturating_sub(1));
        }
        self.through = sequence;
        self.written.push(written);
    }

    /// What was written after a sequence, ascending, each place once; none if somebody else may have written there, too.
    /// Empty says no more than that this process wrote nothing.
    fn since(&self, after: u64) -> Option<Vec<Written>> {
        if after < self.after {
            return None;
        }
        let newer = || self.written.iter().filter(|written| written.node.sequence > after);
        let last: BTreeMap<&str, u64> = newer().map(|written| (&*written.node.place, written.node.sequence)).collect();
        let is_last = |written: &&Written| last.get(&*written.node.place) == Some(&written.node.sequence);
        Some(newer().filter(is_last).cloned().collect())
    }
}

/// Writes that may be noted once they are stored.
pub(super) struct ToNote(Option<Vec<NodeWrite>>);

impl ToNote {
    pub(super) fn of(writes: &[NodeWrite]) -> Self {
        Self((writes.len() <= NODES_MAX).then(|| writes.to_vec()))
    }
}

impl KeyTree {
    /// Takes note of what was stored at `sequences`; `buckets` as they are now.
    pub(super) fn note(&self, noted: ToNote, sequences: &[u64], buckets: &BTreeMap<BucketPlace, Bucket>) {
        let mut tail = self.tail();
        let Some(writes) = noted.0 else {
            return tail.begin_anew(sequences.last().copied().unwrap_or_default());
        };
        let mut leaves: BTreeMap<String, (BucketPlace, Hash)> = buckets
            .iter()
            .map(|(place, bucket)| (Place::Bucket(*place).to_string(), (*place, bucket.leaves().root())))
            .collect();
        for (write, sequence) in writes.into_iter().zip(sequences) {
            let leaves = leaves.remove(&write.place);
            let node = StoredNode { place: write.place, sequence: *sequence, bytes: write.bytes };
            tail.wrote(Written { node, leaves });
        }
    }

    /// See [`Tail::since`].
    pub(super) fn written_since(&self, after: u64) -> Option<Vec<Written>> {
        self.tail().since(after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrote(tail: &mut Tail, place: &str, sequence: u64) {
        let node = StoredNode { place: place.to_owned(), sequence, bytes: sequence.to_be_bytes().to_vec() };
        tail.wrote(Written { node, leaves: None });
    }

    fn since(tail: &Tail, after: u64) -> Option<Vec<(String, u64)>> {
        let node = |written: Written| (written.node.place, written.node.sequence);
        tail.since(after).map(|written| written.into_iter().map(node).collect())
    }

    #[test]
    fn what_was_written_is_told_once_a_place_from_where_it_is_known() {
        let mut tail = Tail::default();
        for (place, sequence) in [("a", 11), ("b", 12), ("a", 13)] {
            wrote(&mut tail, place, sequence);
        }
        assert_eq!(since(&tail, 9), None, "somebody may have written 10");
        assert_eq!(since(&tail, 10), Some(vec![("b".to_owned(), 12), ("a".to_owned(), 13)]));
        assert_eq!(since(&tail, 12), Some(vec![("a".to_owned(), 13)]));
        assert_eq!(since(&tail, 13), Some(vec![]));
    }

    #[test]
    fn after_a_gap_nothing_before_it_is_known() {
        let mut tail = Tail::default();
        wrote(&mut tail, "a", 11);
        wrote(&mut tail, "b", 13);
        assert_eq!((since(&tail, 10), since(&tail, 11)), (None, None), "somebody wrote 12");
        assert_eq!(since(&tail, 12), Some(vec![("b".to_owned(), 13)]));
        // A store that was put back.
        wrote(&mut tail, "c", 5);
        assert_eq!(since(&tail, 4), Some(vec![("c".to_owned(), 5)]));
        tail.begin_anew(100);
        assert_eq!((since(&tail, 4), since(&tail, 100)), (None, Some(vec![])));
    }

    #[test]
    fn no_more_is_kept_than_has_a_use() {
        let mut tail = Tail::default();
        for sequence in 1..=KEPT_MAX as u64 + 1 {
            wrote(&mut tail, &sequence.to_string(), sequence);
        }
        assert_eq!(tail.written.len(), 1);
        assert_eq!(since(&tail, KEPT_MAX as u64).map(|written| written.len()), Some(1));
    }
}
