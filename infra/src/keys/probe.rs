//! Tries to reach keys past all fences, as somebody would who holds the live KMS, the live tree and old copies.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use domain::port::{Failure, Keys, ShredReceipt, Target, TreeCopies};

use super::bucket::Bucket;
use super::fence::by_bucket;
use super::key::Key;
use super::key_id::PersonKey;
use super::node::{Node, Top};
use super::rekey::Paths;
use super::store::{BucketPlace, Place};
use super::tree::KeyTree;

/// Every node's bytes by place, from wherever: a backup, a replica, the remains on a disk.
pub type TreeCopy = BTreeMap<String, Vec<u8>>;

impl KeyTree {
    /// How many keys of `targets` still open, with the live tree and with every node of the old `copies`, in any
    /// combination of them. Fences do not count.
    ///
    /// # Errors
    /// When the live tree cannot be read. That an old copy does not open is no error: it is what an erasure wants.
    pub async fn probe_copies(&self, targets: &[Target], copies: &[TreeCopy]) -> Result<u64, Failure> {
        let wanted = by_bucket(targets);
        let live = self.read_paths(wanted.keys()).await?;
        let mut reached = BTreeSet::new();
        for (place, targets) in &wanted {
            let mut open: Vec<Bucket> = live.buckets.get(place).cloned().into_iter().collect();
            open.extend(self.open_copies(*place, &live, copies).await);
            for target in targets {
                reached.extend(open.iter().flat_map(|bucket| names(bucket, target)));
            }
        }
        Ok(reached.len() as u64)
    }

    /// Every old bucket that opens under any key that any node, old or live, gives away.
    async fn open_copies(&self, place: BucketPlace, live: &Paths, copies: &[TreeCopy]) -> Vec<Bucket> {
        let mut node_keys = vec![live.top.children.key(place.node)];
        for bytes in old(copies, Place::Top) {
            if let Ok(top) = Top::open(&self.tenant, &*self.kms, bytes, 0).await {
                node_keys.push(top.children.key(place.node));
            }
        }
        let mut bucket_keys: Vec<Key> =
            live.nodes.get(&place.node).map(|node| node.children.key(place.bucket)).into_iter().collect();
        for bytes in old(copies, Place::Node(place.node)) {
            let open = |key| Node::open(&self.tenant, place.node, key, bytes, 0).ok();
            bucket_keys.extend(node_keys.iter().filter_map(open).map(|node| node.children.key(place.bucket)));
        }
        old(copies, Place::Bucket(place))
            .into_iter()
            .flat_map(|bytes| {
                bucket_keys.iter().filter_map(|key| Bucket::open(&self.tenant, place, key, bytes, 0).ok())
            })
            .collect()
    }
}

/// The different messages that the copies have of a place.
fn old(copies: &[TreeCopy], place: Place) -> BTreeSet<&Vec<u8>> {
    let place = place.to_string();
    copies.iter().filter_map(|copy| copy.get(&place)).collect()
}

fn names(bucket: &Bucket, target: &Target) -> Vec<PersonKey> {
    bucket.targeted(target).map(|(id, _)| id.clone()).collect()
}

#[async_trait]
impl Keys for KeyTree {
    async fn fence(&self, targets: &[Target]) -> Result<(), Failure> {
        self.fence_all(targets).await
    }

    fn copies(&self) -> TreeCopies {
        self.tree_copies()
    }

    async fn shred(&self, targets: &[Target]) -> Result<ShredReceipt, Failure> {
        self.shred_all(targets).await
    }

    async fn probe(&self, targets: &[Target]) -> Result<u64, Failure> {
        self.probe_copies(targets, &[]).await
    }

    async fn vouch(&self) -> Result<u64, Failure> {
        self.vouched().await
    }
}
