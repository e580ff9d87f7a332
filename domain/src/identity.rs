//! The vault: who the participant is. Kept apart from the record, joined to it only by the random id, and governed
//! by it (site, withdrawal, restriction).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::decider::{self, Context, Decider, Recorded};
use crate::history::{Aggregate, Revision, StreamId};
use crate::ids::ErasureId;
use crate::participant::Participant;
use crate::rejection::{Fault, Kind, Rejection};
use crate::scope::{Erasable, OneValue, Personal, Plain, Scope, ScopeTag, tag};

mod decide;
mod details;

pub use details::{Detail, PlainDetails};

// --- facts

facts! {
    /// What happened in the vault.
    pub enum Event for Identity {
        /// Who the participant is was recorded.
        "identity-recorded" 1 Recorded { details: Details },
        /// Something of it was wrong or has changed: these details hold now, those are cleared.
        "identity-rectified" 1 Rectified { details: Details, cleared: Vec<Detail>, reason: Option<Personal<String, tag::HealthFreeText>> },
        /// Marker of an erasure: nothing of these scopes is taken any more, and these values are gone.
        "scopes-fenced" 2 Fenced { erasure: ErasureId, scopes: Vec<Scope>, values: Vec<OneValue> },
        /// Marker of a restriction (GDPR Art 18): stored, not processed.
        "processing-restricted" 1 Restricted { },
        /// The restriction is over.
        "restriction-lifted" 1 RestrictionLifted { },
    }
}

structural!(Detail);

fields! {
    /// Details about a person, each with its scope.
    pub struct Details {
        /// Given name.
        pub given_name: Option<Personal<String, tag::IdentityCodeList>>,
        /// Family name.
        pub family_name: Option<Personal<String, tag::IdentityCodeList>>,
        /// Date of birth, as exact as it is known.
        pub date_of_birth: Option<Personal<String, tag::IdentityCodeList>>,
        /// E-mail address.
        pub email: Option<Personal<String, tag::IdentityContact>>,
        /// Telephone number.
        pub telephone: Option<Personal<String, tag::IdentityContact>>,
        /// Postal address.
        pub postal_address: Option<Personal<String, tag::IdentityContact>>,
        /// National identity number.
        pub national_id: Option<Personal<String, tag::IdentityNationalId>>,
    }
}

impl Details {
    /// Tags each detail with the scope that its field's type says.
    pub fn of(mut known: BTreeMap<Detail, String>) -> Self {
        fn tagged<S: ScopeTag>(value: Option<String>) -> Option<Personal<String, S>> {
            value.map(Personal::new)
        }
        Self {
            given_name: tagged(known.remove(&Detail::GivenName)),
            family_name: tagged(known.remove(&Detail::FamilyName)),
            date_of_birth: tagged(known.remove(&Detail::DateOfBirth)),
            email: tagged(known.remove(&Detail::Email)),
            telephone: tagged(known.remove(&Detail::Telephone)),
            postal_address: tagged(known.remove(&Detail::PostalAddress)),
            national_id: tagged(known.remove(&Detail::NationalId)),
        }
    }

    /// The details that are there, erased or not, with the scope that each field's type says.
    pub fn present(&self) -> impl Iterator<Item = (Detail, Scope, &Erasable<String>)> {
        fn place<S: ScopeTag>(
            detail: Detail,
            field: &Option<Personal<String, S>>,
        ) -> Option<(Detail, Scope, &Erasable<String>)> {
            field.as_ref().map(|personal| (detail, personal.scope(), &personal.value))
        }
        let places = [
            place(Detail::GivenName, &self.given_name),
            place(Detail::FamilyName, &self.family_name),
            place(Detail::DateOfBirth, &self.date_of_birth),
            place(Detail::Email, &self.email),
            place(Detail::Telephone, &self.telephone),
            place(Detail::PostalAddress, &self.postal_address),
            place(Detail::NationalId, &self.national_id),
        ];
        places.into_iter().flatten()
    }
}

// --- state

/// The vault as it stands.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// What is in it.
    pub vault: Vault,
    /// The scopes that an erasure fenced.
    pub fenced: BTreeSet<Scope>,
    /// The single values that an erasure took.
    pub redacted: BTreeSet<OneValue>,
    /// Whether processing is restricted.
    pub restricted: bool,
}

/// What is in the vault.
#[derive(Debug, Clone, Default)]
pub enum Vault {
    /// Nobody recorded who the participant is.
    #[default]
    Empty,
    /// Recorded.
    Recorded {
        /// What holds now.
        details: BTreeMap<Detail, Erasable<String>>,
        /// The last revision that touched it: its tag.
        tag: Revision,
    },
}

// --- commands

