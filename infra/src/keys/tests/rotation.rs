//! Rotations: alone, two at once, with a KMS that takes its time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::Mutex;

use async_trait::async_trait;
use domain::port::{Destruction, Failure, Keys as _, Kms, KmsDescription, KmsError};
use domain::scope::Scope;
use time::OffsetDateTime;
use time::macros::datetime;

use super::world::{CLINICAL, CONTACT, Fuse, Seen, World, all_of, key, look, shipped_world, tree_on, world};
use crate::keys::kms::MemoryKms;
use crate::keys::memory::MemoryNodes;
use crate::keys::{KeyTree, NodeStore, NodeWrite, NodeWriteError, PersonKey, StoredNode};

#[tokio::test]
async fn a_root_is_renewed_without_an_erasure() {
    for world in [world().await, shipped_world().await] {
        let (id, first) = key(&world.tree, 0, CLINICAL).await.expect("a key");
        assert_eq!(world.tree.renew_root().await.expect("renewed"), (2, Destruction::Done));
        assert_eq!(world.roots().await, 1);
        assert_eq!(look(&world.another_process(), &id).await.expect("an answer"), Seen::Known(*first.expose()));
        let status = world.tree.status().await.expect("a status");
        assert_eq!((status.root, status.head.shipped, status.head.reserved), (2, 2, None));
        let change = world.tree.change(2).await.expect("an answer").expect("a record");
        assert_eq!((change.root_before, change.targets.len()), (1, 0));
        assert_eq!(world.tree.change(3).await.expect("an answer"), None);
    }
}

#[tokio::test]
async fn a_shred_that_was_done_is_told_again_and_moves_nothing() {
    let world = world().await;
    key(&world.tree, 0, CLINICAL).await.expect("a key");
    let targets = [all_of(0, CLINICAL), all_of(3, CONTACT)];
    world.tree.fence(&targets).await.expect("fences");
    let first = world.tree.shred(&targets).await.expect("shredded");
    assert_eq!((first.targets[0].keys, first.targets[1].keys), (1, 0));
    world.tree.renew_root().await.expect("another rotation");
    let head = crate::keys::NodeStore::head(&*world.nodes).await.expect("memory");
    assert_eq!(world.another_process().shred(&targets).await.expect("told again"), first);
    assert_eq!(crate::keys::NodeStore::head(&*world.nodes).await.expect("memory"), head, "nothing was written");
    // Named again beside somebody whose keys are still there: what removed the keys is what is told.
    key(&world.tree, 4, CLINICAL).await.expect("a key");
    world.tree.fence(&[all_of(4, CLINICAL)]).await.expect("a fence");
    let both = world.tree.shred(&[all_of(0, CLINICAL), all_of(4, CLINICAL)]).await.expect("shredded");
    let told = both.targets.iter().map(|told| (told.keys, told.root_before, told.root_after));
    assert_eq!(told.collect::<Vec<_>>(), [(1, 1, 2), (1, 3, 4)]);
}

#[tokio::test]
async fn more_people_than_one_write_takes_are_several_rotations() {
    let world = world().await;
    let mut targets = Vec::new();
    for number in 0..400_u128 {
        let data_subject = domain::history::DataSubject(uuid::Uuid::from_u128(9000 + number));
        let part = (CLINICAL, domain::scope::Part::all());
        world.tree.current_or_create(data_subject, &[part]).await.expect("a key");
        targets.push(domain::port::Target { data_subject, scope: CLINICAL, part: None });
    }
    let copy = world.copy();
    world.tree.fence(&targets).await.expect("fences");
    let receipt = world.tree.shred(&targets).await.expect("shredded");
    let roots: BTreeSet<u64> = receipt.targets.iter().map(|told| told.root_after).collect();
    assert_eq!((receipt.keys_destroyed(), roots.len(), world.roots().await), (400, 2, 1));
    assert!(receipt.targets.iter().map(|told| &told.target).eq(&targets), "in their order");
    assert_eq!(world.tree.probe_copies(&targets, &[copy]).await.expect("a probe"), 0);
}

