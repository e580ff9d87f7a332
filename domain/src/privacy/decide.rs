//! Deciding what an order about a person's data comes to.

use std::collections::BTreeSet;

use super::assess::assessed;
use super::{
    Command, Destroy, Erasure, Event, Hold, Justification, Person, Privacy, RefusalGround, Refused, RestrictionGround,
    Stage,
};
use crate::Day;
use crate::decider::Context;
use crate::history::ActorKind;
use crate::ids::{ErasureId, HoldId, InstructionId, OrganisationId, UserId};
use crate::scope::{Erasable, Extent, OneValue, Part, Personal, Plain, Scope, tag};
use crate::study::Study;

pub(super) type Here<'a> = Context<'a, Person, Study>;
type Reason = Option<Personal<String, tag::HealthFreeText>>;
pub(super) type Facts = Result<Vec<Event>, Refused>;

pub(super) fn decide(privacy: &Privacy, command: &Command, context: &Here<'_>) -> Facts {
    match context.governing.participant.record() {
        Some(record) if context.principal.sites.contains(&record.site) => {}
        // A record may be lost in a restore and the orders kept off-site: they are carried out all the same.
        None if context.principal.actor.kind == ActorKind::System => {}
        Some(_) | None => return Err(Refused::NoSuchParticipant),
    }
    match command {
        Command::PlaceHold { hold, scopes, authority, review_on, reason } => {
            privacy.place_hold(*hold, scopes.as_ref(), (authority, *review_on), reason.as_ref(), context)
        }
        Command::LiftHold { hold, reason } => privacy.lift_hold(*hold, reason.as_ref(), context),
        Command::PlaceRestriction { ground, reason } => privacy.restrict(*ground, reason.as_ref(), context),
        Command::LiftRestriction { reason } => match privacy.restriction {
            None => Ok(vec![]),
            Some(_) => {
                let reason = privacy.required(reason.as_ref(), context)?;
                Ok(privacy.with_reassessments(Event::RestrictionLifted { reason }, context))
            }
        },
        Command::RequestErasure { erasure, scopes, values, justification, reason } => {
            privacy.request(*erasure, (scopes.as_ref(), values), *justification, reason.as_ref(), context)
        }
        Command::AssessErasure { erasure } => privacy.assess_anew(*erasure, context),
        Command::ApproveErasure { erasure, instruction, accept_single_copy } => {
            privacy.approve(*erasure, instruction, *accept_single_copy, context)
        }
        Command::RefuseErasure { erasure, ground, reason } => {
            privacy.refuse(*erasure, *ground, reason.as_ref(), context)
        }
        Command::AcceptSingleCopy { erasure } => privacy.accept_single_copy(*erasure, context),
        Command::RecordProgress { erasure, step } => privacy.progress(*erasure, step, context),
    }
}

// --- holds

impl Privacy {
    fn place_hold(
        &self,
        hold: HoldId,
        scopes: Option<&BTreeSet<Scope>>,
        (authority, review_on): (&OrganisationId, Day),
        reason: Option<&Plain>,
        context: &Here<'_>,
    ) -> Facts {
        if let Some(present) = self.holds.get(&hold) {
            // The reason is not compared: it may have been erased, and an erasure must not change a decision.
            return if present.is(scopes, authority, review_on) { Ok(vec![]) } else { Err(Refused::HoldExists) };
        }
        if review_on.0 < context.now.date() {
            return Err(Refused::ReviewInPast);
        }
        let scopes: Vec<Scope> = match scopes {
            Some(scopes) => check(scopes)?.iter().copied().collect(),
            None => Scope::of_participants().filter(|scope| !self.is_forgotten(*scope)).collect(),
        };
        if let Some(erased) = scopes.iter().find(|scope| self.is_forgotten(**scope)) {
            return Err(Refused::AlreadyErased(*erased));
        }
        if scopes.is_empty() {
            return Err(Refused::NothingLeft);
        }
        let reason = self.required(reason, context)?;
        let placed = Event::HoldPlaced { hold, scopes, authority: authority.clone(), review_on, reason };
        Ok(self.with_reassessments(placed, context))
    }

