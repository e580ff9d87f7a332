//! A tenant whose world is in memory.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::history::{Commit, DataSubject, JournalId};
use domain::port::{ReadStore, Tenant};
use domain::scope::{Extent, OneValue, Scope};
use uuid::Uuid;

use super::{FakeCells, FakeJournal, FakeKeys, MemoryStore, NoErasures, Story, tenant};
use crate::fold::{Stores, model};
use crate::projection::Projection;
use crate::runner::Runner;
use crate::tables;

pub struct World {
    pub keys: Arc<FakeKeys>,
    pub cells: Arc<FakeCells>,
    pub journal: FakeJournal,
    pub store: Arc<MemoryStore>,
    pub tenant: Tenant,
    pub runner: Arc<Runner>,
    story: Story,
}

impl World {
    /// A tenant to whom all this happened, and whose read models have seen nothing of it.
    pub fn told(story: &Story) -> Self {
        let keys = Arc::new(FakeKeys::default());
        let journal = FakeJournal::new(Arc::clone(&keys));
        journal.tell(&story.commits);
        Self::with_store(story, keys, journal, Arc::new(MemoryStore::default()))
    }

    /// A tenant to whom all this happened, with every read model up to date.
    pub async fn folded(story: &Story) -> Self {
        let world = Self::told(story);
        for model in crate::projections() {
            let table = tables::live_table(world.store.as_ref(), model.name()).expect("was prepared");
            let mut fold = model.fold(&world.stores(), table, &story.journal()).expect("reads");
            for commit in &story.commits {
                fold.take(commit).await.expect("folds");
            }
            fold.flush().await.expect("writes");
        }
        world
    }

    /// The same world with another read store: what a process finds that starts again.
    pub fn restarted(&self, store: Arc<MemoryStore>) -> Self {
        Self::with_store(&self.story, Arc::clone(&self.keys), self.journal.clone(), store)
    }

    fn with_store(story: &Story, keys: Arc<FakeKeys>, journal: FakeJournal, store: Arc<MemoryStore>) -> Self {
        let cells = Arc::new(FakeCells::new(Arc::clone(&keys)));
        let runner = Runner::open(tenant(), Arc::new(journal.clone()), cells.clone(), store.clone()).expect("opens");
        let runner = Arc::new(runner);
        let tenant = Tenant {
            id: tenant(),
            journal: Arc::new(journal.clone()),
            keys: keys.clone(),
            cells: cells.clone(),
            store: store.clone(),
            progress: runner.clone(),
            ledger: Arc::new(NoErasures),
            certifier: Arc::new(NoErasures),
            exports: Arc::new(NoErasures),
        };
        Self { keys, cells, journal, store, tenant, runner, story: story.clone() }
    }

    /// Folds a story into one projection. Holds every projection to three laws on the way: a commit that is delivered
    /// twice counts once, how commits fall into batches does not matter, and a row reads back as it was written.
    pub async fn of<P: Projection>(story: &Story) -> Self {
        let world = Self::told(story);
        world.fold::<P>(&story.commits, 1).await;
        let once = world.store.dump();
        world.fold::<P>(&story.commits, usize::MAX).await;
        assert_eq!(world.store.dump(), once, "a commit that is delivered twice counts once");
        world.assert_as_rebuilt::<P>("how commits fall into batches does not matter").await;
        world
    }

    /// Forgets scopes of a participant: fences the keys, folds the markers. What is left must be what a rebuild from
    /// nothing would give, and no sealed cell of an erased scope may stay behind.
    pub async fn erase<P: Projection>(&mut self, n: u128, scopes: &[Scope]) {
        self.forget::<P>(n, Extent::of_scopes(scopes.iter().copied())).await;
    }

    /// The same of single values.
    pub async fn redact<P: Projection>(&mut self, n: u128, values: &[OneValue]) {
        self.forget::<P>(n, Extent::of(&[], values)).await;
    }

