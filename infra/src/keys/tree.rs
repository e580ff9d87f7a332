//! The tree: created once, read through the cache.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::ids::TenantId;
use domain::port::{Failure, Kms, KmsError, OffSite};
use domain::scope::Scope;

use super::bucket::Bucket;
use super::cache::Cache;
use super::insert::Queue;
use super::key::{Key, KeyState};
use super::key_id::KeyId;
use super::node::{Children, Node, TREE_VERSION, Top, TopFault};
use super::store::{BucketPlace, NodeStore, NodeWrite, NodeWriteError, Place};
use crate::chance::{LeaseClock, SystemLeaseClock};
use crate::frame::{Fault, encode};

/// So often a write begins anew because others wrote the same nodes.
pub(crate) const ATTEMPTS_MAX: usize = 16;

/// So often a walk from the top begins anew because the path did not open.
const WALKS_MAX: usize = 4;

/// How a tree behaves.
#[derive(Clone)]
pub struct Options {
    /// How long keys may be used from memory before the store is asked whether they still hold.
    pub lease: Duration,
    /// How long old roots live on after a shred is written, so that leases in *other* processes run out first: their
    /// lease and a margin. Zero when this process is the only one that opens this tenant's tree.
    pub settle: Duration,
    /// How many keys and fences are remembered at most.
    pub cached_keys: usize,
    /// Where the newest tree goes before an old root dies; none: this is the only copy.
    pub off_site: Option<Arc<dyn OffSite>>,
    /// Times the leases.
    pub clock: Arc<dyn LeaseClock>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(5),
            settle: Duration::ZERO,
            cached_keys: 200_000,
            off_site: None,
            clock: Arc::new(SystemLeaseClock::default()),
        }
    }
}

/// Why a key for new data cannot be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeyError {
    /// The scope is fenced.
    #[error("the scope {0} of this person is erased")]
    Erased(Scope),
    /// The world failed.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// The key tree of one tenant. One a process and tenant: two would undo each other's leases.
pub struct KeyTree {
    pub(super) tenant: TenantId,
    pub(super) store: Arc<dyn NodeStore>,
    pub(super) kms: Arc<dyn Kms>,
    pub(super) options: Options,
    cache: Mutex<Cache>,
    renewal: tokio::sync::Mutex<()>,
    /// Held by whoever writes: writers of one process need not run into each other's expectations.
    pub(super) writer: tokio::sync::Mutex<()>,
    pub(super) queue: Queue,
}

impl fmt::Debug for KeyTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyTree").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

/// Why a node could not be had: a fault may only mean that somebody re-keyed the path while we walked it.
pub(super) enum Walk {
    Moved(Failure),
    Failed(Failure),
}

/// How often a walk from the top has begun anew. A re-keying takes longer than a walk: who meets four in a row has
/// met damage.
#[derive(Default)]
pub(super) struct Walks(usize);

impl Walks {
    pub(super) fn again(&mut self, walk: Walk) -> Result<(), Failure> {
        self.0 += 1;
        match walk {
            Walk::Moved(_) if self.0 < WALKS_MAX => Ok(()),
            Walk::Moved(failure) | Walk::Failed(failure) => Err(failure),
        }
    }
}

impl From<Failure> for Walk {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl KeyTree {
    /// The tree of `tenant`. Reads nothing yet.
    pub fn new(tenant: TenantId, store: Arc<dyn NodeStore>, kms: Arc<dyn Kms>, options: Options) -> Self {
        Self {
            tenant,
            store,
            kms,
            options,
            cache: Mutex::default(),
            renewal: tokio::sync::Mutex::default(),
            writer: tokio::sync::Mutex::default(),
            queue: Queue::default(),
        }
    }

    /// Whose tree it is.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Creates the tree: top and all 256 nodes at once, so that a person's first key is one small write of one bucket.
    /// Part of provisioning, never of a start. If it was interrupted, call it again.
    ///
    /// # Errors
    /// A tree that exists already, or roots in the KMS although the store never began a tree: that is another
    /// tenant's KMS, or another store of this one, and a new tree would one day destroy the roots of the old.
    pub async fn create(&self) -> Result<(), Failure> {
        if self.store.read(&Place::Top.to_string()).await?.is_some() {
            return Err(Failure::damaged(self.name(), "it exists already; nothing was changed"));
        }
        let begun = self.store.read(&Place::Creating.to_string()).await?.is_some();
        let root = match self.kms.versions().await?.last() {
            Some(root) if begun => *root,
            Some(_) => {
                let detail =
                    "the KMS has roots of this tenant, and this store has no tree of it: is it the right store?";
                return Err(Failure::damaged(self.name(), detail));
            }
            None => {
                self.begin(begun).await?;
                self.kms.create_root().await?
            }
        };
        self.write_new_tree(root).await
    }

