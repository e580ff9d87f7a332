//! Carries out erasures that were approved, step by step, and goes on where it stopped.
//!
//! What is to be done next is read from the person's `privacy` stream each time, and every step may be taken again,
//! so a crash at any point costs nothing but the step. An erasure counts as done when its stream says so.
//!
//! The order of one erasure: checkpoint, `begun`, fence, ledger, markers, `committed`, shred (of all that came so far
//! together), `keys-destroyed` (or first `destruction-scheduled`, where the KMS keeps old roots for a while), read
//! models, recipients, trial, certificate, `completed`. Each recorded step is shipped off-site before the next begins.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::decider::Decider;
use domain::history::{Commit, DataSubject, Revision, StreamId};
use domain::port::{Failure, Tenant};
use domain::privacy::{Event, Next, Privacy};
use time::OffsetDateTime;

use crate::commands::Commands;
use crate::refusal::Refusal;

mod account;
mod case;
mod reinstate;
mod shred;
mod trigger;

pub use reinstate::reinstate;
pub use trigger::ErasureTrigger;

use case::{Case, Pause};
use shred::Rest;

/// The first pause before a failed erasure is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The longest.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// How long the start waits for the read models that know the open erasures.
const CATCH_UP: Duration = Duration::from_secs(60);

/// Knows which erasures are unfinished: asked once at start, after the read models caught up.
#[async_trait]
pub trait OpenErasures: Send + Sync {
    /// The `privacy` streams with an erasure that is neither completed nor refused.
    async fn open(&self, tenant: &Tenant) -> Result<Vec<StreamId>, Failure>;

    /// A few other persons with data of whom nothing is erased: what a trial of the erased is held against. None: there
    /// are none.
    async fn others(&self, _tenant: &Tenant, _stream: &StreamId) -> Result<Vec<DataSubject>, Failure> {
        Ok(Vec::new())
    }
}

/// What came of one person's erasures.
#[derive(Debug)]
pub struct Outcome {
    /// The `privacy` stream.
    pub stream: StreamId,
    /// Nothing is left for the platform to do (before this time, if there is one), or why it stopped.
    pub result: Result<Option<OffsetDateTime>, Refusal>,
}

/// Carries erasures out, for all tenants of a process.
pub struct ErasureWorker {
    commands: Arc<Commands>,
    open: Arc<dyn OpenErasures>,
    retry_after: Duration,
}

impl ErasureWorker {
    /// A worker; [`ErasureWorker::run`] lets it work.
    pub fn new(commands: Arc<Commands>, open: Arc<dyn OpenErasures>) -> Self {
        Self { commands, open, retry_after: RETRY_AFTER }
    }

    /// Works until it is dropped. What fails is tried again, later each time.
    pub async fn run(&self) {
        tokio::join!(self.carry_out(), self.keep_shipped());
    }

    async fn carry_out(&self) {
        self.find_open().await;
        let mut pause = self.retry_after;
        let mut failed = BTreeSet::new();
        let mut resting: BTreeMap<StreamId, OffsetDateTime> = BTreeMap::new();
        loop {
            let due = resting.values().min().map(|due| self.until(*due));
            let mut streams = tokio::select! {
                streams = self.commands.erasures.take() => streams,
                () = tokio::time::sleep(pause), if !failed.is_empty() => BTreeSet::new(),
                () = tokio::time::sleep(due.unwrap_or_default()), if due.is_some() => BTreeSet::new(),
            };
            streams.append(&mut failed);
            let now = self.commands.clock.now();
            streams.extend(resting.iter().filter(|(_, due)| **due <= now).map(|(stream, _)| stream.clone()));
            resting.retain(|stream, _| !streams.contains(stream));
            failed = self.work_on(&streams, &mut resting).await;
            pause = if failed.is_empty() { self.retry_after } else { (pause * 2).min(RETRY_AFTER_MAX) };
        }
    }

    /// How long until then. No longer than a day at a time: the clock on the wall may be set.
    fn until(&self, due: OffsetDateTime) -> Duration {
        let left = Duration::try_from(due - self.commands.clock.now()).unwrap_or_default();
        left.min(Duration::from_secs(86_400))
    }

    /// Ships every order off-site as soon as it is stored: a hold, a restriction and a request too.
    async fn keep_shipped(&self) {
        let mut pause = self.retry_after;
        let mut failed = BTreeSet::new();
        loop {
            let mut streams = tokio::select! {
                streams = self.commands.erasures.take_changed() => streams,
                () = tokio::time::sleep(pause), if !failed.is_empty() => BTreeSet::new(),
            };
            streams.append(&mut failed);
            for stream in streams {
                let Some(tenant) = self.commands.tenants.tenant(&stream.journal.tenant) else { continue };
                if let Err(failure) = tenant.ledger.ship(&stream).await {
                    tracing::error!(tenant = %tenant.id, %stream, %failure, "an order does not stand off-site yet; trying again");
                    failed.insert(stream);
                }
            }
            pause = if failed.is_empty() { self.retry_after } else { (pause * 2).min(RETRY_AFTER_MAX) };
        }
    }

    /// Finds what a process before this one left unfinished.
    async fn find_open(&self) {
        for tenant in self.commands.tenants.all() {
            while let Err(failure) = self.find_open_of(&tenant).await {
                tracing::warn!(tenant = %tenant.id, %failure, "unfinished erasures are not known yet; asking again");
                tokio::time::sleep(self.retry_after).await;
            }
        }
    }

