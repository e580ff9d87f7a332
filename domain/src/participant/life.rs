//! How far somebody is in the study: whether they may take part, and whether and how their part in it has ended.
//!
//! Withdrawal is a decision of the participant and has a fact of its own. What is here is said by the site: who was
//! screened and does not take part, who went through to the end, who came no more, who died. Nothing more is expected of
//! them; what happened until that day is still taken, because corrections and late reports are of before.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::randomise::Allocation;
use super::{Command, Event, FormKey, Place, Record, Refused, Visit, VisitKey, locks, needed_text};
use crate::Day;
use crate::decider::Context;
use crate::design::StudyDesign;
use crate::rejection::{Kind, Rejection};
use crate::scope::{Erasable, Personal, Plain, Scope};
use crate::study::Study;

/// How somebody's part in the study ended, but for a withdrawal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// They were screened, and do not take part.
    ScreenFailed,
    /// They went through to the end.
    Completed,
    /// They came no more, and nobody reaches them.
    LostToFollowUp,
    /// They died.
    Died,
}

structural!(Ending);

impl Ending {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::ScreenFailed, Self::Completed, Self::LostToFollowUp, Self::Died];
}

/// How and when it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub how: Ending,
    /// On which day.
    pub on: Erasable<Day>,
}

/// Whether somebody may take part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Eligibility {
    /// An investigator confirmed on this day that every criterion is met.
    Confirmed(Erasable<Day>),
    /// One is not met, and the sponsor lets them take part all the same.
    Waived,
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LifeRefused {
    /// It is said otherwise.
    #[error("this participant's part in the study has ended otherwise, or on another day: have it resumed first")]
    EndedOtherwise,
    /// Nothing to resume.
    #[error("this participant's part in the study has not ended")]
    NotEnded,
    /// Whoever is randomised was enrolled.
    #[error("this participant is randomised, and so was enrolled: nobody fails screening after that")]
    Randomised,
    /// It ended before.
    #[error("a visit took place after that day: correct its day, or take the day of the last visit")]
    VisitAfter,
    /// Still to come.
    #[error("that day is still to come")]
    ToCome,
    /// Nothing of later is taken.
    #[error("this participant's part in the study ended before that day: have it resumed first")]
    Over,
    /// Nobody knows whether this is of before.
    #[error(
        "this participant's part in the study has ended and this visit had not begun: say first on which day it took place"
    )]
    NotBegun,
    /// They do not take part.
    #[error("this participant's part in the study has ended: nobody is randomised or found to be eligible after that")]
    Ended,
}

impl Rejection for LifeRefused {
    fn code(&self) -> &'static str {
        match self {
            Self::EndedOtherwise => "ended-otherwise",
            Self::NotEnded => "not-ended",
            Self::Randomised => "randomised",
            Self::VisitAfter => "visit-after-end",
            Self::ToCome => "end-to-come",
            Self::Over => "after-end",
            Self::NotBegun => "visit-not-begun",
            Self::Ended => "participation-ended",
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::ToCome => Kind::Invalid,
            _ => Kind::Conflict,
        }
    }
}

pub(super) fn decide(record: &Record, command: &Command, context: &Context<'_, Study>) -> Result<Vec<Event>, Refused> {
    match command {
        Command::ConfirmEligibility { on } => confirm(record, *on, context),
        Command::WaiveEligibility { reason } => {
            if record.eligibility.is_some() {
                return Ok(vec![]);
            }
            locks::gate_work(record, &Place::Participant, context)?;
            not_ended(record)?;
            Ok(vec![Event::EligibilityWaived { reason: needed_text(record, reason, context)? }])
        }
        Command::EndParticipation { how, on, reason } => end(record, (*how, *on), reason.as_ref(), context),
        Command::ResumeParticipation { reason } => {
            if record.ended.is_none() {
                // Whoever sends it again finds that it was done; anybody else is told.
                return if record.resumed { Ok(vec![]) } else { Err(LifeRefused::NotEnded.into()) };
            }
            // Visits are expected again, so the lock that is asked for would find more than before.
            locks::gate_news(record, &Place::Participant, context)?;
            Ok(vec![Event::ParticipationResumed { reason: needed_text(record, reason, context)? }])
        }
        _ => Ok(vec![]),
    }
}

