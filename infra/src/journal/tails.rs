//! Remembers at which sequence the ends of streams stand, so that an append need not ask.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::history::{StreamId, Tail};

/// How many ends a generation holds; two generations are kept. About 250 bytes each.
const GENERATION: usize = 16_384;

/// Where a stream ends, as far as known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// The end.
    pub(super) tail: Tail,
    /// Its sequence in the journal stream.
    pub(super) sequence: u64,
    /// The journal stream had reached this sequence before it was read that the stream ends there.
    pub(super) as_of: u64,
}

/// The ends that were used last. Bounded: when the young are many, they become the old ones, and the old are dropped.
#[derive(Debug, Default)]
pub(super) struct Tails(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: BTreeMap<StreamId, Known>,
    old: BTreeMap<StreamId, Known>,
}

impl Tails {
    /// What is known about a stream that ends at `tail`.
    pub(super) fn at(&self, stream: &StreamId, tail: Tail) -> Option<Known> {
        let mut generations = self.lock();
        if let Some(known) = generations.young.get(stream) {
            return (known.tail == tail).then_some(*known);
        }
        let known = *generations.old.get(stream)?;
        generations.put(stream, known);
        (known.tail == tail).then_some(known)
    }

    /// Remembers the end of a stream.
    pub(super) fn put(&self, stream: &StreamId, known: Known) {
        self.lock().put(stream, known);
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        // Every change is complete at once, so a poisoned map is a whole one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn put(&mut self, stream: &StreamId, known: Known) {
        if self.young.len() >= GENERATION && !self.young.contains_key(stream) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(stream.clone(), known);
    }
}

#[cfg(test)]
mod tests {
    use domain::history::{Aggregate, CommitHash, Revision};

    use super::*;

    fn stream(n: usize) -> StreamId {
        StreamId::in_tenant(&"acme".parse().unwrap(), Aggregate::User, n)
    }

    fn known(revision: u64) -> Known {
        let tail = Tail { revision: Revision(revision), hash: CommitHash([1; 32]) };
        Known { tail, sequence: revision * 10, as_of: 0 }
    }

    #[test]
    fn only_the_asked_for_end_is_found() {
        let tails = Tails::default();
        tails.put(&stream(1), known(3));
        assert_eq!(tails.at(&stream(1), known(3).tail), Some(known(3)));
        assert_eq!(tails.at(&stream(1), known(2).tail), None);
        assert_eq!(tails.at(&stream(2), known(3).tail), None);
    }

    #[test]
    fn it_stays_bounded_and_keeps_what_is_used() {
        let tails = Tails::default();
        for n in 0..3 * GENERATION {
            tails.put(&stream(n), known(1));
            assert!(tails.at(&stream(0), known(1).tail).is_some(), "used all the time, gone at {n}");
        }
        let generations = tails.lock();
        assert!(generations.young.len() + generations.old.len() <= 2 * GENERATION);
        assert!(!generations.young.contains_key(&stream(1)) && !generations.old.contains_key(&stream(1)));
    }
}
