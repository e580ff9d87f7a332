//! What is ordered about one person's data: holds, restrictions, erasures. Governed by the participant's record.
//!
//! Holds and erasures stand in one stream, so that they can never pass each other. A hold that is placed before an
//! erasure has begun wins: the same commit assesses the erasure anew, without the held scopes, and asks for a new
//! approval (or refuses it, where nothing is left). From `erasure-begun` on, which comes before the first fence,
//! the erasure wins: a hold on its scopes is refused, because nothing is left that it could keep.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Day;
use crate::decider::{self, Context, Decider};
use crate::history::{Aggregate, Revision, StreamId};
use crate::ids::{ErasureId, HoldId, InstructionId, OrganisationId, UserId};
use crate::participant::Participant;
use crate::scope::{Personal, Plain, Scope, tag};

mod decide;
mod erasure;
mod refused;

pub use erasure::{
    Assessment, Destroy, Destroyed, Erasure, Next, Notified, Order, Phase, Proven, RefusedScope, Request, Stage,
};
pub use refused::Refused;

// --- facts

facts! {
    /// What happened to the orders about one person's data.
    pub enum Event for Privacy {
        /// Data must be kept, whoever asks for its erasure.
        "hold-placed" 1 HoldPlaced { hold: HoldId, scopes: Vec<Scope>, authority: OrganisationId, review_on: Day, reason: Option<Personal<String, tag::HealthFreeText>> },
        /// The hold is over.
        "hold-lifted" 1 HoldLifted { hold: HoldId, reason: Option<Personal<String, tag::HealthFreeText>> },
        /// Data is stored and not processed (GDPR Art 18).
        "restriction-placed" 1 RestrictionPlaced { ground: RestrictionGround, reason: Option<Personal<String, tag::HealthFreeText>> },
        /// The restriction is over.
        "restriction-lifted" 1 RestrictionLifted { reason: Option<Personal<String, tag::HealthFreeText>> },
        /// Somebody asks that scopes be forgotten.
        "erasure-requested" 1 ErasureRequested { erasure: ErasureId, scopes: Vec<Scope>, justification: Justification, requested_by: UserId, reason: Option<Personal<String, tag::HealthFreeText>> },
        /// Which of them may be. A later one replaces an earlier one, and its approval.
        "erasure-assessed" 1 ErasureAssessed { erasure: ErasureId, granted: Vec<Scope>, refused: Vec<RefusedScope> },
        /// The controller instructs that the granted scopes be forgotten.
        "erasure-approved" 1 ErasureApproved { erasure: ErasureId, approved_by: UserId, instruction: InstructionId, accept_single_copy: bool },
        /// Nothing will be forgotten.
        "erasure-refused" 1 ErasureRefused { erasure: ErasureId, ground: RefusalGround, reason: Option<Personal<String, tag::HealthFreeText>> },
        /// The point of no return, before the first fence.
        "erasure-begun" 1 ErasureBegun { erasure: ErasureId },
        /// Fences and markers stand: nothing can be read any more.
        "erasure-committed" 1 ErasureCommitted { erasure: ErasureId },
        /// The controller does without a copy of the key tree elsewhere.
        "single-copy-accepted" 1 SingleCopyAccepted { erasure: ErasureId },
        /// The keys are gone for good.
        "keys-destroyed" 1 KeysDestroyed { erasure: ErasureId, keys: u64, root_before: u64, root_after: u64 },
        /// Read models hold nothing of it any more.
        "derived-purged" 1 DerivedPurged { erasure: ErasureId },
        /// Who had received the data was told (GDPR Art 19).
        "recipients-notified" 1 RecipientsNotified { erasure: ErasureId, recipients: u32 },
        /// Trying to open it failed, past all fences.
        "erasure-verified" 1 ErasureVerified { erasure: ErasureId, probed: u64 },
        /// All is done.
        "erasure-completed" 1 ErasureCompleted { erasure: ErasureId },
    }
}

/// Why data may not be processed: GDPR Art 18(1) (a) to (d).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RestrictionGround {
    /// (a) The person says that the data is wrong.
    AccuracyContested,
    /// (b) The processing is unlawful and the person does not want the data erased.
    UnlawfulProcessing,
    /// (c) The person needs the data for a legal claim.
    LegalClaims,
    /// (d) The person objected and it is not decided yet.
    ObjectionPending,
}

