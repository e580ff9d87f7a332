//! A tree in memory, people who share nodes and buckets, and a world that fails on demand.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use domain::history::DataSubject;
use domain::ids::TenantId;
use domain::port::{Destruction, Failure, HeadTag, Kms, KmsDescription, KmsError, OffSite, SwapError, Target};
use domain::scope::{Part, Scope};
use uuid::Uuid;

use crate::chance::LeaseClock;
use crate::keys::kms::MemoryKms;
use crate::keys::memory::MemoryNodes;
use crate::keys::store::BucketPlace;
use crate::keys::{
    Key, KeyError, KeyId, KeyState, KeyTree, NodeStore, NodeWrite, NodeWriteError, Options, PersonKey, StoredNode,
    TreeCopy,
};
use crate::off_site::MemoryOffSite;

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
    /// Where the tree is shipped to, if it is.
    pub(super) off_site: Option<Arc<MemoryOffSite>>,
    pub(super) tree: KeyTree,
}

/// A world whose tree is shipped off-site from the beginning.
pub(super) async fn shipped_world() -> World {
    static TEMPLATE: OnceLock<(MemoryNodes, MemoryKms, MemoryOffSite)> = OnceLock::new();
    if TEMPLATE.get().is_none() {
        let mut world = world().await;
        let off_site = Arc::new(MemoryOffSite::default());
        world.off_site = Some(off_site.clone());
        world.restart();
        world.tree.attach().await.expect("shipped");
        drop(TEMPLATE.set((world.nodes.fork(), world.kms.fork(), off_site.fork())));
    }
    let (nodes, kms, off_site) = TEMPLATE.get().expect("set just now");
    World::over(nodes.fork(), kms.fork(), Some(off_site.fork()))
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
    World::over(nodes.fork(), kms.fork(), None)
}

pub(super) fn tree_on(nodes: Arc<dyn NodeStore>, kms: Arc<dyn Kms>, options: Options) -> KeyTree {
    KeyTree::new(tenant(), nodes, kms, options)
}

impl World {
    fn over(nodes: MemoryNodes, kms: MemoryKms, off_site: Option<MemoryOffSite>) -> Self {
        let (nodes, kms, clock) = (Arc::new(nodes), Arc::new(kms), Arc::new(ManualClock::default()));
        let tree = tree_on(nodes.clone(), kms.clone(), Options::default());
        let mut world = Self { nodes, kms, clock, off_site: off_site.map(Arc::new), tree };
        world.restart();
        world
    }

    pub(super) fn fork(&self) -> Self {
        Self::over(self.nodes.fork(), self.kms.fork(), self.off_site.as_ref().map(|off_site| off_site.fork()))
    }

    /// The same KMS and off-site target, beside the store of `other`.
    pub(super) fn elsewhere_sharing(&self, other: &Self) -> Self {
        let mut world = Self { nodes: other.nodes.clone(), ..self.elsewhere() };
        world.restart();
        world
    }

    /// The same KMS and off-site target, beside an empty store.
    pub(super) fn elsewhere(&self) -> Self {
        let (kms, clock, off_site) = (self.kms.clone(), self.clock.clone(), self.off_site.clone());
        let mut world = Self { nodes: Arc::default(), kms, clock, off_site, tree: self.another_process() };
        world.restart();
        world
    }

    /// A process that dies after `steps`.
    pub(super) fn doomed(&self, steps: i64, after: bool) -> (KeyTree, Arc<Fuse>) {
        self.fused(Fuse::new(steps, after))
    }

    /// A process that depends on a fuse in all that it does.
    pub(super) fn fused(&self, fuse: Arc<Fuse>) -> (KeyTree, Arc<Fuse>) {
        let nodes = Fused(self.nodes.clone(), fuse.clone());
        let kms = Fused(self.kms.clone(), fuse.clone());
        let off_site =
            self.off_site.clone().map(|off_site| Arc::new(Fused(off_site, fuse.clone())) as Arc<dyn OffSite>);
        let options = Options { off_site, ..Options::default() };
        (tree_on(Arc::new(nodes), Arc::new(kms), options), fuse)
    }

    /// The same world after a restart: nothing in memory.
    pub(super) fn restart(&mut self) {
        self.tree = self.another_process();
    }

    pub(super) fn another_process(&self) -> KeyTree {
        tree_on(self.nodes.clone(), self.kms.clone(), self.options())
    }

    pub(super) fn options(&self) -> Options {
        let off_site = self.off_site.clone().map(|off_site| off_site as Arc<dyn OffSite>);
        Options { clock: self.clock.clone(), off_site, ..Options::default() }
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
    /// If there is one, each step lets others go first, a few times at random.
    shuffle: Option<Mutex<u64>>,
}

impl Fuse {
    pub(super) fn new(steps: i64, after: bool) -> Arc<Self> {
        Arc::new(Self { left: AtomicI64::new(steps), after, shuffle: None })
    }

    /// Breaks after so many steps, before or after each of which others may come first.
    pub(super) fn shuffled(steps: i64, seed: u64) -> Arc<Self> {
        let shuffle = Some(Mutex::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1));
        Arc::new(Self { left: AtomicI64::new(steps), after: seed.is_multiple_of(2), shuffle })
    }

    async fn let_others_go(&self) {
        let turns = self.shuffle.as_ref().map_or(0, |state| {
            let mut state = state.lock().expect("not poisoned");
            // xorshift64
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            // Now and then a process stands still for as long as others need for all that they do.
            match *state % 16 {
                0 => 60,
                short => short % 4,
            }
        });
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
    }

    pub(super) fn has_blown(&self) -> bool {
        self.left.load(Ordering::SeqCst) < 0
    }

    pub(super) fn blow(&self) {
        self.left.store(-1, Ordering::SeqCst);
    }

    async fn step<T, E: From<Failure>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        self.let_others_go().await;
        let left = self.left.fetch_sub(1, Ordering::SeqCst);
        if left > 0 {
            let done = work.await;
            self.let_others_go().await;
            return done;
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
    async fn changed_since(&self, after: u64) -> Result<Vec<StoredNode>, Failure> {
        self.1.step(self.0.changed_since(after)).await
    }
    async fn head(&self) -> Result<u64, Failure> {
        self.1.step(self.0.head()).await
    }
}

#[async_trait]
impl OffSite for Fused<MemoryOffSite> {
    async fn head(&self) -> Result<Option<(Vec<u8>, HeadTag)>, Failure> {
        self.1.step(self.0.head()).await
    }
    async fn swap_head(&self, expected: Option<&HeadTag>, bytes: &[u8]) -> Result<HeadTag, SwapError> {
        self.1.step(self.0.swap_head(expected, bytes)).await
    }
    async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        self.1.step(self.0.put(name, bytes)).await
    }
    async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        self.1.step(self.0.get(name)).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<String>, Failure> {
        self.1.step(self.0.list(prefix)).await
    }
    fn describe(&self) -> String {
        self.0.describe()
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
    async fn changed_since(&self, after: u64) -> Result<Vec<StoredNode>, Failure> {
        self.reads.lock().expect("not poisoned").push("changes".to_owned());
        self.nodes.changed_since(after).await
    }
    async fn head(&self) -> Result<u64, Failure> {
        self.nodes.head().await
    }
}
