//! What goes wrong when a shred is done by halves, each seen to fail; then the real one.

use std::sync::atomic::{AtomicUsize, Ordering};

use domain::port::{Keys as _, Kms as _, Target};

use super::world::{CLINICAL, CONTACT, Seen, World, all_of, key, look, world};
use crate::keys::fence::by_bucket;
use crate::keys::rekey::{NextKey, Rewritten, fresh, remove};
use crate::keys::{Key, PersonKey, TreeCopy};

/// Two neighbours of one bucket and one person elsewhere; the first is fenced; everything as it was is kept.
struct Given {
    world: World,
    copy: TreeCopy,
    gone: [Target; 1],
    survivors: Vec<(PersonKey, [u8; 32])>,
}

async fn given() -> Given {
    let world = world().await;
    key(&world.tree, 0, CLINICAL).await.expect("a key");
    let mut survivors = Vec::new();
    for (index, scope) in [(0, CONTACT), (1, CLINICAL), (3, CLINICAL), (4, CLINICAL)] {
        let (id, key) = key(&world.tree, index, scope).await.expect("a key");
        survivors.push((id, *key.expose()));
    }
    let gone = [all_of(0, CLINICAL)];
    let copy = world.copy();
    world.tree.fence(&gone).await.expect("a fence");
    Given { world, copy, gone, survivors }
}

impl Given {
    /// The write of a shred, with keys as `next` gives them. The old root is destroyed unless `keep`.
    async fn shred_wrongly(&self, next: NextKey<'_>, keep: bool) {
        let tree = &self.world.tree;
        let wanted = by_bucket(&self.gone);
        let mut paths = tree.read_paths(wanted.keys()).await.expect("paths");
        let removed = remove(&mut paths, &wanted).expect("it is fenced");
        assert_eq!(removed[0].keys, 1);
        let before = paths.top.root;
        self.world.kms.create_root(before + 1).await.expect("memory answers");
        let written = tree.rewrite(paths, before + 1, removed, next).await.expect("a write");
        assert!(matches!(written, Rewritten::Done));
        let (mut record, sequence) = tree.local_head().await.expect("memory answers").expect("a head");
        record.head.shipped = before + 1;
        tree.swap_local_head(sequence, &record).await.expect("nobody else is here");
        if !keep {
            self.world.kms.destroy(before).await.expect("memory answers");
        }
    }

    async fn reached(&self) -> u64 {
        // The live tree itself never leads to the key any more: whatever is reached, is reached through the copy.
        assert_eq!(self.world.tree.probe(&self.gone).await.expect("a probe"), 0);
        self.world.tree.probe_copies(&self.gone, std::slice::from_ref(&self.copy)).await.expect("a probe")
    }

    async fn assert_survivors(&self) {
        for tree in [&self.world.tree, &self.world.another_process()] {
            for (id, bytes) in &self.survivors {
                assert_eq!(look(tree, id).await.expect("an answer"), Seen::Known(*bytes), "{id}");
            }
        }
    }
}

#[tokio::test]
async fn rewrapping_under_the_same_node_keys_leaves_an_old_copy_readable() {
    let given = given().await;
    given.shred_wrongly(&|old: &Key| old.clone(), false).await;
    assert_eq!(given.reached().await, 1);
}

#[tokio::test]
async fn a_fresh_bucket_key_below_the_same_node_key_leaves_an_old_copy_readable() {
    let given = given().await;
    let calls = AtomicUsize::new(0);
    let next = |old: &Key| {
        if calls.fetch_add(1, Ordering::SeqCst) == 0 { Key::random() } else { old.clone() }
    };
    given.shred_wrongly(&next, false).await;
    assert_eq!((calls.into_inner(), given.reached().await), (2, 1));
}

#[tokio::test]
async fn a_fresh_node_key_above_the_same_bucket_key_leaves_an_old_copy_readable() {
    let given = given().await;
    let calls = AtomicUsize::new(0);
    let next = |old: &Key| {
        if calls.fetch_add(1, Ordering::SeqCst) == 0 { old.clone() } else { Key::random() }
    };
    given.shred_wrongly(&next, false).await;
    assert_eq!((calls.into_inner(), given.reached().await), (2, 1));
}

#[tokio::test]
async fn keeping_the_old_root_leaves_an_old_copy_readable() {
    let given = given().await;
    given.shred_wrongly(&fresh, true).await;
    assert_eq!(given.reached().await, 1);
    // A shred that is called again finds nothing to remove, and finishes what was left undone.
    let receipt = given.world.tree.shred(&given.gone).await.expect("finished");
    assert_eq!((receipt.keys_destroyed(), given.world.roots().await), (1, 1), "and tells what was done");
    assert_eq!(given.reached().await, 0);
    given.assert_survivors().await;
}

#[tokio::test]
async fn the_real_shred_leaves_nothing_of_the_erased_and_all_of_the_others() {
    let given = given().await;
    let tree = &given.world.tree;
    assert_eq!(tree.probe(&given.gone).await.expect("a probe"), 1, "a fence alone destroys nothing");
    let receipt = tree.shred(&given.gone).await.expect("shredded");
    assert_eq!((receipt.keys_destroyed(), receipt.targets[0].root_before, receipt.targets[0].root_after), (1, 1, 2));
    assert_eq!(given.world.roots().await, 1);
    assert_eq!(given.reached().await, 0);
    given.assert_survivors().await;
}

#[tokio::test]
async fn a_root_that_was_made_and_never_used_is_destroyed_too() {
    let given = given().await;
    given.world.tree.shred(&given.gone).await.expect("shredded");
    given.world.kms.create_root(3).await.expect("memory answers");
    let receipt = given.world.tree.shred(&given.gone).await.expect("nothing to remove");
    assert_eq!((receipt.keys_destroyed(), receipt.targets[0].root_after, given.world.roots().await), (1, 2, 1));
    given.assert_survivors().await;
}

#[tokio::test]
async fn what_is_not_fenced_is_not_shredded() {
    let given = given().await;
    let other = [all_of(1, CLINICAL)];
    let error = given.world.tree.shred(&other).await.expect_err("no fence");
    assert!(error.to_string().contains("fence"), "{error}");
    assert_eq!((given.world.tree.probe(&other).await.expect("a probe"), given.world.roots().await), (1, 1));
}