/// Why data may be erased: GDPR Art 17(1) (a) to (f).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Justification {
    /// (a) It is no longer needed.
    NoLongerNecessary,
    /// (b) Consent was withdrawn and nothing else allows the processing.
    ConsentWithdrawn,
    /// (c) The person objected.
    Objection,
    /// (d) It was processed unlawfully.
    UnlawfulProcessing,
    /// (e) A law demands it.
    LegalObligation,
    /// (f) It was collected from a child for an online service.
    ChildsData,
}

/// Why data is not erased: GDPR Art 17(3) (a) to (e), and two reasons of our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalGround {
    /// (a) Freedom of expression and information.
    FreedomOfExpression,
    /// (b) A legal obligation or a public task.
    LegalObligation,
    /// (c) Public health.
    PublicHealth,
    /// (d) Archiving in the public interest, research or statistics.
    Research,
    /// (e) Legal claims.
    LegalClaims,
    /// A hold covers everything that was asked for.
    LegalHold,
    /// None of the cases of Art 17(1) is given.
    NotJustified,
}

structural!(RestrictionGround, Justification, RefusalGround);

// --- state

/// The orders as they stand.
#[derive(Debug, Clone, Default)]
pub struct Privacy {
    /// Every hold ever placed, so that an id means one hold for good.
    pub holds: BTreeMap<HoldId, Hold>,
    /// The restriction that holds.
    pub restriction: Option<RestrictionGround>,
    /// Every erasure ever requested.
    pub erasures: BTreeMap<ErasureId, Erasure>,
}

/// A hold as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    /// In force.
    Active {
        /// What must be kept.
        scopes: BTreeSet<Scope>,
        /// Who ordered it.
        authority: OrganisationId,
        /// When it is looked at again.
        review_on: Day,
    },
    /// Over.
    Lifted,
}

// --- commands

/// What somebody wants of the orders about one person's data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
#[schema(as = PrivacyCommand)]
pub enum Command {
    /// Orders that data be kept.
    PlaceHold {
        /// The hold's id, chosen by the client.
        hold: HoldId,
        /// Which scopes; absent: all that are not erased.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scopes: Option<BTreeSet<Scope>>,
        /// Who ordered it: a court, an authority, a department.
        authority: OrganisationId,
        /// When it is to be looked at again.
        review_on: Day,
        /// Why. Required while texts of this person are not erased.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Plain>,
    },
    /// Ends a hold. Erasures that wait for approval are assessed anew; none starts by itself.
    LiftHold {
        /// Which hold.
        hold: HoldId,
        /// Why. Required while texts of this person are not erased.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Plain>,
    },
    /// Orders that data be stored and not processed.
    PlaceRestriction {
        /// On which ground of Art 18(1).
        ground: RestrictionGround,
        /// Why. Required while texts of this person are not erased.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Plain>,
    },
    /// Ends the restriction.
    LiftRestriction {
        /// Why. Required while texts of this person are not erased.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Plain>,
    },
    /// Asks that data be forgotten. It is assessed at once.
    RequestErasure {
        /// The erasure's id, chosen by the client.
        erasure: ErasureId,
        /// Which scopes; absent: all that are not erased.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scopes: Option<BTreeSet<Scope>>,
        /// On which ground of Art 17(1).
        justification: Justification,
        /// More words about it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Plain>,
    },
    /// Instructs that the granted scopes be forgotten. By another person than the one who asked.
    ApproveErasure {
        /// Which erasure.
        erasure: ErasureId,
        /// The controller's instruction.
        instruction: InstructionId,
        /// Destroy the keys although no copy of the key tree stands elsewhere.
        #[serde(default)]
        accept_single_copy: bool,
    },
    /// Decides that nothing be forgotten.
    RefuseErasure {
        /// Which erasure.
        erasure: ErasureId,
        /// On which ground.
        ground: RefusalGround,
        /// Why. Required while texts of this person are not erased.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Plain>,
    },
    /// Lets an approved erasure destroy its keys although no copy of the key tree stands elsewhere.
    AcceptSingleCopy {
        /// Which erasure.
        erasure: ErasureId,
    },
    /// Records that a step was carried out. The platform's own.
    RecordProgress {
        /// Which erasure.
        erasure: ErasureId,
        /// Which step.
        step: Step,
    },
}

