//! Keeps the server running: the task that owns the process.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::launch::{Launched, Shared};
use super::supervise::ServerState;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A server that ran this long is not in a loop of crashes.
const STEADY: Duration = Duration::from_secs(30);
const LOG_INTERVAL: Duration = Duration::from_secs(1);
/// So many bytes must fit on the disk of the store: a server writes no less at once.
const PROBE: usize = 256 * 1024;

/// The task that owns the process.
pub(super) struct Keeper {
    /// None only between two lives. Dropped before the lock.
    pub(super) launched: Option<Launched>,
    pub(super) shared: Arc<Shared>,
    pub(super) state: watch::Sender<ServerState>,
    pub(super) stopped: watch::Receiver<bool>,
    /// Keeps other processes away from the store.
    pub(super) lock: File,
}

impl Keeper {
    pub(super) async fn keep_running(mut self) {
        let mut restarts = 0;
        let mut pause = FIRST_PAUSE;
        while let Some(launched) = self.launched.take() {
            let started = Instant::now();
            if !self.watch(launched).await {
                break;
            }
            self.state.send_replace(ServerState::Restarting);
            if started.elapsed() >= STEADY {
                pause = FIRST_PAUSE;
            }
            let Some(launched) = self.start_again(&mut pause).await else {
                break;
            };
            restarts += 1;
            let pid = launched.process.pid();
            tracing::info!(pid, restarts, "nats-server runs again");
            self.state.send_replace(ServerState::Running { pid, restarts });
            self.launched = Some(launched);
        }
        let Self { state, lock, .. } = self;
        // Whoever waits for the end may take the store at once.
        drop(lock);
        state.send_replace(ServerState::Stopped);
    }

    /// Follows the log until the server ends by itself (true) or is told to (false).
    ///
    /// A server that once could not write does not write that journal stream again until it is started anew, however much
    /// space there is by then (2.15). It goes on reading; so it is started anew when the disk takes writes again.
    async fn watch(&mut self, Launched { mut process, mut log, .. }: Launched) -> bool {
        let mut was_full = false;
        loop {
            tokio::select! {
                () = told_to_stop(&mut self.stopped) => {
                    let status = process.stop().await;
                    tracing::debug!(status, "nats-server was shut down");
                    return false;
                }
                status = process.ended() => {
                    log.forward();
                    tracing::error!(pid = process.pid(), status, "nats-server ended unexpectedly and is started again");
                    return true;
                }
                () = sleep(LOG_INTERVAL) => {
                    log.forward();
                    let is_full = !takes_writes(&self.shared.layout.store);
                    if is_full && !was_full {
                        tracing::error!("the disk of the journals is full: nothing is stored until there is space");
                    }
                    if !is_full && (was_full || log.gave_up()) {
                        tracing::warn!(pid = process.pid(), "the disk takes writes again, and nats-server is started anew to use it");
                        process.stop().await;
                        return true;
                    }
                    was_full |= is_full;
                }
            }
        }
    }

    /// Tries until it runs again, with longer and longer pauses. None when told to stop.
    async fn start_again(&mut self, pause: &mut Duration) -> Option<Launched> {
        let shared = self.shared.clone();
        loop {
            let attempt = async {
                sleep(*pause).await;
                shared.launch().await
            };
            let launched = tokio::select! {
                () = told_to_stop(&mut self.stopped) => return None,
                launched = attempt => launched,
            };
            *pause = (*pause * 2).min(LONGEST_PAUSE);
            match launched {
                Ok(launched) => return Some(launched),
                Err(error) => tracing::error!("nats-server could not be started again: {error}"),
            }
        }
    }
}

/// Whether there is room on the disk of the store.
fn takes_writes(store: &Path) -> bool {
    let probe = store.join("lethe-probe");
    let written = std::fs::write(&probe, vec![0; PROBE]);
    let _ = std::fs::remove_file(&probe);
    written.is_ok()
}

/// Nobody left who could say so counts as well.
async fn told_to_stop(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}
