//! Who took which subject number in a study: each number is given once, for good (ADR 0025).
//!
//! A number is claimed in a stream of its own before its participant is registered; that the stream is new is what makes
//! it unique, whichever process asks. The stream's id is the number under a keyed hash, because a subject number must not
//! stand in the journal's subjects; the key is drawn at random, once a study, and stands in one more stream of this kind
//! ([`KEY`]). Both hold structure, under the tenant's key: who has which number stands in the participant's first fact too,
//! and survives an erasure there.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::decider::{self, Context, Decider, Recorded};
use crate::history::{CommitHash, StreamId};
use crate::ids::{ParticipantId, SubjectNumber as Number};
use crate::rejection::{Kind, Rejection};

/// The id of the stream that holds a study's key. No number's hash is so short.
pub const KEY: &str = "key";

// --- facts

facts! {
    /// What happened to a subject number, or to the key under which a study's numbers are found.
    pub enum Event for SubjectNumber {
        /// The numbers of this study are found under this key, for good. Those that were given before are claimed.
        "numbers-keyed" 1 Keyed { key: NumberKey },
        /// The number is this participant's, and nobody else's ever.
        "number-claimed" 1 Claimed { participant: ParticipantId },
    }
}

/// 32 random bytes, one a study.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct NumberKey(pub CommitHash);

/// Never printed: with it numbers can be tried.
impl fmt::Debug for NumberKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NumberKey(…)")
    }
}

structural!(NumberKey);

impl NumberKey {
    /// The id of a number's stream: HMAC-SHA256 under this key.
    pub fn address(&self, number: &Number) -> String {
        hmac_sha256(&self.0.0, number.as_str().as_bytes()).to_string()
    }
}

/// RFC 2104, for keys no longer than a block.
fn hmac_sha256(key: &[u8], message: &[u8]) -> CommitHash {
    let padded = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(key).for_each(|(block, key)| *block ^= key);
        block
    };
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
    CommitHash(Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().into())
}

// --- state

/// What stands in such a stream.
#[derive(Debug, Clone, Default)]
pub enum SubjectNumber {
    /// Nothing: the number is free.
    #[default]
    Free,
    /// The key of the study.
    Key(NumberKey),
    /// It is this one's.
    Of(ParticipantId),
}

impl SubjectNumber {
    /// The key, if that is what stands here.
    pub fn key(&self) -> Option<NumberKey> {
        match self {
            Self::Key(key) => Some(*key),
            Self::Free | Self::Of(_) => None,
        }
    }
}

// --- commands

/// What the platform wants of a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
#[schema(as = SubjectNumberCommand)]
pub enum Command {
    /// Keeps the study's key. The first one stays.
    Key {
        /// What was drawn.
        key: NumberKey,
    },
    /// Takes the number.
    Claim {
        /// For whom.
        participant: ParticipantId,
    },
}

impl decider::Command for Command {
    fn name(&self) -> &'static str {
        match self {
            Self::Key { .. } => "key",
            Self::Claim { .. } => "claim",
        }
    }
}

// --- rejections

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Somebody has it.
    #[error("another participant of this study has this subject number, or had it: none is given twice, take another")]
    Taken,
    /// A key is no number.
    #[error("this stream holds the key of the study's numbers, not a number")]
    NotANumber,
}

impl Rejection for Refused {
    fn code(&self) -> &'static str {
        match self {
            Self::Taken => "subject-number-taken",
            Self::NotANumber => "not-a-number",
        }
    }
    fn kind(&self) -> Kind {
        Kind::Conflict
    }
}

// --- evolve, decide

impl Decider for SubjectNumber {
    type Command = Command;
    type Event = Event;
    type Rejection = Refused;
    type Governing = ();
    type Rules = ();

    fn governed_by(_: &StreamId) -> Option<StreamId> {
        None
    }

    fn decide(&self, command: &Command, _: &Context<'_, ()>) -> Result<Vec<Event>, Refused> {
        match (self, command) {
            (Self::Free, Command::Key { key }) => Ok(vec![Event::Keyed { key: *key }]),
            (Self::Free, Command::Claim { participant }) => Ok(vec![Event::Claimed { participant: *participant }]),
            (Self::Key(_), Command::Key { .. }) => Ok(vec![]),
            (Self::Of(owner), Command::Claim { participant }) if owner == participant => Ok(vec![]),
            (Self::Of(_), Command::Claim { .. }) => Err(Refused::Taken),
            (Self::Key(_), Command::Claim { .. }) | (Self::Of(_), Command::Key { .. }) => Err(Refused::NotANumber),
        }
    }

    fn evolve(&mut self, event: &Event, _: Recorded) {
        *self = match event {
            Event::Keyed { key } => Self::Key(*key),
            Event::Claimed { participant } => Self::Of(*participant),
        };
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::testing::given;

    fn participant(n: u128) -> ParticipantId {
        ParticipantId(Uuid::from_u128(n))
    }

    #[test]
    fn a_number_is_given_once_and_to_the_same_one_again() {
        let claim = |n| Command::Claim { participant: participant(n) };
        let claimed = || Event::Claimed { participant: participant(1) };
        given::<SubjectNumber>([]).when(claim(1)).then([claimed()]);
        given::<SubjectNumber>([claimed()]).when(claim(1)).then([]);
        given::<SubjectNumber>([claimed()]).when(claim(2)).rejected("subject-number-taken");
    }

    #[test]
    fn the_first_key_of_a_study_stays() {
        let key = |n| NumberKey(CommitHash([n; 32]));
        let keyed = || Event::Keyed { key: key(1) };
        given::<SubjectNumber>([]).when(Command::Key { key: key(1) }).then([keyed()]);
        given::<SubjectNumber>([keyed()]).when(Command::Key { key: key(2) }).then([]);
        given::<SubjectNumber>([keyed()]).when(Command::Claim { participant: participant(1) }).rejected("not-a-number");
    }

    /// RFC 4231, test cases 1 and 2.
    #[test]
    fn the_hash_is_hmac_sha256() {
        let cases: [(&[u8], &[u8], &str); 2] = [
            (&[0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
        ];
        for (key, message, expected) in cases {
            assert_eq!(hmac_sha256(key, message).to_string(), expected);
        }
    }

    #[test]
    fn another_key_leads_elsewhere() {
        let number: Number = "N-001".parse().expect("valid");
        let at = |n| NumberKey(CommitHash([n; 32])).address(&number);
        assert_eq!(at(1), at(1));
        assert_ne!(at(1), at(2));
    }
}
