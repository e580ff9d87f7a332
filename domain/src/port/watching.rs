//! Who is told of what may be an attack.

use crate::ids::TenantId;
use crate::incident::watch::Sighting;

/// Looks at what is read and at who tries to sign in. Never in the way of an answer.
pub trait Watching: Send + Sync {
    /// Something happened at a tenant.
    fn saw(&self, tenant: &TenantId, sighting: Sighting);
}

/// Where nobody looks.
#[derive(Debug, Clone, Copy)]
pub struct NobodyWatches;

impl Watching for NobodyWatches {
    fn saw(&self, _: &TenantId, _: Sighting) {}
}
