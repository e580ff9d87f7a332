//! The journal streams, their streams and their commits, sealed: what stands in the clear of each, and nothing else.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use domain::Moment;
use domain::history::{Actor, Aggregate, CommitHash, Header, JournalId};
use domain::ids::{Environment, StudyId};
use domain::port::Failure;
use edge::{Caller, Ids, Parameters, Problem};
use infra::journal::names::{Subject, aggregate_filter, parse_subject};
use infra::journal::raw::{RawMessage, RawReader};
use infra::keys::KeyId;
use infra::log::shelf::Shelf;
use infra::seal::{Peeked, peek};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Entered;
use super::reply::{Problems, Since, reflecting, wait};
use crate::platform::inner::Inner;

/// Stands for the tenant's own journal stream in addresses.
const OWN: &str = "_";

/// How many are listed at once unless fewer are asked for.
const PAGE: usize = 50;
const PAGE_MAX: usize = 200;

/// The journal stream of an address, if it is there for this credential.
pub(super) async fn named(entered: &Entered, name: &str) -> Result<JournalId, Problem> {
    let missing = || Problem::not_found("no-such-journal", "there is no such journal stream for this credential");
    let tenant = entered.open.ports.id.clone();
    let study = match name {
        OWN => None,
        study => Some(study.parse::<StudyId>().map_err(|_| missing())?),
    };
    let wanted = JournalId { tenant, study };
    let all = entered.open.ports.journal.journals().await?;
    all.into_iter().find(|one| *one == wanted && entered.shows(one.study.as_ref())).ok_or_else(missing)
}

/// The journal streams.
#[derive(Serialize, ToSchema)]
#[schema(as = OperationsJournals)]
pub(super) struct Journals {
    /// The tenant's own first.
    items: Vec<Shown>,
}

/// A journal stream.
#[derive(Serialize, ToSchema)]
#[schema(as = OperationsJournal)]
pub(super) struct Shown {
    /// Its name in addresses: the study, or `_` for the tenant's own.
    journal: String,
    /// The study; none: the tenant's own.
    study: Option<StudyId>,
    /// How many messages it holds.
    messages: u64,
    /// The last sequence.
    last: u64,
    /// How many bytes they take on disk.
    bytes: u64,
    /// Which life it is in: a restored one is in the next.
    incarnation: Option<u64>,
    /// On how many servers it is.
    replicas: u64,
    /// The newest signed checkpoint: how many messages it vouches for; none: none was signed yet.
    signed_size: Option<u64>,
    /// The root of their log, in hexadecimal digits.
    signed_root: Option<String>,
    /// When it was signed.
    signed_at: Option<Moment>,
}

async fn shown(inner: &Inner, entered: &Entered, journal: &JournalId) -> Result<Shown, Failure> {
    let state = RawReader::new(entered.open.client.clone(), journal).state().await?;
    let shelf = Shelf::new(&inner.data_dir.tenant(&journal.tenant), journal);
    let signed = match shelf.sizes()?.last() {
        Some(size) => Some(shelf.read(*size, &entered.open.vault.kms.signer.public_key().await?)?.checkpoint),
        None => None,
    };
    let hexadecimal = |root: &[u8]| root.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Shown {
        journal: journal.study.as_ref().map_or(OWN, StudyId::as_str).to_owned(),
        study: journal.study.clone(),
        messages: state.messages,
        last: state.last,
        bytes: state.bytes,
        incarnation: state.incarnation,
        replicas: state.replicas,
        signed_size: signed.as_ref().map(|checkpoint| checkpoint.size),
        signed_root: signed.as_ref().map(|checkpoint| hexadecimal(&checkpoint.root)),
        signed_at: signed.as_ref().map(|checkpoint| Moment(checkpoint.time)),
    })
}

/// The journal streams: how large they are and what was signed of them last.
#[utoipa::path(
    get,
    path = "/v1/operations/journals",
    operation_id = "list_journals",
    tag = "operations",
    params(Since),
    responses((status = 200, description = "As they are at this moment.", body = Journals), Problems)
)]
pub(super) async fn list(
    State(inner): State<Arc<Inner>>,
    Caller(who): Caller,
    Parameters(since): Parameters<Since>,
) -> Result<Response, Problem> {
    let entered = Entered::new(&inner, &who, "operations.journals").await?;
    let positions = since.wait(&entered.open.ports).await?;
    let mut journals = entered.open.ports.journal.journals().await?;
    journals.sort();
    let mut items = Vec::new();
    for journal in journals.iter().filter(|journal| entered.shows(journal.study.as_ref())) {
        items.push(shown(&inner, &entered, journal).await?);
    }
    Ok(reflecting(&positions, Journals { items }))
}

