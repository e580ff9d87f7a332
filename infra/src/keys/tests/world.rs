//! A tree in memory, people who share nodes and buckets, and a world that fails on demand.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use domain::history::DataSubject;
use domain::ids::TenantId;
use domain::port::{Destruction, Failure, Kms, KmsDescription, KmsError, Target};
use domain::scope::{Part, Scope};
use uuid::Uuid;

use crate::chance::LeaseClock;
use crate::keys::kms::MemoryKms;
use crate::keys::memory::MemoryNodes;
use crate::keys::store::BucketPlace;
use crate::keys::{
    Key, KeyError, KeyId, KeyState, KeyTree, NodeStore, NodeWrite, NodeWriteError, Options, PersonKey, TreeCopy,
};

pub(super) const CLINICAL: Scope = Scope::HealthClinical;
pub(super) const CONTACT: Scope = Scope::IdentityContact;

pub(super) fn tenant() -> TenantId {
    TenantId::from_str("acme").expect("valid")
}

/// Zero to two share a bucket, three shares their node, four and five are elsewhere.
pub(super) fn person(index: usize) -> DataSubject {
    static PEOPLE: LazyLock<Vec<DataSubject>> = LazyLock::new(|| {
        let first = DataSubject(Uuid::from_u128(1));
        let home = BucketPlace::of(first);
        let others = || (2..).map(|number| DataSubject(Uuid::from_u128(number)));
        let mut people = vec![first];
        people.extend(others().filter(|person| BucketPlace::of(*person) == home).take(2));
        people.extend(others().find(|person| BucketPlace::of(*person).node == home.node && !people.contains(person)));
        people.extend(others().filter(|person| BucketPlace::of(*person).node != home.node).take(2));
        people
    });
    PEOPLE[index]
}

pub(super) fn all_of(index: usize, scope: Scope) -> Target {
    Target { data_subject: person(index), scope, part: None }
}

/// Time that passes when told to.
#[derive(Default)]
pub(super) struct ManualClock(AtomicU64);

impl ManualClock {
    pub(super) fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl LeaseClock for ManualClock {
    fn passed(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::SeqCst))
    }
}

/// What survives a process: nodes, roots, and what an attacker may have kept.
pub(super) struct World {
    pub(super) nodes: Arc<MemoryNodes>,
    pub(super) kms: Arc<MemoryKms>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) tree: KeyTree,
}

/// A world with a new tree. It is created once and copied, because 65 792 keys take a while.
pub(super) async fn world() -> World {
    static TEMPLATE: OnceLock<(MemoryNodes, MemoryKms)> = OnceLock::new();
    if TEMPLATE.get().is_none() {
        let (nodes, kms) = (Arc::new(MemoryNodes::default()), Arc::new(MemoryKms::new(tenant())));
        tree_on(nodes.clone(), kms.clone(), Options::default()).create().await.expect("a new tree");
        // Another test may have been faster; then its world serves as well.
        drop(TEMPLATE.set((nodes.fork(), kms.fork())));
    }
    let (nodes, kms) = TEMPLATE.get().expect("set just now");
    World::over(nodes.fork(), kms.fork())
}

pub(super) fn tree_on(nodes: Arc<dyn NodeStore>, kms: Arc<dyn Kms>, options: Options) -> KeyTree {
    KeyTree::new(tenant(), nodes, kms, options)
}

impl World {
    fn over(nodes: MemoryNodes, kms: MemoryKms) -> Self {
        let (nodes, kms, clock) = (Arc::new(nodes), Arc::new(kms), Arc::new(ManualClock::default()));
        let options = Options { clock: clock.clone(), ..Options::default() };
        let tree = tree_on(nodes.clone(), kms.clone(), options);
        Self { nodes, kms, clock, tree }
    }

    pub(super) fn fork(&self) -> Self {
        Self::over(self.nodes.fork(), self.kms.fork())
    }

    /// The same world after a restart: nothing in memory.
    pub(super) fn restart(&mut self) {
        self.tree = self.another_process();
    }

    pub(super) fn another_process(&self) -> KeyTree {
        tree_on(self.nodes.clone(), self.kms.clone(), self.options())
    }

    pub(super) fn options(&self) -> Options {
        Options { clock: self.clock.clone(), ..Options::default() }
    }

    pub(super) fn copy(&self) -> TreeCopy {
        self.nodes.copy()
    }

    pub(super) async fn roots(&self) -> usize {
        self.kms.versions().await.expect("memory answers").len()
    }
}

