//! One erasure of one person, a step at a time.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::history::{Commit, StreamId, Tail};
use domain::ids::{CommandId, CorrelationId, ErasureId};
use domain::permit::Principal;
use domain::policy::markers;
use domain::port::{Failure, Target, Tenant};
use domain::privacy::{Command, Event, Next, Privacy, Step};
use domain::scope::Scope;

use super::{fold, is_ours};
use crate::commands::Commands;
use crate::execute::Request;
use crate::follow_up::{Cause, derived};
use crate::refusal::Refusal;

/// How long a step waits for the read models before it is tried again later.
const PATIENCE: Duration = Duration::from_secs(30);

/// An erasure that is under way.
pub(super) struct Case<'a> {
    commands: &'a Commands,
    tenant: &'a Tenant,
    stream: &'a StreamId,
    erasure: ErasureId,
    cause: Cause,
}

/// Why a case does not go on by itself.
pub(super) enum Pause {
    /// The keys of these scopes are to be destroyed: together with those of others.
    DestroyKeys(BTreeSet<Scope>),
    /// It is done, or it is not the platform's turn.
    NothingToDo,
}

impl<'a> Case<'a> {
    /// The erasures of a `privacy` stream in which the platform has something to do.
    pub(super) async fn of_stream(
        commands: &'a Commands,
        tenant: &'a Tenant,
        stream: &'a StreamId,
    ) -> Result<Vec<Self>, Refusal> {
        let commits = tenant.journal.load(stream, Tail::default()).await?;
        let privacy = fold(stream, &commits)?;
        let ours = privacy.erasures.iter().filter(|(_, erasure)| is_ours(&erasure.next()));
        ours.map(|(erasure, _)| {
            let cause = approval(stream, &commits, *erasure)?;
            Ok(Self { commands, tenant, stream, erasure: *erasure, cause })
        })
        .collect()
    }

    pub(super) fn stream(&self) -> &'a StreamId {
        self.stream
    }

    /// Goes on until the keys are to be destroyed or nothing is left to do.
    pub(super) async fn advance(&self) -> Result<Pause, Refusal> {
        loop {
            match self.next().await? {
                Next::Decide | Next::AcceptSingleCopy | Next::Nothing => return Ok(Pause::NothingToDo),
                Next::DestroyKeys(scopes) => return Ok(Pause::DestroyKeys(scopes)),
                next => {
                    let step = self.carry_out(&next).await?;
                    if let Err(refusal) = self.record(step).await {
                        return self.overtaken(next, refusal).await;
                    }
                }
            }
        }
    }

    /// A hold that came first voids the approval: then the step is not ours any more, and that is no failure.
    async fn overtaken(&self, before: Next, refusal: Refusal) -> Result<Pause, Refusal> {
        let now = self.next().await?;
        if now != before && !is_ours(&now) { Ok(Pause::NothingToDo) } else { Err(refusal) }
    }

    async fn next(&self) -> Result<Next, Refusal> {
        let commits = self.tenant.journal.load(self.stream, Tail::default()).await?;
        let privacy: Privacy = fold(self.stream, &commits)?;
        Ok(privacy.next(self.erasure).unwrap_or(Next::Nothing))
    }

    /// Does what a step is about; the step is recorded afterwards.
    async fn carry_out(&self, next: &Next) -> Result<Step, Refusal> {
        match next {
            Next::Begin => Ok(Step::Begun {}),
            Next::Commit(scopes) => self.commit(scopes).await,
            Next::PurgeDerived(_) => self.purge_derived().await,
            // Nothing leaves the platform yet, so nobody has received anything.
            Next::NotifyRecipients(_) => Ok(Step::RecipientsNotified { recipients: 0 }),
            Next::Verify(scopes) => self.verify(scopes).await,
            Next::Complete | Next::Decide | Next::AcceptSingleCopy | Next::DestroyKeys(_) | Next::Nothing => {
                Ok(Step::Completed {})
            }
        }
    }

    /// First the fence, then the markers: from here on every read says erased.
    async fn commit(&self, scopes: &BTreeSet<Scope>) -> Result<Step, Refusal> {
        self.tenant.keys.fence(&self.targets(scopes)?).await?;
        for marker in markers(self.stream, self.erasure, scopes) {
            self.commands.follow_up(self.tenant, &marker, &self.cause).await?;
        }
        Ok(Step::Committed {})
    }

    /// Every read model has taken the markers in once it has taken in all that is stored now.
    async fn purge_derived(&self) -> Result<Step, Refusal> {
        let head = self.tenant.journal.head(&self.stream.journal).await?;
        if self.tenant.progress.wait_for(&head, PATIENCE).await? {
            Ok(Step::DerivedPurged {})
        } else {
            Err(Failure::unavailable("the purge of the read models", "they are behind").into())
        }
    }

    async fn verify(&self, scopes: &BTreeSet<Scope>) -> Result<Step, Refusal> {
        let targets = self.targets(scopes)?;
        let opened = self.tenant.keys.probe(&targets).await?;
        Ok(Step::Verified { probed: targets.len() as u64, opened })
    }

    /// Everything of these scopes, what does not exist yet included.
    pub(super) fn targets(&self, scopes: &BTreeSet<Scope>) -> Result<Vec<Target>, Refusal> {
        let data_subject =
            self.stream.data_subject().ok_or_else(|| Failure::damaged(self.stream, "its id is no person's"))?;
        Ok(scopes.iter().map(|scope| Target { data_subject, scope: *scope, part: None }).collect())
    }

    /// Records that a step was carried out.
    pub(super) async fn record(&self, step: Step) -> Result<(), Refusal> {
        let what = match &step {
            Step::Begun {} => "begun",
            Step::Committed {} => "committed",
            Step::KeysDestroyed { .. } => "keys-destroyed",
            Step::DerivedPurged {} => "derived-purged",
            Step::RecipientsNotified { .. } => "recipients-notified",
            Step::Verified { .. } => "verified",
            Step::Completed {} => "completed",
        };
        let request = Request {
            principal: Principal::system(self.tenant.id.clone(), self.cause.environment),
            command: derived(CommandId(self.erasure.0), what),
            captured_at: None,
            expected: None,
            correlation: self.cause.correlation,
            causation: Some(self.cause.command),
        };
        let command = Command::RecordProgress { erasure: self.erasure, step };
        self.commands.execute::<Privacy>(self.tenant, self.stream, &command, &request).await?;
        tracing::info!(erasure = %self.erasure, step = what, "an erasure went on");
        Ok(())
    }
}

/// The approval that set the erasure off.
fn approval(stream: &StreamId, commits: &[Commit], erasure: ErasureId) -> Result<Cause, Refusal> {
    for commit in commits.iter().rev() {
        let facts: Vec<Event> = commit.facts().map_err(|fault| Refusal::malformed(stream, &fault))?;
        if facts.iter().any(|fact| matches!(fact, Event::ErasureApproved { erasure: id, .. } if *id == erasure)) {
            let (command, environment) = (commit.header.command, commit.header.environment);
            return Ok(Cause { command, correlation: CorrelationId(erasure.0), environment });
        }
    }
    Err(Failure::damaged(stream, "an erasure is under way that nobody approved").into())
}
