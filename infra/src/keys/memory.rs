//! A node store in memory, for tests: the same contract as the real one, nothing durable.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use domain::port::Failure;

use super::store::{NodeStore, NodeWrite, NodeWriteError, StoredNode, WRITES_MAX};

/// So many nodes are a page.
const PAGE: usize = 256;

/// Nodes in memory.
#[derive(Debug, Default)]
pub struct MemoryNodes(Mutex<Nodes>);

#[derive(Debug, Clone, Default)]
struct Nodes {
    last: BTreeMap<String, (Vec<u8>, u64)>,
    head: u64,
}

impl MemoryNodes {
    /// A copy of every node as it is now: what a backup, a replica or a disk's remains may hold.
    pub fn copy(&self) -> super::TreeCopy {
        let nodes = self.lock();
        nodes.last.iter().map(|(place, (bytes, _))| (place.clone(), bytes.clone())).collect()
    }

    /// Another store that begins as this one is now.
    #[cfg(test)]
    pub(crate) fn fork(&self) -> Self {
        Self(Mutex::new(self.lock().clone()))
    }

    /// As if a place had never been written.
    #[cfg(test)]
    pub(crate) fn lose(&self, place: &str) {
        self.lock().last.remove(place);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Nodes> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[async_trait]
impl NodeStore for MemoryNodes {
    async fn read(&self, place: &str) -> Result<Option<(Vec<u8>, u64)>, Failure> {
        Ok(self.lock().last.get(place).cloned())
    }

    async fn write(&self, writes: Vec<NodeWrite>) -> Result<Vec<u64>, NodeWriteError> {
        if writes.len() > WRITES_MAX {
            return Err(Failure::unavailable("key tree", "more writes than one batch takes").into());
        }
        let mut nodes = self.lock();
        let fits = |write: &NodeWrite| {
            nodes.last.get(&write.place).map_or(0, |(_, sequence)| *sequence) == write.expected_sequence
        };
        if !writes.iter().all(fits) {
            return Err(NodeWriteError::Conflict);
        }
        let mut sequences = Vec::with_capacity(writes.len());
        for NodeWrite { place, bytes, .. } in writes {
            nodes.head += 1;
            let sequence = nodes.head;
            nodes.last.insert(place, (bytes, sequence));
            sequences.push(sequence);
        }
        Ok(sequences)
    }

    async fn changed_since(&self, after: u64) -> Result<Vec<StoredNode>, Failure> {
        let nodes = self.lock();
        let changed = nodes.last.iter().filter(|(_, (_, sequence))| *sequence > after);
        let node = |(place, (bytes, sequence)): (&String, &(Vec<u8>, u64))| StoredNode {
            place: place.clone(),
            sequence: *sequence,
            bytes: bytes.clone(),
        };
        let mut changed: Vec<StoredNode> = changed.map(node).collect();
        changed.sort_by_key(|node| node.sequence);
        changed.truncate(PAGE);
        Ok(changed)
    }

    async fn head(&self) -> Result<u64, Failure> {
        Ok(self.lock().head)
    }
}
