//! Carries out erasures that were approved, step by step, and goes on where it stopped.
//!
//! What is to be done next is read from the person's `privacy` stream each time, and every step may be taken again,
//! so a crash at any point costs nothing but the step. An erasure counts as done when its stream says so.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use domain::decider::Decider;
use domain::history::{Commit, Revision, StreamId};
use domain::port::{Failure, Tenant};
use domain::privacy::{Event, Next, Privacy};
use tokio::sync::Notify;

use crate::commands::Commands;
use crate::refusal::Refusal;

mod case;
mod shred;

use case::{Case, Pause};

/// The first pause before a failed erasure is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The longest.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// How long the start waits for the read models that know the open erasures.
const CATCH_UP: Duration = Duration::from_secs(60);

/// Says which persons' erasures have work to do.
#[derive(Clone, Default)]
pub struct ErasureTrigger(Arc<Waiting>);

#[derive(Default)]
struct Waiting {
    streams: Mutex<BTreeSet<StreamId>>,
    news: Notify,
}

impl ErasureTrigger {
    /// There is work in this `privacy` stream.
    pub fn wake(&self, stream: StreamId) {
        self.0.streams.lock().unwrap_or_else(PoisonError::into_inner).insert(stream);
        self.0.news.notify_one();
    }

    /// The streams that wait; waits until there is one.
    async fn take(&self) -> BTreeSet<StreamId> {
        loop {
            let streams = std::mem::take(&mut *self.0.streams.lock().unwrap_or_else(PoisonError::into_inner));
            if !streams.is_empty() {
                return streams;
            }
            self.0.news.notified().await;
        }
    }
}

/// Knows which erasures are unfinished: asked once at start, after the read models caught up.
#[async_trait]
pub trait OpenErasures: Send + Sync {
    /// The `privacy` streams with an erasure that is neither completed nor refused.
    async fn open(&self, tenant: &Tenant) -> Result<Vec<StreamId>, Failure>;
}

/// What came of one person's erasures.
#[derive(Debug)]
pub struct Outcome {
    /// The `privacy` stream.
    pub stream: StreamId,
    /// Nothing is left for the platform to do, or why it stopped.
    pub result: Result<(), Refusal>,
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
        self.find_open().await;
        let mut pause = self.retry_after;
        let mut failed = BTreeSet::new();
        loop {
            let mut streams = tokio::select! {
                streams = self.commands.erasures.take() => streams,
                () = tokio::time::sleep(pause), if !failed.is_empty() => BTreeSet::new(),
            };
            streams.append(&mut failed);
            failed = self.work_on(&streams).await;
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

    /// Works on these streams; returns those to be tried again.
    async fn work_on(&self, streams: &BTreeSet<StreamId>) -> BTreeSet<StreamId> {
        let mut again = BTreeSet::new();
        let tenants: BTreeSet<_> = streams.iter().map(|stream| &stream.journal.tenant).collect();
        for id in tenants {
            let Some(tenant) = self.commands.tenants.tenant(id) else {
                continue;
            };
            let theirs: Vec<_> = streams.iter().filter(|stream| stream.journal.tenant == *id).cloned().collect();
            for Outcome { stream, result } in self.run_once(&tenant, &theirs).await {
                if let Err(refusal) = result {
                    tracing::error!(tenant = %id, %stream, %refusal, "an erasure stopped on its way; trying again");
                    again.insert(stream);
                }
            }
        }
        again
    }

    /// Takes every erasure of these persons as far as it goes now. Those that come to destroy keys together share
    /// one shred.
    pub async fn run_once(&self, tenant: &Tenant, streams: &[StreamId]) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        let mut ready = Vec::new();
        for stream in streams {
            let result = match Case::of_stream(&self.commands, tenant, stream).await {
                Ok(cases) => to_the_shred(cases, &mut ready).await,
                Err(refusal) => Err(refusal),
            };
            outcomes.push(Outcome { stream: stream.clone(), result });
        }
        for (stream, result) in shred::together(tenant, ready).await {
            let outcome = outcomes.iter_mut().find(|outcome| outcome.stream == stream);
            if let (Some(outcome), Err(refusal)) = (outcome, result) {
                outcome.result = Err(refusal);
            }
        }
        outcomes
    }
}

/// Takes a person's erasures up to the destruction of keys, or to their end.
async fn to_the_shred<'a>(cases: Vec<Case<'a>>, ready: &mut Vec<shred::Ready<'a>>) -> Result<(), Refusal> {
    for case in cases {
        match case.advance().await? {
            Pause::DestroyKeys(scopes) => ready.push(shred::Ready { case, scopes }),
            Pause::NothingToDo => {}
        }
    }
    Ok(())
}

/// Whether the platform has something to do for an erasure in this `privacy` stream.
pub(crate) fn has_work(stream: &StreamId, commits: &[Commit]) -> Result<bool, Refusal> {
    let privacy = fold(stream, commits)?;
    Ok(privacy.erasures.values().any(|erasure| is_ours(&erasure.next())))
}

/// Whether a next step is the platform's.
fn is_ours(next: &Next) -> bool {
    match next {
        Next::Decide | Next::AcceptSingleCopy | Next::Nothing => false,
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
        facts.iter().for_each(|fact| privacy.evolve(fact, Revision::NONE));
    }
    Ok(privacy)
}

#[cfg(test)]
mod tests;
