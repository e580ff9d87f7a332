//! One erasure of one person, a step at a time.

use std::time::Duration;

use domain::export;
use domain::history::{Commit, StreamId, Tail};
use domain::ids::{CommandId, CorrelationId, ErasureId};
use domain::permit::Principal;
use domain::policy::markers;
use domain::port::{Failure, Target, Tenant, TreeCopies, WaitingOn};
use domain::privacy::{Command, Destroy, Doomed, Event, Next, Privacy, Step};
use domain::rejection::Rejection as _;
use domain::scope::{Extent, Scope};
use time::OffsetDateTime;

use super::{OpenErasures, account, fold, is_ours};
use crate::commands::Commands;
use crate::execute::Request;
use crate::follow_up::{Cause, derived};
use crate::refusal::Refusal;

/// How long a step waits for the read models before it is tried again later.
const PATIENCE: Duration = Duration::from_secs(30);

/// An erasure that is under way.
pub(super) struct Case<'a> {
    commands: &'a Commands,
    open: &'a dyn OpenErasures,
    tenant: &'a Tenant,
    stream: &'a StreamId,
    erasure: ErasureId,
    cause: Cause,
}

/// Why a case does not go on by itself.
pub(super) enum Pause {
    /// These keys are to be destroyed: together with those of others.
    DestroyKeys(Vec<Target>),
    /// The KMS keeps the old roots until then.
    Until(OffsetDateTime),
    /// It is done, or it is not the platform's turn.
    NothingToDo,
}

impl<'a> Case<'a> {
    /// The erasures of a `privacy` stream in which the platform has something to do.
    pub(super) async fn of_stream(
        commands: &'a Commands,
        open: &'a dyn OpenErasures,
        tenant: &'a Tenant,
        stream: &'a StreamId,
    ) -> Result<Vec<Self>, Refusal> {
        let commits = tenant.journal.load(stream, Tail::default()).await?;
        let privacy = fold(stream, &commits)?;
        let ours = privacy.erasures.iter().filter(|(_, erasure)| is_ours(&erasure.next()));
        ours.map(|(erasure, _)| {
            let cause = approval(stream, &commits, *erasure)?;
            Ok(Self { commands, open, tenant, stream, erasure: *erasure, cause })
        })
        .collect()
    }

