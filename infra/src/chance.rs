//! Time and chance of the real world: the only place that asks the system for either.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use domain::port::{Clock, Dice};
use time::OffsetDateTime;
use uuid::Uuid;

#[expect(clippy::disallowed_methods, reason = "the one place that asks for the time")]
fn wall() -> SystemTime {
    SystemTime::now()
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::from(wall())
    }
}

/// The system's random numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemDice;

impl Dice for SystemDice {
    fn uuid(&self) -> Uuid {
        let mut bytes = [0; 16];
        fill_random(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    fn bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        fill_random(&mut bytes);
        bytes
    }
}

/// Fills `bytes` from the system's source of random numbers.
///
/// # Panics
/// When the system has no random numbers. No key, nonce or id may be made then, so there is nothing to go on with.
#[expect(clippy::disallowed_methods, reason = "the one place that asks for chance")]
pub(crate) fn fill_random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system gives random numbers");
}

/// Time that has passed since some fixed moment, the time during which the machine slept included. Never goes back.
pub trait LeaseClock: Send + Sync {
    /// How much time has passed.
    fn passed(&self) -> Duration;
}

/// The system's passing of time.
///
/// `Instant` stands still while the machine is suspended, and `CLOCK_BOOTTIME` cannot be read without unsafe code. So
/// every reading adds the larger of what `Instant` and what the wall clock say has passed since the last one: a
/// suspension shows in the wall clock. A wall clock set forward ends leases early, which is safe; one set back counts
/// for nothing, because `Instant` goes on. What stays unseen is a wall clock set back during the very suspension.
#[derive(Debug)]
pub struct SystemLeaseClock(Mutex<Passed>);

#[derive(Debug)]
struct Passed {
    monotonic: Instant,
    wall: SystemTime,
    total: Duration,
}

impl Default for SystemLeaseClock {
    fn default() -> Self {
        Self(Mutex::new(Passed { monotonic: Instant::now(), wall: wall(), total: Duration::ZERO }))
    }
}

impl LeaseClock for SystemLeaseClock {
    fn passed(&self) -> Duration {
        let mut passed = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        passed.advance(Instant::now(), wall())
    }
}

impl Passed {
    fn advance(&mut self, monotonic: Instant, wall: SystemTime) -> Duration {
        let running = monotonic.saturating_duration_since(self.monotonic);
        let on_the_wall = wall.duration_since(self.wall).unwrap_or(Duration::ZERO);
        self.total += running.max(on_the_wall);
        self.monotonic = monotonic;
        self.wall = wall;
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspension_counts_and_a_wall_clock_set_back_takes_nothing_away() {
        let (monotonic, wall) = (Instant::now(), wall());
        let second = Duration::from_secs(1);
        let mut passed = Passed { monotonic, wall, total: Duration::ZERO };
        assert_eq!(passed.advance(monotonic + second, wall + 60 * second), 60 * second, "slept for 59 s");
        assert_eq!(passed.advance(monotonic + 3 * second, wall), 62 * second, "set back by a minute");
        assert_eq!(passed.advance(monotonic + 3 * second, wall), 62 * second);
    }

    #[test]
    fn a_random_uuid_says_that_it_is_random_and_is_new_each_time() {
        let (first, second) = (SystemDice.uuid(), SystemDice.uuid());
        assert_eq!(first.get_version_num(), 4);
        assert_ne!(first, second);
        assert_ne!(SystemDice.bytes(), SystemDice.bytes());
    }
}
