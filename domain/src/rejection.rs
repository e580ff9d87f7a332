//! A rejection is an answer: what was wrong with the command, to whom, and what to do next.
//! A failure (the journal does not answer, a commit is damaged) is another thing: see [`crate::port`].

use crate::history::Revision;

/// What kind of answer a rejection is. The edge translates it to HTTP once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// There is no such thing, or not for this credential.
    NotFound,
    /// The command does not fit the design or the rules.
    Invalid,
    /// The state does not allow it (any more).
    Conflict,
    /// The role may not.
    Forbidden,
    /// A change of something saved must say which revision it changes.
    PreconditionRequired,
    /// It changed meanwhile.
    PreconditionFailed {
        /// The revision that is current now.
        current: Revision,
    },
    /// What the command is about has been erased.
    Erased,
}

/// One fault in the body: where, as a JSON pointer into the command, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// JSON pointer (RFC 6901) into the command.
    pub pointer: String,
    /// What is wrong there; names the rule, never the value.
    pub detail: String,
}

/// Why a command was refused. `Display` is the sentence for people; it never holds a personal value.
pub trait Rejection: std::fmt::Display + std::fmt::Debug + Send {
    /// Stable, machine-readable, kebab-case.
    fn code(&self) -> &'static str;
    /// The kind of answer.
    fn kind(&self) -> Kind;
    /// Every fault, where there are several.
    fn faults(&self) -> Vec<Fault> {
        Vec::new()
    }
}
