//! What every command's request says beside its body.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use domain::ids::CommandId;
use domain::port::Tenant;
use edge::{Caller, Problem, headers};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::commands::Commands;
use crate::execute::Request;
use crate::follow_up::derived;

/// Who calls, for which tenant, under which conditions.
pub(super) struct Call {
    pub(super) tenant: Arc<Tenant>,
    pub(super) request: Request,
    /// What proves anew who signs. Never printed: this type has no `Debug`.
    pub(super) signer: Option<String>,
}

impl FromRequestParts<Arc<Commands>> for Call {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, commands: &Arc<Commands>) -> Result<Self, Problem> {
        let Caller(principal) = Caller::from_request_parts(parts, commands).await?;
        let tenant = commands.tenants.tenant(&principal.tenant).ok_or_else(Problem::no_such_study)?;
        let key = headers::idempotency_key(&parts.headers)?;
        let captured_at = headers::captured_at(&parts.headers, commands.clock.now())?;
        let expected = headers::expected(&parts.headers)?;
        let signer = headers::signer(&parts.headers)?.map(ToOwned::to_owned);
        let drawn = commands.request(principal);
        let command = key.unwrap_or(drawn.command);
        Ok(Self { tenant, request: Request { command, captured_at, expected, ..drawn }, signer })
    }
}

impl Call {
    /// The id of a command that this request sets off by itself: the same again when it is sent again.
    pub(super) fn part_of(&self, what: &str) -> CommandId {
        derived(self.request.command, what)
    }
}

/// From when on an answer is good enough.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Since {
    /// A `Lethe-Position`: the answer reflects at least this, as every answer from the journal does.
    min_position: Option<String>,
}

impl Since {
    /// Refuses what is no position.
    pub(super) fn check(&self) -> Result<(), Problem> {
        self.min_position.as_deref().map(|text| headers::parse_positions("min_position", text)).transpose()?;
        Ok(())
    }
}

/// The headers of a command, for the description.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "read by the macro: `Call` reads the headers")]
pub(super) struct CommandHeaders {
    /// The command's id. Sending it again has no second effect; another body under it is refused. Without one
    /// every request is a new command.
    #[param(rename = "Idempotency-Key")]
    idempotency_key: Option<Uuid>,
    /// The ETag of what is changed: of a form where the command is about one. Required where something saved is changed (428
    /// without), otherwise only held against what is there (412 if it differs).
    #[param(rename = "If-Match", example = "\"7\"")]
    if_match: Option<String>,
    /// `*`: only if it is not there yet.
    #[param(rename = "If-None-Match", example = "*")]
    if_none_match: Option<String>,
    /// When the data was captured (RFC 3339), if that was before now.
    #[param(rename = "Lethe-Captured-At", example = "2026-11-22T13:45:30Z")]
    captured_at: Option<String>,
    /// With `sign`, and with what cannot be undone: what proves anew who does it, for this once: `Factors <base64 of {"password": …, "code": …}>` in a
    /// session (docs/sign-in.md), or `Passkey <base64 of what it answered>`; outside PROD also a person's bearer token once more.
    #[param(rename = "Lethe-Signer")]
    signer: Option<String>,
}