    /// Says in the store that the roots to come are this tree's.
    async fn begin(&self, begun: bool) -> Result<(), Failure> {
        if begun {
            return Ok(());
        }
        let bytes = encode(1, |e| e.u64(TREE_VERSION)?.ok());
        let write = NodeWrite { place: Place::Creating.to_string(), bytes, expected_sequence: 0 };
        self.store.write(vec![write]).await.map(drop).map_err(|error| self.write_failed(error))
    }

    async fn write_new_tree(&self, root: u64) -> Result<(), Failure> {
        let structure = BTreeMap::from([(1, Key::random())]);
        let top = Top { root, sequence: 0, structure, children: Children::random() };
        let write = |place: Place, bytes| NodeWrite { place: place.to_string(), bytes, expected_sequence: 0 };
        let mut writes: Vec<NodeWrite> = (0..=u8::MAX)
            .map(|node| {
                write(Place::Node(node), Node::seal(&Children::random(), &self.tenant, node, &top.children.key(node)))
            })
            .collect();
        let bytes = top.seal(&self.tenant, &*self.kms, &Key::random()).await.map_err(kms_failure)?;
        writes.push(write(Place::Top, bytes));
        let written = self.store.write(writes).await;
        self.forget();
        written.map(drop).map_err(|error| self.write_failed(error))
    }

    /// What the tree says about each of `ids`, in their order.
    ///
    /// # Errors
    /// `Unavailable` if the store or the KMS does not answer, `Damaged` if what it holds does not open, `Missing` if
    /// there is no tree or no root. A key that is erased or unknown is no error here.
    pub async fn get(&self, ids: &[&KeyId]) -> Result<Vec<KeyState>, Failure> {
        let mut states = Vec::with_capacity(ids.len());
        let mut last: Option<(BucketPlace, Arc<Bucket>)> = None;
        for id in ids {
            states.push(match id {
                KeyId::Tenant { generation } => {
                    let top = self.top().await?;
                    top.structure.get(generation).map_or(KeyState::Unknown, |key| KeyState::Known(key.clone()))
                }
                KeyId::Person(key) => {
                    let place = BucketPlace::of(key.data_subject);
                    let bucket = match last.take() {
                        Some((held, bucket)) if held == place => bucket,
                        _ => self.bucket(place).await?,
                    };
                    let state = bucket.state(key);
                    last = Some((place, bucket));
                    state
                }
            });
        }
        Ok(states)
    }

    /// The tenant's own key for new structure, with its generation.
    ///
    /// # Errors
    /// As [`KeyTree::get`].
    pub async fn structure_key(&self) -> Result<(u32, Key), Failure> {
        let top = self.top().await?;
        let newest = top.structure.last_key_value().map(|(generation, key)| (*generation, key.clone()));
        newest.ok_or_else(|| Failure::damaged(self.name(), "it holds no structure key"))
    }

    /// Forgets every key in memory.
    pub fn forget(&self) {
        self.cache().forget();
    }

    pub(super) fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn name(&self) -> String {
        format!("key tree of tenant {}", self.tenant)
    }

    pub(super) fn write_failed(&self, error: NodeWriteError) -> Failure {
        match error {
            NodeWriteError::Conflict => Failure::unavailable("key tree", "others keep writing the same nodes"),
            NodeWriteError::Failed(failure) => failure,
        }
    }

    /// Makes sure that what is remembered may be used: asks the store for its head if the lease is over.
    pub(super) async fn lease(&self) -> Result<(), Failure> {
        if self.cache().is_leased(self.options.clock.passed()) {
            return Ok(());
        }
        let _one_at_a_time = self.renewal.lock().await;
        // The lease counts from before the question: what is written after that is not covered by the answer.
        let now = self.options.clock.passed();
        if self.cache().is_leased(now) {
            return Ok(());
        }
        let epoch = self.cache().epoch();
        let head = self.store.head().await?;
        let mut cache = self.cache();
        if cache.epoch() == epoch {
            cache.renew(head, now + self.options.lease);
        }
        Ok(())
    }

    /// The top, from memory if a lease holds.
    pub(super) async fn top(&self) -> Result<Arc<Top>, Failure> {
        let mut walks = Walks::default();
        loop {
            self.lease().await?;
            match self.remembered_top().await {
                Ok(top) => return Ok(top),
                Err(walk) => self.walk_again(&mut walks, walk)?,
            }
        }
    }

    /// A bucket, from memory if a lease holds.
    pub(super) async fn bucket(&self, place: BucketPlace) -> Result<Arc<Bucket>, Failure> {
        let mut walks = Walks::default();
        loop {
            self.lease().await?;
            match self.remembered_bucket(place).await {
                Ok(bucket) => return Ok(bucket),
                Err(walk) => self.walk_again(&mut walks, walk)?,
            }
        }
    }

