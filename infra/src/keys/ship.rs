//! Ships the tree off-site: what changed, as packs, then the head.

use domain::port::{Failure, HeadTag, OffSite, SwapError};

use super::head::{Elsewhere, HeadHome, HeadRecord};
use super::node::Top;
use super::pack::{PACK_BYTES, Pack, Packed};
use super::rotate::Goal;
use super::store::{Place, StoredNode};
use super::tree::{ATTEMPTS_MAX, KeyTree};

/// With more small packs than this at the end, what they hold is shipped anew as few large ones. What stands in large
/// packs already is left as it is: or each shipment's share of that would grow with the number of people.
const SMALL_PACKS_MAX: usize = 64;

/// The whole tree is shipped anew when its packs have so many times the bytes that it had when that was done last. By
/// then at least as much was written as is to be read.
const BYTES_FACTOR: u64 = 3;

/// What a shipment did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shipped {
    /// How many packs were written.
    pub packs: usize,
    /// How many bytes they have.
    pub bytes: u64,
    /// The last sequence of the store that stands off-site now.
    pub through: u64,
}

/// Packs that together hold what changed, consistently.
struct Collected {
    packs: Vec<Pack>,
}

/// Fills packs.
struct Packer {
    packs: Vec<Pack>,
    /// Where the pack begins that is being filled.
    from: u64,
    /// The last sequence that was read.
    through: u64,
    nodes: Vec<StoredNode>,
    size: usize,
}

impl Packer {
    fn after(after: u64) -> Self {
        Self { packs: Vec::new(), from: after, through: after, nodes: Vec::new(), size: 0 }
    }

    async fn take(&mut self, tree: &KeyTree, to: &dyn OffSite, page: Vec<StoredNode>) -> Result<(), Failure> {
        for node in page {
            self.through = self.through.max(node.sequence);
            if !Place::is_local(&node.place) {
                self.size += node.bytes.len() + node.place.len();
                self.nodes.push(node);
            }
            if self.size >= PACK_BYTES {
                self.put(tree, to).await?;
            }
        }
        Ok(())
    }

    async fn put(&mut self, tree: &KeyTree, to: &dyn OffSite) -> Result<(), Failure> {
        let nodes = std::mem::take(&mut self.nodes);
        let packed = Packed { tenant: tree.tenant.clone(), from: self.from, through: self.through, nodes };
        self.packs.push(packed.put(to).await?);
        (self.from, self.size) = (self.through, 0);
        Ok(())
    }

    async fn finish(mut self, tree: &KeyTree, to: &dyn OffSite) -> Result<Vec<Pack>, Failure> {
        if !self.nodes.is_empty() {
            self.put(tree, to).await?;
        }
        Ok(self.packs)
    }
}

/// How many of the packs stay as they are, and after which sequence the store is read for new ones.
fn kept(record: &HeadRecord, pace: Pace) -> (usize, u64) {
    let bytes: u64 = record.packs.iter().map(|pack| pack.bytes).sum();
    let is_bloated = bytes > BYTES_FACTOR * record.whole_bytes + 8 * PACK_BYTES as u64;
    if record.through == 0 || (is_bloated && pace == Pace::Unhurried) {
        return (0, 0);
    }
    let small = record.packs.iter().rev().take_while(|pack| pack.bytes < PACK_BYTES as u64 / 2).count();
    let kept = record.packs.len() - small;
    match record.packs.get(kept) {
        Some(first) if small > SMALL_PACKS_MAX => (kept, first.from),
        _ => (record.packs.len(), record.through),
    }
}

/// Whether somebody waits for a shipment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// An erasure does: no more is shipped than there must be.
    Urgent,
    /// Nobody does.
    Unhurried,
}

