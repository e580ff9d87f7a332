//! Randomisation of a participant, and who is told the arm.
//!
//! Two streams say it together: this one asks, the list gives its next slot to the allocation, this one records it. What
//! tells the arm is `health.blinded`, the allocation too: without that key nothing leads from the person to the slot.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::decider::{Context, Recorded};
use crate::history::ActorKind;
use crate::ids::{AllocationId, Code, ListId, RandomisationNumber, UnblindingId, UserId};
use crate::randomisation::{Levels, Slot};
use crate::rejection::{Kind, Rejection};
use crate::scope::{Erasable, Part, Personal, Scope};
use crate::study::Study;

use super::{Command, Event, Participant, Place, Record, Refused, consent, life, locks, needed_text};

/// What was drawn for a participant, outside.
#[derive(Clone, PartialEq, Eq)]
pub struct Lot {
    /// What joins the participant to a slot.
    pub allocation: AllocationId,
    /// What the allocation is called, if the list has no numbers of its own.
    pub number: RandomisationNumber,
}

/// Never printed: it leads to the arm.
impl fmt::Debug for Lot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lot(…)")
    }
}

/// How far a participant's randomisation is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allocation {
    /// A slot is to be given.
    Asked(Asked),
    /// It was given.
    Given(Given),
}

/// What was asked of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Which list.
    pub list: ListId,
    /// For each factor the level.
    pub levels: Erasable<Levels>,
    /// What joins the participant to a slot.
    pub allocation: Erasable<AllocationId>,
    /// What the allocation is called, if the list has no numbers of its own.
    pub number: Erasable<RandomisationNumber>,
}

/// What a list gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Which list.
    pub list: ListId,
    /// What the allocation is called.
    pub number: Erasable<RandomisationNumber>,
    /// The arm.
    pub arm: Erasable<Code>,
    /// When it was recorded.
    pub recorded: Recorded,
}

/// A request to be told the arm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unblinding {
    /// By whom and when.
    pub asked: Recorded,
    /// Somebody's health hangs on it.
    pub emergency: bool,
    /// Who else agreed, and when.
    pub approved: Option<Recorded>,
    /// When the arm was told.
    pub told: Option<Recorded>,
}

/// Randomisation, and who was told the arm.
#[derive(Debug, Clone, Default)]
pub struct Blinding {
    /// How far it is.
    pub allocation: Option<Allocation>,
    /// Who asked to be told.
    pub unblindings: BTreeMap<UnblindingId, Unblinding>,
    /// The texts of unblindings that nobody wanted, by their part.
    inadvertent: BTreeSet<Part>,
}

impl Blinding {
    /// The unblinding that lets `user` see the arm, if another person approved one that they asked for.
    pub fn approved_for(&self, user: UserId) -> Option<(&UnblindingId, &Unblinding)> {
        self.unblindings.iter().find(|(_, one)| one.asked.actor == user && one.approved.is_some())
    }
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RandomiseRefused {
    /// Once and for all.
    #[error("this participant is randomised already: nobody is randomised twice")]
    Already,
    /// It is under way.
    #[error(
        "randomisation from another list or in another stratum was asked for: send that again, so that it is completed"
    )]
    AskedOtherwise,
    /// Who may not take part gets nothing.
    #[error("nobody has confirmed that this participant may take part: have eligibility confirmed, or waived, first")]
    NotEligible,
    /// Chance comes from outside, and did not come.
    #[error("nothing was drawn for this participant")]
    NothingDrawn,
    /// There is no arm to be told.
    #[error("this participant is not randomised")]
    NotRandomised,
    /// Nobody asked.
    #[error("there is no such unblinding: ask for it first")]
    NoSuchUnblinding,
    /// Two persons.
    #[error("an unblinding is approved by another person than the one who asks for it")]
    SamePerson,
    /// The second person has not spoken.
    #[error("the unblinding is not approved: another person has to approve it first")]
    NotApproved,
    /// Told to the one who asked.
    #[error("the arm is told to the one who asked for it, and to nobody else")]
    NotTheAsker,
    /// Programs see no reasons.
    #[error("only a person asks for an unblinding or approves one")]
    NotAPerson,
}

