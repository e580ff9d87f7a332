//! Builds read models again from the journal, beside those that serve; compares; switches.

mod pipeline;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::history::JournalId;
use domain::port::Failure;
use serde::Serialize;

use crate::compare::Comparison;
use crate::fold::Model;
use crate::runner::{Runner, Shared, take};
use crate::tables::{self, Live};
use pipeline::{Into, Stretch};

/// How many commits are taken in at once while the runner waits.
const BATCH_COMMITS_MAX: usize = 2048;

/// What to build again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// Every read model.
    All,
    /// The one of this name.
    One(String),
}

/// What a rebuild is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// It builds beside what serves.
    Building,
    /// It takes in what came meanwhile; what serves waits for news, readers do not.
    CatchingUp,
    /// It compares with what serves.
    Comparing,
    /// It lets the new tables serve.
    Switching,
}

/// How far a rebuild is, in positions of all journal streams together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RebuildProgress {
    /// What it is doing.
    pub stage: Stage,
    /// How far it is.
    pub done: u64,
    /// Where it ends.
    pub total: u64,
}

/// What a rebuild found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RebuildReport {
    /// One a read model.
    pub projections: Vec<Rebuilt>,
}

/// A read model that was built again and now serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rebuilt {
    /// Which.
    pub projection: &'static str,
    /// Its generation.
    pub generation: u64,
    /// How it compares with the one that served before.
    #[serde(flatten)]
    pub comparison: Comparison,
}

/// A table on its way.
struct Building<'a> {
    model: &'a dyn Model,
    /// Which of the models it is.
    index: usize,
    generation: u64,
    table: String,
}

impl Building<'_> {
    /// Drops the table, unless it serves already.
    fn abandon(&self, shared: &Shared) -> Result<(), Failure> {
        let store = shared.stores.store.as_ref();
        if tables::live_table(store, self.model.name())? == self.table { Ok(()) } else { store.drop_table(&self.table) }
    }
}

/// Builds, compares and switches. The tables that serve go on until the switch; while the last commits are taken in
/// and the tables compared, the runner waits and readers do not.
///
/// # Errors
/// A journal that has lost commits is `Damaged`: what serves knows more than a rebuild could. An unheard-of read
/// model is `Missing`. After any error the tables that served still serve.
pub async fn rebuild(
    runner: &Runner,
    which: &Which,
    progress: impl Fn(RebuildProgress) + Send + Sync,
) -> Result<RebuildReport, Failure> {
    let shared = &runner.shared;
    let _alone = shared.rebuilding.lock().await;
    runner.check().await?;
    let building = begin(shared, which)?;
    let built = build_and_switch(shared, &building, &progress).await;
    if built.is_err() {
        for building in &building {
            building.abandon(shared)?;
        }
    }
    built
}

fn begin<'a>(shared: &'a Shared, which: &Which) -> Result<Vec<Building<'a>>, Failure> {
    let store = shared.stores.store.as_ref();
    let mut building = Vec::new();
    for (index, model) in shared.models.iter().enumerate() {
        if matches!(which, Which::One(name) if name != model.name()) {
            continue;
        }
        let generation = tables::live(store, model.name())?.map_or(0, |live| live.generation) + 1;
        let table = tables::table(model.name(), generation);
        // A rebuild that was killed may have left one.
        store.drop_table(&table)?;
        building.push(Building { model: model.as_ref(), index, generation, table });
    }
    match which {
        Which::One(name) if building.is_empty() => Err(Failure::missing(format!("the read model {name}"))),
        Which::One(_) | Which::All => Ok(building),
    }
}

