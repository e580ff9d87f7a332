//! Publishing until the outcome is known.
//!
//! A lost acknowledgement leaves open whether the message was stored. Reading tells if it was; if it was not, the same
//! bytes go out again under the same expectation: should the first ones still arrive, one of the two is refused.

use std::time::Duration;

use async_trait::async_trait;
use domain::port::Failure;
use tokio::time::{Instant, sleep};

use super::refusal::{ApiError, Code, Refusal, Verdict};

/// How long to insist: longer than a restart of the server takes, shorter than a caller waits.
const PATIENCE: Duration = Duration::from_secs(20);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Something to store once.
#[async_trait]
pub(super) trait Attempt: Sync {
    /// What the one who stored it wants to know.
    type Ack: Send;

    /// Publishes it under its expectation. May be called again.
    async fn publish(&self) -> Result<Self::Ack, Refusal>;

    /// Reads what stands where it belongs.
    async fn settle(&self) -> Result<Settled<Self::Ack>, Failure>;
}

/// What stands where a message belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled<T> {
    /// The very message.
    Own(T),
    /// Another one: it can never be stored any more.
    Other,
    /// Nothing yet.
    Nothing,
}

/// Why something was not stored.
#[derive(Debug)]
pub(super) enum NotStored {
    /// Its expectation does not hold.
    Moved,
    /// The server does not take it, or could not be asked for so long that the outcome stays open; the failure says which.
    Failed(Failure),
}

/// Publishes until it is known whether it was stored, as long as patience lasts.
pub(super) async fn insist<A: Attempt>(attempt: &A) -> Result<A::Ack, NotStored> {
    let deadline = Instant::now() + PATIENCE;
    let mut pause = FIRST_PAUSE;
    let mut in_doubt = false;
    loop {
        let refusal = match attempt.publish().await {
            Ok(ack) => return Ok(ack),
            Err(refusal) => refusal,
        };
        let verdict = refusal.verdict();
        in_doubt |= verdict == Verdict::Unclear;
        if !in_doubt {
            return Err(not_stored(verdict, &refusal));
        }
        match attempt.settle().await {
            Ok(Settled::Own(ack)) => return Ok(ack),
            Ok(Settled::Other) => return Err(NotStored::Moved),
            // In a cluster the write in flight may be our own.
            Ok(Settled::Nothing) if verdict != Verdict::Unclear && !is_in_flight(&refusal) => {
                return Err(not_stored(verdict, &refusal));
            }
            Ok(Settled::Nothing) | Err(Failure::Unavailable { .. }) => {}
            Err(failure) => return Err(NotStored::Failed(failure)),
        }
        if Instant::now() >= deadline {
            let cause = format!("whether it was stored is not known; send the same command again ({refusal})");
            return Err(NotStored::Failed(Failure::unavailable("the journal", cause)));
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn not_stored(verdict: Verdict, refusal: &Refusal) -> NotStored {
    match verdict {
        Verdict::Moved => NotStored::Moved,
        Verdict::Refused | Verdict::Unclear => {
            NotStored::Failed(Failure::unavailable("the journal", format!("nothing was stored: {refusal}")))
        }
    }
}

fn is_in_flight(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Server(error @ ApiError { .. }) if error.code() == Code::WriteInFlight)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use super::*;

    /// A world in which publishing and reading end as listed.
    struct Script {
        publish: Mutex<VecDeque<Result<u64, Refusal>>>,
        settle: Mutex<VecDeque<Result<Settled<u64>, Failure>>>,
    }

    #[async_trait]
    impl Attempt for Script {
        type Ack = u64;
        async fn publish(&self) -> Result<u64, Refusal> {
            self.publish.lock().unwrap().pop_front().expect("published too often")
        }
        async fn settle(&self) -> Result<Settled<u64>, Failure> {
            self.settle.lock().unwrap().pop_front().expect("read too often")
        }
    }

    fn server(number: u64) -> Refusal {
        Refusal::Server(ApiError { status: 400, number, description: String::new() })
    }

    fn silence() -> Refusal {
        Refusal::Silence("timed out".into())
    }

    async fn outcome(
        publish: impl IntoIterator<Item = Result<u64, Refusal>>,
        settle: impl IntoIterator<Item = Result<Settled<u64>, Failure>>,
    ) -> String {
        let script = Script {
            publish: Mutex::new(publish.into_iter().collect()),
            settle: Mutex::new(settle.into_iter().collect()),
        };
        let outcome = match insist(&script).await {
            Ok(sequence) => format!("stored at {sequence}"),
            Err(NotStored::Moved) => "moved".to_owned(),
            Err(NotStored::Failed(_)) => "failed".to_owned(),
        };
        assert!(script.publish.lock().unwrap().is_empty(), "published too seldom");
        assert!(script.settle.lock().unwrap().is_empty(), "read too seldom");
        outcome
    }

    #[tokio::test]
    async fn a_clear_answer_needs_no_reading() {
        assert_eq!(outcome([Ok(7)], []).await, "stored at 7");
        assert_eq!(outcome([Err(server(10071))], []).await, "moved");
        assert_eq!(outcome([Err(server(10164))], []).await, "moved");
        assert_eq!(outcome([Err(server(10054))], []).await, "failed");
    }

    #[tokio::test]
    async fn after_a_lost_acknowledgement_reading_tells() {
        assert_eq!(outcome([Err(silence())], [Ok(Settled::Own(7))]).await, "stored at 7");
        assert_eq!(outcome([Err(server(10201))], [Ok(Settled::Own(7))]).await, "stored at 7");
        assert_eq!(outcome([Err(silence())], [Ok(Settled::Other)]).await, "moved");
        let damaged = Err(Failure::damaged("commit 7", "cut off"));
        assert_eq!(outcome([Err(silence())], [damaged]).await, "failed");
    }

    #[tokio::test]
    async fn what_was_not_stored_is_sent_again() {
        assert_eq!(outcome([Err(silence()), Ok(8)], [Ok(Settled::Nothing)]).await, "stored at 8");
        let deaf = Err(Failure::unavailable("the journal", "restarting"));
        assert_eq!(outcome([Err(Refusal::NobodyThere), Ok(8)], [deaf]).await, "stored at 8");
    }

    #[tokio::test]
    async fn the_second_try_may_meet_the_first() {
        let arrived_late = [Ok(Settled::Nothing), Ok(Settled::Own(7))];
        assert_eq!(outcome([Err(silence()), Err(server(10071))], arrived_late).await, "stored at 7");
        let in_flight = [Ok(Settled::Nothing), Ok(Settled::Nothing), Ok(Settled::Own(7))];
        let refusals = [Err(silence()), Err(server(10164)), Err(server(10071))];
        assert_eq!(outcome(refusals, in_flight).await, "stored at 7");
        let guard_moved = [Ok(Settled::Nothing), Ok(Settled::Nothing)];
        assert_eq!(outcome([Err(silence()), Err(server(10071))], guard_moved).await, "moved");
    }
}
