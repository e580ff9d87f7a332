//! Stores entries: what comes at once from one user goes as one commit, and nothing is read before it is written.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::Moment;
use domain::access::{AccessLog as Facts, Event, Seen};
use domain::design::content_hash;
use domain::field::Fact as _;
use domain::history::{Actor, EventType, OpenEvent, Position, Tail};
use domain::ids::{CommandId, CorrelationId, Environment, ReadId, TenantId, UserId};
use domain::permit::Principal;
use domain::port::{AppendError, Clock, Dice, Draft, Failure, Tenant, Tenants, Watching};
use domain::scope::Personal;
use edge::{CurrentTraceparent, Origin};
use time::{Date, OffsetDateTime};
use tokio::sync::oneshot;

/// How many entries go as one commit, at most.
const BATCH_MAX: usize = 64;

/// How many participants they name together before the next one waits.
const NAMED_MAX: usize = 4096;

/// How often an entry is tried to store under another stream.
const TRIES: usize = 3;

/// The access log of one process, for all its tenants.
pub struct AccessLog {
    tenants: Arc<dyn Tenants>,
    clock: Arc<dyn Clock>,
    dice: Arc<dyn Dice>,
    pub(super) watching: Arc<dyn Watching>,
    pub(super) trace: CurrentTraceparent,
    lanes: Mutex<BTreeMap<(TenantId, UserId), Shared>>,
}

/// What is to be recorded of one answer.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Who asked.
    pub principal: Principal,
    /// What, and what came of it.
    pub seen: Seen,
    /// From where.
    pub origin: Origin,
}

/// The entries of one user that wait, and where they go.
#[derive(Default)]
struct Lane {
    waiting: VecDeque<Waiting>,
    /// Somebody stores them.
    busy: bool,
    /// The stream of today: its day, its writer, its end.
    stream: Option<(Date, u32, Tail)>,
}

type Shared = Arc<Mutex<Lane>>;

struct Waiting {
    actor: Actor,
    environment: Environment,
    event: Event,
    done: oneshot::Sender<Result<Position, Failure>>,
}

impl AccessLog {
    /// A log of these tenants.
    pub fn new(
        tenants: Arc<dyn Tenants>,
        clock: Arc<dyn Clock>,
        dice: Arc<dyn Dice>,
        watching: Arc<dyn Watching>,
        trace: CurrentTraceparent,
    ) -> Arc<Self> {
        Arc::new(Self { tenants, clock, dice, watching, trace, lanes: Mutex::default() })
    }

    /// Records an answer. When this returns, the entry is on disk.
    ///
    /// # Errors
    /// It is not recorded, or nobody knows: then nothing may be shown.
    pub async fn record(self: &Arc<Self>, entry: Entry) -> Result<Position, Failure> {
        let Entry { principal, seen, origin } = entry;
        let tenant = self.tenants.tenant(&principal.tenant);
        let tenant = tenant.ok_or_else(|| Failure::unavailable("the access log", "this tenant is not served here"))?;
        let at = Moment(self.clock.now());
        let address = origin.address.map(|address| Personal::new(address.to_string()));
        let event =
            Event::Read { read: ReadId(self.dice.uuid()), at, seen, address, agent: origin.agent.map(Personal::new) };
        let key = (principal.tenant.clone(), principal.actor.id);
        let (done, stored) = oneshot::channel();
        let waiting = Waiting { actor: principal.actor, environment: principal.environment, event, done };
        let lane = Arc::clone(lock(&self.lanes).entry(key.clone()).or_default());
        let begins = {
            let mut lane = lock(&lane);
            lane.waiting.push_back(waiting);
            !std::mem::replace(&mut lane.busy, true)
        };
        if begins {
            // A task of its own: the one who asked may go away, and others wait behind it.
            tokio::spawn(Arc::clone(self).store_all(tenant, key.1, lane));
        }
        stored.await.unwrap_or_else(|_| {
            lock(&self.lanes).remove(&key);
            Err(Failure::unavailable("the access log", "its writer has ended"))
        })
    }

