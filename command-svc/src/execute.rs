//! The one loop through which every command goes: permit, load, fold, decide, append; and again on a conflict.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::decider::{Command as _, Context, Decider, Fold, ItemOutcome, Made, Recorded};
use domain::design::content_hash;
use domain::field::Fact;
use domain::history::{ActorKind, BodyDigest, Commit, EventType, OpenEvent, Position, Revision, StreamId, Tail};
use domain::ids::{CommandId, CorrelationId};
use domain::permit::{Principal, may_command};
use domain::port::{Draft, Receipt, Tenant};
use time::OffsetDateTime;
use tracing::{Instrument, Level};

use crate::commands::Commands;
use crate::governing::{self, Folded};
use crate::refusal::{Answer, Refusal};
use crate::states::{Known, weigh};
use crate::turns::TooMany;

/// How often a command is decided anew because others wrote to its stream.
const ATTEMPTS_MAX: u32 = 12;

/// So many of them go on from what is known of the stream.
const READ_ON_MAX: u32 = 4;

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
        // A kept state is with one command at a time: another one would read the whole stream, and then conflict.
        let _turn = match D::KEPT {
            true => Some(self.turns.wait(stream).await.map_err(|TooMany| Refusal::Contended)?),
            false => None,
        };
        for attempt in 0..ATTEMPTS_MAX {
            match self.attempt(&work, attempt).await {
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

    /// Decides once and stores what follows. What is known in memory may be behind: then the append finds out, and whoever is
    /// told that there is nothing to do, or why not, is told so by the journal.
    async fn attempt<D: Decider>(&self, work: &Work<'_, D>, attempt: u32) -> Result<Done, Refusal> {
        // Asked before anything is read: a fence that comes after makes what was read before it useless.
        let vouched = if D::KEPT { work.tenant.keys.vouch().await.ok() } else { None };
        let kept = vouched.and_then(|vouched| self.states.take::<D>(work.stream, vouched));
        let mut ground = match kept {
            Some(known) if attempt == 0 => self.remembered(work, known).await?,
            kept => self.read(work, kept.unwrap_or_default()).await?,
        };
        let outcome = self.on_ground(work, &mut ground).await;
        let is_known = match &outcome {
            // It has only grown, so the next attempt reads on. If that does not help for long, the stream is read anew.
            Err(Refusal::Contended) => attempt < READ_ON_MAX,
            Err(Refusal::Failed(_)) => false,
            // A marker takes what was opened before it.
            _ => work.request.principal.actor.kind != ActorKind::System,
        };
        if let Some(vouched) = vouched.filter(|_| is_known) {
            self.states.put(work.stream, vouched, ground.known);
        }
        outcome
    }

    async fn on_ground<D: Decider>(&self, work: &Work<'_, D>, ground: &mut Ground<D>) -> Result<Done, Refusal> {
        let Work { tenant, stream, request, .. } = *work;
        let (facts, now) = loop {
            if ground.known.commands.contains(&request.command) {
                let commits = tenant.journal.load(stream, Tail::default()).await?;
                return work.carried_out_before(&commits)?.ok_or(Refusal::Contended);
            }
            let now = self.clock.now();
            match work.decide(ground, now) {
                Ok(facts) if !facts.is_empty() => break (facts, now),
                _ if !ground.is_current => *ground = self.read(work, std::mem::take(&mut ground.known)).await?,
                Ok(_) => return work.nothing_new(&ground.known).await,
                Err(refused) => return Err(refused),
            }
        };
        if let Some(number) = D::gives_number(&facts).cloned() {
            self.claim_number(tenant, stream, number, request).await?;
        }
        // The first commit has no history of its own in which a marker could stand, so the governing stream guards it.
        let guarded = D::GUARDED || ground.known.tail.revision == Revision::NONE;
        let guard = D::governed_by(stream).filter(|_| guarded).map(|stream| (stream, ground.governing.tail));
        let draft = work.draft(&facts, ground.known.tail, guard, now);
        let bytes = if D::KEPT { weigh(&draft.events) } else { 0 };
        let receipt = tenant.journal.append(draft).await?;
        let done = work.appended(&mut ground.known.state, &facts, &receipt, now);
        ground.known.goes_on(receipt.tail, &receipt.position, request.command, bytes);
        match D::refusal(&facts) {
            Some(refused) => Err(Refusal::Rejected(Answer::of(&refused))),
            None => Ok(done),
        }
    }

    /// The ground of a decision as far as it is remembered. If each commit is guarded by the governing stream, its append
    /// finds out whether that has moved, too.
    async fn remembered<D: Decider>(&self, work: &Work<'_, D>, known: Known<D>) -> Result<Ground<D>, Refusal> {
        let (governor, ruler) = (D::governed_by(work.stream), D::ruled_by(work.stream));
        let governing = match &governor {
            Some(stream) if D::GUARDED => self.governing.remembered(work.tenant, stream).await?,
            governor => self.state_of::<D::Governing>(work.tenant, governor.as_ref()).await?,
        };
        let rules = self.state_of::<D::Rules>(work.tenant, ruler.as_ref()).await?;
        Ok(Ground { known, governing, rules, is_current: false })
    }

    /// The ground of a decision as the journal has it, from what is known of the stream on.
    async fn read<D: Decider>(&self, work: &Work<'_, D>, mut known: Known<D>) -> Result<Ground<D>, Refusal> {
        let Work { tenant, stream, command, .. } = *work;
        let after = known.tail;
        let loaded = async { Ok(tenant.journal.load(stream, after).await?) };
        let (governor, ruler) = (D::governed_by(stream), D::ruled_by(stream));
        let (mut commits, governing, rules) = tokio::try_join!(
            loaded,
            self.state_of::<D::Governing>(tenant, governor.as_ref()),
            self.state_of::<D::Rules>(tenant, ruler.as_ref())
        )?;
        // A marker takes what stands in earlier commits: they are to be opened anew.
        if after != Tail::default() && commits.iter().any(|commit| commit.header.actor.kind == ActorKind::System) {
            known = Known::default();
            commits = tenant.journal.load(stream, Tail::default()).await?;
        }
        known.take_in(&commits).map_err(|fault| Refusal::malformed(stream, &fault))?;
        if command.reads_parts() {
            governing::supply(&*tenant.journal, stream, &mut known.state).await?;
        }
        Ok(Ground { known, governing, rules, is_current: true })
    }

    /// The state of a stream that governs, or of none.
    async fn state_of<G: Fold>(&self, tenant: &Tenant, stream: Option<&StreamId>) -> Result<Arc<Folded<G>>, Refusal> {
        match stream {
            Some(stream) => self.governing.current(tenant, stream).await,
            None => Ok(Arc::default()),
        }
    }
}

/// All that a command is decided on.
struct Ground<D: Decider> {
    known: Known<D>,
    governing: Arc<Folded<D::Governing>>,
    rules: Arc<Folded<D::Rules>>,
    /// It was read after the command had come.
    is_current: bool,
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
    /// The facts that follow; none: it was so already.
    fn decide(&self, ground: &Ground<D>, now: OffsetDateTime) -> Result<Vec<D::Event>, Refusal> {
        let Ground { known, governing, rules, .. } = ground;
        let context = Context {
            now,
            captured_at: self.captured_at(now),
            principal: &self.request.principal,
            command: self.request.command,
            stream: self.stream,
            tail: known.tail,
            expected: self.request.expected,
            governing: &governing.state,
            rules: &rules.state,
        };
        let facts = known.state.decide(self.command, &context);
        let facts = facts.map_err(|rejection| Refusal::Rejected(Answer::of(&rejection)))?;
        let current = known.state.tag(self.command, known.tail.revision);
        match self.request.expected {
            Some(expected) if !facts.is_empty() && expected != current => Err(Refusal::tag_differs(current)),
            _ => Ok(facts),
        }
    }

    fn captured_at(&self, now: OffsetDateTime) -> OffsetDateTime {
        self.request.captured_at.unwrap_or(now)
    }

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
    async fn nothing_new(&self, known: &Known<D>) -> Result<Done, Refusal> {
        let revision = known.tail.revision;
        let position = match &known.position {
            Some(position) => position.clone(),
            None => self.tenant.journal.head(&self.stream.journal).await?,
        };
        let (tag, items) = (known.state.tag(self.command, revision), D::report(self.command, &[]));
        Ok(Done { revision, tag, position, events: 0, items, made: None })
    }

    fn draft(&self, facts: &[D::Event], expected: Tail, guard: Option<(StreamId, Tail)>, now: OffsetDateTime) -> Draft {
        Draft {
            stream: self.stream.clone(),
            expected,
            guard,
            environment: self.request.principal.environment,
            events: facts.iter().map(open_event).collect(),
            stored_at: now,
            captured_at: self.captured_at(now),
            actor: self.request.principal.actor.clone(),
            command: self.request.command,
            body_digest: self.digest,
            causation: self.request.causation,
            correlation: self.request.correlation,
            // The journal takes it from the span: see the field `traceparent` there.
            traceparent: None,
        }
    }

    fn appended(&self, state: &mut D, facts: &[D::Event], receipt: &Receipt, now: OffsetDateTime) -> Done {
        let revision = receipt.tail.revision;
        let (stored_at, captured_at) = (now, self.captured_at(now));
        let recorded = Recorded { revision, actor: self.request.principal.actor.id, stored_at, captured_at };
        facts.iter().for_each(|fact| state.evolve(fact, recorded));
        let tag = state.tag(self.command, revision);
        let (items, made) = (D::report(self.command, facts), D::made(self.command, facts));
        Done { revision, tag, position: receipt.position.clone(), events: facts.len(), items, made }
    }
}

fn open_event<F: Fact>(fact: &F) -> OpenEvent {
    OpenEvent { kind: EventType { name: fact.name().to_owned(), version: fact.version() }, body: fact.write().into() }
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
