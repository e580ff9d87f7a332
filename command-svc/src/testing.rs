//! The ports in memory, for tests: one world with a journal, keys and read models that are always current.
//!
//! Fences and shreds mean here what they mean in the real ones: a value whose key is fenced is not opened, and a
//! shredded key never opens again. Any call of a port can be told to fail, before or after it took effect.

mod ports;
mod study;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request as HttpRequest};
use domain::body::{self, Sections};
use domain::design::content_hash;
use domain::history::{
    Aggregate, Commit, CommitHash, DataSubject, Header, History, JournalId, OpenEvent, Position, StreamId, Tail,
};
use domain::ids::{Environment, ErasureId, StudyId, TenantId, UserId};
use domain::participant::{Factor, Signer};
use domain::permit::{Principal, Role, Sites};
use domain::port::*;
use domain::scope::{Part, Scope};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tower::ServiceExt;
use uuid::Uuid;

use crate::commands::Commands;
use crate::erasure::ErasureTrigger;

pub(crate) use study::*;

/// One key of a person.
type Key = (DataSubject, Scope, Part);

/// A commit as stored: structure and values apart.
#[derive(Clone)]
struct Stored {
    header: Header,
    hash: CommitHash,
    position: Position,
    structure: Vec<OpenEvent>,
    values: Sections,
    body_digest: [u8; 32],
}

/// When a call that is to fail does so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Nothing happened.
    Before,
    /// It took effect, and the caller does not learn of it.
    After,
}

/// What is in it, to be put back as from a backup.
#[derive(Default, Clone)]
pub(crate) struct State {
    journals: BTreeSet<JournalId>,
    commits: Vec<Stored>,
    keys: BTreeSet<Key>,
    shredded: BTreeSet<Key>,
    fenced: BTreeSet<Target>,
    vouched: u64,
    deaf: bool,
    loads: usize,
    receipts: BTreeMap<Target, Shredded>,
    root: u64,
    off_site: bool,
    blind: bool,
    kms_keeps_until: Option<OffsetDateTime>,
    down: BTreeSet<&'static str>,
    shipped: BTreeMap<StreamId, usize>,
    accounts: Vec<ErasureAccount>,
    log: Vec<String>,
    later: Duration,
    behind: bool,
    conflicts: u32,
    drafts: Vec<Draft>,
    calls: u64,
    fail_at: Option<(u64, When)>,
    draws: u64,
    held: BTreeSet<domain::ids::ExportId>,
}

/// All ports at once.
#[derive(Default)]
pub(crate) struct World(Mutex<State>);