/// A step of an erasure that was carried out. Recording one again does nothing; leaving one out is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
#[schema(as = ErasureStep)]
pub enum Step {
    /// It is about to fence: from here no hold can be placed on its scopes.
    Begun {},
    /// The fences and markers stand.
    Committed {},
    /// The keys are gone.
    KeysDestroyed {
        /// How many.
        keys: u64,
        /// The root version that was destroyed.
        root_before: u64,
        /// The root version that holds now.
        root_after: u64,
    },
    /// The read models took the markers in.
    DerivedPurged {},
    /// The recipients were told.
    RecipientsNotified {
        /// How many.
        recipients: u32,
    },
    /// Opening was tried, past all fences.
    Verified {
        /// How many targets were tried: at least one a scope.
        probed: u64,
        /// How many still opened: none, or the step is refused.
        opened: u64,
    },
    /// Nothing is left to do.
    Completed {},
}

impl decider::Command for Command {
    fn name(&self) -> &'static str {
        match self {
            Self::PlaceHold { .. } => "place-hold",
            Self::LiftHold { .. } => "lift-hold",
            Self::PlaceRestriction { .. } => "place-restriction",
            Self::LiftRestriction { .. } => "lift-restriction",
            Self::RequestErasure { .. } => "request-erasure",
            Self::ApproveErasure { .. } => "approve-erasure",
            Self::RefuseErasure { .. } => "refuse-erasure",
            Self::AcceptSingleCopy { .. } => "accept-single-copy",
            Self::RecordProgress { .. } => "record-progress",
        }
    }
}

// --- evolve (decide and rejections: in their own files)

impl Decider for Privacy {
    type Command = Command;
    type Event = Event;
    type Rejection = Refused;
    type Governing = Participant;

    fn governed_by(stream: &StreamId) -> Option<StreamId> {
        Some(stream.sibling(Aggregate::Participant))
    }

    fn decide(&self, command: &Command, context: &Context<'_, Participant>) -> Result<Vec<Event>, Refused> {
        decide::decide(self, command, context)
    }

    fn evolve(&mut self, event: &Event, _: Revision) {
        match event {
            Event::HoldPlaced { hold, scopes, authority, review_on, .. } => {
                let scopes = scopes.iter().copied().collect();
                let placed = Hold::Active { scopes, authority: authority.clone(), review_on: *review_on };
                self.holds.insert(*hold, placed);
            }
            Event::HoldLifted { hold, .. } => {
                self.holds.insert(*hold, Hold::Lifted);
            }
            Event::RestrictionPlaced { ground, .. } => self.restriction = Some(*ground),
            Event::RestrictionLifted { .. } => self.restriction = None,
            Event::ErasureRequested { erasure, scopes, justification, requested_by, .. } => {
                let scopes = scopes.iter().copied().collect();
                let request = Request { scopes, justification: *justification, requested_by: *requested_by };
                self.erasures.insert(*erasure, Erasure { request, stage: Stage::Requested });
            }
            Event::ErasureAssessed { erasure, .. }
            | Event::ErasureApproved { erasure, .. }
            | Event::ErasureRefused { erasure, .. }
            | Event::ErasureBegun { erasure }
            | Event::ErasureCommitted { erasure }
            | Event::SingleCopyAccepted { erasure }
            | Event::KeysDestroyed { erasure, .. }
            | Event::DerivedPurged { erasure }
            | Event::RecipientsNotified { erasure, .. }
            | Event::ErasureVerified { erasure, .. }
            | Event::ErasureCompleted { erasure } => {
                if let Some(erasure) = self.erasures.get_mut(erasure) {
                    erasure.evolve(event);
                }
            }
        }
    }
}

impl Privacy {
    /// What is to be done next for an erasure; none if there is no such erasure.
    pub fn next(&self, erasure: ErasureId) -> Option<Next> {
        self.erasures.get(&erasure).map(Erasure::next)
    }

    /// The hold on `scope` that will be looked at last, if there is one.
    pub fn hold_on(&self, scope: Scope) -> Option<(HoldId, Day)> {
        let on_scope = self.holds.iter().filter_map(|(id, hold)| match hold {
            Hold::Active { scopes, review_on, .. } if scopes.contains(&scope) => Some((*id, *review_on)),
            Hold::Active { .. } | Hold::Lifted => None,
        });
        on_scope.max_by_key(|(_, review_on)| *review_on)
    }

    /// Whether an erasure of `scope` has begun: nothing of it is taken any more.
    pub fn is_forgotten(&self, scope: Scope) -> bool {
        self.erasures.values().any(|erasure| erasure.has_begun() && erasure.granted().contains(&scope))
    }
}

#[cfg(test)]
mod tests;
