//! Points at which a test lets the process die.
//!
//! Whoever has a step after which a crash must do no harm emits an event with the target [`FAILPOINT_TARGET`] and a
//! field `at`, its name. Nobody listens to them but [`Failpoints`], which only a test binary asks for; without it they
//! cost one atomic load.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// The target of events that mark a point at which a crash is worth a test.
pub const FAILPOINT_TARGET: &str = "failpoint";

/// Where this process is to die, and where it writes down the points that it passes.
#[derive(Debug, Clone, Default)]
pub struct Failpoints {
    /// Dies here.
    pub die_at: Option<DieAt>,
    /// Each point that is passed becomes a line in this file.
    pub seen: Option<PathBuf>,
}

/// A point, and at which passing of it to die: `name` or `name:3`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DieAt {
    name: String,
    passing: u32,
}

impl FromStr for DieAt {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.split_once(':') {
            Some((name, passing)) => Self { name: name.to_owned(), passing: passing.parse()? },
            None => Self { name: text.to_owned(), passing: 1 },
        })
    }
}

/// Dies as if killed with -9: no destructor runs, nothing is flushed.
pub(super) struct DyingLayer {
    points: Failpoints,
    passed: AtomicU32,
}

impl DyingLayer {
    pub(super) fn new(points: Failpoints) -> Self {
        Self { points, passed: AtomicU32::new(0) }
    }

    fn pass(&self, name: &str) {
        if let Some(file) = &self.points.seen {
            let opened = OpenOptions::new().create(true).append(true).open(file);
            opened.and_then(|mut file| file.write_all(format!("{name}\n").as_bytes())).expect("a file for failpoints");
        }
        let Some(die) = self.points.die_at.as_ref().filter(|die| die.name == name) else {
            return;
        };
        if self.passed.fetch_add(1, Ordering::SeqCst) + 1 == die.passing {
            std::process::abort();
        }
    }
}

impl<S: Subscriber> Layer<S> for DyingLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == FAILPOINT_TARGET {
            event.record(&mut Name(self));
        }
    }
}

struct Name<'a>(&'a DyingLayer);

impl Visit for Name<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "at" {
            self.0.pass(value);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_named_with_the_passing_at_which_to_die() {
        assert_eq!("a-b".parse(), Ok(DieAt { name: "a-b".into(), passing: 1 }));
        assert_eq!("a-b:3".parse(), Ok(DieAt { name: "a-b".into(), passing: 3 }));
        assert!("a-b:x".parse::<DieAt>().is_err());
    }
}
