use std::sync::Arc;

use domain::port::Keys as _;
use domain::scope::{Part, Scope};
use uuid::Uuid;

use super::*;
use crate::key_map::tree::Leaves;
use crate::keys::Options;
use crate::keys::kms::MemoryKms;
use crate::keys::memory::MemoryNodes;
use crate::log::scratch::Scratch;

fn person(number: u128) -> DataSubject {
    DataSubject(Uuid::from_u128(number))
}

fn target(number: u128, scope: Scope) -> Target {
    Target { data_subject: person(number), scope, part: None }
}

struct World {
    nodes: Arc<MemoryNodes>,
    kms: Arc<MemoryKms>,
    scratch: Scratch,
}

impl World {
    async fn new() -> Self {
        let kms = Arc::new(MemoryKms::new("acme".parse().unwrap()));
        let world = Self { nodes: Arc::default(), kms, scratch: Scratch::new() };
        world.tree(false).create().await.unwrap();
        world
    }

    /// As a process that has just started has it.
    fn tree(&self, with_file: bool) -> KeyTree {
        let map_file = with_file.then(|| self.scratch.path().join("key-map"));
        let options = Options { map_file, ..Options::default() };
        KeyTree::new("acme".parse().unwrap(), self.nodes.clone(), self.kms.clone(), options)
    }
}

async fn enrol(tree: &KeyTree, people: std::ops::Range<u128>) {
    for number in people {
        let scopes = [Scope::HealthClinical, Scope::IdentityContact, Scope::HealthFreeText];
        let parts: Vec<_> = scopes.iter().map(|scope| (*scope, Part::all())).collect();
        tree.current_or_create(person(number), &parts).await.unwrap();
    }
}

/// The map's root, from every key of the tree.
async fn root_of(tree: &KeyTree, people: std::ops::Range<u128>) -> Hash {
    let mut upper = Upper::default();
    for number in people {
        let place = BucketPlace::of(person(number));
        let leaves: Leaves = tree.bucket(place).await.unwrap().leaves();
        upper.set(place.number(), leaves.root());
    }
    upper.root()
}

#[tokio::test]
async fn the_map_follows_inserts_and_shreds_of_every_process() {
    let world = World::new().await;
    let (tree, other) = (world.tree(false), world.tree(false));
    let empty = tree.key_map().await.unwrap();
    assert_eq!(empty.root, crate::key_map::EMPTY);
    enrol(&tree, 0..30).await;
    assert_eq!(tree.key_map().await.unwrap().root, root_of(&tree, 0..40).await);
    enrol(&other, 30..40).await;
    assert_eq!(tree.key_map().await.unwrap().root, root_of(&other, 0..40).await);
    let gone = [target(7, Scope::HealthClinical)];
    other.fence(&gone).await.unwrap();
    let fenced = tree.key_map().await.unwrap().root;
    assert_eq!(fenced, root_of(&other, 0..40).await, "a fence is no change of keys");
    other.shred(&gone).await.unwrap();
    let shredded = tree.key_map().await.unwrap();
    assert_eq!(shredded.root, root_of(&other, 0..40).await);
    assert_ne!(shredded.root, fenced);
    assert_eq!(world.tree(false).key_map().await.unwrap(), shredded);
}

#[tokio::test]
async fn a_shred_stores_a_proof_for_each_person() {
    let world = World::new().await;
    let tree = world.tree(false);
    enrol(&tree, 0..50).await;
    let before = tree.key_map().await.unwrap().root;
    let gone: Vec<_> = [3, 4]
        .into_iter()
        .flat_map(|person| {
            [Scope::HealthClinical, Scope::IdentityContact, Scope::UserProfile].map(|scope| target(person, scope))
        })
        .collect();
    tree.fence(&gone).await.unwrap();
    let receipt = tree.shred(&gone).await.unwrap();
    let after = tree.key_map().await.unwrap().root;
    let root = receipt.targets[0].root_after;
    let mut steps = Vec::new();
    for number in [3, 4] {
        let removed = world.tree(false).removed(person(number), root).await.unwrap().unwrap();
        let held = removed.proof.check(&removed.before, &removed.after, &removed.named).unwrap();
        let named: BTreeMap<Scope, bool> = removed.named.iter().map(|(target, _)| target.scope).zip(held).collect();
        let expected = [(Scope::HealthClinical, true), (Scope::IdentityContact, true), (Scope::UserProfile, false)];
        assert_eq!(named, BTreeMap::from(expected));
        steps.push((removed.before, removed.after));
    }
    // One after the other, in the order of their buckets, from the root before to the root after.
    steps.sort_by_key(|(from, _)| *from != before);
    assert_eq!((steps[0].0, steps[1].1), (before, after));
    assert_eq!(steps[0].1, steps[1].0);
    assert_eq!(world.tree(false).removed(person(5), root).await.unwrap(), None);
}

#[tokio::test]
async fn the_file_spares_reading_and_a_wrong_one_is_not_believed() {
    let world = World::new().await;
    let tree = world.tree(true);
    enrol(&tree, 0..50).await;
    let state = tree.key_map().await.unwrap();
    let file = world.scratch.path().join("key-map");
    assert!(!file.exists(), "not at every change");
    let mut map = tree.map.lock().await.take().unwrap();
    crate::log::shelf::store(&file, &bytes(&map)).unwrap();
    assert_eq!(read(&file).map(|map| map.through), Some(state.sequence));
    assert_eq!(world.tree(true).key_map().await.unwrap(), state);
    enrol(&world.tree(false), 50..60).await;
    assert_eq!(world.tree(true).key_map().await.unwrap().root, root_of(&world.tree(false), 0..60).await);
    // Another store's roots.
    map.upper.set(BucketPlace::of(person(1)).number(), [1; 32]);
    (0..50).for_each(|number| map.upper.set(BucketPlace::of(person(number)).number(), [2; 32]));
    crate::log::shelf::store(&file, &bytes(&map)).unwrap();
    assert_eq!(world.tree(true).key_map().await.unwrap().root, root_of(&world.tree(false), 0..60).await);
    // One that is torn.
    std::fs::write(&file, &bytes(&map)[..100]).unwrap();
    assert!(read(&file).is_none());
}