/// What somebody wants of the vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
#[schema(as = IdentityCommand)]
pub enum Command {
    /// Records who the participant is.
    Record {
        /// At least one detail.
        details: PlainDetails,
    },
    /// Corrects, completes or clears details.
    Rectify {
        /// The details that hold from now on; the others stay.
        #[serde(default)]
        details: PlainDetails,
        /// The details to clear.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        clear: BTreeSet<Detail>,
        /// Why. Required while texts of this person are not erased.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Plain>,
    },
    /// Marks scopes and single values as erased. The platform's own.
    Fence {
        /// For which erasure.
        erasure: ErasureId,
        /// Which scopes.
        #[serde(default)]
        scopes: BTreeSet<Scope>,
        /// Which values.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        values: BTreeSet<OneValue>,
    },
    /// Marks processing as restricted. The platform's own.
    Restrict {},
    /// Ends the restriction. The platform's own.
    LiftRestriction {},
}

impl decider::Command for Command {
    fn name(&self) -> &'static str {
        match self {
            Self::Record { .. } => "record",
            Self::Rectify { .. } => "rectify",
            Self::Fence { .. } => "fence",
            Self::Restrict {} => "restrict",
            Self::LiftRestriction {} => "lift-restriction",
        }
    }
}

// --- rejections

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not there, or not at a site of this credential.
    #[error("there is no such participant: register it first, or use a credential of its site")]
    NoSuchParticipant,
    /// Nothing to rectify.
    #[error("nothing is recorded about this participant's identity: record it first")]
    NothingRecorded,
    /// Something else is recorded.
    #[error("this participant's identity is recorded already, with other details: rectify it, with a reason")]
    RecordedOtherwise,
    /// The participant left.
    #[error("the participant has withdrawn: no identity is recorded any more")]
    Withdrawn,
    /// Processing is restricted.
    #[error("processing of this participant's data is restricted: nothing can be changed until that is lifted")]
    Restricted,
    /// An erasure has taken the scope.
    #[error("the scope {0} of this participant has been erased: nothing of it is taken any more")]
    Erased(Scope),
    /// A text cannot be kept any more.
    #[error("texts of this participant have been erased and no new one is taken: send the command without reason")]
    ReasonErased,
    /// It changed meanwhile.
    #[error("the identity has changed: read it again and decide anew")]
    TagDiffers(Revision),
    /// Something in the body does not fit.
    #[error("{} of the details cannot be taken, so none was", .0.len())]
    Faults(Vec<Fault>),
}

impl Rejection for Refused {
    fn code(&self) -> &'static str {
        match self {
            Self::NoSuchParticipant => "no-such-participant",
            Self::NothingRecorded => "nothing-recorded",
            Self::RecordedOtherwise => "recorded-otherwise",
            Self::Withdrawn => "withdrawn",
            Self::Restricted => "restricted",
            Self::Erased(_) => "erased",
            Self::ReasonErased => "reason-erased",
            Self::TagDiffers(_) => "tag-differs",
            Self::Faults(_) => "invalid-details",
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::NoSuchParticipant => Kind::NotFound,
            Self::Faults(_) => Kind::Invalid,
            Self::NothingRecorded | Self::RecordedOtherwise | Self::Withdrawn | Self::Restricted => Kind::Conflict,
            Self::Erased(_) | Self::ReasonErased => Kind::Erased,
            Self::TagDiffers(current) => Kind::PreconditionFailed { current: *current },
        }
    }

    fn faults(&self) -> Vec<Fault> {
        match self {
            Self::Faults(faults) => faults.clone(),
            _ => Vec::new(),
        }
    }
}

// --- evolve (decide: in its own file)

impl Decider for Identity {
    type Command = Command;
    type Event = Event;
    type Rejection = Refused;
    type Governing = Participant;
    type Rules = ();

    fn governed_by(stream: &StreamId) -> Option<StreamId> {
        Some(stream.sibling(Aggregate::Participant))
    }

    fn decide(&self, command: &Command, context: &Context<'_, Participant>) -> Result<Vec<Event>, Refused> {
        decide::decide(self, command, context)
    }

    fn evolve(&mut self, event: &Event, recorded: Recorded) {
        match event {
            Event::Recorded { details } => self.vault.take(details, &[], recorded.revision),
            Event::Rectified { details, cleared, .. } => self.vault.take(details, cleared, recorded.revision),
            Event::Fenced { scopes, values, .. } => {
                self.fenced.extend(scopes);
                self.redacted.extend(values.iter().cloned());
            }
            Event::Restricted {} => self.restricted = true,
            Event::RestrictionLifted {} => self.restricted = false,
        }
    }

    fn tag(&self, _: &Command, stream: Revision) -> Revision {
        match &self.vault {
            Vault::Empty => stream,
            Vault::Recorded { tag, .. } => *tag,
        }
    }
}

impl Vault {
    fn take(&mut self, news: &Details, cleared: &[Detail], revision: Revision) {
        let mut details = match std::mem::take(self) {
            Self::Empty => BTreeMap::new(),
            Self::Recorded { details, .. } => details,
        };
        details.retain(|detail, _| !cleared.contains(detail));
        details.extend(news.present().map(|(detail, _, value)| (detail, value.clone())));
        *self = Self::Recorded { details, tag: revision };
    }
}

#[cfg(test)]
mod tests;
