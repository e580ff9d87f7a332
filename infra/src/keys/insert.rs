//! Keys for new data. Whoever comes while a write is on its way waits and shares the next one.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Mutex, PoisonError};

use domain::history::DataSubject;
use domain::port::Failure;
use domain::scope::{Part, Scope};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::bucket::{Bucket, Current};
use super::key::Key;
use super::key_id::PersonKey;
use super::store::{BucketPlace, NodeWrite, NodeWriteError, Place};
use super::tail::ToNote;
use super::tree::{ATTEMPTS_MAX, KeyError, KeyTree};

/// So many callers share a write at most; each needs one bucket.
const SHARERS_MAX: usize = 512;

type Answer = Result<Vec<(PersonKey, Key)>, KeyError>;

/// Who waits for a write.
#[derive(Default)]
pub(super) struct Queue(Mutex<Vec<Wanted>>);

struct Wanted {
    data_subject: DataSubject,
    parts: Vec<(Scope, Part)>,
    answer: oneshot::Sender<Answer>,
}

impl Queue {
    fn push(&self, wanted: Wanted) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(wanted);
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn take(&self) -> Vec<Wanted> {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = queue.len().min(SHARERS_MAX);
        queue.drain(..count).collect()
    }
}

/// What the open buckets say to one caller.
enum Found {
    Here(Vec<(PersonKey, Key)>),
    Erased(Scope),
    Lacking,
}

fn find(bucket: &Bucket, data_subject: DataSubject, parts: &[(Scope, Part)]) -> Found {
    let mut found = Vec::with_capacity(parts.len());
    let mut lacking = false;
    for (scope, part) in parts {
        match bucket.current(data_subject, *scope, part) {
            Current::Key(id, key) => found.push((id, key)),
            Current::Erased => return Found::Erased(*scope),
            Current::None => lacking = true,
        }
    }
    if lacking { Found::Lacking } else { Found::Here(found) }
}

/// As [`find`], creating what is lacking: nothing if one of the parts is erased.
fn find_or_create(bucket: &mut Bucket, wanted: &Wanted) -> Answer {
    if let Found::Erased(scope) = find(bucket, wanted.data_subject, &wanted.parts) {
        return Err(KeyError::Erased(scope));
    }
    if bucket.is_full() && matches!(find(bucket, wanted.data_subject, &wanted.parts), Found::Lacking) {
        let person = wanted.data_subject;
        let cause = format!("the bucket of data subject {person} is full: docs/format.md, Limits");
        return Err(Failure::unavailable("room for more keys", cause).into());
    }
    let current_or_new = |(scope, part): &(Scope, Part)| match bucket.current(wanted.data_subject, *scope, part) {
        Current::Key(id, key) => Ok((id, key)),
        Current::Erased => Err(KeyError::Erased(*scope)),
        Current::None => Ok(bucket.create(wanted.data_subject, *scope, part)),
    };
    wanted.parts.iter().map(current_or_new).collect()
}

impl KeyTree {
    /// The keys under which new data of a person is sealed, in the order of `parts`. Those that do not exist yet are
    /// created in one write, durable before this returns.
    ///
    /// # Errors
    /// `Erased` if one of the parts is fenced: then none is created. Otherwise as [`KeyTree::get`].
    pub async fn current_or_create(&self, data_subject: DataSubject, parts: &[(Scope, Part)]) -> Answer {
        let bucket = self.bucket(BucketPlace::of(data_subject)).await?;
        match find(&bucket, data_subject, parts) {
            Found::Here(keys) => return Ok(keys),
            Found::Erased(scope) => return Err(KeyError::Erased(scope)),
            Found::Lacking => drop(bucket),
        }
        loop {
            let (answer, mut own) = oneshot::channel();
            self.queue.push(Wanted { data_subject, parts: parts.to_vec(), answer });
            loop {
                let _writer = self.writer.lock().await;
                match own.try_recv() {
                    Ok(answer) => return answer,
                    // Whoever wrote for us was cancelled: nobody knows whether it was stored. Ask again.
                    Err(TryRecvError::Closed) => break,
                    Err(TryRecvError::Empty) => self.write_queued().await,
                }
            }
        }
    }

