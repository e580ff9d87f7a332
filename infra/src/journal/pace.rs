//! How fast writes go, learned from the last ones, and so which way a flight takes.
//!
//! On one replica that syncs every write, each message of its own costs a sync; a batch costs a few, whatever it holds. From how
//! many messages on a batch is faster differs from disk to disk, so it is measured.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a further message adds to a batch, µs: hardly anything, and the same on every disk.
const FURTHER: u64 = 10;

/// The bounds of what is measured: fewer messages never go as a batch, more always do. So neither way goes unmeasured for long.
const FEW: u64 = 8;
const MANY: u64 = 64;

/// Newer measurements weigh one in so many.
const WEIGHT: u64 = 8;

/// Moving averages of what writes take, µs.
#[derive(Debug)]
pub(super) struct Pace {
    /// One of several messages sent one after the other without waiting.
    single: AtomicU64,
    /// A batch, apart from what each message adds.
    batch: AtomicU64,
}

impl Default for Pace {
    /// As seen on a disk of 2026; the first flights put it right.
    fn default() -> Self {
        Self { single: AtomicU64::new(170), batch: AtomicU64::new(3000) }
    }
}

impl Pace {
    /// From how many messages on a batch is faster.
    pub(super) fn batch_from(&self) -> usize {
        let saved = self.single.load(Ordering::Relaxed).saturating_sub(FURTHER).max(1);
        let messages = (self.batch.load(Ordering::Relaxed) / saved).clamp(FEW, MANY);
        usize::try_from(messages).unwrap_or(usize::MAX)
    }

    /// So long took `messages` sent one after the other.
    pub(super) fn sent_singly(&self, messages: usize, took: Duration) {
        // With fewer, the way there and back weighs more than the writes.
        if messages as u64 >= FEW / 2 {
            learn(&self.single, micros(took) / messages as u64);
        }
    }

    /// So long took a batch of `messages`.
    pub(super) fn sent_as_batch(&self, messages: usize, took: Duration) {
        learn(&self.batch, micros(took).saturating_sub(FURTHER * messages as u64));
    }
}

fn learn(average: &AtomicU64, measured: u64) {
    // Two at once may lose one measurement, which does no harm.
    let before = average.load(Ordering::Relaxed);
    average.store((before * (WEIGHT - 1) + measured) / WEIGHT, Ordering::Relaxed);
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX / WEIGHT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slower_the_sync_the_sooner_a_batch_pays() {
        for (single, batch, from) in
            [(170, 3000, 18), (1000, 4000, 8), (100, 3000, 33), (20, 5000, 64), (5, 5000, 64), (700, 700, 8)]
        {
            let pace = Pace::default();
            for _ in 0..100 {
                pace.sent_singly(10, Duration::from_micros(single * 10));
                pace.sent_as_batch(100, Duration::from_micros(batch + 1000));
            }
            assert!(pace.batch_from().abs_diff(from) <= 1, "{single} {batch}: {}", pace.batch_from());
        }
    }

    #[test]
    fn one_message_tells_nothing_about_many() {
        let pace = Pace::default();
        let before = pace.batch_from();
        (0..100).for_each(|_| pace.sent_singly(1, Duration::from_secs(1)));
        assert_eq!(pace.batch_from(), before);
    }
}
