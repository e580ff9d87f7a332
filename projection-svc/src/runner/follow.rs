//! One journal stream, followed: what the runner's tasks do.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use domain::history::{Commit, JournalId};
use domain::port::Failure;
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
        let mut asked = Instant::now();
        reached.send_modify(|reached| {
            // Less than before, if the store lost what was applied last.
            reached.position.sequence = checkpoint;
            reached.state = JournalState::Following;
        });
        loop {
            let mut commits = tokio::select! {
                commits = feed.next(BATCH_COMMITS_MAX) => commits?,
                _ = opened.changed() => return Err(begin_again()),
            };
            commits.iter_mut().for_each(Commit::keep_decoded);
            let Some(last) = commits.last() else { continue };
            let sequence = last.position.sequence;
            // What was there before is caught up with in silence: a span for each commit would cost more than it.
            self.take_in(journal, &commits, sequence > head.sequence, began).await?;
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
        }
    }

    /// Takes commits into every table that serves.
    async fn take_in(&self, journal: &JournalId, commits: &[Commit], traced: bool, began: u64) -> Result<(), Failure> {
        let _open = self.gate.read().await;
        if *self.opened.borrow() != began {
            // Between what the tables hold now and these commits there may be others.
            return Err(begin_again());
        }
        let mut folds = Vec::with_capacity(self.models.len());
        for model in &self.models {
            let table = tables::live_table(self.stores.store.as_ref(), model.name())?;
            folds.push(model.fold(&self.stores, table, journal)?);
        }
        for commit in commits {
            let span = if traced { span(commit) } else { tracing::Span::none() };
            take(&mut folds, commit).instrument(span).await?;
        }
        for fold in &mut folds {
            fold.flush().await?;
        }
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
