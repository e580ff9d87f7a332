//! Fences, told to the other processes at once: a lease would tell them a few seconds later.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use domain::port::Failure;
use tokio::task::JoinHandle;

use super::tree::KeyTree;

/// Tells the processes of one tenant that something was fenced. May lose an announcement: leases are the safety net.
#[async_trait]
pub trait Announcements: Send + Sync {
    /// Tells them.
    async fn fenced(&self) -> Result<(), Failure>;

    /// Hears what is told from now on.
    async fn listen(&self) -> Result<Box<dyn Announced>, Failure>;
}

/// What is heard.
#[async_trait]
pub trait Announced: Send {
    /// Waits for the next one; false: there will be none.
    async fn next(&mut self) -> bool;
}

/// Hears announcements for a tree, as long as it is held.
#[derive(Debug)]
pub struct Listening(Option<JoinHandle<()>>);

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

impl KeyTree {
    /// Begins to hear fences of other processes: what is remembered is then dropped at once. Does nothing where no
    /// announcements are configured.
    ///
    /// # Errors
    /// When nothing can be heard. Fences are then seen when leases run out.
    pub async fn listen(self: &Arc<Self>) -> Result<Listening, Failure> {
        let Some(announcements) = &self.options.announcements else {
            return Ok(Listening(None));
        };
        let mut announced = announcements.listen().await?;
        // What was announced before is covered by no memory.
        self.forget();
        let tree: Weak<Self> = Arc::downgrade(self);
        let task = tokio::spawn(async move {
            while announced.next().await {
                match tree.upgrade() {
                    Some(tree) => tree.forget(),
                    None => return,
                }
            }
        });
        Ok(Listening(Some(task)))
    }

    pub(super) async fn announce_fence(&self) {
        if let Some(announcements) = &self.options.announcements
            && let Err(failure) = announcements.fenced().await
        {
            tracing::warn!(tenant = %self.tenant, error = %failure, "a fence was not announced: leases end in a moment");
        }
    }
}
