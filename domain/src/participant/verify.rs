//! Source data verification, and review.

use std::collections::{BTreeMap, BTreeSet};

use super::{Command, Event, FormKey, ItemKey, Record, Refused, SavedItem};
use crate::decider::{Context, Recorded};
use crate::ids::Label;
use crate::rejection::{Kind, Rejection};
use crate::study::Study;

/// What was verified and reviewed, and still counts.
#[derive(Debug, Clone, Default)]
pub struct Verifications {
    /// The items that agree with their source.
    pub items: BTreeMap<FormKey, BTreeSet<ItemKey>>,
    /// The groups that looked at a form as it stands.
    pub reviews: BTreeMap<FormKey, BTreeSet<Label>>,
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyRefused {
    /// Nothing saved there.
    #[error("nothing is saved there that could be verified")]
    NothingThere,
}

impl Rejection for VerifyRefused {
    fn code(&self) -> &'static str {
        match self {
            Self::NothingThere => "nothing-there",
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::NothingThere => Kind::Invalid,
        }
    }
}

pub(super) fn decide(record: &Record, command: &Command, context: &Context<'_, Study>) -> Result<Vec<Event>, Refused> {
    let _ = (record, command, context);
    Ok(vec![])
}

/// What saving these items of `form` means for verifications and reviews.
pub(super) fn after_save(record: &Record, form: &FormKey, saved: &[SavedItem]) -> Vec<Event> {
    let _ = (record, form, saved);
    vec![]
}

impl Verifications {
    pub(super) fn evolve(&mut self, event: &Event, recorded: Recorded) {
        let _ = (event, recorded);
    }
}
