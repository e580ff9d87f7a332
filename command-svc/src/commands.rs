//! What the write side works with.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::ids::{CommandId, CorrelationId};
use domain::participant::Signer;
use domain::permit::Principal;
use domain::port::{Clock, Dice, Reauthentication, ReauthenticationError, Tenants};

use crate::erasure::ErasureTrigger;
use crate::execute::Request;
use crate::exports::Exports;
use crate::governing::GoverningCache;
use crate::numbers::NumberKeys;
use crate::states::States;
use crate::turns::Turns;

/// How often what is kept in memory is gone through.
const SWEPT_EVERY: Duration = Duration::from_secs(1);

/// The write side of one process, for all its tenants.
pub struct Commands {
    pub(crate) tenants: Arc<dyn Tenants>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) dice: Arc<dyn Dice>,
    pub(crate) erasures: ErasureTrigger,
    pub(crate) governing: GoverningCache,
    pub(crate) states: States,
    pub(crate) turns: Turns,
    pub(crate) numbers: NumberKeys,
    pub(crate) reauthentication: Arc<dyn Reauthentication>,
    pub(crate) exports: Exports,
}

/// Nobody can be asked anew who they are, so nobody signs.
struct Nobody;

#[async_trait]
impl Reauthentication for Nobody {
    async fn signer(&self, _: &Principal, _: &str) -> Result<Signer, ReauthenticationError> {
        Err(ReauthenticationError::Refused)
    }
}

impl Commands {
    /// Puts the write side together where nobody signs.
    pub fn new(
        tenants: Arc<dyn Tenants>,
        clock: Arc<dyn Clock>,
        dice: Arc<dyn Dice>,
        erasures: ErasureTrigger,
    ) -> Arc<Self> {
        Self::asking(tenants, clock, dice, erasures, Arc::new(Nobody))
    }

    /// The same where those who sign are asked anew who they are.
    pub fn asking(
        tenants: Arc<dyn Tenants>,
        clock: Arc<dyn Clock>,
        dice: Arc<dyn Dice>,
        erasures: ErasureTrigger,
        reauthentication: Arc<dyn Reauthentication>,
    ) -> Arc<Self> {
        let (governing, states, turns) = (GoverningCache::default(), States::default(), Turns::default());
        let (numbers, exports) = (NumberKeys::default(), Exports::default());
        Arc::new(Self { tenants, clock, dice, erasures, governing, states, turns, numbers, reauthentication, exports })
    }

    /// Drops what is kept open in memory and not vouched for any more, again and again, for ever.
    pub async fn keep_sweeping(&self) {
        loop {
            tokio::time::sleep(SWEPT_EVERY).await;
            self.sweep().await;
        }
    }

    /// Drops what is kept open in memory and not vouched for any more.
    pub(crate) async fn sweep(&self) {
        self.states.begin_sweep();
        for id in self.states.tenants() {
            let vouched = match self.tenants.tenant(&id) {
                // Who does not answer vouches for nothing.
                Some(tenant) => tokio::time::timeout(SWEPT_EVERY, tenant.keys.vouch()).await.ok().and_then(Result::ok),
                None => None,
            };
            self.states.sweep(&id, vouched);
        }
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
