//! Destroys keys for good.
//!
//! 1. Remove the targets' keys; draw fresh keys for every bucket, node and the top on their paths; wrap the top under
//!    a new root.
//! 2. Store the paths, all or nothing.
//! 3. Read them back, ship them off-site.
//! 4. Destroy every older root.
//!
//! Interrupted anywhere, it is finished by calling it again. A root may be destroyed only below one that a stored top
//! is wrapped under, and a top may be stored only under a root above the one that it replaces. So however two
//! processes interleave, no top is ever stored under a root that somebody destroys.

use std::collections::BTreeMap;

use domain::port::{Destruction, Failure, ShredReceipt, Shredded, Target, TreeCopies};

use super::bucket::Bucket;
use super::fence::{by_bucket, pieces};
use super::key::Key;
use super::node::{Node, Top};
use super::store::{BucketPlace, NodeWrite, NodeWriteError, Place, WRITES_MAX};
use super::tree::{ATTEMPTS_MAX, KeyTree, kms_failure};
use super::walk::{Walk, Walks};

/// So many buckets are re-keyed in one batch: with a node for each and the top they fit into one atomic write.
const BUCKETS_MAX: usize = (WRITES_MAX - 1) / 2;

/// The paths to some buckets, open, as the store has them now.
pub(super) struct Paths {
    pub(super) top: Top,
    pub(super) nodes: BTreeMap<u8, Node>,
    pub(super) buckets: BTreeMap<BucketPlace, Bucket>,
}

/// Gives the key that a node is to have next, from the one it has.
pub(super) type NextKey<'a> = &'a (dyn Fn(&Key) -> Key + Send + Sync);

/// The only right answer: a fresh one. (The tests try what happens with another.)
pub(super) fn fresh(_: &Key) -> Key {
    Key::random()
}

impl KeyTree {
    /// See [`domain::port::Keys::shred`].
    pub(super) async fn shred_all(&self, targets: &[Target]) -> Result<ShredReceipt, Failure> {
        let mut done = Vec::new();
        for piece in pieces(by_bucket(targets), BUCKETS_MAX) {
            let (keys, root_before) = self.rekey(&piece).await?;
            let root_after = self.finish(&piece).await?;
            let targets = piece.values().flatten().map(|target| (*target).clone());
            done.extend(targets.map(|target| Shredded { target, keys, root_before, root_after }));
        }
        Ok(ShredReceipt { targets: done, copy: self.tree_copies(), destruction: Destruction::Done })
    }

    pub(super) fn tree_copies(&self) -> TreeCopies {
        if self.options.off_site.is_some() { TreeCopies::OffSite } else { TreeCopies::Single }
    }

    /// Removes the keys and stores the paths anew, if there is anything to remove. Returns how many keys, and the root
    /// that is to die. Only this holds up whoever wants keys meanwhile, not what comes after it.
    async fn rekey(&self, piece: &BTreeMap<BucketPlace, Vec<&Target>>) -> Result<(u64, u64), Failure> {
        let _writer = self.writer.lock().await;
        for _ in 0..ATTEMPTS_MAX {
            let mut paths = self.read_paths(piece.keys()).await?;
            let keys_destroyed = remove(&mut paths, piece)?;
            let root = paths.top.root;
            let versions = self.kms.versions().await?;
            // A root that was made and never used: it dies below the next one.
            let unused = versions.last().is_some_and(|newest| *newest > root);
            if keys_destroyed == 0 && !unused {
                return Ok((0, versions.range(..root).next_back().copied().unwrap_or(root)));
            }
            match self.rewrite(paths, &fresh).await {
                Ok(_) => return Ok((keys_destroyed, root)),
                Err(NodeWriteError::Conflict) => {}
                Err(NodeWriteError::Failed(failure)) => return Err(failure),
            }
        }
        Err(self.write_failed(NodeWriteError::Conflict))
    }

    /// The top and the paths to `places`, past the cache.
    pub(super) async fn read_paths(
        &self,
        places: impl Iterator<Item = &BucketPlace> + Clone + Send,
    ) -> Result<Paths, Failure> {
        let mut walks = Walks::default();
        loop {
            match self.walk_paths(places.clone()).await {
                Ok(paths) => return Ok(paths),
                Err(walk) => walks.again(walk)?,
            }
        }
    }

