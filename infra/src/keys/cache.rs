//! What is remembered of the tree, under a lease.
//!
//! While the lease holds, keys are handed out from memory. When it is over, the store's head is read: if nothing was
//! written but by ourselves, the lease begins anew, otherwise all is forgotten. So another process's fence is seen
//! here after one lease at the latest, and keys leave memory when nobody may vouch for them.

use std::collections::BTreeMap;
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
    /// Grows with it, and with every fence of our own: what was opened before must not be used after.
    fences: u64,
    top: Option<Arc<Top>>,
    nodes: BTreeMap<u8, Arc<Node>>,
    buckets: BTreeMap<BucketPlace, Held>,
    weight: usize,
    uses: u64,
    /// The last sequence that this process wrote to each bucket: an older copy, still on its way from the store when
    /// that was written, must not be remembered.
    written: BTreeMap<BucketPlace, u64>,
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
        *self = Self { epoch: self.epoch + 1, fences: self.fences + 1, ..Self::default() };
    }

    /// Takes note of an own fence, or of one that may have been written.
    pub(crate) fn fenced(&mut self) {
        self.fences += 1;
    }

    /// What [`domain::port::Keys::vouch`] gives, if a lease holds.
    pub(crate) fn vouched(&self, now: Duration) -> Option<u64> {
        self.is_leased(now).then_some(self.fences)
    }

    /// Takes note of own writes to buckets: `sequences` are what the store gave them.
    pub(crate) fn wrote(
        &mut self,
        written: impl IntoIterator<Item = (BucketPlace, Bucket)>,
        sequences: &[u64],
        max: usize,
    ) {
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

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: BucketPlace = BucketPlace { node: 1, bucket: 2 };
    const SECOND: Duration = Duration::from_secs(1);

    fn bucket(sequence: u64) -> Bucket {
        let mut bucket = Bucket::default();
        bucket.sequence = sequence;
        bucket
    }

    fn leased(head: u64) -> Cache {
        let mut cache = Cache::default();
        cache.renew(head, SECOND);
        cache
    }

    fn held(cache: &mut Cache) -> Option<u64> {
        cache.bucket(PLACE).map(|bucket| bucket.sequence)
    }

    #[test]
    fn a_copy_that_was_on_its_way_during_an_own_write_is_not_remembered() {
        let mut cache = leased(5);
        let epoch = cache.epoch();
        cache.wrote([(PLACE, bucket(5))], &[6], 100);
        assert_eq!(held(&mut cache), Some(6));
        cache.remember_bucket(epoch, PLACE, &Arc::new(bucket(5)), 100);
        assert_eq!(held(&mut cache), Some(6));
        cache.forget_bucket(PLACE);
        cache.remember_bucket(epoch, PLACE, &Arc::new(bucket(5)), 100);
        assert_eq!(held(&mut cache), None, "not even when there is nothing newer in memory");
    }

    #[test]
    fn what_was_read_before_all_was_forgotten_is_not_remembered_after() {
        let mut cache = leased(5);
        let epoch = cache.epoch();
        cache.forget();
        cache.remember_bucket(epoch, PLACE, &Arc::new(bucket(5)), 100);
        assert_eq!(held(&mut cache), None);
    }

    #[test]
    fn own_writes_move_the_head_and_foreign_ones_make_it_forget() {
        let mut cache = leased(5);
        cache.remember_bucket(cache.epoch(), PLACE, &Arc::new(bucket(5)), 100);
        cache.wrote([], &[6, 7], 100);
        cache.renew(7, SECOND);
        assert_eq!(held(&mut cache), Some(5), "nothing but own writes");
        cache.renew(8, SECOND);
        assert_eq!(held(&mut cache), None, "somebody wrote 8");
        cache.remember_bucket(cache.epoch(), PLACE, &Arc::new(bucket(8)), 100);
        cache.wrote([], &[10], 100);
        assert_eq!((held(&mut cache), cache.is_leased(Duration::ZERO)), (None, false), "somebody wrote 9");
    }

    #[test]
    fn what_is_vouched_for_ends_with_a_fence_of_ours_and_with_what_others_write() {
        let mut cache = leased(5);
        let before = cache.vouched(Duration::ZERO);
        cache.wrote([(PLACE, bucket(5))], &[6], 100);
        cache.renew(6, SECOND);
        assert_eq!(cache.vouched(Duration::ZERO), before, "a new key is no fence");
        cache.fenced();
        let fenced = cache.vouched(Duration::ZERO);
        assert_ne!(fenced, before);
        cache.renew(7, SECOND);
        assert_ne!(cache.vouched(Duration::ZERO), fenced, "somebody wrote 7");
        assert_eq!(cache.vouched(SECOND), None, "nobody vouches after the lease");
    }

    #[test]
    fn a_lease_ends() {
        let cache = leased(5);
        assert!(cache.is_leased(SECOND - Duration::from_nanos(1)) && !cache.is_leased(SECOND));
        assert!(!Cache::default().is_leased(Duration::ZERO));
    }
}
