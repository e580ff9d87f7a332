//! Takes a tree over into an empty store, from the off-site head.
//!
//! The place `claiming` is written first and `site` last; in between nothing is served. Interrupted anywhere, it is
//! finished by calling it again.

mod load;

use std::collections::BTreeSet;

use domain::port::{Failure, ShredReceipt, SwapError, Target};
use domain::rotation::{Head, InstallationId};

use super::head::{Elsewhere, HeadHome, HeadRecord, Moved};
use super::site::{SiteRecord, new_site};
use super::store::{NodeWrite, Place};
use super::tree::{ATTEMPTS_MAX, KeyTree};

/// What a claim did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The root that the loaded tree was under.
    pub loaded: u64,
    /// How many packs it was loaded from.
    pub packs: usize,
    /// What became of the targets.
    pub receipt: ShredReceipt,
}

impl KeyTree {
    /// Takes the tree over from the off-site target into this EMPTY store: takes the head, so that the site which had
    /// it stops; loads what was shipped; fences `targets`; rotates, so that the other site's roots die, with the keys
    /// of `targets`. Nothing is served before it returns.
    ///
    /// # Errors
    /// `Damaged` if the store has a tree, if a pack is not what was shipped, or if the KMS has a root that is newer
    /// than what was shipped. `Missing` if there is no off-site head, or the KMS has not the root of what was shipped.
    pub async fn claim(&self, targets: &[Target]) -> Result<Claimed, Failure> {
        let Some(off_site) = self.options.off_site.clone() else {
            return Err(Failure::missing("an off-site target to restore the key tree from"));
        };
        let home = Elsewhere { tenant: &self.tenant, off_site: &*off_site };
        let _one_at_a_time = self.rotating.lock().await;
        let site = self.begin_claim(&home).await?;
        let record = self.take_head(&home, site).await?;
        self.check_living(&record.head).await?;
        let moved = Moved { to: off_site.describe(), is_there: true };
        let local = HeadRecord { moved: Some(moved), packs: Vec::new(), ..record.clone() };
        self.load(&record.packs, &*off_site, &record.head).await?;
        self.finish_claim(site, &record, &local, targets).await
    }

    /// The claim under way, or a new one if the store is empty.
    async fn claiming(&self) -> Result<(InstallationId, u64), Failure> {
        if let Some(begun) = self.site_at(Place::Claiming).await? {
            return Ok(begun);
        }
        if self.store.head().await? != 0 {
            let detail = "its store is not empty: a tree is restored into an empty one only; nothing was changed";
            return Err(Failure::damaged(self.name(), detail));
        }
        self.write_claiming(0).await
    }

    /// Draws a site anew and says so first: a site that was taken over never comes back.
    async fn write_claiming(&self, expected: u64) -> Result<(InstallationId, u64), Failure> {
        let site = new_site();
        super::failpoint("keys-claim-begin");
        let written = self.store.write(vec![SiteRecord::write(Place::Claiming, site, expected)]).await;
        let sequences = written.map_err(|error| self.write_failed(error))?;
        Ok((site, sequences.first().copied().unwrap_or_default()))
    }

    async fn begin_claim(&self, home: &Elsewhere<'_>) -> Result<InstallationId, Failure> {
        let is_finished = self.site_at(Place::Site).await?.is_some();
        let (site, sequence) = self.claiming().await?;
        match home.read().await? {
            Some((record, _)) if record.head.site == site => Ok(site),
            // It was this site's once, and another's after that: what is here may be served by nobody.
            Some((record, _)) if is_finished => Err(self.superseded(record.head.site)),
            // Taken over before it was finished, or not taken yet: begun anew, as a site that never was.
            Some(_) => self.write_claiming(sequence).await.map(|(site, _)| site),
            None => {
                let place = home.off_site.describe();
                Err(Failure::missing(format!(
                    "the head of the {} at {place}: nothing was ever shipped there",
                    self.name()
                )))
            }
        }
    }

    async fn take_head(&self, home: &Elsewhere<'_>, site: InstallationId) -> Result<HeadRecord, Failure> {
        for _ in 0..ATTEMPTS_MAX {
            let Some((mut record, tag)) = home.read().await? else {
                break;
            };
            if record.head.site == site {
                return Ok(record);
            }
            let living = self.kms.versions().await?;
            self.check_living_of(&record.head, &living)?;
            // Before the other site is stopped: what cannot be loaded is not worth it.
            self.check_top(&record.packs, home.off_site, record.head.shipped).await?;
            record.head = record.head.taken_by(site, &living);
            // What is shipped counts the sequences of the other site's store: this one ships all of its own.
            record.through = 0;
            super::failpoint("keys-claim-head");
            match home.swap(Some(&tag), &record).await {
                Ok(_) => {
                    super::failpoint("keys-claim-head-was-taken");
                    return Ok(record);
                }
                Err(SwapError::Moved) => {}
                Err(SwapError::Failed(failure)) => return Err(failure),
            }
        }
        Err(Failure::unavailable("key tree", "others keep moving its head"))
    }

    async fn check_living(&self, head: &Head) -> Result<(), Failure> {
        let living = self.kms.versions().await?;
        self.check_living_of(head, &living)
    }

    /// Whether the shipped tree is the newest that opens.
    fn check_living_of(&self, head: &Head, living: &BTreeSet<u64>) -> Result<(), Failure> {
        if !living.contains(&head.shipped) {
            return Err(Failure::missing(format!(
                "root version {} of the KMS (the off-site tree is under it, and the KMS has {}: is it the right KMS, and \
                 the newest off-site target?)",
                head.shipped,
                list(living)
            )));
        }
        if let Some(newer) = living.iter().find(|root| **root > head.next_root() - 1) {
            let detail = format!(
                "the KMS has root {newer}, newer than the off-site tree, which is under root {}: there must be a newer \
                 off-site target",
                head.shipped
            );
            return Err(Failure::damaged(self.name(), detail));
        }
        Ok(())
    }

    /// Fences, rotates, and only then says whose store it is.
    async fn finish_claim(
        &self,
        site: InstallationId,
        record: &HeadRecord,
        local: &HeadRecord,
        targets: &[Target],
    ) -> Result<Claimed, Failure> {
        // A tree of its own does the rest: what is in its memory serves nobody.
        let inner = KeyTree::new(self.tenant.clone(), self.store.clone(), self.kms.clone(), self.options.clone());
        inner.claim_as(site);
        inner.fence_all(targets).await?;
        super::failpoint("keys-claim-was-fenced");
        // While the root that was taken over with the head is reserved still, the loaded tree is under the other site's.
        let above = if record.head.reserved.is_some() { record.head.shipped } else { 0 };
        let receipt = inner.shred_above(targets, above).await?;
        if self.site_at(Place::Site).await?.is_none() {
            let expected_sequence = self.local_head().await?.map_or(0, |(_, sequence)| sequence);
            let bytes = super::change::json(local);
            let head = NodeWrite { place: Place::Head.to_string(), bytes, expected_sequence };
            super::failpoint("keys-claim-site");
            self.store
                .write(vec![SiteRecord::write(Place::Site, site, 0), head])
                .await
                .map_err(|error| self.write_failed(error))?;
        }
        self.forget();
        Ok(Claimed { loaded: record.head.shipped, packs: record.packs.len(), receipt })
    }
}

fn list(roots: &BTreeSet<u64>) -> String {
    if roots.is_empty() {
        return "no root".to_owned();
    }
    let numbers: Vec<String> = roots.iter().map(u64::to_string).collect();
    format!("root {}", numbers.join(", "))
}