async fn build_and_switch(
    shared: &Arc<Shared>,
    building: &[Building<'_>],
    progress: &(impl Fn(RebuildProgress) + Send + Sync),
) -> Result<RebuildReport, Failure> {
    // A table that serves may not have said yet how far it is: what is told does not go back for that.
    let furthest = AtomicU64::new(0);
    let whole = AtomicU64::new(0);
    let tell = |stage, done: u64, total| {
        let done = done.max(furthest.fetch_max(done, Ordering::Relaxed));
        whole.store(total, Ordering::Relaxed);
        progress(RebuildProgress { stage, done, total });
    };
    let targets = targets(shared).await?;
    build(shared, building, &targets, &|done, total| tell(Stage::Building, done, total)).await?;

    let _closed = shared.gate.write().await;
    // Whoever follows has rows in memory, and knows a table that may not serve much longer.
    shared.epoch.fetch_add(1, Ordering::Relaxed);
    // What came meanwhile, into the new tables and into those that serve: so both are compared at the same commit.
    let store = shared.stores.store.as_ref();
    let mut all: Vec<_> = building.iter().map(|building| (building.model, building.table.clone())).collect();
    for building in building {
        all.push((building.model, tables::live_table(store, building.model.name())?));
    }
    catch_up(shared, &all, &|done, total| tell(Stage::CatchingUp, done, total)).await?;

    let done = |stage| tell(stage, 0, whole.load(Ordering::Relaxed));
    done(Stage::Comparing);

    let mut report = RebuildReport { projections: Vec::new() };
    for building in building {
        let name = building.model.name();
        let live = tables::live_table(store, name)?;
        let comparison = building.model.compare(&shared.stores, &live, &building.table).await?;
        report.projections.push(Rebuilt { projection: name, generation: building.generation, comparison });
    }
    done(Stage::Switching);
    for building in building {
        let to = Live { generation: building.generation, version: building.model.version() };
        tables::switch(store, building.model.name(), to)?;
    }
    Ok(report)
}

/// Every journal stream, and the sequence of its last commit now.
async fn targets(shared: &Shared) -> Result<Vec<(JournalId, u64)>, Failure> {
    let mut targets = Vec::new();
    for journal in shared.journal.journals().await? {
        let target = last_commit(shared, &journal).await?;
        targets.push((journal, target));
    }
    Ok(targets)
}

/// Takes every journal stream into the new tables, up to its target.
async fn build(
    shared: &Arc<Shared>,
    building: &[Building<'_>],
    targets: &[(JournalId, u64)],
    progress: &(impl Fn(u64, u64) + Send + Sync),
) -> Result<(), Failure> {
    let tables: Vec<Into> =
        building.iter().map(|building| Into { model: building.index, table: building.table.clone() }).collect();
    let total = targets.iter().map(|(_, target)| target).sum();
    let mut before = 0;
    for (journal, target) in targets {
        let stretch = Stretch { journal: journal.clone(), after: 0, through: *target };
        let done = |done| progress(before + done, total);
        done(0);
        pipeline::run(shared, &stretch, &tables, &done).await?;
        before += target;
    }
    progress(total, total);
    Ok(())
}

/// Takes every journal stream into the tables, as far as it goes now: into those that serve, too, so one step after the
/// other.
async fn catch_up(
    shared: &Shared,
    tables: &[(&dyn Model, String)],
    progress: &(impl Fn(u64, u64) + Send + Sync),
) -> Result<(), Failure> {
    let targets = targets(shared).await?;
    let total = targets.iter().map(|(_, target)| target).sum();
    let mut before = 0;
    for (journal, target) in targets {
        fold_to(shared, &journal, tables, target, &|done| progress(before + done, total)).await?;
        before += target;
    }
    Ok(())
}

/// The sequence of the journal stream's last commit; zero if it has none. Its last message need not be a commit.
async fn last_commit(shared: &Shared, journal: &JournalId) -> Result<u64, Failure> {
    let mut sequence = shared.journal.head(journal).await?.sequence;
    while sequence > 0 && shared.journal.hash_at(journal, sequence).await?.is_none() {
        sequence -= 1;
    }
    Ok(sequence)
}

async fn fold_to(
    shared: &Shared,
    journal: &JournalId,
    tables: &[(&dyn Model, String)],
    target: u64,
    done: &(impl Fn(u64) + Send + Sync),
) -> Result<(), Failure> {
    let store = shared.stores.store.as_ref();
    let mut reached = u64::MAX;
    for (_, table) in tables {
        reached = reached.min(tables::checkpoint(store, table, journal)?.map_or(0, |seen| seen.sequence));
    }
    done(reached.min(target));
    if reached >= target {
        return Ok(());
    }
    let mut feed = shared.journal.follow(journal, reached).await?;
    while reached < target {
        let commits = feed.next(BATCH_COMMITS_MAX).await?;
        let mut folds = Vec::with_capacity(tables.len());
        for (model, table) in tables {
            folds.push(model.fold(&shared.stores, table.clone(), journal)?);
        }
        for commit in commits.iter().filter(|commit| commit.position.sequence <= target) {
            take(&mut folds, commit).await?;
        }
        for fold in &mut folds {
            fold.flush().await?;
        }
        reached = commits.last().map_or(reached, |last| last.position.sequence);
        done(reached.min(target));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
