//! The pure heart: state and command in, facts out. Time, actor and new ids are arguments.

use serde::Serialize;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;

use crate::field::{Fact, Malformed};
use crate::history::{Commit, CommitHash, Header, Revision, StreamId, Tail};
use crate::ids::{CommandId, QueryId, SignatureId, SubjectNumber, UnblindingId, UserId};
use crate::permit::Principal;
use crate::rejection::Rejection;

/// All that a decision may know beside its own state.
#[derive(Debug)]
pub struct Context<'a, G, R = ()> {
    /// Now.
    pub now: OffsetDateTime,
    /// When the data was captured, if the client says so.
    pub captured_at: OffsetDateTime,
    /// Who.
    pub principal: &'a Principal,
    /// The command's id.
    pub command: CommandId,
    /// The aggregate's own id.
    pub stream: &'a StreamId,
    /// Where its stream ends: what was decided stands on everything up to there.
    pub tail: Tail,
    /// The revision that the client wants to change (`If-Match`), if it said one.
    pub expected: Option<Revision>,
    /// The folded state of the governing stream.
    pub governing: &'a G,
    /// The folded state of the stream whose rules hold beside.
    pub rules: &'a R,
}

/// Where, when and by whom a fact was recorded: what its commit's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// The commit's number in the stream.
    pub revision: Revision,
    /// Who.
    pub actor: UserId,
    /// When it was stored.
    pub stored_at: OffsetDateTime,
    /// When it was captured.
    pub captured_at: OffsetDateTime,
}

impl Recorded {
    /// What a commit's header says.
    pub fn of(header: &Header) -> Self {
        Self {
            revision: header.revision,
            actor: header.actor.id,
            stored_at: header.stored_at,
            captured_at: header.captured_at,
        }
    }
}

/// By nobody, at no time: for whoever folds facts that stand in no commit.
impl From<Revision> for Recorded {
    fn from(revision: Revision) -> Self {
        let (actor, never) = (UserId(uuid::Uuid::nil()), OffsetDateTime::UNIX_EPOCH);
        Self { revision, actor, stored_at: never, captured_at: never }
    }
}

/// What became of one part of a command that has several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemOutcome {
    /// It was written; otherwise it was so already.
    pub saved: bool,
    /// How many questions edit checks ask about it because of this command.
    pub queries: usize,
}

/// What a command brought about that has an id of its own, by which later commands name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// A question.
    Query(QueryId),
    /// A signature.
    Signature(SignatureId),
    /// A request to be told the arm.
    Unblinding(UnblindingId),
}

/// A command: what somebody wants.
pub trait Command: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// The name as in the API, kebab-case.
    fn name(&self) -> &'static str;

    /// Whether it is decided on the contents of the parts that the state refers to (see [`Fold::missing_parts`]).
    fn reads_parts(&self) -> bool {
        false
    }
}

/// One consistency boundary. `Default` is the state before anything has happened.
pub trait Decider: Default + Clone + Send + Sync + 'static {
    /// What somebody wants.
    type Command: Command;
    /// What happened.
    type Event: Fact + Send;
    /// Why not.
    type Rejection: Rejection;
    /// The state of the stream whose rules hold here too; `()` if none governs this one.
    type Governing: Fold;

    /// The state of a second stream whose rules hold here; `()` if there is none.
    type Rules: Fold;

    /// Whether the governing stream guards each commit: what was decided on a state of it is not stored once it has moved. The
    /// first commit is guarded anyway.
    const GUARDED: bool = false;

    /// Whether the state is kept in memory between commands, for as long as the keys that opened it are vouched for.
    const KEPT: bool = false;

    /// The stream that governs `stream`, if any. It guards the first commit, or each: see [`Decider::GUARDED`].
    fn governed_by(stream: &StreamId) -> Option<StreamId>;

    /// The stream of [`Decider::Rules`], if any. It guards nothing: a rule holds from the next decision on.
    fn ruled_by(_stream: &StreamId) -> Option<StreamId> {
        None
    }

    /// The facts that follow from `command`; none if it was already carried out.
    fn decide(
        &self,
        command: &Self::Command,
        context: &Context<'_, Self::Governing, Self::Rules>,
    ) -> Result<Vec<Self::Event>, Self::Rejection>;

    /// The state after `event`, which was recorded so. Total, on erased values too.
    fn evolve(&mut self, event: &Self::Event, recorded: Recorded);

    /// The refusal that `facts` are the record of, if they are one: they are stored, and this is the answer.
    fn refusal(_facts: &[Self::Event]) -> Option<Self::Rejection> {
        None
    }

    /// The subject number that `facts` give to somebody, if they do: it is claimed before they are stored.
    fn gives_number(_facts: &[Self::Event]) -> Option<&SubjectNumber> {
        None
    }

    /// What became of each part of a command that has several, in their order.
    fn report(_command: &Self::Command, _facts: &[Self::Event]) -> Vec<ItemOutcome> {
        Vec::new()
    }

    /// What was brought about under an id, if the sender did not choose the id.
    fn made(_command: &Self::Command, _facts: &[Self::Event]) -> Option<Made> {
        None
    }

    /// See [`Fold::missing_parts`].
    fn missing_parts(&self) -> Vec<CommitHash> {
        Vec::new()
    }

    /// See [`Fold::supply_parts`].
    fn supply_parts(&mut self, _parts: Vec<String>) -> Result<(), Malformed> {
        Ok(())
    }

    /// What the reply's `ETag` says: by default the stream's revision.
    fn tag(&self, _command: &Self::Command, stream: Revision) -> Revision {
        stream
    }
}

/// A state that can be built from the commits of its stream.
pub trait Fold: Default + Clone + Send + Sync + 'static {
    /// Takes in one more commit.
    fn apply(&mut self, commit: &Commit) -> Result<(), Malformed>;

    /// The content-addressed parts that the state refers to and does not hold yet.
    fn missing_parts(&self) -> Vec<CommitHash> {
        Vec::new()
    }

    /// Hands over all parts that were missing, in the order asked for.
    fn supply_parts(&mut self, _parts: Vec<String>) -> Result<(), Malformed> {
        Ok(())
    }
}

/// Nothing governs.
impl Fold for () {
    fn apply(&mut self, _: &Commit) -> Result<(), Malformed> {
        Ok(())
    }
}

impl<D: Decider> Fold for D {
    fn apply(&mut self, commit: &Commit) -> Result<(), Malformed> {
        for event in commit.facts::<D::Event>()? {
            self.evolve(&event, Recorded::of(&commit.header));
        }
        Ok(())
    }

    fn missing_parts(&self) -> Vec<CommitHash> {
        Decider::missing_parts(self)
    }

    fn supply_parts(&mut self, parts: Vec<String>) -> Result<(), Malformed> {
        Decider::supply_parts(self, parts)
    }
}
