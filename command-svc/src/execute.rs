//! The one loop through which every command goes: permit, load, fold, decide, append; and again on a conflict.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::decider::{Command as _, Context, Decider, Fold, ItemOutcome, Made, Recorded};
use domain::design::content_hash;
use domain::field::Fact;
use domain::history::{BodyDigest, Commit, EventType, OpenEvent, Position, Revision, StreamId, Tail};
use domain::ids::{CommandId, CorrelationId};
use domain::permit::{Principal, may_command};
use domain::port::{Draft, Receipt, Tenant};
use time::OffsetDateTime;
use tracing::{Instrument, Level};

use crate::commands::Commands;
use crate::governing::{self, Folded};
use crate::refusal::{Answer, Refusal};

/// How often a command is decided anew because others wrote to its stream.
const ATTEMPTS_MAX: u32 = 12;

/// The longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_millis(64);

/// Who sends a command, and under which conditions.
#[derive(Debug, Clone)]
pub struct Request {
    /// Who, from the credential.
    pub principal: Principal,
    /// The command's id. Sending it again has no second effect.
    pub command: CommandId,
    /// When the data was captured; none: now.
    pub captured_at: Option<OffsetDateTime>,
    /// The revision that is to be changed (`If-Match`); zero: what is not there yet.
    pub expected: Option<Revision>,
    /// What belongs together.
    pub correlation: CorrelationId,
    /// The command that set this one off.
    pub causation: Option<CommandId>,
}

/// A command that was carried out, now or before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The stream's revision with it.
    pub revision: Revision,
    /// What the `ETag` says.
    pub tag: Revision,
    /// What a reader waits for to see it.
    pub position: Position,
    /// How many events it wrote: none if everything was so already.
    pub events: usize,
    /// What became of each item that was sent, in their order.
    pub items: Vec<ItemOutcome>,
    /// What it brought about that later commands name by an id.
    pub made: Option<Made>,
}

impl Done {
    /// Whether the command began the stream.
    pub fn created(&self) -> bool {
        self.revision == Revision(1) && self.events > 0
    }
}

impl Commands {
    /// Carries a command out, once.
    ///
    /// # Errors
    /// In every case nothing was stored, but for the record of a refusal (an edit check that fired). After a [`Refusal::Failed`] or [`Refusal::Contended`] the same command
    /// with the same id may be sent again.
    pub async fn execute<D: Decider>(
        &self,
        tenant: &Tenant,
        stream: &StreamId,
        command: &D::Command,
        request: &Request,
    ) -> Result<Done, Refusal> {
        let (aggregate, name) = (stream.aggregate.as_str(), command.name());
        let begun = Instant::now();
        let span = tracing::info_span!("command.execute", aggregate, command = name, outcome = tracing::field::Empty);
        let result = self.carry_out::<D>(tenant, stream, command, request).instrument(span.clone()).await;
        let outcome = match &result {
            Ok(done) if done.events == 0 => "unchanged",
            Ok(_) => "accepted",
            Err(refusal) => refusal.outcome(),
        };
        span.record("outcome", outcome);
        measure(aggregate, name, outcome, begun.elapsed());
        result
    }

    async fn carry_out<D: Decider>(
        &self,
        tenant: &Tenant,
        stream: &StreamId,
        command: &D::Command,
        request: &Request,
    ) -> Result<Done, Refusal> {
        let name = format!("{}.{}", stream.aggregate.as_str(), command.name());
        if !may_command(request.principal.actor.role, &name) {
            return Err(Refusal::Forbidden(name));
        }
        self.check_environment(tenant, stream, &name, &request.principal).await?;
        let work = Work::<D> { tenant, stream, command, request, digest: digest(stream, command) };
        for attempt in 0..ATTEMPTS_MAX {
            match self.attempt(&work).await {
                Err(Refusal::Contended) => tokio::time::sleep(self.pause(attempt)).await,
                outcome => return outcome,
            }
        }
        Err(Refusal::Contended)
    }

