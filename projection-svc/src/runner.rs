//! Follows every journal stream of a tenant and keeps the read models up to date: one task a journal stream.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use domain::history::{JournalId, Position};
use domain::ids::{StudyId, TenantId};
use domain::port::{Cells, Failure, Journal, Progress, ReadStore};
use serde::Serialize;
use tokio::sync::{Notify, RwLock, watch};
use tokio::task::JoinHandle;

use crate::check;
use crate::fold::{Model, Stores};
use crate::tables;

mod follow;
mod opener;

pub(crate) use follow::take;

/// Keeps one tenant's read models up to date. Ends its tasks when it is dropped.
pub struct Runner {
    pub(crate) shared: Arc<Shared>,
    tasks: Mutex<BTreeMap<Option<StudyId>, JoinHandle<()>>>,
    /// Opens the store again if its disk failed.
    opener: Mutex<Option<JoinHandle<()>>>,
}

/// What the tasks share.
pub(crate) struct Shared {
    pub(crate) tenant: TenantId,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) stores: Stores,
    pub(crate) models: Vec<Box<dyn Model>>,
    /// Read: to take commits into the tables that serve. Write: to let others serve.
    pub(crate) gate: RwLock<()>,
    /// One rebuild at a time.
    pub(crate) rebuilding: tokio::sync::Mutex<()>,
    /// Counts how often others may have written into the tables that serve, or let others serve.
    pub(crate) epoch: AtomicU64,
    /// How often the store was opened again: whoever began before must begin again.
    opened: watch::Sender<u64>,
    reached: Mutex<BTreeMap<Option<StudyId>, watch::Sender<Reached>>>,
    /// Told when somebody waits for what has not been taken in.
    hurry: Mutex<BTreeMap<Option<StudyId>, Arc<Notify>>>,
}

/// How far a journal stream is taken in, and whether it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reached {
    position: Position,
    state: JournalState,
    /// How many messages are known to come after the position.
    behind: u64,
}

/// What a journal stream's task is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum JournalState {
    /// It follows.
    Following,
    /// It tries again: something does not answer.
    Retrying {
        /// What went wrong.
        reason: String,
    },
    /// It gave up: what it read is damaged.
    Stopped {
        /// What is damaged.
        reason: String,
    },
}

/// One line of the health report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JournalHealth {
    /// The study; none for the tenant's own journal stream.
    pub study: Option<StudyId>,
    /// The last position that every read model has taken in.
    pub reflected: String,
    /// How many messages are known to come after it.
    pub behind: u64,
    /// What its task is doing.
    #[serde(flatten)]
    pub state: JournalState,
}

/// How one read model stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelHealth {
    /// Its name.
    pub projection: &'static str,
    /// The version of its rows.
    pub version: u32,
    /// Which of its tables serves: it grows with every rebuild.
    pub generation: u64,
    /// The last commit of each journal stream that changed it: the study (none: the tenant's own) and the sequence.
    pub reached: Vec<(Option<StudyId>, u64)>,
}

impl Runner {
    /// Prepares the tables: a projection that is new or has a new version begins an empty one. Follows nothing yet.
    ///
    /// # Errors
    /// What the store says.
    pub fn open(
        tenant: TenantId,
        journal: Arc<dyn Journal>,
        cells: Arc<dyn Cells>,
        store: Arc<dyn ReadStore>,
    ) -> Result<Self, Failure> {
        let models = crate::projections();
        for model in &models {
            tables::prepare(store.as_ref(), model.name(), model.version())?;
        }
        let shared = Shared {
            tenant,
            journal,
            stores: Stores { store, cells },
            models,
            gate: RwLock::new(()),
            rebuilding: tokio::sync::Mutex::new(()),
            epoch: AtomicU64::new(0),
            opened: watch::Sender::new(0),
            reached: Mutex::new(BTreeMap::new()),
            hurry: Mutex::new(BTreeMap::new()),
        };
        Ok(Self { shared: Arc::new(shared), tasks: Mutex::default(), opener: Mutex::default() })
    }

    /// Checks every journal stream against what the read models have seen, then follows them all.
    ///
    /// # Errors
    /// A journal that has lost commits is `Damaged`, and nothing is followed.
    pub async fn start(&self) -> Result<(), Failure> {
        self.check().await?;
        for journal in self.shared.journal.journals().await? {
            self.add_journal(journal).await?;
        }
        let opener = tokio::spawn(opener::keep_open(Arc::clone(&self.shared)));
        if let Some(earlier) = lock(&self.opener).replace(opener) {
            earlier.abort();
        }
        Ok(())
    }

    /// Whether the journal still holds every commit that the read models have seen.
    ///
    /// # Errors
    /// `Damaged`, with what is lost and what to do.
    pub async fn check(&self) -> Result<(), Failure> {
        check::check(&self.shared).await
    }

