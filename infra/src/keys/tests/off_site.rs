//! The tree elsewhere: shipped before an old root dies, in packs, under one head.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use domain::port::{Failure, HeadTag, Keys as _, OffSite, SwapError, TreeCopies};

use super::world::{CLINICAL, CONTACT, Seen, World, all_of, key, look, shipped_world, tree_on, world};
use crate::keys::{HeadRecord, Options};
use crate::off_site::MemoryOffSite;

/// A target that takes no objects while told so.
struct Refusing {
    there: Arc<MemoryOffSite>,
    refuses: AtomicBool,
}

#[async_trait]
impl OffSite for Refusing {
    async fn head(&self) -> Result<Option<(Vec<u8>, HeadTag)>, Failure> {
        self.there.head().await
    }
    async fn swap_head(&self, expected: Option<&HeadTag>, bytes: &[u8]) -> Result<HeadTag, SwapError> {
        self.there.swap_head(expected, bytes).await
    }
    async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        if self.refuses.load(Ordering::SeqCst) {
            return Err(Failure::unavailable("the off-site target", "told to refuse"));
        }
        self.there.put(name, bytes).await
    }
    async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        self.there.get(name).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<String>, Failure> {
        self.there.list(prefix).await
    }
    fn describe(&self) -> String {
        "a target that refuses".to_owned()
    }
}

async fn record(world: &World) -> HeadRecord {
    let off_site = world.off_site.as_ref().expect("a target");
    let (bytes, _) = off_site.head().await.expect("memory answers").expect("a head");
    serde_json::from_slice(&bytes).expect("a record")
}

async fn fenced(world: &World) {
    for index in 0..2 {
        key(&world.tree, index, CLINICAL).await.expect("a key");
    }
    world.tree.fence(&[all_of(0, CLINICAL)]).await.expect("a fence");
}

#[tokio::test]
async fn no_root_dies_before_the_new_tree_is_off_site() {
    let world = shipped_world().await;
    fenced(&world).await;
    let there = world.off_site.clone().expect("a target");
    let target = Arc::new(Refusing { there, refuses: AtomicBool::new(true) });
    let options = Options { off_site: Some(target.clone()), ..world.options() };
    let tree = tree_on(world.nodes.clone(), world.kms.clone(), options);
    let refused = tree.shred(&[all_of(0, CLINICAL)]).await;
    assert!(matches!(refused, Err(Failure::Unavailable { .. })), "{refused:?}");
    assert_eq!(world.roots().await, 2, "the old root lives");
    target.refuses.store(false, Ordering::SeqCst);
    let receipt = tree.shred(&[all_of(0, CLINICAL)]).await.expect("finished");
    assert_eq!((receipt.copy, receipt.keys_destroyed(), world.roots().await), (TreeCopies::OffSite, 1, 1));
    assert_eq!(record(&world).await.head.shipped, 2);
}

#[tokio::test]
async fn no_root_dies_before_leases_elsewhere_are_over() {
    let world = world().await;
    fenced(&world).await;
    // Both clocks must say that it is over: this one does at once, the other one never.
    for (settle, advance) in [(3600, 3600), (0, 0)] {
        let settle = Duration::from_secs(settle) + Duration::from_millis(1);
        let tree = Arc::new(tree_on(world.nodes.clone(), world.kms.clone(), Options { settle, ..world.options() }));
        let shred = tokio::spawn({
            let tree = tree.clone();
            async move { tree.shred(&[all_of(0, CLINICAL)]).await.is_ok() }
        });
        // Nothing in this world waits but the wait for leases: all that comes before it is done when the head says so.
        while tree.local_head().await.expect("memory").expect("a head").0.head.shipped == 1 && !shred.is_finished() {
            tokio::task::yield_now().await;
        }
        world.clock.advance(advance);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!((world.roots().await, shred.is_finished()), (2, false), "{settle:?}");
        if advance == 0 {
            world.clock.advance(1);
            assert!(shred.await.expect("no panic"));
            assert_eq!(world.roots().await, 1);
            return;
        }
        shred.abort();
    }
}

