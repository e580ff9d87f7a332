//! How the key tree stands.

use std::collections::BTreeSet;

use domain::port::Failure;
use domain::rotation::{Head, InstallationId};

use super::tree::KeyTree;

/// How the key tree stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeStatus {
    /// The root that the stored tree is wrapped under.
    pub root: u64,
    /// The roots that live in the KMS. More than one: a rotation is to be finished.
    pub living: BTreeSet<u64>,
    /// This site.
    pub site: InstallationId,
    /// The head; if its site is another one, that one has taken over.
    pub head: Head,
    /// Where the head and the shipped tree are; none: in the store, and there is no other copy.
    pub off_site: Option<String>,
    /// How many packs the shipped tree has.
    pub packs: usize,
    /// How many bytes they have.
    pub bytes: u64,
    /// The last sequence of the store that was shipped.
    pub through: u64,
    /// The last sequence of the store. What lies between is not off-site yet.
    pub last: u64,
}

impl KeyTree {
    /// How the tree stands. Changes nothing.
    ///
    /// # Errors
    /// When the store, the KMS or the off-site target does not answer.
    pub async fn status(&self) -> Result<TreeStatus, Failure> {
        let missing = || Failure::missing(format!("the head of the {}", self.name()));
        let record = match self.home().read().await? {
            Some((record, _)) => record,
            // Not moved off-site yet.
            None => self.local_head().await?.map(|(record, _)| record).ok_or_else(missing)?,
        };
        Ok(TreeStatus {
            root: self.stored_root().await?.0,
            living: self.kms.versions().await?,
            site: self.site().await?,
            head: record.head,
            off_site: self.options.off_site.as_ref().map(|off_site| off_site.describe()),
            packs: record.packs.len(),
            bytes: record.packs.iter().map(|pack| pack.bytes).sum(),
            through: record.through,
            last: self.store.head().await?,
        })
    }
}
