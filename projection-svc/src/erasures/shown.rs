//! What of an order is shown.

use std::collections::BTreeSet;

use domain::Day;
use domain::ids::{ErasureId, HoldId, InstructionId, OrganisationId, ParticipantId, StudyId, UserId};
use domain::privacy::{Justification, Phase, RefusalGround, RefusedScope, RestrictionGround};
use domain::scope::Scope;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Destroyed, ErasureRow, HoldRow, RestrictionRow, StepDone};
use crate::cells::Cell;
use crate::row::Act;
use crate::shown::Shown;

/// An erasure as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Erasure {
    /// Which.
    pub erasure: ErasureId,
    /// In which study.
    pub study: StudyId,
    /// Whose data.
    pub participant: ParticipantId,
    /// How far it is.
    pub phase: Phase,
    /// Whether something is still to be done.
    pub open: bool,
    /// By whom.
    pub waiting_for: WaitingFor,
    /// The scopes that were asked for.
    pub requested: Vec<Scope>,
    /// On which ground of Art 17(1).
    pub justification: Justification,
    /// More words about it.
    pub reason: Option<Shown<String>>,
    /// Who asked.
    pub requested_by: UserId,
    /// The scopes that are erased, or will be if it is approved.
    pub granted: Vec<Scope>,
    /// The scopes that are not, each with its ground.
    pub refused: Vec<RefusedScope>,
    /// Who approved it.
    pub approved_by: Option<UserId>,
    /// Under which instruction of the controller.
    pub instruction: Option<InstructionId>,
    /// Whether the controller does without a copy of the key tree elsewhere.
    pub single_copy_accepted: bool,
    /// If all of it was refused.
    pub refusal: Option<Refusal>,
    /// Once the keys are gone.
    pub destroyed: Option<Destroyed>,
    /// How many recipients were told.
    pub recipients: Option<u32>,
    /// How many targets were tried and did not open.
    pub probed: Option<u64>,
    /// Every step, with who recorded it and when.
    pub steps: Vec<StepDone>,
}

/// Who must act for an erasure to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = ErasureWaitingFor)]
pub enum WaitingFor {
    /// The controller: approve or refuse.
    Approval,
    /// The controller: accept that no copy of the key tree stands elsewhere. Nothing can be read meanwhile.
    SingleCopy,
    /// The platform.
    Platform,
    /// Nobody: it is completed or refused.
    Nobody,
}

/// Why all of an erasure was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ErasureRefusal)]
pub struct Refusal {
    /// On which ground.
    pub ground: RefusalGround,
    /// More words about it.
    pub reason: Option<Shown<String>>,
}

/// A hold in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Hold {
    /// Which.
    pub hold: HoldId,
    /// In which study.
    pub study: StudyId,
    /// Whose data.
    pub participant: ParticipantId,
    /// What must be kept.
    pub scopes: Vec<Scope>,
    /// Who ordered it.
    pub authority: OrganisationId,
    /// When it is looked at again.
    pub review_on: Day,
    /// Why.
    pub reason: Option<Shown<String>>,
    /// Who placed it and when.
    pub placed: Act,
}

/// A restriction in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Restriction {
    /// In which study.
    pub study: StudyId,
    /// Whose data.
    pub participant: ParticipantId,
    /// On which ground of Art 18(1).
    pub ground: RestrictionGround,
    /// Why.
    pub reason: Option<Shown<String>>,
    /// Who placed it and when.
    pub placed: Act,
}

impl Erasure {
    pub(super) fn of(study: &StudyId, row: ErasureRow, withheld: &BTreeSet<Cell>) -> Self {
        let reason = row.refusal_reason.clone().map(|reason| Shown::of_personal(reason, withheld));
        Self {
            erasure: row.erasure,
            study: study.clone(),
            participant: row.participant,
            phase: row.phase(),
            open: row.is_open(),
            waiting_for: WaitingFor::of(&row),
            refusal: row.refusal.map(|ground| Refusal { ground, reason }),
            requested: row.requested,
            justification: row.justification,
            reason: row.reason.map(|reason| Shown::of_personal(reason, withheld)),
            requested_by: row.requested_by,
            granted: row.granted,
            refused: row.refused,
            approved_by: row.approved_by,
            instruction: row.instruction,
            single_copy_accepted: row.single_copy_accepted,
            destroyed: row.destroyed,
            recipients: row.recipients,
            probed: row.probed,
            steps: row.steps,
        }
    }
}

impl WaitingFor {
    fn of(row: &ErasureRow) -> Self {
        match row.phase() {
            Phase::Assessed => Self::Approval,
            Phase::Committed if !row.single_copy_accepted => Self::SingleCopy,
            Phase::Requested
            | Phase::Approved
            | Phase::Begun
            | Phase::Committed
            | Phase::KeysDestroyed
            | Phase::DerivedPurged
            | Phase::RecipientsNotified
            | Phase::Verified => Self::Platform,
            Phase::Completed | Phase::Refused => Self::Nobody,
        }
    }
}

impl Hold {
    pub(super) fn of(study: &StudyId, row: HoldRow, withheld: &BTreeSet<Cell>) -> Self {
        Self {
            hold: row.hold,
            study: study.clone(),
            participant: row.participant,
            scopes: row.scopes,
            authority: row.authority,
            review_on: row.review_on,
            reason: row.reason.map(|reason| Shown::of_personal(reason, withheld)),
            placed: row.placed,
        }
    }
}

impl Restriction {
    pub(super) fn of(study: &StudyId, row: RestrictionRow, withheld: &BTreeSet<Cell>) -> Self {
        Self {
            study: study.clone(),
            participant: row.participant,
            ground: row.ground,
            reason: row.reason.map(|reason| Shown::of_personal(reason, withheld)),
            placed: row.placed,
        }
    }
}
