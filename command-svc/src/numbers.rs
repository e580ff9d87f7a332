//! Claims a subject number before a participant is registered under it, so that no two of a study ever have the same
//! (ADR 0025).
//!
//! A crash between the claim and the registration costs nothing: the claim names the participant, and the same one claims it
//! again. The key under which a study's numbers are found is drawn when the first of them is claimed; numbers that were given
//! before that was so are claimed first.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use domain::decider::Fold;
use domain::history::{Aggregate, CommitHash, JournalId, StreamId, Tail};
use domain::ids::{CommandId, CorrelationId, Environment, ParticipantId, SubjectNumber as Number};
use domain::participant::Participant;
use domain::permit::Principal;
use domain::port::{Failure, Tenant};
use domain::subject_number::{Command, KEY, NumberKey, SubjectNumber};
use futures_util::future::BoxFuture;

use crate::commands::Commands;
use crate::execute::Request;
use crate::follow_up::derived;
use crate::refusal::Refusal;

/// The keys of the studies that this process has seen; a study's key never changes.
#[derive(Default)]
pub(crate) struct NumberKeys {
    known: Mutex<BTreeMap<JournalId, NumberKey>>,
    /// Whoever begins a study's numbers goes through its records: not twice at once.
    beginning: tokio::sync::Mutex<()>,
}

impl NumberKeys {
    fn of(&self, journal: &JournalId) -> Option<NumberKey> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(journal).copied()
    }

    fn keep(&self, journal: &JournalId, key: NumberKey) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(journal.clone(), key);
    }
}

fn stream(journal: &JournalId, id: String) -> StreamId {
    StreamId { journal: journal.clone(), aggregate: Aggregate::SubjectNumber, id }
}

/// Whose record a stream is.
fn whose(record: &StreamId) -> Result<ParticipantId, Failure> {
    let person = record.data_subject().map(|person| ParticipantId(person.0));
    person.ok_or_else(|| Failure::damaged(record, "its id is not a participant's"))
}

impl Commands {
    /// Claims `number` for whoever's record is `of`. A future of its own kind, because it is a command within a command.
    pub(crate) fn claim_number<'a>(
        &'a self,
        tenant: &'a Tenant,
        of: &'a StreamId,
        number: Number,
        request: &'a Request,
    ) -> BoxFuture<'a, Result<(), Refusal>> {
        Box::pin(async move {
            let environment = request.principal.environment;
            let key = self.number_key(tenant, &of.journal, environment).await?;
            let request = Request {
                principal: Principal::system(tenant.id.clone(), environment),
                command: derived(request.command, "claim-number"),
                captured_at: None,
                expected: None,
                correlation: request.correlation,
                causation: Some(request.command),
            };
            let claim = Command::Claim { participant: whose(of)? };
            self.execute::<SubjectNumber>(tenant, &stream(&of.journal, key.address(&number)), &claim, &request).await?;
            tracing::trace!(target: "failpoint", at = "number-claimed");
            Ok(())
        })
    }

    async fn number_key(
        &self,
        tenant: &Tenant,
        journal: &JournalId,
        environment: Environment,
    ) -> Result<NumberKey, Refusal> {
        if let Some(key) = self.numbers.of(journal) {
            return Ok(key);
        }
        let _alone = self.numbers.beginning.lock().await;
        let at = stream(journal, KEY.to_owned());
        if self.governing.current::<SubjectNumber>(tenant, &at).await?.state.key().is_none() {
            let drawn = NumberKey(CommitHash(self.dice.bytes()));
            self.claim_earlier(tenant, journal, drawn, environment).await?;
            let command = Command::Key { key: drawn };
            self.execute::<SubjectNumber>(tenant, &at, &command, &self.own(tenant, environment)).await?;
        }
        // Another process may have been first: then what it drew holds, and what was claimed under ours is found by nobody.
        let key = self.governing.current::<SubjectNumber>(tenant, &at).await?.state.key();
        let key = key.ok_or_else(|| Failure::damaged(&at, "there is no key for subject numbers"))?;
        self.numbers.keep(journal, key);
        Ok(key)
    }

    /// Claims the numbers that were given before numbers were claimed. Where two have the same, both keep it, and nobody else
    /// gets it.
    async fn claim_earlier(
        &self,
        tenant: &Tenant,
        journal: &JournalId,
        key: NumberKey,
        environment: Environment,
    ) -> Result<(), Refusal> {
        for record in tenant.journal.streams(journal, Aggregate::Participant).await? {
            let mut state = Participant::default();
            for commit in tenant.journal.load(&record, Tail::default()).await?.iter() {
                state.apply(commit).map_err(|fault| Refusal::malformed(&record, &fault))?;
            }
            let Some(number) = state.record().map(|record| key.address(&record.subject_number)) else { continue };
            let claim = Command::Claim { participant: whose(&record)? };
            let request = self.own(tenant, environment);
            match self.execute::<SubjectNumber>(tenant, &stream(journal, number), &claim, &request).await {
                Err(Refusal::Rejected(_)) => {
                    tracing::warn!(participant = %record.id, "has a subject number that another participant has too");
                }
                other => drop(other?),
            }
        }
        Ok(())
    }

    fn own(&self, tenant: &Tenant, environment: Environment) -> Request {
        Request {
            principal: Principal::system(tenant.id.clone(), environment),
            command: CommandId(self.dice.uuid()),
            captured_at: None,
            expected: None,
            correlation: CorrelationId(self.dice.uuid()),
            causation: None,
        }
    }
}

#[cfg(test)]
mod tests;
