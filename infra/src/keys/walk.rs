//! The way from the top to a bucket: from memory while the lease holds, otherwise from the store.

use std::sync::Arc;

use domain::port::{Failure, KmsError};

use super::bucket::Bucket;
use super::cache::Cache;
use super::key::Key;
use super::node::{Node, Top, TopFault};
use super::store::{BucketPlace, Place};
use super::tree::{KeyTree, kms_failure};
use crate::frame::Fault;

/// So often a walk from the top begins anew because the path did not open.
const WALKS_MAX: usize = 4;

/// What the store has of a place: bytes and sequence.
pub(super) type Stored = Option<(Vec<u8>, u64)>;

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

    pub(super) async fn remembered_node(&self, node: u8) -> Result<Arc<Node>, Walk> {
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
        let stored = self.store.read(&Place::Top.to_string()).await?;
        self.open_top(stored).await
    }

    pub(super) async fn open_top(&self, stored: Stored) -> Result<Top, Walk> {
        let Some((bytes, sequence)) = stored else {
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
        let stored = self.store.read(&Place::Node(node).to_string()).await?;
        self.open_node(top, node, stored)
    }

    pub(super) fn open_node(&self, top: &Top, node: u8, stored: Stored) -> Result<Node, Walk> {
        let place = Place::Node(node);
        let Some((bytes, sequence)) = stored else {
            return Err(Failure::missing(format!("{place} of the {}", self.name())).into());
        };
        Node::open(&self.tenant, node, &top.children.key(node), &bytes, sequence)
            .map_err(|fault| Walk::Moved(self.damaged(place, fault)))
    }

    /// A bucket as the store has it now, if `node` is its parent still. Never written is empty.
    pub(super) async fn read_bucket(&self, node: &Node, place: BucketPlace) -> Result<Bucket, Walk> {
        let stored = self.store.read(&Place::Bucket(place).to_string()).await?;
        self.open_bucket(node, place, stored)
    }

    pub(super) fn open_bucket(&self, node: &Node, place: BucketPlace, stored: Stored) -> Result<Bucket, Walk> {
        let Some((bytes, sequence)) = stored else {
            return Ok(Bucket::default());
        };
        Bucket::open(&self.tenant, place, &node.children.key(place.bucket), &bytes, sequence)
            .map_err(|fault| Walk::Moved(self.damaged(Place::Bucket(place), fault)))
    }

    fn damaged(&self, place: Place, fault: Fault) -> Failure {
        Failure::damaged(format!("{place} of the {}", self.name()), fault)
    }
}
