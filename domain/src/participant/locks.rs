//! Freezing and locking: of an item, a form, a visit or a participant. Of a site and of the study: see the study.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Command, Event, FormKey, ItemKey, Place, Record, Refused};
use crate::decider::Context;
use crate::rejection::{Kind, Rejection};
use crate::study::Study;

/// How firmly something is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Held {
    /// No value changes for the time being.
    Frozen,
    /// Nothing changes any more.
    Locked,
}

structural!(Held);

/// What of a record is held.
#[derive(Debug, Clone, Default)]
pub struct Locks(pub BTreeMap<Place, Held>);

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockRefused {
    /// Frozen.
    #[error("this is frozen: have it unfrozen first")]
    Frozen,
    /// Locked.
    #[error("this is locked: have it unlocked first")]
    Locked,
}

impl Rejection for LockRefused {
    fn code(&self) -> &'static str {
        match self {
            Self::Frozen => "frozen",
            Self::Locked => "locked",
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Frozen | Self::Locked => Kind::Conflict,
        }
    }
}

pub(super) fn decide(record: &Record, command: &Command, context: &Context<'_, Study>) -> Result<Vec<Event>, Refused> {
    let _ = (record, command, context);
    Ok(vec![])
}

/// Whether an item's value may change: neither it nor anything around it is held, here or in the study.
pub(super) fn gate(
    record: &Record,
    form: &FormKey,
    item: &ItemKey,
    context: &Context<'_, Study>,
) -> Result<(), LockRefused> {
    let _ = (record, form, item, context);
    Ok(())
}

impl Locks {
    pub(super) fn evolve(&mut self, event: &Event) {
        let _ = event;
    }
}
