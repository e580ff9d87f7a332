//! What of an order is shown.

use std::collections::BTreeSet;

use domain::history::CommitHash;
use domain::ids::{
    CommandId, ErasureId, ExportId, HoldId, InstructionId, Label, OrganisationId, ParticipantId, StudyId, UserId,
};
use domain::port::{TreeCopies, WaitingOn};
use domain::privacy::{Justification, Phase, RefusalGround, RefusedScope, RestrictionGround};
use domain::scope::{OneValue, Scope};
use domain::{Day, Moment};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
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
    /// Since when something holds it up that the platform cannot do by itself.
    pub waiting_since: Option<Moment>,
    /// The scopes that were asked for.
    pub requested: Vec<Scope>,
    /// The single values that were asked for.
    pub requested_values: Vec<OneValue>,
    /// On which ground of Art 17(1).
    pub justification: Justification,
    /// More words about it.
    pub reason: Option<Shown<String>>,
    /// Who asked.
    pub requested_by: UserId,
    /// The scopes that are erased, or will be if it is approved.
    pub granted: Vec<Scope>,
    /// The single values that are.
    pub granted_values: Vec<OneValue>,
    /// The scopes and values that are not, each with its ground and the day on which it falls due.
    pub refused: Vec<RefusedScope>,
    /// Who approved it.
    pub approved_by: Option<UserId>,
    /// Under which instruction of the controller.
    pub instruction: Option<InstructionId>,
    /// Whether a copy of the key tree stands elsewhere: then the keys are destroyed without another word.
    pub key_tree_copies: TreeCopies,
    /// Whether the controller does without such a copy.
    pub single_copy_accepted: bool,
    /// If all of it was refused.
    pub refusal: Option<Refusal>,
    /// When the KMS lets go of the old roots, if it keeps them for a while. Nothing can be read meanwhile.
    pub destruction_due: Option<Moment>,
    /// Once the keys are gone.
    pub destroyed: Option<Destroyed>,
    /// How many recipients there were by then.
    pub recipients: Option<u32>,
    /// Whom to tell (GDPR Art 19): everybody who got data of this person, by the register of exports.
    #[serde(default)]
    pub tell: Vec<Recipient>,
    /// How many targets were tried and did not open.
    pub probed: Option<u64>,
    /// How many other persons' opened in the same trial.
    pub controls: Option<u64>,
    /// SHA-256 of the certificate: `GET /v1/erasures/{erasure}/certificate`.
    pub certificate: Option<CommitHash>,
    /// Every step, with who recorded it and when.
    pub steps: Vec<StepDone>,
}

/// Somebody who got data of the person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ErasureRecipient)]
pub struct Recipient {
    /// Who: an organisation or an office.
    pub recipient: Label,
    /// What it was given, the first first.
    pub given: Vec<Given>,
}

/// What a recipient was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ErasureGiven)]
pub struct Given {
    /// What for.
    pub purpose: Label,
    /// By which export.
    pub export: ExportId,
    /// Which copy of it that was handed on; none: the export itself.
    pub copy: Option<CommandId>,
    /// Since when.
    pub given_at: Moment,
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
    /// The place elsewhere, which does not answer.
    OffSite,
    /// The KMS, which does not answer.
    Kms,
    /// The KMS, which keeps the old roots until `destruction_due`.
    DestructionDate,
    /// The key tree, which cannot be written.
    KeyTree,
    /// The journal, which does not answer.
    Journal,
    /// The read models, which are behind.
    ReadModels,
    /// The certificate, which cannot be issued now.
    Certificate,
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
    pub(super) fn of(study: &StudyId, row: ErasureRow, withheld: &BTreeSet<Cell>, copies: TreeCopies) -> Self {
        let reason = row.refusal_reason.clone().map(|reason| Shown::of_personal(reason, withheld));
        Self {
            erasure: row.erasure,
            study: study.clone(),
            participant: row.participant,
            phase: row.phase(),
            open: row.is_open(),
            waiting_for: WaitingFor::of(&row, copies),
            waiting_since: None,
            refusal: row.refusal.map(|ground| Refusal { ground, reason }),
            requested: row.requested,
            requested_values: row.requested_values,
            justification: row.justification,
            reason: row.reason.map(|reason| Shown::of_personal(reason, withheld)),
            requested_by: row.requested_by,
            granted: row.granted,
            granted_values: row.granted_values,
            refused: row.refused,
            approved_by: row.approved_by,
            instruction: row.instruction,
            key_tree_copies: copies,
            single_copy_accepted: row.single_copy_accepted,
            destruction_due: row.destruction_due,
            destroyed: row.destroyed,
            recipients: row.recipients,
            tell: Vec::new(),
            probed: row.probed,
            controls: row.controls,
            certificate: row.certificate,
            steps: row.steps,
        }
    }
}

impl WaitingFor {
    fn of(row: &ErasureRow, copies: TreeCopies) -> Self {
        match row.phase() {
            Phase::Assessed => Self::Approval,
            Phase::Committed if !row.single_copy_accepted && copies == TreeCopies::Single => Self::SingleCopy,
            Phase::DestructionScheduled => Self::DestructionDate,
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

impl Erasure {
    /// Says what holds it up, where it is the platform's turn.
    pub fn held_up(mut self, waits: Option<(WaitingOn, OffsetDateTime)>) -> Self {
        if let (Some((on, since)), WaitingFor::Platform) = (waits, self.waiting_for) {
            self.waiting_since = Some(Moment(since));
            self.waiting_for = match on {
                WaitingOn::OffSite => WaitingFor::OffSite,
                WaitingOn::Kms => WaitingFor::Kms,
                WaitingOn::KeyTree => WaitingFor::KeyTree,
                WaitingOn::Journal => WaitingFor::Journal,
                WaitingOn::ReadModels => WaitingFor::ReadModels,
                WaitingOn::Certificate => WaitingFor::Certificate,
            };
        }
        self
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
