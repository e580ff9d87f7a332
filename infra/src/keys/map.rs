//! The key map of this tree: its roots, kept up with the store, and the proofs that a re-keying stores.
//!
//! Nothing of it is on the way of whoever wants a key. The roots are read from the store's changes when somebody asks;
//! what a re-keying removes is proven from them before it is written, and the proof goes into the same write.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use domain::history::{CommitHash, DataSubject};
use domain::port::{Failure, Target};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::bucket::Bucket;
use super::change::json;
use super::rekey::Piece;
use super::store::{BucketPlace, NodeWrite, Place, StoredNode};
use super::tree::KeyTree;
use crate::key_map::proof::{Named, Needs, Open, Removal, removal};
use crate::key_map::whole::Upper;
use crate::log::checkpoint::KeyMapState;
use crate::log::{Hash, KeyMapSource};

/// The version of the stored proofs.
const FORMAT: u32 = 1;

/// What begins the file of the roots.
const FILE: &[u8] = b"lethe-key-map-1\n";

/// The file is written anew after so many changes of the store.
const SAVED_EVERY: u64 = 4096;

/// So many buckets are read again when the roots come from a file: it may be older than a restored store, or younger.
const SPOTS: usize = 16;

/// After a page with at most so many changes there is hardly another one.
const NEARLY: usize = 64;

/// The roots of the key map.
#[derive(Debug, Default)]
pub(super) struct Map {
    upper: Upper,
    /// The last sequence of the store that they take in.
    through: u64,
    saved: u64,
}

/// The map, held, and whether it could be read.
pub(super) struct MapNow<'a> {
    map: tokio::sync::MutexGuard<'a, Option<Map>>,
    caught_up: Result<(), Failure>,
}

/// Proof that one person's named keys went, and nobody else's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// Whose.
    pub data_subject: DataSubject,
    /// What was emptied.
    pub named: Vec<Named>,
    /// The root of the map before.
    pub before: Hash,
    /// The root of the map after.
    pub after: Hash,
    /// The proof.
    pub proof: Removal,
}

/// The proofs of one bucket, as they are stored at `proof/<root after>/<bucket>`: one a person, each from the root that
/// the one before led to. A reader ignores fields that it does not know.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Proofs {
    format: u32,
    people: Vec<StoredProof>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct StoredProof {
    data_subject: DataSubject,
    /// Each with the number of lives that it covers.
    named: Vec<Named>,
    before: CommitHash,
    after: CommitHash,
    proof: String,
}

impl Proofs {
    pub(super) fn write(&self, root: u64, place: BucketPlace) -> NodeWrite {
        NodeWrite { place: Place::Proof(root, place).to_string(), bytes: json(self), expected_sequence: 0 }
    }
}

impl KeyTree {
    /// The key map as it stands: everything that is stored now is taken in.
    ///
    /// # Errors
    /// When the store or the KMS does not answer, or a bucket does not open.
    pub async fn key_map(&self) -> Result<KeyMapState, Failure> {
        let mut map = self.map.lock().await;
        let map = self.caught_up(&mut map).await?;
        Ok(KeyMapState { root: map.upper.root(), sequence: map.through })
    }

    /// The proof that the re-keying to `root` took a person's keys and no others; none if it took none of them, or if it
    /// could not be proven.
    ///
    /// # Errors
    /// When the store does not answer, or holds something else there.
    pub async fn removed(&self, data_subject: DataSubject, root: u64) -> Result<Option<Removed>, Failure> {
        let place = Place::Proof(root, BucketPlace::of(data_subject));
        let Some((bytes, _)) = self.store.read(&place.to_string()).await? else {
            return Ok(None);
        };
        let proofs: Proofs = self.parse(place, &bytes)?;
        let found = proofs.people.into_iter().find(|stored| stored.data_subject == data_subject);
        let Some(stored) = found.filter(|_| proofs.format == FORMAT) else {
            return Ok(None);
        };
        let proof = BASE64.decode(&stored.proof).ok().and_then(|bytes| Removal::decode(&bytes).ok());
        let proof = proof.ok_or_else(|| self.unreadable(place))?;
        let (before, after) = (stored.before.0, stored.after.0);
        Ok(Some(Removed { data_subject, named: stored.named, before, after, proof }))
    }

    /// The first use reads every bucket: not while others wait. What fails here is said where it counts.
    pub(super) async fn prepare_map(&self) {
        let mut map = self.map.lock().await;
        if map.is_none() {
            drop(self.catch_up(&mut map, NEARLY).await);
        }
    }

    /// Takes in what others wrote; says whether that is all.
    pub(super) async fn refresh_map(&self) -> bool {
        let mut map = self.map.lock().await;
        self.caught_up(&mut map).await.is_ok()
    }