    pub(super) fn stream(&self) -> &'a StreamId {
        self.stream
    }

    pub(super) fn now(&self) -> OffsetDateTime {
        self.commands.clock.now()
    }

    /// Goes on until the keys are to be destroyed or nothing is left to do.
    pub(super) async fn advance(&self) -> Result<Pause, Refusal> {
        if !matches!(self.next().await?, Next::Begin | Next::Commit(_) | Next::Decide | Next::Nothing) {
            // A crash may have come between the last step and its way off-site.
            self.ship().await?;
        }
        loop {
            match self.next().await? {
                Next::Decide | Next::Nothing => return Ok(self.rests()),
                Next::DestroyKeys(doomed) => return self.destroy_keys(&doomed),
                next => {
                    let step = self.carry_out(&next).await?;
                    if let Err(refusal) = self.record(step).await {
                        return self.overtaken(next, refusal).await;
                    }
                }
            }
        }
    }

    fn rests(&self) -> Pause {
        self.commands.erasures.goes_on(&self.tenant.id, self.erasure);
        Pause::NothingToDo
    }

    /// The keys go if a copy of the tree stands elsewhere or the controller does without, and not before the KMS's date.
    fn destroy_keys(&self, doomed: &Doomed) -> Result<Pause, Refusal> {
        if doomed.destroy == Destroy::WaitsForOffSite && self.tenant.keys.copies() == TreeCopies::Single {
            return Ok(self.rests());
        }
        match doomed.not_before {
            Some(until) if until.0 > self.now() => Ok(Pause::Until(until.0)),
            Some(_) | None => Ok(Pause::DestroyKeys(targets(self.stream, &doomed.extent)?)),
        }
    }

    /// What came first voids the approval: then the step is not ours any more, and that is no failure. A rule of the
    /// study does not say so itself, so the erasure is assessed anew.
    async fn overtaken(&self, before: Next, refusal: Refusal) -> Result<Pause, Refusal> {
        if let Refusal::Rejected(answer) = &refusal
            && matches!(answer.code(), "held" | "retained" | "wanted-kept")
        {
            let principal = Principal::system(self.tenant.id.clone(), self.cause.environment);
            let request = self.request(self.commands.request(principal).command);
            self.order(&Command::AssessErasure { erasure: self.erasure }, &request).await?;
        }
        let now = self.next().await?;
        if now != before && !is_ours(&now) { Ok(self.rests()) } else { Err(refusal) }
    }

    async fn commits(&self) -> Result<Vec<Commit>, Refusal> {
        let loaded = self.tenant.journal.load(self.stream, Tail::default()).await;
        Ok(self.needs(WaitingOn::Journal, loaded)?.into_iter().collect())
    }

    async fn next(&self) -> Result<Next, Refusal> {
        let privacy: Privacy = fold(self.stream, &self.commits().await?)?;
        Ok(privacy.next(self.erasure).unwrap_or(Next::Nothing))
    }

    /// Does what a step is about; the step is recorded afterwards.
    async fn carry_out(&self, next: &Next) -> Result<Step, Refusal> {
        match next {
            Next::Begin => self.begin().await,
            Next::Commit(extent) => self.commit(extent).await,
            Next::PurgeDerived(_) => self.purge_derived().await,
            // Who they are stands in the register of exports, and in the answer about this erasure.
            Next::NotifyRecipients(_) => {
                let recipients = self.commands.recipients_of(self.tenant, self.stream).await;
                let recipients = self.noted(recipients)?.len() as u32;
                Ok(Step::RecipientsNotified { recipients })
            }
            Next::Verify(extent) => self.verify(extent).await,
            Next::Complete => self.certify().await,
            Next::Decide | Next::DestroyKeys(_) | Next::Nothing => {
                Err(Failure::damaged(self.stream, "the platform was asked for a step that is not its own").into())
            }
        }
    }

    /// A signed checkpoint of the journal as it is before: the certificate is held against it.
    async fn begin(&self) -> Result<Step, Refusal> {
        tracing::trace!(target: "failpoint", at = "erasure-before-checkpoint");
        let signed = self.tenant.certifier.checkpoint(&self.stream.journal).await;
        self.needs(WaitingOn::Certificate, signed)?;
        tracing::trace!(target: "failpoint", at = "erasure-after-checkpoint");
        Ok(Step::Begun {})
    }

    /// First the fence, then the ledger, then the markers: from here on every read says erased, and a restore of any
    /// older backup finds out.
    async fn commit(&self, extent: &Extent) -> Result<Step, Refusal> {
        let fenced = self.tenant.keys.fence(&targets(self.stream, extent)?).await;
        self.stream.data_subject().into_iter().for_each(|person| self.commands.states.forget(person));
        self.needs(WaitingOn::KeyTree, fenced)?;
        tracing::trace!(target: "failpoint", at = "erasure-fenced");
        self.ship().await?;
        for marker in markers(self.stream, self.erasure, extent) {
            self.noted(self.commands.follow_up(self.tenant, &marker, &self.cause).await)?;
            tracing::trace!(target: "failpoint", at = "erasure-marked");
        }
        let environment = self.cause.environment;
        let withdrawn = self.commands.withdraw_exports(self.tenant, self.stream, export::Cause::Erasure, environment);
        self.noted(withdrawn.await)?;
        Ok(Step::Committed {})
    }

    /// Every read model has taken the markers in once it has taken in all that is stored now.
    async fn purge_derived(&self) -> Result<Step, Refusal> {
        let head = self.needs(WaitingOn::Journal, self.tenant.journal.head(&self.stream.journal).await)?;
        let reached = match self.tenant.progress.wait_for(&head, PATIENCE).await {
            Ok(false) => Err(Failure::unavailable("the purge of the read models", "they are behind")),
            reached => reached,
        };
        self.needs(WaitingOn::ReadModels, reached)?;
        Ok(Step::DerivedPurged {})
    }

    /// Tries to open the erased, past all fences, and others in the same way: a trial in which nothing opens at all
    /// would prove nothing.
    async fn verify(&self, extent: &Extent) -> Result<Step, Refusal> {
        let targets = targets(self.stream, extent)?;
        let opened = self.needs(WaitingOn::KeyTree, self.tenant.keys.probe(&targets).await)?;
        let others = self.needs(WaitingOn::ReadModels, self.open.others(self.tenant, self.stream).await)?;
        let (mut controls, mut controls_opened) = (0, 0);
        for data_subject in others {
            let all = Scope::of_participants().map(|scope| Target { data_subject, scope, part: None });
            let all: Vec<Target> = all.collect();
            controls += 1;
            controls_opened += u64::from(self.needs(WaitingOn::KeyTree, self.tenant.keys.probe(&all).await)? > 0);
        }
        tracing::trace!(target: "failpoint", at = "erasure-probed");
        Ok(Step::Verified { probed: targets.len() as u64, opened, controls, controls_opened })
    }

    async fn certify(&self) -> Result<Step, Refusal> {
        let mut account = account::of(self.stream, &self.commits().await?, self.erasure)?;
        if account.destroyed.is_empty() {
            // Recorded before targets were counted one by one: the tree still knows what it did to each.
            let privacy = fold(self.stream, &self.commits().await?)?;
            let granted = privacy.erasures.get(&self.erasure).map(|erasure| erasure.granted()).unwrap_or_default();
            let receipt = self.tenant.keys.shred(&targets(self.stream, &granted)?).await;
            account.destroyed = self.needs(WaitingOn::KeyTree, receipt)?.targets;
        }
        tracing::trace!(target: "failpoint", at = "erasure-before-certificate");
        let certified = self.needs(WaitingOn::Certificate, self.tenant.certifier.certify(&account).await)?;
        tracing::trace!(target: "failpoint", at = "erasure-after-certificate");
        Ok(Step::Completed { certificate: certified.digest })
    }

    /// Makes sure that what is recorded so far stands elsewhere, too.
    async fn ship(&self) -> Result<(), Refusal> {
        tracing::trace!(target: "failpoint", at = "erasure-before-ship");
        self.needs(WaitingOn::OffSite, self.tenant.ledger.ship(self.stream).await)?;
        tracing::trace!(target: "failpoint", at = "erasure-after-ship");
        Ok(())
    }

    /// Notes what holds the erasure up, if something does.
    pub(super) fn needs<T>(&self, on: WaitingOn, result: Result<T, Failure>) -> Result<T, Refusal> {
        result.map_err(|failure| {
            let on = culprit(&failure).unwrap_or(on);
            self.commands.erasures.hold_up(&self.tenant.id, self.erasure, on, self.now());
            failure.into()
        })
    }

    /// The same of a command: what can fail there is the journal, or what it seals with.
    fn noted<T>(&self, result: Result<T, Refusal>) -> Result<T, Refusal> {
        match result {
            Err(Refusal::Failed(failure)) => self.needs(WaitingOn::Journal, Err(failure)),
            result => result,
        }
    }

    /// Records that a step was carried out, here and elsewhere.
    pub(super) async fn record(&self, step: Step) -> Result<(), Refusal> {
        let what = match &step {
            Step::Begun {} => "begun".to_owned(),
            Step::Committed {} => "committed".to_owned(),
            // The KMS may name a later date again.
            Step::DestructionScheduled { until, .. } => format!("destruction-scheduled {}", until.0.unix_timestamp()),
            Step::KeysDestroyed { .. } => "keys-destroyed".to_owned(),
            Step::DerivedPurged {} => "derived-purged".to_owned(),
            Step::RecipientsNotified { .. } => "recipients-notified".to_owned(),
            Step::Verified { .. } => "verified".to_owned(),
            Step::Completed { .. } => "completed".to_owned(),
        };
        let fence_first = step == Step::Begun {};
        let (before, after) = failpoints(&step);
        tracing::trace!(target: "failpoint", at = before);
        let request = self.request(derived(CommandId(self.erasure.0), &what));
        self.order(&Command::RecordProgress { erasure: self.erasure, step }, &request).await?;
        tracing::trace!(target: "failpoint", at = after);
        self.commands.erasures.goes_on(&self.tenant.id, self.erasure);
        tracing::info!(erasure = %self.erasure, step = what, "an erasure went on");
        // What has begun is fenced at once, whether or not the place elsewhere answers; see `commit`.
        if fence_first { Ok(()) } else { self.ship().await }
    }

    fn request(&self, command: CommandId) -> Request {
        Request {
            principal: Principal::system(self.tenant.id.clone(), self.cause.environment),
            command,
            captured_at: None,
            expected: None,
            correlation: self.cause.correlation,
            causation: Some(self.cause.command),
        }
    }

    async fn order(&self, command: &Command, request: &Request) -> Result<(), Refusal> {
        let done = self.commands.execute::<Privacy>(self.tenant, self.stream, command, request).await;
        self.noted(done).map(|_| ())
    }
}

