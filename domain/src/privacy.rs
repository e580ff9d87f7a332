//! What is ordered about one person's data: holds, restrictions, erasures. Governed by the participant's record, under
//! the study's retention rules.
//!
//! Holds and erasures stand in one stream, so that they can never pass each other. A hold that is placed before an
//! erasure has begun wins: the same commit assesses the erasure anew, without the held scopes, and asks for a new
//! approval (or refuses it, where nothing is left). From `erasure-begun` on, which comes before the first fence,
//! the erasure wins: a hold on its scopes is refused, because nothing is left that it could keep.
//!
//! Granted is what was requested, less what is held, less what the study retains, less what the person wants kept (a
//! restriction by Art 18(1)(b) or (c)). A retention rule stands in another stream, so it assesses nothing by itself:
//! approval and beginning look at the rules again and refuse, until the erasure was assessed anew.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::decider::{self, Context, Decider, Recorded};
use crate::history::{Aggregate, CommitHash, StreamId};
use crate::ids::{ErasureId, HoldId, InstructionId, OrganisationId, UserId};
use crate::port::TreeCopies;
use crate::scope::{Extent, OneValue, Personal, Plain, Scope, tag};
use crate::study::Study;
use crate::{Day, Moment};

mod assess;
mod decide;
mod erasure;
mod person;
mod progress;
mod refused;

pub use erasure::{
    Assessment, Destroy, Destroyed, Doomed, Erasure, Next, Notified, Order, Phase, Proven, RefusedScope, Request,
    Stage, TargetKeys,
};
pub use person::Person;
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
        /// Somebody asks that scopes or single values be forgotten.
        "erasure-requested" 2 ErasureRequested { erasure: ErasureId, scopes: Vec<Scope>, values: Vec<OneValue>, justification: Justification, requested_by: UserId, reason: Option<Personal<String, tag::HealthFreeText>> },
        /// Which of them may be. A later one replaces an earlier one, and its approval.
        "erasure-assessed" 2 ErasureAssessed { erasure: ErasureId, granted: Vec<Scope>, values: Vec<OneValue>, refused: Vec<RefusedScope> },
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
        /// No key opens anything any more, and the KMS will let go of the old roots at a later date.
        "destruction-scheduled" 1 DestructionScheduled { erasure: ErasureId, until: Moment },
        /// The keys are gone for good: this many in all, and target by target.
        "keys-destroyed" 2 KeysDestroyed { erasure: ErasureId, keys: u64, root_before: u64, root_after: u64, destroyed: Vec<TargetKeys>, copy: TreeCopies },
        /// Read models hold nothing of it any more.
        "derived-purged" 1 DerivedPurged { erasure: ErasureId },
        /// Who had received the data was told (GDPR Art 19).
        "recipients-notified" 1 RecipientsNotified { erasure: ErasureId, recipients: u32 },
        /// Trying to open it failed, past all fences, while so many targets of other persons opened.
        "erasure-verified" 2 ErasureVerified { erasure: ErasureId, probed: u64, controls: u64 },
        /// All is done, and this certificate says so.
        "erasure-completed" 2 ErasureCompleted { erasure: ErasureId, certificate: Option<CommitHash> },
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

impl RestrictionGround {
    /// Whether the person wants the data kept: then nothing is erased until the restriction is lifted. In the other
    /// cases the person wants it corrected or gone, and an erasure is what may follow.
    pub fn keeps(self) -> bool {
        match self {
            Self::UnlawfulProcessing | Self::LegalClaims => true,
            Self::AccuracyContested | Self::ObjectionPending => false,
        }
    }
}

/// Why data is not erased: GDPR Art 17(3) (a) to (e), and three reasons of our own.
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
    /// A hold covers it.
    LegalHold,
    /// The person wants it kept: processing is restricted on the ground of Art 18(1) (b) or (c).
    Restriction,
    /// None of the cases of Art 17(1) is given.
    NotJustified,
}

impl RefusalGround {
    /// Whether it is one of the cases of Art 17(3).
    pub fn is_exemption(self) -> bool {
        match self {
            Self::FreedomOfExpression
            | Self::LegalObligation
            | Self::PublicHealth
            | Self::Research
            | Self::LegalClaims => true,
            Self::LegalHold | Self::Restriction | Self::NotJustified => false,
        }
    }

