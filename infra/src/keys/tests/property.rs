//! Whatever is done in whatever order: every survivor is readable, no erased key is, by any path.

use std::collections::{BTreeMap, BTreeSet};

use domain::port::{Keys as _, Target};
use domain::scope::{Part, Scope};
use proptest::prelude::*;

use super::world::{CLINICAL, CONTACT, Seen, World, look, person, world};
use crate::keys::{KeyError, PersonKey, TreeCopy};

#[derive(Debug, Clone)]
enum Op {
    Use { who: usize, scope: Scope, part: usize },
    Fence { who: usize, scope: Scope, part: Option<usize> },
    ShredAllOf { who: usize },
    Restart,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let who = || 0..6_usize;
    let scope = || prop_oneof![Just(CLINICAL), Just(CONTACT)];
    let op = prop_oneof![
        6 => (who(), scope(), 0..3_usize).prop_map(|(who, scope, part)| Op::Use { who, scope, part }),
        3 => (who(), scope(), proptest::option::of(0..3_usize))
            .prop_map(|(who, scope, part)| Op::Fence { who, scope, part }),
        2 => who().prop_map(|who| Op::ShredAllOf { who }),
        1 => Just(Op::Restart),
    ];
    proptest::collection::vec(op, 1..30)
}

fn part(index: usize) -> Part {
    Part::try_from(["all", "x-0", "x-1"][index].to_owned()).expect("a part")
}

/// What ought to be, in a few maps.
#[derive(Default)]
struct Model {
    made: BTreeMap<PersonKey, [u8; 32]>,
    fences: BTreeSet<Target>,
    shredded: BTreeSet<PersonKey>,
    /// The tree as it was before each operation: nobody can be kept from keeping one.
    copies: Vec<TreeCopy>,
}

impl Model {
    fn is_fenced(&self, id: &PersonKey) -> bool {
        self.fences.iter().any(|fence| hits(fence, id))
    }

    fn expected(&self, id: &PersonKey) -> Seen {
        if self.is_fenced(id) { Seen::Erased } else { self.made.get(id).map_or(Seen::Unknown, |key| Seen::Known(*key)) }
    }
}

fn hits(fence: &Target, id: &PersonKey) -> bool {
    (fence.data_subject, fence.scope) == (id.data_subject, id.scope)
        && fence.part.as_ref().is_none_or(|part| *part == id.part)
}

async fn apply(world: &mut World, model: &mut Model, op: Op) {
    model.copies.push(world.copy());
    match op {
        Op::Use { who, scope, part: index } => {
            let id = PersonKey { data_subject: person(who), scope, part: part(index), generation: 1 };
            match world.tree.current_or_create(person(who), &[(scope, part(index))]).await {
                Ok(keys) => {
                    assert!(!model.is_fenced(&id), "{id} came back");
                    let bytes = *keys[0].1.expose();
                    assert_eq!((&keys[0].0, *model.made.entry(id.clone()).or_insert(bytes)), (&id, bytes));
                }
                Err(KeyError::Erased(_)) => assert!(model.is_fenced(&id), "{id} is not fenced"),
                Err(KeyError::Failed(failure)) => panic!("{failure}"),
            }
        }
        Op::Fence { who, scope, part: index } => {
            let target = Target { data_subject: person(who), scope, part: index.map(part) };
            world.tree.fence(std::slice::from_ref(&target)).await.expect("a fence");
            model.fences.insert(target);
        }
        Op::ShredAllOf { who } => {
            let of_them = |target: &&Target| target.data_subject == person(who);
            let targets: Vec<Target> = model.fences.iter().filter(of_them).cloned().collect();
            let receipt = world.tree.shred(&targets).await.expect("shredded");
            let dying = |id: &&PersonKey| targets.iter().any(|target| hits(target, id));
            let dead: BTreeSet<PersonKey> = model.made.keys().filter(dying).cloned().collect();
            assert_eq!(receipt.keys_destroyed(), dead.len() as u64, "told each time, whenever it was done");
            model.shredded.extend(dead);
        }
        Op::Restart => world.restart(),
    }
}

async fn check(world: &World, model: &Model) {
    for id in model.made.keys() {
        assert_eq!(look(&world.tree, id).await.expect("an answer"), model.expected(id), "{id}");
        let target = Target { data_subject: id.data_subject, scope: id.scope, part: Some(id.part.clone()) };
        let reached = world.tree.probe_copies(&[target], &model.copies).await.expect("a probe");
        assert_eq!(reached, u64::from(!model.shredded.contains(id)), "{id}");
    }
    assert_eq!(world.roots().await, 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_survivor_is_readable_and_no_erased_key_is(ops in ops()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let mut world = world().await;
            let mut model = Model::default();
            for op in ops {
                apply(&mut world, &mut model, op).await;
            }
            check(&world, &model).await;
            world.restart();
            check(&world, &model).await;
        });
    }
}
