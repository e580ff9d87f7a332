//! The process dies at every step there is, before it or right after it; then it is started again.

use domain::port::{Keys as _, Target};
use domain::scope::{Part, Scope};

use super::world::{
    CLINICAL, CONTACT, Fuse, Fused, Seen, World, all_of, key, look, person, shipped_world, tree_on, world,
};
use crate::keys::{KeyTree, Options, PersonKey, TreeCopy};

struct Given {
    world: World,
    copy: TreeCopy,
    gone: Vec<Target>,
    erased: Vec<PersonKey>,
    survivors: Vec<(PersonKey, [u8; 32])>,
}

/// Two people to forget, in two nodes; survivors beside them.
async fn given() -> Given {
    given_in(world().await).await
}

async fn given_in(world: World) -> Given {
    let mut erased = Vec::new();
    for index in [0, 4] {
        erased.push(key(&world.tree, index, CLINICAL).await.expect("a key").0);
    }
    let mut survivors = Vec::new();
    for (index, scope) in [(0, CONTACT), (1, CLINICAL), (2, CONTACT), (3, CLINICAL), (5, CLINICAL)] {
        let (id, key) = key(&world.tree, index, scope).await.expect("a key");
        survivors.push((id, *key.expose()));
    }
    let copy = world.copy();
    Given { world, copy, gone: vec![all_of(0, CLINICAL), all_of(4, CLINICAL)], erased, survivors }
}

impl Given {
    fn fork(&self) -> Self {
        let Self { world, copy, gone, erased, survivors } = self;
        let (copy, gone, erased, survivors) = (copy.clone(), gone.clone(), erased.clone(), survivors.clone());
        Self { world: world.fork(), copy, gone, erased, survivors }
    }

    async fn assert_survivors(&self, at: &str) {
        for (id, bytes) in &self.survivors {
            assert_eq!(look(&self.world.tree, id).await.expect("an answer"), Seen::Known(*bytes), "{id} {at}");
        }
    }
}

/// Runs `work` in a process that dies at each step in turn, then `check` in one that lives.
async fn at_every_step(
    given: &Given,
    work: impl AsyncFn(&KeyTree, &Given) -> bool,
    check: impl AsyncFn(&Given, &str),
) -> i64 {
    for steps in 0.. {
        let mut whole = true;
        for after in [false, true] {
            let mut given = given.fork();
            let (tree, fuse) = given.world.doomed(steps, after);
            let done = work(&tree, &given).await;
            // Whoever dies must not have said that it was done.
            assert!(!(done && fuse.has_blown()), "said done although it died at step {steps}");
            whole &= !fuse.has_blown();
            given.world.restart();
            check(&given, &format!("after dying at step {steps}, carried out: {after}")).await;
        }
        if whole {
            return steps;
        }
    }
    unreachable!("work has an end")
}

async fn assert_shredded(given: &Given, at: &str) {
    for id in &given.erased {
        assert_eq!(look(&given.world.tree, id).await.expect("an answer"), Seen::Erased, "{at}");
    }
    assert_eq!(given.world.roots().await, 1, "{at}");
    let reached = given.world.tree.probe_copies(&given.gone, std::slice::from_ref(&given.copy)).await;
    assert_eq!(reached.expect("a probe"), 0, "{at}");
    given.assert_survivors(at).await;
}

#[tokio::test]
async fn a_shred_that_dies_anywhere_is_finished_by_the_next_which_tells_what_was_done() {
    for (world, least) in [(world().await, 15), (shipped_world().await, 25)] {
        let given = given_in(world).await;
        given.world.tree.fence(&given.gone).await.expect("a fence");
        let steps = at_every_step(
            &given,
            async |tree, given| tree.shred(&given.gone).await.is_ok(),
            async |given, at| {
                given.assert_survivors(at).await;
                for id in &given.erased {
                    assert_eq!(look(&given.world.tree, id).await.expect("an answer"), Seen::Erased, "{at}");
                }
                let receipt = given.world.tree.shred(&given.gone).await.expect("finished");
                let told = receipt.targets.iter().map(|told| (told.keys, told.root_before, told.root_after));
                assert_eq!(told.collect::<Vec<_>>(), [(1, 1, 2), (1, 1, 2)], "{at}");
                assert_shredded(given, at).await;
            },
        )
        .await;
        assert!(steps > least, "a shred has more than {steps} steps");
    }
}

