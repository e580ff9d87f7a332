//! Visits: that they took place, or did not.

use std::collections::BTreeMap;

use super::{Command, Event, Place, Record, Refused, VisitKey, free_text, needed_text};
use crate::Day;
use crate::decider::Context;
use crate::rejection::{Kind, Rejection};
use crate::scope::{Erasable, Personal, Plain, Scope};
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
    #[error("there is no such visit in the design version of this participant, or it does not repeat")]
    NoSuchVisit,
    /// It is still to come.
    #[error("that day is still to come: a visit is started on the day on which it takes place, or after")]
    ToCome,
    /// It took place: values say so.
    #[error("values stand at this visit: remove its forms, with a reason, if the visit did not take place")]
    HasValues,
}

impl Rejection for VisitRefused {
    fn code(&self) -> &'static str {
        match self {
            Self::NoSuchVisit => "no-such-visit",
            Self::ToCome => "visit-to-come",
            Self::HasValues => "visit-has-values",
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::NoSuchVisit | Self::ToCome => Kind::Invalid,
            Self::HasValues => Kind::Conflict,
        }
    }
}

pub(super) fn decide(record: &Record, command: &Command, context: &Context<'_, Study>) -> Result<Vec<Event>, Refused> {
    match command {
        Command::StartVisit { visit, on, reason } => {
            super::consent::gate(record, Some(*on), context)?;
            start(record, visit, *on, reason.as_ref(), context)
        }
        Command::MissVisit { visit, reason } => {
            super::consent::was_given(record)?;
            known(record, visit, context)?;
            if matches!(record.visits.get(visit), Some(Visit::Missed)) {
                return Ok(vec![]);
            }
            super::locks::gate_whole(record, &Place::Visit(visit.clone()), context)?;
            if has_values(record, visit) {
                return Err(VisitRefused::HasValues.into());
            }
            let reason = needed_text(record, reason, context)?;
            with_consequences(record, Event::VisitMissed { visit: visit.clone(), reason }, (visit, None), context)
        }
        _ => Ok(vec![]),
    }
}

/// Whether no calendar on earth shows that day yet.
pub(super) fn is_to_come(on: Day, context: &Context<'_, Study>) -> bool {
    // Somewhere it is tomorrow already.
    on.0 > (context.now + time::Duration::hours(14)).date()
}

/// Out of its window is a deviation that is shown, not a mistake: the day is taken as it was.
fn start(
    record: &Record,
    visit: &VisitKey,
    on: Day,
    reason: Option<&Plain>,
    context: &Context<'_, Study>,
) -> Result<Vec<Event>, Refused> {
    known(record, visit, context)?;
    let before = record.visits.get(visit);
    if matches!(before, Some(Visit::Started { on: Erasable::Known(before) }) if *before == on) {
        return Ok(vec![]);
    }
    if is_to_come(on, context) {
        return Err(VisitRefused::ToCome.into());
    }
    super::life::gate_day(record, on)?;
    super::locks::gate_place(record, &Place::Visit(visit.clone()), context)?;
    if record.fenced.contains(&Scope::HealthClinical) {
        return Err(Refused::Erased(Scope::HealthClinical));
    }
    let reason = match (before, reason) {
        (Some(_), None) => return Err(Refused::ReasonRequired),
        (_, reason) => free_text(record, reason, context)?,
    };
    let started = Event::VisitStarted { visit: visit.clone(), on: Personal::new(on), reason };
    with_consequences(record, started, (visit, Some(on)), context)
}

/// Whether anybody entered a value there that still counts.
fn has_values(record: &Record, visit: &VisitKey) -> bool {
    let forms = record.forms.iter().filter(|(key, form)| key.visit() == *visit && !form.removed);
    forms.flat_map(|(_, form)| form.items.values()).any(|item| item.value.is_some() && !item.computed)
}

/// What happened to a visit, what its checks say to that, and which signatures answered for something else.
fn with_consequences(
    record: &Record,
    happened: Event,
    (visit, on): (&VisitKey, Option<Day>),
    context: &Context<'_, Study>,
) -> Result<Vec<Event>, Refused> {
    let follows = super::save::after_visit(record, visit, on, context)?;
    let dropped = super::sign::after_change(record, &Place::Visit(visit.clone()));
    Ok(super::sign::once([happened].into_iter().chain(follows).chain(dropped).collect()))
}

fn known(record: &Record, key: &VisitKey, context: &Context<'_, Study>) -> Result<(), Refused> {
    let design = super::save::design(record, context)?;
    match design.visit(&key.visit) {
        Some(visit) if key.visit_repeat == 1 || (visit.repeating && key.visit_repeat > 1) => Ok(()),
        Some(_) | None => Err(VisitRefused::NoSuchVisit.into()),
    }
}

pub(super) fn evolve(visits: &mut BTreeMap<VisitKey, Visit>, event: &Event) {
    match event {
        Event::VisitStarted { visit, on, .. } => {
            visits.insert(visit.clone(), Visit::Started { on: on.value.clone() });
        }
        Event::VisitMissed { visit, .. } => drop(visits.insert(visit.clone(), Visit::Missed)),
        _ => {}
    }
}
