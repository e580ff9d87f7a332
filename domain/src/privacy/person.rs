//! What the orders about a person's data must know of that person: the record, and the days from which retention counts.

use crate::Day;
use crate::decider::{Decider, Fold, Recorded};
use crate::field::Malformed;
use crate::history::Commit;
use crate::participant::{Event, Participant};
use crate::study::Milestones;

/// A participant as the orders see it.
#[derive(Debug, Clone, Default)]
pub struct Person {
    /// The record.
    pub participant: Participant,
    /// When what happened to it, as captured.
    pub milestones: Milestones,
}

impl Fold for Person {
    fn apply(&mut self, commit: &Commit) -> Result<(), Malformed> {
        let on = Day(commit.header.captured_at.to_offset(time::UtcOffset::UTC).date());
        for event in commit.facts::<Event>()? {
            self.participant.evolve(&event, Recorded::of(&commit.header));
            self.milestones.take(&event, on);
        }
        Ok(())
    }
}

impl Milestones {
    fn take(&mut self, event: &Event, on: Day) {
        match event {
            Event::Registered { .. } => self.registered = Some(on),
            // What is entered late may have been captured early: the last visit is the latest of them.
            Event::ItemsSaved { .. } | Event::VisitStarted { .. } => self.last_visit = self.last_visit.max(Some(on)),
            Event::Withdrawn { .. } => self.withdrawn = Some(on),
            _ => {}
        }
    }
}
