//! What is remembered, and for how long.

use std::sync::Arc;

use domain::port::{Failure, Keys as _};
use domain::scope::{Part, Scope};

use super::world::{CLINICAL, CONTACT, Fuse, Fused, Seen, Watched, all_of, key, look, tree_on, world};
use crate::keys::{KeyError, Options, PersonKey};

#[tokio::test]
async fn another_process_s_fence_is_seen_after_one_lease() {
    let world = world().await;
    let (id, first) = key(&world.tree, 0, CLINICAL).await.expect("a key");
    world.another_process().fence(&[all_of(0, CLINICAL)]).await.expect("a fence");
    assert_eq!(look(&world.tree, &id).await.expect("an answer"), Seen::Known(*first.expose()), "within the lease");
    world.clock.advance(5);
    assert_eq!(look(&world.tree, &id).await.expect("an answer"), Seen::Erased);
    assert!(matches!(key(&world.tree, 0, CLINICAL).await, Err(KeyError::Erased(CLINICAL))));
}

#[tokio::test]
async fn no_new_key_slips_in_behind_another_process_s_fence_even_within_a_lease() {
    let world = world().await;
    let (contact, _) = key(&world.tree, 0, CONTACT).await.expect("a key, and its bucket in memory");
    world.another_process().fence(&[all_of(0, CLINICAL)]).await.expect("a fence");
    let wanted = [Scope::HealthOptional, CLINICAL].map(|scope| (scope, Part::all()));
    let refused = world.tree.current_or_create(contact.data_subject, &wanted).await;
    assert!(matches!(refused, Err(KeyError::Erased(CLINICAL))), "{refused:?}");
    let optional = PersonKey { scope: Scope::HealthOptional, ..contact };
    assert_eq!(look(&world.tree, &optional).await.expect("an answer"), Seen::Unknown, "refused is refused as a whole");
}

#[tokio::test]
async fn an_own_fence_is_seen_at_once() {
    let world = world().await;
    let (id, _) = key(&world.tree, 0, CLINICAL).await.expect("a key");
    world.tree.fence(&[all_of(0, CLINICAL)]).await.expect("a fence");
    assert_eq!(look(&world.tree, &id).await.expect("an answer"), Seen::Erased);
}

#[tokio::test]
async fn keys_between_fence_and_shred_are_not_kept_in_memory() {
    let world = world().await;
    let (id, _) = key(&world.tree, 0, CLINICAL).await.expect("a key");
    assert_eq!(world.tree.cache().weight(), 2, "a bucket with a key");
    world.tree.fence(&[all_of(0, CLINICAL)]).await.expect("a fence");
    assert_eq!(look(&world.tree, &id).await.expect("an answer"), Seen::Erased);
    assert_eq!(world.tree.cache().weight(), 0);
    world.tree.shred(&[all_of(0, CLINICAL)]).await.expect("shredded");
    assert_eq!(look(&world.tree, &id).await.expect("an answer"), Seen::Erased);
    assert_eq!(world.tree.cache().weight(), 2, "a bucket with a fence");
}

#[tokio::test]
async fn without_a_lease_no_key_is_handed_out_from_memory() {
    let world = world().await;
    let fuse = Fuse::new(1000, false);
    let nodes = Arc::new(Fused(world.nodes.clone(), fuse.clone()));
    let tree = tree_on(nodes, world.kms.clone(), world.options());
    let (id, first) = key(&tree, 0, CLINICAL).await.expect("a key");
    fuse.blow();
    assert_eq!(look(&tree, &id).await.expect("from memory"), Seen::Known(*first.expose()));
    world.clock.advance(5);
    let answer = look(&tree, &id).await;
    assert!(matches!(answer, Err(Failure::Unavailable { .. })), "{answer:?}");
}

