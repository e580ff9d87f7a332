//! A look into one sealed commit: in a session, proved anew, for a reason of a closed list, and on record before anything is
//! shown. What is shown is structure; values stay closed for everybody here.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use domain::account::{Account, Command, OpeningReason};
use domain::body;
use domain::history::{Aggregate, Commit, JournalId, StreamId, Tail};
use domain::ids::AttemptId;
use domain::permit::{Principal, Role, may_command, may_query};
use domain::port::{Failure, Reauthentication as _, ReauthenticationError};
use edge::{Caller, Ids, JsonBody, Parameters, Problem};
use infra::journal::raw::RawReader;
use projection_svc::sign_ins::{self, Opening};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::Entered;
use super::journals::{Sealed, named, sealed};
use super::rebuilds::in_a_session;
use super::reply::{Problems, Since, reflecting};
use crate::platform::inner::Inner;

const COMMAND: &str = "account.open-commit";

const BODY_MAX: usize = 4096;

/// How many looks are listed.
const LISTED: usize = 100;

/// Why it is opened.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OpenCommit)]
pub(super) struct Wanted {
    /// Why.
    reason: OpeningReason,
}

/// A commit that was opened: its structure.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenedCommit)]
pub(super) struct Opened {
    /// What stands in the clear.
    #[serde(flatten)]
    sealed: Sealed,
    /// Its facts, one after the other. Where a value stands, its scope and part stand instead.
    structure: Vec<Fact>,
}

/// A fact without values.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenedFact)]
pub(super) struct Fact {
    /// Its name.
    fact: String,
    /// The version of its shape.
    version: u32,
    /// Its structure.
    structure: Value,
}

/// What holds secrets that are about nobody is not opened here: lists of arms, what hides subject numbers. A design is for those
/// who may ask for designs.
fn may_open(role: Role, aggregate: Aggregate) -> bool {
    match aggregate {
        Aggregate::Study
        | Aggregate::Participant
        | Aggregate::Identity
        | Aggregate::Privacy
        | Aggregate::User
        | Aggregate::Account
        | Aggregate::Export => true,
        Aggregate::DesignPart => may_query(role, "study.design"),
        // Those two, and whatever is added until it is said here.
        _ => false,
    }
}

/// Opens one commit: its structure, without values. The look is on record before it is answered.
#[utoipa::path(
    post,
    path = "/v1/operations/journals/{journal}/commits/{sequence}/open",
    operation_id = "open_commit",
    tag = "operations",
    params(
        ("journal" = String, Path, description = "the study, or `_` for the tenant's own journal stream"),
        ("sequence" = u64, Path, description = "where it stands"),
        ("Lethe-Signer" = String, Header, description = "what proves anew who looks: see docs/sign-in.md"),
    ),
    request_body = Wanted,
    responses((status = 200, description = "Its structure.", body = Opened), Problems)
)]
pub(super) async fn open(
    State(inner): State<Arc<Inner>>,
    Caller(who): Caller,
    Ids((journal, sequence)): Ids<(String, u64)>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<Wanted, BODY_MAX>,
) -> Result<Response, Problem> {
    if !may_command(who.actor.role, COMMAND) {
        return Err(Problem::forbidden(format!("the role {} may not send {COMMAND}", who.actor.role)));
    }
    let session = who.session.ok_or_else(in_a_session)?;
    let entered = Entered::of(&inner, &who).await?;
    let journal = named(&entered, &journal).await?;
    let found = find(&entered, &journal, sequence).await?;
    if !may_open(who.actor.role, found.aggregate) {
        return Err(Problem::forbidden(
            "commits of this kind hold secrets that are not for this role: they stay sealed",
        ));
    }
    prove(&inner, &who, edge::headers::signer(&headers)?).await?;
    let attempt = AttemptId(inner.dice.uuid());
    let (hash, reason) = (found.hash, body.reason);
    let command = Command::OpenCommit { attempt, session, study: journal.study.clone(), sequence, hash, reason };
    let own = StreamId::in_tenant(&journal.tenant, Aggregate::Account, who.actor.id);
    let request = inner.commands.request(who);
    let done = inner.commands.execute::<Account>(&entered.open.ports, &own, &command, &request).await?;
    let structure = structure_of(&entered, &journal, &found).await?;
    Ok(reflecting(&[done.position], Opened { sealed: found, structure }))
}

