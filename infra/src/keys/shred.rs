//! Destroys keys for good: one rotation for as many people as fit into one atomic write.

use domain::port::{Destruction, Failure, ShredReceipt, Target, TreeCopies};

use super::fence::{by_bucket, pieces};
use super::rekey::BUCKETS_MAX;
use super::rotate::Goal;
use super::tree::KeyTree;

impl KeyTree {
    /// See [`domain::port::Keys::shred`].
    pub(super) async fn shred_all(&self, targets: &[Target]) -> Result<ShredReceipt, Failure> {
        self.shred_above(targets, 0).await
    }

    /// As [`domain::port::Keys::shred`], and the root `above` and all before it are replaced even if there is nothing to
    /// shred.
    pub(super) async fn shred_above(&self, targets: &[Target], above: u64) -> Result<ShredReceipt, Failure> {
        let (mut destruction, mut root, mut removed) = (Destruction::Done, 0, Vec::new());
        for piece in pieces(by_bucket(targets), BUCKETS_MAX) {
            let rotated = self.rotate(&Goal::Shred { piece: &piece, above }).await?;
            destruction = destruction.max(rotated.destruction);
            root = rotated.root;
            removed.extend(rotated.removed);
        }
        let targets = self.receipts(targets, root, &removed).await?;
        Ok(self.receipt(targets, destruction))
    }

    /// Replaces the root without destroying a key. Returns the root that holds now, and whether the old ones are gone.
    ///
    /// # Errors
    /// As [`domain::port::Keys::shred`]. Interrupted, it is finished by the next rotation.
    pub async fn renew_root(&self) -> Result<(u64, Destruction), Failure> {
        let above = self.stored_root().await?.0;
        let rotated = self.rotate(&Goal::Renew { above }).await?;
        Ok((rotated.root, rotated.destruction))
    }

    pub(super) fn tree_copies(&self) -> TreeCopies {
        if self.options.off_site.is_some() { TreeCopies::OffSite } else { TreeCopies::Single }
    }
}
