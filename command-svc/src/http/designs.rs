//! Storing a study design, published or as a draft: first its parts, each under the hash of its content, then the fact.

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
use edge::{FieldError, Ids, JsonBody, Parameters, Problem};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::call::{Call, CommandHeaders};
use super::reply::{Problems, Reply, status, with_headers};
use crate::commands::Commands;
use crate::execute::Request;
use crate::refusal::Refusal;

/// The largest design, in bytes.
const DESIGN_BYTES_MAX: usize = 20 * 1024 * 1024;

/// A design was stored, now or before: published, or as a draft.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Stored {
    /// SHA-256 of the design's canonical JSON: what `go-live` and `publish-draft` take.
    design: CommitHash,
    /// The version's name.
    version: Label,
    /// Which of the two it is.
    state: DesignState,
    /// Everything that keeps a draft from being published; none of what is published.
    faults: Vec<FieldError>,
    /// In its `warnings`: what is kept and not carried out, and whether another version has the same name.
    #[serde(flatten)]
    reply: Reply,
}

/// How far a design version is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum DesignState {
    /// Stored, to be read and checked; in force nowhere.
    Draft,
    /// Immutable; may be taken into use.
    Published,
}

/// How a design is stored.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct How {
    /// As a draft, which the command `publish-draft` publishes; otherwise it is published at once.
    #[serde(default)]
    draft: bool,
}

/// Publishes a design version, or stores a draft of it, at most 20 MiB of JSON.
///
/// It is immutable and found by its content hash; sending the same again does nothing. A published one has no faults. A
/// draft may have some: the answer lists them all. It is read and compared like a published one, it takes the place of an
/// earlier draft of the same name, and it is published by `publish-draft`.
#[utoipa::path(
    post,
    path = "/v1/studies/{study}/designs",
    operation_id = "publish_design",
    tag = "commands",
    params(("study" = StudyId, Path, description = "the study"), How, CommandHeaders),
    request_body = StudyDesign,
    responses(
        (status = 200, body = Stored, description = "Stored, now or before."),
        Problems,
    )
)]
pub(super) async fn publish(
    State(commands): State<Arc<Commands>>,
    call: Call,
    Ids(study): Ids<StudyId>,
    Parameters(How { draft }): Parameters<How>,
    JsonBody(design): JsonBody<StudyDesign, DESIGN_BYTES_MAX>,
) -> Result<Response, Problem> {
    let name = if draft { "study.draft-design" } else { "study.publish-design" };
    if !may_command(call.request.principal.actor.role, name) {
        return Err(Refusal::Forbidden(name.into()).into());
    }
    let version = check(&design, draft)?;
    let (hash, parts) = cut(&design);
    for part in &parts {
        store(&commands, &call, &study, part).await?;
    }
    let parts = parts.iter().map(address).collect();
    let design = Arc::new(design);
    let command = match draft {
        true => study::Command::DraftDesign { design: hash, version: version.clone(), parts },
        false => {
            let content = Some(design.clone());
            study::Command::PublishDesign { design: hash, version: version.clone(), parts, content }
        }
    };
    let stream = StreamId::in_study(&call.tenant.id, &study, Aggregate::Study, &study);
    let done = commands.execute::<Study>(&call.tenant, &stream, &command, &call.request).await?;
    let now = commands.governing.current::<Study>(&call.tenant, &stream).await?;
    let published = now.state.setup().is_some_and(|setup| setup.designs.contains_key(&hash));
    let stored = Stored {
        design: hash,
        version,
        state: if published { DesignState::Published } else { DesignState::Draft },
        faults: if published { vec![] } else { listed(now.state.faults_of(&design)) },
        reply: Reply::warning(&done, listed(warnings(&now.state, &design))),
    };
    Ok(with_headers(&done, (status(&done), Json(stored))))
}

fn listed(faults: Vec<Fault>) -> Vec<FieldError> {
    faults.into_iter().map(FieldError::from).collect()
}

fn warnings(study: &Study, design: &StudyDesign) -> Vec<Fault> {
    let mut warnings = design.not_executed();
    let namesakes = study.namesakes(design).into_iter().map(|other| Fault {
        pointer: "/version".into(),
        detail: format!(
            "{other} is published under the same name, with another content: only the hash tells them apart"
        ),
    });
    warnings.extend(namesakes);
    warnings
}

/// The version's name, if nothing makes the design unusable; a draft needs the name only.
fn check(design: &StudyDesign, draft: bool) -> Result<Label, Problem> {
    let mut faults = if draft { vec![] } else { design.faults() };
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
