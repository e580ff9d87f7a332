//! Loads the nodes that were shipped into an empty store. Interrupted anywhere, it writes what is not there yet.

use std::collections::BTreeMap;

use domain::port::{Failure, OffSite};
use domain::rotation::Head;
use sha2::{Digest, Sha256};

use crate::keys::node::{Top, TopFault};
use crate::keys::pack::Pack;
use crate::keys::store::{NodeWrite, Place, StoredNode, WRITES_MAX};
use crate::keys::tree::{KeyTree, kms_failure};

/// A write of loaded nodes has at most so many bytes, one node more or less.
const WRITE_BYTES: usize = 4 * 1024 * 1024;

/// Where each place stands in the store: sequence and hash of its bytes.
type Present = BTreeMap<String, (u64, [u8; 32])>;

impl KeyTree {
    async fn newest_top(&self, packs: &[Pack], at: &dyn OffSite) -> Result<StoredNode, Failure> {
        for pack in packs.iter().rev() {
            let packed = pack.open(&self.tenant, at).await?;
            if let Some(top) = packed.nodes.into_iter().rfind(|node| node.place == Place::Top.to_string()) {
                return Ok(top);
            }
        }
        Err(Failure::missing(format!("the top of the {} at {}", self.name(), at.describe())))
    }

    /// Loads everything but the top; then the top. So a store without a top is not loaded, one with it is.
    pub(super) async fn load(&self, packs: &[Pack], at: &dyn OffSite, head: &Head) -> Result<(), Failure> {
        if self.store.read(&Place::Top.to_string()).await?.is_some() {
            let root = self.stored_root().await?.0;
            if head.needs(root) {
                return Ok(());
            }
            let detail =
                "another site has taken the tree over since it was loaded here: empty this store, then restore";
            return Err(Failure::damaged(self.name(), detail));
        }
        let top = self.check_top(packs, at, head.shipped).await?;
        let mut present = self.present().await?;
        let mut from = 0;
        for pack in packs {
            let packed = pack.open(&self.tenant, at).await?;
            if packed.from != from {
                let detail = "one before it is missing";
                return Err(Failure::damaged(format!("pack {} at {}", pack.name, at.describe()), detail));
            }
            from = packed.through;
            self.write_nodes(packed.nodes, &mut present).await?;
        }
        crate::keys::failpoint("keys-claim-top");
        let write = NodeWrite { place: Place::Top.to_string(), bytes: top.bytes, expected_sequence: 0 };
        self.store.write(vec![write]).await.map(drop).map_err(|error| self.write_failed(error))
    }

    /// The newest top of the packs, which must open under `root`.
    pub(super) async fn check_top(&self, packs: &[Pack], at: &dyn OffSite, root: u64) -> Result<StoredNode, Failure> {
        let top = self.newest_top(packs, at).await?;
        match Top::open(&self.tenant, &*self.kms, &top.bytes, 0).await {
            Ok(open) if open.root == root => Ok(top),
            Ok(_) | Err(TopFault::Fault(_)) => {
                let what = format!("top of the {} at {}", self.name(), at.describe());
                Err(Failure::damaged(what, format!("it does not open under root {root}")))
            }
            Err(TopFault::Kms(error)) => Err(kms_failure(error)),
        }
    }

    async fn present(&self) -> Result<Present, Failure> {
        let mut present = Present::new();
        let mut after = 0;
        loop {
            let page = self.store.changed_since(after).await?;
            let Some(last) = page.last() else {
                return Ok(present);
            };
            after = last.sequence;
            present.extend(page.into_iter().map(|node| (node.place, (node.sequence, hash(&node.bytes)))));
        }
    }

    /// Writes the nodes of one pack that are not there yet, each place once.
    async fn write_nodes(&self, nodes: Vec<StoredNode>, present: &mut Present) -> Result<(), Failure> {
        let last: BTreeMap<String, Vec<u8>> = nodes.into_iter().map(|node| (node.place, node.bytes)).collect();
        let mut writes: Vec<NodeWrite> = Vec::new();
        let mut size = 0;
        for (place, bytes) in last {
            let there = present.get(&place).copied();
            let is_there = there.is_some_and(|(_, stored)| stored == hash(&bytes));
            if is_there || Place::is_local(&place) || place == Place::Top.to_string() {
                continue;
            }
            size += bytes.len();
            writes.push(NodeWrite { place, bytes, expected_sequence: there.map_or(0, |(sequence, _)| sequence) });
            if size >= WRITE_BYTES || writes.len() == WRITES_MAX {
                self.write_loaded(std::mem::take(&mut writes), present).await?;
                size = 0;
            }
        }
        self.write_loaded(writes, present).await
    }

    async fn write_loaded(&self, writes: Vec<NodeWrite>, present: &mut Present) -> Result<(), Failure> {
        if writes.is_empty() {
            return Ok(());
        }
        let written: Vec<(String, [u8; 32])> =
            writes.iter().map(|write| (write.place.clone(), hash(&write.bytes))).collect();
        crate::keys::failpoint("keys-claim-nodes");
        let sequences = self.store.write(writes).await.map_err(|error| self.write_failed(error))?;
        present.extend(written.into_iter().zip(sequences).map(|((place, hash), sequence)| (place, (sequence, hash))));
        Ok(())
    }
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
