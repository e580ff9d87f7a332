//! Where the platform is reached now, and what it said when it failed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::cast::Clients;
use super::history::{Finding, Sent, Wrong};
use crate::cli::ApiError;

/// Where the platform is reached: its port is another after each start.
pub(super) struct Reach(watch::Sender<Clients>);

impl Reach {
    pub(super) fn new(clients: Clients) -> Self {
        Self(watch::Sender::new(clients))
    }

    pub(super) fn now(&self) -> Clients {
        self.0.borrow().clone()
    }

    pub(super) fn moved(&self, clients: Clients) {
        self.0.send_replace(clients);
    }
}

/// What the platform said when it failed, of everybody.
#[derive(Default)]
pub(super) struct Said(Mutex<Failures>);

#[derive(Debug, Default, Clone)]
pub(super) struct Failures {
    /// Commands that were not answered at once.
    pub(super) in_doubt: usize,
    /// Answers 503 (or 429) that said why.
    pub(super) unavailable: usize,
    /// What should have been said otherwise.
    pub(super) findings: Vec<Finding>,
}

/// So many findings of one kind are enough.
const ENOUGH: usize = 5;

impl Said {
    /// A command whose first answer was none.
    pub(super) fn doubted(&self, count: usize) {
        self.with(|failures| failures.in_doubt += count);
    }

    /// Who hangs up soon hears of nothing; who waited for very long was left hanging.
    pub(super) fn silence(&self, sent: &Sent, waited: Duration) {
        if waited >= super::write::HANGS {
            let what = format!("{} {} got no answer for {} s", sent.name(), sent.id, waited.as_secs());
            self.with(|failures| failures.note(Wrong::Hung, what));
        }
    }

    /// A failure says what it is: 503 or 429, with a code.
    pub(super) fn failure(&self, sent: &Sent, error: &ApiError) {
        let Some(status) = error.status else { return };
        self.with(|failures| {
            if matches!(status, 429 | 503) && !error.code.is_empty() {
                failures.unavailable += 1;
            } else {
                failures.note(Wrong::Unclear, format!("{} {}: {error}", sent.name(), sent.id));
            }
        });
    }

    pub(super) fn take(self) -> Failures {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn with(&self, change: impl FnOnce(&mut Failures)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Failures {
    fn note(&mut self, wrong: Wrong, what: String) {
        if self.findings.iter().filter(|finding| finding.wrong == wrong).count() < ENOUGH {
            self.findings.push(Finding { wrong, what });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::history::Part;
    use super::*;

    fn sent() -> Sent {
        Sent { id: uuid::Uuid::nil(), by: Part::Dpo, path: "/p".into(), body: json!({"type": "x"}), answer: None }
    }

    fn refused(status: u16, code: &str) -> ApiError {
        let mut error = ApiError::local("words".into()).with_status(status);
        error.code = code.into();
        error
    }

    #[test]
    fn a_failure_without_words_and_one_that_is_nobodys_turn_are_found() {
        for (error, clear) in [
            (refused(503, "unavailable"), true),
            (refused(429, "busy"), true),
            (refused(503, ""), false),
            (refused(500, "internal"), false),
            (ApiError::local("nobody there".into()), true),
        ] {
            let said = Said::default();
            said.failure(&sent(), &error);
            assert_eq!(said.take().findings.is_empty(), clear, "{error}");
        }
    }

    #[test]
    fn who_was_left_hanging_says_so_and_who_hung_up_does_not() {
        let said = Said::default();
        said.silence(&sent(), Duration::from_secs(2));
        said.silence(&sent(), super::super::write::HANGS);
        assert_eq!(said.take().findings.iter().map(|finding| finding.wrong).collect::<Vec<_>>(), [Wrong::Hung]);
    }
}