impl Rejection for RandomiseRefused {
    fn code(&self) -> &'static str {
        match self {
            Self::Already => "randomised-already",
            Self::AskedOtherwise => "randomisation-asked-otherwise",
            Self::NotEligible => "not-eligible",
            Self::NothingDrawn => "nothing-drawn",
            Self::NotRandomised => "not-randomised",
            Self::NoSuchUnblinding => "no-such-unblinding",
            Self::SamePerson => "same-person",
            Self::NotApproved => "unblinding-not-approved",
            Self::NotTheAsker => "not-the-asker",
            Self::NotAPerson => "not-a-person",
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Already
            | Self::AskedOtherwise
            | Self::NotEligible
            | Self::NothingDrawn
            | Self::NotRandomised
            | Self::NotApproved => Kind::Conflict,
            Self::NoSuchUnblinding => Kind::NotFound,
            Self::SamePerson | Self::NotTheAsker | Self::NotAPerson => Kind::Forbidden,
        }
    }
}

impl Participant {
    pub(super) fn blinding(&self, command: &Command, context: &Context<'_, Study>) -> Result<Vec<Event>, Refused> {
        match command {
            Command::Randomise { list, strata, drawn } => {
                randomise(self.writable(context)?, (list, strata), drawn.as_ref(), context)
            }
            // What was given is given, whatever has come in between.
            Command::RecordRandomisation { list, slot } => record(self.visible(context)?.1, list, slot.as_ref()),
            // Somebody's health may hang on it: neither a withdrawal nor a lock nor a restriction is in the way.
            Command::AskUnblinding { .. }
            | Command::ApproveUnblinding { .. }
            | Command::RecordUnblinding { .. }
            | Command::RecordInadvertentUnblinding { .. } => unblind(self.visible(context)?.1, command, context),
            _ => Ok(vec![]),
        }
    }
}

fn randomise(
    record: &Record,
    (list, levels): (&ListId, &Levels),
    lot: Option<&Lot>,
    context: &Context<'_, Study>,
) -> Result<Vec<Event>, Refused> {
    match &record.blinding.allocation {
        Some(Allocation::Given(_)) => return Err(RandomiseRefused::Already.into()),
        Some(Allocation::Asked(asked)) => {
            let same = asked.list == *list && asked.levels.known().is_none_or(|known| known == levels);
            return if same { Ok(vec![]) } else { Err(RandomiseRefused::AskedOtherwise.into()) };
        }
        None => {}
    }
    locks::gate_place(record, &Place::Participant, context)?;
    consent::gate(record, None, context)?;
    life::not_ended(record)?;
    if record.eligibility.is_none() {
        return Err(RandomiseRefused::NotEligible.into());
    }
    takes(record)?;
    let Lot { allocation, number } = lot.ok_or(RandomiseRefused::NothingDrawn)?.clone();
    Ok(vec![Event::RandomisationAsked {
        list: list.clone(),
        strata: Personal::new(levels.clone()),
        allocation: Personal::new(allocation),
        number: Personal::new(number),
    }])
}

/// Both scopes that a randomisation writes to are there.
fn takes(record: &Record) -> Result<(), Refused> {
    let scopes = [Scope::HealthClinical, Scope::HealthBlinded];
    scopes.into_iter().find(|scope| record.fenced.contains(scope)).map_or(Ok(()), |scope| Err(Refused::Erased(scope)))
}

