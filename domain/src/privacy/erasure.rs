//! One erasure: each stage holds only what is known by then.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Event, Justification, RefusalGround};
use crate::history::CommitHash;
use crate::ids::{HoldId, InstructionId, RuleId, UserId};
use crate::port::TreeCopies;
use crate::scope::{Extent, Part, Scope};
use crate::study::Trigger;
use crate::{Day, Moment};

/// An erasure as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// What was asked for.
    pub request: Request,
    /// How far it is.
    pub stage: Stage,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Which scopes and values.
    pub extent: Extent,
    /// On which ground.
    pub justification: Justification,
    /// By whom.
    pub requested_by: UserId,
}

/// How far an erasure is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Asked for. The same commit assesses it.
    Requested,
    /// Waits for the controller.
    Assessed(Assessment),
    /// May begin.
    Approved(Order),
    /// Is fencing: no way back.
    Begun(Order),
    /// Nothing can be read any more.
    Committed(Order),
    /// No key opens anything, and the KMS lets go of the old roots later.
    Scheduled {
        /// What is carried out.
        order: Order,
        /// When.
        until: Moment,
    },
    /// The keys are gone.
    KeysDestroyed(Destroyed),
    /// So is what was derived.
    DerivedPurged(Destroyed),
    /// The recipients know.
    RecipientsNotified(Notified),
    /// It was tried and proven.
    Verified(Proven),
    /// Done.
    Completed(Proven),
    /// Will not be done.
    Refused {
        /// Which scopes were refused and why.
        assessment: Assessment,
        /// On which ground the whole was.
        ground: RefusalGround,
    },
}

/// What may be erased and what may not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assessment {
    /// This may.
    pub granted: Extent,
    /// These may not.
    pub refused: Vec<RefusedScope>,
}

/// A scope, or one value of it, that is not erased. What is kept on several grounds stands here once for each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusedScope {
    /// Which.
    pub scope: Scope,
    /// Which value of it; none: all of it.
    #[serde(default)]
    pub part: Option<Part>,
    /// Why.
    pub ground: RefusalGround,
    /// The hold that covers it, if one does.
    pub hold: Option<HoldId>,
    /// The study's retention rule, if one keeps it.
    #[serde(default)]
    pub rule: Option<RuleId>,
    /// When it falls due: then it is to be looked at again.
    pub until: Option<Day>,
    /// What must happen before there is such a day.
    #[serde(default)]
    pub after: Option<Trigger>,
}

/// What a shred did to one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TargetKeys {
    /// Its scope.
    pub scope: Scope,
    /// Its part; none: every part.
    pub part: Option<Part>,
    /// How many of its keys are gone. None were there: zero.
    pub keys: u64,
    /// The root version that was replaced by the write that removed them.
    pub root_before: u64,
    /// The root version that it was replaced by.
    pub root_after: u64,
}

structural!(RefusedScope, TargetKeys);

/// What the controller ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// What is erased.
    pub assessment: Assessment,
    /// By whom it was approved.
    pub approved_by: UserId,
    /// Under which instruction.
    pub instruction: InstructionId,
    /// Whether the keys may go.
    pub destroy: Destroy,
}

/// Whether the keys may be destroyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destroy {
    /// Not before a copy of the key tree stands elsewhere.
    WaitsForOffSite,
    /// Yes: the controller does without such a copy.
    SingleCopyAccepted,
}

/// What the shred did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destroyed {
    /// The order that was carried out.
    pub order: Order,
    /// How many keys are gone.
    pub keys: u64,
    /// The root version that was destroyed.
    pub root_before: u64,
    /// The root version that held then.
    pub root_after: u64,
    /// The same target by target; empty where it was not counted so.
    pub targets: Vec<TargetKeys>,
    /// Whether the new key tree stood elsewhere before the old roots went.
    pub copy: TreeCopies,
    /// The date that the KMS had named, if it named one.
    pub scheduled: Option<Moment>,
}

/// Who was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notified {
    /// What came before.
    pub destroyed: Destroyed,
    /// How many recipients.
    pub recipients: u32,
}

/// What was proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// What came before.
    pub notified: Notified,
    /// How many targets were tried and did not open.
    pub probed: u64,
    /// How many targets of other persons opened in the same trial.
    pub controls: u64,
    /// SHA-256 of the certificate, once it is issued.
    pub certificate: Option<CommitHash>,
}

/// The name of a stage, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = ErasurePhase)]
#[expect(missing_docs, reason = "the names are those of the stages")]
pub enum Phase {
    Requested,
    Assessed,
    Approved,
    Begun,
    Committed,
    DestructionScheduled,
    KeysDestroyed,
    DerivedPurged,
    RecipientsNotified,
    Verified,
    Completed,
    Refused,
}

