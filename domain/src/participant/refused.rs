//! Why a command to a participant's record is refused.

use super::{
    ConsentRefused, LifeRefused, LockRefused, MigrationRefused, QueryRefused, RandomiseRefused, SignRefused,
    VerifyRefused, VisitRefused,
};
use crate::history::Revision;
use crate::rejection::{Fault, Kind, Rejection};
use crate::scope::Scope;

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not there, or not at a site of this credential.
    #[error("there is no such participant: register it first, or use a credential of its site")]
    NoSuchParticipant,
    /// The study takes no participants yet.
    #[error("the study is not live: publish a design, open a site and go live first")]
    StudyNotLive,
    /// The study is over.
    #[error("the study is completed: nobody is registered any more")]
    StudyCompleted,
    /// The site is not open.
    #[error("the site is not open in this study, or not one of this credential")]
    NoSuchSite,
    /// Registered already, elsewhere or under another number.
    #[error("this participant id is registered already, at another site or under another subject number")]
    RegisteredOtherwise,
    /// No consent yet.
    #[error("no consent of this participant is in force: none was recorded, or it was withdrawn. Record one first")]
    NoConsent,
    /// The participant left.
    #[error("the participant has withdrawn: nothing new is taken; what is missing is said not to be done")]
    Withdrawn,
    /// Processing is restricted.
    #[error("processing of this participant's data is restricted: nothing can be added until that is lifted")]
    Restricted,
    /// An erasure has taken the scope.
    #[error(
        "the scope {0} of this participant has been erased: nothing of it is taken any more; a text that may be left out is left out"
    )]
    Erased(Scope),
    /// A saved form is changed without saying which revision.
    #[error("the form was saved before: send If-Match with its ETag")]
    TagRequired,
    /// The form changed meanwhile.
    #[error("the form has changed: read it again and decide anew")]
    TagDiffers(Revision),
    /// Something in the body does not fit the design, or a hard check refuses it.
    #[error("{} of the items cannot be saved, so none was", .0.len())]
    Faults(Vec<Fault>),
    /// A hard edit check says no. The attempt is on record.
    #[error("{} edit checks refuse this: nothing was saved, and that it was tried is on record", .0.len())]
    HardCheck(Vec<Fault>),
    /// Only a program can say that.
    #[error("a person enters data as user: device, system and import are for the credential of a program")]
    SourceOfPrograms,
    /// Something that must be there is not.
    #[error("{} required items are neither entered nor said not to be done", .0.len())]
    Incomplete(Vec<Fault>),
    /// The form does not belong here.
    #[error("the form was removed: have it restored first")]
    FormRemoved,
    /// Of consent.
    #[error(transparent)]
    Consent(#[from] ConsentRefused),
    /// A reason is needed and there is none.
    #[error("say why: a reason is needed for this")]
    ReasonRequired,
    /// Of a design version.
    #[error(transparent)]
    Migration(#[from] MigrationRefused),
    /// Of a visit.
    #[error(transparent)]
    Visit(#[from] VisitRefused),
    /// Of a query.
    #[error(transparent)]
    Query(#[from] QueryRefused),
    /// Of a verification or a review.
    #[error(transparent)]
    Verify(#[from] VerifyRefused),
    /// Of whether and how somebody takes part.
    #[error(transparent)]
    Life(#[from] LifeRefused),
    /// Of a lock.
    #[error(transparent)]
    Lock(#[from] LockRefused),
    /// Of a signature.
    #[error(transparent)]
    Sign(#[from] SignRefused),
    /// Of randomisation or unblinding.
    #[error(transparent)]
    Randomise(#[from] RandomiseRefused),
}

impl Rejection for Refused {
    fn code(&self) -> &'static str {
        match self {
            Self::NoSuchParticipant => "no-such-participant",
            Self::StudyNotLive => "study-not-live",
            Self::StudyCompleted => "study-completed",
            Self::NoSuchSite => "no-such-site",
            Self::RegisteredOtherwise => "registered-otherwise",
            Self::NoConsent => "no-consent",
            Self::Withdrawn => "withdrawn",
            Self::Restricted => "restricted",
            Self::Erased(_) => "erased",
            Self::TagRequired => "tag-required",
            Self::TagDiffers(_) => "tag-differs",
            Self::Faults(_) => "invalid-items",
            Self::HardCheck(_) => "hard-check",
            Self::SourceOfPrograms => "source-of-programs",
            Self::Incomplete(_) => "incomplete-form",
            Self::FormRemoved => "form-removed",
            Self::Consent(refused) => refused.code(),
            Self::ReasonRequired => "reason-required",
            Self::Migration(refused) => refused.code(),
            Self::Visit(refused) => refused.code(),
            Self::Query(refused) => refused.code(),
            Self::Verify(refused) => refused.code(),
            Self::Life(refused) => refused.code(),
            Self::Lock(refused) => refused.code(),
            Self::Sign(refused) => refused.code(),
            Self::Randomise(refused) => refused.code(),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::NoSuchParticipant => Kind::NotFound,
            Self::NoSuchSite | Self::Faults(_) | Self::HardCheck(_) | Self::Incomplete(_) | Self::ReasonRequired => {
                Kind::Invalid
            }
            Self::SourceOfPrograms => Kind::Forbidden,
            Self::FormRemoved => Kind::Conflict,
            Self::Consent(refused) => refused.kind(),
            Self::StudyNotLive
            | Self::StudyCompleted
            | Self::RegisteredOtherwise
            | Self::NoConsent
            | Self::Withdrawn
            | Self::Restricted => Kind::Conflict,
            Self::Erased(_) => Kind::Erased,
            Self::TagRequired => Kind::PreconditionRequired,
            Self::TagDiffers(current) => Kind::PreconditionFailed { current: *current },
            Self::Migration(refused) => refused.kind(),
            Self::Visit(refused) => refused.kind(),
            Self::Query(refused) => refused.kind(),
            Self::Verify(refused) => refused.kind(),
            Self::Life(refused) => refused.kind(),
            Self::Lock(refused) => refused.kind(),
            Self::Sign(refused) => refused.kind(),
            Self::Randomise(refused) => refused.kind(),
        }
    }

    fn faults(&self) -> Vec<Fault> {
        match self {
            Self::Faults(faults) | Self::HardCheck(faults) | Self::Incomplete(faults) => faults.clone(),
            Self::Sign(refused) => refused.faults(),
            _ => Vec::new(),
        }
    }
}
