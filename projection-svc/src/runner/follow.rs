//! One journal stream, followed: what the runner's tasks do.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::history::{Commit, JournalId};
use domain::port::{Failure, Feed};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{Instrument, Level, event};

use super::{JournalState, Reached, Shared, lock};
use crate::fold::Folding;
use crate::tables;

/// How many commits are taken in at once.
const BATCH_COMMITS_MAX: usize = 256;

/// How long to wait after a failure, at first and at most.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// How often, while there is more to take in than fits in one batch, the journal is asked how much.
const LAG_EVERY: Duration = Duration::from_secs(1);

/// How much of each table stays in memory between two batches, in bytes as stored: whoever enters data goes on with the
/// same forms.
const KEPT_BYTES_MAX: usize = 128 * 1024;

/// What was opened of a person stays in memory no longer than this, with news or without.
const KEPT_FOR: Duration = Duration::from_secs(5);

/// While news come quickly they are gathered for so long, unless somebody waits for them: a batch costs about the same
/// whether it has one commit or twenty.
const GATHER: Duration = Duration::from_millis(10);

/// A batch of so many is worth its cost as it is.
const WORTH: usize = 64;

/// Tables on their way, with rows in memory, for as long as nobody else writes into them.
struct Kept {
    epoch: u64,
    since: Instant,
    folds: Vec<Box<dyn Folding>>,
}