/// Which streams are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OfKind {
    /// Which kind; none: how many there are of each.
    aggregate: Option<Aggregate>,
    /// The id after which the page begins.
    after: Option<String>,
    /// A `Lethe-Position`: the answer reflects at least this.
    min_position: Option<String>,
}

/// The streams of a journal stream.
#[derive(Serialize, ToSchema)]
#[schema(as = OperationsStreams)]
pub(super) struct Streams {
    /// How many streams there are of each kind.
    kinds: Vec<Kind>,
    /// The streams of the kind that was asked for, by id; one page.
    items: Vec<Stream>,
    /// The id with which the next page begins, as `after`; none: this is the last.
    next: Option<String>,
}

/// How many streams of a kind.
#[derive(Serialize, ToSchema)]
#[schema(as = OperationsStreamKind)]
pub(super) struct Kind {
    /// Which kind.
    aggregate: Aggregate,
    /// How many.
    streams: usize,
    /// How many commits they have together.
    commits: u64,
}

/// A stream.
#[derive(Serialize, ToSchema)]
#[schema(as = OperationsStream)]
pub(super) struct Stream {
    /// Which kind.
    aggregate: Aggregate,
    /// Its id.
    id: String,
    /// How many commits it has.
    commits: u64,
}

/// The streams of a journal stream, by kind.
#[utoipa::path(
    get,
    path = "/v1/operations/journals/{journal}/streams",
    operation_id = "list_streams",
    tag = "operations",
    params(("journal" = String, Path, description = "the study, or `_` for the tenant's own journal stream"), OfKind),
    responses((status = 200, description = "As they are at this moment.", body = Streams), Problems)
)]
pub(super) async fn streams(
    State(inner): State<Arc<Inner>>,
    Caller(who): Caller,
    Ids(journal): Ids<String>,
    Parameters(asked): Parameters<OfKind>,
) -> Result<Response, Problem> {
    let entered = Entered::new(&inner, &who, "operations.journals").await?;
    let positions = wait(&entered.open.ports, asked.min_position.as_deref()).await?;
    let journal = named(&entered, &journal).await?;
    let reader = RawReader::new(entered.open.client.clone(), &journal);
    let (mut kinds, mut items) = (Vec::new(), Vec::new());
    for aggregate in Aggregate::ALL {
        let subjects = reader.subjects(&aggregate_filter(&journal, aggregate)).await?;
        if subjects.is_empty() {
            continue;
        }
        let commits = subjects.iter().map(|(_, count)| count).sum();
        kinds.push(Kind { aggregate, streams: subjects.len(), commits });
        if asked.aggregate == Some(aggregate) {
            let ids = subjects.into_iter().filter_map(|(subject, commits)| match parse_subject(&subject)? {
                Subject::Stream(stream) => Some(Stream { aggregate, id: stream.id, commits }),
                Subject::Guard(_) => None,
            });
            items = ids.filter(|stream| asked.after.as_ref().is_none_or(|after| stream.id > *after)).collect();
        }
    }
    let next = (items.len() > PAGE_MAX).then(|| items[PAGE_MAX - 1].id.clone());
    items.truncate(PAGE_MAX);
    Ok(reflecting(&positions, Streams { kinds, items, next }))
}

/// Which commits are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Those before this sequence; none: the newest.
    before: Option<u64>,
    /// Those of one stream alone, as `aggregate/id`.
    stream: Option<String>,
    /// How many at most: 50 unless said otherwise, 200 at the most.
    limit: Option<usize>,
    /// A `Lethe-Position`: the answer reflects at least this.
    min_position: Option<String>,
}

/// Commits of a journal stream.
#[derive(Serialize, ToSchema)]
#[schema(as = OperationsCommits)]
pub(super) struct Commits {
    /// Newest first.
    items: Vec<Sealed>,
    /// With which `before` the next page begins; none: this is the last.
    next: Option<u64>,
}

/// A commit, sealed: what stands in the clear.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SealedCommit)]
pub(super) struct Sealed {
    /// Where it stands in its journal stream.
    pub(super) sequence: u64,
    /// The stream's kind.
    pub(super) aggregate: Aggregate,
    /// The stream's id.
    pub(super) id: String,
    /// Its number in the stream.
    pub(super) revision: u64,
    /// What happened: the names of its facts with their versions.
    pub(super) facts: Vec<String>,
    /// When it was stored.
    pub(super) stored_at: Moment,
    /// When it was captured, as the client says.
    pub(super) captured_at: Moment,
    /// Who.
    pub(super) actor: Actor,
    /// In which environment.
    pub(super) environment: Environment,
    /// The command that was decided.
    pub(super) command: uuid::Uuid,
    /// SHA-256 of the stored bytes.
    pub(super) hash: CommitHash,
    /// The hash of the stream's previous commit.
    pub(super) previous: CommitHash,
    /// How many bytes are stored.
    pub(super) bytes: usize,
    /// The scopes whose values stand in it, each under a key of its own.
    pub(super) scopes: Vec<String>,
}

