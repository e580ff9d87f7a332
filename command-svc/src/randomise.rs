//! Randomises a participant: the record asks, the list gives its next slot, the record takes it.
//!
//! Each step is found from the facts and may be taken again, so a crash at any point costs nothing: the same command sent
//! again goes on, and so does the start ([`Commands::resume_randomisations`]). Two participants never get the same slot: the
//! list's stream decides, and its appends conflict.
//!
//! Nothing but the sealed allocation joins the two streams. So the list's commit is the platform's own: its command id and its
//! correlation are the allocation's, it names no cause, and its trace begins with it.

use std::time::Duration;

use domain::decider::Fold;
use domain::history::{Aggregate, Commit, CommitHash, JournalId, Position, StreamId, Tail};
use domain::ids::{AllocationId, CommandId, CorrelationId, Environment, ListId, RandomisationNumber, StudyId};
use domain::participant::{self, Allocation, Asked, Event, Lot, Participant, RandomiseRefused};
use domain::permit::{Principal, may_command, may_query};
use domain::port::Tenant;
use domain::randomisation::{self, Drawn, Randomisation, Refused, Seed};
use domain::rejection::Rejection;
use domain::scope::{Erasable, Scope};
use domain::study::Study;
use serde::Serialize;
use serde_json::{Value, json};
use tracing::Instrument;
use utoipa::ToSchema;

use crate::commands::Commands;
use crate::execute::{Done, Request};
use crate::follow_up::derived;
use crate::refusal::{Answer, Refusal};

/// The first pause before what failed at the start is tried again, and the longest.
const RETRY_AFTER: Duration = Duration::from_secs(1);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// What numbers are made of: no letter that is taken for a digit.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

fn list_stream(of: &StreamId, list: &ListId) -> StreamId {
    StreamId { journal: of.journal.clone(), aggregate: Aggregate::Randomisation, id: list.to_string() }
}

fn rejected(refused: &dyn Rejection) -> Refusal {
    Refusal::Rejected(Answer::of(refused))
}

/// A participant's allocation, as far as the caller may know it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Allocation)]
pub(crate) struct AllocationShown {
    /// From which list.
    list: ListId,
    /// What it is called where the arm is not told.
    #[schema(value_type = Object)]
    number: Value,
    /// The arm, or `{"withheld": "health.blinded"}`.
    #[schema(value_type = Object)]
    arm: Value,
    /// When.
    randomised_at: domain::Moment,
}

/// A randomisation list, as everybody may know it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RandomisationList)]
pub(crate) struct ListShown {
    /// Its id.
    pub(crate) list: ListId,
    /// SHA-256 of all that was sealed: see `…/reveal`.
    pub(crate) digest: CommitHash,
    /// Whether it is closed.
    pub(crate) closed: bool,
}

fn shown<T: Serialize>(value: &Erasable<T>, scope: Scope) -> Value {
    value.known().map_or_else(|| json!({"erased": scope}), |known| json!(known))
}

fn withheld() -> Value {
    json!({"withheld": Scope::HealthBlinded})
}

impl Commands {
    /// What is drawn for a list.
    pub(crate) fn draw_list(&self) -> Drawn {
        let seed = || Seed(CommitHash(self.dice.bytes()));
        Drawn { seed: seed(), salt: seed() }
    }

    /// Ten random digits: 50 bits, so that no two of a list are the same, and none leads to a slot.
    fn draw_lot(&self) -> Result<Lot, Refusal> {
        let digit = |byte: &u8| char::from(DIGITS[usize::from(byte % 32)]);
        let mut number: String = self.dice.bytes()[..10].iter().map(digit).collect();
        number.insert(5, '-');
        let number = RandomisationNumber::try_from(number)
            .map_err(|error| domain::port::Failure::damaged("a randomisation number", error))?;
        Ok(Lot { allocation: AllocationId(self.dice.uuid()), number })
    }

    /// Carries out a command to a participant's record, and all that a randomisation sets off.
    ///
    /// # Errors
    /// After a failure the same command may be sent again.
    pub async fn execute_participant(
        &self,
        tenant: &Tenant,
        stream: &StreamId,
        mut command: participant::Command,
        request: &Request,
    ) -> Result<Done, Refusal> {
        let participant::Command::Randomise { list, strata, drawn } = &mut command else {
            return self.execute::<Participant>(tenant, stream, &command, request).await;
        };
        let name = "participant.randomise";
        if !may_command(request.principal.actor.role, name) {
            return Err(Refusal::Forbidden(name.to_owned()));
        }
        self.check_environment(tenant, stream, name, &request.principal).await?;
        *drawn = Some(self.draw_lot()?);
        let asked_before = self.pending(tenant, stream).await?.is_some();
        let known = self.governing.current::<Randomisation>(tenant, &list_stream(stream, list)).await?;
        let free = known.state.free(strata).map_err(|refused| rejected(&refused));
        let asked = match (asked_before, free) {
            // Whether somebody is randomised already is said before whether the list has a slot for them.
            (false, Err(refused)) => {
                *drawn = None;
                match self.execute::<Participant>(tenant, stream, &command, request).await {
                    Err(Refusal::Rejected(answer)) if answer.code() == "nothing-drawn" => return Err(refused),
                    other => other?,
                }
            }
            _ => self.execute::<Participant>(tenant, stream, &command, request).await?,
        };
        tracing::trace!(target: "failpoint", at = "randomisation-asked");
        let cause = self.settle_randomisation(tenant, stream).await?.unwrap_or(request.command);
        self.outcome(tenant, stream, cause).await.map(|done| done.unwrap_or(asked))
    }

