//! Where the head stands: moves it to an off-site target, once, and refuses to go on without that target.

use std::sync::atomic::Ordering;

use domain::port::{Failure, OffSite, SwapError};

use super::head::{Elsewhere, HeadHome, HeadRecord, Here, Moved};
use super::rotate::Goal;
use super::ship::Pace;
use super::tree::{ATTEMPTS_MAX, KeyTree};

impl KeyTree {
    /// Finds the head and checks that it is this site's. To be called at start, before anything is served. Where an
    /// off-site target is configured for a tree whose head is still in its store, the tree is shipped there and the
    /// head moves. A tree from before there were heads is given one first. Interrupted, it is finished by the next call.
    ///
    /// # Errors
    /// `Damaged` if another site has taken the tree over, if the head stands at an off-site target that is not
    /// configured, or at another one than the configured.
    pub async fn attach(&self) -> Result<(), Failure> {
        let _one_at_a_time = self.rotating.lock().await;
        self.attach_now().await
    }

    /// As [`KeyTree::attach`], if this process has not done it yet. The caller holds the lock on rotations.
    pub(super) async fn attach_once(&self) -> Result<(), Failure> {
        if self.is_attached.load(Ordering::SeqCst) { Ok(()) } else { self.attach_now().await }
    }

    async fn attach_now(&self) -> Result<(), Failure> {
        self.adopt().await?;
        match &self.options.off_site {
            None => drop(self.own_record(&Here(self)).await?),
            Some(off_site) => self.attach_to(&**off_site).await?,
        }
        self.is_attached.store(true, Ordering::SeqCst);
        Ok(())
    }

    async fn attach_to(&self, off_site: &dyn OffSite) -> Result<(), Failure> {
        let home = Elsewhere { tenant: &self.tenant, off_site };
        for _ in 0..ATTEMPTS_MAX {
            if home.read().await?.is_some() {
                self.own_record(&home).await?;
                return self.note_that_head_is_there(off_site).await;
            }
            let Some((local, sequence)) = self.local_head().await? else {
                return Err(Failure::missing(format!("the head of the {}", self.name())));
            };
            match &local.moved {
                Some(moved) if moved.is_there => {
                    let detail = format!(
                        "its head went off-site ({}), and {} has none: is it the right off-site target?",
                        moved.to,
                        off_site.describe()
                    );
                    return Err(Failure::damaged(self.name(), detail));
                }
                Some(_) => self.move_head(&home, &local).await?,
                None => self.let_head_go(off_site, local, sequence).await?,
            }
        }
        Err(Failure::unavailable("key tree", "others keep moving its head"))
    }

    /// Finishes what was written under the head in the store, then marks it as on its way: nobody rotates here any more.
    async fn let_head_go(&self, off_site: &dyn OffSite, local: HeadRecord, sequence: u64) -> Result<(), Failure> {
        if self.stored_root().await?.0 != local.head.shipped {
            return self.rotate_at(&Here(self), &Goal::Finish).await.map(drop);
        }
        let moved = Some(Moved { to: off_site.describe(), is_there: false });
        super::failpoint("keys-attach-begin");
        self.swap_local_unless_moved(sequence, &HeadRecord { moved, ..local }).await
    }

    async fn move_head(&self, home: &Elsewhere<'_>, local: &HeadRecord) -> Result<(), Failure> {
        let mut record = HeadRecord { moved: None, ..local.clone() };
        let root = self.stored_root().await?.0;
        // Somebody who did not know that the head is on its way may have written under the reserved root meanwhile.
        if record.head.reserved == Some(root) {
            (record.head.shipped, record.head.reserved) = (root, None);
        }
        if record.head.shipped != root {
            return Err(Failure::damaged(self.name(), "its top is not under a root that the head in the store names"));
        }
        if !self.ship_onto(home.off_site, &mut record, root, Pace::Unhurried).await? {
            return Ok(());
        }
        super::failpoint("keys-attach-head");
        match home.swap(None, &record).await {
            Ok(_) | Err(SwapError::Moved) => Ok(()),
            Err(SwapError::Failed(failure)) => Err(failure),
        }
    }

    async fn note_that_head_is_there(&self, off_site: &dyn OffSite) -> Result<(), Failure> {
        for _ in 0..ATTEMPTS_MAX {
            match self.local_head().await? {
                Some((local, sequence)) if !local.moved.as_ref().is_some_and(|moved| moved.is_there) => {
                    super::failpoint("keys-attach-note");
                    let moved = Some(Moved { to: off_site.describe(), is_there: true });
                    self.swap_local_unless_moved(sequence, &HeadRecord { moved, ..local }).await?;
                }
                _ => return Ok(()),
            }
        }
        Err(Failure::unavailable("key tree", "others keep moving its head"))
    }

    /// If somebody was quicker, the caller finds out by reading again.
    async fn swap_local_unless_moved(&self, sequence: u64, record: &HeadRecord) -> Result<(), Failure> {
        match self.swap_local_head(sequence, record).await {
            Ok(_) | Err(SwapError::Moved) => Ok(()),
            Err(SwapError::Failed(failure)) => Err(failure),
        }
    }
}
