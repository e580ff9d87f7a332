//! What is ordered about people's data, for those who answer for it: every erasure with its steps, the open ones,
//! the holds and restrictions in force.

mod apply;
mod list;
mod shown;

pub use apply::Erasures;
pub use list::{holds, list, restrictions, show};
pub use shown::{Erasure, Given, Hold, Recipient, Refusal, Restriction, WaitingFor};

use domain::history::CommitHash;
use domain::ids::{ErasureId, HoldId, InstructionId, OrganisationId, ParticipantId, UserId};
use domain::port::TreeCopies;
use domain::privacy::{Justification, Phase, RefusalGround, RefusedScope, RestrictionGround, TargetKeys};
use domain::scope::{OneValue, Personal, Scope, tag};
use domain::structural;
use domain::{Day, Moment};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::row::{Act, kinds};

// --- row

type Reason = Option<Personal<String, tag::HealthFreeText>>;

domain::fields! {
    /// An erasure as it stands.
    pub struct ErasureRow {
        /// Which.
        pub erasure: ErasureId,
        /// Whose data.
        pub participant: ParticipantId,
        /// Where the request stands in the journal: orders the list.
        pub listed: u64,
        /// What was asked for.
        pub requested: Vec<Scope>,
        /// Which single values.
        pub requested_values: Vec<OneValue>,
        /// On which ground.
        pub justification: Justification,
        /// More words about it.
        pub reason: Reason,
        /// By whom.
        pub requested_by: UserId,
        /// What may be erased.
        pub granted: Vec<Scope>,
        /// Which single values.
        pub granted_values: Vec<OneValue>,
        /// What may not.
        pub refused: Vec<RefusedScope>,
        /// By whom it was approved.
        pub approved_by: Option<UserId>,
        /// Under which instruction.
        pub instruction: Option<InstructionId>,
        /// Whether the controller does without a copy of the key tree elsewhere.
        pub single_copy_accepted: bool,
        /// On which ground all of it was refused.
        pub refusal: Option<RefusalGround>,
        /// More words about that.
        pub refusal_reason: Reason,
        /// When the KMS lets go of the old roots, if it keeps them for a while.
        pub destruction_due: Option<Moment>,
        /// What the shred did.
        pub destroyed: Option<Destroyed>,
        /// How many recipients were told.
        pub recipients: Option<u32>,
        /// How many targets were tried and did not open.
        pub probed: Option<u64>,
        /// How many other persons' opened in the same trial.
        pub controls: Option<u64>,
        /// SHA-256 of the certificate.
        pub certificate: Option<CommitHash>,
        /// Every step, in order.
        pub steps: Vec<StepDone>,
    }
}

domain::fields! {
    /// A hold as it stands.
    pub struct HoldRow {
        /// Which.
        pub hold: HoldId,
        /// Whose data.
        pub participant: ParticipantId,
        /// Where it stands in the journal: orders the list.
        pub listed: u64,
        /// What must be kept.
        pub scopes: Vec<Scope>,
        /// Who ordered it.
        pub authority: OrganisationId,
        /// When it is looked at again.
        pub review_on: Day,
        /// Why.
        pub reason: Reason,
        /// Who placed it and when.
        pub placed: Act,
    }
}

domain::fields! {
    /// A restriction in force.
    pub struct RestrictionRow {
        /// Whose data.
        pub participant: ParticipantId,
        /// On which ground of Art 18(1).
        pub ground: RestrictionGround,
        /// Why.
        pub reason: Reason,
        /// Who placed it and when.
        pub placed: Act,
    }
}

/// A step of an erasure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ErasureStepDone)]
pub struct StepDone {
    /// Which.
    pub phase: Phase,
    /// Who recorded it and when.
    pub act: Act,
}

/// What a shred did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ErasureDestroyed)]
pub struct Destroyed {
    /// How many keys are gone.
    pub keys: u64,
    /// The root version that was destroyed.
    pub root_before: u64,
    /// The root version that held then.
    pub root_after: u64,
    /// Target by target; empty where it was not counted so.
    pub targets: Vec<TargetKeys>,
    /// Whether the new key tree stood elsewhere before the old roots went.
    pub copy: TreeCopies,
}

/// An entry of a list: whose row to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    participant: ParticipantId,
}

structural!(StepDone, Destroyed, Listed);

kinds! {
    /// What the table holds.
    #[expect(clippy::large_enum_variant, reason = "rows are handled one by one, never in arrays")]
    pub enum PrivacyRow {
        /// An erasure.
        "erasure" Erasure(ErasureRow),
        /// A hold.
        "hold" Hold(HoldRow),
        /// A restriction.
        "restriction" Restriction(RestrictionRow),
        /// An entry of a list.
        "listed" Listed(Listed),
    }
}

// --- keys

const ALL: &str = "all/";
const OPEN: &str = "open/";
const HOLDS: &str = "holds/";
const RESTRICTIONS: &str = "restrictions/";
const RESTRICTION: &str = "restriction";

fn erasure_key(erasure: ErasureId) -> String {
    format!("erasure/{erasure}")
}

fn hold_key(hold: HoldId) -> String {
    format!("hold/{hold}")
}

fn by_id(erasure: ErasureId) -> String {
    format!("id/{erasure}")
}

fn in_list(list: &str, row: &ErasureRow) -> String {
    format!("{list}{:020}/{}", row.listed, row.erasure)
}

fn hold_entry(row: &HoldRow) -> String {
    format!("{HOLDS}{:020}/{}", row.listed, row.hold)
}

fn restriction_entry(participant: ParticipantId) -> String {
    format!("{RESTRICTIONS}{participant}")
}

#[cfg(test)]
mod tests;