    async fn forget<P: Projection>(&mut self, n: u128, extent: Extent) {
        let person = DataSubject(Uuid::from_u128(n));
        self.keys.erase(person, &extent);
        let before = self.story.commits.len();
        self.story.fenced(n, &extent);
        let markers = self.story.commits[before..].to_vec();
        self.journal.tell(&markers);
        self.fold::<P>(&markers, 1).await;
        self.assert_as_rebuilt::<P>("what an erasure leaves is what a rebuild gives").await;
        self.assert_no_cells::<P>(person, &extent);
    }

    async fn fold<P: Projection>(&self, commits: &[Commit], batch: usize) {
        let live = tables::live_table(self.store.as_ref(), P::NAME).expect("was prepared");
        self.fold_into::<P>(&live, commits, batch).await;
    }

    async fn fold_into<P: Projection>(&self, table: &str, commits: &[Commit], batch: usize) {
        let journals: BTreeSet<JournalId> = commits.iter().map(|c| c.header.stream.journal.clone()).collect();
        for journal in journals {
            let of_journal: Vec<_> = commits.iter().filter(|c| c.header.stream.journal == journal).collect();
            for commits in of_journal.chunks(batch.min(of_journal.len())) {
                let mut fold = model::<P>().fold(&self.stores(), table.to_owned(), &journal).expect("reads");
                for commit in commits {
                    fold.take(commit).await.expect("folds");
                }
                fold.flush().await.expect("writes");
            }
        }
    }

    /// As a rebuild does it: rows are written often, and stay in memory.
    async fn rebuild_into<P: Projection>(&self, table: &str, commits: &[Commit]) {
        let journals: BTreeSet<JournalId> = commits.iter().map(|c| c.header.stream.journal.clone()).collect();
        for journal in journals {
            let mut fold = model::<P>().fold(&self.stores(), table.to_owned(), &journal).expect("reads");
            for commit in commits.iter().filter(|c| c.header.stream.journal == journal) {
                fold.take(commit).await.expect("folds");
                fold.flush().await.expect("writes");
            }
        }
    }

    async fn assert_as_rebuilt<P: Projection>(&self, law: &str) {
        use domain::port::Journal as _;
        let mut commits = Vec::new();
        for journal in self.journal.journals().await.expect("reads") {
            let head = self.journal.head(&journal).await.expect("reads").sequence;
            let mut feed = self.journal.follow(&journal, 0).await.expect("follows");
            let mut read = feed.next(usize::MAX).await.expect("reads");
            assert_eq!(read.last().map(|last| last.position.sequence), Some(head));
            read.iter_mut().for_each(Commit::keep_decoded);
            commits.extend(read);
        }
        self.rebuild_into::<P>("rebuilt", &commits).await;
        let live = tables::live_table(self.store.as_ref(), P::NAME).expect("was prepared");
        let comparison = model::<P>().compare(&self.stores(), &live, "rebuilt").await.expect("compares");
        assert_eq!(comparison.named, Vec::<String>::new(), "{law}");
        assert_eq!(comparison.differences, 0, "{law}");
        self.store.drop_table("rebuilt").expect("drops");
    }

    fn assert_no_cells<P: Projection>(&self, person: DataSubject, extent: &Extent) {
        let live = tables::live_table(self.store.as_ref(), P::NAME).expect("was prepared");
        for (key, value) in self.store.scan(&live, b"", None, usize::MAX).expect("reads") {
            let about = crate::row::RowKey::parse(&key).and_then(|key| key.person);
            if about == Some(person) {
                let cells = crate::frame::decode(&value).expect("reads").cells;
                assert!(cells.iter().all(|((scope, part), _)| !extent.covers(*scope, part)), "a cell stayed behind");
            }
        }
    }

    fn stores(&self) -> Stores {
        Stores { store: self.store.clone(), cells: self.cells.clone() }
    }
}