fn record(record: &Record, list: &ListId, slot: Option<&Slot>) -> Result<Vec<Event>, Refused> {
    let asked = match &record.blinding.allocation {
        None => return Ok(vec![]),
        Some(Allocation::Given(_)) => return Ok(vec![]),
        Some(Allocation::Asked(asked)) if asked.list == *list => asked,
        Some(Allocation::Asked(_)) => return Err(RandomiseRefused::AskedOtherwise.into()),
    };
    let Some(slot) = slot else { return Ok(vec![Event::RandomisationFailed { list: list.clone() }]) };
    takes(record)?;
    let number = match (&slot.number, &asked.number) {
        (Some(number), _) | (None, Erasable::Known(number)) => number.clone(),
        (None, Erasable::Erased) => return Err(Refused::Erased(Scope::HealthClinical)),
    };
    Ok(vec![Event::Randomised {
        list: list.clone(),
        number: Personal::new(number),
        stratum: Personal::new(slot.stratum),
        slot: Personal::new(slot.slot),
        arm: Personal::new(slot.arm.clone()),
    }])
}

fn unblind(record: &Record, command: &Command, context: &Context<'_, Study>) -> Result<Vec<Event>, Refused> {
    if !matches!(record.blinding.allocation, Some(Allocation::Given(_))) {
        return Err(RandomiseRefused::NotRandomised.into());
    }
    if context.principal.actor.kind == ActorKind::ServiceAccount {
        return Err(RandomiseRefused::NotAPerson.into());
    }
    let by = context.principal.actor.id;
    let find = |unblinding| record.blinding.unblindings.get(unblinding).ok_or(RandomiseRefused::NoSuchUnblinding);
    match command {
        Command::AskUnblinding { reason, emergency } => {
            let unblinding = UnblindingId::of_command(context.command);
            if record.blinding.unblindings.contains_key(&unblinding) {
                return Ok(vec![]);
            }
            let reason = needed_text(record, reason, context)?;
            Ok(vec![Event::UnblindingAsked { unblinding, emergency: *emergency, reason }])
        }
        Command::ApproveUnblinding { unblinding } => match find(unblinding)? {
            found if found.asked.actor == by => Err(RandomiseRefused::SamePerson.into()),
            found if found.approved.is_some() => Ok(vec![]),
            _ => Ok(vec![Event::UnblindingApproved { unblinding: unblinding.clone() }]),
        },
        Command::RecordUnblinding { unblinding } => match find(unblinding)? {
            found if found.asked.actor != by => Err(RandomiseRefused::NotTheAsker.into()),
            found if found.approved.is_none() => Err(RandomiseRefused::NotApproved.into()),
            found if found.told.is_some() => Ok(vec![]),
            _ => Ok(vec![Event::Unblinded { unblinding: unblinding.clone() }]),
        },
        Command::RecordInadvertentUnblinding { reason } => {
            if record.blinding.inadvertent.contains(&Part::of_command(context.command, 0)) {
                return Ok(vec![]);
            }
            Ok(vec![Event::InadvertentUnblinding { reason: needed_text(record, reason, context)? }])
        }
        _ => Ok(vec![]),
    }
}

impl Blinding {
    pub(super) fn evolve(&mut self, event: &Event, recorded: Recorded) {
        match event {
            Event::RandomisationAsked { list, strata, allocation, number } => {
                self.allocation = Some(Allocation::Asked(Asked {
                    list: list.clone(),
                    levels: strata.value.clone(),
                    allocation: allocation.value.clone(),
                    number: number.value.clone(),
                }));
            }
            Event::Randomised { list, number, arm, .. } => {
                let (number, arm) = (number.value.clone(), arm.value.clone());
                self.allocation = Some(Allocation::Given(Given { list: list.clone(), number, arm, recorded }));
            }
            Event::RandomisationFailed { .. } => self.allocation = None,
            Event::UnblindingAsked { unblinding, emergency, .. } => {
                let new = Unblinding { asked: recorded, emergency: *emergency, approved: None, told: None };
                self.unblindings.insert(unblinding.clone(), new);
            }
            Event::UnblindingApproved { unblinding } => {
                if let Some(found) = self.unblindings.get_mut(unblinding) {
                    found.approved = Some(recorded);
                }
            }
            Event::Unblinded { unblinding } => {
                if let Some(found) = self.unblindings.get_mut(unblinding) {
                    found.told.get_or_insert(recorded);
                }
            }
            Event::InadvertentUnblinding { reason } => drop(self.inadvertent.insert(reason.part.clone())),
            _ => {}
        }
    }
}
