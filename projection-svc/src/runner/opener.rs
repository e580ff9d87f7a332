//! A store whose disk failed is opened again. What it lost by that is taken in again before anybody is told that it is there.

use std::sync::Arc;
use std::time::Duration;

use domain::port::Failure;

use super::{JournalState, Shared, lock};
use crate::tables;

/// How often it is looked at.
const EVERY: Duration = Duration::from_millis(500);

/// Looks after the store for ever.
pub(super) async fn keep_open(shared: Arc<Shared>) {
    let mut told = false;
    loop {
        tokio::time::sleep(EVERY).await;
        if !shared.stores.store.is_closed() {
            continue;
        }
        match shared.open_again().await {
            Ok(()) => {
                tracing::warn!("the read store is open again after a failure of its disk; it catches up");
                told = false;
            }
            // Once is enough: it is tried again all the time.
            Err(error) if !told => {
                tracing::error!(%error, "the disk of the read store failed; it is opened again as soon as that works");
                told = true;
            }
            Err(_) => {}
        }
    }
}

impl Shared {
    async fn open_again(&self) -> Result<(), Failure> {
        // A rebuild goes on with what it wrote, and some of that may be gone. It fails by itself, for the store is closed.
        let _no_rebuild = self.rebuilding.lock().await;
        let _nobody_writes = self.gate.write().await;
        for sender in lock(&self.reached).values() {
            // Nothing is reflected any more until the tables say how far they are.
            sender.send_modify(|reached| {
                reached.position.sequence = 0;
                reached.state = JournalState::Retrying { reason: "the disk of the read store failed".to_owned() };
            });
        }
        let store = Arc::clone(&self.stores.store);
        let opened = tokio::task::spawn_blocking(move || store.open_again()).await;
        opened.map_err(|error| Failure::unavailable("the read store", error))??;
        for model in &self.models {
            // If it had to be made anew, there are none.
            tables::prepare(self.stores.store.as_ref(), model.name(), model.version())?;
        }
        self.opened.send_modify(|times| *times += 1);
        Ok(())
    }
}
