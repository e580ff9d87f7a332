//! One part of a study design, stored once under the hash of its content.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::decider::{self, Context, Decider, Recorded};
use crate::design::content_hash;
use crate::history::StreamId;
use crate::rejection::{Kind, Rejection};

/// The largest part, in bytes: below what a commit may be even if every character is a quote, which JSON escapes.
pub const PART_BYTES_MAX: usize = 360 * 1024;

/// A piece of a design document. A design speaks of items, never of persons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct PartText(pub String);

structural!(PartText);

/// Cuts a design's canonical text into parts, at character boundaries.
pub fn parts_of(text: &str) -> Vec<PartText> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end =
            (0..=PART_BYTES_MAX.min(rest.len())).rev().find(|at| rest.is_char_boundary(*at)).unwrap_or(rest.len());
        let (part, tail) = rest.split_at(end);
        parts.push(PartText(part.to_owned()));
        rest = tail;
    }
    parts
}

// --- facts

facts! {
    /// What happened to a part.
    pub enum Event for DesignPart {
        /// It is stored.
        "design-part-stored" 1 Stored { content: PartText },
    }
}

// --- state

/// The part, if it is stored.
#[derive(Debug, Clone, Default)]
pub enum DesignPart {
    /// Not yet.
    #[default]
    Absent,
    /// Stored, for good.
    Stored(PartText),
}

// --- commands

/// What somebody wants of a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
#[schema(as = DesignPartCommand)]
pub enum Command {
    /// Stores it.
    Store {
        /// Its content.
        content: PartText,
    },
}

impl decider::Command for Command {
    fn name(&self) -> &'static str {
        match self {
            Self::Store { .. } => "store",
        }
    }
}

// --- rejections

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The address is not the content's hash.
    #[error("the part's address is not the SHA-256 of its content")]
    OtherAddress,
}

impl Rejection for Refused {
    fn code(&self) -> &'static str {
        "other-address"
    }
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

// --- evolve, decide

impl Decider for DesignPart {
    type Command = Command;
    type Event = Event;
    type Rejection = Refused;
    type Governing = ();
    type Rules = ();

    fn governed_by(_: &StreamId) -> Option<StreamId> {
        None
    }

    fn decide(&self, command: &Command, context: &Context<'_, ()>) -> Result<Vec<Event>, Refused> {
        let Command::Store { content } = command;
        if content_hash(content.0.as_bytes()).to_string() != context.stream.id {
            return Err(Refused::OtherAddress);
        }
        match self {
            Self::Absent => Ok(vec![Event::Stored { content: content.clone() }]),
            Self::Stored(_) => Ok(vec![]),
        }
    }

    fn evolve(&mut self, event: &Event, _: Recorded) {
        let Event::Stored { content } = event;
        *self = Self::Stored(content.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_text_make_the_text_again() {
        let text = "ä".repeat(PART_BYTES_MAX);
        let parts = parts_of(&text);
        assert_eq!(parts.len(), 2);
        assert!(parts.iter().all(|part| part.0.len() <= PART_BYTES_MAX));
        assert_eq!(parts.iter().map(|part| part.0.as_str()).collect::<String>(), text);
    }
}