impl KeyTree {
    /// Ships what was written since the last shipment, without a rotation: keys that were created, fences. Does
    /// nothing where no off-site target is configured.
    ///
    /// # Errors
    /// When the store or the target does not answer, or another site has taken over.
    pub async fn ship_inserts(&self) -> Result<Option<Shipped>, Failure> {
        let _one_at_a_time = self.rotating.lock().await;
        self.attach_once().await?;
        let Some(off_site) = self.options.off_site.clone() else {
            return Ok(None);
        };
        let home = Elsewhere { tenant: &self.tenant, off_site: &*off_site };
        for _ in 0..ATTEMPTS_MAX {
            let (record, tag) = self.own_record(&home).await?;
            let is_reserved = record.head.reserved.is_some();
            if let Some(shipped) = self.ship_what_is_new(&home, record, &tag).await? {
                return Ok(Some(shipped));
            }
            if is_reserved {
                // The tree may be under the reserved root already, which the head does not know as shipped.
                self.rotate_at(&home, &Goal::Finish).await?;
            }
        }
        Err(Failure::unavailable("key tree", "others keep moving its head"))
    }

    /// None: others have moved the head or the tree meanwhile.
    async fn ship_what_is_new(
        &self,
        home: &Elsewhere<'_>,
        mut record: HeadRecord,
        tag: &HeadTag,
    ) -> Result<Option<Shipped>, Failure> {
        let before = record.clone();
        let root = record.head.shipped;
        if !self.ship_onto(home.off_site, &mut record, root, Pace::Unhurried).await? {
            return Ok(None);
        }
        let new: Vec<&Pack> = record.packs.iter().filter(|pack| !before.packs.contains(pack)).collect();
        let bytes = new.iter().map(|pack| pack.bytes).sum();
        let shipped = Shipped { packs: new.len(), bytes, through: record.through };
        if new.is_empty() {
            return Ok(Some(shipped));
        }
        super::failpoint("keys-head-ship-inserts");
        match home.swap(Some(tag), &record).await {
            Ok(_) => Ok(Some(shipped)),
            Err(SwapError::Moved) => Ok(None),
            Err(SwapError::Failed(failure)) => Err(failure),
        }
    }

    /// The head record off-site, if it is this site's.
    pub(super) async fn own_record(&self, home: &dyn HeadHome) -> Result<(HeadRecord, HeadTag), Failure> {
        let site = self.site().await?;
        match home.read().await? {
            Some((record, _)) if record.head.site != site => Err(self.superseded(record.head.site)),
            Some(own) => Ok(own),
            None => Err(Failure::missing(format!("the head of the {}", self.name()))),
        }
    }

    /// Puts what `record` does not have yet into packs off-site, and their names into `record`: it then stands for the
    /// tree as it is, under `root`. False: it is under another root.
    pub(super) async fn ship_onto(
        &self,
        off_site: &dyn OffSite,
        record: &mut HeadRecord,
        root: u64,
        pace: Pace,
    ) -> Result<bool, Failure> {
        let (kept, after) = kept(record, pace);
        let own = if pace == Pace::Urgent { self.collect_own(off_site, after, root).await? } else { None };
        let collected = match own {
            Some(own) => own,
            None => match self.collect(off_site, after, root).await? {
                Some(collected) => collected,
                None => return Ok(false),
            },
        };
        // Only where a pack was written does the next one begin anew: packs leave no gap between them.
        if let Some(last) = collected.packs.last() {
            record.through = last.through;
            record.packs.truncate(kept);
            record.packs.extend(collected.packs);
        }
        if kept == 0 {
            record.whole_bytes = record.packs.iter().map(|pack| pack.bytes).sum();
        }
        Ok(true)
    }

    /// Everything that changed after a sequence, from memory: none if not all of it was written by this process, or if
    /// the tree was not re-keyed to `root` in it.
    ///
    /// It is the tree as it was right after the last of these writes, whole and under `root`: no sequence is missing, so
    /// nobody wrote between them. Whoever writes later, or rotates, does so as after any reading of the store.
    async fn collect_own(&self, to: &dyn OffSite, after: u64, root: u64) -> Result<Option<Collected>, Failure> {
        let Some(written) = self.written_since(after) else {
            return Ok(None);
        };
        let nodes: Vec<StoredNode> = written.into_iter().map(|written| written.node).collect();
        let top = nodes.iter().find(|node| node.place == Place::Top.to_string());
        if top.and_then(|top| Top::root_of(&top.bytes).ok()) != Some(root) {
            return Ok(None);
        }
        let mut packer = Packer::after(after);
        packer.take(self, to, nodes).await?;
        Ok(Some(Collected { packs: packer.finish(self, to).await? }))
    }