    /// A study in another environment than the credential's is not there. Only its creation finds none.
    pub(crate) async fn check_environment(
        &self,
        tenant: &Tenant,
        stream: &StreamId,
        name: &str,
        principal: &Principal,
    ) -> Result<(), Refusal> {
        let Some(study) = &stream.journal.study else {
            return Ok(());
        };
        if principal.tenant != tenant.id || stream.journal.tenant != tenant.id {
            return Err(Refusal::NoSuchStudy);
        }
        match self.governing.environment(tenant, study).await? {
            Some(environment) if environment == principal.environment => Ok(()),
            None if name == "study.create" => Ok(()),
            Some(_) | None => Err(Refusal::NoSuchStudy),
        }
    }

    /// Between two attempts, so that those who collided do not collide again.
    fn pause(&self, attempt: u32) -> Duration {
        let longest = Duration::from_millis(1 << attempt.min(10)).min(PAUSE_MAX);
        let [first, second, ..] = self.dice.bytes();
        longest * u32::from(u16::from_be_bytes([first, second])) / u32::from(u16::MAX)
    }

    async fn attempt<D: Decider>(&self, work: &Work<'_, D>) -> Result<Done, Refusal> {
        let Work { tenant, stream, command, request, .. } = *work;
        let loaded = async { Ok(tenant.journal.load(stream, Tail::default()).await?) };
        let (governor, ruler) = (D::governed_by(stream), D::ruled_by(stream));
        let (commits, governing, rules) = tokio::try_join!(
            loaded,
            self.state_of::<D::Governing>(tenant, governor.as_ref()),
            self.state_of::<D::Rules>(tenant, ruler.as_ref())
        )?;
        if let Some(done) = work.carried_out_before(&commits)? {
            return Ok(done);
        }
        let mut state = work.fold(&commits)?;
        if command.reads_parts() {
            governing::supply(&*tenant.journal, stream, &mut state).await?;
        }
        let tail = commits.last().map_or_else(Tail::default, Commit::tail);
        let now = self.clock.now();
        let context = Context {
            now,
            captured_at: request.captured_at.unwrap_or(now),
            principal: &request.principal,
            command: request.command,
            stream,
            tail,
            expected: request.expected,
            governing: &governing.state,
            rules: &rules.state,
        };
        let facts = state.decide(command, &context).map_err(|rejection| Refusal::Rejected(Answer::of(&rejection)))?;
        if facts.is_empty() {
            return work.nothing_new(&state, commits.last()).await;
        }
        let current = state.tag(command, tail.revision);
        if request.expected.is_some_and(|expected| expected != current) {
            return Err(Refusal::tag_differs(current));
        }
        if let Some(number) = D::gives_number(&facts).cloned() {
            self.claim_number(tenant, stream, number, request).await?;
        }
        // The first commit has no history of its own in which a marker could stand, so the governing stream guards it.
        let guarded = D::GUARDED || tail.revision == Revision::NONE;
        let guard = governor.filter(|_| guarded).map(|stream| (stream, governing.tail));
        let draft = work.draft(&facts, tail, guard, &context);
        let receipt = tenant.journal.append(draft).await?;
        match D::refusal(&facts) {
            Some(refused) => Err(Refusal::Rejected(Answer::of(&refused))),
            None => Ok(work.appended(state, &facts, receipt, &context)),
        }
    }

    /// The state of a stream that governs, or of none.
    async fn state_of<G: Fold>(&self, tenant: &Tenant, stream: Option<&StreamId>) -> Result<Arc<Folded<G>>, Refusal> {
        match stream {
            Some(stream) => self.governing.current(tenant, stream).await,
            None => Ok(Arc::default()),
        }
    }
}

/// One command on its way.
struct Work<'a, D: Decider> {
    tenant: &'a Tenant,
    stream: &'a StreamId,
    command: &'a D::Command,
    request: &'a Request,
    digest: BodyDigest,
}