impl World {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds the lock")
    }

    /// The exports of which files are held.
    pub(crate) fn held(&self) -> BTreeSet<domain::ids::ExportId> {
        self.state().held.clone()
    }

    pub(crate) fn provision(&self, tenant: &TenantId, study: Option<&StudyId>) {
        self.state().journals.insert(JournalId { tenant: tenant.clone(), study: study.cloned() });
    }

    /// The next appends find that the stream has moved.
    pub(crate) fn conflict_next(&self, times: u32) {
        self.state().conflicts = times;
    }

    /// How many commits there are.
    pub(crate) fn commits(&self) -> usize {
        self.state().commits.len()
    }

    /// Nobody hears of a fence, as for the rest of a lease when its announcement was lost.
    pub(crate) fn set_deaf(&self) {
        self.state().deaf = true;
    }

    /// How often a stream was read.
    pub(crate) fn loads(&self) -> usize {
        self.state().loads
    }

    /// What was tried to append, in order.
    pub(crate) fn drafts(&self) -> Vec<Draft> {
        self.state().drafts.clone()
    }

    /// Every stream of this kind is gone, as if nobody had written one yet.
    pub(crate) fn forget(&self, aggregate: Aggregate) {
        self.state().commits.retain(|commit| commit.header.stream.aggregate != aggregate);
    }

    /// The event types of a stream, in order.
    pub(crate) fn events(&self, stream: &StreamId) -> Vec<String> {
        let state = self.state();
        let commits = state.commits.iter().filter(|commit| commit.header.stream == *stream);
        commits.flat_map(|commit| commit.header.events.iter().map(|event| event.name.clone())).collect()
    }

    /// Lets the `n`th call from now fail.
    pub(crate) fn fail_at(&self, n: u64, when: When) {
        let mut state = self.state();
        state.calls = 0;
        state.fail_at = Some((n, when));
    }

    /// Whether the failure that was ordered has not come yet; from now on nothing fails.
    pub(crate) fn heal(&self) -> bool {
        self.state().fail_at.take().is_some()
    }

    /// What was done at the ports that an erasure uses, in order.
    pub(crate) fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.state().log)
    }

    /// From now on a copy of the key tree stands elsewhere.
    pub(crate) fn has_copy(&self) {
        self.state().off_site = true;
    }

    /// The KMS keeps destroyed roots until then.
    pub(crate) fn keeps_roots_until(&self, until: OffsetDateTime) {
        self.state().kms_keeps_until = Some(until);
    }

    /// A trial finds nothing any more, whatever is there.
    pub(crate) fn is_blind(&self, blind: bool) {
        self.state().blind = blind;
    }

    /// `ledger`, `KMS` or `certifier` does not answer, or does so again.
    pub(crate) fn set_down(&self, what: &'static str, down: bool) {
        let mut state = self.state();
        if down {
            state.down.insert(what)
        } else {
            state.down.remove(what)
        };
    }

    /// Lets time pass.
    pub(crate) fn wait(&self, time: Duration) {
        self.state().later += time;
    }

    /// How many commits of a stream stand elsewhere.
    pub(crate) fn shipped(&self, stream: &StreamId) -> usize {
        self.state().shipped.get(stream).copied().unwrap_or_default()
    }

    /// What was certified.
    pub(crate) fn accounts(&self) -> Vec<ErasureAccount> {
        self.state().accounts.clone()
    }

    pub(crate) fn backup(&self) -> State {
        self.state().clone()
    }

    /// Puts a backup back, keys and fences included, and brings one stream up to date again as the ledger holds it.
    pub(crate) fn restore(&self, backup: State, stream: &StreamId) {
        let mut state = self.state();
        let newer: Vec<Stored> = state.commits.iter().filter(|c| c.header.stream == *stream).cloned().collect();
        let vouched = state.vouched + 1;
        *state = backup;
        state.vouched = vouched;
        let there = state.commits.iter().filter(|commit| commit.header.stream == *stream).count();
        for mut commit in newer.into_iter().skip(there) {
            commit.position.sequence = state.commits.len() as u64 + 1;
            state.commits.push(commit);
        }
    }

    /// A call of a port that may be down by name.
    fn ask<T>(&self, what: &'static str, entry: String, effect: impl FnOnce(&mut State) -> T) -> Result<T, Failure> {
        let called = self.call(|state| {
            if state.down.contains(what) {
                return Err(Failure::unavailable(what, "as ordered"));
            }
            state.log.push(entry);
            Ok(effect(state))
        });
        called?
    }

    pub(crate) fn set_behind(&self, behind: bool) {
        self.state().behind = behind;
    }

    /// The keys of `person` that are not destroyed.
    pub(crate) fn keys_of(&self, person: DataSubject) -> Vec<(Scope, Part)> {
        let state = self.state();
        let theirs = state.keys.iter().filter(|(data_subject, ..)| *data_subject == person);
        theirs.map(|(_, scope, part)| (*scope, part.clone())).collect()
    }

    /// How many keys of `person` are not destroyed.
    pub(crate) fn live_keys(&self, person: DataSubject) -> usize {
        self.state().keys.iter().filter(|(data_subject, ..)| *data_subject == person).count()
    }

    /// A key that was destroyed is back, as from a copy that nobody knew of.
    pub(crate) fn resurrect(&self, person: DataSubject, scope: Scope) {
        self.state().keys.insert((person, scope, Part::all()));
    }

    /// Any call of a port.
    fn call<T>(&self, effect: impl FnOnce(&mut State) -> T) -> Result<T, Failure> {
        let mut state = self.state();
        let now = state.calls;
        state.calls += 1;
        let failure = || Failure::unavailable("the test's world", "as ordered");
        match state.fail_at {
            Some((at, when)) if at == now => {
                state.fail_at = None;
                if when == When::After {
                    effect(&mut state);
                }
                Err(failure())
            }
            _ => Ok(effect(&mut state)),
        }
    }
}