    /// Everything that changed after a sequence, in packs. The same top before and after says that no path was re-keyed
    /// meanwhile, and inserts do not tear one. None: the tree is not under `root`.
    async fn collect(&self, to: &dyn OffSite, after: u64, root: u64) -> Result<Option<Collected>, Failure> {
        for _ in 0..ATTEMPTS_MAX {
            // Side by side: whatever is written between two of these moves the top, or stands in a later page.
            let first = self.store.changed_since(after);
            let (before, end, first) = tokio::try_join!(self.stored_root(), self.store.head(), first)?;
            if before.0 != root {
                return Ok(None);
            }
            if end < after {
                let detail = format!("it ends at sequence {end}, and {after} was shipped: its store was put back");
                return Err(Failure::damaged(self.name(), detail));
            }
            let (packer, top) = self.collect_pages(to, after, first).await?;
            if packer.through < end {
                return Err(Failure::unavailable("key tree", "not every message could be read: a replica is behind"));
            }
            if top == before {
                return Ok(Some(Collected { packs: packer.finish(self, to).await? }));
            }
        }
        Err(Failure::unavailable("key tree", "others keep rotating its root"))
    }

    /// Reads on from `page` until there are no more changes. With the root and the sequence of the top as it was then: it
    /// is read beside each page, and what was written before it and is not in an empty page was in one before.
    async fn collect_pages(
        &self,
        to: &dyn OffSite,
        after: u64,
        mut page: Vec<StoredNode>,
    ) -> Result<(Packer, (u64, u64)), Failure> {
        let mut packer = Packer::after(after);
        loop {
            packer.take(self, to, page).await?;
            let (next, top) = tokio::try_join!(self.store.changed_since(packer.through), self.stored_root())?;
            if next.is_empty() {
                return Ok((packer, top));
            }
            page = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::rotation::{Head, InstallationId};

    use super::*;

    const LARGE: u64 = PACK_BYTES as u64;

    /// A record whose packs have so many bytes, each of ten sequences.
    fn record(bytes: &[u64]) -> HeadRecord {
        let mut record =
            HeadRecord::first(&"acme".parse().expect("valid"), Head::first(InstallationId(uuid::Uuid::nil()), 1));
        let pack = |(index, bytes): (usize, &u64)| {
            let from = 10 * index as u64;
            Pack { name: format!("{index}"), sha256: String::new(), bytes: *bytes, from, through: from + 10 }
        };
        record.packs = bytes.iter().enumerate().map(pack).collect();
        record.through = 10 * bytes.len() as u64;
        record.whole_bytes = bytes.iter().sum();
        record
    }

    #[test]
    fn small_packs_are_gathered_and_large_ones_left_alone() {
        let few = record(&[&[LARGE; 3][..], &[100; SMALL_PACKS_MAX]].concat());
        let many = record(&[&[LARGE; 3][..], &[100; SMALL_PACKS_MAX + 1]].concat());
        for pace in [Pace::Urgent, Pace::Unhurried] {
            assert_eq!(kept(&few, pace), (3 + SMALL_PACKS_MAX, few.through));
            assert_eq!(kept(&many, pace), (3, 30));
        }
    }

    #[test]
    fn the_whole_tree_is_shipped_anew_after_a_claim_and_when_it_has_grown_fat_and_nobody_waits() {
        let claimed = HeadRecord { through: 0, ..record(&[LARGE; 3]) };
        assert_eq!(kept(&claimed, Pace::Urgent), (0, 0));
        let grown = HeadRecord { whole_bytes: 2 * LARGE, ..record(&[LARGE; 15]) };
        assert_eq!(kept(&grown, Pace::Unhurried), (0, 0));
        assert_eq!(kept(&grown, Pace::Urgent), (15, 150));
        let lean = HeadRecord { whole_bytes: 3 * LARGE, ..record(&[LARGE; 15]) };
        assert_eq!(kept(&lean, Pace::Unhurried), (15, 150));
    }
}
