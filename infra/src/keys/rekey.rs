//! Paths from the top to some buckets: read as the store has them now, written anew under fresh keys and a new root.

use std::collections::{BTreeMap, BTreeSet};

use domain::port::{Failure, KmsError, Target};
use futures_util::future::try_join_all;

use super::bucket::Bucket;
use super::change::{Change, Changed, ChangedTarget};
use super::key::Key;
use super::map::Proofs;
use super::node::{Node, Top};
use super::store::{BucketPlace, NodeWrite, NodeWriteError, Place, WRITES_MAX};
use super::tail::ToNote;
use super::tree::{KeyTree, kms_failure};
use super::walk::{Stored, Walk, Walks};

/// So many buckets are re-keyed in one atomic write: with a node, an index and a proof for each, the top and the record of the
/// change. More are split into several rotations: a write that removes keys always replaces the root, so that whoever
/// finds keys gone knows that an old root is dead or will die.
pub(super) const BUCKETS_MAX: usize = (WRITES_MAX - 2) / 4;

/// So many places are asked for at once.
const READS_AT_ONCE: usize = 64;

/// Targets, by the bucket that holds their keys.
pub(super) type Piece<'a> = BTreeMap<BucketPlace, Vec<&'a Target>>;

/// The paths to some buckets, open, as the store has them now.
pub(super) struct Paths {
    pub(super) top: Top,
    pub(super) nodes: BTreeMap<u8, Node>,
    pub(super) buckets: BTreeMap<BucketPlace, Bucket>,
    changed: BTreeMap<BucketPlace, Changed>,
    /// What is shown of the removal, bucket by bucket.
    pub(super) proofs: BTreeMap<BucketPlace, Proofs>,
    /// What was opened.
    pub(super) as_stored: StoredPaths,
}

/// The messages of some paths, as the store had them.
pub(super) type StoredPaths = BTreeMap<Place, Stored>;

/// Gives the key that a node is to have next, from the one it has.
pub(super) type NextKey<'a> = &'a (dyn Fn(&Key) -> Key + Send + Sync);

/// The only right answer: a fresh one. (The tests try what happens with another.)
pub(super) fn fresh(_: &Key) -> Key {
    Key::random()
}

/// What came of writing paths anew.
#[derive(Debug)]
pub(super) enum Rewritten {
    Done,
    /// Somebody has written a node of them meanwhile.
    Conflict,
    /// The root that they were to be written under is gone: the rotation was finished, and another begun, elsewhere.
    NoRoot,
}

impl KeyTree {
    /// The top and the paths to `places`, past the cache.
    pub(super) async fn read_paths(&self, places: impl Iterator<Item = &BucketPlace> + Send) -> Result<Paths, Failure> {
        let places: BTreeSet<BucketPlace> = places.copied().collect();
        let mut walks = Walks::default();
        loop {
            let mut wanted = vec![Place::Top];
            wanted.extend(nodes_of(&places).into_iter().map(Place::Node));
            wanted.extend(places.iter().flat_map(|place| [Place::Bucket(*place), Place::Changed(*place)]));
            match self.open_paths(&places, self.read_all(wanted).await?).await {
                Ok(paths) => return Ok(paths),
                Err(walk) => walks.again(walk)?,
            }
        }
    }

    /// Opens what was read of the paths to `places`: with the KMS as it is now, not with anything in memory.
    pub(super) async fn open_paths(
        &self,
        places: &BTreeSet<BucketPlace>,
        as_stored: StoredPaths,
    ) -> Result<Paths, Walk> {
        let take = |place| as_stored.get(&place).cloned().flatten();
        let top = self.open_top(take(Place::Top)).await?;
        let mut paths = Paths {
            top,
            nodes: BTreeMap::new(),
            buckets: BTreeMap::new(),
            changed: BTreeMap::new(),
            proofs: BTreeMap::new(),
            as_stored: StoredPaths::new(),
        };
        for node in nodes_of(places) {
            paths.nodes.insert(node, self.open_node(&paths.top, node, take(Place::Node(node)))?);
        }
        for place in places {
            let bucket = self.open_bucket(&paths.nodes[&place.node], *place, take(Place::Bucket(*place)))?;
            paths.buckets.insert(*place, bucket);
            paths.changed.insert(*place, self.read_changed(*place, take(Place::Changed(*place)))?);
        }
        paths.as_stored = as_stored;
        Ok(paths)
    }

