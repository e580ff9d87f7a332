//! Exports: ordered, written, listed, deleted. Every step is a fact; what a crash interrupted is found from the facts.
//!
//! A file that is deleted is destroyed first and recorded then, so that the record never says more than is true.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::Moment;
use domain::export::{Cause, Command, Export, Frame, LISTED_MAX, Order, Stage};
use domain::history::{Aggregate, JournalId, Position, StreamId};
use domain::ids::{CommandId, Environment, ExportId, Label, ParticipantId};
use domain::permit::{Principal, may_command};
use domain::port::{ExportJob, ExportWritten, Exporter, Failure, NotFramed, Tenant};
use tracing::Instrument;

use crate::commands::Commands;
use crate::execute::{Done, Request};
use crate::follow_up::derived;
use crate::refusal::{Answer, Refusal};

/// How long an export waits for the read models to be as far as its order.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often it is looked whether an export is over.
const EVERY: Duration = Duration::from_secs(10);

/// What is known of exports in memory.
#[derive(Default)]
pub(crate) struct Exports {
    exporter: std::sync::OnceLock<Arc<dyn Exporter>>,
    /// Those that this process is writing.
    running: Mutex<BTreeSet<StreamId>>,
    /// Those of which nothing is left to do.
    over: Mutex<BTreeSet<StreamId>>,
}

impl Exports {
    fn is_running(&self, stream: &StreamId) -> bool {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).contains(stream)
    }

    fn is_over(&self, stream: &StreamId) -> bool {
        self.over.lock().unwrap_or_else(PoisonError::into_inner).contains(stream)
    }

    fn set(of: &Mutex<BTreeSet<StreamId>>, stream: &StreamId, holds: bool) {
        let mut set = of.lock().unwrap_or_else(PoisonError::into_inner);
        // Whether it was so before is nobody's business.
        let _ = if holds { set.insert(stream.clone()) } else { set.remove(stream) };
    }
}

impl Commands {
    /// Says who writes what is ordered.
    pub fn export_with(&self, exporter: Arc<dyn Exporter>) {
        // A second one would be a mistake of the composition root; the first one stays.
        let _ = self.exports.exporter.set(exporter);
    }

    /// Carries out a command to an export; what is ordered is written beside.
    ///
    /// # Errors
    /// See [`Commands::execute`].
    pub async fn execute_export(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        stream: &StreamId,
        command: Command,
        request: &Request,
    ) -> Result<Done, Refusal> {
        match command {
            Command::Start { order, .. } => self.start_export(tenant, stream, *order, request).await,
            Command::Delete {} => {
                let done = self.execute::<Export>(tenant, stream, &command, request).await?;
                tenant.exports.destroy(id_of(stream)?).await?;
                Ok(done)
            }
            command => self.execute::<Export>(tenant, stream, &command, request).await,
        }
    }

    async fn start_export(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        stream: &StreamId,
        order: Order,
        request: &Request,
    ) -> Result<Done, Refusal> {
        if !may_command(request.principal.actor.role, "export.start") {
            return Err(Refusal::Forbidden("export.start".into()));
        }
        let frame = self.frame(&request.principal, stream, &order).await?;
        let command = Command::Start { order: Box::new(order.clone()), frame: Some(frame.clone()) };
        let done = self.execute::<Export>(tenant, stream, &command, request).await?;
        if done.events > 0 {
            let (export, study) = (id_of(stream)?, study_of(stream)?);
            let created_at = Moment(self.clock.now());
            let job = ExportJob { export, study, order, frame, created_at };
            let writing = Writing {
                commands: Arc::clone(self),
                tenant: Arc::clone(tenant),
                stream: stream.clone(),
                request: request.clone(),
                job,
            };
            Exports::set(&self.exports.running, stream, true);
            let position = done.position.clone();
            tokio::spawn(async move { writing.run(position).await }.in_current_span());
        }
        Ok(done)
    }

