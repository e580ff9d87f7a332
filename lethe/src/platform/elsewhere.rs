//! What stands outside the data directory, and must not be lost with it: the KMS and the off-site copy. And the NATS, where
//! others run it.

use std::path::Path;
use std::sync::Arc;

use domain::ids::TenantId;
use domain::port::OffSite;
use infra::journal::{Client, JetStreamNodes, NatsAnnouncements};
use infra::keys::kms::{KmsConfig, OpenKms};
use infra::keys::{KeyTree, Options};
use infra::nats_server::NatsElsewhere;
use infra::off_site::Place;

use super::StartError;

/// Where root keys are held, and where the newest key tree and every erasure go at once.
#[derive(Debug, Clone)]
pub struct Elsewhere {
    /// The KMS.
    pub kms: KmsConfig,
    /// The off-site target; none: the platform's is the only copy of the key tree.
    pub off_site: Option<Place>,
    /// The NATS that others run; none: the platform runs a server of its own, in the data directory.
    pub nats: Option<NatsElsewhere>,
}

/// One tenant's part of what stands elsewhere.
#[derive(Clone)]
pub(crate) struct Vault {
    pub(crate) kms: OpenKms,
    pub(crate) off_site: Option<Arc<dyn OffSite>>,
}

impl Elsewhere {
    /// Root keys in files below `dir`, and nothing off-site.
    pub fn files(dir: &Path) -> Self {
        Self { kms: KmsConfig::File { dir: dir.to_owned() }, off_site: None, nats: None }
    }

    /// Refuses what a copy of the data directory would copy with it.
    pub(crate) fn refuse_inside(&self, data_dir: &Path) -> Result<(), StartError> {
        self.kms.refuse_inside(data_dir)?;
        if let Some(Place::Folder(folder)) = &self.off_site {
            infra::keys::kms::refuse_inside(data_dir, folder).map_err(|_| StartError::OffSiteInside)?;
        }
        Ok(())
    }

    /// A tenant's part. The KMS is asked whether it is there.
    pub(crate) async fn open(&self, tenant: &TenantId) -> Result<Vault, StartError> {
        let off_site = self.off_site.as_ref().map(|place| place.open(tenant)).transpose()?;
        Ok(Vault { kms: self.kms.open(tenant).await?, off_site })
    }
}

impl Vault {
    /// The tenant's key tree, over the connection of its service login. What is derived from it is kept in `dir`, the
    /// tenant's folder. Asks nothing yet.
    pub(crate) fn key_tree(&self, client: &Client, tenant: &TenantId, dir: &Path) -> Arc<KeyTree> {
        let options = Options {
            map_file: Some(dir.join("key-map")),
            off_site: self.off_site.clone(),
            announcements: Some(Arc::new(NatsAnnouncements::new(client.clone(), tenant))),
            ..Options::default()
        };
        let nodes = Arc::new(JetStreamNodes::new(client.clone(), tenant));
        Arc::new(KeyTree::new(tenant.clone(), nodes, Arc::clone(&self.kms.kms), options))
    }
}