    /// The messages of all `places`, many at once: one after the other they would cost a round trip each.
    async fn read_all(&self, places: Vec<Place>) -> Result<BTreeMap<Place, Stored>, Failure> {
        let mut stored = BTreeMap::new();
        for places in places.chunks(READS_AT_ONCE) {
            let read = |place: &Place| {
                let place = *place;
                async move { Ok::<_, Failure>((place, self.store.read(&place.to_string()).await?)) }
            };
            stored.extend(try_join_all(places.iter().map(read)).await?);
        }
        Ok(stored)
    }

    /// Stores the paths anew under `root`, all or nothing: `next` keys for all of them, and the record of what was
    /// done to `targets`.
    pub(super) async fn rewrite(
        &self,
        mut paths: Paths,
        root: u64,
        targets: Vec<ChangedTarget>,
        next: NextKey<'_>,
    ) -> Result<Rewritten, Failure> {
        let change = Change::new(paths.top.root, root, targets);
        let writes = match self.seal_paths(&mut paths, &change, next).await {
            Ok(writes) => writes,
            Err(KmsError::NoSuchVersion(_)) => return Ok(Rewritten::NoRoot),
            Err(error) => return Err(kms_failure(error)),
        };
        let noted = ToNote::of(&writes);
        super::failpoint("keys-tree-write");
        let written = self.store.write(writes).await;
        super::failpoint("keys-tree-was-written");
        self.forget();
        match written {
            Ok(sequences) => {
                self.note(noted, &sequences, &paths.buckets);
                Ok(Rewritten::Done)
            }
            Err(NodeWriteError::Conflict) => Ok(Rewritten::Conflict),
            Err(NodeWriteError::Failed(failure)) => Err(failure),
        }
    }

    async fn seal_paths(
        &self,
        paths: &mut Paths,
        change: &Change,
        next: NextKey<'_>,
    ) -> Result<Vec<NodeWrite>, KmsError> {
        let mut writes = Vec::with_capacity(2 * paths.buckets.len() + paths.nodes.len() + 2);
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
        paths.top.root = change.root_after;
        let bytes = paths.top.seal(&self.tenant, &*self.kms, &Key::random()).await?;
        push(Place::Top, bytes, paths.top.sequence);
        let touched: BTreeSet<BucketPlace> =
            change.targets.iter().map(|changed| BucketPlace::of(changed.target.data_subject)).collect();
        let indexed = paths.changed.iter().filter(|(place, _)| touched.contains(place));
        writes.extend(indexed.map(|(place, changed)| changed.with(*place, change.root_after)));
        writes.extend(paths.proofs.iter().map(|(place, proofs)| proofs.write(change.root_after, *place)));
        writes.push(change.write());
        Ok(writes)
    }
}

fn nodes_of(places: &BTreeSet<BucketPlace>) -> BTreeSet<u8> {
    places.iter().map(|place| place.node).collect()
}

/// Takes the targets' keys out of the open buckets. Says how many of each.
pub(super) fn remove(paths: &mut Paths, piece: &Piece<'_>) -> Result<Vec<ChangedTarget>, Failure> {
    let mut removed = Vec::new();
    for (place, targets) in piece {
        let Some(bucket) = paths.buckets.get_mut(place) else {
            continue;
        };
        for target in targets {
            must_be_fenced(bucket, target)?;
            removed.push(ChangedTarget { target: (*target).clone(), keys: bucket.remove(target) });
        }
    }
    Ok(removed)
}

/// Whether a target of `piece` still has keys.
pub(super) fn is_left(paths: &Paths, piece: &Piece<'_>) -> Result<bool, Failure> {
    for (place, targets) in piece {
        let Some(bucket) = paths.buckets.get(place) else {
            continue;
        };
        for target in targets {
            must_be_fenced(bucket, target)?;
            if bucket.has_fenced(target) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn must_be_fenced(bucket: &Bucket, target: &Target) -> Result<(), Failure> {
    if bucket.is_fenced(target) {
        return Ok(());
    }
    let Target { data_subject, scope, .. } = target;
    Err(Failure::missing(format!("the fence on {scope} of {data_subject}: fence before you shred")))
}
