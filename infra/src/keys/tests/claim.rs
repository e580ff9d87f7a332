//! A tree taken over: by a site that lost everything, or beside one that still runs.

use std::sync::Arc;

use async_trait::async_trait;
use domain::port::{Failure, HeadTag, Keys as _, Kms as _, OffSite, SwapError};
use tokio::sync::Mutex;

use super::world::{CLINICAL, Seen, World, all_of, key, look, shipped_world, tree_on};
use crate::keys::memory::MemoryNodes;
use crate::keys::{HeadRecord, NodeStore as _, NodeWrite, Options, PersonKey};
use crate::off_site::MemoryOffSite;

struct Given {
    world: World,
    gone: PersonKey,
    stays: (PersonKey, [u8; 32]),
}

/// Two people of one bucket, shipped.
async fn given() -> Given {
    let world = shipped_world().await;
    let (gone, _) = key(&world.tree, 0, CLINICAL).await.expect("a key");
    let (stays, bytes) = key(&world.tree, 1, CLINICAL).await.expect("a key");
    world.tree.ship_inserts().await.expect("shipped");
    Given { world, gone, stays: (stays, *bytes.expose()) }
}

async fn record(off_site: &MemoryOffSite) -> HeadRecord {
    let (bytes, _) = off_site.head().await.expect("memory answers").expect("a head");
    serde_json::from_slice(&bytes).expect("a record")
}

#[tokio::test]
async fn a_site_that_lost_everything_has_all_survivors_and_none_of_the_erased() {
    let given = given().await;
    let copy = given.world.copy();
    let lost = given.world.elsewhere();
    let claimed = lost.tree.claim(&[all_of(0, CLINICAL)]).await.expect("claimed");
    assert_eq!((claimed.loaded, claimed.receipt.keys_destroyed()), (1, 1));
    assert_eq!(look(&lost.tree, &given.gone).await.expect("an answer"), Seen::Erased);
    assert_eq!(look(&lost.tree, &given.stays.0).await.expect("an answer"), Seen::Known(given.stays.1));
    assert_eq!(lost.roots().await, 1);
    let reached = lost.tree.probe_copies(&[all_of(0, CLINICAL)], &[copy]).await.expect("a probe");
    assert_eq!(reached, 0, "the lost site's remains lead nowhere");
    // It goes on as any other.
    lost.tree.fence(&[all_of(1, CLINICAL)]).await.expect("a fence");
    let next = lost.another_process().shred(&[all_of(1, CLINICAL)]).await.expect("shredded");
    assert_eq!((next.keys_destroyed(), lost.roots().await), (1, 1));
    let again = lost.elsewhere();
    again.tree.claim(&[]).await.expect("claimed from what it shipped");
    assert_eq!(look(&again.tree, &given.stays.0).await.expect("an answer"), Seen::Erased);
}

#[tokio::test]
async fn a_site_that_was_taken_over_stops() {
    let given = given().await;
    given.world.tree.fence(&[all_of(0, CLINICAL)]).await.expect("a fence");
    let promoted = given.world.elsewhere();
    promoted.tree.claim(&[]).await.expect("claimed");
    let living = given.world.kms.versions().await.expect("memory answers");
    for refused in [
        given.world.tree.shred(&[all_of(0, CLINICAL)]).await.map(drop),
        given.world.tree.ship_inserts().await.map(drop),
        given.world.another_process().attach().await,
        look(&given.world.tree, &given.stays.0).await.map(drop),
    ] {
        let refused = refused.expect_err("superseded").to_string();
        assert!(refused.contains("taken this tree over"), "{refused}");
    }
    assert_eq!(given.world.kms.versions().await.expect("memory answers"), living, "no root died by it");
    assert_eq!(look(&promoted.tree, &given.stays.0).await.expect("an answer"), Seen::Known(given.stays.1));
}

/// Lets somebody else come before a change of the head.
struct Interrupted {
    there: Arc<MemoryOffSite>,
    /// The number of swaps to let pass, then who comes before the next one.
    first: Mutex<(usize, Option<World>)>,
}

#[async_trait]
impl OffSite for Interrupted {
    async fn head(&self) -> Result<Option<(Vec<u8>, HeadTag)>, Failure> {
        self.there.head().await
    }
    async fn swap_head(&self, expected: Option<&HeadTag>, bytes: &[u8]) -> Result<HeadTag, SwapError> {
        let mut first = self.first.lock().await;
        match first.0.checked_sub(1) {
            Some(left) => first.0 = left,
            None => {
                if let Some(world) = first.1.take() {
                    world.tree.claim(&[]).await.expect("claimed");
                }
            }
        }
        self.there.swap_head(expected, bytes).await
    }
    async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        self.there.put(name, bytes).await
    }
    async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        self.there.get(name).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<String>, Failure> {
        self.there.list(prefix).await
    }
    fn describe(&self) -> String {
        self.there.describe()
    }
}