    /// Follows one more journal stream, such as that of a new study. One that is followed already stays as it is.
    ///
    /// # Errors
    /// What the journal says; `Damaged` if it has lost commits.
    pub async fn add_journal(&self, journal: JournalId) -> Result<(), Failure> {
        check::check_one(&self.shared, &journal).await?;
        let head = self.shared.journal.head(&journal).await?;
        let sequence = self.shared.checkpoint(&journal)?;
        let mut tasks = lock(&self.tasks);
        if tasks.get(&journal.study).is_some_and(|task| !task.is_finished()) {
            return Ok(());
        }
        let position = Position { study: journal.study.clone(), incarnation: head.incarnation, sequence };
        let behind = head.sequence.saturating_sub(sequence);
        let reached = Reached { position, state: JournalState::Following, behind };
        let sender = watch::Sender::new(reached);
        lock(&self.shared.reached).insert(journal.study.clone(), sender.clone());
        let study = journal.study.clone();
        let task = tokio::spawn(follow::follow(Arc::clone(&self.shared), journal, sender));
        tasks.insert(study, task);
        Ok(())
    }

    /// How every journal stream fares.
    pub fn health(&self) -> Vec<JournalHealth> {
        let (tasks, reached) = (lock(&self.tasks), lock(&self.shared.reached));
        let line = |(study, sender): (&Option<StudyId>, &watch::Sender<Reached>)| {
            let Reached { position, state, behind } = sender.borrow().clone();
            let state = match state {
                JournalState::Following if tasks.get(study).is_none_or(JoinHandle::is_finished) => {
                    JournalState::Stopped { reason: "its task has ended".to_owned() }
                }
                state => state,
            };
            JournalHealth { study: study.clone(), reflected: position.to_string(), behind, state }
        };
        reached.iter().map(line).collect()
    }

    /// How every read model stands.
    ///
    /// # Errors
    /// What the store says.
    pub fn models(&self) -> Result<Vec<ModelHealth>, Failure> {
        let store = self.shared.stores.store.as_ref();
        let one = |model: &dyn Model| {
            let live = tables::live(store, model.name())?;
            let table = tables::live_table(store, model.name())?;
            let reached = tables::checkpoints(store, &table)?.into_iter();
            Ok(ModelHealth {
                projection: model.name(),
                version: model.version(),
                generation: live.map_or(0, |live| live.generation),
                reached: reached.map(|(study, checkpoint)| (study, checkpoint.sequence)).collect(),
            })
        };
        self.shared.models.iter().map(|model| one(model.as_ref())).collect()
    }

    /// Ends every task. A batch that is half taken in is taken in again by the next runner.
    pub async fn stop(&self) {
        if let Some(opener) = lock(&self.opener).take() {
            opener.abort();
        }
        let tasks = std::mem::take(&mut *lock(&self.tasks));
        for task in tasks.values() {
            task.abort();
        }
        for (_, task) in tasks {
            // Aborted on purpose: how it ended says nothing.
            let _ = task.await;
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if let Some(opener) = lock(&self.opener).take() {
            opener.abort();
        }
        for task in lock(&self.tasks).values() {
            task.abort();
        }
    }
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Runner({})", self.shared.tenant)
    }
}

#[async_trait]
impl Progress for Runner {
    async fn wait_for(&self, position: &Position, patience: Duration) -> Result<bool, Failure> {
        let mut reached = match lock(&self.shared.reached).get(&position.study) {
            Some(sender) => sender.subscribe(),
            None => return Err(Failure::missing("the journal stream of this position")),
        };
        if reached.borrow().position.incarnation != position.incarnation {
            return Err(Failure::missing("this incarnation of the journal stream: it was restored since"));
        }
        let settled = |reached: &Reached| {
            reached.position.sequence >= position.sequence || matches!(reached.state, JournalState::Stopped { .. })
        };
        if !settled(&reached.borrow()) {
            self.shared.hurry(&position.study).notify_one();
        }
        match tokio::time::timeout(patience, reached.wait_for(settled)).await {
            Ok(Ok(reached)) => Ok(reached.position.sequence >= position.sequence),
            Ok(Err(_)) | Err(_) => Ok(false),
        }
    }

    fn reflected(&self) -> Vec<Position> {
        lock(&self.shared.reached).values().map(|sender| sender.borrow().position.clone()).collect()
    }
}

impl Shared {
    /// Where to say that somebody waits for a journal stream.
    fn hurry(&self, study: &Option<StudyId>) -> Arc<Notify> {
        Arc::clone(lock(&self.hurry).entry(study.clone()).or_default())
    }

    /// The least that every read model has taken in of a journal stream.
    pub(crate) fn checkpoint(&self, journal: &JournalId) -> Result<u64, Failure> {
        let store = self.stores.store.as_ref();
        let mut least = u64::MAX;
        for model in &self.models {
            let table = tables::live_table(store, model.name())?;
            let sequence = tables::checkpoint(store, &table, journal)?.map_or(0, |checkpoint| checkpoint.sequence);
            least = least.min(sequence);
        }
        Ok(least)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing that can panic runs under this lock")
}

#[cfg(test)]
mod tests;
