//! What a site does about its tree now and then, on nobody's way: it finds out that another site has taken over, and
//! ships what was written, so that the tree elsewhere is never far behind.

use std::sync::atomic::Ordering;

use domain::port::Failure;

use super::ship::Shipped;
use super::tree::KeyTree;

impl KeyTree {
    /// Reads the head. If another site has taken it, this process hands out no key from then on.
    ///
    /// # Errors
    /// `Damaged` if another site has taken over. Otherwise when the store or the off-site target does not answer.
    pub async fn check_site(&self) -> Result<(), Failure> {
        if self.is_superseded() {
            return Err(self.superseded_failure("another site has"));
        }
        let site = self.site().await?;
        match self.home().read().await? {
            Some((record, _)) if record.head.site != site => Err(self.superseded(record.head.site)),
            // None: the head has not gone there yet.
            Some(_) | None => Ok(()),
        }
    }

    /// Whether this process knows that another site has taken over.
    pub fn is_superseded(&self) -> bool {
        self.is_superseded.load(Ordering::SeqCst)
    }

    /// Brings the key map and the tree elsewhere up to what is written: little is left to do for the next erasure then.
    /// Writes nothing if there is no news.
    ///
    /// # Errors
    /// As [`KeyTree::ship_inserts`].
    pub async fn tend(&self) -> Result<Option<Shipped>, Failure> {
        let shipped = self.ship_inserts().await?;
        // Whoever needs the map reads on by himself, and says what fails.
        drop(self.key_map().await);
        Ok(shipped)
    }
}
