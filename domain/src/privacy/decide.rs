//! Deciding what an order about a person's data comes to.

use std::collections::BTreeSet;

use super::{
    Assessment, Command, Destroy, Erasure, Event, Hold, Justification, Phase, Privacy, RefusalGround, Refused,
    RefusedScope, Stage, Step,
};
use crate::Day;
use crate::decider::{Context, Decider};
use crate::history::{ActorKind, Revision};
use crate::ids::{ErasureId, HoldId, InstructionId, OrganisationId, UserId};
use crate::participant::Participant;
use crate::scope::{Erasable, Part, Personal, Plain, Scope, tag};

type Here<'a> = Context<'a, Participant>;
type Reason = Option<Personal<String, tag::HealthFreeText>>;
type Facts = Result<Vec<Event>, Refused>;

pub(super) fn decide(privacy: &Privacy, command: &Command, context: &Here<'_>) -> Facts {
    match context.governing.record() {
        Some(record) if context.principal.sites.contains(&record.site) => {}
        Some(_) | None => return Err(Refused::NoSuchParticipant),
    }
    match command {
        Command::PlaceHold { hold, scopes, authority, review_on, reason } => {
            privacy.place_hold(*hold, scopes.as_ref(), (authority, *review_on), reason.as_ref(), context)
        }
        Command::LiftHold { hold, reason } => privacy.lift_hold(*hold, reason.as_ref(), context),
        Command::PlaceRestriction { ground, reason } => match privacy.restriction {
            Some(present) if present == *ground => Ok(vec![]),
            Some(_) => Err(Refused::RestrictedOtherwise),
            None => {
                let reason = privacy.required(reason.as_ref(), context)?;
                Ok(vec![Event::RestrictionPlaced { ground: *ground, reason }])
            }
        },
        Command::LiftRestriction { reason } => match privacy.restriction {
            None => Ok(vec![]),
            Some(_) => Ok(vec![Event::RestrictionLifted { reason: privacy.required(reason.as_ref(), context)? }]),
        },
        Command::RequestErasure { erasure, scopes, justification, reason } => {
            privacy.request(*erasure, scopes.as_ref(), *justification, reason.as_ref(), context)
        }
        Command::ApproveErasure { erasure, instruction, accept_single_copy } => {
            privacy.approve(*erasure, instruction, *accept_single_copy, context)
        }
        Command::RefuseErasure { erasure, ground, reason } => {
            privacy.refuse(*erasure, *ground, reason.as_ref(), context)
        }
        Command::AcceptSingleCopy { erasure } => privacy.accept_single_copy(*erasure, context),
        Command::RecordProgress { erasure, step } => privacy.progress(*erasure, step),
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
        Ok(self.with_reassessments(placed))
    }

    fn lift_hold(&self, hold: HoldId, reason: Option<&Plain>, context: &Here<'_>) -> Facts {
        match self.holds.get(&hold) {
            None => Err(Refused::NoSuchHold),
            Some(Hold::Lifted) => Ok(vec![]),
            Some(Hold::Active { .. }) => {
                let reason = self.required(reason, context)?;
                Ok(self.with_reassessments(Event::HoldLifted { hold, reason }))
            }
        }
    }

    /// A change of holds, and what it means for the erasures that have not begun.
    fn with_reassessments(&self, change: Event) -> Vec<Event> {
        let mut after = self.clone();
        after.evolve(&change, Revision::NONE);
        let mut events = vec![change];
        for (id, erasure) in &self.erasures {
            let anew = after.assess(*id, &erasure.request.scopes);
            let differs = match &erasure.stage {
                Stage::Assessed(before) => *before != anew,
                // An approval is not widened; it falls only if it covers more than is granted now.
                Stage::Approved(order) => !order.assessment.granted.is_subset(&anew.granted),
                _ => false,
            };
            if differs {
                events.extend(assessed(*id, anew));
            }
        }
        events
    }

    /// Granted is what was asked for and no hold covers. What another erasure has taken meanwhile is its business.
    fn assess(&self, erasure: ErasureId, scopes: &BTreeSet<Scope>) -> Assessment {
        let mut assessment = Assessment::default();
        let others = || self.erasures.iter().filter(|(id, _)| **id != erasure).map(|(_, other)| other);
        for scope in scopes.iter().copied().filter(|scope| !others().any(|other| other.has_taken(*scope))) {
            match self.hold_on(scope) {
                None => {
                    assessment.granted.insert(scope);
                }
                Some((hold, until)) => {
                    let (hold, until) = (Some(hold), Some(until));
                    assessment.refused.push(RefusedScope { scope, ground: RefusalGround::LegalHold, hold, until });
                }
            }
        }
        assessment
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

/// The facts of an assessment: with nothing granted the erasure is refused.
fn assessed(erasure: ErasureId, assessment: Assessment) -> Vec<Event> {
    let nothing = assessment.granted.is_empty();
    let granted = assessment.granted.into_iter().collect();
    let mut events = vec![Event::ErasureAssessed { erasure, granted, refused: assessment.refused }];
    if nothing {
        events.push(Event::ErasureRefused { erasure, ground: RefusalGround::LegalHold, reason: None });
    }
    events
}

fn check(scopes: &BTreeSet<Scope>) -> Result<&BTreeSet<Scope>, Refused> {
    if scopes.is_empty() {
        return Err(Refused::NoScope);
    }
    match scopes.iter().find(|scope| Scope::of_participants().all(|known| known != **scope)) {
        Some(foreign) => Err(Refused::ForeignScope(*foreign)),
        None => Ok(scopes),
    }
}

// --- erasures, until they begin

impl Privacy {
    fn request(
        &self,
        erasure: ErasureId,
        scopes: Option<&BTreeSet<Scope>>,
        justification: Justification,
        reason: Option<&Plain>,
        context: &Here<'_>,
    ) -> Facts {
        let requested_by = person(context)?;
        if let Some(present) = self.erasures.get(&erasure) {
            let same = scopes.is_none_or(|scopes| *scopes == present.request.scopes)
                && present.request.justification == justification
                && present.request.requested_by == requested_by;
            return if same { Ok(vec![]) } else { Err(Refused::ErasureExists) };
        }
        let scopes = self.erasable(scopes)?;
        let reason = self.optional(reason, context)?;
        let assessment = self.assess(erasure, &scopes);
        let scopes = scopes.into_iter().collect();
        let mut events = vec![Event::ErasureRequested { erasure, scopes, justification, requested_by, reason }];
        events.extend(assessed(erasure, assessment));
        Ok(events)
    }

    /// The scopes to erase: none that is erased already, none that another erasure waits for.
    fn erasable(&self, wanted: Option<&BTreeSet<Scope>>) -> Result<BTreeSet<Scope>, Refused> {
        let scopes: BTreeSet<Scope> = match wanted {
            Some(scopes) => check(scopes)?.clone(),
            None => Scope::of_participants().filter(|scope| !self.is_forgotten(*scope)).collect(),
        };
        if let Some(erased) = scopes.iter().find(|scope| self.is_forgotten(**scope)) {
            return Err(Refused::AlreadyErased(*erased));
        }
        let taken = |scope: &Scope| self.erasures.values().any(|erasure| erasure.has_taken(*scope));
        match scopes.iter().find(|scope| taken(scope)) {
            Some(scope) => Err(Refused::ErasurePending(*scope)),
            None if scopes.is_empty() => Err(Refused::NothingLeft),
            None => Ok(scopes),
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
            (Stage::Assessed(assessment), None) => match self.held(&assessment.granted) {
                Some(scope) => Err(Refused::Held(scope)),
                None => Ok(vec![Event::ErasureApproved {
                    erasure: id,
                    approved_by,
                    instruction: instruction.clone(),
                    accept_single_copy: single_copy,
                }]),
            },
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
            (Stage::Approved(_) | Stage::Begun(_) | Stage::Committed(_), Some(order))
                if order.destroy == Destroy::WaitsForOffSite =>
            {
                Ok(vec![Event::SingleCopyAccepted { erasure: id }])
            }
            (_, Some(_)) => Ok(vec![]),
        }
    }

    fn erasure(&self, id: ErasureId) -> Result<&Erasure, Refused> {
        self.erasures.get(&id).ok_or(Refused::NoSuchErasure)
    }

    fn held(&self, scopes: &BTreeSet<Scope>) -> Option<Scope> {
        scopes.iter().copied().find(|scope| self.hold_on(*scope).is_some())
    }
}

impl Erasure {
    /// Whether `scope` is this erasure's to forget, or may become so when a hold is lifted.
    fn has_taken(&self, scope: Scope) -> bool {
        match &self.stage {
            Stage::Requested => self.request.scopes.contains(&scope),
            Stage::Assessed(assessment) => {
                assessment.granted.contains(&scope) || assessment.refused.iter().any(|refused| refused.scope == scope)
            }
            _ => self.granted().contains(&scope),
        }
    }
}

/// The acting person's id. A program cannot be one of the two persons that an erasure takes.
fn person(context: &Here<'_>) -> Result<UserId, Refused> {
    match context.principal.actor.kind {
        ActorKind::User => Ok(context.principal.actor.id),
        ActorKind::ServiceAccount | ActorKind::System => Err(Refused::NotAPerson),
    }
}

// --- erasures, from their beginning on

impl Privacy {
    fn progress(&self, id: ErasureId, step: &Step) -> Facts {
        let erasure = self.erasure(id)?;
        let at = erasure.phase();
        if at == Phase::Refused {
            return Err(Refused::WasRefused);
        }
        if at >= step.phase() {
            return Ok(vec![]);
        }
        match (&erasure.stage, step) {
            (Stage::Approved(order), Step::Begun {}) => match self.held(&order.assessment.granted) {
                Some(scope) => Err(Refused::Held(scope)),
                None => Ok(vec![Event::ErasureBegun { erasure: id }]),
            },
            (Stage::Begun(_), Step::Committed {}) => Ok(vec![Event::ErasureCommitted { erasure: id }]),
            (Stage::Committed(order), Step::KeysDestroyed { keys, root_before, root_after }) => match order.destroy {
                Destroy::WaitsForOffSite => Err(Refused::NoOffSiteCopy),
                Destroy::SingleCopyAccepted => {
                    let (keys, root_before, root_after) = (*keys, *root_before, *root_after);
                    Ok(vec![Event::KeysDestroyed { erasure: id, keys, root_before, root_after }])
                }
            },
            (Stage::KeysDestroyed(_), Step::DerivedPurged {}) => Ok(vec![Event::DerivedPurged { erasure: id }]),
            (Stage::DerivedPurged(_), Step::RecipientsNotified { recipients }) => {
                Ok(vec![Event::RecipientsNotified { erasure: id, recipients: *recipients }])
            }
            (Stage::RecipientsNotified(_), Step::Verified { probed, opened }) => {
                proven(id, *probed, *opened, erasure.granted().len() as u64)
            }
            (Stage::Verified(_), Step::Completed {}) => Ok(vec![Event::ErasureCompleted { erasure: id }]),
            _ => Err(Refused::OutOfOrder { at }),
        }
    }
}

fn proven(erasure: ErasureId, probed: u64, opened: u64, needed: u64) -> Facts {
    if opened > 0 {
        return Err(Refused::StillReadable { opened });
    }
    if probed < needed {
        return Err(Refused::ProbeIncomplete { probed, needed });
    }
    Ok(vec![Event::ErasureVerified { erasure, probed }])
}

impl Step {
    /// The stage that it leads to.
    fn phase(&self) -> Phase {
        match self {
            Self::Begun {} => Phase::Begun,
            Self::Committed {} => Phase::Committed,
            Self::KeysDestroyed { .. } => Phase::KeysDestroyed,
            Self::DerivedPurged {} => Phase::DerivedPurged,
            Self::RecipientsNotified { .. } => Phase::RecipientsNotified,
            Self::Verified { .. } => Phase::Verified,
            Self::Completed {} => Phase::Completed,
        }
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