    /// The map a moment after it was refreshed: what this process wrote since is taken in, nobody is asked. Others may
    /// have written, too, as they may after any question. Held until the re-keying is proven.
    pub(super) async fn map_with_own(&self) -> MapNow<'_> {
        let mut map = self.map.lock().await;
        let is_known = map.as_mut().is_some_and(|map| self.take_own(map));
        let caught_up = if is_known { Ok(()) } else { self.caught_up(&mut map).await.map(drop) };
        MapNow { map, caught_up }
    }

    /// The map with everything that is stored now, held until the re-keying is proven.
    pub(super) async fn map_now(&self) -> MapNow<'_> {
        let mut map = self.map.lock().await;
        let caught_up = self.caught_up(&mut map).await.map(drop);
        MapNow { map, caught_up }
    }

    /// What can be shown of the removal that is about to be written. An erasure does not wait for a proof: what cannot be
    /// proven is reported, and its certificate will say that it lacks it.
    pub(super) async fn prove(
        &self,
        map: MapNow<'_>,
        before: &BTreeMap<BucketPlace, Bucket>,
        after: &BTreeMap<BucketPlace, Bucket>,
        piece: &Piece<'_>,
    ) -> BTreeMap<BucketPlace, Proofs> {
        let MapNow { mut map, caught_up } = map;
        let proven = match (caught_up, &mut *map) {
            (Ok(()), Some(map)) => self.prove_all(map, before, after, piece).await,
            (Ok(()), None) => Err(self.unproven("it was not read")),
            (Err(failure), _) => Err(failure),
        };
        proven.unwrap_or_else(|error| {
            tracing::error!(tenant = %self.tenant, %error, "keys are destroyed without a proof of the key map");
            // Whatever it was, the roots are read anew.
            *map = None;
            BTreeMap::new()
        })
    }

    async fn prove_all(
        &self,
        map: &mut Map,
        before: &BTreeMap<BucketPlace, Bucket>,
        after: &BTreeMap<BucketPlace, Bucket>,
        piece: &Piece<'_>,
    ) -> Result<BTreeMap<BucketPlace, Proofs>, Failure> {
        let mut proofs = BTreeMap::new();
        let mut open = Open::new();
        for (place, bucket) in before {
            let leaves = bucket.leaves();
            // Somebody may have written it after the map was read.
            map.upper.set(place.number(), leaves.root());
            open.insert(place.number(), leaves);
        }
        for (place, targets) in piece {
            let (Some(old), Some(new)) = (before.get(place), after.get(place)) else {
                continue;
            };
            let mut people: BTreeMap<DataSubject, Vec<Named>> = BTreeMap::new();
            for target in targets {
                people.entry(target.data_subject).or_default().push(named(old, target));
            }
            let mut stored = Vec::with_capacity(people.len());
            for (data_subject, named) in people {
                let removed = self.prove_one(map, &mut open, *place, data_subject, named).await?;
                stored.push(StoredProof {
                    data_subject,
                    named: removed.named,
                    before: CommitHash(removed.before),
                    after: CommitHash(removed.after),
                    proof: BASE64.encode(removed.proof.encode()),
                });
            }
            if map.upper.bucket(place.number()) != new.leaves().root() {
                return Err(self.unproven("what was removed is not what was named"));
            }
            proofs.insert(*place, Proofs { format: FORMAT, people: stored });
        }
        // It is not written yet. Once it is, the store's changes say so.
        before.iter().for_each(|(place, bucket)| map.upper.set(place.number(), bucket.leaves().root()));
        Ok(proofs)
    }

    /// Proves one person's removal, and takes it out of the map.
    async fn prove_one(
        &self,
        map: &mut Map,
        open: &mut Open,
        place: BucketPlace,
        data_subject: DataSubject,
        named: Vec<Named>,
    ) -> Result<Removed, Failure> {
        let proof = loop {
            match removal(&map.upper, open, &named) {
                Ok(proof) => break proof,
                Err(Needs(other)) => {
                    let mut leaves = self.bucket(BucketPlace::at(other)).await?.leaves();
                    if leaves.root() != map.upper.bucket(other) {
                        self.forget();
                        leaves = self.bucket(BucketPlace::at(other)).await?.leaves();
                    }
                    map.upper.set(other, leaves.root());
                    open.insert(other, leaves);
                }
            }
        };
        let before = map.upper.root();
        let left = open.get(&place.number()).map(|leaves| leaves.without(&named)).unwrap_or_default();
        map.upper.set(place.number(), left.root());
        open.insert(place.number(), left);
        let after = map.upper.root();
        // Nobody is helped by a proof that does not hold.
        proof.check(&before, &after, &named).map_err(|fault| self.unproven(&fault.to_string()))?;
        Ok(Removed { data_subject, named, before, after, proof })
    }

    fn unproven(&self, detail: &str) -> Failure {
        Failure::damaged(format!("key map of the {}", self.name()), detail)
    }

    /// The map, with everything that is stored now.
    async fn caught_up<'a>(&self, map: &'a mut Option<Map>) -> Result<&'a mut Map, Failure> {
        self.catch_up(map, 0).await
    }

    /// Reads on until a page has at most `enough` changes.
    async fn catch_up<'a>(&self, map: &'a mut Option<Map>, enough: usize) -> Result<&'a mut Map, Failure> {
        if map.is_none() {
            *map = Some(self.first_map().await?);
        }
        let map = map.get_or_insert_with(Map::default);
        loop {
            self.take_own(map);
            let page = self.store.changed_since(map.through).await?;
            let is_last = page.len() <= enough;
            for node in page {
                if let Some(place) = bucket_place(&node.place) {
                    map.upper.set(place.number(), self.leaves_root(place, &node).await?);
                }
                map.through = node.sequence;
            }
            if is_last {
                self.save(map);
                return Ok(map);
            }
        }
    }

    /// Takes in what this process wrote, which needs no reading. False: others have written before it.
    fn take_own(&self, map: &mut Map) -> bool {
        let Some(written) = self.written_since(map.through) else {
            return false;
        };
        for written in written {
            if let Some((place, root)) = written.leaves {
                map.upper.set(place.number(), root);
            }
            map.through = written.node.sequence;
        }
        true
    }

    /// The root of a bucket that was just read from the store.
    async fn leaves_root(&self, place: BucketPlace, node: &StoredNode) -> Result<Hash, Failure> {
        self.lease().await?;
        if let Ok(parent) = self.remembered_node(place.node).await
            && let Ok(bucket) = self.open_bucket(&parent, place, Some((node.bytes.clone(), node.sequence)))
        {
            return Ok(bucket.leaves().root());
        }
        // It was re-keyed meanwhile, maybe by another process while our lease holds: the newest will do, and comes again.
        self.forget();
        Ok(self.bucket(place).await?.leaves().root())
    }

    /// From the file, if it fits the store; otherwise from nothing.
    async fn first_map(&self) -> Result<Map, Failure> {
        let Some(map) = self.options.map_file.as_deref().and_then(read) else {
            return Ok(Map::default());
        };
        if self.store.head().await? < map.through {
            return Ok(Map::default());
        }
        let known: Vec<(u16, Hash)> = map.upper.buckets().collect();
        for (bucket, root) in known.iter().step_by((known.len() / SPOTS).max(1)) {
            let place = BucketPlace::at(*bucket);
            let stored = self.store.read(&Place::Bucket(place).to_string()).await?;
            let is_older = stored.as_ref().is_some_and(|(_, sequence)| *sequence <= map.through);
            // What was written later is read anyway.
            if (is_older || stored.is_none()) && self.bucket(place).await?.leaves().root() != *root {
                return Ok(Map::default());
            }
        }
        Ok(map)
    }

    fn save(&self, map: &mut Map) {
        let Some(file) = self.options.map_file.as_deref().filter(|_| map.through >= map.saved + SAVED_EVERY) else {
            return;
        };
        match crate::log::shelf::store(file, &bytes(map)) {
            Ok(()) => map.saved = map.through,
            Err(error) => {
                tracing::warn!(%error, "the roots of the key map are not kept: every bucket is read at the next start")
            }
        }
    }
}

