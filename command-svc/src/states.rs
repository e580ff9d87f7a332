//! The folded states of streams, kept between commands, so that a stream is not read, opened and folded for each.
//!
//! They hold what was opened. So each stays bound to the number by which the key tree vouched for it before it was read
//! ([`domain::port::Keys::vouch`]): after a fence it is never used again, and leaves memory with the next sweep. A state is
//! handed out to one command at a time, which puts back what it left. It may be behind the journal: what is written on it
//! expects where it ends, and what is answered without a write is asked of the journal first (ADR 0030).

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::decider::{Decider, Fold as _};
use domain::field::Malformed;
use domain::history::{Commit, DataSubject, OpenEvent, Position, StreamId, Tail};
use domain::ids::{CommandId, TenantId};
use serde_json::Value;

/// How many states are kept.
const STATES_MAX: usize = 16_384;

/// How many bytes they may take, by an estimate: twenty forms of four values are about 40 KiB.
const BYTES_MAX: usize = 128 * 1024 * 1024;

/// A state that no command has asked for in so many sweeps is dropped.
const SWEEPS_UNUSED_MAX: u64 = 120;

/// What a state takes beside what its events say, bytes.
const STATE_BYTES: usize = 1024;

/// A stream's state, and what else has to be known to decide on it.
#[derive(Debug, Clone)]
pub(crate) struct Known<D> {
    /// The state.
    pub(crate) state: D,
    /// Where the stream ended.
    pub(crate) tail: Tail,
    /// Where its last commit stands; none: it has none.
    pub(crate) position: Option<Position>,
    /// The commands that were carried out in it, so that none is carried out twice.
    pub(crate) commands: Vec<CommandId>,
    /// About how much it takes in memory.
    bytes: usize,
}

impl<D: Decider> Default for Known<D> {
    fn default() -> Self {
        let (state, tail) = (D::default(), Tail::default());
        Self { state, tail, position: None, commands: Vec::new(), bytes: STATE_BYTES }
    }
}

impl<D: Decider> Known<D> {
    /// Takes in commits that were read.
    pub(crate) fn take_in(&mut self, commits: &[Commit]) -> Result<(), Malformed> {
        for commit in commits {
            self.state.apply(commit)?;
            self.goes_on(commit.tail(), &commit.position, commit.header.command, weigh(&commit.events));
        }
        Ok(())
    }

    /// Takes note of a commit that the state has taken in, and which takes about so much in memory.
    pub(crate) fn goes_on(&mut self, tail: Tail, position: &Position, command: CommandId, bytes: usize) {
        self.tail = tail;
        self.position = Some(position.clone());
        self.commands.push(command);
        self.bytes += size_of::<CommandId>() + bytes;
    }
}

/// About how much events take in a state.
pub(crate) fn weigh(events: &[OpenEvent]) -> usize {
    events.iter().map(|event| weight(&event.body)).sum()
}

/// About how much what a body says takes in a state: its fields lie in maps, so each has a node and a key there.
fn weight(body: &Value) -> usize {
    match body {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => 24 + text.len(),
        Value::Array(values) => 24 + values.iter().map(weight).sum::<usize>(),
        Value::Object(fields) => 24 + fields.values().map(|value| 16 + weight(value)).sum::<usize>(),
    }
}

/// The states of one process. Bounded by count and by bytes; the one that was not used for longest goes first.
pub(crate) struct States {
    shelf: Mutex<Shelf>,
    states_max: usize,
    bytes_max: usize,
}

#[derive(Default)]
struct Shelf {
    uses: u64,
    sweeps: u64,
    bytes: usize,
    slots: BTreeMap<StreamId, Slot>,
    by_use: BTreeMap<u64, StreamId>,
}

struct Slot {
    used: u64,
    /// The sweep after which it was used last.
    sweep: u64,
    vouched: u64,
    bytes: usize,
    tail: Tail,
    known: Box<dyn Any + Send>,
}

