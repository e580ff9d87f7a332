//! The journal streams of one tenant, as they are found on the server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::history::{Aggregate, JournalId, Position, StreamId};
use domain::ids::TenantId;
use domain::port::Failure;
use serde_json::{Value, json};

use super::group::{Group, Lane};
use super::names::{Subject, aggregate_filter, journal_stream, keys_stream, parse_journal_stream, parse_subject};
use super::own_writes::OwnWrites;
use super::provision::{INCARNATION, Settings, journal_settings, keys_settings};
use super::read::missing_or_unavailable;
use super::wire::Wire;

/// A journal stream that is there.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) id: JournalId,
    /// Its name on the server.
    pub(super) name: String,
    pub(super) incarnation: u64,
    /// One: every read sees every acknowledged write.
    pub(super) replicas: u64,
    seen: AtomicU64,
    /// What this process wrote.
    pub(super) own: OwnWrites,
    /// What it is about to write.
    pub(super) group: Group,
}

impl Found {
    /// Some sequence that the journal stream has reached.
    pub(super) fn seen(&self) -> u64 {
        self.seen.load(Ordering::SeqCst)
    }

    /// Notes that the journal stream has reached a sequence.
    pub(super) fn saw(&self, sequence: u64) {
        self.seen.fetch_max(sequence, Ordering::SeqCst);
    }

    /// Notes that this process has written a message.
    pub(super) fn wrote(&self, subject: &str, sequence: u64) {
        // In this order: who knows of the sequence finds the subject.
        self.own.wrote(subject, sequence);
        self.saw(sequence);
    }

    /// A position in this journal stream.
    pub(super) fn position(&self, sequence: u64) -> Position {
        Position { study: self.id.study.clone(), incarnation: self.incarnation, sequence }
    }
}

/// The journal streams of one tenant.
#[derive(Debug)]
pub(super) struct Journals {
    wire: Wire,
    tenant: TenantId,
    lane: Lane,
    found: Mutex<BTreeMap<JournalId, Arc<Found>>>,
}

impl Journals {
    pub(super) fn new(wire: Wire, tenant: TenantId, lane: Lane) -> Self {
        Self { wire, tenant, lane, found: Mutex::default() }
    }

    /// Fails unless the tenant's own journal stream, that of its keys and the `expected` ones are there, as they
    /// should be.
    pub(super) async fn check(&self, expected: &[JournalId]) -> Result<(), Failure> {
        self.check_settings(&keys_settings(&self.tenant), &keys_stream(&self.tenant)).await?;
        let own = JournalId { tenant: self.tenant.clone(), study: None };
        for id in std::iter::once(&own).chain(expected) {
            self.look(id).await?;
        }
        Ok(())
    }

    /// A journal stream, asked for once.
    pub(super) async fn get(&self, id: &JournalId) -> Result<Arc<Found>, Failure> {
        let found = self.lock().get(id).cloned();
        match found {
            Some(found) => Ok(found),
            None => self.look(id).await.map(|(found, _)| found),
        }
    }

    /// A journal stream and its last sequence, as they are now.
    pub(super) async fn look(&self, id: &JournalId) -> Result<(Arc<Found>, u64), Failure> {
        let name = journal_stream(id);
        if id.tenant != self.tenant {
            return Err(Failure::missing(format!("journal stream {name} in the account of {}", self.tenant)));
        }
        let info = self.check_settings(&journal_settings(id), &name).await?;
        let damaged = |detail: &str| Failure::damaged(format!("journal stream {name}"), detail);
        let incarnation = info["config"]["metadata"][INCARNATION].as_str().and_then(|text| text.parse().ok());
        let incarnation = incarnation.ok_or_else(|| damaged("it does not say which incarnation it is"))?;
        let last = info["state"]["last_seq"].as_u64().ok_or_else(|| damaged("it does not say where it ends"))?;
        let replicas = info["config"]["num_replicas"].as_u64().unwrap_or(1);

        let mut known = self.lock();
        let found = known.entry(id.clone()).or_insert_with(|| {
            let (id, name) = (id.clone(), name.clone());
            let (seen, own, group) = (AtomicU64::new(0), OwnWrites::default(), Group::new(self.lane.clone()));
            Arc::new(Found { id, name, incarnation, replicas, seen, own, group })
        });
        if found.incarnation != incarnation {
            return Err(damaged("it was replaced while in use: start this process anew"));
        }
        found.saw(last);
        Ok((found.clone(), last))
    }

    /// Every journal stream of the tenant, its own first.
    pub(super) async fn list(&self) -> Result<Vec<JournalId>, Failure> {
        let mut ids = Vec::new();
        let mut offset = 0;
        loop {
            let answer = self.wire.api("STREAM.NAMES", json!({ "offset": offset })).await;
            let answer = answer.map_err(|refusal| refusal.into_failure("the journal"))?;
            let names = answer["streams"].as_array().map_or(&[][..], Vec::as_slice);
            offset += names.len();
            ids.extend(names.iter().filter_map(Value::as_str).filter_map(parse_journal_stream));
            if names.is_empty() || offset as u64 >= answer["total"].as_u64().unwrap_or(0) {
                break;
            }
        }
        ids.retain(|id| id.tenant == self.tenant);
        ids.sort();
        Ok(ids)
    }

    /// Every stream of one kind in a journal stream.
    pub(super) async fn streams(&self, id: &JournalId, aggregate: Aggregate) -> Result<Vec<StreamId>, Failure> {
        let name = self.get(id).await?.name.clone();
        let filter = aggregate_filter(id, aggregate);
        let mut subjects: BTreeSet<String> = BTreeSet::new();
        loop {
            let request = json!({ "subjects_filter": filter, "offset": subjects.len() });
            let info = self.wire.api(&format!("STREAM.INFO.{name}"), request).await;
            let info = info.map_err(|refusal| missing_or_unavailable(&name, refusal))?;
            let before = subjects.len();
            subjects.extend(info["state"]["subjects"].as_object().into_iter().flatten().map(|(name, _)| name.clone()));
            if subjects.len() == before || subjects.len() as u64 >= info["total"].as_u64().unwrap_or(0) {
                break;
            }
        }
        let unknown = || Failure::damaged(format!("journal stream {name}"), "it holds a subject that is not ours");
        let stream = |subject: &String| match parse_subject(subject) {
            Some(Subject::Stream(stream)) => Ok(stream),
            Some(Subject::Guard(_)) | None => Err(unknown()),
        };
        subjects.iter().map(stream).collect()
    }

    async fn check_settings(&self, settings: &Settings, name: &str) -> Result<Value, Failure> {
        let info = self.wire.api(&format!("STREAM.INFO.{name}"), json!({})).await;
        let info = info.map_err(|refusal| missing_or_unavailable(name, refusal))?;
        let differences = settings.differences(&info);
        if differences.is_empty() {
            Ok(info)
        } else {
            Err(Failure::damaged(format!("journal stream {name}"), differences.join(", ")))
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<JournalId, Arc<Found>>> {
        // Every change is complete at once, so a poisoned map is a whole one.
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
