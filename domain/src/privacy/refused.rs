//! Why an order about a person's data was not taken.

use super::Phase;
use crate::rejection::{Kind, Rejection};
use crate::scope::Scope;

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not there, or not at a site of this credential.
    #[error("there is no such participant: register it first, or use a credential of its site")]
    NoSuchParticipant,
    /// No such hold.
    #[error("there is no such hold on this participant's data")]
    NoSuchHold,
    /// No such erasure.
    #[error("there is no such erasure of this participant's data")]
    NoSuchErasure,
    /// The id is taken.
    #[error("this hold id was used before, for another hold: choose a new random id")]
    HoldExists,
    /// The id is taken.
    #[error("this erasure id was used before, for another request: choose a new random id")]
    ErasureExists,
    /// Restricted already, on another ground.
    #[error("processing is restricted already, on another ground: lift that restriction first")]
    RestrictedOtherwise,
    /// An empty list of scopes.
    #[error("no scope is named: name at least one, or leave the list out to mean all")]
    NoScope,
    /// A scope of users.
    #[error("participants have no data in the scope {0}")]
    ForeignScope(Scope),
    /// The review date is over.
    #[error("the review date is in the past: name a day to come")]
    ReviewInPast,
    /// No reason.
    #[error("say why: a reason is required")]
    ReasonRequired,
    /// A text cannot be kept any more.
    #[error("texts of this participant have been erased and no new one is taken: send the command without reason")]
    ReasonErased,
    /// Nothing is left to hold or to erase.
    #[error("the scope {0} of this participant, or this value of it, has been erased, or is being erased")]
    AlreadyErased(Scope),
    /// Everything is erased.
    #[error("everything of this participant has been erased, or is being erased")]
    NothingLeft,
    /// Another erasure has the scope.
    #[error("another erasure of the scope {0} is waiting: let it be approved or refused first")]
    ErasurePending(Scope),
    /// Not two persons.
    #[error("who asked for an erasure cannot approve it: another person of the controller must")]
    SamePerson,
    /// A program cannot be one of two persons.
    #[error("an erasure is asked for and approved by persons: use a credential of a person")]
    NotAPerson,
    /// Approved under another instruction.
    #[error("this erasure was approved already, under another instruction")]
    ApprovedOtherwise,
    /// It was refused.
    #[error("this erasure was refused: ask for a new one")]
    WasRefused,
    /// It has begun.
    #[error("this erasure has begun: it can be neither refused nor assessed anew any more")]
    TooLate,
    /// A step before this one is missing.
    #[error("the erasure is {at}: this comes later")]
    OutOfOrder {
        /// Where it stands.
        at: Phase,
    },
    /// A hold came first.
    #[error("a hold covers the scope {0}: assess and approve the erasure anew")]
    Held(Scope),
    /// A rule of the study holds by now.
    #[error("the study retains the scope {0}: assess the erasure anew, then approve what is granted")]
    Retained(Scope),
    /// The person wants it kept.
    #[error("processing is restricted because the person wants the scope {0} kept: lift that restriction first")]
    WantedKept(Scope),
    /// A part that many values share.
    #[error("this value shares its key with others, so it cannot be redacted alone: erase its scope")]
    NoKeyOfItsOwn,
    /// Nothing to redact.
    #[error(
        "nothing of this participant in the scope {0} has the part that was named: take it from `redactable` in the audit \
         trail or the casebook"
    )]
    NoSuchValue(Scope),
    /// The shred left something out.
    #[error("nothing is said of the keys of the scope {0}: they count as not destroyed")]
    NotDestroyed(Scope),
    /// The trial is none.
    #[error("nothing of anybody opens, so that nothing of the erased opens proves nothing")]
    NothingOpens,
    /// Nothing stands elsewhere.
    #[error(
        "no copy of the key tree stands elsewhere, so the keys are not destroyed yet (nothing can be read any more): \
         accept a single copy to go on"
    )]
    NoOffSiteCopy,
    /// The proof failed.
    #[error("{opened} of the erased targets could still be opened: the keys are not destroyed")]
    StillReadable {
        /// How many.
        opened: u64,
    },
    /// The proof is not one.
    #[error("only {probed} targets were tried, at least {needed} are needed")]
    ProbeIncomplete {
        /// How many were.
        probed: u64,
        /// How many must be.
        needed: u64,
    },
}

impl Rejection for Refused {
    fn code(&self) -> &'static str {
        match self {
            Self::NoSuchParticipant => "no-such-participant",
            Self::NoSuchHold => "no-such-hold",
            Self::NoSuchErasure => "no-such-erasure",
            Self::HoldExists => "hold-exists",
            Self::ErasureExists => "erasure-exists",
            Self::RestrictedOtherwise => "restricted-otherwise",
            Self::NoScope => "no-scope",
            Self::ForeignScope(_) => "foreign-scope",
            Self::ReviewInPast => "review-in-past",
            Self::ReasonRequired => "reason-required",
            Self::ReasonErased => "reason-erased",
            Self::AlreadyErased(_) | Self::NothingLeft => "already-erased",
            Self::ErasurePending(_) => "erasure-pending",
            Self::SamePerson => "same-person",
            Self::NotAPerson => "not-a-person",
            Self::ApprovedOtherwise => "approved-otherwise",
            Self::WasRefused => "erasure-was-refused",
            Self::TooLate => "too-late",
            Self::OutOfOrder { .. } => "out-of-order",
            Self::Held(_) => "held",
            Self::Retained(_) => "retained",
            Self::WantedKept(_) => "wanted-kept",
            Self::NoKeyOfItsOwn => "no-key-of-its-own",
            Self::NoSuchValue(_) => "no-such-value",
            Self::NotDestroyed(_) => "not-destroyed",
            Self::NothingOpens => "nothing-opens",
            Self::NoOffSiteCopy => "no-off-site-copy",
            Self::StillReadable { .. } => "still-readable",
            Self::ProbeIncomplete { .. } => "probe-incomplete",
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::NoSuchParticipant | Self::NoSuchHold | Self::NoSuchErasure | Self::NoSuchValue(_) => Kind::NotFound,
            Self::NoScope | Self::ForeignScope(_) | Self::NoKeyOfItsOwn | Self::ReviewInPast | Self::ReasonRequired => {
                Kind::Invalid
            }
            Self::SamePerson | Self::NotAPerson => Kind::Forbidden,
            Self::ReasonErased => Kind::Erased,
            Self::HoldExists
            | Self::ErasureExists
            | Self::RestrictedOtherwise
            | Self::AlreadyErased(_)
            | Self::NothingLeft
            | Self::ErasurePending(_)
            | Self::ApprovedOtherwise
            | Self::WasRefused
            | Self::TooLate
            | Self::OutOfOrder { .. }
            | Self::Held(_)
            | Self::Retained(_)
            | Self::WantedKept(_)
            | Self::NotDestroyed(_)
            | Self::NothingOpens
            | Self::NoOffSiteCopy
            | Self::StillReadable { .. }
            | Self::ProbeIncomplete { .. } => Kind::Conflict,
        }
    }
}
