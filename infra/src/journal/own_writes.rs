//! Which streams this process has moved.
//!
//! A guarded commit goes without a filler if the end of the whole journal stream is known, and the guard is known not to have
//! moved until there. Flights go one after the other ([`super::group`]), so that end is mostly the own last acknowledgement.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So many own writes are remembered: more than happen between reading a guard and publishing under it.
const REMEMBERED: usize = 4096;

/// The own writes to one journal stream.
#[derive(Debug, Default)]
pub(super) struct OwnWrites(Mutex<Own>);

/// Each of them, and what makes it quick to ask about many at once: a flight of hundreds asks for each of its messages.
#[derive(Debug, Default)]
struct Own {
    subjects: BTreeMap<u64, Arc<str>>,
    /// The last of each subject.
    last: BTreeMap<Arc<str>, u64>,
    /// Runs of sequences that are all own: first and last.
    runs: BTreeMap<u64, u64>,
}

impl OwnWrites {
    /// Notes an acknowledged write.
    pub(super) fn wrote(&self, subject: &str, sequence: u64) {
        let mut own = self.lock();
        own.note(subject.into(), sequence);
        if own.subjects.len() > REMEMBERED {
            own.forget_first();
        }
    }

    /// Whether a subject got a message after the sequence `since`, up to `until`. None: not everything in between is
    /// known to be the own work.
    pub(super) fn moved(&self, subject: &str, since: u64, until: u64) -> Option<bool> {
        if until <= since {
            return Some(false);
        }
        let own = self.lock();
        let moved = match own.last.get(subject) {
            Some(last) if *last > until => own.subjects.range(since + 1..=until).any(|(_, other)| **other == *subject),
            Some(last) => *last > since,
            None => false,
        };
        let run = own.runs.range(..=since + 1).next_back();
        let all_known = run.is_some_and(|(_, last)| *last >= until);
        (moved || all_known).then_some(moved)
    }

    fn lock(&self) -> MutexGuard<'_, Own> {
        // What a panic could leave half done is a run too few: then less is known, and nothing is wrong.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Own {
    fn note(&mut self, subject: Arc<str>, sequence: u64) {
        let last = self.last.entry(subject.clone()).or_default();
        *last = sequence.max(*last);
        if self.subjects.insert(sequence, subject).is_some() {
            return;
        }
        let before = self.runs.range(..sequence).next_back().filter(|(_, last)| **last + 1 == sequence);
        let first = before.map_or(sequence, |(first, _)| *first);
        let last = self.runs.remove(&(sequence + 1)).unwrap_or(sequence);
        self.runs.insert(first, last);
    }

    fn forget_first(&mut self) {
        let Some((sequence, subject)) = self.subjects.pop_first() else { return };
        if self.last.get(&subject) == Some(&sequence) {
            self.last.remove(&subject);
        }
        if let Some(last) = self.runs.remove(&sequence).filter(|last| *last > sequence) {
            self.runs.insert(sequence + 1, last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_from_unbroken_own_work_it_is_known_that_nothing_moved() {
        let writes = OwnWrites::default();
        // Acknowledged out of order; somebody else wrote 3.
        for (sequence, subject) in [(1, "a"), (2, "b"), (5, "a"), (4, "b"), (6, "b")] {
            writes.wrote(subject, sequence);
        }
        for (subject, since, until, moved) in [
            ("a", 0, 2, Some(true)),
            ("a", 1, 2, Some(false)),
            ("a", 2, 2, Some(false)),
            ("a", 1, 4, None),
            ("a", 2, 5, Some(true)),
            ("a", 3, 6, Some(true)),
            ("a", 5, 6, Some(false)),
            ("a", 5, 7, None),
            ("c", 3, 6, Some(false)),
        ] {
            assert_eq!(writes.moved(subject, since, until), moved, "{subject} in ({since}, {until}]");
        }
    }

    #[test]
    fn what_was_forgotten_is_not_known() {
        let writes = OwnWrites::default();
        let last = REMEMBERED as u64 + 1;
        for sequence in 1..=last {
            writes.wrote("a", sequence);
        }
        assert_eq!(writes.lock().subjects.len(), REMEMBERED);
        assert_eq!(writes.moved("b", 0, last), None);
        assert_eq!(writes.moved("b", 1, last), Some(false));
    }

    /// The same by going through all of them.
    fn plainly(all: &BTreeMap<u64, &str>, subject: &str, since: u64, until: u64) -> Option<bool> {
        let between: Vec<_> = all.range(since + 1..=until).collect();
        let moved = between.iter().any(|(_, written)| **written == subject);
        (moved || between.len() as u64 == until - since).then_some(moved)
    }

    #[test]
    fn it_answers_as_who_goes_through_all_of_them() {
        let (writes, mut all) = (OwnWrites::default(), BTreeMap::new());
        // Twelve sequences in an order of their own, some of them left to others.
        for n in [3, 1, 9, 2, 12, 5, 6, 10, 4] {
            let subject = ["a", "b", "c"][n as usize % 3];
            writes.wrote(subject, n);
            all.insert(n, subject);
            for (since, until) in (0..13).flat_map(|since| (since + 1..14).map(move |until| (since, until))) {
                for subject in ["a", "b", "c", "d"] {
                    let expected = plainly(&all, subject, since, until);
                    assert_eq!(
                        writes.moved(subject, since, until),
                        expected,
                        "{subject} in ({since}, {until}]: {all:?}"
                    );
                }
            }
        }
    }
}