/// Where a test may let the process die around the recording of a step.
fn failpoints(step: &Step) -> (&'static str, &'static str) {
    match step {
        Step::Begun {} => ("erasure-before-begun", "erasure-after-begun"),
        Step::Committed {} => ("erasure-before-committed", "erasure-after-committed"),
        Step::DestructionScheduled { .. } => ("erasure-before-scheduled", "erasure-after-scheduled"),
        Step::KeysDestroyed { .. } => ("erasure-before-keys-destroyed", "erasure-after-keys-destroyed"),
        Step::DerivedPurged {} => ("erasure-before-derived-purged", "erasure-after-derived-purged"),
        Step::RecipientsNotified { .. } => ("erasure-before-recipients", "erasure-after-recipients"),
        Step::Verified { .. } => ("erasure-before-verified", "erasure-after-verified"),
        Step::Completed { .. } => ("erasure-before-completed", "erasure-after-completed"),
    }
}

/// Who does not answer, where one port stands before several: `what` is a fixed word of the adapter.
fn culprit(failure: &Failure) -> Option<WaitingOn> {
    let Failure::Unavailable { what, .. } = failure else { return None };
    let is_about = |word: &str| what.contains(word);
    match () {
        () if is_about("KMS") => Some(WaitingOn::Kms),
        () if is_about("off-site") || is_about("ledger") => Some(WaitingOn::OffSite),
        () if is_about("journal") || is_about("NATS") => Some(WaitingOn::Journal),
        () => None,
    }
}

/// What the key tree is to fence, destroy and try: everything of a scope, what does not exist yet included, or one part.
pub(super) fn targets(stream: &StreamId, extent: &Extent) -> Result<Vec<Target>, Failure> {
    let data_subject = stream.data_subject().ok_or_else(|| Failure::damaged(stream, "its id is no person's"))?;
    let target =
        |(scope, part): (Scope, Option<&domain::scope::Part>)| Target { data_subject, scope, part: part.cloned() };
    Ok(extent.each().map(target).collect())
}

/// The approval that set the erasure off.
pub(super) fn approval(stream: &StreamId, commits: &[Commit], erasure: ErasureId) -> Result<Cause, Refusal> {
    for commit in commits.iter().rev() {
        let facts: Vec<Event> = commit.facts().map_err(|fault| Refusal::malformed(stream, &fault))?;
        if facts.iter().any(|fact| matches!(fact, Event::ErasureApproved { erasure: id, .. } if *id == erasure)) {
            let (command, environment) = (commit.header.command, commit.header.environment);
            return Ok(Cause { command, correlation: CorrelationId(erasure.0), environment });
        }
    }
    Err(Failure::damaged(stream, "an erasure is under way that nobody approved").into())
}
