//! Which site this store belongs to, and whether it may serve.

use std::sync::atomic::Ordering;

use domain::port::{Dice as _, Failure};
use domain::rotation::InstallationId;
use serde::{Deserialize, Serialize};

use super::change::json;
use super::store::{NodeWrite, Place};
use super::tree::KeyTree;
use crate::chance::SystemDice;

const FORMAT: u32 = 1;

/// What the places `site` and `claiming` hold.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SiteRecord {
    format: u32,
    pub(super) site: InstallationId,
}

impl SiteRecord {
    pub(super) fn write(place: Place, site: InstallationId, expected_sequence: u64) -> NodeWrite {
        NodeWrite { place: place.to_string(), bytes: json(&Self { format: FORMAT, site }), expected_sequence }
    }
}

/// A site that never was before.
pub(super) fn new_site() -> InstallationId {
    InstallationId(SystemDice.uuid())
}

impl KeyTree {
    /// The site that this store belongs to.
    pub(super) async fn site(&self) -> Result<InstallationId, Failure> {
        self.site.get_or_try_init(|| self.find_site()).await.copied()
    }

    async fn find_site(&self) -> Result<InstallationId, Failure> {
        match self.site_at(Place::Site).await? {
            Some((site, _)) => Ok(site),
            None => Err(self.no_site().await?),
        }
    }

    pub(super) async fn site_at(&self, place: Place) -> Result<Option<(InstallationId, u64)>, Failure> {
        let Some((bytes, sequence)) = self.store.read(&place.to_string()).await? else {
            return Ok(None);
        };
        let record: SiteRecord = self.parse(place, &bytes)?;
        if record.format == FORMAT { Ok(Some((record.site, sequence))) } else { Err(self.unreadable(place)) }
    }

    /// Why there is no site here.
    async fn no_site(&self) -> Result<Failure, Failure> {
        if self.site_at(Place::Claiming).await?.is_some() {
            let detail =
                "it is being restored, and that was not finished: restore again, with the same off-site target";
            return Ok(Failure::damaged(self.name(), detail));
        }
        Ok(Failure::missing(format!("site of the {}: it was never created in this store", self.name())))
    }

    /// Whether the store may be served from: not while it is being restored, nor when another site has taken over.
    pub(super) async fn check_serving(&self) -> Result<(), Failure> {
        if self.is_superseded.load(Ordering::SeqCst) {
            return Err(self.superseded_failure("another site has"));
        }
        match self.site().await {
            // A store without a tree says so when its top is read.
            Ok(_) | Err(Failure::Missing { .. }) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// Works on a tree that is being restored, as the site that it will be.
    pub(super) fn claim_as(&self, site: InstallationId) {
        // Only ever called on a tree that was made for it.
        let _ = self.site.set(site);
        self.is_attached.store(true, Ordering::SeqCst);
    }

    /// From now on nothing is handed out by this process.
    pub(super) fn supersede(&self) {
        let is_news = !self.is_superseded.swap(true, Ordering::SeqCst);
        self.forget();
        if is_news {
            let failure = self.superseded_failure("another site has");
            tracing::error!(tenant = %self.tenant, error = %failure, "no key is handed out here any more");
        }
    }
}