fn confirm(record: &Record, on: Day, context: &Context<'_, Study>) -> Result<Vec<Event>, Refused> {
    if record.eligibility == Some(Eligibility::Confirmed(Erasable::Known(on))) {
        return Ok(vec![]);
    }
    not_ended(record)?;
    super::consent::gate(record, Some(on), context)?;
    takes(record, on, context)?;
    Ok(vec![Event::EligibilityConfirmed { on: Personal::new(on) }])
}

fn end(
    record: &Record,
    (how, on): (Ending, Day),
    reason: Option<&Plain>,
    context: &Context<'_, Study>,
) -> Result<Vec<Event>, Refused> {
    if let Some(ended) = &record.ended {
        let same = ended.how == how && ended.on == Erasable::Known(on);
        return if same { Ok(vec![]) } else { Err(LifeRefused::EndedOtherwise.into()) };
    }
    if how == Ending::ScreenFailed && matches!(record.blinding.allocation, Some(Allocation::Given(_))) {
        return Err(LifeRefused::Randomised.into());
    }
    if how == Ending::Completed {
        super::consent::was_given(record)?;
    }
    takes(record, on, context)?;
    let later = |visit: &Visit| matches!(visit, Visit::Started { on: Erasable::Known(visited) } if *visited > on);
    if record.visits.values().any(later) {
        return Err(LifeRefused::VisitAfter.into());
    }
    let reason = match (how, reason) {
        // That somebody came to the end is its own reason.
        (Ending::Completed, None) => None,
        (_, None) => return Err(Refused::ReasonRequired),
        (_, Some(reason)) => Some(needed_text(record, reason, context)?),
    };
    Ok(vec![Event::ParticipationEnded { how, on: Personal::new(on), reason }])
}

/// Whether such a day can be written down.
fn takes(record: &Record, on: Day, context: &Context<'_, Study>) -> Result<(), Refused> {
    locks::gate_work(record, &Place::Participant, context)?;
    if super::visits::is_to_come(on, context) {
        return Err(LifeRefused::ToCome.into());
    }
    match record.fenced.contains(&Scope::HealthClinical) {
        true => Err(Refused::Erased(Scope::HealthClinical)),
        false => Ok(()),
    }
}

/// Whether somebody is still in the study, as far as the site says.
pub(super) fn not_ended(record: &Record) -> Result<(), LifeRefused> {
    if record.ended.is_some() { Err(LifeRefused::Ended) } else { Ok(()) }
}

/// Whether data of `day` is taken: nothing of after the end is.
pub(super) fn gate_day(record: &Record, day: Day) -> Result<(), LifeRefused> {
    match &record.ended {
        Some(Ended { on: Erasable::Known(end), .. }) if day > *end => Err(LifeRefused::Over),
        _ => Ok(()),
    }
}

/// Whether values of a form are taken: those of a visit that had begun by the end, or that is of no day.
pub(super) fn gate_form(record: &Record, form: &FormKey, design: &StudyDesign) -> Result<(), LifeRefused> {
    if record.ended.is_none() {
        return Ok(());
    }
    let visit = form.visit();
    match record.visits.get(&visit) {
        Some(Visit::Started { on: Erasable::Known(on) }) => gate_day(record, *on),
        Some(Visit::Started { .. }) => Ok(()),
        _ if has_begun(record, &visit) => Ok(()),
        _ if design.visit(&visit.visit).is_some_and(|visit| visit.is_planned()) => Err(LifeRefused::NotBegun),
        _ => Ok(()),
    }
}

fn has_begun(record: &Record, visit: &VisitKey) -> bool {
    record.forms.iter().any(|(form, found)| !found.items.is_empty() && form.visit() == *visit)
}

pub(super) fn evolve(record: &mut Record, event: &Event) {
    match event {
        Event::EligibilityConfirmed { on } => record.eligibility = Some(Eligibility::Confirmed(on.value.clone())),
        Event::EligibilityWaived { .. } => record.eligibility = Some(Eligibility::Waived),
        Event::ParticipationEnded { how, on, .. } => {
            record.ended = Some(Ended { how: *how, on: on.value.clone() });
            record.resumed = false;
        }
        Event::ParticipationResumed { .. } => {
            record.ended = None;
            record.resumed = true;
        }
        _ => {}
    }
}
