//! Known, erased, unknown, unavailable: never one for another.

use std::sync::Arc;

use domain::port::{Failure, Keys as _, Kms as _, Target};
use domain::scope::Part;

use super::world::{CLINICAL, CONTACT, Fuse, Fused, Seen, all_of, key, look, person, tenant, tree_on, world};
use crate::keys::kms::MemoryKms;
use crate::keys::memory::MemoryNodes;
use crate::keys::{KeyError, KeyId, KeyState, Options, PersonKey};

#[tokio::test]
async fn a_key_never_heard_of_is_unknown_and_a_fenced_one_is_erased() {
    let world = world().await;
    let (id, first) = key(&world.tree, 0, CLINICAL).await.expect("a key");
    assert_eq!(look(&world.tree, &id).await.expect("an answer"), Seen::Known(*first.expose()));
    let unheard = PersonKey { generation: 2, ..id.clone() };
    let stranger = PersonKey { data_subject: person(1), ..id.clone() };
    for id in [&unheard, &stranger] {
        assert_eq!(look(&world.tree, id).await.expect("an answer"), Seen::Unknown);
    }
    world.tree.fence(&[all_of(0, CLINICAL)]).await.expect("a fence");
    assert_eq!(look(&world.tree, &id).await.expect("an answer"), Seen::Erased);
    assert_eq!(look(&world.tree, &unheard).await.expect("an answer"), Seen::Unknown, "of a later life");
    assert_eq!(look(&world.tree, &stranger).await.expect("an answer"), Seen::Unknown, "of somebody else");
}

#[tokio::test]
async fn after_the_shred_it_is_erased_still_and_never_comes_back() {
    let world = world().await;
    let (id, _) = key(&world.tree, 0, CLINICAL).await.expect("a key");
    let targets = [all_of(0, CLINICAL)];
    world.tree.fence(&targets).await.expect("a fence");
    world.tree.shred(&targets).await.expect("shredded");
    for tree in [&world.tree, &world.another_process()] {
        assert_eq!(look(tree, &id).await.expect("an answer"), Seen::Erased);
        for part in [Part::all(), Part::try_from("new-0".to_owned()).expect("a part")] {
            let refused = tree.current_or_create(person(0), &[(CONTACT, Part::all()), (CLINICAL, part)]).await;
            assert!(matches!(refused, Err(KeyError::Erased(CLINICAL))), "{refused:?}");
        }
    }
    let contact = PersonKey { scope: CONTACT, ..id };
    assert_eq!(look(&world.tree, &contact).await.expect("an answer"), Seen::Unknown, "a refused commit makes no keys");
}

#[tokio::test]
async fn a_fence_may_come_before_any_key() {
    let world = world().await;
    world.tree.fence(&[all_of(0, CLINICAL)]).await.expect("a fence");
    assert!(matches!(key(&world.tree, 0, CLINICAL).await, Err(KeyError::Erased(CLINICAL))));
    let receipt = world.tree.shred(&[all_of(0, CLINICAL)]).await.expect("nothing to destroy");
    assert_eq!((receipt.keys_destroyed(), world.roots().await), (0, 1));
}

#[tokio::test]
async fn one_value_is_redacted_alone() {
    let world = world().await;
    let parts = ["c-0", "c-1"].map(|part| (CLINICAL, Part::try_from(part.to_owned()).expect("a part")));
    let keys = world.tree.current_or_create(person(0), &parts).await.expect("keys");
    let target = Target { data_subject: person(0), scope: CLINICAL, part: Some(parts[0].1.clone()) };
    let copy = world.copy();
    world.tree.fence(std::slice::from_ref(&target)).await.expect("a fence");
    world.tree.shred(std::slice::from_ref(&target)).await.expect("shredded");
    assert_eq!(look(&world.tree, &keys[0].0).await.expect("an answer"), Seen::Erased);
    assert_eq!(look(&world.tree, &keys[1].0).await.expect("an answer"), Seen::Known(*keys[1].1.expose()));
    assert_eq!(world.tree.probe_copies(&[target], &[copy]).await.expect("a probe"), 0);
}

#[tokio::test]
async fn the_structure_key_outlives_every_shred() {
    let world = world().await;
    let (generation, before) = world.tree.structure_key().await.expect("a key");
    key(&world.tree, 0, CLINICAL).await.expect("a key");
    world.tree.fence(&[all_of(0, CLINICAL)]).await.expect("a fence");
    world.tree.shred(&[all_of(0, CLINICAL)]).await.expect("shredded");
    let id = KeyId::Tenant { generation };
    let states = world.another_process().get(&[&id, &KeyId::Tenant { generation: 9 }]).await.expect("an answer");
    assert!(matches!(&states[0], KeyState::Known(key) if key.expose() == before.expose()));
    assert!(matches!(states[1], KeyState::Unknown));
}

