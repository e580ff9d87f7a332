//! What the write side works with.

use std::sync::Arc;

use domain::ids::{CommandId, CorrelationId};
use domain::permit::Principal;
use domain::port::{Clock, Dice, Tenants};

use crate::erasure::ErasureTrigger;
use crate::execute::Request;
use crate::governing::GoverningCache;

/// The write side of one process, for all its tenants.
pub struct Commands {
    pub(crate) tenants: Arc<dyn Tenants>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) dice: Arc<dyn Dice>,
    pub(crate) erasures: ErasureTrigger,
    pub(crate) governing: GoverningCache,
}

impl Commands {
    /// Puts the write side together.
    pub fn new(
        tenants: Arc<dyn Tenants>,
        clock: Arc<dyn Clock>,
        dice: Arc<dyn Dice>,
        erasures: ErasureTrigger,
    ) -> Arc<Self> {
        Arc::new(Self { tenants, clock, dice, erasures, governing: GoverningCache::default() })
    }

    /// A request with a new command id, captured now.
    pub fn request(&self, principal: Principal) -> Request {
        Request {
            principal,
            command: CommandId(self.dice.uuid()),
            captured_at: None,
            expected: None,
            correlation: CorrelationId(self.dice.uuid()),
            causation: None,
        }
    }
}