#[tokio::test]
async fn what_was_inserted_is_shipped_once_and_without_a_rotation() {
    let world = shipped_world().await;
    let before = record(&world).await;
    let (id, first) = key(&world.tree, 0, CLINICAL).await.expect("a key");
    let shipped = world.tree.ship_inserts().await.expect("shipped").expect("a target");
    assert_eq!(shipped.packs, 1);
    assert!(shipped.bytes < 2_000, "only what is new: {} bytes", shipped.bytes);
    let after = record(&world).await;
    assert_eq!((after.head, after.packs.len()), (before.head, before.packs.len() + 1));
    assert_eq!(world.tree.ship_inserts().await.expect("shipped").expect("a target").packs, 0, "nothing is new");
    assert_eq!(record(&world).await, after);
    let status = world.tree.status().await.expect("a status");
    assert_eq!((status.root, status.packs, status.through, status.last), (1, 2, shipped.through, shipped.through));
    let lost = world.elsewhere();
    lost.tree.claim(&[]).await.expect("claimed");
    assert_eq!(look(&lost.tree, &id).await.expect("an answer"), Seen::Known(*first.expose()));
}

#[tokio::test]
async fn many_small_packs_become_few_and_nothing_is_lost() {
    let world = shipped_world().await;
    let mut survivors = Vec::new();
    let mut most = 0;
    for number in 0..70_u128 {
        let somebody = domain::history::DataSubject(uuid::Uuid::from_u128(5000 + number));
        let keys = world.tree.current_or_create(somebody, &[(CONTACT, domain::scope::Part::all())]).await;
        survivors.push(keys.expect("a key").remove(0));
        world.tree.ship_inserts().await.expect("shipped");
        most = most.max(record(&world).await.packs.len());
    }
    let packs = record(&world).await.packs.len();
    assert!(most > 60 && packs < 10, "{most}, then {packs}");
    let lost = world.elsewhere();
    lost.tree.claim(&[]).await.expect("claimed");
    for (id, key) in survivors {
        assert_eq!(look(&lost.tree, &id).await.expect("an answer"), Seen::Known(*key.expose()));
    }
}

#[tokio::test]
async fn a_tree_whose_head_went_off_site_does_not_start_without_that_target() {
    let world = shipped_world().await;
    let without = tree_on(world.nodes.clone(), world.kms.clone(), Options::default());
    let refused = without.attach().await.expect_err("refused").to_string();
    assert!(refused.contains("off-site") && refused.contains("memory"), "{refused}");
    fenced(&world).await;
    assert!(without.shred(&[all_of(0, CLINICAL)]).await.is_err());
    let empty: Arc<dyn OffSite> = Arc::new(MemoryOffSite::default());
    let wrong = Options { off_site: Some(empty.clone()), ..Options::default() };
    let refused = tree_on(world.nodes.clone(), world.kms.clone(), wrong).attach().await.expect_err("refused");
    assert!(refused.to_string().contains("right off-site target"), "{refused}");
    assert!(empty.head().await.expect("memory").is_none(), "nothing was begun there");
    assert_eq!(world.roots().await, 1, "nothing was done");
}

#[tokio::test]
async fn a_target_with_the_tree_of_another_store_is_refused() {
    let (world, other) = (world().await, shipped_world().await);
    other.elsewhere().tree.claim(&[]).await.expect("now another site's");
    let options =
        Options { off_site: other.off_site.clone().map(|there| there as Arc<dyn OffSite>), ..world.options() };
    let refused = tree_on(world.nodes.clone(), world.kms.clone(), options).attach().await.expect_err("refused");
    assert!(refused.to_string().contains("taken this tree over"), "{refused}");
}

#[tokio::test]
async fn a_store_that_was_put_back_is_found_out() {
    let world = shipped_world().await;
    let old = world.nodes.fork();
    key(&world.tree, 0, CLINICAL).await.expect("a key");
    world.tree.ship_inserts().await.expect("shipped");
    let back = tree_on(Arc::new(old), world.kms.clone(), world.options());
    let refused = back.ship_inserts().await.expect_err("refused").to_string();
    assert!(refused.contains("was put back"), "{refused}");
}