    async fn walk_paths(&self, places: impl Iterator<Item = &BucketPlace> + Send) -> Result<Paths, Walk> {
        let mut paths = Paths { top: self.read_top().await?, nodes: BTreeMap::new(), buckets: BTreeMap::new() };
        for place in places {
            if !paths.nodes.contains_key(&place.node) {
                paths.nodes.insert(place.node, self.read_node(&paths.top, place.node).await?);
            }
            let bucket = self.read_bucket(&paths.nodes[&place.node], *place).await?;
            paths.buckets.insert(*place, bucket);
        }
        Ok(paths)
    }

    /// Stores the paths anew: `next` keys for all of them, a new root above. Returns that root.
    pub(super) async fn rewrite(&self, mut paths: Paths, next: NextKey<'_>) -> Result<u64, NodeWriteError> {
        let newest = self.kms.versions().await?.last().copied().unwrap_or(0);
        let root = newest.max(paths.top.root) + 1;
        self.kms.create_root(root).await?;
        let writes = self.seal_paths(&mut paths, root, next).await?;
        let written = self.store.write(writes).await;
        self.forget();
        written.map(|_| root)
    }

    async fn seal_paths(&self, paths: &mut Paths, root: u64, next: NextKey<'_>) -> Result<Vec<NodeWrite>, Failure> {
        let mut writes = Vec::with_capacity(paths.buckets.len() + paths.nodes.len() + 1);
        let mut push = |place: Place, bytes, expected_sequence| {
            writes.push(NodeWrite { place: place.to_string(), bytes, expected_sequence });
        };
        for (place, bucket) in &paths.buckets {
            let Some(node) = paths.nodes.get_mut(&place.node) else {
                continue;
            };
            let key = next(&node.children.key(place.bucket));
            node.children.set(place.bucket, &key);
            push(Place::Bucket(*place), bucket.seal(&self.tenant, *place, &key), bucket.sequence);
        }
        for (index, node) in &paths.nodes {
            let key = next(&paths.top.children.key(*index));
            paths.top.children.set(*index, &key);
            push(Place::Node(*index), Node::seal(&node.children, &self.tenant, *index, &key), node.sequence);
        }
        paths.top.root = root;
        let bytes = paths.top.seal(&self.tenant, &*self.kms, &Key::random()).await.map_err(kms_failure)?;
        push(Place::Top, bytes, paths.top.sequence);
        Ok(writes)
    }

    /// What comes after the write, and all there is to do when an earlier shred was interrupted after it.
    /// Returns the root that holds now.
    async fn finish(&self, piece: &BTreeMap<BucketPlace, Vec<&Target>>) -> Result<u64, Failure> {
        // Nothing is destroyed before the new paths were read back and opened under the new root.
        let root = self.read_paths(piece.keys()).await?.top.root;
        let older = |versions: &std::collections::BTreeSet<u64>| versions.range(..root).copied().collect::<Vec<_>>();
        let dying = older(&self.kms.versions().await?);
        if dying.is_empty() {
            return Ok(root);
        }
        tokio::time::sleep(self.options.settle).await;
        for version in dying {
            self.kms.destroy(version).await?;
        }
        match older(&self.kms.versions().await?)[..] {
            [] => Ok(root),
            [version, ..] => {
                Err(Failure::unavailable("KMS", format!("root version {version} still lives after its destruction")))
            }
        }
    }
}

/// Takes the targets' keys out of the open buckets. Says how many.
fn remove(paths: &mut Paths, piece: &BTreeMap<BucketPlace, Vec<&Target>>) -> Result<u64, Failure> {
    let mut removed = 0;
    for (place, targets) in piece {
        let Some(bucket) = paths.buckets.get_mut(place) else {
            continue;
        };
        for target in targets {
            if !bucket.is_fenced(target) {
                let Target { data_subject, scope, .. } = target;
                return Err(Failure::missing(format!(
                    "the fence on {scope} of {data_subject}: fence before you shred"
                )));
            }
            removed += bucket.remove(target);
        }
    }
    Ok(removed)
}
