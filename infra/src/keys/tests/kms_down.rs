//! A KMS that does not answer: what is in memory is served within its lease, everything else is unavailable, nothing
//! is lost, and nothing is called erased.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use domain::port::{Destruction, Failure, Keys as _, Kms, KmsDescription, KmsError};

use super::world::{CLINICAL, CONTACT, ManualClock, Seen, all_of, key, look, tenant, tree_on, world};
use crate::keys::kms::contract::{Scratch, open, openbao};
use crate::keys::memory::MemoryNodes;
use crate::keys::{KeyError, NodeStore, Options};

/// A KMS that can be switched off.
struct Switched {
    kms: Arc<dyn Kms>,
    is_off: AtomicBool,
}

impl Switched {
    fn switch(&self, off: bool) {
        self.is_off.store(off, Ordering::SeqCst);
    }

    fn ask(&self) -> Result<&dyn Kms, Failure> {
        if self.is_off.load(Ordering::SeqCst) {
            return Err(Failure::unavailable("KMS", "switched off"));
        }
        Ok(&*self.kms)
    }
}

#[async_trait]
impl Kms for Switched {
    async fn create_root(&self, version: u64) -> Result<(), Failure> {
        self.ask()?.create_root(version).await
    }
    async fn wrap(&self, version: u64, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, KmsError> {
        self.ask()?.wrap(version, context, plain).await
    }
    async fn unwrap(&self, version: u64, context: &[u8], wrapped: &[u8]) -> Result<Vec<u8>, KmsError> {
        self.ask()?.unwrap(version, context, wrapped).await
    }
    async fn versions(&self) -> Result<BTreeSet<u64>, Failure> {
        self.ask()?.versions().await
    }
    async fn destroy(&self, version: u64) -> Result<Destruction, Failure> {
        self.ask()?.destroy(version).await
    }
    fn describe(&self) -> KmsDescription {
        self.kms.describe()
    }
}

/// Person 0 has a key, person 1 too and is fenced; then the KMS goes down, and comes back.
async fn story(
    nodes: Arc<dyn NodeStore>,
    kms: Arc<dyn Kms>,
    clock: Arc<ManualClock>,
    down: impl AsyncFnOnce(),
    up: impl AsyncFnOnce(),
) {
    let process = || tree_on(nodes.clone(), kms.clone(), Options { clock: clock.clone(), ..Options::default() });
    let tree = process();
    let (first, bytes) = key(&tree, 0, CLINICAL).await.expect("a key");
    let (second, _) = key(&tree, 1, CLINICAL).await.expect("a key");
    let target = [all_of(1, CLINICAL)];
    tree.fence(&target).await.expect("a fence");
    assert_eq!(look(&tree, &first).await.expect("an answer"), Seen::Known(*bytes.expose()));
    down().await;
    clock.advance(4);
    let (cold, unavailable) = (process(), |answer: &Failure| matches!(answer, Failure::Unavailable { .. }));
    assert_eq!(look(&tree, &first).await.expect("from memory"), Seen::Known(*bytes.expose()), "within the lease");
    for id in [&first, &second] {
        let answer = look(&cold, id).await.expect_err("nothing in memory");
        assert!(unavailable(&answer), "neither erased nor unknown: {answer:?}");
    }
    let answer = key(&cold, 4, CONTACT).await;
    assert!(matches!(&answer, Err(KeyError::Failed(failure)) if unavailable(failure)), "{answer:?}");
    for tree in [&tree, &cold] {
        let answer = tree.shred(&target).await.expect_err("nothing can be destroyed");
        assert!(unavailable(&answer), "{answer:?}");
    }
    up().await;
    assert_eq!(kms.versions().await.expect("an answer"), BTreeSet::from([1]), "nothing was made or destroyed");
    assert_eq!(look(&cold, &first).await.expect("an answer"), Seen::Known(*bytes.expose()), "nothing is lost");
    let receipt = cold.shred(&target).await.expect("shredded, now");
    assert_eq!(receipt.keys_destroyed(), 1);
    assert_eq!(kms.versions().await.expect("an answer"), BTreeSet::from([2]));
    assert_eq!(look(&process(), &first).await.expect("an answer"), Seen::Known(*bytes.expose()), "the survivor");
    assert_eq!(look(&process(), &second).await.expect("an answer"), Seen::Erased);
}

#[tokio::test]
async fn a_kms_that_is_switched_off_costs_nothing_but_time() {
    let world = world().await;
    let kms = Arc::new(Switched { kms: world.kms.clone(), is_off: AtomicBool::new(false) });
    let (down, up) = (async || kms.switch(true), async || kms.switch(false));
    story(world.nodes.clone(), kms.clone(), world.clock.clone(), down, up).await;
}

#[tokio::test]
async fn a_killed_openbao_costs_nothing_but_time() {
    let scratch = Scratch::new();
    let bao = tokio::sync::Mutex::new(openbao::server(&scratch).await);
    let config = bao.lock().await.config().expect("on loopback");
    let kms = open(&config, tenant().as_str()).await.kms;
    let nodes = Arc::new(MemoryNodes::default());
    tree_on(nodes.clone(), kms.clone(), Options::default()).create().await.expect("a tree");
    let down = async || bao.lock().await.kill().await;
    let up = async || bao.lock().await.restart().await.expect("it starts again");
    story(nodes, kms, Arc::default(), down, up).await;
}
