//! A tree from before there were heads: it is given a site and a head, once.

use domain::port::Failure;
use domain::rotation::Head;
use futures_util::future::try_join_all;

use super::change::json;
use super::head::HeadRecord;
use super::node::Top;
use super::site::{SiteRecord, new_site};
use super::store::{NodeWrite, NodeWriteError, Place};
use super::tree::{ATTEMPTS_MAX, KeyTree};

impl KeyTree {
    /// Gives a tree that has neither site nor head both, in one write. Does nothing where there is no tree, where one is
    /// being restored, or where either is there: what is half there is no old tree but damage, and said elsewhere.
    pub(super) async fn adopt(&self) -> Result<(), Failure> {
        for _ in 0..ATTEMPTS_MAX {
            let marks = [Place::Site, Place::Head, Place::Claiming];
            let read = |place: Place| async move { self.store.read(&place.to_string()).await };
            if try_join_all(marks.map(read)).await?.iter().any(Option::is_some) {
                return Ok(());
            }
            let Some((top, _)) = read(Place::Top).await? else {
                return Ok(());
            };
            let root = Top::root_of(&top).map_err(|fault| Failure::damaged(self.name(), fault))?;
            let site = new_site();
            let head = json(&HeadRecord::first(&self.tenant, Head::first(site, root)));
            let head = NodeWrite { place: Place::Head.to_string(), bytes: head, expected_sequence: 0 };
            super::failpoint("keys-adopt-write");
            match self.store.write(vec![SiteRecord::write(Place::Site, site, 0), head]).await {
                Ok(_) => {
                    super::failpoint("keys-adopt-was-written");
                    tracing::info!(tenant = %self.tenant, root, "the key tree is from before there were heads: it has one now");
                    return Ok(());
                }
                // Another process was quicker: its site and head are there now.
                Err(NodeWriteError::Conflict) => {}
                Err(NodeWriteError::Failed(failure)) => return Err(failure),
            }
        }
        Err(self.write_failed(NodeWriteError::Conflict))
    }
}
