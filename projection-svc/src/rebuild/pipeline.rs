//! One journal stream into many new tables: one task reads, checks and opens commits, one for each table applies and
//! stores them. So all cores are busy, and no table waits for another one's store.
//!
//! Memory is bounded: nobody is more than a few batches ahead of the slowest table. Each table stores its rows and how far
//! it is in one step, as when it follows: where it stops, it can go on.

use std::sync::Arc;

use domain::history::{Commit, JournalId};
use domain::port::Failure;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::runner::Shared;

/// How many commits are handed on together.
const BATCH_COMMITS_MAX: usize = 512;

/// How many commits are written together, at least. Each row that they touch is written once.
const WRITTEN_TOGETHER: usize = 1024;

/// How many batches may wait for a table.
const WAITING_MAX: usize = 3;

/// A table on its way: which of the models, and its name.
#[derive(Debug, Clone)]
pub(super) struct Into {
    pub(super) model: usize,
    pub(super) table: String,
}

/// Which part of a journal stream.
#[derive(Debug, Clone)]
pub(super) struct Stretch {
    pub(super) journal: JournalId,
    /// Up to here everything is in the tables.
    pub(super) after: u64,
    /// The sequence of the last commit that is taken in.
    pub(super) through: u64,
}

type Batch = Arc<[Commit]>;

/// Takes a stretch into the tables, none of which may serve yet: if this is dropped on its way, a task may write for a
/// moment more. `done` hears how far the slowest table is.
pub(super) async fn run(
    shared: &Arc<Shared>,
    stretch: &Stretch,
    tables: &[Into],
    done: &(impl Fn(u64) + Send + Sync),
) -> Result<(), Failure> {
    let mut tasks = JoinSet::new();
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut to = Vec::with_capacity(tables.len());
    for (index, table) in tables.iter().enumerate() {
        let (sender, batches) = mpsc::channel(WAITING_MAX);
        to.push(sender);
        let tell = tell.clone();
        let tell = move |sequence| {
            // Whoever hears it is there as long as this runs.
            let _ = tell.send((index, sequence));
        };
        tasks.spawn(store(Arc::clone(shared), stretch.journal.clone(), table.clone(), batches, tell));
    }
    drop(tell);
    tasks.spawn(read(Arc::clone(shared), stretch.clone(), to));
    let mut reached = vec![stretch.after; tables.len()];
    while let Some((index, sequence)) = told.recv().await {
        reached[index] = sequence;
        done(reached.iter().copied().min().unwrap_or(stretch.after));
    }
    // A table that fails stops the reader, and that the others: the first failure is what is wrong.
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|error| Failure::unavailable("the rebuild", error))??;
    }
    Ok(())
}

/// Reads, checks and opens, and hands on what came. Ends early when a table does not take any more: it says why.
async fn read(shared: Arc<Shared>, stretch: Stretch, to: Vec<mpsc::Sender<Batch>>) -> Result<(), Failure> {
    if stretch.after >= stretch.through {
        return Ok(());
    }
    let mut feed = shared.journal.follow(&stretch.journal, stretch.after).await?;
    let mut reached = stretch.after;
    while reached < stretch.through {
        let mut commits = feed.next(BATCH_COMMITS_MAX).await?;
        reached = commits.last().map_or(reached, |last| last.position.sequence);
        commits.retain(|commit| commit.position.sequence <= stretch.through);
        // Many tables read the same commit.
        commits.iter_mut().for_each(Commit::keep_decoded);
        let batch = Batch::from(commits);
        for table in &to {
            if table.send(Arc::clone(&batch)).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Applies and stores what comes. Others get their turn after each commit.
async fn store(
    shared: Arc<Shared>,
    journal: JournalId,
    Into { model, table }: Into,
    mut batches: mpsc::Receiver<Batch>,
    tell: impl Fn(u64) + Send,
) -> Result<(), Failure> {
    let mut fold = shared.models[model].fold(&shared.stores, table, &journal)?;
    let (mut taken, mut reached) = (0, None);
    while let Some(batch) = batches.recv().await {
        for commit in batch.iter() {
            fold.take(commit).await?;
            tokio::task::consume_budget().await;
        }
        taken += batch.len();
        reached = batch.last().map(|last| last.position.sequence).or(reached);
        if taken >= WRITTEN_TOGETHER {
            fold.flush().await?;
            taken = 0;
            reached.take().into_iter().for_each(&tell);
        }
    }
    fold.flush().await?;
    reached.into_iter().for_each(&tell);
    Ok(())
}
