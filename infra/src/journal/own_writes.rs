//! Which streams this process has moved.
//!
//! A guarded commit goes without a filler if the end of the whole journal stream is known, and the guard is known not to have
//! moved until there. Flights go one after the other ([`super::group`]), so that end is mostly the own last acknowledgement.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// So many own writes are remembered: more than happen between reading a guard and publishing under it.
const REMEMBERED: usize = 4096;

/// The own writes to one journal stream: sequence and subject.
#[derive(Debug, Default)]
pub(super) struct OwnWrites(Mutex<BTreeMap<u64, String>>);

impl OwnWrites {
    /// Notes an acknowledged write.
    pub(super) fn wrote(&self, subject: &str, sequence: u64) {
        let mut own = self.lock();
        own.insert(sequence, subject.to_owned());
        if own.len() > REMEMBERED {
            own.pop_first();
        }
    }

    /// Whether a subject got a message after the sequence `since`, up to `until`. None: not everything in between is
    /// known to be the own work.
    pub(super) fn moved(&self, subject: &str, since: u64, until: u64) -> Option<bool> {
        if until <= since {
            return Some(false);
        }
        let own = self.lock();
        let (mut known, mut moved) = (0, false);
        for written in own.range(since + 1..=until).map(|(_, written)| written) {
            known += 1;
            moved |= written == subject;
        }
        (moved || known == until - since).then_some(moved)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, String>> {
        // Every change is complete at once, so a poisoned map is a whole one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        assert_eq!(writes.lock().len(), REMEMBERED);
        assert_eq!(writes.moved("b", 0, last), None);
        assert_eq!(writes.moved("b", 1, last), Some(false));
    }
}