    fn lift_hold(&self, hold: HoldId, reason: Option<&Plain>, context: &Here<'_>) -> Facts {
        match self.holds.get(&hold) {
            None => Err(Refused::NoSuchHold),
            Some(Hold::Lifted) => Ok(vec![]),
            Some(Hold::Active { .. }) => {
                let reason = self.required(reason, context)?;
                Ok(self.with_reassessments(Event::HoldLifted { hold, reason }, context))
            }
        }
    }

    fn restrict(&self, ground: RestrictionGround, reason: Option<&Plain>, context: &Here<'_>) -> Facts {
        match self.restriction {
            Some(present) if present == ground => Ok(vec![]),
            Some(_) => Err(Refused::RestrictedOtherwise),
            None => {
                let reason = self.required(reason, context)?;
                Ok(self.with_reassessments(Event::RestrictionPlaced { ground, reason }, context))
            }
        }
    }
}

impl Hold {
    fn is(&self, wanted: Option<&BTreeSet<Scope>>, by: &OrganisationId, until: Day) -> bool {
        match self {
            Self::Active { scopes, authority, review_on } => {
                wanted.is_none_or(|wanted| wanted == scopes) && authority == by && *review_on == until
            }
            Self::Lifted => false,
        }
    }
}

fn check(scopes: &BTreeSet<Scope>) -> Result<&BTreeSet<Scope>, Refused> {
    if scopes.is_empty() {
        return Err(Refused::NoScope);
    }
    match scopes.iter().find(|scope| !is_of_participants(**scope)) {
        Some(foreign) => Err(Refused::ForeignScope(*foreign)),
        None => Ok(scopes),
    }
}

// --- erasures, until they begin

impl Privacy {
    fn request(
        &self,
        erasure: ErasureId,
        (scopes, values): (Option<&BTreeSet<Scope>>, &BTreeSet<OneValue>),
        justification: Justification,
        reason: Option<&Plain>,
        context: &Here<'_>,
    ) -> Facts {
        let requested_by = person(context)?;
        if let Some(Erasure { request: present, .. }) = self.erasures.get(&erasure) {
            let same = match scopes {
                None if values.is_empty() => present.extent.values.is_empty(),
                _ => named(scopes, values) == present.extent,
            };
            let same = same && present.justification == justification && present.requested_by == requested_by;
            return if same { Ok(vec![]) } else { Err(Refused::ErasureExists) };
        }
        let extent = self.erasable(scopes, values)?;
        let reason = self.optional(reason, context)?;
        let assessment = self.assess(erasure, &extent, context);
        let (scopes, values) = (extent.scopes.into_iter().collect(), extent.values.into_iter().collect());
        let mut events = vec![Event::ErasureRequested { erasure, scopes, values, justification, requested_by, reason }];
        events.extend(assessed(erasure, assessment));
        Ok(events)
    }

    /// What to erase: nothing that is erased already, nothing that another erasure waits for.
    fn erasable(&self, scopes: Option<&BTreeSet<Scope>>, values: &BTreeSet<OneValue>) -> Result<Extent, Refused> {
        let extent = match scopes {
            None if values.is_empty() => {
                Extent::of_scopes(Scope::of_participants().filter(|scope| !self.is_forgotten(*scope)))
            }
            _ => named(scopes, values),
        };
        check_named(&extent, scopes.is_some())?;
        if let Some(erased) = extent.scopes.iter().find(|scope| self.is_forgotten(**scope)) {
            return Err(Refused::AlreadyErased(*erased));
        }
        if let Some(erased) = extent.values.iter().find(|value| self.is_redacted(value)) {
            return Err(Refused::AlreadyErased(erased.scope));
        }
        let taken = |(scope, part): &(Scope, Option<&Part>)| {
            self.erasures.values().any(|erasure| erasure.has_taken(*scope, *part))
        };
        let pending = extent.each().find(taken).map(|(scope, _)| scope);
        match pending {
            Some(scope) => Err(Refused::ErasurePending(scope)),
            None => Ok(extent),
        }
    }

