//! One publish at a time, and which streams this process has moved.
//!
//! A guarded commit goes the plain way if the end of the whole journal stream is known. With many publishes under way
//! at once nobody knows it; with one at a time it is the own last acknowledgement. A journal stream on one replica
//! syncs one write after the other anyway, so waiting here costs little. Group commit takes the place of this lock by
//! a batch in flight.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use super::refusal::Refusal;

/// How long one publish may keep the others waiting: longer than a slow disk takes.
const TURN: Duration = Duration::from_millis(250);

/// So many own writes are remembered: more than happen between reading a guard and publishing under it.
const REMEMBERED: usize = 1024;

/// The turns of one journal stream's writers in this process.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// First come, first served.
    turn: tokio::sync::Mutex<()>,
    /// The last turn ended without an answer.
    silent: AtomicBool,
    /// Sequence and subject of the own writes.
    own: Mutex<BTreeMap<u64, String>>,
}

impl Turns {
    /// Publishes while nobody else of this process does.
    ///
    /// Whoever hears nothing gives the turn away and waits on beside the others, and until the server answers again
    /// nobody takes one: each would wait out its time limit after all those before it. That is safe, as turns only
    /// make it likely that an expectation holds. The server checks it, and what may have been stored unheard leaves a
    /// gap in the own writes, so that nothing is concluded from them.
    pub(super) async fn alone<T>(&self, publish: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
        let mut publish = pin!(publish);
        let turn = self.turn.lock().await;
        let answer = if self.silent.load(Ordering::SeqCst) { None } else { timeout(TURN, publish.as_mut()).await.ok() };
        if answer.is_none() {
            self.silent.store(true, Ordering::SeqCst);
        }
        drop(turn);
        let outcome = match answer {
            Some(outcome) => outcome,
            None => publish.await,
        };
        if matches!(outcome, Ok(_) | Err(Refusal::Server(_))) {
            self.silent.store(false, Ordering::SeqCst);
        }
        outcome
    }

    /// Notes an acknowledged write.
    pub(super) fn wrote(&self, subject: &str, sequence: u64) {
        let mut own = self.own();
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
        let own = self.own();
        let (mut known, mut moved) = (0, false);
        for written in own.range(since + 1..=until).map(|(_, written)| written) {
            known += 1;
            moved |= written == subject;
        }
        (moved || known == until - since).then_some(moved)
    }

    fn own(&self) -> MutexGuard<'_, BTreeMap<u64, String>> {
        // Every change is complete at once, so a poisoned map is a whole one.
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_from_unbroken_own_work_it_is_known_that_nothing_moved() {
        let turns = Turns::default();
        // Acknowledged out of order; somebody else wrote 3.
        for (sequence, subject) in [(1, "a"), (2, "b"), (5, "a"), (4, "b"), (6, "b")] {
            turns.wrote(subject, sequence);
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
            assert_eq!(turns.moved(subject, since, until), moved, "{subject} in ({since}, {until}]");
        }
    }

    #[test]
    fn what_was_forgotten_is_not_known() {
        let turns = Turns::default();
        let last = REMEMBERED as u64 + 1;
        for sequence in 1..=last {
            turns.wrote("a", sequence);
        }
        assert_eq!(turns.own().len(), REMEMBERED);
        assert_eq!(turns.moved("b", 0, last), None);
        assert_eq!(turns.moved("b", 1, last), Some(false));
    }

    #[tokio::test]
    async fn one_at_a_time() {
        let turns = Turns::default();
        let under_way = AtomicBool::new(false);
        let publish = || async {
            assert!(!under_way.swap(true, Ordering::SeqCst), "two at once");
            tokio::task::yield_now().await;
            under_way.store(false, Ordering::SeqCst);
            Ok(())
        };
        let outcomes = futures_util::future::join_all((0..8).map(|_| turns.alone(publish()))).await;
        assert!(outcomes.iter().all(Result::is_ok));
    }

    #[tokio::test]
    async fn while_there_is_silence_nobody_waits_for_another() {
        let turns = Turns::default();
        // Each answer comes only when all have been sent.
        let sent = tokio::sync::Barrier::new(8);
        let publish = || async {
            sent.wait().await;
            Ok(())
        };
        let outcomes = futures_util::future::join_all((0..8).map(|_| turns.alone(publish()))).await;
        assert!(outcomes.iter().all(Result::is_ok));
        assert!(!turns.silent.load(Ordering::SeqCst), "an answer ends the silence");
    }
}
