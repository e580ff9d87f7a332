//! The process dies at every step there is, before it or right after it; then it is started again.

use domain::port::{Keys as _, Target};
use domain::scope::{Part, Scope};

use super::world::{CLINICAL, CONTACT, Fuse, Fused, Seen, World, all_of, key, look, person, tree_on, world};
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
    let world = world().await;
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

    /// A process that dies after `steps`.
    fn doomed(&self, steps: i64, after: bool) -> (KeyTree, std::sync::Arc<Fuse>) {
        let fuse = Fuse::new(steps, after);
        let nodes = Fused(self.world.nodes.clone(), fuse.clone());
        let kms = Fused(self.world.kms.clone(), fuse.clone());
        (tree_on(std::sync::Arc::new(nodes), std::sync::Arc::new(kms), Options::default()), fuse)
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
            let (tree, fuse) = given.doomed(steps, after);
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

#[tokio::test]
async fn a_shred_that_dies_anywhere_is_finished_by_the_next() {
    let given = given().await;
    given.world.tree.fence(&given.gone).await.expect("a fence");
    let steps = at_every_step(
        &given,
        async |tree, given| tree.shred(&given.gone).await.is_ok(),
        async |given, at| {
            given.assert_survivors(at).await;
            for id in &given.erased {
                assert_eq!(look(&given.world.tree, id).await.expect("an answer"), Seen::Erased, "{at}");
            }
            given.world.tree.shred(&given.gone).await.expect("finished");
            assert_eq!(given.world.roots().await, 1, "{at}");
            let reached = given.world.tree.probe_copies(&given.gone, std::slice::from_ref(&given.copy)).await;
            assert_eq!(reached.expect("a probe"), 0, "{at}");
            given.assert_survivors(at).await;
        },
    )
    .await;
    assert!(steps > 10, "a shred has more than {steps} steps");
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
