//! Commands to one stream take turns within a process.
//!
//! Two that are decided at once on the same state cannot both be stored, so the second would be decided in vain, and then wait
//! its turn all the same. A turn is a courtesy and no lock: what is stored is decided by what a write expects, and whoever has
//! waited for too long goes on without one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::history::StreamId;
use tokio::sync::{Mutex as Place, OwnedMutexGuard};

/// How long to wait for a turn: longer than a row of writes takes, shorter than a caller waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// So many may wait for one stream. Whoever comes then is told at once that there are too many.
const WAITING_MAX: usize = 1024;

/// Who is at which stream, and who waits there.
#[derive(Default)]
pub(crate) struct Turns(Mutex<BTreeMap<StreamId, Arc<Place<()>>>>);

/// As many wait at this stream as may.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

/// One's turn, or that one has waited for it long enough.
pub(crate) struct Turn<'a> {
    // In this order: it is given back before one leaves the queue.
    _guard: Option<OwnedMutexGuard<()>>,
    _queue: Queue<'a>,
}

/// One's place among those at a stream.
struct Queue<'a> {
    turns: &'a Turns,
    stream: &'a StreamId,
    place: Arc<Place<()>>,
}

impl Turns {
    /// Waits until those who came before are done.
    pub(crate) async fn wait<'a>(&'a self, stream: &'a StreamId) -> Result<Turn<'a>, TooMany> {
        let place = {
            let mut places = self.lock();
            match places.get(stream) {
                // Each holds its place twice, to wait and to leave; so does the one whose turn it is.
                Some(place) if Arc::strong_count(place) > 2 * (WAITING_MAX + 1) => return Err(TooMany),
                Some(place) => place.clone(),
                None => places.entry(stream.clone()).or_default().clone(),
            }
        };
        let queue = Queue { turns: self, stream, place };
        let guard = match queue.place.clone().try_lock_owned() {
            Ok(guard) => Some(guard),
            Err(_) => tokio::time::timeout(PATIENCE, queue.place.clone().lock_owned()).await.ok(),
        };
        Ok(Turn { _guard: guard, _queue: queue })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<StreamId, Arc<Place<()>>>> {
        // Every change is complete at once, so a poisoned map is a whole one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// At how many streams there is anybody.
    #[cfg(test)]
    pub(crate) fn busy(&self) -> usize {
        self.lock().len()
    }
}

impl Drop for Queue<'_> {
    fn drop(&mut self) {
        let mut places = self.turns.lock();
        // The map's own and this one: nobody else is here, and nobody comes while the map is held.
        if Arc::strong_count(&self.place) <= 2 {
            places.remove(self.stream);
        }
    }
}

#[cfg(test)]
mod tests;