    async fn write_queued(&self) {
        let queue = self.queue.take();
        let result = self.insert(&queue).await;
        match result {
            Ok(answers) => {
                for (wanted, answer) in queue.into_iter().zip(answers) {
                    // Whoever no longer waits needs no answer.
                    drop(wanted.answer.send(answer));
                }
            }
            Err(failure) => {
                for wanted in queue {
                    drop(wanted.answer.send(Err(failure.clone().into())));
                }
            }
        }
    }

    /// One write for all of them. The answers come in their order.
    async fn insert(&self, queue: &[Wanted]) -> Result<Vec<Answer>, Failure> {
        for _ in 0..ATTEMPTS_MAX {
            let mut buckets: BTreeMap<BucketPlace, Bucket> = BTreeMap::new();
            for wanted in queue {
                if let Entry::Vacant(vacant) = buckets.entry(BucketPlace::of(wanted.data_subject)) {
                    let bucket = self.bucket(*vacant.key()).await?;
                    vacant.insert(Bucket::clone(&bucket));
                }
            }
            let weights: BTreeMap<BucketPlace, usize> = weights(&buckets);
            let answers = queue.iter().map(|wanted| match buckets.get_mut(&BucketPlace::of(wanted.data_subject)) {
                Some(bucket) => find_or_create(bucket, wanted),
                None => Err(Failure::unavailable("key tree", "a bucket went missing in memory").into()),
            });
            let answers: Vec<Answer> = answers.collect();
            buckets.retain(|place, bucket| weights.get(place) != Some(&bucket.weight()));
            match self.write_buckets(buckets).await {
                Ok(()) => return Ok(answers),
                Err(NodeWriteError::Conflict) => {}
                Err(NodeWriteError::Failed(failure)) => return Err(failure),
            }
        }
        Err(self.write_failed(NodeWriteError::Conflict))
    }

    /// Writes changed buckets, each after the sequence that it was read at. The caller holds the writer's lock.
    pub(super) async fn write_buckets(&self, buckets: BTreeMap<BucketPlace, Bucket>) -> Result<(), NodeWriteError> {
        if buckets.is_empty() {
            return Ok(());
        }
        let mut writes = Vec::with_capacity(buckets.len());
        for (place, bucket) in &buckets {
            let bytes = bucket.seal(&self.tenant, *place, &self.bucket_key(*place).await?);
            let place = Place::Bucket(*place).to_string();
            writes.push(NodeWrite { place, bytes, expected_sequence: bucket.sequence });
        }
        // Until the answer is there, nothing is known about these buckets: even if we are cancelled meanwhile.
        buckets.keys().for_each(|place| self.cache().forget_bucket(*place));
        super::failpoint("keys-buckets-write");
        let noted = ToNote::of(&writes);
        let written = self.store.write(writes).await;
        super::failpoint("keys-buckets-were-written");
        match &written {
            Ok(sequences) => {
                self.note(noted, sequences, &buckets);
                self.cache().wrote(buckets, sequences, self.options.cached_keys);
            }
            // Somebody else has written: whatever we remember may be older than that.
            Err(NodeWriteError::Conflict | NodeWriteError::Failed(_)) => self.forget(),
        }
        written.map(drop)
    }
}

fn weights(buckets: &BTreeMap<BucketPlace, Bucket>) -> BTreeMap<BucketPlace, usize> {
    buckets.iter().map(|(place, bucket)| (*place, bucket.weight())).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_full_bucket_takes_no_more_keys_and_gives_those_it_has() {
        let mut bucket = Bucket::default();
        let part = |number: u32| Part::try_from(format!("{number:032}-0")).expect("a part");
        let wanted = |number: u32| {
            let answer = oneshot::channel().0;
            Wanted {
                data_subject: DataSubject(Uuid::nil()),
                parts: vec![(Scope::HealthFreeText, part(number))],
                answer,
            }
        };
        for number in 0..8_000 {
            find_or_create(&mut bucket, &wanted(number)).expect("a key");
        }
        while !bucket.is_full() {
            bucket.create(DataSubject(Uuid::max()), Scope::HealthFreeText, &part(bucket.weight() as u32));
        }
        let weight = bucket.weight();
        let refused = find_or_create(&mut bucket, &wanted(8_000));
        assert!(matches!(refused, Err(KeyError::Failed(Failure::Unavailable { .. }))), "{refused:?}");
        assert_eq!(find_or_create(&mut bucket, &wanted(7)).map(|keys| keys.len()).ok(), Some(1));
        assert_eq!(bucket.weight(), weight);
    }
}