async fn find(entered: &Entered, journal: &JournalId, sequence: u64) -> Result<Sealed, Problem> {
    let missing = || Problem::not_found("no-such-commit", "no commit stands there");
    if sequence == 0 {
        return Err(missing());
    }
    let message = RawReader::new(entered.open.client.clone(), journal).at(sequence).await?;
    let commit = message.as_ref().map(sealed).transpose()?.flatten();
    commit.ok_or_else(missing)
}

/// Asks anew who it is, as before a signature.
async fn prove(inner: &Inner, who: &Principal, credential: Option<&str>) -> Result<(), Problem> {
    let Some(credential) = credential else {
        let detail = "prove anew who you are: Lethe-Signer, with the password and a code";
        return Err(Problem::new(StatusCode::FORBIDDEN, "not-proved", detail));
    };
    match inner.asked_anew.signer(who, credential).await {
        Ok(_) => Ok(()),
        Err(ReauthenticationError::Failed(failure)) => Err(failure.into()),
        Err(error) => Err(Problem::new(StatusCode::FORBIDDEN, "not-proved", error.to_string())),
    }
}

/// The whole stream is read, so that its chain is checked.
async fn structure_of(entered: &Entered, journal: &JournalId, sealed: &Sealed) -> Result<Vec<Fact>, Failure> {
    let stream = StreamId { journal: journal.clone(), aggregate: sealed.aggregate, id: sealed.id.clone() };
    let history = entered.open.ports.journal.load(&stream, Tail::default()).await?;
    let commit = history.iter().find(|commit| commit.position.sequence == sealed.sequence);
    let commit = commit.ok_or_else(|| Failure::damaged(&stream, "a commit that was found is not among its own"))?;
    Ok(structure(commit))
}

/// The facts with every value taken out.
fn structure(commit: &Commit) -> Vec<Fact> {
    let mut bodies: Vec<Value> = commit.events.iter().map(|event| event.body.to_value()).collect();
    drop(body::split(&mut bodies));
    let facts = commit.events.iter().zip(bodies);
    facts
        .map(|(event, structure)| Fact { fact: event.kind.name.clone(), version: event.kind.version, structure })
        .collect()
}

/// The looks into commits.
#[derive(Serialize, ToSchema)]
#[schema(as = OperationsOpenings)]
pub(super) struct Openings {
    /// Newest first, the last hundred.
    items: Vec<Opening>,
}

/// Who looked into which commit, when and why, newest first.
#[utoipa::path(
    get,
    path = "/v1/operations/openings",
    operation_id = "list_openings",
    tag = "operations",
    params(Since),
    responses((status = 200, description = "As they stand at `Lethe-Position`.", body = Openings), Problems)
)]
pub(super) async fn list(
    State(inner): State<Arc<Inner>>,
    Caller(who): Caller,
    Parameters(since): Parameters<Since>,
) -> Result<Response, Problem> {
    let entered = Entered::new(&inner, &who, "operations.journals").await?;
    let positions = since.wait(&entered.open.ports).await?;
    let mut items = sign_ins::openings(&entered.open.ports, LISTED).await?;
    items.retain(|opening| entered.shows(opening.study.as_ref()));
    Ok(reflecting(&positions, Openings { items }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_arms_and_what_hides_numbers_stay_sealed_for_everybody() {
        for role in Role::ALL {
            assert!(!may_open(*role, Aggregate::Randomisation) && !may_open(*role, Aggregate::SubjectNumber), "{role}");
        }
        assert!(may_open(Role::Auditor, Aggregate::DesignPart) && !may_open(Role::Operator, Aggregate::DesignPart));
        assert!(may_open(Role::Operator, Aggregate::Participant));
    }
}
