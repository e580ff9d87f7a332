//! The pure heart: state and command in, facts out. Time, actor and new ids are arguments.

use serde::Serialize;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;

use crate::field::{Fact, Malformed};
use crate::history::{Commit, CommitHash, Revision, StreamId};
use crate::ids::CommandId;
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
    /// The revision that the client wants to change (`If-Match`), if it said one.
    pub expected: Option<Revision>,
    /// The folded state of the governing stream.
    pub governing: &'a G,
    /// The folded state of the stream whose rules hold beside.
    pub rules: &'a R,
}

/// A command: what somebody wants.
pub trait Command: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// The name as in the API, kebab-case.
    fn name(&self) -> &'static str;
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

    /// The stream that governs `stream`, if any. It guards the first commit.
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

    /// The state after `event`, which stands in the commit `revision`. Total, on erased values too.
    fn evolve(&mut self, event: &Self::Event, revision: Revision);

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
            self.evolve(&event, commit.header.revision);
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
