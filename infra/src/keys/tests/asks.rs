//! What a shred asks the store for, and that it does not rely on what others have changed since it asked.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use domain::port::{Destruction, Failure, Keys as _, Kms, KmsDescription, KmsError};
use domain::scope::Scope;
use tokio::sync::Mutex;

use super::world::{CLINICAL, CONTACT, Seen, Watched, World, all_of, key, look, shipped_world, tree_on, world};
use crate::keys::kms::MemoryKms;
use crate::keys::{Key, KeyTree, PersonKey};

#[tokio::test]
async fn a_lone_shred_asks_for_its_path_before_and_after() {
    let world = shipped_world().await;
    let nodes = Watched::new(world.nodes.clone(), 100);
    let tree = tree_on(nodes.clone(), world.kms.clone(), world.options());
    for (index, scope) in [(0, CLINICAL), (3, CLINICAL), (1, CLINICAL), (1, CONTACT)] {
        key(&tree, index, scope).await.expect("a key");
        tree.fence(&[all_of(index, scope)]).await.expect("a fence");
        nodes.take_reads();
        let receipt = tree.shred(&[all_of(index, scope)]).await.expect("shredded");
        assert_eq!(receipt.keys_destroyed(), 1);
        let reads = nodes.take_reads();
        let kinds: Vec<&str> = reads.iter().filter_map(|place| place.split('/').next()).collect();
        let path = ["top", "node", "bucket", "changed"];
        // The first one of a process reads the key map, and cannot know who wrote before it came.
        if (index, scope) != (0, CLINICAL) {
            assert_eq!(kinds, [&path[..], &["changes"], &path[..]].concat(), "{reads:?}");
        }
        // What it told without asking is what the store holds.
        let again = world.another_process().shred(&[all_of(index, scope)]).await.expect("told again");
        assert_eq!(again, receipt);
        let (root, who) = (receipt.targets[0].root_after, receipt.targets[0].target.data_subject);
        assert!(world.tree.removed(who, root).await.expect("an answer").is_some(), "it is proven");
    }
}

struct Survivor(PersonKey, Key);

async fn survivor(tree: &KeyTree, index: usize, scope: Scope) -> Survivor {
    let (id, key) = key(tree, index, scope).await.expect("a key");
    Survivor(id, key)
}

async fn assert_known(tree: &KeyTree, survivors: &[Survivor]) {
    for Survivor(id, key) in survivors {
        assert_eq!(look(tree, id).await.expect("an answer"), Seen::Known(*key.expose()), "{id}");
    }
}

/// The site is lost after each shred: what it shipped must be whole, whoever wrote what lies between two shipments.
#[tokio::test]
async fn what_a_shred_ships_is_whole_whether_it_asked_for_it_or_knew_it() {
    let world = shipped_world().await;
    let other = world.another_process();
    let mut survivors = Vec::new();
    for (index, others) in [(0, false), (3, true), (4, false), (5, true)] {
        survivors.push(survivor(&world.tree, index, CONTACT).await);
        key(&world.tree, index, CLINICAL).await.expect("a key");
        world.tree.fence(&[all_of(index, CLINICAL)]).await.expect("a fence");
        if others {
            survivors.push(survivor(&other, (index + 1) % 6, Scope::HealthOptional).await);
            survivors.push(survivor(&world.tree, 2, [CLINICAL, CONTACT][index % 2]).await);
        }
        world.tree.shred(&[all_of(index, CLINICAL)]).await.expect("shredded");
        let lost = world.fork().elsewhere();
        lost.tree.claim(&[]).await.expect("claimed");
        assert_known(&lost.tree, &survivors).await;
        assert_eq!(lost.tree.probe(&[all_of(index, CLINICAL)]).await.expect("a probe"), 0);
    }
}

/// A KMS that lets others go first when a root is created: after a rotation has read its path, before it writes it.
struct Meanwhile {
    kms: Arc<MemoryKms>,
    others: Mutex<Option<Others>>,
    made: Mutex<Vec<Survivor>>,
}

/// Another process, and what it does.
struct Others(KeyTree, Doing);

#[derive(Clone, Copy)]
enum Doing {
    /// A key in the same bucket.
    Enrols,
    /// The same person's keys.
    Shreds,
    /// Nobody's.
    Renews,
}

#[async_trait]
impl Kms for Meanwhile {
    async fn create_root(&self, version: u64) -> Result<(), Failure> {
        if let Some(Others(tree, doing)) = self.others.lock().await.take() {
            match doing {
                Doing::Enrols => self.made.lock().await.push(survivor(&tree, 1, CONTACT).await),
                Doing::Shreds => drop(tree.shred(&[all_of(0, CLINICAL)]).await.expect("shredded")),
                Doing::Renews => drop(tree.renew_root().await.expect("renewed")),
            }
        }
        self.kms.create_root(version).await
    }
    async fn wrap(&self, version: u64, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, KmsError> {
        self.kms.wrap(version, context, plain).await
    }
    async fn unwrap(&self, version: u64, context: &[u8], wrapped: &[u8]) -> Result<Vec<u8>, KmsError> {
        self.kms.unwrap(version, context, wrapped).await
    }
    async fn versions(&self) -> Result<BTreeSet<u64>, Failure> {
        self.kms.versions().await
    }
    async fn destroy(&self, version: u64) -> Result<Destruction, Failure> {
        self.kms.destroy(version).await
    }
    fn describe(&self) -> KmsDescription {
        self.kms.describe()
    }
}

async fn moved_meanwhile(world: World, doing: Doing) {
    let mut survivors = vec![survivor(&world.tree, 0, CONTACT).await, survivor(&world.tree, 2, CLINICAL).await];
    key(&world.tree, 0, CLINICAL).await.expect("a key");
    let copy = world.copy();
    world.tree.fence(&[all_of(0, CLINICAL)]).await.expect("a fence");
    let others = Mutex::new(Some(Others(world.another_process(), doing)));
    let kms = Arc::new(Meanwhile { kms: world.kms.clone(), others, made: Mutex::default() });
    let tree = tree_on(world.nodes.clone(), kms.clone(), world.options());
    let receipt = tree.shred(&[all_of(0, CLINICAL)]).await.expect("shredded");
    assert!(kms.others.lock().await.is_none(), "the other one came first");
    assert_eq!((receipt.keys_destroyed(), world.roots().await), (1, 1));
    let fresh = world.another_process();
    survivors.append(&mut *kms.made.lock().await);
    assert_known(&fresh, &survivors).await;
    assert_eq!(fresh.probe_copies(&[all_of(0, CLINICAL)], &[copy]).await.expect("a probe"), 0);
    assert_eq!(fresh.shred(&[all_of(0, CLINICAL)]).await.expect("told again").targets, receipt.targets);
}

#[tokio::test]
async fn what_was_read_before_the_root_was_created_is_read_anew_if_it_has_moved_since() {
    for doing in [Doing::Enrols, Doing::Shreds, Doing::Renews] {
        moved_meanwhile(world().await, doing).await;
        moved_meanwhile(shipped_world().await, doing).await;
    }
}