    fn approve(&self, id: ErasureId, instruction: &InstructionId, single_copy: bool, context: &Here<'_>) -> Facts {
        let erasure = self.erasure(id)?;
        let approved_by = person(context)?;
        if approved_by == erasure.request.requested_by {
            return Err(Refused::SamePerson);
        }
        match (&erasure.stage, erasure.order()) {
            (Stage::Refused { .. }, _) => Err(Refused::WasRefused),
            (_, Some(order)) if order.instruction != *instruction => Err(Refused::ApprovedOtherwise),
            (_, Some(_)) if single_copy => self.accept_single_copy(id, context),
            (_, Some(_)) => Ok(vec![]),
            (Stage::Assessed(assessment), None) => {
                self.refuse_kept(&assessment.granted, context)?;
                let instruction = instruction.clone();
                Ok(vec![Event::ErasureApproved {
                    erasure: id,
                    approved_by,
                    instruction,
                    accept_single_copy: single_copy,
                }])
            }
            (_, None) => Err(Refused::OutOfOrder { at: erasure.phase() }),
        }
    }

    fn refuse(&self, id: ErasureId, ground: RefusalGround, reason: Option<&Plain>, context: &Here<'_>) -> Facts {
        match &self.erasure(id)?.stage {
            Stage::Refused { .. } => Ok(vec![]),
            Stage::Requested | Stage::Assessed(_) | Stage::Approved(_) => {
                let reason = self.required(reason, context)?;
                Ok(vec![Event::ErasureRefused { erasure: id, ground, reason }])
            }
            _ => Err(Refused::TooLate),
        }
    }

    fn accept_single_copy(&self, id: ErasureId, context: &Here<'_>) -> Facts {
        person(context)?;
        let erasure = self.erasure(id)?;
        match (&erasure.stage, erasure.order()) {
            (Stage::Refused { .. }, _) => Err(Refused::WasRefused),
            (_, None) => Err(Refused::OutOfOrder { at: erasure.phase() }),
            (Stage::Approved(_) | Stage::Begun(_) | Stage::Committed(_) | Stage::Scheduled { .. }, Some(order))
                if order.destroy == Destroy::WaitsForOffSite =>
            {
                Ok(vec![Event::SingleCopyAccepted { erasure: id }])
            }
            (_, Some(_)) => Ok(vec![]),
        }
    }

    pub(super) fn erasure(&self, id: ErasureId) -> Result<&Erasure, Refused> {
        self.erasures.get(&id).ok_or(Refused::NoSuchErasure)
    }
}

/// What a request names. A value of a scope that goes as a whole goes with it.
fn named(scopes: Option<&BTreeSet<Scope>>, values: &BTreeSet<OneValue>) -> Extent {
    let scopes = scopes.cloned().unwrap_or_default();
    let values = values.iter().filter(|value| !scopes.contains(&value.scope)).cloned().collect();
    Extent { scopes, values }
}

fn check_named(extent: &Extent, has_list: bool) -> Result<(), Refused> {
    if extent.is_empty() {
        return Err(if has_list { Refused::NoScope } else { Refused::NothingLeft });
    }
    if let Some((foreign, _)) = extent.each().find(|(scope, _)| !is_of_participants(*scope)) {
        return Err(Refused::ForeignScope(foreign));
    }
    match extent.values.iter().find(|value| value.part == Part::all()) {
        Some(_) => Err(Refused::NoKeyOfItsOwn),
        None => Ok(()),
    }
}

fn is_of_participants(scope: Scope) -> bool {
    Scope::of_participants().any(|known| known == scope)
}

/// The acting person's id. A program cannot be one of the two persons that an erasure takes.
fn person(context: &Here<'_>) -> Result<UserId, Refused> {
    match context.principal.actor.kind {
        ActorKind::User => Ok(context.principal.actor.id),
        ActorKind::ServiceAccount | ActorKind::System => Err(Refused::NotAPerson),
    }
}

// --- reasons

impl Privacy {
    /// A reason that must be given, unless texts of this person are erased.
    fn required(&self, text: Option<&Plain>, context: &Here<'_>) -> Result<Reason, Refused> {
        match self.optional(text, context)? {
            None if !self.is_forgotten(Scope::HealthFreeText) => Err(Refused::ReasonRequired),
            reason => Ok(reason),
        }
    }

    /// A reason with a key of its own, so that it can be redacted alone.
    fn optional(&self, text: Option<&Plain>, context: &Here<'_>) -> Result<Reason, Refused> {
        match text.filter(|text| !text.is_blank()) {
            None => Ok(None),
            Some(_) if self.is_forgotten(Scope::HealthFreeText) => Err(Refused::ReasonErased),
            Some(text) => {
                let part = Part::of_command(context.command, 0);
                Ok(Some(Personal::in_part(part, Erasable::Known(text.0.clone()))))
            }
        }
    }
}