impl Phase {
    /// The name as in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Assessed => "assessed",
            Self::Approved => "approved",
            Self::Begun => "begun",
            Self::Committed => "committed",
            Self::DestructionScheduled => "destruction-scheduled",
            Self::KeysDestroyed => "keys-destroyed",
            Self::DerivedPurged => "derived-purged",
            Self::RecipientsNotified => "recipients-notified",
            Self::Verified => "verified",
            Self::Completed => "completed",
            Self::Refused => "refused",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is to be done next for an erasure, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The controller: approve or refuse.
    Decide,
    /// The platform: record `Begun`, before anything is fenced.
    Begin,
    /// The platform: fence the keys, set the markers in the person's streams, record `Committed`.
    Commit(Extent),
    /// The platform: shred, record `DestructionScheduled` or `KeysDestroyed`. Nothing can be read meanwhile.
    DestroyKeys(Doomed),
    /// The platform: wait until every read model took the markers in, record `DerivedPurged`.
    PurgeDerived(Extent),
    /// The platform: tell the recipients, record `RecipientsNotified`.
    NotifyRecipients(Extent),
    /// The platform: try to open, record `Verified`.
    Verify(Extent),
    /// The platform: issue the certificate, record `Completed`.
    Complete,
    /// Nobody: it is completed or refused.
    Nothing,
}

/// Keys that are to be destroyed, and what that must wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doomed {
    /// Which.
    pub extent: Extent,
    /// Whether a copy of the key tree must stand elsewhere first. If none ever will, it is the controller's turn: to
    /// accept a single copy.
    pub destroy: Destroy,
    /// Not before: the date that the KMS named.
    pub not_before: Option<Moment>,
}

impl Erasure {
    /// The name of the stage.
    pub fn phase(&self) -> Phase {
        match &self.stage {
            Stage::Requested => Phase::Requested,
            Stage::Assessed(_) => Phase::Assessed,
            Stage::Approved(_) => Phase::Approved,
            Stage::Begun(_) => Phase::Begun,
            Stage::Committed(_) => Phase::Committed,
            Stage::Scheduled { .. } => Phase::DestructionScheduled,
            Stage::KeysDestroyed(_) => Phase::KeysDestroyed,
            Stage::DerivedPurged(_) => Phase::DerivedPurged,
            Stage::RecipientsNotified(_) => Phase::RecipientsNotified,
            Stage::Verified(_) => Phase::Verified,
            Stage::Completed(_) => Phase::Completed,
            Stage::Refused { .. } => Phase::Refused,
        }
    }

    /// What was assessed last, if anything was.
    pub fn assessment(&self) -> Option<&Assessment> {
        match &self.stage {
            Stage::Requested => None,
            Stage::Assessed(assessment) | Stage::Refused { assessment, .. } => Some(assessment),
            Stage::Approved(_)
            | Stage::Begun(_)
            | Stage::Committed(_)
            | Stage::Scheduled { .. }
            | Stage::KeysDestroyed(_)
            | Stage::DerivedPurged(_)
            | Stage::RecipientsNotified(_)
            | Stage::Verified(_)
            | Stage::Completed(_) => self.order().map(|order| &order.assessment),
        }
    }

    /// What the controller ordered, once approved.
    pub fn order(&self) -> Option<&Order> {
        match &self.stage {
            Stage::Requested | Stage::Assessed(_) | Stage::Refused { .. } => None,
            Stage::Approved(order) | Stage::Begun(order) | Stage::Committed(order) | Stage::Scheduled { order, .. } => {
                Some(order)
            }
            Stage::KeysDestroyed(destroyed) | Stage::DerivedPurged(destroyed) => Some(&destroyed.order),
            Stage::RecipientsNotified(notified) => Some(&notified.destroyed.order),
            Stage::Verified(proven) | Stage::Completed(proven) => Some(&proven.notified.destroyed.order),
        }
    }

    /// What is erased, or will be if it is approved. Nothing of a refused one.
    pub fn granted(&self) -> Extent {
        match &self.stage {
            Stage::Refused { .. } => Extent::default(),
            _ => self.assessment().map(|assessment| assessment.granted.clone()).unwrap_or_default(),
        }
    }

    /// Whether there is no way back any more.
    pub fn has_begun(&self) -> bool {
        (Phase::Begun..=Phase::Completed).contains(&self.phase())
    }

    /// What is to be done next.
    pub fn next(&self) -> Next {
        match &self.stage {
            Stage::Requested | Stage::Completed(_) | Stage::Refused { .. } => Next::Nothing,
            Stage::Assessed(_) => Next::Decide,
            Stage::Approved(_) => Next::Begin,
            Stage::Begun(_) => Next::Commit(self.granted()),
            Stage::Committed(order) => Next::DestroyKeys(order.doomed(None)),
            Stage::Scheduled { order, until } => Next::DestroyKeys(order.doomed(Some(*until))),
            Stage::KeysDestroyed(_) => Next::PurgeDerived(self.granted()),
            Stage::DerivedPurged(_) => Next::NotifyRecipients(self.granted()),
            Stage::RecipientsNotified(_) => Next::Verify(self.granted()),
            Stage::Verified(_) => Next::Complete,
        }
    }

