//! Fences: from here on every read answers erased, though the keys still exist.

use std::collections::BTreeMap;

use domain::port::{Failure, Target};

use super::bucket::Bucket;
use super::store::{BucketPlace, WRITES_MAX};
use super::tree::{ATTEMPTS_MAX, KeyTree};
use crate::keys::NodeWriteError;

/// Targets by the bucket that holds them.
pub(super) fn by_bucket(targets: &[Target]) -> BTreeMap<BucketPlace, Vec<&Target>> {
    let mut buckets: BTreeMap<BucketPlace, Vec<&Target>> = BTreeMap::new();
    for target in targets {
        buckets.entry(BucketPlace::of(target.data_subject)).or_default().push(target);
    }
    buckets
}

/// Splits a map into pieces of at most `max` entries.
pub(super) fn pieces<V>(mut whole: BTreeMap<BucketPlace, V>, max: usize) -> Vec<BTreeMap<BucketPlace, V>> {
    let mut pieces = Vec::new();
    while let Some(next) = whole.keys().nth(max).copied() {
        let rest = whole.split_off(&next);
        pieces.push(std::mem::replace(&mut whole, rest));
    }
    pieces.push(whole);
    pieces
}

/// Says in this process that something was fenced, however the fencing ends: broken off, it may have been written.
struct Told<'a>(&'a KeyTree);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.0.cache().fenced();
    }
}

impl KeyTree {
    /// See [`domain::port::Keys::fence`]. All targets of one person are fenced in one write.
    pub(super) async fn fence_all(&self, targets: &[Target]) -> Result<(), Failure> {
        let _writer = self.writer.lock().await;
        let _told = Told(self);
        for piece in pieces(by_bucket(targets), WRITES_MAX) {
            self.fence_piece(&piece).await?;
            super::failpoint("keys-fence-was-written");
        }
        self.announce_fence().await;
        Ok(())
    }

    async fn fence_piece(&self, piece: &BTreeMap<BucketPlace, Vec<&Target>>) -> Result<(), Failure> {
        for _ in 0..ATTEMPTS_MAX {
            let mut changed = BTreeMap::new();
            for (place, targets) in piece {
                let mut bucket = Bucket::clone(&*self.bucket(*place).await?);
                let news = targets.iter().filter(|target| bucket.fence(target)).count();
                if news > 0 {
                    changed.insert(*place, bucket);
                }
            }
            match self.write_buckets(changed).await {
                Ok(()) => return Ok(()),
                Err(NodeWriteError::Conflict) => {}
                Err(NodeWriteError::Failed(failure)) => return Err(failure),
            }
        }
        Err(self.write_failed(NodeWriteError::Conflict))
    }
}
