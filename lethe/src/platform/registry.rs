//! The tenants that this process serves.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use domain::ids::TenantId;
use domain::port::{Tenant, Tenants};
use infra::journal::Client;
use infra::keys::{KeyTree, Listening};
use projection_svc::Runner;

use super::Vault;
use super::record::Record;

/// A tenant with what runs for it.
pub(super) struct Open {
    pub(super) ports: Arc<Tenant>,
    pub(super) runner: Arc<Runner>,
    pub(super) keys: Arc<KeyTree>,
    pub(super) vault: Vault,
    pub(super) client: Client,
    pub(super) record: Record,
    /// Hears of fences that other processes set.
    pub(super) _listening: Listening,
}

impl Open {
    /// Stops what runs for it. What was asked for and not finished is found again at the next start.
    pub(super) async fn stop(&self) {
        self.runner.stop().await;
    }
}

/// Every tenant that is here: open, or refused with the reason. One that is damaged does not take the others down.
#[derive(Default)]
pub(super) struct Registry(RwLock<BTreeMap<TenantId, Result<Arc<Open>, String>>>);

impl Registry {
    pub(super) fn add(&self, open: Open) {
        let id = open.ports.id.clone();
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(id, Ok(Arc::new(open)));
    }

    /// Remembers why a tenant is not served.
    pub(super) fn refuse(&self, id: TenantId, reason: String) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(id, Err(reason));
    }

    /// The tenants that are not served, with the reason.
    pub(super) fn refused(&self) -> Vec<(TenantId, String)> {
        let tenants = self.0.read().unwrap_or_else(PoisonError::into_inner);
        tenants.iter().filter_map(|(id, open)| Some((id.clone(), open.as_ref().err()?.clone()))).collect()
    }

    pub(super) fn get(&self, id: &TenantId) -> Option<Arc<Open>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(id)?.as_ref().ok().cloned()
    }

    /// Lets go of every tenant, and with them of their connections.
    pub(super) fn close(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn open(&self) -> Vec<Arc<Open>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .filter_map(|open| open.as_ref().ok().cloned())
            .collect()
    }
}

impl Tenants for Registry {
    fn tenant(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.get(id).map(|open| Arc::clone(&open.ports))
    }

    fn all(&self) -> Vec<Arc<Tenant>> {
        self.open().iter().map(|open| Arc::clone(&open.ports)).collect()
    }
}