    /// Stores what waits until nothing does.
    async fn store_all(self: Arc<Self>, tenant: Arc<Tenant>, user: UserId, lane: Shared) {
        while let Some(batch) = next_batch(&lane) {
            let outcome = self.store(&tenant, user, &lane, &batch).await;
            for waiting in batch {
                // Who does not wait any more is not told.
                let _ = waiting.done.send(outcome.clone());
            }
        }
    }

    async fn store(
        &self,
        tenant: &Tenant,
        user: UserId,
        lane: &Mutex<Lane>,
        batch: &[Waiting],
    ) -> Result<Position, Failure> {
        let mut events: Vec<Event> = batch.iter().map(|waiting| waiting.event.clone()).collect();
        let mut last = Failure::unavailable("the access log", "others write where nobody else should");
        for _ in 0..TRIES {
            let now = self.clock.now();
            let (day, writer, tail) = self.stream_of(lane, now);
            let stream = Facts::stream(&tenant.id, user, day, writer);
            let draft = self.draft(&batch[0], stream, tail, &events, now);
            match tenant.journal.append(draft).await {
                Ok(receipt) => {
                    lock(lane).stream = Some((day, writer, receipt.tail));
                    return Ok(receipt.position);
                }
                // Nobody may know any more from where this user comes; that they looked is recorded all the same.
                Err(AppendError::Erased(_)) => events.iter_mut().for_each(without_origin),
                Err(AppendError::Conflict) => lock(lane).stream = None,
                Err(AppendError::Failed(failure)) => {
                    lock(lane).stream = None;
                    return Err(failure);
                }
                Err(error @ AppendError::TooLarge { .. }) => {
                    last = Failure::unavailable("the access log", error);
                    break;
                }
            }
        }
        Err(last)
    }

    /// Where today's entries of a user go from here: a stream that nobody else writes to.
    fn stream_of(&self, lane: &Mutex<Lane>, now: OffsetDateTime) -> (Date, u32, Tail) {
        let today = now.to_offset(time::UtcOffset::UTC).date();
        let known = lock(lane).stream.filter(|(day, ..)| *day == today);
        known.unwrap_or_else(|| {
            let [a, b, c, d, ..] = self.dice.bytes();
            (today, u32::from_be_bytes([a, b, c, d]), Tail::default())
        })
    }

    fn draft(
        &self,
        first: &Waiting,
        stream: domain::history::StreamId,
        expected: Tail,
        events: &[Event],
        now: OffsetDateTime,
    ) -> Draft {
        let command = CommandId(self.dice.uuid());
        let open = |event: &Event| OpenEvent {
            kind: EventType { name: event.name().to_owned(), version: event.version() },
            body: event.write().into(),
        };
        Draft {
            stream,
            expected,
            guard: None,
            environment: first.environment,
            events: events.iter().map(open).collect(),
            stored_at: now,
            captured_at: now,
            actor: first.actor.clone(),
            command,
            // Nobody sends it again, so there is nothing to compare.
            body_digest: content_hash(command.0.as_bytes()).0,
            causation: None,
            correlation: CorrelationId(command.0),
            traceparent: None,
        }
    }
}

/// The next that go together: by one who acts, in one role and environment. None: nothing waits, and nobody stores any more.
fn next_batch(lane: &Mutex<Lane>) -> Option<Vec<Waiting>> {
    let mut lane = lock(lane);
    let mut batch: Vec<Waiting> = Vec::new();
    let mut named = 0;
    while let Some(next) = lane.waiting.front() {
        let Event::Read { seen, .. } = &next.event;
        named += seen.participants.0.len();
        let same = batch.first().is_none_or(|first| {
            first.actor == next.actor && first.environment == next.environment && named <= NAMED_MAX
        });
        if !same || batch.len() >= BATCH_MAX {
            break;
        }
        batch.extend(lane.waiting.pop_front());
    }
    if batch.is_empty() {
        lane.busy = false;
        return None;
    }
    Some(batch)
}

fn without_origin(event: &mut Event) {
    let Event::Read { address, agent, .. } = event;
    (*address, *agent) = (None, None);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is complete at once.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