#[async_trait::async_trait]
impl KeyMapSource for KeyTree {
    async fn state(&self) -> Result<Option<KeyMapState>, Failure> {
        match self.key_map().await {
            Ok(state) => Ok(Some(state)),
            Err(Failure::Missing { .. }) => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

/// A target, with as many lives as the removal covers.
fn named(bucket: &Bucket, target: &Target) -> Named {
    let lives = bucket.targeted(target).map(|(key, _)| key.generation).max().unwrap_or(1);
    (target.clone(), lives)
}

fn bucket_place(place: &str) -> Option<BucketPlace> {
    u16::from_str_radix(place.strip_prefix("bucket/")?, 16).ok().map(BucketPlace::at)
}

/// `FILE || through || (bucket || root)… || SHA-256 of all that`, numbers in big-endian order.
fn bytes(map: &Map) -> Vec<u8> {
    let mut bytes = [FILE, &map.through.to_be_bytes()].concat();
    for (bucket, root) in map.upper.buckets() {
        bytes.extend(bucket.to_be_bytes());
        bytes.extend(root);
    }
    let sum = Sha256::digest(&bytes);
    bytes.extend(sum);
    bytes
}

fn read(file: &Path) -> Option<Map> {
    let bytes = std::fs::read(file).ok()?;
    let (body, sum) = bytes.split_last_chunk::<32>().map(|(body, sum)| (body, *sum))?;
    if <[u8; 32]>::from(Sha256::digest(body)) != sum {
        return None;
    }
    let (through, entries) = body.strip_prefix(FILE)?.split_first_chunk::<8>()?;
    let through = u64::from_be_bytes(*through);
    let mut map = Map { upper: Upper::default(), through, saved: through };
    let (entries, rest) = entries.as_chunks::<34>();
    for entry in entries {
        let mut root = [0; 32];
        root.copy_from_slice(&entry[2..]);
        map.upper.set(u16::from_be_bytes([entry[0], entry[1]]), root);
    }
    rest.is_empty().then_some(map)
}

#[cfg(test)]
#[path = "map_tests.rs"]
mod tests;
