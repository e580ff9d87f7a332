//! Many commands in one request: one a line in, one result a line out, in the same order, both streamed.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use domain::history::{Aggregate, StreamId};
use domain::identity::{self, Identity};
use domain::ids::{CommandId, ParticipantId, StudyId};

use domain::port::Tenant;
use domain::{participant, privacy};
use edge::headers::{etag_text, parse_captured_at, parse_etag, parse_idempotency_key};
use edge::{Caller, Ids, Problem, ProblemBody, json};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::oneshot::{self, error::TryRecvError};
use tracing::{Instrument, Span};
use utoipa::ToSchema;

use super::lines::{Line, lines};
use super::reply::{Problems, Reply, crashed, status};
use super::step_up::step_up;
use crate::commands::Commands;
use crate::execute::{Done, Request};

/// How many commands of one request are under way at once: enough to fill the journal's batches, few enough to
/// leave room for others.
const WINDOW: usize = 64;

/// Results that are ready together leave in one piece.
const RESULTS_A_PIECE: usize = 64;

/// The media types of newline-delimited JSON; the first is the one we send.
const NDJSON: &[&str] = &["application/x-ndjson", "application/ndjson", "application/jsonl"];

/// One command of a bulk request.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BulkCommand {
    /// Which of the person's streams.
    aggregate: BulkAggregate,
    /// The participant.
    id: ParticipantId,
    /// The command, as the single address of that stream takes it.
    #[schema(value_type = Object)]
    command: Value,
    /// As the header `Idempotency-Key`.
    #[serde(default)]
    #[schema(value_type = Option<uuid::Uuid>)]
    idempotency_key: Option<String>,
    /// As the header `If-Match`.
    #[serde(default)]
    #[schema(example = "\"7\"")]
    if_match: Option<String>,
    /// As the header `Lethe-Captured-At`.
    #[serde(default)]
    captured_at: Option<String>,
}

/// The streams of a person that take commands in bulk.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum BulkAggregate {
    /// The record.
    Participant,
    /// The vault.
    Identity,
    /// Holds, restrictions, erasures.
    Privacy,
}

/// The result of one line: what a single command would have answered.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum BulkResult {
    /// Carried out, now or before.
    Done {
        /// The line's number, from 1.
        line: u64,
        /// The HTTP status that a single command would have had.
        status: u16,
        /// What to send as `if_match`.
        etag: String,
        #[serde(flatten)]
        reply: Reply,
    },
    /// Not carried out.
    Refused {
        /// The line's number, from 1.
        line: u64,
        #[serde(flatten)]
        problem: ProblemBody,
    },
}

/// Takes many commands: newline-delimited JSON in and out.
///
/// One result a line, in the order of the lines. Commands of one participant are carried out in order, others side
/// by side. A line that is refused leaves the others alone. Results are sent while the body is still read, so read
/// them while you send.
#[utoipa::path(
    post,
    path = "/v1/studies/{study}/commands",
    operation_id = "send_commands",
    tag = "commands",
    params(("study" = StudyId, Path, description = "the study")),
    request_body(content = BulkCommand, content_type = "application/x-ndjson"),
    responses(
        (status = 200, body = BulkResult, content_type = "application/x-ndjson", description = "One result a line."),
        Problems,
    )
)]
pub(super) async fn commands(
    State(commands): State<Arc<Commands>>,
    Caller(principal): Caller,
    Ids(study): Ids<StudyId>,
    http: HttpRequest,
) -> Result<Response, Problem> {
    json::media_type(http.headers(), NDJSON)?;
    let tenant = commands.tenants.tenant(&principal.tenant).ok_or_else(Problem::no_such_study)?;
    if commands.governing.environment(&tenant, &study).await? != Some(principal.environment) {
        return Err(Problem::no_such_study());
    }
    let request = commands.request(principal);
    let bulk = Arc::new(Bulk { commands, tenant, study, request });
    let mut order = Order::default();
    let span = Span::current();
    let results = lines(http.into_body())
        .map(move |line| bulk.clone().begin(line, &mut order, &span))
        .buffered(WINDOW)
        .ready_chunks(RESULTS_A_PIECE)
        .map(|results| Ok::<_, Infallible>(results.concat()));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(NDJSON[0])),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, Body::from_stream(results)).into_response())
}

/// What all lines of one request share.
struct Bulk {
    commands: Arc<Commands>,
    tenant: Arc<Tenant>,
    study: StudyId,
    request: Request,
}