    /// What is asked of a list and not given yet, with the commit that asked.
    async fn pending(&self, tenant: &Tenant, stream: &StreamId) -> Result<Option<(Asked, Commit)>, Refusal> {
        let commits = tenant.journal.load(stream, Tail::default()).await?;
        let mut state = Participant::default();
        for commit in commits.iter() {
            state.apply(commit).map_err(|fault| Refusal::malformed(stream, &fault))?;
        }
        let Some(Allocation::Asked(asked)) = state.record().and_then(|record| record.blinding.allocation.clone())
        else {
            return Ok(None);
        };
        let asks = |commit: &&Commit| commit.header.events.iter().any(|event| event.name == "randomisation-asked");
        Ok(commits.iter().rev().find(asks).map(|commit| (asked, commit.clone())))
    }

    /// Takes a randomisation that was asked for to its end, and says which command asked; does nothing where none is under
    /// way.
    async fn settle_randomisation(&self, tenant: &Tenant, stream: &StreamId) -> Result<Option<CommandId>, Refusal> {
        let Some((asked, cause)) = self.pending(tenant, stream).await? else { return Ok(None) };
        let (Some(allocation), Some(levels)) = (asked.allocation.known(), asked.levels.known()) else {
            // The person was erased on the way: nothing leads to the list any more, and nothing is recorded.
            return Ok(None);
        };
        let header = &cause.header;
        let list = list_stream(stream, &asked.list);
        let assign = randomisation::Command::AssignSlot { allocation: *allocation, levels: levels.clone() };
        let request = on_its_own(tenant, header.environment, *allocation);
        // A trace of its own: the one of the request would join the list's commit to the person's.
        let span = tracing::info_span!(parent: None, "randomisation.assign");
        let assigned = self.execute::<Randomisation>(tenant, &list, &assign, &request).instrument(span).await;
        tracing::trace!(target: "failpoint", at = "randomisation-slot-assigned");
        let slot = match assigned {
            Ok(_) => {
                let folded = self.governing.current::<Randomisation>(tenant, &list).await?;
                folded.state.list().and_then(|list| list.slot_of(*allocation))
            }
            Err(Refusal::Rejected(_)) => None,
            Err(failed) => return Err(failed),
        };
        let record = participant::Command::RecordRandomisation { list: asked.list, slot };
        let request = Request {
            principal: Principal::system(tenant.id.clone(), header.environment),
            command: derived(header.command, "record-randomisation"),
            captured_at: None,
            expected: None,
            correlation: header.correlation,
            causation: Some(header.command),
        };
        self.execute::<Participant>(tenant, stream, &record, &request).await?;
        tracing::trace!(target: "failpoint", at = "randomisation-recorded");
        Ok(Some(header.command))
    }

    /// What came of the randomisation that `command` asked for: always the same answer.
    async fn outcome(&self, tenant: &Tenant, stream: &StreamId, command: CommandId) -> Result<Option<Done>, Refusal> {
        let recorded = derived(command, "record-randomisation");
        let commits = tenant.journal.load(stream, Tail::default()).await?;
        let Some(commit) = commits.iter().find(|commit| commit.header.command == recorded) else { return Ok(None) };
        let facts: Vec<Event> = commit.facts().map_err(|fault| Refusal::malformed(stream, &fault))?;
        if facts.iter().any(|fact| matches!(fact, Event::RandomisationFailed { .. })) {
            return Err(rejected(&Refused::Exhausted));
        }
        let revision = commit.header.revision;
        Ok(Some(Done {
            revision,
            tag: revision,
            position: commit.position.clone(),
            events: commit.events.len(),
            items: vec![],
            made: None,
        }))
    }