    /// The name as in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FreedomOfExpression => "freedom-of-expression",
            Self::LegalObligation => "legal-obligation",
            Self::PublicHealth => "public-health",
            Self::Research => "research",
            Self::LegalClaims => "legal-claims",
            Self::LegalHold => "legal-hold",
            Self::Restriction => "restriction",
            Self::NotJustified => "not-justified",
        }
    }
}

structural!(RestrictionGround, Justification, RefusalGround, TreeCopies);

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
        /// Which scopes; absent: all that are not erased, unless values are named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scopes: Option<BTreeSet<Scope>>,
        /// Single values to redact, as the audit trail and the casebook name them under `redactable`.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        values: BTreeSet<OneValue>,
        /// On which ground of Art 17(1).
        justification: Justification,
        /// More words about it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Plain>,
    },
    /// Assesses an erasure anew that has not begun: rules and days may have changed. An approval that covers more than
    /// is granted now falls.
    AssessErasure {
        /// Which erasure.
        erasure: ErasureId,
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
    /// No key opens anything any more; the KMS lets go of the old roots later.
    DestructionScheduled {
        /// When.
        until: Moment,
        /// Whether the new key tree stood elsewhere before.
        copy: TreeCopies,
    },
    /// The keys are gone.
    KeysDestroyed {
        /// Target by target.
        destroyed: Vec<TargetKeys>,
        /// Whether the new key tree stood elsewhere before the old roots went.
        copy: TreeCopies,
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
        /// How many targets were tried: at least one for each that was granted.
        probed: u64,
        /// How many still opened: none, or the step is refused.
        opened: u64,
        /// How many targets of other persons were tried in the same way.
        controls: u64,
        /// How many of those opened: if none did, the trial proves nothing.
        controls_opened: u64,
    },
    /// Nothing is left to do.
    Completed {
        /// SHA-256 of the certificate.
        certificate: CommitHash,
    },
}

impl decider::Command for Command {
    fn name(&self) -> &'static str {
        match self {
            Self::PlaceHold { .. } => "place-hold",
            Self::LiftHold { .. } => "lift-hold",
            Self::PlaceRestriction { .. } => "place-restriction",
            Self::LiftRestriction { .. } => "lift-restriction",
            Self::RequestErasure { .. } => "request-erasure",
            Self::AssessErasure { .. } => "assess-erasure",
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
    type Governing = Person;
    type Rules = Study;

    fn governed_by(stream: &StreamId) -> Option<StreamId> {
        Some(stream.sibling(Aggregate::Participant))
    }

    fn ruled_by(stream: &StreamId) -> Option<StreamId> {
        let study = stream.journal.study.clone()?;
        Some(StreamId { journal: stream.journal.clone(), aggregate: Aggregate::Study, id: study.to_string() })
    }

    fn decide(&self, command: &Command, context: &Context<'_, Person, Study>) -> Result<Vec<Event>, Refused> {
        decide::decide(self, command, context)
    }

    fn evolve(&mut self, event: &Event, _: Recorded) {
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
            Event::ErasureRequested { erasure, scopes, values, justification, requested_by, .. } => {
                let extent = Extent::of(scopes, values);
                let request = Request { extent, justification: *justification, requested_by: *requested_by };
                self.erasures.insert(*erasure, Erasure { request, stage: Stage::Requested });
            }
            Event::ErasureAssessed { erasure, .. }
            | Event::ErasureApproved { erasure, .. }
            | Event::ErasureRefused { erasure, .. }
            | Event::ErasureBegun { erasure }
            | Event::ErasureCommitted { erasure }
            | Event::SingleCopyAccepted { erasure }
            | Event::DestructionScheduled { erasure, .. }
            | Event::KeysDestroyed { erasure, .. }
            | Event::DerivedPurged { erasure }
            | Event::RecipientsNotified { erasure, .. }
            | Event::ErasureVerified { erasure, .. }
            | Event::ErasureCompleted { erasure, .. } => {
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
        self.erasures.values().any(|erasure| erasure.has_begun() && erasure.granted().scopes.contains(&scope))
    }

    /// Whether an erasure of one value has begun, alone or with its scope.
    pub fn is_redacted(&self, value: &OneValue) -> bool {
        let covers = |erasure: &Erasure| erasure.has_begun() && erasure.granted().covers(value.scope, &value.part);
        self.erasures.values().any(covers)
    }
}

#[cfg(test)]
mod tests;
