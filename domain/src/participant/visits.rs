//! Visits: that they took place, or did not.

use std::collections::BTreeMap;

use super::{Command, Event, Record, Refused, VisitKey, needed_text};
use crate::Day;
use crate::decider::Context;
use crate::rejection::{Kind, Rejection};
use crate::scope::{Erasable, Personal};
use crate::study::Study;

/// A visit as it stands.
#[derive(Debug, Clone)]
pub enum Visit {
    /// It took place, or began.
    Started {
        /// On this day.
        on: Erasable<Day>,
    },
    /// It did not take place.
    Missed,
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VisitRefused {
    /// Not in the design.
    #[error("there is no such visit in the live design, or it does not repeat")]
    NoSuchVisit,
}

impl Rejection for VisitRefused {
    fn code(&self) -> &'static str {
        match self {
            Self::NoSuchVisit => "no-such-visit",
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::NoSuchVisit => Kind::Invalid,
        }
    }
}

pub(super) fn decide(record: &Record, command: &Command, context: &Context<'_, Study>) -> Result<Vec<Event>, Refused> {
    super::consent::gate(record, context)?;
    match command {
        Command::StartVisit { visit, on } => {
            known(record, visit, context)?;
            match record.visits.get(visit) {
                Some(Visit::Started { on: Erasable::Known(before) }) if before == on => Ok(vec![]),
                _ => Ok(vec![Event::VisitStarted { visit: visit.clone(), on: Personal::new(*on) }]),
            }
        }
        Command::MissVisit { visit, reason } => {
            known(record, visit, context)?;
            match record.visits.get(visit) {
                Some(Visit::Missed) => Ok(vec![]),
                _ => {
                    let reason = needed_text(record, reason, context)?;
                    Ok(vec![Event::VisitMissed { visit: visit.clone(), reason }])
                }
            }
        }
        _ => Ok(vec![]),
    }
}

fn known(record: &Record, key: &VisitKey, context: &Context<'_, Study>) -> Result<(), Refused> {
    let design = context.governing.design_of(record).ok_or(Refused::StudyNotLive)?;
    match design.visit(&key.visit) {
        Some(visit) if key.visit_repeat == 1 || (visit.repeating && key.visit_repeat > 1) => Ok(()),
        Some(_) | None => Err(VisitRefused::NoSuchVisit.into()),
    }
}

pub(super) fn evolve(visits: &mut BTreeMap<VisitKey, Visit>, event: &Event) {
    match event {
        Event::VisitStarted { visit, on } => {
            visits.insert(visit.clone(), Visit::Started { on: on.value.clone() });
        }
        Event::VisitMissed { visit, .. } => drop(visits.insert(visit.clone(), Visit::Missed)),
        _ => {}
    }
}
