//! A node store and an off-site target in memory, for tests: the same contracts as the real ones, nothing durable.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use domain::port::{Failure, HeadTag, OffSite, SwapError};

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

/// A fake of an off-site target, for tests only: it is gone with the process.
#[derive(Debug, Default)]
pub struct MemoryOffSite(Mutex<Elsewhere>);

#[derive(Debug, Clone, Default)]
struct Elsewhere {
    head: Option<(Vec<u8>, u64)>,
    objects: BTreeMap<String, Vec<u8>>,
}

impl MemoryOffSite {
    /// Another one that begins as this one is now.
    #[cfg(test)]
    pub(crate) fn fork(&self) -> Self {
        Self(Mutex::new(self.lock().clone()))
    }

    /// Puts other bytes into an object, which no real target does.
    #[cfg(test)]
    pub(crate) fn alter(&self, name: &str, alter: impl FnOnce(&mut Vec<u8>)) {
        alter(self.lock().objects.get_mut(name).expect("an object of this name"));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Elsewhere> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[async_trait]
impl OffSite for MemoryOffSite {
    async fn head(&self) -> Result<Option<(Vec<u8>, HeadTag)>, Failure> {
        Ok(self.lock().head.clone().map(|(bytes, tag)| (bytes, HeadTag(tag.to_string()))))
    }

    async fn swap_head(&self, expected: Option<&HeadTag>, bytes: &[u8]) -> Result<HeadTag, SwapError> {
        let mut elsewhere = self.lock();
        let tag = elsewhere.head.as_ref().map_or(0, |(_, tag)| *tag);
        let there = elsewhere.head.as_ref().map(|_| tag.to_string());
        if there.as_ref() != expected.map(|HeadTag(tag)| tag) {
            return Err(SwapError::Moved);
        }
        elsewhere.head = Some((bytes.to_vec(), tag + 1));
        Ok(HeadTag((tag + 1).to_string()))
    }

    async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let mut elsewhere = self.lock();
        let there = elsewhere.objects.entry(name.to_owned()).or_insert_with(|| bytes.to_vec());
        if there == bytes { Ok(()) } else { Err(Failure::damaged(format!("object {name}"), "it has other bytes")) }
    }

    async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.lock().objects.get(name).cloned())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, Failure> {
        Ok(self.lock().objects.keys().filter(|name| name.starts_with(prefix)).cloned().collect())
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }
}
