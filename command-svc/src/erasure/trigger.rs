//! What the worker is told, and what it tells: which streams have news, and what erasures wait for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::history::StreamId;
use domain::ids::{ErasureId, TenantId};
use domain::port::{WaitingOn, Waits};
use time::OffsetDateTime;
use tokio::sync::Notify;

/// Says which persons' orders have changed and which erasures have work to do.
#[derive(Clone, Default)]
pub struct ErasureTrigger(Arc<Told>);

#[derive(Default)]
struct Told {
    work: Queue,
    changed: Queue,
    doubts: Mutex<BTreeSet<StreamId>>,
    waits: Mutex<BTreeMap<(TenantId, ErasureId), (WaitingOn, OffsetDateTime)>>,
}

/// Streams that wait for somebody.
#[derive(Default)]
struct Queue {
    streams: Mutex<BTreeSet<StreamId>>,
    news: Notify,
}

impl Queue {
    fn put(&self, stream: StreamId) {
        lock(&self.streams).insert(stream);
        self.news.notify_one();
    }

    /// The streams that wait; waits until there is one.
    async fn take(&self) -> BTreeSet<StreamId> {
        loop {
            let streams = std::mem::take(&mut *lock(&self.streams));
            if !streams.is_empty() {
                return streams;
            }
            self.news.notified().await;
        }
    }
}

impl ErasureTrigger {
    /// There is work in this `privacy` stream.
    pub fn wake(&self, stream: StreamId) {
        self.0.work.put(stream);
    }

    /// This `privacy` stream has a commit that may not stand elsewhere yet.
    pub fn changed(&self, stream: StreamId) {
        self.0.changed.put(stream);
    }

    /// Nobody knows whether an order in this `privacy` stream was stored, or whether all that follows from it was.
    pub(crate) fn doubt(&self, stream: StreamId) {
        self.keep_doubt(stream.clone());
        self.changed(stream.clone());
        self.wake(stream);
    }

    /// It is so still.
    pub(super) fn keep_doubt(&self, stream: StreamId) {
        lock(&self.0.doubts).insert(stream);
    }

    /// Whether this stream was in doubt until now.
    pub(super) fn take_doubt(&self, stream: &StreamId) -> bool {
        lock(&self.0.doubts).remove(stream)
    }

    pub(super) async fn take(&self) -> BTreeSet<StreamId> {
        self.0.work.take().await
    }

    pub(super) async fn take_changed(&self) -> BTreeSet<StreamId> {
        self.0.changed.take().await
    }

    /// Notes what holds an erasure up. It has been so since it was first noted.
    pub(super) fn hold_up(&self, tenant: &TenantId, erasure: ErasureId, on: WaitingOn, now: OffsetDateTime) {
        let mut waits = lock(&self.0.waits);
        let wait = waits.entry((tenant.clone(), erasure)).or_insert((on, now));
        if wait.0 != on {
            *wait = (on, now);
        }
    }

    /// Nothing holds it up any more.
    pub(super) fn goes_on(&self, tenant: &TenantId, erasure: ErasureId) {
        lock(&self.0.waits).remove(&(tenant.clone(), erasure));
    }
}

impl Waits for ErasureTrigger {
    fn waits_on(&self, tenant: &TenantId, erasure: ErasureId) -> Option<(WaitingOn, OffsetDateTime)> {
        lock(&self.0.waits).get(&(tenant.clone(), erasure)).copied()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