impl Bulk {
    /// Starts a line's command as a task of its own, so that it is finished even if the client goes away.
    fn begin(
        self: Arc<Self>,
        (line, bytes): Line,
        order: &mut Order,
        span: &Span,
    ) -> impl Future<Output = Vec<u8>> + use<> {
        let command = bytes.and_then(|bytes| json::parse::<BulkCommand>(&bytes));
        let command = command.map(|command| (order.turn(command.id), command));
        let task = async move {
            let result = match command {
                Ok((turn, command)) => self.run(turn, command).await,
                Err(problem) => Err(problem),
            };
            written(line, result)
        };
        let task = tokio::spawn(task.instrument(span.clone()));
        async move { task.await.unwrap_or_else(|_| written(line, Err(crashed()))) }
    }

    async fn run(&self, mut turn: Turn, command: BulkCommand) -> Result<Done, Problem> {
        turn.comes().await;
        let request = self.request_of(&command)?;
        self.execute(command, &request).await
    }

    fn request_of(&self, command: &BulkCommand) -> Result<Request, Problem> {
        let key = command.idempotency_key.as_deref().map(parse_idempotency_key).transpose()?;
        let expected = command.if_match.as_deref().map(parse_etag).transpose()?;
        let now = self.commands.clock.now();
        let captured_at = command.captured_at.as_deref().map(|text| parse_captured_at(text, now)).transpose()?;
        let command = key.unwrap_or_else(|| CommandId(self.commands.dice.uuid()));
        Ok(Request { command, expected, captured_at, ..self.request.clone() })
    }

    async fn execute(&self, command: BulkCommand, request: &Request) -> Result<Done, Problem> {
        let (commands, tenant, id) = (&self.commands, &self.tenant, command.id);
        let stream = |aggregate| StreamId::in_study(&tenant.id, &self.study, aggregate, id);
        match command.shaped()? {
            Shaped::Participant(command) => {
                Ok(commands.execute_participant(tenant, &stream(Aggregate::Participant), *command, request).await?)
            }
            Shaped::Identity(command) => {
                Ok(commands.execute::<Identity>(tenant, &stream(Aggregate::Identity), &command, request).await?)
            }
            Shaped::Privacy(command) => {
                // A line carries no proof: what needs one is sent by itself.
                step_up(commands, &request.principal, None, &command).await?;
                Ok(commands.execute_privacy(tenant, &stream(Aggregate::Privacy), &command, request).await?)
            }
        }
    }
}

/// A line's command, as the aggregate that it is for reads it.
enum Shaped {
    Participant(Box<participant::Command>),
    Identity(Box<identity::Command>),
    Privacy(Box<privacy::Command>),
}

impl BulkCommand {
    fn shaped(self) -> Result<Shaped, Problem> {
        Ok(match self.aggregate {
            BulkAggregate::Participant => Shaped::Participant(json::shape(self.command)?),
            BulkAggregate::Identity => Shaped::Identity(json::shape(self.command)?),
            BulkAggregate::Privacy => Shaped::Privacy(json::shape(self.command)?),
        })
    }
}

/// Reads one line of a bulk request as far as a line alone can be judged: what is wrong with it, or nothing.
///
/// # Errors
/// The problem that the line would be answered with. It repeats no value of the line.
pub fn read_line(bytes: &[u8]) -> Result<(), Problem> {
    json::parse::<BulkCommand>(bytes)?.shaped().map(drop)
}

fn written(line: u64, result: Result<Done, Problem>) -> Vec<u8> {
    let result = match result {
        Ok(done) => BulkResult::Done {
            line,
            status: status(&done).as_u16(),
            etag: etag_text(done.tag),
            reply: Reply::of(&done),
        },
        Err(problem) => BulkResult::Refused { line, problem: problem.body(None) },
    };
    let mut text = serde_json::to_vec(&result).expect("a result is plain data with text keys");
    text.push(b'\n');
    text
}

/// Whose command is under way: the next one of the same participant waits for it.
#[derive(Default)]
struct Order {
    last: BTreeMap<ParticipantId, oneshot::Receiver<()>>,
}

/// A place in a participant's order; dropping it lets the next one begin.
struct Turn {
    before: Option<oneshot::Receiver<()>>,
    _done: oneshot::Sender<()>,
}

impl Order {
    fn turn(&mut self, participant: ParticipantId) -> Turn {
        if self.last.len() > 4 * WINDOW {
            self.last.retain(|_, last| matches!(last.try_recv(), Err(TryRecvError::Empty)));
        }
        let (done, next) = oneshot::channel();
        Turn { before: self.last.insert(participant, next), _done: done }
    }
}

impl Turn {
    /// Waits until the one before is done, however it ended.
    async fn comes(&mut self) {
        if let Some(before) = self.before.take() {
            // An error says that the sender was dropped: that is how a turn ends.
            let _ = before.await;
        }
    }
}
