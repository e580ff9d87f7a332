//! What a certificate says.

use domain::history::{CommitHash, DataSubject, JournalId, Revision};
use domain::ids::{ErasureId, HoldId, InstructionId, StudyId, TenantId, UserId};
use domain::port::{Destruction, KmsDescription, TreeCopies};
use domain::privacy::{Justification, RefusalGround};
use domain::scope::{Part, Scope};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// The format of the certificates that are issued.
pub const FORMAT: u64 = 1;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// What is signed, in its canonical form.
    pub certificate: Body,
    /// By whom.
    pub signature: SignatureBlock,
}

/// The signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignatureBlock {
    /// `Ed25519` (RFC 8032).
    pub algorithm: String,
    /// The public key, base64. It is no proof of who signed: compare it with the one you trust.
    pub key: String,
    /// The signature, base64.
    pub value: String,
}

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// 1.
    pub format: u64,
    /// The erasure.
    pub erasure: ErasureId,
    /// The data controller.
    pub tenant: TenantId,
    /// The study; absent: the tenant's own journal stream (a user's data).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub study: Option<StudyId>,
    /// The random id of the person.
    pub data_subject: DataSubject,
    /// When it was issued.
    #[serde(with = "time::serde::rfc3339")]
    pub issued_at: OffsetDateTime,
    /// Who wanted it.
    pub order: OrderBlock,
    /// What was destroyed.
    pub destroyed: Vec<DestroyedScope>,
    /// What was kept.
    pub kept: Vec<KeptScope>,
    /// How many sections of commits cannot be read any more, all scopes together.
    pub sections_made_unreadable: u64,
    /// The record before and after.
    pub record: RecordBlock,
    /// The key map before and after, one step for each root that was replaced.
    pub key_map: Vec<KeyMapStep>,
    /// Where the root keys are held.
    pub kms: KmsDescription,
    /// Whether the old roots are gone.
    pub old_roots: Destruction,
    /// The copy of the key tree elsewhere.
    pub off_site: OffSiteBlock,
    /// From when on nothing could be read.
    #[serde(with = "time::serde::rfc3339")]
    pub logically_effective_at: OffsetDateTime,
    /// When the keys were, or will be, gone for good.
    #[serde(with = "time::serde::rfc3339")]
    pub cryptographically_complete_by: OffsetDateTime,
    /// How many recipients were told.
    pub recipients_notified: u64,
    /// How many targets were tried, past all fences, and did not open.
    pub probed: u64,
    /// The limits of all this, in plain words.
    pub what_this_cannot_prove: Vec<String>,
}

/// Who wanted it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderBlock {
    /// GDPR Art 17(1).
    pub justification: Justification,
    /// The one who asked.
    pub requested_by: UserId,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub requested_at: OffsetDateTime,
    /// The one who approved: another one.
    pub approved_by: UserId,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub approved_at: OffsetDateTime,
    /// The controller's instruction.
    pub instruction: InstructionId,
}

/// A scope, or one part of it, whose keys were destroyed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestroyedScope {
    /// Which.
    pub scope: Scope,
    /// Which part; absent: all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// What was found there.
    pub finding: Finding,
    /// How many keys were destroyed.
    pub keys: u64,
    /// How many sections of commits were sealed under them.
    pub sections: u64,
    /// The root version that led to them.
    pub root_before: u64,
    /// The root version that replaced it.
    pub root_after: u64,
}

/// What was found in a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// Keys, which are destroyed.
    Destroyed,
    /// No data was ever held in it.
    NoneHeld,
}

/// A scope that was kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptScope {
    /// Which.
    pub scope: Scope,
    /// Why.
    pub ground: RefusalGround,
    /// The hold that covers it, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldId>,
    /// The day on which it falls due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<String>,
}

/// The record before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordBlock {
    /// The last checkpoint without the commit that began the erasure: a signed note.
    pub before: String,
    /// The checkpoint when the certificate was issued: a signed note.
    pub after: String,
    /// Proof that nothing was changed between them but by appending (RFC 6962; base64).
    pub consistency: Vec<String>,
    /// The commit that began the erasure.
    pub begun: BegunCommit,
}

/// The commit that began the erasure, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BegunCommit {
    /// Its sequence in the journal stream.
    pub sequence: u64,
    /// Its number in the person's `privacy` stream.
    pub revision: Revision,
    /// The hash of its bytes.
    pub hash: CommitHash,
    /// Proof that it is in the checkpoint after (RFC 6962; base64).
    pub inclusion: Vec<String>,
}

/// One step of the key map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyMapStep {
    /// The root version that was made with it.
    pub root_after: u64,
    /// The root of the map before.
    pub before: CommitHash,
    /// The root of the map after.
    pub after: CommitHash,
    /// What was emptied: all that is named is this person's.
    pub emptied: Vec<Emptied>,
    /// Proof that nothing else was changed (base64).
    pub proof: String,
}

/// What was emptied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Emptied {
    /// Which scope.
    pub scope: Scope,
    /// Which part; absent: all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// Through which generation, if it is one part.
    pub generations: u32,
}

/// The copy of the key tree elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OffSiteBlock {
    /// Whether there is one.
    pub copies: TreeCopies,
    /// The root that the copy is under: older ones are superseded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<u64>,
    /// How many packs it is made of, those before the erasure included: what they have under older roots is dead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packs: Option<u64>,
}

impl Body {
    /// The journal stream that it is about.
    pub fn journal(&self) -> JournalId {
        JournalId { tenant: self.tenant.clone(), study: self.study.clone() }
    }
}
