//! Whenever this, then that: from a fact in one stream to commands for others.
//!
//! A rule that spans streams takes effect through a marker in every stream that it governs: a command that was
//! decided before the marker conflicts with it instead of slipping in behind. Every marker can be sent again, so
//! whoever carries these out may start over after a crash.

use crate::decider::Command as _;
use crate::field::Malformed;
use crate::history::{Aggregate, Commit, StreamId};
use crate::ids::ErasureId;
use crate::scope::Extent;
use crate::{identity, participant, privacy};

/// A command that follows from a fact, for another stream of the same person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FollowUp {
    /// For the record.
    Participant(StreamId, participant::Command),
    /// For the vault.
    Identity(StreamId, identity::Command),
    /// For the orders.
    Privacy(StreamId, privacy::Command),
}

impl FollowUp {
    /// The stream that the command is for.
    pub fn stream(&self) -> &StreamId {
        match self {
            Self::Participant(stream, _) | Self::Identity(stream, _) | Self::Privacy(stream, _) => stream,
        }
    }

    /// The command's name as in the API.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Participant(_, command) => command.name(),
            Self::Identity(_, command) => command.name(),
            Self::Privacy(_, command) => command.name(),
        }
    }
}

/// What follows from a commit, in the order of its facts.
pub fn follow_ups(commit: &Commit) -> Result<Vec<FollowUp>, Malformed> {
    let stream = &commit.header.stream;
    match stream.aggregate {
        Aggregate::Privacy => {
            let facts = commit.facts::<privacy::Event>()?;
            Ok(facts.iter().flat_map(|fact| after_privacy(stream, fact)).collect())
        }
        Aggregate::Study
        | Aggregate::DesignPart
        | Aggregate::Participant
        | Aggregate::Identity
        | Aggregate::User
        | Aggregate::Account
        | Aggregate::Randomisation
        | Aggregate::SubjectNumber
        | Aggregate::Export
        | Aggregate::Access
        | Aggregate::Incident => Ok(vec![]),
    }
}

/// What follows from one fact about the orders. The markers of an erasure do not: see [`markers`].
pub fn after_privacy(privacy: &StreamId, fact: &privacy::Event) -> Vec<FollowUp> {
    let (participant, identity) = streams(privacy);
    match fact {
        privacy::Event::RestrictionPlaced { .. } => vec![
            FollowUp::Participant(participant, participant::Command::Restrict {}),
            FollowUp::Identity(identity, identity::Command::Restrict {}),
        ],
        privacy::Event::RestrictionLifted { .. } => vec![
            FollowUp::Participant(participant, participant::Command::LiftRestriction {}),
            FollowUp::Identity(identity, identity::Command::LiftRestriction {}),
        ],
        privacy::Event::HoldPlaced { .. }
        | privacy::Event::HoldLifted { .. }
        | privacy::Event::ErasureRequested { .. }
        | privacy::Event::ErasureAssessed { .. }
        | privacy::Event::ErasureApproved { .. }
        | privacy::Event::ErasureRefused { .. }
        | privacy::Event::ErasureBegun { .. }
        | privacy::Event::ErasureCommitted { .. }
        | privacy::Event::SingleCopyAccepted { .. }
        | privacy::Event::DestructionScheduled { .. }
        | privacy::Event::KeysDestroyed { .. }
        | privacy::Event::DerivedPurged { .. }
        | privacy::Event::RecipientsNotified { .. }
        | privacy::Event::ErasureVerified { .. }
        | privacy::Event::ErasureCompleted { .. } => vec![],
    }
}

/// The markers of an erasure, sent after its fence and before `erasure-committed`. Each stream gets every granted
/// scope and value: a text about health may stand in the vault too, as the reason of a change.
pub fn markers(privacy: &StreamId, erasure: ErasureId, granted: &Extent) -> Vec<FollowUp> {
    let (participant, identity) = streams(privacy);
    let Extent { scopes, values } = granted.clone();
    let of_record = participant::Command::Fence { erasure, scopes: scopes.clone(), values: values.clone() };
    vec![
        FollowUp::Participant(participant, of_record),
        FollowUp::Identity(identity, identity::Command::Fence { erasure, scopes, values }),
    ]
}

/// The person's other two streams.
fn streams(privacy: &StreamId) -> (StreamId, StreamId) {
    (privacy.sibling(Aggregate::Participant), privacy.sibling(Aggregate::Identity))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::CommandId;
    use crate::privacy::{Event, RestrictionGround};
    use crate::scope::{OneValue, Part, Scope};
    use crate::testing::{commit, tenant};
    use uuid::Uuid;

    fn privacy() -> StreamId {
        StreamId::in_study(&tenant(), &"cardio".parse().expect("valid"), Aggregate::Privacy, Uuid::from_u128(7))
    }

    fn summary(follow_ups: &[FollowUp]) -> Vec<String> {
        follow_ups.iter().map(|one| format!("{} {}", one.stream().aggregate.as_str(), one.name())).collect()
    }

    #[test]
    fn a_restriction_reaches_the_record_and_the_vault() {
        let placed = Event::RestrictionPlaced { ground: RestrictionGround::LegalClaims, reason: None };
        let lifted = Event::RestrictionLifted { reason: None };
        let follow_ups = follow_ups(&commit(privacy(), 1, &[placed, lifted])).expect("well formed");
        let expected =
            ["participant restrict", "identity restrict", "participant lift-restriction", "identity lift-restriction"];
        assert_eq!(summary(&follow_ups), expected);
        assert!(
            follow_ups.iter().all(|one| one.stream().id == privacy().id && one.stream().journal == privacy().journal)
        );
    }

    #[test]
    fn nothing_follows_from_the_facts_of_other_streams() {
        let lifted = participant::Event::RestrictionLifted {};
        let participant = commit(privacy().sibling(Aggregate::Participant), 1, &[lifted]);
        assert_eq!(follow_ups(&participant), Ok(vec![]));
    }

    #[test]
    fn the_markers_of_an_erasure_reach_the_record_and_the_vault() {
        let erasure = ErasureId(Uuid::from_u128(1));
        let part = Part::of_command(CommandId(Uuid::from_u128(2)), 0);
        let granted = Extent::of(&[Scope::IdentityContact], &[OneValue { scope: Scope::HealthFreeText, part }]);
        let Extent { scopes, values } = granted.clone();
        let expected = [
            FollowUp::Participant(
                privacy().sibling(Aggregate::Participant),
                participant::Command::Fence { erasure, scopes: scopes.clone(), values: values.clone() },
            ),
            FollowUp::Identity(
                privacy().sibling(Aggregate::Identity),
                identity::Command::Fence { erasure, scopes, values },
            ),
        ];
        assert_eq!(markers(&privacy(), erasure, &granted), expected);
    }
}
