//! What a re-keying did: stored in the same write that does it, so that no crash loses the receipt.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use domain::port::{Failure, ShredReceipt, Shredded, Target};
use serde::{Deserialize, Serialize};

use super::store::{BucketPlace, NodeWrite, Place};
use super::tree::KeyTree;

/// The version of the records of this module.
const FORMAT: u32 = 1;

/// The record of one re-keying, at the place `change/<root after>`. A reader ignores fields that it does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The version of this record.
    pub format: u32,
    /// The root that was replaced.
    pub root_before: u64,
    /// The root that replaced it.
    pub root_after: u64,
    /// What was to go; empty if only the root was renewed.
    pub targets: Vec<ChangedTarget>,
}

/// One target of a re-keying.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedTarget {
    /// What was to go.
    pub target: Target,
    /// How many of its keys were removed. Zero: it had none, or an earlier re-keying removed them.
    pub keys: u64,
}

impl Change {
    pub(super) fn new(root_before: u64, root_after: u64, targets: Vec<ChangedTarget>) -> Self {
        Self { format: FORMAT, root_before, root_after, targets }
    }

    /// Its stored bytes.
    pub(super) fn write(&self) -> NodeWrite {
        NodeWrite { place: Place::Change(self.root_after).to_string(), bytes: json(self), expected_sequence: 0 }
    }

    fn shredded(&self, target: &Target) -> Option<Shredded> {
        let named = self.targets.iter().find(|changed| changed.target == *target)?;
        let (root_before, root_after) = (self.root_before, self.root_after);
        Some(Shredded { target: target.clone(), keys: named.keys, root_before, root_after })
    }
}

/// Which re-keyings shredded keys of one bucket, so that the records about a person are found without reading all.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Changed {
    format: u32,
    /// The roots after them.
    roots: BTreeSet<u64>,
    /// Its last message; zero: there is none.
    #[serde(skip)]
    sequence: u64,
}

impl Default for Changed {
    fn default() -> Self {
        Self { format: FORMAT, roots: BTreeSet::new(), sequence: 0 }
    }
}

impl Changed {
    /// With one more re-keying.
    pub(super) fn with(&self, place: BucketPlace, root: u64) -> NodeWrite {
        let mut next = self.clone();
        next.roots.insert(root);
        NodeWrite { place: Place::Changed(place).to_string(), bytes: json(&next), expected_sequence: self.sequence }
    }
}

pub(super) fn json(record: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(record).expect("a record of texts and numbers is JSON")
}

/// The same target again: its keys count once.
fn once(receipt: Shredded, before: &[Target]) -> Shredded {
    let keys = if before.contains(&receipt.target) { 0 } else { receipt.keys };
    Shredded { keys, ..receipt }
}

impl KeyTree {
    /// The record of the re-keying after which the tree was under `root`, if there was one.
    ///
    /// # Errors
    /// When the store does not answer, or holds something else there.
    pub async fn change(&self, root: u64) -> Result<Option<Change>, Failure> {
        let place = Place::Change(root);
        let Some((bytes, _)) = self.store.read(&place.to_string()).await? else {
            return Ok(None);
        };
        let change: Change = self.parse(place, &bytes)?;
        if (change.format, change.root_after) != (FORMAT, root) {
            return Err(self.unreadable(place));
        }
        Ok(Some(change))
    }

    pub(super) fn read_changed(&self, place: BucketPlace, stored: Option<(Vec<u8>, u64)>) -> Result<Changed, Failure> {
        let Some((bytes, sequence)) = stored else {
            return Ok(Changed::default());
        };
        let changed: Changed = self.parse(Place::Changed(place), &bytes)?;
        if changed.format != FORMAT {
            return Err(self.unreadable(Place::Changed(place)));
        }
        Ok(Changed { sequence, ..changed })
    }

    pub(super) fn parse<T: for<'de> Deserialize<'de>>(&self, place: Place, bytes: &[u8]) -> Result<T, Failure> {
        serde_json::from_slice(bytes).map_err(|_| self.unreadable(place))
    }

    pub(super) fn unreadable(&self, place: Place) -> Failure {
        Failure::damaged(format!("{place} of the {}", self.name()), "it is not what docs/format.md says")
    }

    /// What the stored records say about `targets`, now that nothing of them is left in the tree under `root`. The
    /// record that removed keys counts, however often the target was named again. Without any record there never was
    /// a key, and no root was replaced for it.
    ///
    /// What this run `removed` itself needs no reading: it stands in the same write as the paths, which were read back.
    pub(super) async fn receipts(
        &self,
        targets: &[Target],
        root: u64,
        removed: &[Shredded],
    ) -> Result<Vec<Shredded>, Failure> {
        let mut changes: BTreeMap<u64, Option<Change>> = BTreeMap::new();
        let mut indexes: BTreeMap<BucketPlace, Changed> = BTreeMap::new();
        let mut receipts = Vec::with_capacity(targets.len());
        for target in targets {
            if let Some(removed) = removed.iter().find(|removed| removed.target == *target) {
                receipts.push(once(removed.clone(), &targets[..receipts.len()]));
                continue;
            }
            let place = BucketPlace::of(target.data_subject);
            let index = match indexes.entry(place) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unread) => {
                    let index =
                        async { self.read_changed(place, self.store.read(&Place::Changed(place).to_string()).await?) };
                    unread.insert(if changes.is_empty() {
                        // Most often it is the newest re-keying that is asked for.
                        let (index, newest) = tokio::try_join!(index, self.change(root))?;
                        changes.insert(root, newest);
                        index
                    } else {
                        index.await?
                    })
                }
            };
            let roots = index.roots.clone();
            let none = Shredded { target: target.clone(), keys: 0, root_before: root, root_after: root };
            let mut newest = None;
            for root in roots.into_iter().rev() {
                if let Entry::Vacant(unread) = changes.entry(root) {
                    unread.insert(self.change(root).await?);
                }
                let change = changes.get(&root).and_then(Option::as_ref);
                match change.and_then(|change| change.shredded(target)) {
                    Some(shredded) if shredded.keys > 0 => {
                        newest = Some(shredded);
                        break;
                    }
                    Some(shredded) => newest = newest.or(Some(shredded)),
                    None => {}
                }
            }
            receipts.push(once(newest.unwrap_or(none), &targets[..receipts.len()]));
        }
        Ok(receipts)
    }

    /// See [`domain::port::Keys::shred`].
    pub(super) fn receipt(&self, targets: Vec<Shredded>, destruction: domain::port::Destruction) -> ShredReceipt {
        ShredReceipt { targets, copy: self.tree_copies(), destruction }
    }
}