/// A KMS that keeps what it was told to destroy until a date.
struct Pending {
    kms: Arc<MemoryKms>,
    scheduled: Mutex<BTreeMap<u64, OffsetDateTime>>,
}

const DATE: OffsetDateTime = datetime!(2026-12-22 12:00 UTC);

#[async_trait]
impl Kms for Pending {
    async fn create_root(&self, version: u64) -> Result<(), Failure> {
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
        if !self.kms.versions().await?.contains(&version) {
            return Ok(Destruction::Done);
        }
        let date = DATE + time::Duration::days(version as i64);
        let at = *self.scheduled.lock().expect("not poisoned").entry(version).or_insert(date);
        Ok(Destruction::Scheduled { at })
    }
    fn describe(&self) -> KmsDescription {
        self.kms.describe()
    }
}

#[tokio::test]
async fn a_scheduled_destruction_is_told_with_its_date_and_nobody_waits_for_it() {
    let world = world().await;
    let pending = Arc::new(Pending { kms: world.kms.clone(), scheduled: Mutex::default() });
    let tree = tree_on(world.nodes.clone(), pending.clone(), world.options());
    key(&tree, 0, CLINICAL).await.expect("a key");
    tree.fence(&[all_of(0, CLINICAL)]).await.expect("a fence");
    let at = DATE + time::Duration::days(1);
    for _ in 0..2 {
        let receipt = tree.shred(&[all_of(0, CLINICAL)]).await.expect("shredded");
        assert_eq!((receipt.keys_destroyed(), receipt.destruction), (1, Destruction::Scheduled { at }));
    }
    // The next one waits for both: the later date counts.
    let later = DATE + time::Duration::days(2);
    assert_eq!(tree.renew_root().await.expect("renewed"), (3, Destruction::Scheduled { at: later }));
    for version in [1, 2] {
        world.kms.destroy(version).await.expect("the dates have come");
    }
    let receipt = tree.shred(&[all_of(0, CLINICAL)]).await.expect("told again");
    assert_eq!((receipt.keys_destroyed(), receipt.destruction), (1, Destruction::Done));
}

struct Survivor(PersonKey, [u8; 32]);

/// Two processes shred at once while a third makes keys, in an order that the seed draws; with `steps` each of the two
/// dies there. Then everything is as if one had come after the other.
async fn two_at_once(world: &World, seed: u64, steps: [i64; 2]) {
    let mut survivors = Vec::new();
    for (index, scope) in [(0, CONTACT), (1, CONTACT), (2, CLINICAL), (3, CLINICAL)] {
        let (id, key) = key(&world.tree, index, scope).await.expect("a key");
        survivors.push(Survivor(id, *key.expose()));
    }
    let gone = [[all_of(0, CLINICAL)], [all_of(1, CLINICAL)]];
    for targets in &gone {
        let index = usize::from(targets == &gone[1]);
        key(&world.tree, index, CLINICAL).await.expect("a key");
        world.tree.fence(targets).await.expect("a fence");
    }
    let copy = world.copy();
    let (first, _) = world.fused(Fuse::shuffled(steps[0], 3 * seed));
    let (second, _) = world.fused(Fuse::shuffled(steps[1], 3 * seed + 1));
    let (third, _) = world.fused(Fuse::shuffled(i64::MAX, 3 * seed + 2));
    let made = async {
        let mut made = Vec::new();
        for (index, scope) in [(2, Scope::HealthOptional), (0, Scope::HealthOptional), (4, CONTACT)] {
            // Others may keep it from writing; a key that was handed out stays.
            if let Ok((id, key)) = key(&third, index, scope).await {
                made.push(Survivor(id, *key.expose()));
            }
        }
        made
    };
    let (one, two, made) = tokio::join!(first.shred(&gone[0]), second.shred(&gone[1]), made);
    if steps == [i64::MAX; 2] {
        for receipt in [one, two] {
            assert_eq!(receipt.expect("shredded").keys_destroyed(), 1, "seed {seed}");
        }
        assert_eq!(made.len(), 3, "seed {seed}");
    }
    survivors.extend(made);
    for targets in &gone {
        let receipt = world.another_process().shred(targets).await.expect("finished");
        assert_eq!(receipt.keys_destroyed(), 1, "seed {seed}");
    }
    assert_eq!(world.roots().await, 1, "seed {seed}");
    let tree = world.another_process();
    for Survivor(id, bytes) in &survivors {
        assert_eq!(look(&tree, id).await.expect("an answer"), Seen::Known(*bytes), "{id}, seed {seed}");
    }
    for targets in &gone {
        let reached = tree.probe_copies(targets, std::slice::from_ref(&copy)).await.expect("a probe");
        assert_eq!(reached, 0, "seed {seed}");
    }
    if tree.ship_inserts().await.expect("shipped").is_some() {
        let elsewhere = world.elsewhere();
        elsewhere.tree.claim(&[]).await.expect("what was shipped is whole");
        for Survivor(id, bytes) in &survivors {
            assert_eq!(look(&elsewhere.tree, id).await.expect("an answer"), Seen::Known(*bytes), "{id}, seed {seed}");
        }
    }
}