    /// The key that seals a bucket's next message.
    pub(super) async fn bucket_key(&self, place: BucketPlace) -> Result<Key, Failure> {
        let mut walks = Walks::default();
        loop {
            self.lease().await?;
            match self.remembered_node(place.node).await {
                Ok(node) => return Ok(node.children.key(place.bucket)),
                Err(walk) => self.walk_again(&mut walks, walk)?,
            }
        }
    }

    /// Begins the walk anew if the tree may only have moved beneath it.
    fn walk_again(&self, walks: &mut Walks, walk: Walk) -> Result<(), Failure> {
        walks.again(walk)?;
        self.forget();
        Ok(())
    }

    async fn remembered_top(&self) -> Result<Arc<Top>, Walk> {
        let (held, epoch) = self.look(|cache| cache.top());
        if let Some(top) = held {
            return Ok(top);
        }
        let top = Arc::new(self.read_top().await?);
        self.cache().remember_top(epoch, &top);
        Ok(top)
    }

    async fn remembered_node(&self, node: u8) -> Result<Arc<Node>, Walk> {
        let (held, epoch) = self.look(|cache| cache.node(node));
        if let Some(open) = held {
            return Ok(open);
        }
        let top = self.remembered_top().await?;
        let open = Arc::new(self.read_node(&top, node).await?);
        self.cache().remember_node(epoch, node, &open);
        Ok(open)
    }

    async fn remembered_bucket(&self, place: BucketPlace) -> Result<Arc<Bucket>, Walk> {
        let (held, epoch) = self.look(|cache| cache.bucket(place));
        if let Some(bucket) = held {
            return Ok(bucket);
        }
        let node = self.remembered_node(place.node).await?;
        let bucket = Arc::new(self.read_bucket(&node, place).await?);
        self.cache().remember_bucket(epoch, place, &bucket, self.options.cached_keys);
        Ok(bucket)
    }

    fn look<T>(&self, find: impl FnOnce(&mut Cache) -> T) -> (T, u64) {
        let mut cache = self.cache();
        let epoch = cache.epoch();
        (find(&mut cache), epoch)
    }

    /// The top as the store has it now.
    pub(super) async fn read_top(&self) -> Result<Top, Walk> {
        let Some((bytes, sequence)) = self.store.read(&Place::Top.to_string()).await? else {
            return Err(Failure::missing(format!("{}: it was never created in this store", self.name())).into());
        };
        Top::open(&self.tenant, &*self.kms, &bytes, sequence).await.map_err(|fault| match fault {
            TopFault::Fault(fault) => Walk::Moved(self.damaged(Place::Top, fault)),
            TopFault::Kms(KmsError::Failed(failure)) => Walk::Failed(failure),
            // A shred may have replaced the root between reading the node and asking the KMS.
            TopFault::Kms(error @ KmsError::NoSuchVersion(_)) => Walk::Moved(kms_failure(error)),
        })
    }

    /// A node as the store has it now, if `top` is its parent still.
    pub(super) async fn read_node(&self, top: &Top, node: u8) -> Result<Node, Walk> {
        let place = Place::Node(node);
        let Some((bytes, sequence)) = self.store.read(&place.to_string()).await? else {
            return Err(Failure::missing(format!("{place} of the {}", self.name())).into());
        };
        Node::open(&self.tenant, node, &top.children.key(node), &bytes, sequence)
            .map_err(|fault| Walk::Moved(self.damaged(place, fault)))
    }

    /// A bucket as the store has it now, if `node` is its parent still. Never written is empty.
    pub(super) async fn read_bucket(&self, node: &Node, place: BucketPlace) -> Result<Bucket, Walk> {
        let Some((bytes, sequence)) = self.store.read(&Place::Bucket(place).to_string()).await? else {
            return Ok(Bucket::default());
        };
        Bucket::open(&self.tenant, place, &node.children.key(place.bucket), &bytes, sequence)
            .map_err(|fault| Walk::Moved(self.damaged(Place::Bucket(place), fault)))
    }

    fn damaged(&self, place: Place, fault: Fault) -> Failure {
        Failure::damaged(format!("{place} of the {}", self.name()), fault)
    }
}

/// A KMS that has not the root is not a KMS that does not answer.
pub(super) fn kms_failure(error: KmsError) -> Failure {
    match error {
        KmsError::NoSuchVersion(version) => {
            Failure::missing(format!("root version {version} of the KMS: is it the KMS that belongs to this store?"))
        }
        KmsError::Failed(failure) => failure,
    }
}