impl Default for States {
    fn default() -> Self {
        Self::bounded(STATES_MAX, BYTES_MAX)
    }
}

impl States {
    pub(crate) fn bounded(states_max: usize, bytes_max: usize) -> Self {
        Self { shelf: Mutex::default(), states_max, bytes_max }
    }

    /// Takes the state of `stream` out, if it is vouched for by the same number still.
    pub(crate) fn take<D: Decider>(&self, stream: &StreamId, vouched: u64) -> Option<Known<D>> {
        let slot = self.lock().remove(stream)?;
        if slot.vouched != vouched {
            return None;
        }
        slot.known.downcast().ok().map(|known| *known)
    }

    /// Puts a state back that was vouched for by this number before it was read. If there is a later one, that one stays.
    pub(crate) fn put<D: Decider>(&self, stream: &StreamId, vouched: u64, known: Known<D>) {
        if known.tail == Tail::default() || known.bytes > self.bytes_max {
            return;
        }
        let mut shelf = self.lock();
        if shelf.slots.get(stream).is_some_and(|slot| slot.tail.revision > known.tail.revision) {
            return;
        }
        shelf.remove(stream);
        shelf.uses += 1;
        let (used, sweep, bytes, tail) = (shelf.uses, shelf.sweeps, known.bytes, known.tail);
        shelf.bytes += bytes;
        shelf.by_use.insert(used, stream.clone());
        shelf.slots.insert(stream.clone(), Slot { used, sweep, vouched, bytes, tail, known: Box::new(known) });
        while shelf.slots.len() > self.states_max || shelf.bytes > self.bytes_max {
            let Some(oldest) = shelf.by_use.first_key_value().map(|(_, stream)| stream.clone()) else { break };
            shelf.remove(&oldest);
        }
    }

    /// Drops all that is kept of a person.
    pub(crate) fn forget(&self, person: DataSubject) {
        self.lock().retain(|stream, _| stream.data_subject() != Some(person));
    }

    /// The tenants of whom states are kept.
    pub(crate) fn tenants(&self) -> Vec<TenantId> {
        let shelf = self.lock();
        let tenants = shelf.slots.keys().map(|stream| &stream.journal.tenant);
        tenants.collect::<BTreeSet<_>>().into_iter().cloned().collect()
    }

    /// Drops the states of a tenant that are not vouched for by this number (none: by none), and those that nobody uses.
    pub(crate) fn sweep(&self, tenant: &TenantId, vouched: Option<u64>) {
        let mut shelf = self.lock();
        let now = shelf.sweeps;
        shelf.retain(|stream, slot| {
            stream.journal.tenant != *tenant
                || (Some(slot.vouched) == vouched && now.saturating_sub(slot.sweep) <= SWEEPS_UNUSED_MAX)
        });
    }

    /// Counts a round of sweeps.
    pub(crate) fn begin_sweep(&self) {
        self.lock().sweeps += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        // Every change is complete at once, so a poisoned shelf is a whole one.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many states are kept, and how many bytes they take.
    #[cfg(test)]
    pub(crate) fn held(&self) -> (usize, usize) {
        let shelf = self.lock();
        (shelf.slots.len(), shelf.bytes)
    }
}

impl Shelf {
    fn remove(&mut self, stream: &StreamId) -> Option<Slot> {
        let slot = self.slots.remove(stream)?;
        self.by_use.remove(&slot.used);
        self.bytes -= slot.bytes;
        Some(slot)
    }

    fn retain(&mut self, stays: impl Fn(&StreamId, &Slot) -> bool) {
        let goes = self.slots.iter().filter(|(stream, slot)| !stays(stream, slot));
        let goes: Vec<StreamId> = goes.map(|(stream, _)| stream.clone()).collect();
        goes.iter().for_each(|stream| drop(self.remove(stream)));
    }
}

#[cfg(test)]
mod tests;