    async fn frame(&self, principal: &Principal, stream: &StreamId, order: &Order) -> Result<Frame, Refusal> {
        let unavailable = || Failure::unavailable("the exporter", "nobody writes exports here");
        let exporter = self.exports.exporter.get().ok_or_else(unavailable)?;
        exporter.frame(principal, &study_of(stream)?, order).await.map_err(|error| match error {
            NotFramed::Forbidden(query) => Refusal::Forbidden(query.to_owned()),
            NotFramed::NoSuchStudy => Refusal::NoSuchStudy,
            NotFramed::Refused(refused) => Refusal::Rejected(Answer::of(&refused)),
            NotFramed::Failed(failure) => failure.into(),
        })
    }

    fn of_platform(&self, environment: Environment, tenant: &Tenant, command: CommandId) -> Request {
        let principal = Principal::system(tenant.id.clone(), environment);
        Request { command, ..self.request(principal) }
    }

    /// Takes back every export that holds, or may come to hold, data of a person: it must be made anew.
    ///
    /// Call it after the person's data says that it is erased or restricted. Whatever is ordered from then on is
    /// written as that.
    pub(crate) async fn withdraw_exports(
        &self,
        tenant: &Tenant,
        person: &StreamId,
        cause: Cause,
        environment: Environment,
    ) -> Result<usize, Refusal> {
        let Some(subject) = person.data_subject() else { return Ok(0) };
        let participant = ParticipantId(subject.0);
        let mut withdrawn = 0;
        for stream in tenant.journal.streams(&person.journal, Aggregate::Export).await? {
            let folded = self.governing.current::<Export>(tenant, &stream).await?;
            let Some(known) = folded.state.known() else { continue };
            // Of one that is being written nobody knows yet whom it holds.
            if !known.has_files() || (known.stage == Stage::Held && !known.participants.contains(&participant)) {
                continue;
            }
            self.withdraw(tenant, &stream, cause, environment).await?;
            withdrawn += 1;
        }
        Ok(withdrawn)
    }

    async fn withdraw(
        &self,
        tenant: &Tenant,
        stream: &StreamId,
        cause: Cause,
        environment: Environment,
    ) -> Result<(), Refusal> {
        tenant.exports.destroy(id_of(stream)?).await?;
        let request = self.of_platform(environment, tenant, CommandId(self.dice.uuid()));
        self.execute::<Export>(tenant, stream, &Command::Withdraw { cause }, &request).await?;
        // What was still being written may have begun anew in between.
        tenant.exports.destroy(id_of(stream)?).await?;
        tracing::info!(export = %stream.id, ?cause, "the files of an export are deleted");
        Ok(())
    }

    /// Everybody who got data of a person, by the register: to be told of an erasure (GDPR Art 19).
    pub(crate) async fn recipients_of(&self, tenant: &Tenant, person: &StreamId) -> Result<BTreeSet<Label>, Refusal> {
        let Some(subject) = person.data_subject() else { return Ok(BTreeSet::new()) };
        let mut recipients = BTreeSet::new();
        for stream in tenant.journal.streams(&person.journal, Aggregate::Export).await? {
            let folded = self.governing.current::<Export>(tenant, &stream).await?;
            let known = folded.state.known().filter(|known| known.participants.contains(&ParticipantId(subject.0)));
            recipients.extend(known.into_iter().flat_map(|known| known.recipients().cloned()));
        }
        Ok(recipients)
    }

    /// Deletes what is over, records what is gone, and ends what a crash interrupted. Says how many it ended.
    ///
    /// # Errors
    /// What the journal and the vault say. It may be done again.
    pub async fn tend_exports(&self, tenant: &Tenant) -> Result<usize, Refusal> {
        let mut ended = 0;
        for journal in tenant.journal.journals().await? {
            ended += usize::from(journal.study.is_some()) * self.tend_study(tenant, &journal).await?;
        }
        Ok(ended)
    }