#[tokio::test]
async fn two_processes_may_rotate_at_once() {
    for template in [world().await, shipped_world().await] {
        for seed in 0..25 {
            two_at_once(&template.fork(), seed, [i64::MAX; 2]).await;
        }
    }
}

#[tokio::test]
async fn two_processes_may_rotate_at_once_and_die() {
    for template in [world().await, shipped_world().await] {
        for seed in 0..40 {
            let steps = [(seed * 7) % 61, (seed * 13) % 67].map(|steps| steps as i64);
            two_at_once(&template.fork(), seed, steps).await;
        }
    }
}

/// Lets somebody else rotate before a change of the head in the store.
struct Interrupted {
    nodes: Arc<MemoryNodes>,
    /// The number of changes to let pass, then who comes before the next one.
    first: tokio::sync::Mutex<(usize, Option<KeyTree>)>,
}

#[async_trait]
impl NodeStore for Interrupted {
    async fn read(&self, place: &str) -> Result<Option<(Vec<u8>, u64)>, Failure> {
        self.nodes.read(place).await
    }
    async fn write(&self, writes: Vec<NodeWrite>) -> Result<Vec<u64>, NodeWriteError> {
        if writes.iter().any(|write| write.place == "head") {
            let mut first = self.first.lock().await;
            match first.0.checked_sub(1) {
                Some(left) => first.0 = left,
                None => {
                    if let Some(other) = first.1.take() {
                        other.renew_root().await.expect("renewed");
                        other.renew_root().await.expect("renewed");
                    }
                }
            }
        }
        self.nodes.write(writes).await
    }
    async fn changed_since(&self, after: u64) -> Result<Vec<StoredNode>, Failure> {
        self.nodes.changed_since(after).await
    }
    async fn head(&self) -> Result<u64, Failure> {
        self.nodes.head().await
    }
}

#[tokio::test]
async fn a_late_change_of_the_head_in_the_store_is_refused_and_the_rotation_begins_anew() {
    // Before it reserves, and before it says what is shipped.
    for passes in 0..2 {
        let world = world().await;
        let (id, first) = key(&world.tree, 1, CLINICAL).await.expect("a key");
        key(&world.tree, 0, CLINICAL).await.expect("a key");
        let copy = world.copy();
        world.tree.fence(&[all_of(0, CLINICAL)]).await.expect("a fence");
        let first_comes = tokio::sync::Mutex::new((passes, Some(world.another_process())));
        let late = Arc::new(Interrupted { nodes: world.nodes.clone(), first: first_comes });
        let tree = tree_on(late.clone(), world.kms.clone(), world.options());
        let receipt = tree.shred(&[all_of(0, CLINICAL)]).await.expect("begun anew");
        assert!(late.first.lock().await.1.is_none(), "the other one came first");
        assert_eq!((receipt.keys_destroyed(), world.roots().await), (1, 1), "{passes}");
        let fresh = world.another_process();
        assert_eq!(look(&fresh, &id).await.expect("an answer"), Seen::Known(*first.expose()), "{passes}");
        assert_eq!(fresh.probe_copies(&[all_of(0, CLINICAL)], &[copy]).await.expect("a probe"), 0, "{passes}");
    }
}