#[tokio::test]
async fn a_late_head_of_a_site_that_was_taken_over_is_refused() {
    // Before the first swap of the old site's rotation (it reserves), and before the second (it has shipped).
    for passes in 0..2 {
        let given = given().await;
        given.world.tree.fence(&[all_of(0, CLINICAL)]).await.expect("a fence");
        let promoted = given.world.elsewhere();
        let there = given.world.off_site.clone().expect("a target");
        let first = Mutex::new((passes, Some(given.world.elsewhere_sharing(&promoted))));
        let late: Arc<dyn OffSite> = Arc::new(Interrupted { there: there.clone(), first });
        let options = Options { off_site: Some(late), ..given.world.options() };
        let old = tree_on(given.world.nodes.clone(), given.world.kms.clone(), options);
        let refused = old.shred(&[all_of(0, CLINICAL)]).await.expect_err("superseded").to_string();
        assert!(refused.contains("taken this tree over"), "{refused}");
        let record = record(&there).await;
        assert_ne!(record.head.site, old.site().await.expect("a site"), "{passes}");
        // The promoted one serves, and what it has shipped does.
        let seen = look(&promoted.another_process(), &given.stays.0).await;
        assert_eq!(seen.expect("an answer"), Seen::Known(given.stays.1), "{passes}");
        let next = promoted.elsewhere();
        next.tree.claim(&[]).await.expect("claimed");
        let seen = look(&next.another_process(), &given.stays.0).await;
        assert_eq!(seen.expect("an answer"), Seen::Known(given.stays.1), "{passes}");
    }
}

#[tokio::test]
async fn an_altered_pack_is_refused_by_name_and_the_other_site_goes_on() {
    // The first pack holds the top: it is checked before the head is taken.
    let given = given().await;
    let there = given.world.off_site.clone().expect("a target");
    let pack = record(&there).await.packs[0].name.clone();
    there.damage(&pack, |mut bytes| {
        bytes[1000] ^= 1;
        Some(bytes)
    });
    let refused = given.world.elsewhere().tree.claim(&[]).await.expect_err("altered").to_string();
    assert!(refused.contains(&pack), "{refused}");
    assert_eq!(given.world.another_process().attach().await.map_err(|failure| failure.to_string()), Ok(()));
}

#[tokio::test]
async fn only_the_newest_tree_in_the_right_kms_is_claimed() {
    let given = given().await;
    let there = given.world.off_site.clone().expect("a target").fork();
    let wrong_kms = crate::keys::kms::MemoryKms::new(super::world::tenant());
    let shared: Arc<dyn OffSite> = Arc::new(there.fork());
    let options = Options { off_site: Some(shared), ..Options::default() };
    let elsewhere = tree_on(Arc::new(MemoryNodes::default()), Arc::new(wrong_kms), options);
    let refused = elsewhere.claim(&[]).await.expect_err("another KMS").to_string();
    assert!(refused.contains("root version 1"), "{refused}");
    // The target of before the last rotation: its root is dead.
    given.world.tree.renew_root().await.expect("renewed");
    let old: Arc<dyn OffSite> = Arc::new(there.fork());
    let options = Options { off_site: Some(old), ..Options::default() };
    let elsewhere = tree_on(Arc::new(MemoryNodes::default()), given.world.kms.clone(), options.clone());
    let refused = elsewhere.claim(&[]).await.expect_err("an old target").to_string();
    assert!(refused.contains("root 2"), "{refused}");
    // A newer root than any that this target knows, although the old one lives: somebody went on elsewhere.
    given.world.kms.create_root(1).await.expect("memory answers");
    let refused = elsewhere.claim(&[]).await.expect_err("an old target").to_string();
    assert!(refused.contains("newer"), "{refused}");
    // A store with a tree.
    let refused = given.world.another_process().claim(&[]).await.expect_err("not empty").to_string();
    assert!(refused.contains("not empty"), "{refused}");
}

#[tokio::test]
async fn nothing_is_served_from_a_store_that_is_being_restored() {
    let given = given().await;
    let half = given.world.elsewhere();
    let bytes = br#"{"format":1,"site":"00000000-0000-4000-8000-000000000000"}"#.to_vec();
    let mut writes = vec![NodeWrite { place: "claiming".to_owned(), bytes, expected_sequence: 0 }];
    let nodes = given.world.copy().into_iter().filter(|(place, _)| !crate::keys::store::Place::is_local(place));
    writes.extend(nodes.map(|(place, bytes)| NodeWrite { place, bytes, expected_sequence: 0 }));
    half.nodes.write(writes).await.expect("memory takes them");
    let refused = look(&half.tree, &given.stays.0).await.expect_err("not whole").to_string();
    assert!(refused.contains("being restored"), "{refused}");
}