impl Sealed {
    pub(super) fn of(sequence: u64, bytes: usize, peeked: Peeked) -> Self {
        let Peeked { header, hash, keys } = peeked;
        let mut scopes: Vec<String> = keys.iter().filter_map(scope).collect();
        scopes.sort();
        scopes.dedup();
        let Header { stream, revision, events, stored_at, captured_at, actor, environment, command, previous, .. } =
            header;
        Self {
            sequence,
            aggregate: stream.aggregate,
            id: stream.id,
            revision: revision.0,
            facts: events.into_iter().map(|fact| format!("{} {}", fact.name, fact.version)).collect(),
            stored_at: Moment(stored_at),
            captured_at: Moment(captured_at),
            actor,
            environment,
            command: command.0,
            hash,
            previous,
            bytes,
            scopes,
        }
    }
}

fn scope(key: &KeyId) -> Option<String> {
    match key {
        KeyId::Tenant { .. } => None,
        KeyId::Person(key) => Some(key.scope.to_string()),
    }
}

/// A stored message as a commit; none: it is one of those that carry a second expectation and hold nothing.
pub(super) fn sealed(message: &RawMessage) -> Result<Option<Sealed>, Failure> {
    match parse_subject(&message.subject) {
        Some(Subject::Stream(_)) => {
            Ok(Some(Sealed::of(message.sequence, message.payload.len(), peek(&message.payload)?)))
        }
        Some(Subject::Guard(_)) | None => Ok(None),
    }
}

/// The commits of a journal stream, newest first, sealed.
#[utoipa::path(
    get,
    path = "/v1/operations/journals/{journal}/commits",
    operation_id = "list_commits",
    tag = "operations",
    params(("journal" = String, Path, description = "the study, or `_` for the tenant's own journal stream"), Wanted),
    responses((status = 200, description = "As they stand in the journal.", body = Commits), Problems)
)]
pub(super) async fn commits(
    State(inner): State<Arc<Inner>>,
    Caller(who): Caller,
    Ids(journal): Ids<String>,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Response, Problem> {
    let entered = Entered::new(&inner, &who, "operations.journals").await?;
    let positions = wait(&entered.open.ports, wanted.min_position.as_deref()).await?;
    let journal = named(&entered, &journal).await?;
    let limit = wanted.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    let reader = RawReader::new(entered.open.client.clone(), &journal);
    let mut items = match &wanted.stream {
        Some(stream) => of_stream(&reader, &journal, stream, wanted.before).await?,
        None => newest(&reader, wanted.before, limit).await?,
    };
    items.sort_by_key(|commit| std::cmp::Reverse(commit.sequence));
    let more = items.len() > limit || (wanted.stream.is_none() && items.last().is_some_and(|one| one.sequence > 1));
    items.truncate(limit);
    let next = items.last().map(|last| last.sequence).filter(|_| more && items.len() == limit);
    Ok(reflecting(&positions, Commits { items, next }))
}

/// The last commits before a sequence, at least so many if there are so many.
async fn newest(reader: &RawReader, before: Option<u64>, limit: usize) -> Result<Vec<Sealed>, Failure> {
    let last = reader.state().await?.last;
    let mut through = before.map_or(last, |before| before.saturating_sub(1).min(last));
    let mut items = Vec::new();
    while through > 0 && items.len() < limit {
        let from = through.saturating_sub(limit as u64 - 1).max(1);
        let mut next = from;
        while next <= through {
            let page = reader.page(next, through).await?;
            next = page.last().map_or(through, |last| last.sequence) + 1;
            for message in &page {
                items.extend(sealed(message)?);
            }
        }
        through = from - 1;
    }
    Ok(items)
}

async fn of_stream(
    reader: &RawReader,
    journal: &JournalId,
    stream: &str,
    before: Option<u64>,
) -> Result<Vec<Sealed>, Problem> {
    let wrong = || Problem::bad_request("invalid-stream", "a stream is named as aggregate/id");
    let (aggregate, id) = stream.split_once('/').ok_or_else(wrong)?;
    let aggregate: Aggregate = aggregate.parse().map_err(|_| wrong())?;
    let good = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    if id.is_empty() || id.len() > 64 || !id.chars().all(good) {
        return Err(wrong());
    }
    let stream = domain::history::StreamId { journal: journal.clone(), aggregate, id: id.to_owned() };
    let mut items = Vec::new();
    for message in reader.of_stream(&stream, 1).await? {
        items.extend(sealed(&message)?);
    }
    items.retain(|commit| before.is_none_or(|before| commit.sequence < before));
    Ok(items)
}