    async fn tend_study(&self, tenant: &Tenant, journal: &JournalId) -> Result<usize, Refusal> {
        let mut ended = 0;
        if journal.study.is_none() {
            return Ok(0);
        }
        for stream in tenant.journal.streams(journal, Aggregate::Export).await? {
            if self.exports.is_running(&stream) || self.exports.is_over(&stream) {
                continue;
            }
            let folded = self.governing.current::<Export>(tenant, &stream).await?;
            let (Some(known), Some(environment)) = (folded.state.known(), folded.environment) else { continue };
            let (export, now) = (id_of(&stream)?, self.clock.now());
            match known.stage {
                Stage::Writing => {
                    self.fail(tenant, &stream, environment).await?;
                    ended += 1;
                }
                Stage::Held if known.is_expired(now) => {
                    self.withdraw(tenant, &stream, Cause::Expired, environment).await?;
                    ended += 1;
                }
                Stage::Held if !tenant.exports.holds(export).await? => {
                    self.withdraw(tenant, &stream, Cause::Missing, environment).await?;
                    ended += 1;
                }
                Stage::Held => continue,
                Stage::Failed | Stage::Deleted => tenant.exports.destroy(export).await?,
            }
            Exports::set(&self.exports.over, &stream, true);
        }
        Ok(ended)
    }

    async fn fail(&self, tenant: &Tenant, stream: &StreamId, environment: Environment) -> Result<(), Refusal> {
        tenant.exports.destroy(id_of(stream)?).await?;
        let request = self.of_platform(environment, tenant, CommandId(self.dice.uuid()));
        self.execute::<Export>(tenant, stream, &Command::Fail {}, &request).await.map(drop)
    }

    /// Tends the exports of every tenant, for ever.
    pub async fn keep_tending_exports(&self) {
        loop {
            for tenant in self.tenants.all() {
                if let Err(refusal) = self.tend_exports(&tenant).await {
                    tracing::warn!(tenant = %tenant.id, %refusal, "exports were not tended: this is tried again");
                }
            }
            tokio::time::sleep(EVERY).await;
        }
    }
}

/// An export while it is written.
struct Writing {
    commands: Arc<Commands>,
    tenant: Arc<Tenant>,
    stream: StreamId,
    request: Request,
    job: ExportJob,
}

impl Writing {
    /// From the order to files that are held, or to nothing.
    async fn run(self, ordered: Position) {
        let environment = self.request.principal.environment;
        let written = match self.write(&ordered).await {
            Ok(written) => self.complete(written, environment).await,
            Err(failure) => Err(failure.into()),
        };
        if let Err(refusal) = written {
            tracing::error!(export = %self.stream.id, %refusal, "an export failed");
            if let Err(refusal) = self.commands.fail(&self.tenant, &self.stream, environment).await {
                tracing::error!(export = %self.stream.id, %refusal, "it is not recorded yet: this is tried again");
            }
        }
        Exports::set(&self.commands.exports.running, &self.stream, false);
    }

    async fn write(&self, ordered: &Position) -> Result<ExportWritten, Failure> {
        // Whoever was erased or restricted before the order must be so in the read models, too.
        if !self.tenant.progress.wait_for(ordered, PATIENCE).await? {
            return Err(Failure::unavailable("the read models", "they are behind"));
        }
        let unavailable = || Failure::unavailable("the exporter", "nobody writes exports here");
        let exporter = self.commands.exports.exporter.get().ok_or_else(unavailable)?;
        exporter.write(&self.request.principal, &self.job).await
    }

    async fn complete(&self, written: ExportWritten, environment: Environment) -> Result<(), Refusal> {
        let ExportWritten { manifest, files, participants } = written;
        for (n, chunk) in participants.chunks(LISTED_MAX).enumerate() {
            self.order(Command::ListParticipants { participants: chunk.to_vec() }, &format!("list-{n}"), environment)
                .await?;
        }
        tracing::trace!(target: "failpoint", at = "export-before-completed");
        self.order(Command::Complete { manifest, files }, "complete", environment).await
    }

    async fn order(&self, command: Command, what: &str, environment: Environment) -> Result<(), Refusal> {
        let id = derived(self.request.command, what);
        let mut request = self.commands.of_platform(environment, &self.tenant, id);
        request.correlation = self.request.correlation;
        request.causation = Some(self.request.command);
        self.commands.execute::<Export>(&self.tenant, &self.stream, &command, &request).await.map(drop)
    }
}

fn id_of(stream: &StreamId) -> Result<ExportId, Failure> {
    stream.id.parse().map_err(|fault| Failure::damaged(stream, fault))
}

fn study_of(stream: &StreamId) -> Result<domain::ids::StudyId, Failure> {
    stream.journal.study.clone().ok_or_else(|| Failure::damaged(stream, "it is in no study"))
}

#[cfg(test)]
mod tests;
