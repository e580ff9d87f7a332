//! Ships the tree off-site: what changed, as packs, then the head.

use domain::port::{Failure, HeadTag, OffSite, SwapError};

use super::head::{Elsewhere, HeadHome, HeadRecord};
use super::pack::{PACK_BYTES, Pack, Packed};
use super::rotate::Goal;
use super::store::{Place, StoredNode};
use super::tree::{ATTEMPTS_MAX, KeyTree};

/// With more small packs than this, the whole tree is shipped anew as few large ones.
const SMALL_PACKS_MAX: usize = 64;

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
    through: u64,
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
        if !self.ship_onto(home.off_site, &mut record, root).await? {
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
            Ok(()) => Ok(Some(shipped)),
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
    ) -> Result<bool, Failure> {
        let small = record.packs.iter().filter(|pack| pack.bytes < PACK_BYTES as u64 / 2).count();
        let is_whole = record.through == 0 || small > SMALL_PACKS_MAX;
        let after = if is_whole { 0 } else { record.through };
        let Some(collected) = self.collect(off_site, after, root).await? else {
            return Ok(false);
        };
        if is_whole {
            record.packs.clear();
        }
        if is_whole || !collected.packs.is_empty() {
            record.through = collected.through;
        }
        record.packs.extend(collected.packs);
        Ok(true)
    }

    /// Everything that changed after a sequence, in packs. The same top before and after says that no path was re-keyed
    /// meanwhile, and inserts do not tear one. None: the tree is not under `root`.
    async fn collect(&self, to: &dyn OffSite, after: u64, root: u64) -> Result<Option<Collected>, Failure> {
        for _ in 0..ATTEMPTS_MAX {
            let before = self.stored_root().await?;
            if before.0 != root {
                return Ok(None);
            }
            let end = self.store.head().await?;
            if end < after {
                let detail = format!("it ends at sequence {end}, and {after} was shipped: its store was put back");
                return Err(Failure::damaged(self.name(), detail));
            }
            let collected = self.collect_pages(to, after).await?;
            if collected.through < end {
                return Err(Failure::unavailable("key tree", "not every message could be read: a replica is behind"));
            }
            if self.stored_root().await? == before {
                return Ok(Some(collected));
            }
        }
        Err(Failure::unavailable("key tree", "others keep rotating its root"))
    }

    async fn collect_pages(&self, to: &dyn OffSite, after: u64) -> Result<Collected, Failure> {
        let mut packs = Vec::new();
        let (mut from, mut through) = (after, after);
        let mut nodes: Vec<StoredNode> = Vec::new();
        let mut size = 0;
        loop {
            let page = self.store.changed_since(through).await?;
            let is_end = page.is_empty();
            for node in page {
                through = through.max(node.sequence);
                if !Place::is_local(&node.place) {
                    size += node.bytes.len() + node.place.len();
                    nodes.push(node);
                }
                if size >= PACK_BYTES {
                    packs.push(self.pack(from, through, std::mem::take(&mut nodes)).put(to).await?);
                    (from, size) = (through, 0);
                }
            }
            if is_end {
                break;
            }
        }
        if !nodes.is_empty() {
            packs.push(self.pack(from, through, nodes).put(to).await?);
        }
        Ok(Collected { packs, through })
    }

    fn pack(&self, from: u64, through: u64, nodes: Vec<StoredNode>) -> Packed {
        Packed { tenant: self.tenant.clone(), from, through, nodes }
    }
}
