//! A tree from before there were heads: found at a start, given one, and as good as any other from then on.

use std::sync::Arc;

use domain::port::{Failure, Keys as _, OffSite as _};

use super::world::{CLINICAL, CONTACT, Fuse, Seen, World, all_of, key, look, world};
use crate::keys::{KeyTree, PersonKey};
use crate::off_site::MemoryOffSite;

struct Given {
    world: World,
    stays: (PersonKey, [u8; 32]),
}

/// Two people of one bucket, in a store without site and head.
async fn old_tree() -> Given {
    let mut world = world().await;
    key(&world.tree, 0, CLINICAL).await.expect("a key");
    let (stays, bytes) = key(&world.tree, 1, CONTACT).await.expect("a key");
    world.nodes.lose("site");
    world.nodes.lose("head");
    world.restart();
    Given { world, stays: (stays, *bytes.expose()) }
}

/// Whether the tree erases person zero and nobody else.
async fn erases(tree: &KeyTree, given: &Given) {
    tree.fence(&[all_of(0, CLINICAL)]).await.expect("a fence");
    let receipt = tree.shred(&[all_of(0, CLINICAL)]).await.expect("shredded");
    assert_eq!((receipt.keys_destroyed(), given.world.roots().await), (1, 1));
    assert_eq!(look(tree, &given.stays.0).await.expect("an answer"), Seen::Known(given.stays.1));
}

#[tokio::test]
async fn it_is_read_before_and_erases_after() {
    let given = old_tree().await;
    let tree = &given.world.tree;
    assert_eq!(look(tree, &given.stays.0).await.expect("an answer"), Seen::Known(given.stays.1));
    tree.attach().await.expect("adopted");
    let (record, _) = tree.local_head().await.expect("memory").expect("a head");
    assert_eq!(
        (record.head.site, record.head.shipped, record.head.reserved),
        (tree.site().await.expect("a site"), 1, None)
    );
    erases(tree, &given).await;
    // A later start changes nothing.
    let (before, later) = (given.world.copy(), given.world.another_process());
    later.attach().await.expect("attached");
    assert_eq!(given.world.copy(), before);
}

#[tokio::test]
async fn its_head_then_goes_off_site_as_any_other() {
    for is_adopted_first in [true, false] {
        let mut given = old_tree().await;
        if is_adopted_first {
            given.world.tree.attach().await.expect("adopted");
        }
        let there = Arc::new(MemoryOffSite::default());
        given.world.off_site = Some(there.clone());
        given.world.restart();
        given.world.tree.attach().await.expect("attached");
        assert!(there.head().await.expect("memory").is_some());
        erases(&given.world.tree, &given).await;
        let lost = given.world.elsewhere();
        lost.tree.claim(&[]).await.expect("claimed");
        assert_eq!(look(&lost.tree, &given.stays.0).await.expect("an answer"), Seen::Known(given.stays.1));
    }
}

#[tokio::test]
async fn a_crash_in_between_is_made_good_by_the_next_start() {
    let template = old_tree().await;
    let mut is_through = false;
    for (steps, after) in (0..12).flat_map(|steps| [(steps, false), (steps, true)]) {
        let given = Given { world: template.world.fork(), stays: template.stays.clone() };
        let (doomed, fuse) = given.world.doomed(steps, after);
        let outcome = doomed.attach().await;
        assert_eq!(outcome.is_err(), fuse.has_blown(), "{outcome:?}");
        is_through |= outcome.is_ok();
        let tree = given.world.another_process();
        tree.attach().await.expect("adopted");
        erases(&tree, &given).await;
    }
    assert!(is_through, "every step was a crash");
}

#[tokio::test]
async fn two_processes_at_once_agree_on_one_site() {
    let template = old_tree().await;
    for seed in 0..40 {
        let given = Given { world: template.world.fork(), stays: template.stays.clone() };
        let (one, _) = given.world.fused(Fuse::shuffled(i64::MAX, seed));
        let (two, _) = given.world.fused(Fuse::shuffled(i64::MAX, seed + 1000));
        let done = tokio::join!(one.attach(), two.attach());
        assert!(matches!(done, (Ok(()), Ok(()))), "{done:?}");
        assert_eq!(one.site().await.expect("a site"), two.site().await.expect("a site"));
        erases(&one, &given).await;
    }
}

#[tokio::test]
async fn what_is_half_there_or_being_restored_is_not_adopted() {
    for lost in ["site", "head", "top"] {
        let world = world().await;
        world.nodes.lose(lost);
        let (before, tree) = (world.copy(), world.another_process());
        let refused = tree.attach().await;
        assert!(matches!(refused, Err(Failure::Missing { .. })) || lost == "top", "{lost}: {refused:?}");
        assert_eq!(world.copy(), before, "{lost}");
    }
    let given = old_tree().await;
    given.world.nodes.lose("top");
    let before = given.world.copy();
    assert!(given.world.tree.attach().await.is_err(), "no tree");
    assert_eq!(given.world.copy(), before);
    let given = old_tree().await;
    let bytes = br#"{"format":1,"site":"00000000-0000-4000-8000-000000000000"}"#.to_vec();
    let write = crate::keys::NodeWrite { place: "claiming".to_owned(), bytes, expected_sequence: 0 };
    crate::keys::NodeStore::write(&*given.world.nodes, vec![write]).await.expect("memory takes it");
    let before = given.world.copy();
    let refused = given.world.tree.attach().await.expect_err("being restored").to_string();
    assert!(refused.contains("being restored"), "{refused}");
    assert_eq!(given.world.copy(), before);
}