#[tokio::test]
async fn a_shipment_that_dies_anywhere_costs_nobody_and_is_made_by_the_next() {
    let given = given_in(shipped_world().await).await;
    at_every_step(
        &given,
        async |tree, _| tree.ship_inserts().await.is_ok(),
        async |given, at| {
            given.world.tree.ship_inserts().await.expect("shipped");
            let elsewhere = given.world.elsewhere();
            elsewhere.tree.claim(&[]).await.expect("claimed");
            Given { world: elsewhere, ..given.fork() }.assert_survivors(at).await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_head_that_goes_off_site_and_dies_anywhere_is_in_one_place_only() {
    let mut given = given().await;
    given.world.off_site = Some(std::sync::Arc::default());
    let steps = at_every_step(
        &given,
        async |tree, _| tree.attach().await.is_ok(),
        async |given, at| {
            given.world.tree.attach().await.expect("attached");
            let without = tree_on(given.world.nodes.clone(), given.world.kms.clone(), Options::default());
            assert!(without.attach().await.is_err(), "{at}");
            given.world.tree.fence(&given.gone).await.expect("a fence");
            given.world.tree.shred(&given.gone).await.expect("shredded");
            assert_shredded(given, at).await;
        },
    )
    .await;
    assert!(steps > 8, "it has more than {steps} steps");
}

#[tokio::test]
async fn a_claim_that_dies_anywhere_serves_nothing_and_is_finished_by_the_next() {
    let given = given_in(shipped_world().await).await;
    given.world.tree.ship_inserts().await.expect("shipped");
    let lost = Given { world: given.world.elsewhere(), ..given.fork() };
    let steps = at_every_step(
        &lost,
        async |tree, given| tree.claim(&given.gone).await.is_ok(),
        async |given, at| {
            // As long as it is not finished: no key, for whatever reason. Then it is as it should be.
            for id in &given.erased {
                assert!(matches!(look(&given.world.tree, id).await, Err(_) | Ok(Seen::Erased)), "{at}");
            }
            for (id, bytes) in &given.survivors {
                let seen = look(&given.world.tree, id).await;
                assert!(seen.as_ref().map_or(true, |seen| *seen == Seen::Known(*bytes)), "{id} {at}: {seen:?}");
            }
            // Into the same store, or into another one if this is lost, too: what was carried out at one step is what
            // was there before the next, so each is tried after every step.
            let other = Given { world: given.world.elsewhere(), ..given.fork() };
            let given = if at.ends_with("true") { &other } else { given };
            let claimed = given.world.tree.claim(&given.gone).await.expect("claimed");
            assert_eq!(claimed.receipt.keys_destroyed(), 2, "{at}");
            assert_shredded(given, at).await;
            given.world.another_process().attach().await.expect("it is this site's");
        },
    )
    .await;
    assert!(steps > 25, "a claim has more than {steps} steps");
}

#[tokio::test]
async fn a_fence_that_dies_anywhere_stands_or_not_and_costs_nobody() {
    let given = given().await;
    at_every_step(
        &given,
        async |tree, given| tree.fence(&given.gone).await.is_ok(),
        async |given, at| {
            let mut seen = Vec::new();
            for id in &given.erased {
                seen.push(look(&given.world.tree, id).await.expect("an answer") == Seen::Erased);
            }
            assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "all targets are fenced at once {at}");
            given.world.tree.fence(&given.gone).await.expect("fenced");
            for id in &given.erased {
                assert_eq!(look(&given.world.tree, id).await.expect("an answer"), Seen::Erased, "{at}");
            }
            given.assert_survivors(at).await;
        },
    )
    .await;
}

#[tokio::test]
async fn an_insert_that_dies_anywhere_loses_no_key_that_was_handed_out() {
    let given = given().await;
    at_every_step(
        &given,
        async |tree, _| key(tree, 2, Scope::HealthOptional).await.is_ok(),
        async |given, at| {
            let (_, first) = key(&given.world.tree, 2, Scope::HealthOptional).await.expect("a key");
            let (_, second) = key(&given.world.another_process(), 2, Scope::HealthOptional).await.expect("a key");
            assert_eq!(first.expose(), second.expose(), "{at}");
            given.assert_survivors(at).await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_creation_that_dies_anywhere_is_finished_by_the_next() {
    use crate::keys::kms::MemoryKms;
    use crate::keys::memory::MemoryNodes;
    for steps in 0.. {
        let mut whole = true;
        for after in [false, true] {
            let nodes = std::sync::Arc::new(MemoryNodes::default());
            let kms = std::sync::Arc::new(MemoryKms::new(super::world::tenant()));
            let fuse = Fuse::new(steps, after);
            let fused = (Fused(nodes.clone(), fuse.clone()), Fused(kms.clone(), fuse.clone()));
            let (nodes_fused, kms_fused) = (std::sync::Arc::new(fused.0), std::sync::Arc::new(fused.1));
            let done = tree_on(nodes_fused, kms_fused, Options::default()).create().await.is_ok();
            whole &= done;
            let tree = tree_on(nodes, kms.clone(), Options::default());
            let again = tree.create().await;
            assert!(again.is_ok() || fuse.has_blown() || done, "{again:?}");
            tree.current_or_create(person(0), &[(CLINICAL, Part::all())]).await.expect("a tree that works");
            let roots = domain::port::Kms::versions(&*kms).await.expect("memory answers").len();
            assert_eq!(roots, 1, "dying at step {steps}, carried out: {after}");
        }
        if whole {
            assert!(steps > 5, "a creation has more than {steps} steps");
            return;
        }
    }
}

#[tokio::test]
async fn a_head_goes_off_site_whatever_a_rotation_has_left() {
    let given = given().await;
    given.world.tree.fence(&given.gone).await.expect("a fence");
    let mut left = std::collections::BTreeSet::new();
    for steps in 0.. {
        let mut given = given.fork();
        let (tree, fuse) = given.world.doomed(steps, true);
        drop(tree.shred(&given.gone).await);
        if !fuse.has_blown() {
            break;
        }
        let (local, _) = given.world.tree.local_head().await.expect("memory").expect("a head");
        let root = given.world.tree.stored_root().await.expect("memory").0;
        left.insert((local.head.reserved.is_some(), root == local.head.shipped));
        given.world.off_site = Some(std::sync::Arc::default());
        given.world.restart();
        given.world.tree.attach().await.expect("attached");
        let elsewhere = Given { world: given.world.elsewhere(), ..given.fork() };
        let receipt = given.world.tree.shred(&given.gone).await.expect("shredded");
        assert_eq!(receipt.keys_destroyed(), 2);
        assert_shredded(&given, &format!("after step {steps}")).await;
        elsewhere.world.tree.claim(&given.gone).await.expect("claimed");
        assert_shredded(&elsewhere, &format!("elsewhere, after step {steps}")).await;
    }
    let all = [(false, true), (true, false), (true, true)];
    assert_eq!(left.into_iter().collect::<Vec<_>>(), all, "nothing, a tree that is not shipped, a reservation");
}