#[tokio::test]
async fn a_world_that_does_not_answer_is_unavailable_never_erased() {
    let world = world().await;
    let (id, _) = key(&world.tree, 0, CLINICAL).await.expect("a key");
    // Step 0 is the site, 1 the head, 2 the top, 3 the KMS, 4 the node, 5 the bucket.
    for steps in 0..6 {
        let fuse = Fuse::new(steps, false);
        let nodes = Arc::new(Fused(world.nodes.clone(), fuse.clone()));
        let kms = Arc::new(Fused(world.kms.clone(), fuse.clone()));
        let answer = look(&tree_on(nodes, kms, Options::default()), &id).await;
        assert!(matches!(answer, Err(Failure::Unavailable { .. })), "step {steps}: {answer:?}");
    }
}

#[tokio::test]
async fn another_kms_or_another_store_is_missing_never_erased() {
    let world = world().await;
    let (id, _) = key(&world.tree, 0, CLINICAL).await.expect("a key");
    let empty_kms = Arc::new(MemoryKms::new(tenant()));
    let answer = look(&tree_on(world.nodes.clone(), empty_kms, Options::default()), &id).await;
    assert!(matches!(&answer, Err(Failure::Missing { what }) if what.contains("root version 1")), "{answer:?}");
    let empty_store = Arc::new(MemoryNodes::default());
    let answer = look(&tree_on(empty_store, world.kms.clone(), Options::default()), &id).await;
    assert!(matches!(&answer, Err(Failure::Missing { what }) if what.contains("never created")), "{answer:?}");
}

#[tokio::test]
async fn nodes_of_another_tenant_or_place_are_damaged() {
    let world = world().await;
    let (id, _) = key(&world.tree, 0, CLINICAL).await.expect("a key");
    let (place, other) = ("node/00", "node/01");
    let copy = world.copy();
    for (place, bytes) in [(place, &copy[other]), ("top", &copy[place])] {
        let world = world.fork();
        let expected_sequence =
            crate::keys::NodeStore::read(&*world.nodes, place).await.expect("memory").expect("it").1;
        let write = crate::keys::NodeWrite { place: place.to_owned(), bytes: bytes.clone(), expected_sequence };
        crate::keys::NodeStore::write(&*world.nodes, vec![write]).await.expect("written");
        let in_node_0 = (1..).map(|n| domain::history::DataSubject(uuid::Uuid::from_u128(n)));
        let mut in_node_0 = in_node_0.filter(|person| crate::keys::store::BucketPlace::of(*person).node == 0);
        let id = PersonKey { data_subject: in_node_0.next().expect("endless"), ..id.clone() };
        let answer = look(&world.tree, &id).await;
        assert!(matches!(answer, Err(Failure::Damaged { .. })), "{place}: {answer:?}");
    }
}

#[tokio::test]
async fn a_tree_is_created_once_and_never_over_the_roots_of_another() {
    let world = world().await;
    assert!(world.tree.create().await.is_err(), "it exists");
    let elsewhere = tree_on(Arc::new(MemoryNodes::default()), world.kms.clone(), Options::default());
    assert!(elsewhere.create().await.is_err(), "the KMS has roots of a tree that is not in this store");
    assert_eq!(world.kms.versions().await.expect("memory answers").into_iter().collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn a_key_that_several_targets_name_counts_once() {
    let whole = all_of(0, CLINICAL);
    let part = Target { part: Some(Part::all()), ..whole.clone() };
    let orders = [[&whole, &part], [&part, &whole], [&whole, &whole], [&part, &part]];
    for [first, second] in orders {
        let targets = [first.clone(), second.clone()];
        let world = world().await;
        key(&world.tree, 0, CLINICAL).await.expect("a key");
        for target in &targets {
            world.tree.fence(std::slice::from_ref(target)).await.expect("a fence");
        }
        for _ in 0..2 {
            let receipt = world.tree.shred(&targets).await.expect("shredded");
            let counts: Vec<u64> = receipt.targets.iter().map(|shredded| shredded.keys).collect();
            assert_eq!(counts, [1, 0], "{first:?}, {second:?}: the first that names it");
            let root = receipt.targets[0].root_after;
            assert!(world.tree.removed(person(0), root).await.expect("memory").is_some(), "{first:?}, {second:?}");
        }
        // Told alone, in another call, it is the same key still.
        let alone = world.tree.shred(std::slice::from_ref(first)).await.expect("told");
        assert_eq!(alone.keys_destroyed(), 1);
    }
}
