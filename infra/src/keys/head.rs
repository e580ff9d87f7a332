//! The head: which root is shipped, which is reserved, which site may rotate. Changed by compare-and-set only, and
//! kept off-site; where no off-site target is configured, in the store itself.

use async_trait::async_trait;
use domain::ids::TenantId;
use domain::port::{Failure, HeadTag, OffSite, SwapError};
use domain::rotation::{Head, InstallationId};
use serde::{Deserialize, Serialize};

use super::change::json;
use super::pack::Pack;
use super::store::{NodeWrite, NodeWriteError, Place};
use super::tree::KeyTree;

const FORMAT: u32 = 1;

/// The head with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadRecord {
    /// The version of this record.
    pub format: u32,
    /// Whose tree it is.
    pub tenant: TenantId,
    /// The head.
    pub head: Head,
    /// The last sequence of the site's store that was shipped; zero: this site has shipped nothing yet.
    pub through: u64,
    /// The packs which together, in this order, are the shipped tree.
    pub packs: Vec<Pack>,
    /// How many bytes the packs had when the whole tree was shipped last.
    #[serde(default)]
    pub whole_bytes: u64,
    /// Of the record in the store only: where the head has gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<Moved>,
}

/// The head has left the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Where to, in words.
    pub to: String,
    /// Whether it has been seen there. Until then it is on its way, and nobody rotates.
    pub is_there: bool,
}

impl HeadRecord {
    pub(super) fn first(tenant: &TenantId, head: Head) -> Self {
        Self {
            format: FORMAT,
            tenant: tenant.clone(),
            head,
            through: 0,
            packs: Vec::new(),
            whole_bytes: 0,
            moved: None,
        }
    }

    fn parse(tenant: &TenantId, bytes: &[u8], home: &str) -> Result<Self, Failure> {
        let what = || format!("head of the key tree of tenant {tenant} ({home})");
        let record: Self = serde_json::from_slice(bytes)
            .map_err(|_| Failure::damaged(what(), "it is not what docs/format.md says"))?;
        if record.format != FORMAT {
            return Err(Failure::damaged(what(), "its format version is unknown here; a newer program wrote it"));
        }
        if record.tenant != *tenant {
            return Err(Failure::damaged(what(), "it is another tenant's: is it the right off-site target?"));
        }
        Ok(record)
    }
}

/// Where the head stands.
#[async_trait]
pub(super) trait HeadHome: Send + Sync {
    /// The record, with what to expect when changing it.
    async fn read(&self) -> Result<Option<(HeadRecord, HeadTag)>, Failure>;

    /// Changes it if it still is `expected` (none: if there is none). Returns what to expect at the next change.
    async fn swap(&self, expected: Option<&HeadTag>, record: &HeadRecord) -> Result<HeadTag, SwapError>;

    /// Where the tree is shipped to before the head says so.
    fn off_site(&self) -> Option<&dyn OffSite>;
}

/// At the off-site target.
pub(super) struct Elsewhere<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) off_site: &'a dyn OffSite,
}

#[async_trait]
impl HeadHome for Elsewhere<'_> {
    async fn read(&self) -> Result<Option<(HeadRecord, HeadTag)>, Failure> {
        let Some((bytes, tag)) = self.off_site.head().await? else {
            return Ok(None);
        };
        Ok(Some((HeadRecord::parse(self.tenant, &bytes, &self.off_site.describe())?, tag)))
    }

    async fn swap(&self, expected: Option<&HeadTag>, record: &HeadRecord) -> Result<HeadTag, SwapError> {
        self.off_site.swap_head(expected, &json(record)).await
    }

    fn off_site(&self) -> Option<&dyn OffSite> {
        Some(self.off_site)
    }
}

/// In the store.
pub(super) struct Here<'a>(pub(super) &'a KeyTree);

#[async_trait]
impl HeadHome for Here<'_> {
    async fn read(&self) -> Result<Option<(HeadRecord, HeadTag)>, Failure> {
        let Some((record, sequence)) = self.0.local_head().await? else {
            return Ok(None);
        };
        match &record.moved {
            Some(moved) => Err(self.0.head_stands_elsewhere(moved)),
            None => Ok(Some((record, HeadTag(sequence.to_string())))),
        }
    }

    async fn swap(&self, expected: Option<&HeadTag>, record: &HeadRecord) -> Result<HeadTag, SwapError> {
        let sequence = expected.map_or(Some(0), |HeadTag(sequence)| sequence.parse().ok());
        let sequence = sequence.ok_or(SwapError::Moved)?;
        self.0.swap_local_head(sequence, record).await.map(|sequence| HeadTag(sequence.to_string()))
    }

    fn off_site(&self) -> Option<&dyn OffSite> {
        None
    }
}

impl KeyTree {
    /// Where the head of this tree stands, by its configuration.
    pub(super) fn home(&self) -> Box<dyn HeadHome + '_> {
        match &self.options.off_site {
            Some(off_site) => Box::new(Elsewhere { tenant: &self.tenant, off_site: &**off_site }),
            None => Box::new(Here(self)),
        }
    }

    /// The record in the store, with its sequence.
    pub(super) async fn local_head(&self) -> Result<Option<(HeadRecord, u64)>, Failure> {
        let Some((bytes, sequence)) = self.store.read(&Place::Head.to_string()).await? else {
            return Ok(None);
        };
        Ok(Some((HeadRecord::parse(&self.tenant, &bytes, "in the store")?, sequence)))
    }

    /// Returns the record's sequence.
    pub(super) async fn swap_local_head(&self, expected_sequence: u64, record: &HeadRecord) -> Result<u64, SwapError> {
        let write = NodeWrite { place: Place::Head.to_string(), bytes: json(record), expected_sequence };
        let sequences = self.store.write(vec![write]).await.map_err(|error| match error {
            NodeWriteError::Conflict => SwapError::Moved,
            NodeWriteError::Failed(failure) => SwapError::Failed(failure),
        })?;
        let unsaid = || Failure::unavailable("key tree", "its store does not say where it put the head");
        sequences.first().copied().ok_or_else(|| SwapError::Failed(unsaid()))
    }

    pub(super) fn head_stands_elsewhere(&self, moved: &Moved) -> Failure {
        let detail = format!(
            "its head stands off-site ({}): start with that off-site target; without it an erasure here would be \
             undone by what is there",
            moved.to
        );
        Failure::damaged(self.name(), detail)
    }

    /// Another site has the head: nothing is handed out here any more.
    pub(super) fn superseded(&self, by: InstallationId) -> Failure {
        self.supersede();
        self.superseded_failure(&format!("site {} has", by.0))
    }

    pub(super) fn superseded_failure(&self, who: &str) -> Failure {
        let detail = format!(
            "{who} taken this tree over: this site must not serve it any more. If that was not wanted, stop the other \
             site, then restore here"
        );
        Failure::damaged(self.name(), detail)
    }
}
