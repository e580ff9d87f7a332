//! Where the time of a shred goes: ports that tell a meter what they wait for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use domain::port::{Destruction, Failure, HeadTag, Kms, KmsDescription, KmsError, OffSite, SwapError};
use infra::journal::JetStreamNodes;
use infra::keys::{NodeStore, NodeWrite, NodeWriteError, StoredNode};

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    Question,
    Write,
    Kms,
    OffSite,
}

/// Times so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Spent {
    /// In which a question to the store was open.
    pub(super) asking: Duration,
    /// In which a write to the store was.
    pub(super) writing: Duration,
    /// In which the KMS was waited for, and nothing of the store.
    pub(super) kms: Duration,
    /// In which the off-site target was waited for, and nothing else.
    pub(super) off_site: Duration,
    /// Each question to the store: what for, how long.
    pub(super) questions: Vec<(&'static str, Duration)>,
    /// The last write: what each node is, its bytes, and whether it replaced another.
    pub(super) written: Vec<(&'static str, usize, bool)>,
}

/// Knows at each moment what is waited for. Whatever is side by side with a question to the store or a write counts as
/// own work: only what would be the same with a store that takes no time at all is elsewhere's.
#[derive(Debug)]
pub(super) struct Meter(Mutex<State>);

#[derive(Debug)]
struct State {
    open: Vec<Wait>,
    since: Instant,
    spent: Spent,
}

impl State {
    fn until_now(&mut self) {
        let now = Instant::now();
        let (passed, has) = (now - self.since, |wait| self.open.contains(&wait));
        let (asks, writes, kms, off_site) = (has(Wait::Question), has(Wait::Write), has(Wait::Kms), has(Wait::OffSite));
        let spent = &mut self.spent;
        let add = |is_open, time: &mut Duration| *time += if is_open { passed } else { Duration::ZERO };
        add(asks, &mut spent.asking);
        add(writes, &mut spent.writing);
        add(kms && !asks && !writes, &mut spent.kms);
        add(off_site && !kms && !asks && !writes, &mut spent.off_site);
        self.since = now;
    }
}

impl Meter {
    pub(super) fn new() -> Arc<Self> {
        let state = State { open: Vec::new(), since: Instant::now(), spent: Spent::default() };
        Arc::new(Self(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was spent since this was asked last.
    pub(super) fn take(&self) -> Spent {
        std::mem::take(&mut self.state().spent)
    }

    async fn timed<R>(&self, wait: Wait, work: impl Future<Output = R>) -> R {
        let change = |change: &dyn Fn(&mut Vec<Wait>)| {
            let mut state = self.state();
            state.until_now();
            change(&mut state.open);
        };
        change(&|open| open.push(wait));
        let result = work.await;
        change(&|open| {
            if let Some(index) = open.iter().position(|other| *other == wait) {
                open.swap_remove(index);
            }
        });
        result
    }
}

/// A port that tells the meter.
pub(super) struct Timed<T: ?Sized>(pub(super) Arc<Meter>, pub(super) Arc<T>);

#[async_trait]
impl Kms for Timed<dyn Kms> {
    async fn create_root(&self, version: u64) -> Result<(), Failure> {
        self.0.timed(Wait::Kms, self.1.create_root(version)).await
    }
    async fn wrap(&self, version: u64, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, KmsError> {
        self.0.timed(Wait::Kms, self.1.wrap(version, context, plain)).await
    }
    async fn unwrap(&self, version: u64, context: &[u8], wrapped: &[u8]) -> Result<Vec<u8>, KmsError> {
        self.0.timed(Wait::Kms, self.1.unwrap(version, context, wrapped)).await
    }
    async fn versions(&self) -> Result<BTreeSet<u64>, Failure> {
        self.0.timed(Wait::Kms, self.1.versions()).await
    }
    async fn destroy(&self, version: u64) -> Result<Destruction, Failure> {
        self.0.timed(Wait::Kms, self.1.destroy(version)).await
    }
    fn describe(&self) -> KmsDescription {
        self.1.describe()
    }
}

#[async_trait]
impl OffSite for Timed<dyn OffSite> {
    async fn head(&self) -> Result<Option<(Vec<u8>, HeadTag)>, Failure> {
        self.0.timed(Wait::OffSite, self.1.head()).await
    }
    async fn swap_head(&self, expected: Option<&HeadTag>, bytes: &[u8]) -> Result<HeadTag, SwapError> {
        self.0.timed(Wait::OffSite, self.1.swap_head(expected, bytes)).await
    }
    async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        self.0.timed(Wait::OffSite, self.1.put(name, bytes)).await
    }
    async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        self.0.timed(Wait::OffSite, self.1.get(name)).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<String>, Failure> {
        self.0.timed(Wait::OffSite, self.1.list(prefix)).await
    }
    fn describe(&self) -> String {
        self.1.describe()
    }
}

/// The store, which tells the meter what it is asked, too.
pub(super) struct Told(pub(super) Arc<Meter>, pub(super) JetStreamNodes);

impl Told {
    async fn asked<R>(&self, what: &'static str, question: impl Future<Output = R>) -> R {
        let begun = Instant::now();
        let answer = self.0.timed(Wait::Question, question).await;
        self.0.state().spent.questions.push((what, begun.elapsed()));
        answer
    }
}

/// What stands at a place, without which one it is.
fn kind(place: &str) -> &'static str {
    const KINDS: [&str; 6] = ["top", "node", "bucket", "changed", "proof", "change"];
    let first = place.split('/').next().unwrap_or_default();
    KINDS.into_iter().find(|kind| *kind == first).unwrap_or("other")
}

#[async_trait]
impl NodeStore for Told {
    async fn read(&self, place: &str) -> Result<Option<(Vec<u8>, u64)>, Failure> {
        self.asked(kind(place), self.1.read(place)).await
    }
    async fn write(&self, writes: Vec<NodeWrite>) -> Result<Vec<u64>, NodeWriteError> {
        let shape = |write: &NodeWrite| (kind(&write.place), write.bytes.len(), write.expected_sequence > 0);
        let written = writes.iter().map(shape).collect();
        let result = self.0.timed(Wait::Write, self.1.write(writes)).await;
        self.0.state().spent.written = written;
        result
    }
    async fn changed_since(&self, after: u64) -> Result<Vec<StoredNode>, Failure> {
        self.asked("changes", self.1.changed_since(after)).await
    }
    async fn head(&self) -> Result<u64, Failure> {
        self.asked("end", self.1.head()).await
    }
}

/// How often each kind of question is asked, and how long one takes: the median, in milliseconds.
pub(super) fn by_kind(questions: Vec<(&'static str, Duration)>) -> BTreeMap<&'static str, (usize, Duration)> {
    let mut kinds: BTreeMap<&'static str, Vec<Duration>> = BTreeMap::new();
    questions.into_iter().for_each(|(kind, time)| kinds.entry(kind).or_default().push(time));
    let median = |(kind, mut times): (_, Vec<Duration>)| {
        times.sort_unstable();
        (kind, (times.len(), times[times.len() / 2]))
    };
    kinds.into_iter().map(median).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn passed(time: u64) {
        tokio::time::sleep(Duration::from_millis(time)).await;
    }

    #[tokio::test]
    async fn what_is_side_by_side_with_the_store_is_not_elsewhere_s() {
        let meter = Meter::new();
        meter.timed(Wait::Kms, passed(20)).await;
        let alone = meter.take();
        assert!(alone.kms >= Duration::from_millis(20) && alone.asking.is_zero(), "{alone:?}");
        // The question is open longer than the two others.
        let question = meter.timed(Wait::Question, async {
            tokio::join!(meter.timed(Wait::Kms, passed(5)), meter.timed(Wait::OffSite, passed(5)));
        });
        question.await;
        let together = meter.take();
        assert!(together.asking >= Duration::from_millis(5), "{together:?}");
        assert_eq!((together.kms, together.off_site), (Duration::ZERO, Duration::ZERO));
        meter.timed(Wait::Kms, meter.timed(Wait::OffSite, passed(5))).await;
        let elsewhere = meter.take();
        assert!(elsewhere.kms >= Duration::from_millis(5));
        assert_eq!(elsewhere.off_site, Duration::ZERO, "no moment counts twice");
    }

    #[test]
    fn a_place_is_known_by_its_first_word() {
        let kinds = ["top", "node/7f", "bucket/7f3a", "changed/7f3a", "change/8", "proof/8/7f3a", "site"].map(kind);
        assert_eq!(kinds, ["top", "node", "bucket", "changed", "change", "proof", "other"]);
    }
}
