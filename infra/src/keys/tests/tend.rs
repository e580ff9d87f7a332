//! What is done now and then: another site that has taken over is noticed, and what is new goes elsewhere.

use std::sync::Arc;

use domain::port::{Failure, Keys as _, OffSite};

use super::world::{CLINICAL, CONTACT, Fuse, Fused, Seen, World, all_of, key, look, shipped_world, tree_on, world};
use crate::keys::{KeyError, Options};

#[tokio::test]
async fn a_site_that_was_taken_over_hands_out_nothing_once_it_looks() {
    let world = shipped_world().await;
    let (id, bytes) = key(&world.tree, 0, CLINICAL).await.expect("a key");
    world.tree.check_site().await.expect("it is this site's");
    world.tree.ship_inserts().await.expect("shipped");
    world.elsewhere().tree.claim(&[]).await.expect("claimed");
    // What is in memory is still used: nothing here knows of it yet.
    assert_eq!(look(&world.tree, &id).await.expect("an answer"), Seen::Known(*bytes.expose()));
    for _ in 0..2 {
        let found = world.tree.check_site().await.expect_err("taken over").to_string();
        assert!(found.contains("taken this tree over") && found.contains("stop"), "{found}");
    }
    assert!(world.tree.is_superseded());
    assert!(matches!(look(&world.tree, &id).await, Err(Failure::Damaged { .. })));
    for scope in [CLINICAL, CONTACT] {
        let refused = key(&world.tree, 0, scope).await;
        assert!(matches!(refused, Err(KeyError::Failed(Failure::Damaged { .. }))), "{scope}");
    }
}

#[tokio::test]
async fn a_target_that_does_not_answer_stops_nobody() {
    let world = shipped_world().await;
    let there = world.off_site.clone().expect("a target");
    let (fuse, cut) = (Fuse::new(i64::MAX, false), |fuse: &Arc<Fuse>| fuse.blow());
    let off_site: Arc<dyn OffSite> = Arc::new(Fused(there, fuse.clone()));
    let options = Options { off_site: Some(off_site), ..world.options() };
    let tree = tree_on(world.nodes.clone(), world.kms.clone(), options);
    tree.check_site().await.expect("it is this site's");
    cut(&fuse);
    assert!(matches!(tree.check_site().await, Err(Failure::Unavailable { .. })));
    assert!(!tree.is_superseded());
    key(&tree, 0, CLINICAL).await.expect("a key");
}

#[tokio::test]
async fn a_head_that_stands_in_the_store_is_this_site_s() {
    let world = world().await;
    world.tree.check_site().await.expect("its own");
    assert_eq!(world.tree.tend().await.expect("nothing to ship to"), None);
}

/// What stands off-site: the head with its tag, and the names of all packs.
async fn there(world: &World) -> (Option<(Vec<u8>, domain::port::HeadTag)>, Vec<String>) {
    let off_site = world.off_site.as_ref().expect("a target");
    (off_site.head().await.expect("memory answers"), off_site.list("tree/").await.expect("memory answers"))
}

#[tokio::test]
async fn what_is_new_goes_elsewhere_and_nothing_is_written_without_news() {
    let world = shipped_world().await;
    let mut before = there(&world).await;
    for index in 0..3 {
        assert_eq!(world.tree.tend().await.expect("tended").expect("a target").packs, 0);
        assert_eq!(there(&world).await, before, "nothing was new");
        let (id, bytes) = key(&world.tree, index, CLINICAL).await.expect("a key");
        assert_eq!(world.tree.tend().await.expect("tended").expect("a target").packs, 1);
        let after = there(&world).await;
        assert_eq!(after.1.len(), before.1.len() + 1);
        before = after;
        let lost = world.fork().elsewhere();
        lost.tree.claim(&[]).await.expect("claimed");
        assert_eq!(look(&lost.tree, &id).await.expect("an answer"), Seen::Known(*bytes.expose()));
    }
    world.tree.fence(&[all_of(0, CLINICAL)]).await.expect("a fence");
    assert_eq!(world.tree.tend().await.expect("tended").expect("a target").packs, 1, "a fence is news");
}