impl<D: Decider> Work<'_, D> {
    fn facts_of(&self, commit: &Commit) -> Result<Vec<D::Event>, Refusal> {
        commit.facts().map_err(|fault| Refusal::malformed(self.stream, &fault))
    }

    fn fold(&self, commits: &[Commit]) -> Result<D, Refusal> {
        let mut state = D::default();
        for commit in commits {
            self.facts_of(commit)?.iter().for_each(|fact| state.evolve(fact, Recorded::of(&commit.header)));
        }
        Ok(state)
    }

    /// The recorded outcome, if this command id stands in the stream already. Where the digest of its body is
    /// erased, nobody can tell any more whether the body was the same.
    fn carried_out_before(&self, commits: &[Commit]) -> Result<Option<Done>, Refusal> {
        let Some(at) = commits.iter().position(|commit| commit.header.command == self.request.command) else {
            return Ok(None);
        };
        let commit = &commits[at];
        if commit.body_digest.is_some_and(|digest| digest != self.digest) {
            return Err(Refusal::KeyReused);
        }
        let facts = self.facts_of(commit)?;
        if let Some(refused) = D::refusal(&facts) {
            return Err(Refusal::Rejected(Answer::of(&refused)));
        }
        let revision = commit.header.revision;
        let tag = self.fold(&commits[..=at])?.tag(self.command, revision);
        let (items, made) = (D::report(self.command, &facts), D::made(self.command, &facts));
        Ok(Some(Done { revision, tag, position: commit.position.clone(), events: commit.events.len(), items, made }))
    }

    /// The answer where everything was so already.
    async fn nothing_new(&self, state: &D, last: Option<&Commit>) -> Result<Done, Refusal> {
        let (revision, position) = match last {
            Some(last) => (last.header.revision, last.position.clone()),
            None => (Revision::NONE, self.tenant.journal.head(&self.stream.journal).await?),
        };
        let items = D::report(self.command, &[]);
        Ok(Done { revision, tag: state.tag(self.command, revision), position, events: 0, items, made: None })
    }

    fn draft(
        &self,
        facts: &[D::Event],
        expected: Tail,
        guard: Option<(StreamId, Tail)>,
        context: &Context<'_, D::Governing, D::Rules>,
    ) -> Draft {
        Draft {
            stream: self.stream.clone(),
            expected,
            guard,
            environment: self.request.principal.environment,
            events: facts.iter().map(open_event).collect(),
            stored_at: context.now,
            captured_at: context.captured_at,
            actor: self.request.principal.actor.clone(),
            command: self.request.command,
            body_digest: self.digest,
            causation: self.request.causation,
            correlation: self.request.correlation,
            // The journal takes it from the span: see the field `traceparent` there.
            traceparent: None,
        }
    }

    fn appended(
        &self,
        mut state: D,
        facts: &[D::Event],
        receipt: Receipt,
        context: &Context<'_, D::Governing, D::Rules>,
    ) -> Done {
        let revision = receipt.tail.revision;
        let (stored_at, captured_at) = (context.now, context.captured_at);
        let recorded = Recorded { revision, actor: self.request.principal.actor.id, stored_at, captured_at };
        facts.iter().for_each(|fact| state.evolve(fact, recorded));
        let tag = state.tag(self.command, revision);
        let (items, made) = (D::report(self.command, facts), D::made(self.command, facts));
        Done { revision, tag, position: receipt.position, events: facts.len(), items, made }
    }
}

fn open_event<F: Fact>(fact: &F) -> OpenEvent {
    OpenEvent { kind: EventType { name: fact.name().to_owned(), version: fact.version() }, body: fact.write() }
}

/// SHA-256 over the stream and the command as JSON with the fields in declared order.
fn digest<C: serde::Serialize>(stream: &StreamId, command: &C) -> BodyDigest {
    let canonical = serde_json::to_vec(&(stream.to_string(), command));
    content_hash(&canonical.expect("a command is plain data with text keys")).0
}

fn measure(aggregate: &'static str, command: &'static str, outcome: &'static str, time: Duration) {
    let seconds = time.as_secs_f64();
    tracing::event!(target: "metrics", Level::INFO, monotonic_counter.lethe_commands = 1_u64, aggregate, command, outcome);
    tracing::event!(target: "metrics", Level::INFO, histogram.lethe_command_seconds = seconds, aggregate, command);
}

#[cfg(test)]
mod tests;
