//! Group commit: what waits to be written to one journal stream goes out together.
//!
//! On one replica that syncs every write, one publish costs a sync, however many wait. So there is one *flight* at a time to a
//! journal stream, and while it is under way the next one fills. A flight of a few goes as publishes one behind the other, without
//! waiting between them; a flight of many goes as one atomic batch, which costs about as much as a dozen publishes, whatever it
//! holds ([`super::pace`]). Nobody waits for a flight to fill: what comes alone flies alone.
//!
//! Each commit keeps its own expectation. The server does not say which one of a batch does not hold, so a refused batch is sent
//! again one by one, and each hears its own answer. Batches to one server go one after the other ([`Lane`]), and whoever waits
//! longest goes first: so no study and no tenant keeps another one waiting for more than one batch.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;
use tracing::Level;

use super::batch::MAX_BATCH;
use super::journals::Found;
use super::pace::Pace;
use super::refusal::{ApiError, Refusal, Verdict};
use super::wire::{Outgoing, Wire};

/// How long one flight may keep the next waiting: longer than a slow disk takes. After that both are under way, which is
/// safe: the server checks every expectation.
const TURN: Duration = Duration::from_millis(250);

/// What may wait and fly at once, KiB. Who comes then waits with the bytes in its own hands: back-pressure.
const ROOM: usize = 32 * 1024;

/// What flies at once at most, bytes: a share of [`ROOM`], so that the next flight has room to fill.
const FLIGHT_BYTES: usize = 8 * 1024 * 1024;

/// What a message takes beside its payload, bytes: subject, headers, bookkeeping.
const OVERHEAD: usize = 512;

/// Lets one batch at a time through to a server: several side by side gain nothing. First come, first served.
#[derive(Debug, Clone)]
pub struct Lane(Arc<Semaphore>);

impl Default for Lane {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

/// A message to be stored, and what it expects beside what its headers say.
pub(super) struct Parcel {
    pub(super) message: Outgoing,
    pub(super) guard: Option<Still>,
}

/// A subject that must not have moved.
#[derive(Debug)]
pub(super) struct Still {
    pub(super) subject: String,
    /// It had not when the journal stream had reached this sequence.
    pub(super) as_of: u64,
    /// The server is to see to it for this very message, so that no other process moves it unseen. That takes the end of the
    /// journal stream for an expectation. Otherwise one message of the flight has that expectation for all of them.
    pub(super) by_server: bool,
}

/// What waits for one journal stream.
#[derive(Debug)]
pub(super) struct Group {
    queue: Mutex<Queue>,
    room: Arc<Semaphore>,
    pace: Pace,
    lane: Lane,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// Somebody sees to it that the queue gets empty.
    served: bool,
}

#[derive(Debug)]
struct Waiting {
    message: Outgoing,
    guard: Option<Still>,
    answer: oneshot::Sender<Result<u64, Refusal>>,
    /// Given back with the answer.
    _room: OwnedSemaphorePermit,
}

impl Waiting {
    /// Whether it expects where the journal stream ends.
    fn expects_end(&self) -> bool {
        self.guard.as_ref().is_some_and(|still| still.by_server)
    }
}

/// What flies together. All stand after `end` if nobody else writes.
struct Flight {
    end: u64,
    load: Vec<Waiting>,
    /// Held by a batch until it is answered.
    turn: Option<OwnedSemaphorePermit>,
}

impl Group {
    pub(super) fn new(lane: Lane) -> Self {
        Self { queue: Mutex::default(), room: Arc::new(Semaphore::new(ROOM)), pace: Pace::default(), lane }
    }

    /// Puts one into the queue. True: nobody sees to the queue yet.
    fn enqueue(&self, one: Waiting) -> bool {
        let mut queue = self.lock();
        queue.waiting.push_back(one);
        !std::mem::replace(&mut queue.served, true)
    }

