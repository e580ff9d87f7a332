//! Clients side by side.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::Fault;
use crate::ask::Store;
use crate::seal;

/// Somebody with a key.
pub(crate) struct Person {
    pub(crate) id: Uuid,
    pub(crate) key: seal::Key,
    /// What the store said of the last append: a revision or a position; 0 before the first.
    at: AtomicI64,
}

impl Person {
    pub(crate) fn at(&self) -> i64 {
        self.at.load(Ordering::Relaxed)
    }

    pub(crate) fn is_at(&self, at: i64) {
        self.at.store(at, Ordering::Relaxed);
    }
}

pub(crate) fn people(all: &[(Uuid, String)]) -> Result<Vec<Person>, Fault> {
    all.iter().map(|(id, key)| Ok(Person { id: *id, key: seal::key(key)?, at: AtomicI64::new(0) })).collect()
}

/// Each client has people of its own, so that no two write to the same one.
pub(crate) async fn side_by_side<S: Store>(
    store: &Arc<S>,
    people: &Arc<[Person]>,
    text: &str,
    clients: usize,
    commits: usize,
) -> Result<Value, Fault> {
    let (next, text): (_, Arc<str>) = (Arc::new(AtomicUsize::new(0)), text.into());
    let begun = Instant::now();
    let clients: Vec<_> = (0..clients)
        .map(|client| {
            let (store, people, text, next) = (store.clone(), people.clone(), text.clone(), next.clone());
            tokio::spawn(async move {
                let mut times = Vec::new();
                for person in people.iter().skip(client).step_by(clients).cycle() {
                    if next.fetch_add(1, Ordering::Relaxed) >= commits {
                        break;
                    }
                    let begun = Instant::now();
                    store.append(person, &text).await?;
                    times.push(begun.elapsed());
                }
                Ok::<_, Fault>(times)
            })
        })
        .collect();
    let mut times = Vec::with_capacity(commits);
    for client in clients {
        times.extend(client.await??);
    }
    let seconds = begun.elapsed().as_secs_f64();
    times.sort_unstable();
    Ok(json!({"seconds": seconds, "commits": times.len(), "p50_ms": rank(&times, 0.5), "p99_ms": rank(&times, 0.99)}))
}

fn rank(sorted: &[Duration], share: f64) -> f64 {
    let at = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
    sorted.get(at).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
}
