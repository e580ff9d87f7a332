//! The tree: created once, read through the cache.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::ids::TenantId;
use domain::port::{Failure, Kms, KmsError, OffSite};
use domain::rotation::InstallationId;
use domain::scope::Scope;
use tokio::sync::OnceCell;

use super::announce::Announcements;
use super::bucket::Bucket;
use super::cache::Cache;
use super::insert::Queue;
use super::key::{Key, KeyState};
use super::key_id::KeyId;
use super::map::Map;
use super::store::{BucketPlace, NodeStore, NodeWriteError};
use super::tail::Tail;
use crate::chance::{LeaseClock, SystemLeaseClock};

/// So often a write begins anew because others wrote the same nodes.
pub(crate) const ATTEMPTS_MAX: usize = 16;

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
    /// Tells other processes of this tenant that something was fenced; none: their leases run out.
    pub announcements: Option<Arc<dyn Announcements>>,
    /// Where the key map's roots are kept between two runs, so that not every bucket is read at start; none: in memory
    /// only.
    pub map_file: Option<PathBuf>,
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
            announcements: None,
            map_file: None,
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
    tail: Mutex<Tail>,
    renewal: tokio::sync::Mutex<()>,
    /// Held by whoever writes: writers of one process need not run into each other's expectations.
    pub(super) writer: tokio::sync::Mutex<()>,
    pub(super) queue: Queue,
    /// Held by whoever rotates or ships.
    pub(super) rotating: tokio::sync::Mutex<()>,
    pub(super) site: OnceCell<InstallationId>,
    /// Whether the head was found where it should be.
    pub(super) is_attached: AtomicBool,
    /// Whether another site has taken over.
    pub(super) is_superseded: AtomicBool,
    /// The roots of the key map, as far as they were read.
    pub(super) map: tokio::sync::Mutex<Option<Map>>,
}

impl fmt::Debug for KeyTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyTree").field("tenant", &self.tenant).finish_non_exhaustive()
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
            tail: Mutex::default(),
            renewal: tokio::sync::Mutex::default(),
            writer: tokio::sync::Mutex::default(),
            queue: Queue::default(),
            rotating: tokio::sync::Mutex::default(),
            site: OnceCell::new(),
            is_attached: AtomicBool::new(false),
            is_superseded: AtomicBool::new(false),
            map: tokio::sync::Mutex::default(),
        }
    }

    /// Whose tree it is.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
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

    pub(super) fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.check_serving().await?;
        let epoch = self.cache().epoch();
        let head = self.store.head().await?;
        let mut cache = self.cache();
        if cache.epoch() == epoch {
            cache.renew(head, now + self.options.lease);
        }
        Ok(())
    }
}

impl KeyTree {
    /// See [`domain::port::Keys::vouch`].
    pub(super) async fn vouched(&self) -> Result<u64, Failure> {
        for _ in 0..ATTEMPTS_MAX {
            self.lease().await?;
            let vouched = self.cache().vouched(self.options.clock.passed());
            if let Some(vouched) = vouched {
                return Ok(vouched);
            }
        }
        Err(Failure::unavailable("key tree", "no lease holds for long enough"))
    }
}

/// A KMS that has not the root is not a KMS that does not answer.
pub(super) fn kms_failure(error: KmsError) -> Failure {
    match error {
        KmsError::NoSuchVersion(version) => Failure::missing(format!(
            "root version {version} of the KMS (it wraps this store's keys; do this next: start with the `--kms-dir` \
             that belongs to this store, and if the store came from a backup, restore one made after the last \
             erasure)"
        )),
        KmsError::Failed(failure) => failure,
    }
}
