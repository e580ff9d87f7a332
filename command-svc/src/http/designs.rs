//! Publishing a study design: first its parts, each under the hash of its content, then the fact.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use domain::design::{StudyDesign, content_hash};
use domain::design_part::{self, DesignPart, PartText, parts_of};
use domain::history::{Aggregate, CommitHash, StreamId};
use domain::ids::{Label, StudyId};
use domain::permit::may_command;
use domain::rejection::Fault;
use domain::study::{self, Study};
use edge::{Ids, JsonBody, Problem};
use serde::Serialize;
use utoipa::ToSchema;

use super::call::{Call, CommandHeaders};
use super::reply::{Problems, Reply, status, with_headers};
use crate::commands::Commands;
use crate::execute::Request;
use crate::refusal::Refusal;

/// The largest design, in bytes.
const DESIGN_BYTES_MAX: usize = 20 * 1024 * 1024;

/// A design was published, now or before.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Published {
    /// SHA-256 of the design's canonical JSON: what `go-live` takes.
    design: CommitHash,
    /// The version's name.
    version: Label,
    #[serde(flatten)]
    reply: Reply,
}

/// Publishes a design version, at most 20 MiB of JSON.
///
/// It is immutable and found by its content hash; publishing the same again does nothing.
#[utoipa::path(
    post,
    path = "/v1/studies/{study}/designs",
    operation_id = "publish_design",
    tag = "commands",
    params(("study" = StudyId, Path, description = "the study"), CommandHeaders),
    request_body = StudyDesign,
    responses(
        (status = 200, body = Published, description = "Published, now or before."),
        Problems,
    )
)]
pub(super) async fn publish(
    State(commands): State<Arc<Commands>>,
    call: Call,
    Ids(study): Ids<StudyId>,
    JsonBody(design): JsonBody<StudyDesign, DESIGN_BYTES_MAX>,
) -> Result<Response, Problem> {
    if !may_command(call.request.principal.actor.role, "study.publish-design") {
        return Err(Refusal::Forbidden("study.publish-design".into()).into());
    }
    let version = check(&design)?;
    let (hash, parts) = cut(&design);
    for part in &parts {
        store(&commands, &call, &study, part).await?;
    }
    let parts = parts.iter().map(address).collect();
    let content = Some(Arc::new(design));
    let command = study::Command::PublishDesign { design: hash, version: version.clone(), parts, content };
    let stream = StreamId::in_study(&call.tenant.id, &study, Aggregate::Study, &study);
    let done = commands.execute::<Study>(&call.tenant, &stream, &command, &call.request).await?;
    let published = Published { design: hash, version, reply: Reply::of(&done) };
    Ok(with_headers(&done, (status(&done), Json(published))))
}

/// The version's name, if nothing makes the design unusable.
fn check(design: &StudyDesign) -> Result<Label, Problem> {
    let mut faults = design.faults();
    let version = design.version.parse::<Label>().map_err(|rule| {
        faults.push(Fault { pointer: "/version".into(), detail: rule.to_string() });
    });
    match version {
        Ok(version) if faults.is_empty() => Ok(version),
        _ => Err(Problem::invalid("invalid-design", "the design cannot be used, so it was not published")
            .with_errors(faults)),
    }
}

fn cut(design: &StudyDesign) -> (CommitHash, Vec<PartText>) {
    let text = String::from_utf8(design.bytes()).expect("JSON is UTF-8");
    (content_hash(text.as_bytes()), parts_of(&text))
}

fn address(part: &PartText) -> CommitHash {
    content_hash(part.0.as_bytes())
}

async fn store(commands: &Commands, call: &Call, study: &StudyId, part: &PartText) -> Result<(), Refusal> {
    let address = address(part);
    let stream = StreamId::in_study(&call.tenant.id, study, Aggregate::DesignPart, address);
    let command = design_part::Command::Store { content: part.clone() };
    let request = Request {
        command: call.part_of(&stream.to_string()),
        expected: None,
        causation: Some(call.request.command),
        ..call.request.clone()
    };
    commands.execute::<DesignPart>(&call.tenant, &stream, &command, &request).await.map(|_| ())
}
