//! Old roots outlive the shipping of the new tree, and other processes' leases.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::port::{Failure, Keys as _, Kms as _, OffSite};

use super::world::{CLINICAL, World, all_of, key, tree_on, world};
use crate::keys::kms::MemoryKms;
use crate::keys::memory::MemoryNodes;
use crate::keys::{NodeStore as _, NodeWrite, Options};

/// Writes down what it was sent, and which roots lived then. Refuses while told to.
struct Target {
    kms: Arc<MemoryKms>,
    refuses: Mutex<bool>,
    shipped: Mutex<Vec<Shipped>>,
}

#[derive(Clone)]
struct Shipped {
    root: u64,
    nodes: Vec<(String, Vec<u8>)>,
    living: Vec<u64>,
}

#[async_trait]
impl OffSite for Target {
    async fn ship_tree(&self, root: u64, nodes: &[(String, Vec<u8>)]) -> Result<(), Failure> {
        if *self.refuses.lock().expect("not poisoned") {
            return Err(Failure::unavailable("off-site target", "told to refuse"));
        }
        let living = self.kms.versions().await?.into_iter().collect();
        let nodes = nodes.to_vec();
        self.shipped.lock().expect("not poisoned").push(Shipped { root, nodes, living });
        Ok(())
    }
}

async fn fenced() -> World {
    let world = world().await;
    for index in 0..2 {
        key(&world.tree, index, CLINICAL).await.expect("a key");
    }
    world.tree.fence(&[all_of(0, CLINICAL)]).await.expect("a fence");
    world
}

#[tokio::test]
async fn no_root_dies_before_the_new_tree_is_off_site() {
    let world = fenced().await;
    let target = Arc::new(Target { kms: world.kms.clone(), refuses: Mutex::new(true), shipped: Mutex::default() });
    let options = Options { off_site: Some(target.clone()), ..world.options() };
    let tree = tree_on(world.nodes.clone(), world.kms.clone(), options);
    let refused = tree.shred(&[all_of(0, CLINICAL)]).await;
    assert!(matches!(refused, Err(Failure::Unavailable { .. })), "{refused:?}");
    assert_eq!(world.roots().await, 2, "the old root lives");
    *target.refuses.lock().expect("not poisoned") = false;
    tree.shred(&[all_of(0, CLINICAL)]).await.expect("finished");
    assert_eq!(world.roots().await, 1);
    let shipped = target.shipped.lock().expect("not poisoned").clone();
    let [Shipped { root: 2, nodes, living }] = &shipped[..] else { panic!("shipped once, under root 2") };
    assert_eq!((living[..].to_vec(), nodes.len()), (vec![1, 2], 3));
    // What was shipped is the path as it is stored now, and it opens.
    let copy = MemoryNodes::default();
    let write = |(place, bytes): &(String, Vec<u8>)| NodeWrite {
        place: place.clone(),
        bytes: bytes.clone(),
        expected_sequence: 0,
    };
    copy.write(nodes.iter().map(write).collect()).await.expect("memory takes them");
    let restored = tree_on(Arc::new(copy), world.kms.clone(), Options::default());
    let (_, there) = key(&restored, 1, CLINICAL).await.expect("the survivor's key");
    let (_, here) = key(&world.tree, 1, CLINICAL).await.expect("the survivor's key");
    assert_eq!(there.expose(), here.expose());
}

#[tokio::test]
async fn no_root_dies_before_leases_elsewhere_are_over() {
    let world = fenced().await;
    let options = Options { settle: Duration::from_secs(3600), ..world.options() };
    let tree = Arc::new(tree_on(world.nodes.clone(), world.kms.clone(), options));
    let shred = tokio::spawn({
        let tree = tree.clone();
        async move { tree.shred(&[all_of(0, CLINICAL)]).await.is_ok() }
    });
    // Nothing in this world waits but the hour: when the new root is there, all that comes before it is done too.
    while world.roots().await == 1 && !shred.is_finished() {
        tokio::task::yield_now().await;
    }
    assert_eq!((world.roots().await, shred.is_finished()), (2, false));
    shred.abort();
}