/// The key of a person's whole scope, created if need be.
pub(super) async fn key(tree: &KeyTree, index: usize, scope: Scope) -> Result<(PersonKey, Key), KeyError> {
    let mut keys = tree.current_or_create(person(index), &[(scope, Part::all())]).await?;
    Ok(keys.remove(0))
}

/// The state of a key, its bytes if it is known.
pub(super) async fn look(tree: &KeyTree, id: &PersonKey) -> Result<Seen, Failure> {
    let states = tree.get(&[&KeyId::Person(id.clone())]).await?;
    Ok(match &states[0] {
        KeyState::Known(key) => Seen::Known(*key.expose()),
        KeyState::Erased => Seen::Erased,
        KeyState::Unknown => Seen::Unknown,
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    Known([u8; 32]),
    Erased,
    Unknown,
}

/// Breaks the world at one step and keeps it broken: the process is dead from there on.
pub(super) struct Fuse {
    left: AtomicI64,
    /// Whether the step at which it breaks is still carried out, its answer lost.
    after: bool,
}

impl Fuse {
    pub(super) fn new(steps: i64, after: bool) -> Arc<Self> {
        Arc::new(Self { left: AtomicI64::new(steps), after })
    }

    pub(super) fn has_blown(&self) -> bool {
        self.left.load(Ordering::SeqCst) < 0
    }

    pub(super) fn blow(&self) {
        self.left.store(-1, Ordering::SeqCst);
    }

    async fn step<T, E: From<Failure>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let left = self.left.fetch_sub(1, Ordering::SeqCst);
        if left > 0 {
            return work.await;
        }
        if left == 0 && self.after {
            drop(work.await);
        }
        Err(Failure::unavailable("the world", "it ended at this step").into())
    }
}

/// A store and a KMS that share a fuse.
pub(super) struct Fused<T>(pub(super) Arc<T>, pub(super) Arc<Fuse>);

#[async_trait]
impl NodeStore for Fused<MemoryNodes> {
    async fn read(&self, place: &str) -> Result<Option<(Vec<u8>, u64)>, Failure> {
        self.1.step(self.0.read(place)).await
    }
    async fn write(&self, writes: Vec<NodeWrite>) -> Result<Vec<u64>, NodeWriteError> {
        self.1.step(self.0.write(writes)).await
    }
    async fn head(&self) -> Result<u64, Failure> {
        self.1.step(self.0.head()).await
    }
}

#[async_trait]
impl Kms for Fused<MemoryKms> {
    async fn create_root(&self, version: u64) -> Result<(), Failure> {
        self.1.step(self.0.create_root(version)).await
    }
    async fn wrap(&self, version: u64, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, KmsError> {
        self.1.step(self.0.wrap(version, context, plain)).await
    }
    async fn unwrap(&self, version: u64, context: &[u8], wrapped: &[u8]) -> Result<Vec<u8>, KmsError> {
        self.1.step(self.0.unwrap(version, context, wrapped)).await
    }
    async fn versions(&self) -> Result<BTreeSet<u64>, Failure> {
        self.1.step(self.0.versions()).await
    }
    async fn destroy(&self, version: u64) -> Result<Destruction, Failure> {
        self.1.step(self.0.destroy(version)).await
    }
    fn describe(&self) -> KmsDescription {
        self.0.describe()
    }
}

/// A store that counts, and whose writes wait while it is held.
pub(super) struct Watched {
    nodes: Arc<MemoryNodes>,
    pub(super) reads: Mutex<Vec<String>>,
    pub(super) writes: AtomicU64,
    pub(super) gate: tokio::sync::Semaphore,
}

impl Watched {
    /// Every write takes one of `permits`, for good.
    pub(super) fn new(nodes: Arc<MemoryNodes>, permits: usize) -> Arc<Self> {
        let gate = tokio::sync::Semaphore::new(permits);
        Arc::new(Self { nodes, reads: Mutex::default(), writes: AtomicU64::new(0), gate })
    }

    pub(super) fn take_reads(&self) -> Vec<String> {
        std::mem::take(&mut self.reads.lock().expect("not poisoned"))
    }

    pub(super) fn count_writes(&self) -> u64 {
        self.writes.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl NodeStore for Watched {
    async fn read(&self, place: &str) -> Result<Option<(Vec<u8>, u64)>, Failure> {
        self.reads.lock().expect("not poisoned").push(place.to_owned());
        self.nodes.read(place).await
    }
    async fn write(&self, writes: Vec<NodeWrite>) -> Result<Vec<u64>, NodeWriteError> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.expect("never closed").forget();
        self.nodes.write(writes).await
    }
    async fn head(&self) -> Result<u64, Failure> {
        self.nodes.head().await
    }
}
