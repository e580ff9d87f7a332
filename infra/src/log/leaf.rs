//! What is logged of a message.

use std::fmt;
use std::str::FromStr;

use domain::ids::InvalidId;
use sha2::{Digest, Sha256};

use super::Hash;
use super::merkle::leaf_hash;
use crate::frame::encode;

/// The leaf of one message: its incarnation, its sequence, and the hash of its payload.
pub fn leaf(incarnation: u64, sequence: u64, payload: &[u8]) -> Hash {
    leaf_of(incarnation, sequence, &Sha256::digest(payload).into())
}

/// The same, of a message whose payload has this hash.
pub fn leaf_of(incarnation: u64, sequence: u64, hash: &Hash) -> Hash {
    leaf_hash(&encode(56, |e| e.array(3)?.u64(incarnation)?.u64(sequence)?.bytes(hash)?.ok()))
}

/// The lives of a journal stream: which messages were first written in which. A restored message keeps the incarnation
/// in which it was first written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incarnations(Vec<(u64, u64)>);

impl Default for Incarnations {
    /// Of a journal stream that was never restored.
    fn default() -> Self {
        Self(vec![(1, 1)])
    }
}

impl Incarnations {
    /// From pairs of incarnation and first sequence.
    ///
    /// # Errors
    /// They must begin with sequence 1; incarnations must ascend; no sequence may be before the one of the pair before.
    pub fn new(list: Vec<(u64, u64)>) -> Result<Self, InvalidId> {
        let fits = list.first().is_some_and(|(incarnation, first)| *incarnation >= 1 && *first == 1)
            && list.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
        if fits { Ok(Self(list)) } else { Err(InvalidId { kind: "list of incarnations", rule: "ascending from 1" }) }
    }

    /// The pairs of incarnation and first sequence.
    pub fn list(&self) -> &[(u64, u64)] {
        &self.0
    }

    /// The incarnation that messages are written in now.
    pub fn newest(&self) -> u64 {
        self.0.last().map_or(1, |(incarnation, _)| *incarnation)
    }

    /// The incarnation in which the message with this sequence was first written.
    pub fn of(&self, sequence: u64) -> u64 {
        self.0.iter().rev().find(|(_, first)| *first <= sequence).map_or(1, |(incarnation, _)| *incarnation)
    }

    /// The leaf of a message.
    pub fn leaf(&self, sequence: u64, payload: &[u8]) -> Hash {
        leaf(self.of(sequence), sequence, payload)
    }

    /// Whether both say the same about the first `size` messages.
    pub fn agree(&self, other: &Self, size: u64) -> bool {
        self.up_to(size).eq(other.up_to(size))
    }

    /// Whether a restore, which alone begins an incarnation, replaced what was signed then: `other` of `size` messages
    /// ended in an earlier life, and not as this one began. The restore has said what was lost.
    pub fn supersedes(&self, other: &Self, size: u64) -> bool {
        other.newest() < self.newest() && !self.agree(other, size)
    }

    /// The runs of messages that are not empty, up to a sequence.
    fn up_to(&self, size: u64) -> impl Iterator<Item = (u64, u64)> {
        let ends = self.0.iter().skip(1).map(|(_, first)| *first).chain([u64::MAX]);
        let runs = self.0.iter().zip(ends).filter(|((_, first), end)| first < end);
        runs.map(|(run, _)| *run).take_while(move |(_, first)| *first <= size)
    }
}

/// `1:1,2:501`
impl fmt::Display for Incarnations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (incarnation, first)) in self.0.iter().enumerate() {
            write!(f, "{}{incarnation}:{first}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl FromStr for Incarnations {
    type Err = InvalidId;

    /// Accepts exactly what `Display` writes.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let wrong = || InvalidId { kind: "list of incarnations", rule: "such as 1:1,2:501" };
        let pair = |pair: &str| {
            let (incarnation, first) = pair.split_once(':')?;
            Some((incarnation.parse().ok()?, first.parse().ok()?))
        };
        let list = text.split(',').map(pair).collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
        let read = Self::new(list)?;
        if read.to_string() == text { Ok(read) } else { Err(wrong()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_keeps_the_incarnation_in_which_it_was_written() {
        let lives: Incarnations = "1:1,2:501,4:501,5:900".parse().unwrap();
        let of = [1, 500, 501, 899, 900, 10_000].map(|sequence| lives.of(sequence));
        assert_eq!(of, [1, 1, 4, 4, 5, 5], "nothing was written in the second");
        assert_ne!(lives.leaf(501, b"x"), Incarnations::default().leaf(501, b"x"));
        assert_eq!(lives.leaf(500, b"x"), Incarnations::default().leaf(500, b"x"));
    }

    #[test]
    fn lists_that_say_the_same_about_the_first_messages_agree() {
        let (old, new): (Incarnations, Incarnations) = ("1:1".parse().unwrap(), "1:1,3:501".parse().unwrap());
        assert!(new.agree(&old, 500));
        assert!(!new.agree(&old, 501));
        assert!("1:1,2:501,3:501".parse::<Incarnations>().unwrap().agree(&new, 501), "one that wrote nothing");
    }

    #[test]
    fn a_restore_supersedes_what_other_lives_signed_even_of_fewer_messages_than_it_brought_back() {
        let lives = |text: &str| text.parse::<Incarnations>().unwrap();
        let restored = lives("1:1,3:53");
        assert!(restored.supersedes(&lives("1:1,2:42"), 52), "the second life went another way from 42 on");
        assert!(!restored.supersedes(&lives("1:1,2:42"), 41), "up to there they are the same");
        assert!(restored.supersedes(&lives("1:1"), 60) && !restored.supersedes(&lives("1:1"), 52));
        assert!(!restored.supersedes(&lives("1:1,4:53"), 60), "one that came later is not ours to replace");
    }

    #[test]
    fn a_list_has_one_spelling() {
        for bad in ["", "1", "1:2", "0:1", "1:1,1:2", "1:1,2:0", "1:1,", "01:1", "1:1,2:5,3:4", "+1:1"] {
            assert!(bad.parse::<Incarnations>().is_err(), "{bad}");
        }
        assert_eq!("1:1,2:5".parse::<Incarnations>().unwrap().to_string(), "1:1,2:5");
    }
}