/// Follows one journal stream until it is damaged.
pub(super) async fn follow(shared: Arc<Shared>, journal: JournalId, reached: watch::Sender<Reached>) {
    let mut backoff = BACKOFF_FIRST;
    let mut opened = shared.opened.subscribe();
    loop {
        opened.mark_unchanged();
        let before = reached.borrow().position.sequence;
        let Err(failure) = shared.follow(&journal, &reached).await;
        let reason = failure.to_string();
        if matches!(failure, Failure::Damaged { .. }) {
            tracing::error!(error = %failure, "the read models stop following a journal stream");
            reached.send_modify(|reached| reached.state = JournalState::Stopped { reason });
            return;
        }
        if reached.borrow().position.sequence > before {
            backoff = BACKOFF_FIRST;
        }
        tracing::warn!(error = %failure, "the read models try a journal stream again");
        reached.send_modify(|reached| reached.state = JournalState::Retrying { reason });
        tokio::select! {
            () = tokio::time::sleep(backoff) => {}
            // The sender is as old as what is shared.
            _ = opened.changed() => {}
        }
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

impl Shared {
    async fn follow(&self, journal: &JournalId, reached: &watch::Sender<Reached>) -> Result<Infallible, Failure> {
        let mut opened = self.opened.subscribe();
        let began = *opened.borrow_and_update();
        let head = self.journal.head(journal).await?;
        let checkpoint = self.checkpoint(journal)?;
        let mut feed = self.journal.follow(journal, checkpoint).await?;
        let (mut asked, mut kept, hurry) = (Instant::now(), None, self.hurry(&journal.study));
        reached.send_modify(|reached| {
            // Less than before, if the store lost what was applied last.
            reached.position.sequence = checkpoint;
            reached.state = JournalState::Following;
        });
        loop {
            let mut commits = tokio::select! {
                commits = self.news(feed.as_mut(), &mut kept) => commits?,
                _ = opened.changed() => return Err(begin_again()),
            };
            commits.iter_mut().for_each(Commit::keep_decoded);
            let Some(last) = commits.last() else { continue };
            let sequence = last.position.sequence;
            // What was there before is caught up with in silence: a span for each commit would cost more than it.
            self.take_in(journal, &commits, (sequence > head.sequence, began), &mut kept).await?;
            let mut behind = 0;
            if commits.len() == BATCH_COMMITS_MAX {
                behind = reached.borrow().behind.saturating_sub(BATCH_COMMITS_MAX as u64);
                if asked.elapsed() >= LAG_EVERY {
                    behind = self.journal.head(journal).await?.sequence.saturating_sub(sequence);
                    asked = Instant::now();
                }
            }
            reached.send_modify(|reached| {
                // Followed again after a failure, it begins with what the slowest read model lacks.
                reached.position.sequence = reached.position.sequence.max(sequence);
                reached.behind = behind;
            });
            self.measure(journal);
            if commits.len() < WORTH {
                // Either way it goes on.
                let _ = tokio::time::timeout(GATHER, hurry.notified()).await;
            }
        }
    }

    /// What comes next. Nothing stays in memory if that takes long.
    async fn news(&self, feed: &mut dyn Feed, kept: &mut Option<Kept>) -> Result<Vec<Commit>, Failure> {
        let mut next = feed.next(BATCH_COMMITS_MAX);
        if kept.is_some() {
            // It is not asked a second time: it notices by the silence that a server is gone.
            if let Ok(commits) = tokio::time::timeout(KEPT_FOR, &mut next).await {
                return commits;
            }
            *kept = None;
        }
        next.await
    }

    /// Begins to take commits into every table that serves.
    fn folds(&self, journal: &JournalId) -> Result<Vec<Box<dyn Folding>>, Failure> {
        let mut folds = Vec::with_capacity(self.models.len());
        for model in &self.models {
            let table = tables::live_table(self.stores.store.as_ref(), model.name())?;
            folds.push(model.fold(&self.stores, table, journal)?);
        }
        Ok(folds)
    }

    /// Takes commits into every table that serves: all that they change in one step. What is kept is taken on from; after
    /// a failure there is nothing kept.
    async fn take_in(
        &self,
        journal: &JournalId,
        commits: &[Commit],
        (traced, began): (bool, u64),
        kept: &mut Option<Kept>,
    ) -> Result<(), Failure> {
        let _open = self.gate.read().await;
        if *self.opened.borrow() != began {
            // Between what the tables hold now and these commits there may be others.
            return Err(begin_again());
        }
        let epoch = self.epoch.load(Ordering::Relaxed);
        let (since, mut folds) = match kept.take() {
            Some(kept) if kept.epoch == epoch && kept.since.elapsed() < KEPT_FOR => (kept.since, kept.folds),
            Some(_) | None => (Instant::now(), self.folds(journal)?),
        };
        for commit in commits {
            let span = if traced { span(commit) } else { tracing::Span::none() };
            take(&mut folds, commit).instrument(span).await?;
        }
        let mut changes = Vec::with_capacity(folds.len());
        for fold in &mut folds {
            changes.extend(fold.changes().await?);
        }
        self.stores.store.apply_all(&changes)?;
        folds.iter_mut().for_each(|fold| fold.relieve(KEPT_BYTES_MAX));
        *kept = Some(Kept { epoch, since, folds });
        Ok(())
    }

    /// Tells how far the journal streams of this kind are ahead, all together.
    fn measure(&self, journal: &JournalId) {
        let reached = lock(&self.reached);
        let alike = reached.iter().filter(|(study, _)| study.is_some() == journal.study.is_some());
        let lag: u64 = alike.map(|(_, sender)| sender.borrow().behind).sum();
        let kind = if journal.study.is_some() { "study" } else { "tenant" };
        event!(target: "metrics", Level::INFO, gauge.lethe_projection_lag = lag, projection = "all", journal = kind);
    }
}

fn begin_again() -> Failure {
    Failure::unavailable("the read store", "it was opened again: what it may have lost is taken in first")
}

/// Takes one commit into every table.
pub(crate) async fn take(folds: &mut [Box<dyn Folding>], commit: &Commit) -> Result<(), Failure> {
    for fold in folds {
        fold.take(commit).await?;
    }
    Ok(())
}

/// The span that ends the trace of a command. None for a command that nobody traces: it would cost and show nothing.
fn span(commit: &Commit) -> tracing::Span {
    match commit.traceparent.as_deref() {
        Some(traceparent) if !traceparent.ends_with("-00") => {
            let aggregate = commit.header.stream.aggregate.as_str();
            tracing::info_span!("projection.apply", traceparent, aggregate)
        }
        Some(_) | None => tracing::Span::none(),
    }
}