    /// What a caller is told of a participant's allocation. Whoever asked for an unblinding that another person approved is
    /// told the arm; that they are is stored before.
    pub(crate) async fn allocation(
        &self,
        tenant: &Tenant,
        stream: &StreamId,
        request: &Request,
    ) -> Result<AllocationShown, Refusal> {
        let (caller, query) = (&request.principal, "participant.allocation");
        if !may_query(caller.actor.role, query) {
            return Err(Refusal::Forbidden(query.to_owned()));
        }
        self.check_environment(tenant, stream, query, caller).await?;
        let mut state = Participant::default();
        for commit in tenant.journal.load(stream, Tail::default()).await?.iter() {
            state.apply(commit).map_err(|fault| Refusal::malformed(stream, &fault))?;
        }
        let record = state.record().filter(|record| caller.sites.contains(&record.site));
        let record = record.ok_or_else(|| rejected(&participant::Refused::NoSuchParticipant))?;
        let Some(Allocation::Given(given)) = &record.blinding.allocation else {
            return Err(rejected(&RandomiseRefused::NotRandomised));
        };
        let approved = record.blinding.approved_for(caller.actor.id).map(|(id, _)| id.clone());
        let told = match approved {
            _ if may_query(caller.actor.role, "participant.arm") => true,
            Some(unblinding) => {
                let command = participant::Command::RecordUnblinding { unblinding: unblinding.clone() };
                let request = Request {
                    command: derived(request.command, &format!("unblinded {unblinding}")),
                    ..request.clone()
                };
                self.execute::<Participant>(tenant, stream, &command, &request).await?;
                true
            }
            None => false,
        };
        Ok(AllocationShown {
            list: given.list.clone(),
            number: shown(&given.number, Scope::HealthClinical),
            arm: if told { shown(&given.arm, Scope::HealthBlinded) } else { withheld() },
            randomised_at: domain::Moment(given.recorded.stored_at),
        })
    }

    /// What is told of a study's lists to those who may not see them: nothing but that they are there, and their digests.
    pub(crate) async fn lists(
        &self,
        caller: &Principal,
        tenant: &Tenant,
        study: &StudyId,
    ) -> Result<(Vec<ListShown>, Position), Refusal> {
        let of = self.may_ask(caller, tenant, study, "randomisation.list").await?;
        // Asked first: what is read then reflects at least this.
        let position = tenant.journal.head(&of.journal).await?;
        let mut lists = Vec::new();
        for stream in tenant.journal.streams(&of.journal, Aggregate::Randomisation).await? {
            let folded = self.governing.current::<Randomisation>(tenant, &stream).await?;
            let Some(list) = folded.state.list() else { continue };
            let id = stream.id.parse().map_err(|error| domain::port::Failure::damaged(&stream, error))?;
            let closed = matches!(folded.state, Randomisation::Closed(_));
            lists.push(ListShown { list: id, digest: list.digest, closed });
        }
        Ok((lists, position))
    }

    /// All of a list, as the bytes that its digest is over: for those who may know the arms, once it is not in use.
    pub(crate) async fn reveal(
        &self,
        caller: &Principal,
        tenant: &Tenant,
        study: &StudyId,
        list: &ListId,
    ) -> Result<Vec<u8>, Refusal> {
        let of = self.may_ask(caller, tenant, study, "randomisation.reveal").await?;
        let stream = list_stream(&of, list);
        let governing = self.governing.current::<Study>(tenant, &of).await?;
        let folded = self.governing.current::<Randomisation>(tenant, &stream).await?;
        let list = folded.state.revealed(&governing.state).map_err(|refused| rejected(&refused))?;
        Ok(list.content.document(&stream))
    }

    async fn may_ask(
        &self,
        caller: &Principal,
        tenant: &Tenant,
        study: &StudyId,
        query: &str,
    ) -> Result<StreamId, Refusal> {
        if !may_query(caller.actor.role, query) {
            return Err(Refusal::Forbidden(query.to_owned()));
        }
        let stream = StreamId::in_study(&tenant.id, study, Aggregate::Study, study);
        self.check_environment(tenant, &stream, query, caller).await?;
        Ok(stream)
    }

    /// Takes every randomisation that a process before this one left on its way to its end: goes through the records of each
    /// study that has a list. How many there were.
    ///
    /// # Errors
    /// What the journal says. Those before the failing one are done.
    pub async fn resume_randomisations(&self, tenant: &Tenant) -> Result<usize, Refusal> {
        let mut resumed = 0;
        for journal in tenant.journal.journals().await? {
            if !has_list(tenant, &journal).await? {
                continue;
            }
            for stream in tenant.journal.streams(&journal, Aggregate::Participant).await? {
                if self.pending(tenant, &stream).await?.is_some() {
                    self.settle_randomisation(tenant, &stream).await?;
                    resumed += 1;
                }
            }
        }
        Ok(resumed)
    }
}

impl Commands {
    /// Does so for every tenant, once; what fails is tried again, later each time. For the start of a process.
    pub async fn finish_randomisations(&self) {
        for tenant in self.tenants.all() {
            let mut pause = RETRY_AFTER;
            while let Err(refusal) = self.resume_randomisations(&tenant).await {
                tracing::warn!(tenant = %tenant.id, %refusal, "a randomisation is not at its end yet; trying again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RETRY_AFTER_MAX);
            }
        }
    }
}

async fn has_list(tenant: &Tenant, journal: &JournalId) -> Result<bool, Refusal> {
    Ok(journal.study.is_some() && !tenant.journal.streams(journal, Aggregate::Randomisation).await?.is_empty())
}

/// The platform's own request, of which nothing leads back to the person.
fn on_its_own(tenant: &Tenant, environment: Environment, allocation: AllocationId) -> Request {
    Request {
        principal: Principal::system(tenant.id.clone(), environment),
        command: CommandId(allocation.0),
        captured_at: None,
        expected: None,
        correlation: CorrelationId(allocation.0),
        causation: None,
    }
}

#[cfg(test)]
mod tests;