#[tokio::test]
async fn own_writes_cost_no_reading_when_the_lease_is_renewed_and_foreign_ones_do() {
    let world = world().await;
    let nodes = Watched::new(world.nodes.clone(), 100);
    let tree = tree_on(nodes.clone(), world.kms.clone(), world.options());
    let (id, _) = key(&tree, 0, CLINICAL).await.expect("a key");
    key(&tree, 4, CLINICAL).await.expect("a key");
    nodes.take_reads();
    world.clock.advance(5);
    look(&tree, &id).await.expect("an answer");
    assert_eq!(nodes.take_reads(), Vec::<String>::new(), "only own writes since");
    key(&world.another_process(), 5, CLINICAL).await.expect("a key");
    world.clock.advance(5);
    look(&tree, &id).await.expect("an answer");
    let reads = nodes.take_reads();
    assert_eq!((reads.len(), reads[0].as_str()), (3, "top"), "{reads:?}");
}

#[tokio::test]
async fn two_processes_lose_none_of_each_other_s_keys() {
    let world = world().await;
    let other = world.another_process();
    // Both have the bucket in memory; zero to two share it.
    let mut keys = Vec::new();
    for (tree, index, scope) in [
        (&world.tree, 0, CLINICAL),
        (&other, 1, CLINICAL),
        (&world.tree, 2, CLINICAL),
        (&other, 0, CONTACT),
        (&world.tree, 1, CONTACT),
    ] {
        let (id, key) = key(tree, index, scope).await.expect("a key");
        keys.push((id, *key.expose()));
    }
    for (id, bytes) in keys {
        assert_eq!(look(&world.another_process(), &id).await.expect("an answer"), Seen::Known(bytes), "{id}");
    }
}

#[tokio::test]
async fn a_shred_in_another_process_costs_nobody_a_key() {
    let world = world().await;
    let (id, first) = key(&world.tree, 1, CLINICAL).await.expect("a key, its whole path in memory");
    key(&world.tree, 0, CLINICAL).await.expect("a key");
    let other = world.another_process();
    other.fence(&[all_of(0, CLINICAL)]).await.expect("a fence");
    other.shred(&[all_of(0, CLINICAL)]).await.expect("shredded");
    // Within the lease: the path in memory is dead, the write meets the new one.
    let (new, second) = key(&world.tree, 1, CONTACT).await.expect("a key");
    for (id, key) in [(id, first), (new, second)] {
        assert_eq!(look(&world.another_process(), &id).await.expect("an answer"), Seen::Known(*key.expose()), "{id}");
    }
}

#[tokio::test]
async fn what_is_remembered_is_bounded() {
    let world = world().await;
    let options = Options { cached_keys: 8, ..world.options() };
    let tree = tree_on(world.nodes.clone(), world.kms.clone(), options);
    for number in 0..40 {
        let somebody = domain::history::DataSubject(uuid::Uuid::from_u128(1000 + number));
        tree.current_or_create(somebody, &[(CLINICAL, Part::all())]).await.expect("a key");
        let weight = tree.cache().weight();
        assert!((1..=8).contains(&weight), "{weight}");
    }
}

#[tokio::test]
async fn what_was_opened_is_vouched_for_until_somebody_fences_or_nobody_answers() {
    let world = world().await;
    let fuse = Fuse::new(1000, false);
    let tree = tree_on(Arc::new(Fused(world.nodes.clone(), fuse.clone())), world.kms.clone(), world.options());
    let before = tree.vouch().await.expect("a number");
    key(&tree, 0, CLINICAL).await.expect("a key");
    world.clock.advance(5);
    assert_eq!(tree.vouch().await.expect("a number"), before, "a new key is no fence, and the lease is renewed");
    tree.fence(&[all_of(0, CLINICAL)]).await.expect("a fence");
    let own = tree.vouch().await.expect("a number");
    assert_ne!(own, before);
    world.another_process().fence(&[all_of(1, CLINICAL)]).await.expect("a fence");
    world.clock.advance(5);
    let foreign = tree.vouch().await.expect("a number");
    assert_ne!(foreign, own, "another process's fence is seen after one lease");
    tree.forget();
    assert_ne!(tree.vouch().await.expect("a number"), foreign, "an announced one at once");
    fuse.blow();
    world.clock.advance(5);
    assert!(matches!(tree.vouch().await, Err(Failure::Unavailable { .. })));
}