    /// How many publishes those who wait are worth; none: then nobody sees to the queue from now on. One that expects the
    /// end counts twice, as those go one after the other if they do not go as a batch.
    fn waiting(&self) -> usize {
        let mut queue = self.lock();
        queue.served = !queue.waiting.is_empty();
        queue.waiting.iter().map(|one| if one.expects_end() { 2 } else { 1 }).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Every change is complete at once, so a poisoned queue is a whole one.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Found {
    /// Stores a message in one of the next flights; returns its sequence once it is on disk.
    ///
    /// # Errors
    /// As if it had been published alone. Where it has a guard, `Moved` may also say that it could not be told whether the guard
    /// stands.
    pub(super) async fn store(self: &Arc<Self>, wire: &Wire, parcel: Parcel) -> Result<u64, Refusal> {
        let kib = (parcel.message.payload.len() + OVERHEAD).div_ceil(1024).min(ROOM);
        let room = self.group.room.clone().acquire_many_owned(u32::try_from(kib).unwrap_or(u32::MAX)).await;
        let room = room.map_err(|_| Refusal::Silence("the journal is being closed".into()))?;
        let (answer, answered) = oneshot::channel();
        if self.group.enqueue(Waiting { message: parcel.message, guard: parcel.guard, answer, _room: room }) {
            // A task of its own: whoever waits here may go away, and the others' messages fly all the same.
            tokio::spawn(serve(self.clone(), wire.clone()));
        }
        answered.await.unwrap_or_else(|_| Err(Refusal::Silence("the flight was lost".into())))
    }

    /// What flies next, in the order in which it came.
    ///
    /// A subject may stand in a batch once, and a guard that moves within a flight would move unseen: what is in the way of
    /// another, before it or behind it, waits for the next flight. A guard of which it is not known that it stands comes back as moved.
    fn next_flight(&self, turn: Option<OwnedSemaphorePermit>) -> Flight {
        let end = self.seen();
        let mut queue = self.group.lock();
        let (mut load, mut left) = (Vec::new(), VecDeque::new());
        let (mut subjects, mut guards, mut bytes) = (BTreeSet::new(), BTreeSet::new(), 0);
        while let Some(one) = queue.waiting.pop_front() {
            let size = one.message.payload.len() + OVERHEAD;
            if load.len() == MAX_BATCH || (bytes + size > FLIGHT_BYTES && !load.is_empty()) {
                queue.waiting.push_front(one);
                break;
            }
            let in_the_way = |subject: &str| subjects.contains(subject);
            let moves_a_guard = guards.contains(&one.message.subject);
            if moves_a_guard
                || in_the_way(&one.message.subject)
                || one.guard.as_ref().is_some_and(|still| in_the_way(&still.subject))
            {
                left.push_back(one);
            } else if one
                .guard
                .as_ref()
                .is_some_and(|still| self.own.moved(&still.subject, still.as_of, end) != Some(false))
            {
                let _ = one.answer.send(Err(moved()));
            } else {
                bytes += size;
                subjects.insert(one.message.subject.clone());
                guards.extend(one.guard.as_ref().map(|still| still.subject.clone()));
                load.push(one);
            }
        }
        while let Some(one) = left.pop_back() {
            queue.waiting.push_front(one);
        }
        Flight { end, load, turn }
    }
}

/// One flight after the other, until nobody waits.
async fn serve(journal: Arc<Found>, wire: Wire) {
    loop {
        let turn = match journal.group.waiting() {
            0 => return,
            waiting if waiting < journal.group.pace.batch_from() => None,
            _ => journal.group.lane.0.clone().acquire_owned().await.ok(),
        };
        let flight = journal.next_flight(turn);
        let flying = tokio::spawn(fly(journal.clone(), wire.clone(), flight));
        let _ = timeout(TURN, flying).await;
    }
}

/// Publishes a flight and tells everybody what became of theirs.
async fn fly(journal: Arc<Found>, wire: Wire, flight: Flight) {
    let Flight { end, load, turn } = flight;
    if load.is_empty() {
        return;
    }
    let flown = Instant::now();
    let (messages, as_batch) = (load.len(), turn.is_some() && load.len() > 1);
    tracing::event!(target: "metrics", Level::INFO, histogram.lethe_flight_messages = messages as u64, as_batch);
    let load = if as_batch {
        let begun = Instant::now();
        let refusal = match wire.publish_batch(batch(&load, end)).await {
            Ok(ack) => {
                journal.group.pace.sent_as_batch(messages, begun.elapsed());
                measure(flown, true);
                for (one, sequence) in load.into_iter().zip(ack.first..) {
                    journal.wrote(&one.message.subject, sequence);
                    let _ = one.answer.send(Ok(sequence));
                }
                return;
            }
            Err(refusal) => refusal,
        };
        if refusal.verdict() == Verdict::Unclear {
            // Stored or not, all or none: each finds out for itself.
            load.into_iter().for_each(|one| drop(one.answer.send(Err(refusal.clone()))));
            return;
        }
        load
    } else {
        load
    };
    drop(turn);
    one_by_one(&journal, &wire, load, end).await;
    measure(flown, false);
}

/// How long it took until a flight was on disk.
fn measure(flown: Instant, as_batch: bool) {
    let seconds = flown.elapsed().as_secs_f64();
    tracing::event!(target: "metrics", Level::INFO, histogram.lethe_flight_seconds = seconds, as_batch);
}

/// Publishes a flight as single messages: first what expects the end of the journal stream, one after the other, then all others
/// side by side.
async fn one_by_one(journal: &Found, wire: &Wire, load: Vec<Waiting>, end: u64) {
    let (mut ahead, rest): (Vec<_>, Vec<_>) = load.into_iter().partition(Waiting::expects_end);
    let (mut watching, mut rest): (Vec<_>, Vec<_>) = rest.into_iter().partition(|one| one.guard.is_some());
    let (begun, count) = (Instant::now(), ahead.len() + watching.len() + rest.len());
    // What the others expect beside their own streams, one asks for all of them.
    if ahead.is_empty() && !watching.is_empty() {
        ahead.push(watching.remove(0));
    }
    // Where the journal stream ends, as long as only this flight writes.
    let mut known_end = Some(end);
    for one in ahead {
        // Only after the answer to the one before: a number that was counted instead may be that of somebody else's message.
        known_end = match known_end {
            Some(end) => publish(journal, wire, one, Some(end)).await,
            None => {
                let _ = one.answer.send(Err(moved()));
                None
            }
        };
    }
    match known_end {
        Some(_) => rest.append(&mut watching),
        // Somebody else writes here: each looks for itself.
        None => watching.into_iter().for_each(|one| drop(one.answer.send(Err(moved())))),
    }
    join_all(rest.into_iter().map(|one| publish(journal, wire, one, None))).await;
    journal.group.pace.sent_singly(count, begun.elapsed());
}

/// The messages of a flight. One expectation of where the whole journal stream ends holds for every guard among them.
fn batch(load: &[Waiting], end: u64) -> Vec<Outgoing> {
    let mut messages: Vec<Outgoing> = load.iter().map(|one| one.message.clone()).collect();
    if load.iter().any(|one| one.guard.is_some())
        && let Some(first) = messages.first_mut()
    {
        *first = std::mem::take(first).expecting_journal_at(end);
    }
    messages
}

/// Publishes one message and says what became of it; returns its sequence if it was stored.
async fn publish(journal: &Found, wire: &Wire, one: Waiting, end: Option<u64>) -> Option<u64> {
    let Waiting { message, answer, _room, .. } = one;
    let subject = message.subject.clone();
    let message = end.into_iter().fold(message, Outgoing::expecting_journal_at);
    let outcome = wire.publish(message).await.map(|ack| ack.sequence);
    let sequence = outcome.as_ref().ok().copied();
    if let Some(sequence) = sequence {
        journal.wrote(&subject, sequence);
    }
    let _ = answer.send(outcome);
    sequence
}

/// What the server answers to an expectation that does not hold. As final as its own word: what may still be on its way expects
/// the guard where it stood.
pub(super) fn moved() -> Refusal {
    Refusal::Server(ApiError { status: 400, number: 10071, description: "the guard has moved".to_owned() })
}
