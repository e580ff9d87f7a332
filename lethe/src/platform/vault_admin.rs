//! What the operator may ask of keys, backups and the record.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Json, Response};
use domain::ids::{ErasureId, TenantId};
use domain::port::Destruction;
use edge::{JsonBody, Problem};
use infra::backup::{Progress, Recipient};
use infra::off_site::Place;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::admin::{BODY_MAX, problem};
use super::inner::Inner;
use super::restore::tree_copies;
use super::{StartError, read_identity};
use crate::cli::CliError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfTenant {
    tenant: TenantId,
}

/// Which KMS, which roots live, where the head is, what stands off-site.
pub(super) async fn kms_status(
    State(inner): State<Arc<Inner>>,
    JsonBody(body): JsonBody<OfTenant, BODY_MAX>,
) -> Result<Json<Value>, Problem> {
    let open = inner.open(&body.tenant).map_err(problem)?;
    let kms = open.vault.kms.kms.describe();
    let status = open.keys.status().await?;
    let key = open.vault.kms.signer.public_key().await?;
    Ok(Json(json!({
        "kms": kms.kind, "device": kms.device, "exportable": kms.is_exportable, "limits": kms.limits,
        "public_key": infra::certificate::public_key_text(&key),
        "root": status.root, "living_roots": status.living, "rotation_under_way": status.head.reserved.is_some(),
        "site": status.site, "head_site": status.head.site,
        "off_site": status.off_site, "shipped_root": status.head.shipped, "shipped_bytes": status.bytes,
        "not_shipped_yet": status.last.saturating_sub(status.through),
    })))
}

/// Replaces the root key.
pub(super) async fn kms_rotate(
    State(inner): State<Arc<Inner>>,
    JsonBody(body): JsonBody<OfTenant, BODY_MAX>,
) -> Result<Json<Value>, Problem> {
    let open = inner.open(&body.tenant).map_err(problem)?;
    let before = open.keys.status().await?.root;
    let (root, destruction) = open.keys.renew_root().await?;
    let gone = match destruction {
        Destruction::Done => json!("destroyed"),
        Destruction::Scheduled { at } => json!({"destroyed_at": domain::Moment(at)}),
    };
    Ok(Json(json!({"root_before": before, "root": root, "old_root": gone})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BackUp {
    tenant: TenantId,
    to: String,
    recipients: Vec<String>,
}

/// Backs up; answers line by line.
pub(super) async fn back_up(
    State(inner): State<Arc<Inner>>,
    JsonBody(body): JsonBody<BackUp, BODY_MAX>,
) -> Result<Response, Problem> {
    let place: Place = body.to.parse().map_err(|error: infra::off_site::PlaceError| invalid(&error.to_string()))?;
    let recipients = body.recipients.iter().map(|text| text.parse::<Recipient>()).collect::<Result<Vec<_>, _>>();
    let recipients = recipients.map_err(invalid)?;
    let to = place.open(&body.tenant)?;
    Ok(lines(move |tell| async move {
        let told = tell.clone();
        let progress = move |progress: Progress| told.progress(progress);
        match inner.back_up(&body.tenant, &*to, &recipients, &progress).await {
            Ok(report) => {
                let manifest = &report.manifest;
                tell.report(json!({
                    "backup": manifest.id, "messages": manifest.messages(), "bytes": manifest.bytes(),
                    "messages_sent": report.messages_sent, "bytes_sent": report.bytes_sent,
                    "chunks_sent": report.chunks_sent, "chunks_used_again": report.chunks_used_again,
                }))
                .await;
            }
            Err(error) => tell.failed(&error.into()).await,
        }
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Probe {
    tenant: TenantId,
    erasure: ErasureId,
    /// Backups whose copies of the key tree are tried too, and the file of the identity that opens them.
    from: Option<String>,
    identity: Option<PathBuf>,
}

/// Tries to open what an erasure destroyed, past all fences, with every copy of the key tree that can be reached.
pub(super) async fn probe(
    State(inner): State<Arc<Inner>>,
    JsonBody(body): JsonBody<Probe, BODY_MAX>,
) -> Result<Json<Value>, Problem> {
    let open = inner.open(&body.tenant).map_err(problem)?;
    let targets = inner.targets_of(&open, body.erasure).await.map_err(problem)?;
    let backups = match (&body.from, &body.identity) {
        (Some(from), Some(identity)) => {
            let place: Place =
                from.parse().map_err(|error: infra::off_site::PlaceError| invalid(&error.to_string()))?;
            Some((place, read_identity(identity).map_err(|error| invalid(&error))?))
        }
        _ => None,
    };
    let backups = backups.as_ref().map(|(place, identity)| (place, identity));
    let copies = tree_copies(&body.tenant, &inner.elsewhere, backups).await;
    let copies = copies.map_err(|error| Problem::unavailable("copies-unavailable", error.to_string()))?;
    let opened = open.keys.probe_copies(&targets, &copies).await?;
    Ok(Json(json!({"erasure": body.erasure, "targets": targets.len(), "copies": copies.len(), "opened": opened})))
}

/// Checks the whole record; answers line by line.
pub(super) async fn verify(
    State(inner): State<Arc<Inner>>,
    JsonBody(body): JsonBody<OfTenant, BODY_MAX>,
) -> Result<Response, Problem> {
    let open = inner.open(&body.tenant).map_err(problem)?;
    Ok(lines(move |tell| async move {
        let told = tell.clone();
        let progress =
            move |messages: u64, of_messages: u64| told.progress(Progress { messages, of_messages, bytes: 0 });
        match inner.verify(&open, &progress).await {
            Ok(report) => tell.report(report).await,
            Err(failure) => tell.failed(&failure.into()).await,
        }
    }))
}

fn invalid(detail: &str) -> Problem {
    problem(StartError::Refused { code: "invalid", detail: detail.to_owned() })
}

/// Tells whoever asked how far a long work is, as far as somebody listens.
#[derive(Clone)]
struct Tell(mpsc::Sender<Value>);

impl Tell {
    fn progress(&self, progress: Progress) {
        let Progress { messages, of_messages, bytes } = progress;
        let _ = self.0.try_send(json!({"kind": "progress", "done": messages, "total": of_messages, "bytes": bytes}));
    }

    async fn report(&self, report: Value) {
        let _ = self.0.send(json!({"kind": "report", "report": report})).await;
    }

    async fn failed(&self, error: &CliError) {
        let line = json!({"kind": "failed", "status": error.status(), "detail": error.to_string()});
        let _ = self.0.send(line).await;
    }
}

/// A reply that comes line by line while the work goes on. The work goes on if nobody listens any more.
fn lines<W: Future<Output = ()> + Send + 'static>(work: impl FnOnce(Tell) -> W) -> Response {
    let (tell, told) = mpsc::channel(64);
    tokio::spawn(work(Tell(tell)));
    let lines = futures_util::stream::unfold(told, |mut told| async {
        let line = told.recv().await?;
        Some((Ok::<_, Infallible>(format!("{line}\n")), told))
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}
