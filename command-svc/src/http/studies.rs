//! Commands to a study.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use domain::decider::Command as _;
use domain::history::{Aggregate, StreamId};
use domain::ids::{ParticipantId, StudyId};
use domain::study::{Command, Study};
use edge::{Caller, FieldError, Ids, JsonBody, Parameters, Problem, headers};
use serde::Deserialize;
use utoipa::IntoParams;

use super::call::{Call, CommandHeaders};
use super::reply::{Answers, Problems, Reply, status, with_headers};
use crate::commands::Commands;
use crate::lock::LockReadiness;
use crate::refusal::Refusal;

/// Opens a site, takes the study live, freezes and locks its data, locks its database.
///
/// `lock-database` goes through every record first; what hinders is in `errors` of the answer, by participant, and in full
/// at `…/lock-readiness`.
///
/// Designs are published at `…/designs`, which stores their content first; `publish-draft` publishes a draft from there.
/// `go-live` and `activate-design` say in `warnings` if the study demands no approvals, and if it has published no consent form.
#[utoipa::path(
    post,
    path = "/v1/studies/{study}",
    operation_id = "command_study",
    tag = "commands",
    params(("study" = StudyId, Path, description = "the study"), CommandHeaders),
    request_body = Command,
    responses(Answers, Problems)
)]
pub(super) async fn command(
    State(commands): State<Arc<Commands>>,
    call: Call,
    Ids(study): Ids<StudyId>,
    JsonBody(mut command): JsonBody<Command>,
) -> Result<Response, Problem> {
    if matches!(command, Command::PublishDesign { .. } | Command::DraftDesign { .. }) {
        // Without its parts a published design could not be read, and no participant could be registered.
        let name = format!("study.{} here: send the design to …/designs", command.name());
        return Err(Refusal::Forbidden(name).into());
    }
    if let Command::LockDatabase { checked } = &mut command {
        *checked = commands.check_before_lock(&call.tenant, &study, &call.request.principal).await?;
    }
    let stream = StreamId::in_study(&call.tenant.id, &study, Aggregate::Study, &study);
    let done = commands.execute::<Study>(&call.tenant, &stream, &command, &call.request).await?;
    let mut warnings = Vec::new();
    if matches!(command, Command::GoLive { .. } | Command::ActivateDesign { .. }) {
        let now = commands.governing.current::<Study>(&call.tenant, &stream).await?;
        if now.state.setup().is_some_and(|setup| !setup.versions.approvals_demanded) {
            warnings.push(FieldError { pointer: "/design".into(), detail: UNAPPROVED.to_owned() });
        }
        if now.state.consents().is_none_or(|consents| consents.is_empty()) {
            warnings.push(FieldError { pointer: "/design".into(), detail: NO_CONSENT_FORM.to_owned() });
        }
    }
    Ok(with_headers(&done, (status(&done), Json(Reply::warning(&done, warnings)))))
}

/// Said where a version comes into force in a study that has nothing to hold a consent against.
const NO_CONSENT_FORM: &str = "this study has published no consent form: consent of any version is taken, and no data is \
refused because of its day; publish the forms that are used (publish-consent)";

/// Said where a version comes into force in a study that asks for nobody's approval.
const UNAPPROVED: &str = "this study demands no approvals: the version is in force without any site's approval of it; \
                          demand-approvals changes that, for good";

/// Which part of the list to show.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Part {
    /// Where an earlier page ended: its `next`.
    cursor: Option<ParticipantId>,
    /// How many records to show, at most; 100 unless said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// A `Lethe-Position`: the answer reflects at least this, as every answer from the journal does.
    min_position: Option<String>,
}

/// What hinders the lock of the database: every record is gone through as it stands in the journal, at this moment.
#[utoipa::path(
    get,
    path = "/v1/studies/{study}/lock-readiness",
    operation_id = "show_lock_readiness",
    tag = "queries",
    params(("study" = StudyId, Path, description = "the study"), Part),
    responses((status = 200, description = "As it stands in the journal at this moment.", body = LockReadiness), Problems)
)]
pub(super) async fn lock_readiness(
    State(commands): State<Arc<Commands>>,
    Caller(caller): Caller,
    Ids(study): Ids<StudyId>,
    Parameters(Part { cursor, limit, min_position }): Parameters<Part>,
) -> Result<Response, Problem> {
    min_position.as_deref().map(|text| headers::parse_positions("min_position", text)).transpose()?;
    let limit = match limit.unwrap_or(100) {
        limit @ 1..=1000 => limit,
        _ => return Err(Problem::bad_request("invalid-limit", "limit takes 1 to 1000")),
    };
    let (readiness, position) = commands.lock_readiness(&caller, &study, cursor, limit).await?;
    let mut response = ([(header::CACHE_CONTROL, "no-store")], Json(readiness)).into_response();
    response.headers_mut().insert(headers::LETHE_POSITION, headers::positions_value(&[position]));
    Ok(response)
}
