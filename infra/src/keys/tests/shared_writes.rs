//! Whoever comes while a write is on its way shares the next one.

use std::sync::Arc;

use domain::history::DataSubject;
use domain::scope::Part;
use uuid::Uuid;

use super::world::{CLINICAL, Watched, tree_on, world};
use crate::keys::{KeyTree, Options};

fn somebody(number: u128) -> DataSubject {
    DataSubject(Uuid::from_u128(number))
}

fn ask(tree: &Arc<KeyTree>, number: u128) -> tokio::task::JoinHandle<bool> {
    let tree = tree.clone();
    tokio::spawn(async move { tree.current_or_create(somebody(number), &[(CLINICAL, Part::all())]).await.is_ok() })
}

/// Lets the other tasks run until `condition` holds.
async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn many_first_keys_are_one_write() {
    let world = world().await;
    let nodes = Watched::new(world.nodes.clone(), 0);
    let tree = Arc::new(tree_on(nodes.clone(), world.kms.clone(), Options::default()));
    let first = ask(&tree, 1);
    until(|| nodes.count_writes() == 1).await;
    let others: Vec<_> = (2..=50).map(|number| ask(&tree, number)).collect();
    until(|| tree.queue.waiting() == 49).await;
    nodes.gate.add_permits(2);
    for asked in std::iter::once(first).chain(others) {
        assert!(asked.await.expect("no panic"));
    }
    assert_eq!(nodes.count_writes(), 2);
}

#[tokio::test]
async fn whoever_waits_for_a_writer_that_was_cancelled_is_served_all_the_same() {
    let world = world().await;
    let nodes = Watched::new(world.nodes.clone(), 0);
    let tree = Arc::new(tree_on(nodes.clone(), world.kms.clone(), Options::default()));
    let first = ask(&tree, 1);
    until(|| nodes.count_writes() == 1).await;
    let others: Vec<_> = (2..=5).map(|number| ask(&tree, number)).collect();
    until(|| tree.queue.waiting() == 4).await;
    first.abort();
    // One of the others now writes for all four; it is cancelled too.
    until(|| nodes.count_writes() == 2).await;
    others[0].abort();
    nodes.gate.add_permits(10);
    for asked in others.into_iter().skip(1) {
        assert!(asked.await.expect("no panic"));
    }
}