impl State {
    fn is_fenced(&self, (data_subject, scope, part): &Key) -> bool {
        let covers = |part| Target { data_subject: *data_subject, scope: *scope, part };
        self.fenced.contains(&covers(None)) || self.fenced.contains(&covers(Some(part.clone())))
    }

    fn covered(&self, targets: &[Target]) -> Vec<Key> {
        let covers = |target: &Target, (data_subject, scope, part): &Key| {
            target.data_subject == *data_subject
                && target.scope == *scope
                && target.part.as_ref().is_none_or(|one| one == part)
        };
        self.keys.iter().filter(|key| targets.iter().any(|target| covers(target, key))).cloned().collect()
    }

    fn open(&self, stored: &Stored) -> Commit {
        let mut opened = stored.values.clone();
        let mut erased = BTreeSet::new();
        if let Some(person) = stored.header.stream.data_subject() {
            for (scope, part) in stored.values.keys() {
                let key = (person, *scope, part.clone());
                if self.is_fenced(&key) || self.shredded.contains(&key) {
                    erased.insert((*scope, part.clone()));
                }
            }
        }
        erased.iter().for_each(|section| drop(opened.remove(section)));
        let digest_lives = stored.values.keys().next().is_none_or(|first| !erased.contains(first));
        let mut bodies: Vec<_> = stored.structure.iter().map(|event| event.body.to_value()).collect();
        body::join(&mut bodies, &mut opened);
        let kinds = stored.structure.iter().map(|event| event.kind.clone());
        Commit {
            header: stored.header.clone(),
            hash: stored.hash,
            position: stored.position.clone(),
            events: kinds.zip(bodies).map(|(kind, body)| OpenEvent { kind, body: body.into() }).collect(),
            body_digest: digest_lives.then_some(stored.body_digest),
            erased,
            traceparent: None,
            decoded: Default::default(),
        }
    }

    fn tail(&self, stream: &StreamId) -> Tail {
        let last = self.commits.iter().rev().find(|commit| commit.header.stream == *stream);
        last.map_or_else(Tail::default, |commit| Tail { revision: commit.header.revision, hash: commit.hash })
    }

    fn append(&mut self, draft: Draft) -> Result<Receipt, AppendError> {
        self.drafts.push(draft.clone());
        if self.conflicts > 0 {
            self.conflicts -= 1;
            return Err(AppendError::Conflict);
        }
        let guarded = draft.guard.as_ref().is_none_or(|(stream, tail)| self.tail(stream) == *tail);
        if self.tail(&draft.stream) != draft.expected || !guarded {
            return Err(AppendError::Conflict);
        }
        let mut structure = draft.events;
        let mut bodies: Vec<_> = structure.iter().map(|event| event.body.to_value()).collect();
        let values = body::split(&mut bodies);
        structure.iter_mut().zip(bodies).for_each(|(event, body)| event.body = body.into());
        for (scope, part) in values.keys() {
            let person = draft.stream.data_subject().expect("values are a person's");
            let key = (person, *scope, part.clone());
            if self.is_fenced(&key) {
                return Err(AppendError::Erased(*scope));
            }
            self.keys.insert(key);
        }
        let events = structure.iter().map(|event| event.kind.name.clone()).collect::<Vec<_>>().join(" ");
        self.log.push(format!("append {events}"));
        let sequence = self.commits.len() as u64 + 1;
        let header = Header {
            environment: draft.environment,
            revision: draft.expected.revision.next(),
            events: structure.iter().map(|event| event.kind.clone()).collect(),
            stored_at: draft.stored_at,
            captured_at: draft.captured_at,
            actor: draft.actor,
            command: draft.command,
            causation: draft.causation,
            correlation: draft.correlation,
            previous: draft.expected.hash,
            stream: draft.stream,
        };
        let position = Position { study: header.stream.journal.study.clone(), incarnation: 1, sequence };
        let hash = content_hash(&sequence.to_be_bytes());
        let tail = Tail { revision: header.revision, hash };
        let body_digest = draft.body_digest;
        self.commits.push(Stored { header, hash, position: position.clone(), structure, values, body_digest });
        Ok(Receipt { tail, position })
    }
}