    /// Takes in a fact about this erasure. One that does not follow from the stage changes nothing.
    pub(super) fn evolve(&mut self, event: &Event) {
        if let Some(stage) = self.stage.after(event) {
            self.stage = stage;
        }
    }
}

impl Stage {
    fn after(&self, event: &Event) -> Option<Self> {
        match (self, event) {
            (
                Self::Requested | Self::Assessed(_) | Self::Approved(_),
                Event::ErasureAssessed { granted, values, refused, .. },
            ) => {
                let granted = Extent::of(granted, values);
                Some(Self::Assessed(Assessment { granted, refused: refused.clone() }))
            }
            (
                Self::Assessed(assessment),
                Event::ErasureApproved { approved_by, instruction, accept_single_copy, .. },
            ) => {
                let destroy = if *accept_single_copy { Destroy::SingleCopyAccepted } else { Destroy::WaitsForOffSite };
                Some(Self::Approved(Order {
                    assessment: assessment.clone(),
                    approved_by: *approved_by,
                    instruction: instruction.clone(),
                    destroy,
                }))
            }
            (
                Self::Assessed(assessment) | Self::Approved(Order { assessment, .. }),
                Event::ErasureRefused { ground, .. },
            ) => Some(Self::Refused { assessment: assessment.clone(), ground: *ground }),
            (Self::Approved(order), Event::SingleCopyAccepted { .. }) => Some(Self::Approved(order.accepting())),
            (Self::Begun(order), Event::SingleCopyAccepted { .. }) => Some(Self::Begun(order.accepting())),
            (Self::Committed(order), Event::SingleCopyAccepted { .. }) => Some(Self::Committed(order.accepting())),
            (Self::Scheduled { order, until }, Event::SingleCopyAccepted { .. }) => {
                Some(Self::Scheduled { order: order.accepting(), until: *until })
            }
            (_, event) => self.after_step(event),
        }
    }

    /// The stages from the beginning to the end, each by one fact.
    fn after_step(&self, event: &Event) -> Option<Self> {
        match (self, event) {
            (Self::Approved(order), Event::ErasureBegun { .. }) => Some(Self::Begun(order.clone())),
            (Self::Begun(order), Event::ErasureCommitted { .. }) => Some(Self::Committed(order.clone())),
            (Self::Committed(order) | Self::Scheduled { order, .. }, Event::DestructionScheduled { until, .. }) => {
                Some(Self::Scheduled { order: order.clone(), until: *until })
            }
            (Self::Committed(order), Event::KeysDestroyed { .. }) => order.destroyed(event, None),
            (Self::Scheduled { order, until }, Event::KeysDestroyed { .. }) => order.destroyed(event, Some(*until)),
            (Self::KeysDestroyed(destroyed), Event::DerivedPurged { .. }) => {
                Some(Self::DerivedPurged(destroyed.clone()))
            }
            (Self::DerivedPurged(destroyed), Event::RecipientsNotified { recipients, .. }) => {
                Some(Self::RecipientsNotified(Notified { destroyed: destroyed.clone(), recipients: *recipients }))
            }
            (Self::RecipientsNotified(notified), Event::ErasureVerified { probed, controls, .. }) => {
                let (notified, probed, controls) = (notified.clone(), *probed, *controls);
                Some(Self::Verified(Proven { notified, probed, controls, certificate: None }))
            }
            (Self::Verified(proven), Event::ErasureCompleted { certificate, .. }) => {
                Some(Self::Completed(Proven { certificate: *certificate, ..proven.clone() }))
            }
            _ => None,
        }
    }
}

impl Order {
    fn accepting(&self) -> Self {
        Self { destroy: Destroy::SingleCopyAccepted, ..self.clone() }
    }

    fn doomed(&self, not_before: Option<Moment>) -> Doomed {
        Doomed { extent: self.assessment.granted.clone(), destroy: self.destroy, not_before }
    }

    fn destroyed(&self, event: &Event, scheduled: Option<Moment>) -> Option<Stage> {
        let Event::KeysDestroyed { keys, root_before, root_after, destroyed, copy, .. } = event else { return None };
        let (order, targets, copy) = (self.clone(), destroyed.clone(), *copy);
        let (keys, root_before, root_after) = (*keys, *root_before, *root_after);
        Some(Stage::KeysDestroyed(Destroyed { order, keys, root_before, root_after, targets, copy, scheduled }))
    }
}
