//! Before a database is locked: every record of the study, as it stands in the journal, and what hinders in it.
//!
//! No read model is asked. Values of the whole study are frozen by then, so what was found settled stays so.

use std::collections::BTreeMap;

use domain::decider::Fold;
use domain::design::content_hash;
use domain::history::{Aggregate, CommitHash, Position, StreamId, Tail};
use domain::ids::{ParticipantId, SiteId, StudyId, SubjectNumber};
use domain::participant::{Blocker, Participant, hindrances};
use domain::permit::{Principal, may_command, may_query};
use domain::port::{Failure, Tenant};
use domain::rejection::Fault;
use domain::study::{Checked, Study};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use utoipa::ToSchema;

use crate::commands::Commands;
use crate::refusal::Refusal;

/// How many records are read at a time.
const AT_ONCE: usize = 8;

/// How many records the answer of a refused lock names.
const NAMED_MAX: usize = 100;

/// How many things are listed of one record; its counts are of all.
const LISTED_MAX: usize = 100;

/// What hinders the lock of a database.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LockReadiness {
    /// Whether nothing hinders.
    ready: bool,
    /// How many records there are.
    participants: u64,
    /// How many things hinder.
    blockers: u64,
    /// How many of each kind.
    by_kind: BTreeMap<&'static str, u64>,
    /// The records in which something hinders, by participant.
    records: Vec<Hindered>,
    /// The `cursor` of the next page; null: this was the last.
    next: Option<ParticipantId>,
}

/// A record in which something hinders.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Hindered {
    /// Whose.
    participant: ParticipantId,
    /// The pseudonym.
    subject_number: SubjectNumber,
    /// Where the participant is treated.
    site: SiteId,
    /// How many of each kind.
    by_kind: BTreeMap<&'static str, u64>,
    /// What, one by one; not more than a hundred.
    blockers: Vec<Blocker>,
}

/// Every record, gone through.
struct GoneThrough {
    participants: u64,
    by_kind: BTreeMap<&'static str, u64>,
    hindered: Vec<Hindered>,
    digest: CommitHash,
}

impl Commands {
    /// What hinders a lock, for whoever may ask.
    pub(crate) async fn lock_readiness(
        &self,
        caller: &Principal,
        study: &StudyId,
        after: Option<ParticipantId>,
        limit: usize,
    ) -> Result<(LockReadiness, Position), Refusal> {
        let query = "study.lock-readiness";
        if !may_query(caller.actor.role, query) {
            return Err(Refusal::Forbidden(query.to_owned()));
        }
        let tenant = self.tenants.tenant(&caller.tenant).ok_or(Refusal::NoSuchStudy)?;
        let stream = StreamId::in_study(&tenant.id, study, Aggregate::Study, study);
        self.check_environment(&tenant, &stream, query, caller).await?;
        let position = tenant.journal.head(&stream.journal).await?;
        let found = self.go_through(&tenant, &stream).await?;
        let blockers = found.by_kind.values().sum();
        let visible = found.hindered.into_iter().filter(|one| caller.sites.contains(&one.site));
        let mut records: Vec<_> =
            visible.filter(|one| after.is_none_or(|after| one.participant > after)).take(limit + 1).collect();
        let more = records.len() > limit;
        records.truncate(limit);
        let next = records.last().filter(|_| more).map(|last| last.participant);
        let (participants, by_kind) = (found.participants, found.by_kind);
        Ok((LockReadiness { ready: blockers == 0, participants, blockers, by_kind, records, next }, position))
    }

    /// What a decision to lock needs to know; none where it will be refused anyway, or was taken before.
    pub(crate) async fn check_before_lock(
        &self,
        tenant: &Tenant,
        study: &StudyId,
        caller: &Principal,
    ) -> Result<Option<Checked>, Refusal> {
        let (name, stream) = ("study.lock-database", StreamId::in_study(&tenant.id, study, Aggregate::Study, study));
        if !may_command(caller.actor.role, name) {
            return Ok(None);
        }
        self.check_environment(tenant, &stream, name, caller).await?;
        if !self.governing.current::<Study>(tenant, &stream).await?.state.lock_is_asked() {
            return Ok(None);
        }
        let found = self.go_through(tenant, &stream).await?;
        let faults = found.hindered.iter().take(NAMED_MAX).map(Hindered::fault).collect();
        let blockers = found.by_kind.values().sum();
        Ok(Some(Checked { participants: found.participants, blockers, digest: found.digest, faults }))
    }

    async fn go_through(&self, tenant: &Tenant, study: &StreamId) -> Result<GoneThrough, Refusal> {
        let governing = self.governing.current::<Study>(tenant, study).await?;
        let streams = tenant.journal.streams(&study.journal, Aggregate::Participant).await?;
        let records = stream::iter(streams).map(|stream| look_into(tenant, stream, &governing.state));
        let looked: Vec<Looked> = records.buffered(AT_ONCE).try_collect().await?;
        let mut by_kind = BTreeMap::new();
        for (kind, count) in looked.iter().filter_map(|one| one.hindered.as_ref()).flat_map(|one| &one.by_kind) {
            *by_kind.entry(*kind).or_default() += count;
        }
        let heads: String = looked.iter().map(|one| format!("{} {}\n", one.stream, one.head)).collect();
        Ok(GoneThrough {
            participants: looked.len() as u64,
            by_kind,
            digest: content_hash(heads.as_bytes()),
            hindered: looked.into_iter().filter_map(|one| one.hindered).collect(),
        })
    }
}

/// One record, looked into. What was read of it is not kept.
struct Looked {
    stream: StreamId,
    head: CommitHash,
    hindered: Option<Hindered>,
}

async fn look_into(tenant: &Tenant, stream: StreamId, study: &Study) -> Result<Looked, Refusal> {
    let mut state = Participant::default();
    let commits = tenant.journal.load(&stream, Tail::default()).await?;
    for commit in commits.iter() {
        state.apply(commit).map_err(|fault| Refusal::malformed(&stream, &fault))?;
    }
    let head = commits.last().map_or_else(CommitHash::default, |last| last.hash);
    let id = stream.data_subject().ok_or_else(|| Failure::damaged(&stream, "its id is no participant's"))?;
    let hindered = state.record().and_then(|record| {
        let blockers = hindrances(record, study);
        let (subject_number, site) = (record.subject_number.clone(), record.site.clone());
        (!blockers.is_empty()).then(|| Hindered::new(ParticipantId(id.0), subject_number, site, blockers))
    });
    Ok(Looked { stream, head, hindered })
}

impl Hindered {
    fn new(
        participant: ParticipantId,
        subject_number: SubjectNumber,
        site: SiteId,
        mut blockers: Vec<Blocker>,
    ) -> Self {
        let mut by_kind = BTreeMap::new();
        blockers.iter().for_each(|blocker| *by_kind.entry(blocker.kind()).or_default() += 1);
        blockers.truncate(LISTED_MAX);
        Self { participant, subject_number, site, by_kind, blockers }
    }

    fn fault(&self) -> Fault {
        let counts: Vec<String> = self.by_kind.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        Fault { pointer: format!("/participants/{}", self.participant), detail: counts.join(", ") }
    }
}