    async fn find_open_of(&self, tenant: &Tenant) -> Result<(), Failure> {
        // The read models may lag behind an approval that was stored just before the process ended.
        for journal in tenant.journal.journals().await? {
            let head = tenant.journal.head(&journal).await?;
            if !tenant.progress.wait_for(&head, CATCH_UP).await? {
                return Err(Failure::unavailable("the list of open erasures", "the read models are behind"));
            }
        }
        self.open.open(tenant).await?.into_iter().for_each(|stream| self.commands.erasures.wake(stream));
        Ok(())
    }

    /// Works on these streams; returns those to be tried again. Those that rest until some time go into `resting`.
    async fn work_on(
        &self,
        streams: &BTreeSet<StreamId>,
        resting: &mut BTreeMap<StreamId, OffsetDateTime>,
    ) -> BTreeSet<StreamId> {
        let mut again = BTreeSet::new();
        let tenants: BTreeSet<_> = streams.iter().map(|stream| &stream.journal.tenant).collect();
        for id in tenants {
            let Some(tenant) = self.commands.tenants.tenant(id) else {
                continue;
            };
            let theirs: Vec<_> = streams.iter().filter(|stream| stream.journal.tenant == *id).cloned().collect();
            for stream in &theirs {
                if let Err(refusal) = self.settle_doubt(&tenant, stream).await {
                    tracing::warn!(tenant = %id, %stream, %refusal, "an order may lack what follows from it; trying again");
                    again.insert(stream.clone());
                }
            }
            for Outcome { stream, result } in self.run_once(&tenant, &theirs).await {
                match result {
                    Ok(None) => {}
                    Ok(Some(until)) => {
                        resting.insert(stream, until);
                    }
                    Err(refusal) => {
                        tracing::error!(tenant = %id, %stream, %refusal, "an erasure stopped on its way; trying again");
                        again.insert(stream);
                    }
                }
            }
        }
        again
    }

    /// Sends what follows from an order that may have been stored although its sender was told that it failed.
    async fn settle_doubt(&self, tenant: &Tenant, stream: &StreamId) -> Result<(), Refusal> {
        if !self.commands.erasures.take_doubt(stream) {
            return Ok(());
        }
        let sent = self.commands.send_follow_ups(tenant, stream).await.map(drop);
        if sent.is_err() {
            self.commands.erasures.keep_doubt(stream.clone());
        }
        sent
    }

    /// Takes every erasure of these persons as far as it goes now. Those that come to destroy keys together share
    /// one shred.
    pub async fn run_once(&self, tenant: &Tenant, streams: &[StreamId]) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        let mut ready = Vec::new();
        for stream in streams {
            let result = match Case::of_stream(&self.commands, &*self.open, tenant, stream).await {
                // A crash may have come between the last step and its way off-site.
                Ok(cases) if cases.is_empty() => tenant.ledger.ship(stream).await.map(|()| None).map_err(Refusal::from),
                Ok(cases) => to_the_shred(cases, &mut ready).await,
                Err(refusal) => Err(refusal),
            };
            outcomes.push(Outcome { stream: stream.clone(), result });
        }
        for (stream, result) in shred::together(tenant, ready).await {
            if let Some(outcome) = outcomes.iter_mut().find(|outcome| outcome.stream == stream) {
                outcome.take(result);
            }
        }
        outcomes
    }
}

impl Outcome {
    /// Several erasures of one person: what failed counts first, then what comes first.
    fn take(&mut self, result: Result<Rest, Refusal>) {
        match (&mut self.result, result) {
            (Err(_), _) => {}
            (Ok(rest), Ok(until)) => *rest = sooner(*rest, until),
            (Ok(_), Err(refusal)) => self.result = Err(refusal),
        }
    }
}

fn sooner(one: Rest, other: Rest) -> Rest {
    one.into_iter().chain(other).min()
}

/// Takes a person's erasures up to the destruction of keys, or to their end.
async fn to_the_shred<'a>(cases: Vec<Case<'a>>, ready: &mut Vec<shred::Ready<'a>>) -> Result<Rest, Refusal> {
    let mut rest = None;
    for case in cases {
        match case.advance().await? {
            Pause::DestroyKeys(targets) => ready.push(shred::Ready { case, targets }),
            Pause::Until(until) => rest = sooner(rest, Some(until)),
            Pause::NothingToDo => {}
        }
    }
    Ok(rest)
}

/// Whether the platform has something to do for an erasure in this `privacy` stream.
pub(crate) fn has_work(stream: &StreamId, commits: &[Commit]) -> Result<bool, Refusal> {
    let privacy = fold(stream, commits)?;
    Ok(privacy.erasures.values().any(|erasure| is_ours(&erasure.next())))
}

/// Whether a next step is the platform's.
fn is_ours(next: &Next) -> bool {
    match next {
        Next::Decide | Next::Nothing => false,
        Next::Begin
        | Next::Commit(_)
        | Next::DestroyKeys(_)
        | Next::PurgeDerived(_)
        | Next::NotifyRecipients(_)
        | Next::Verify(_)
        | Next::Complete => true,
    }
}

fn fold(stream: &StreamId, commits: &[Commit]) -> Result<Privacy, Refusal> {
    let mut privacy = Privacy::default();
    for commit in commits {
        let facts: Vec<Event> = commit.facts().map_err(|fault| Refusal::malformed(stream, &fault))?;
        facts.iter().for_each(|fact| privacy.evolve(fact, Revision::NONE.into()));
    }
    Ok(privacy)
}

#[cfg(test)]
mod tests;
