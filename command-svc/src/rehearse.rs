//! Decides commands to a participant's record on the state as it would be after those before them, and writes nothing: what
//! an import would do is asked before it is done.

use domain::decider::{Command as _, Context, Decider, Fold as _, Recorded};
use domain::history::{Aggregate, Commit, Position, Revision, StreamId, Tail};
use domain::participant::{self, Participant};
use domain::permit::may_command;
use domain::port::Tenant;
use domain::study::Study;

use crate::commands::Commands;
use crate::execute::{Done, Request};
use crate::refusal::{Answer, Refusal};

/// A record while commands are tried on it.
struct Rehearsal<'a> {
    stream: &'a StreamId,
    governing: &'a Study,
    state: Participant,
    tail: Tail,
    position: Position,
}

impl Commands {
    /// What the last of these commands would answer, had those before it been sent. Those that would be refused change
    /// nothing. A randomisation is not tried: whoever calls sees to that.
    pub(crate) async fn rehearse(
        &self,
        tenant: &Tenant,
        stream: &StreamId,
        commands: &[(participant::Command, Request)],
    ) -> Result<Option<Done>, Refusal> {
        for (command, request) in commands {
            let name = format!("{}.{}", stream.aggregate.as_str(), command.name());
            if !may_command(request.principal.actor.role, &name) {
                return Err(Refusal::Forbidden(name));
            }
            self.check_environment(tenant, stream, &name, &request.principal).await?;
        }
        let governor = Participant::governed_by(stream).ok_or(Refusal::NoSuchStudy)?;
        let governing = self.governing.current::<Study>(tenant, &governor).await?;
        // Asked first: what is read then reflects at least this.
        let position = tenant.journal.head(&stream.journal).await?;
        let commits = tenant.journal.load(stream, Tail::default()).await?;
        let mut state = Participant::default();
        for commit in commits.iter() {
            state.apply(commit).map_err(|fault| Refusal::malformed(stream, &fault))?;
        }
        let tail = commits.last().map_or_else(Tail::default, Commit::tail);
        let mut rehearsal = Rehearsal { stream, governing: &governing.state, state, tail, position };
        let mut last = None;
        for (command, request) in commands {
            last = Some(rehearsal.tries(command, request, self.clock.now()));
        }
        last.transpose()
    }
}

impl Rehearsal<'_> {
    fn tries(
        &mut self,
        command: &participant::Command,
        request: &Request,
        now: time::OffsetDateTime,
    ) -> Result<Done, Refusal> {
        let context = Context {
            now,
            captured_at: request.captured_at.unwrap_or(now),
            principal: &request.principal,
            command: request.command,
            stream: self.stream,
            tail: self.tail,
            expected: request.expected,
            governing: self.governing,
            rules: &(),
        };
        let rejected = |rejection: &participant::Refused| Refusal::Rejected(Answer::of(rejection));
        let facts = self.state.decide(command, &context).map_err(|rejection| rejected(&rejection))?;
        let current = self.state.tag(command, self.tail.revision);
        if !facts.is_empty() && request.expected.is_some_and(|expected| expected != current) {
            return Err(Refusal::tag_differs(current));
        }
        if let Some(refused) = Participant::refusal(&facts) {
            return Err(rejected(&refused));
        }
        let mut revision = self.tail.revision;
        if !facts.is_empty() {
            revision = Revision(revision.0 + 1);
            let actor = request.principal.actor.id;
            let recorded = Recorded { revision, actor, stored_at: now, captured_at: context.captured_at };
            facts.iter().for_each(|fact| self.state.evolve(fact, recorded));
            self.tail.revision = revision;
        }
        let (tag, items) = (self.state.tag(command, revision), Participant::report(command, &facts));
        Ok(Done { revision, tag, position: self.position.clone(), events: facts.len(), items, made: None })
    }
}

/// The stream of a participant's record.
pub(crate) fn record_of(
    tenant: &Tenant,
    study: &domain::ids::StudyId,
    participant: domain::ids::ParticipantId,
) -> StreamId {
    StreamId::in_study(&tenant.id, study, Aggregate::Participant, participant)
}
