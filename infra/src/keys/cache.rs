//! What is remembered of the tree, under a lease.
//!
//! While the lease holds, keys are handed out from memory. When it is over, the store's head is read: if nothing was
//! written but by ourselves, the lease begins anew, otherwise all is forgotten. So another process's fence is seen
//! here after one lease at the latest, and keys leave memory when nobody may vouch for them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::bucket::Bucket;
use super::node::{Node, Top};
use super::store::BucketPlace;

/// The tree as far as it was read.
#[derive(Default)]
pub(crate) struct Cache {
    lease: Option<Lease>,
    /// Grows whenever all is forgotten: what was read before must not be remembered after.
    epoch: u64,
    top: Option<Arc<Top>>,
    nodes: HashMap<u8, Arc<Node>>,
    buckets: HashMap<BucketPlace, Held>,
    weight: usize,
    uses: u64,
    /// The last sequence that this process wrote to each bucket: an older copy, still on its way from the store when
    /// that was written, must not be remembered.
    written: HashMap<BucketPlace, u64>,
}

#[derive(Clone, Copy)]
struct Lease {
    until: Duration,
    /// The head of the store as of which everything here is true.
    head: u64,
}

struct Held {
    bucket: Arc<Bucket>,
    used: u64,
}

impl Cache {
    /// Whether what is remembered may be used at `now`.
    pub(crate) fn is_leased(&self, now: Duration) -> bool {
        self.lease.is_some_and(|lease| now < lease.until)
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Begins a lease as of `head`. If the store has moved without us, all is forgotten first.
    pub(crate) fn renew(&mut self, head: u64, until: Duration) {
        if self.lease.is_none_or(|lease| lease.head != head) {
            self.forget();
        }
        self.lease = Some(Lease { until, head });
    }

    /// Forgets everything, the lease too.
    pub(crate) fn forget(&mut self) {
        *self = Self { epoch: self.epoch + 1, ..Self::default() };
    }

    /// Takes note of own writes to buckets: `sequences` are what the store gave them.
    pub(crate) fn wrote(&mut self, written: impl IntoIterator<Item = (BucketPlace, Bucket)>, sequences: &[u64], max: usize) {
        let next = self.lease.map(|lease| lease.head + 1);
        if next.is_none() || sequences.first().copied() != next {
            // Somebody else wrote in between: what we remember may be older than that.
            return self.forget();
        }
        if let (Some(lease), Some(last)) = (&mut self.lease, sequences.last()) {
            lease.head = *last;
        }
        for ((place, mut bucket), sequence) in written.into_iter().zip(sequences) {
            bucket.sequence = *sequence;
            self.written.insert(place, *sequence);
            self.remember_bucket(self.epoch, place, &Arc::new(bucket), max);
        }
    }

    pub(crate) fn top(&self) -> Option<Arc<Top>> {
        self.top.clone()
    }

    pub(crate) fn node(&self, node: u8) -> Option<Arc<Node>> {
        self.nodes.get(&node).cloned()
    }

    pub(crate) fn bucket(&mut self, place: BucketPlace) -> Option<Arc<Bucket>> {
        self.uses += 1;
        let held = self.buckets.get_mut(&place)?;
        held.used = self.uses;
        Some(held.bucket.clone())
    }

    pub(crate) fn remember_top(&mut self, epoch: u64, top: &Arc<Top>) {
        if epoch == self.epoch {
            self.top = Some(top.clone());
        }
    }

    pub(crate) fn remember_node(&mut self, epoch: u64, node: u8, open: &Arc<Node>) {
        if epoch == self.epoch {
            self.nodes.insert(node, open.clone());
        }
    }

    /// Remembers a bucket, unless it holds keys between fence and shred: those are not kept in memory.
    pub(crate) fn remember_bucket(&mut self, epoch: u64, place: BucketPlace, bucket: &Arc<Bucket>, max: usize) {
        let stale = self.written.get(&place).is_some_and(|sequence| bucket.sequence < *sequence);
        if epoch != self.epoch || stale {
            return;
        }
        self.forget_bucket(place);
        if bucket.holds_fenced_keys() {
            return;
        }
        self.uses += 1;
        self.weight += bucket.weight();
        self.buckets.insert(place, Held { bucket: bucket.clone(), used: self.uses });
        if self.weight > max {
            self.forget_least_used(max / 2);
        }
    }

    pub(crate) fn forget_bucket(&mut self, place: BucketPlace) {
        if let Some(held) = self.buckets.remove(&place) {
            self.weight -= held.bucket.weight();
        }
    }

    /// Half at once, so that the sorting is paid for by as many insertions.
    fn forget_least_used(&mut self, weight: usize) {
        let mut uses: Vec<(u64, BucketPlace)> = self.buckets.iter().map(|(place, held)| (held.used, *place)).collect();
        uses.sort_unstable();
        for (_, place) in uses {
            if self.weight <= weight {
                return;
            }
            self.forget_bucket(place);
        }
    }

    /// How much is remembered, in keys and fences.
    #[cfg(test)]
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }
}
