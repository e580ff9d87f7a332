//! The register of exports, the files for the one who ordered them, and how they are written.
//!
//! [`source`], [`record`] and [`spool`] are shared with the Dataset-JSON API: there is one way in which data is laid out.

pub(crate) mod record;
pub(crate) mod source;
pub(crate) mod spool;
mod write;

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use domain::export::{self, Frame, HistoryWanted, Order, Stage};
use domain::history::CommitHash;
use domain::ids::{ExportId, SiteId, StudyId};
use domain::permit::{Principal, may_query};
use domain::port::{ExportJob, ExportWritten, Exporter, Failure, NotFramed, Tenant};
use domain::scope::Scope;
use edge::{Caller, Ids, Parameters, Problem};
use exchange::model::SiteEntry;
use projection_svc::exports::{self, Export};
use projection_svc::studies::{self, Study};
use projection_svc::{Visible, erasures};

use crate::answer::{Answer, List, reflecting};
use crate::desk::{Queries, Since};

pub(crate) fn routes() -> Router<Arc<Queries>> {
    Router::new()
        .route("/v1/studies/{study}/exports", get(list))
        .route("/v1/studies/{study}/exports/{export}", get(show))
        .route("/v1/studies/{study}/exports/{export}/files/{file}", get(file))
}

/// The register of a study's exports, the newest first: who got which data, what for, until when, and every copy that
/// was handed on. Files and hashes are shown to the one who ordered them alone: they could tell an arm.
#[utoipa::path(get, operation_id = "list_exports",
    path = "/v1/studies/{study}/exports", tag = "queries", params(("study" = String, Path), Since),
    responses((status = 200, body = List<Export>)))]
pub(crate) async fn list(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids(study): Ids<StudyId>,
    Parameters(since): Parameters<Since>,
) -> Result<Answer<List<Export>>, Problem> {
    let (entered, _) = queries.enter_study(&caller, "export.list", &study, since.min_position.as_deref()).await?;
    let found = exports::list(&entered.tenant, &study).await?;
    let items = found.into_iter().map(|export| for_caller(export, &caller)).collect();
    Ok(Answer { reflected: entered.reflected, body: List::whole(items) })
}

/// One export.
#[utoipa::path(get, operation_id = "show_export",
    path = "/v1/studies/{study}/exports/{export}", tag = "queries",
    params(("study" = String, Path), ("export" = uuid::Uuid, Path), Since),
    responses((status = 200, body = Export)))]
pub(crate) async fn show(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids((study, export)): Ids<(StudyId, ExportId)>,
    Parameters(since): Parameters<Since>,
) -> Result<Answer<Export>, Problem> {
    let (entered, _) = queries.enter_study(&caller, "export.list", &study, since.min_position.as_deref()).await?;
    let found = exports::show(&entered.tenant, &study, export).await?.ok_or_else(no_such_export)?;
    Ok(Answer { reflected: entered.reflected, body: for_caller(found, &caller) })
}

/// A file of an export, for the one who ordered it, with the same rights still, until it is deleted.
#[utoipa::path(get, operation_id = "download_export",
    path = "/v1/studies/{study}/exports/{export}/files/{file}", tag = "queries",
    params(("study" = String, Path), ("export" = uuid::Uuid, Path),
        ("file" = String, Path, description = "the file's name"), Since),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 410, description = "The files are deleted: order another export.",
            content_type = "application/problem+json", body = edge::ProblemBody)))]
pub(crate) async fn file(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids((study, export, name)): Ids<(StudyId, ExportId, String)>,
    Parameters(since): Parameters<Since>,
) -> Result<Response, Problem> {
    let (entered, _) = queries.enter_study(&caller, "export.download", &study, since.min_position.as_deref()).await?;
    let found = exports::show(&entered.tenant, &study, export).await?;
    let found = found.filter(|found| is_own(found, &caller)).ok_or_else(no_such_export)?;
    match found.stage {
        // What expired is deleted soon, and given to nobody from then on.
        Stage::Held if found.order.expires_at.0 <= queries.now() => return Err(deleted()),
        Stage::Held => {}
        Stage::Writing => return Err(Problem::not_found("export-not-completed", "its files are still being written")),
        Stage::Failed | Stage::Deleted => return Err(deleted()),
    }
    if holds_somebody_restricted(&entered.tenant, &study, export).await? {
        return Err(deleted());
    }
    let unknown = || Problem::not_found("no-such-file", "the export has no file of this name");
    let listed = found.files.iter().find(|file| file.name == name).ok_or_else(unknown)?;
    let from = entered.tenant.exports.open(export, &name).await?.ok_or_else(deleted)?;
    let headers =
        [(header::CONTENT_TYPE, listed.media_type.clone()), (header::CONTENT_LENGTH, listed.bytes.to_string())];
    Ok(reflecting(&entered.reflected, (headers, streamed(from))))
}

fn no_such_export() -> Problem {
    Problem::not_found("no-such-export", "there is no such export for this credential")
}

fn deleted() -> Problem {
    Problem::new(StatusCode::GONE, "export-deleted", "the files of this export are deleted: order another one")
}

/// Whether the caller ordered it, and reaches still what is in it.
fn is_own(export: &Export, caller: &Principal) -> bool {
    let (actor, now) = (&export.started.actor, &caller.actor);
    let sites = export.frame.sites.iter().all(|site| caller.sites.contains(site));
    actor.id == now.id && actor.role == now.role && sites
}

fn for_caller(mut export: Export, caller: &Principal) -> Export {
    if !is_own(&export, caller) {
        export.files.clear();
        export.manifest = None;
    }
    export
}

/// A restriction takes back what is held; until that is done, nobody gets it. What was ordered under it holds nothing of the
/// person but the number.
async fn holds_somebody_restricted(tenant: &Tenant, study: &StudyId, export: ExportId) -> Result<bool, Failure> {
    for restriction in erasures::restrictions(tenant, study, &Visible::none()).await? {
        let held = exports::of_person(tenant, study, restriction.participant).await?;
        let from_before = |held: &Export| held.started.stored_at <= restriction.placed.stored_at;
        if held.iter().any(|held| held.export == export && from_before(held)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// How much of a file is opened at a time.
const CHUNK: usize = 64 << 10;

/// Opening takes the processor and the disk, so it is done beside.
fn streamed(mut from: Box<dyn Read + Send>) -> Body {
    let (to, chunks) = tokio::sync::mpsc::channel(4);
    tokio::task::spawn_blocking(move || {
        let mut buffer = vec![0; CHUNK];
        loop {
            let chunk = match from.read(&mut buffer) {
                Ok(0) => return,
                Ok(length) => Ok(buffer[..length].to_vec()),
                Err(error) => Err(error),
            };
            let ends = chunk.is_err();
            if to.blocking_send(chunk).is_err() || ends {
                return;
            }
        }
    });
    Body::from_stream(futures_util::stream::unfold(chunks, |mut chunks| async move {
        chunks.recv().await.map(|chunk: std::io::Result<Vec<u8>>| (chunk, chunks))
    }))
}

#[async_trait]
impl Exporter for Queries {
    async fn frame(&self, caller: &Principal, study: &StudyId, order: &Order) -> Result<Frame, NotFramed> {
        let files = !order.formats.is_empty();
        let wants_history = files && order.history != HistoryWanted::None;
        // Without files it is registered that somebody takes what they may read anyway: a casebook or an audit trail.
        let audits = !files && may_query(caller.actor.role, "study.audit");
        for (query, wanted) in
            [("export.download", files), ("participant.casebook", !audits), ("participant.audit", wants_history)]
        {
            if wanted && !may_query(caller.actor.role, query) {
                return Err(NotFramed::Forbidden(query));
            }
        }
        let tenant = self.tenant(&caller.tenant).ok_or(NotFramed::NoSuchStudy)?;
        let found = studies::show(&tenant, study).await?;
        let found = found.filter(|found| found.environment == caller.environment).ok_or(NotFramed::NoSuchStudy)?;
        let design = order.design.or(found.live_design).ok_or(NotFramed::Refused(export::Refused::NoDesign))?;
        if source::published(&found, &design).is_none() {
            return Err(NotFramed::Refused(export::Refused::NoDesign));
        }
        let reached: BTreeSet<SiteId> = source::reached(&found, caller).collect();
        if !order.sites.is_subset(&reached) {
            return Err(NotFramed::Refused(export::Refused::NoSuchSite));
        }
        let visible = Visible::of(caller.actor.role);
        let scopes = Scope::ALL.iter().copied().filter(|scope| scope.as_str().starts_with("health."));
        let here = tenant.progress.reflected().into_iter().find(|position| position.study.as_ref() == Some(study));
        Ok(Frame {
            sites: if order.sites.is_empty() { reached } else { order.sites.clone() },
            scopes: scopes.filter(|scope| visible.contains(*scope)).collect(),
            design,
            position: here.map_or(0, |position| position.sequence),
        })
    }

    async fn write(&self, caller: &Principal, job: &ExportJob) -> Result<ExportWritten, Failure> {
        write::write(self, caller, job).await
    }
}

/// Since when a design is live at a site: since it was opened, or since the design was published.
pub(crate) fn sites(study: &Study, design: &CommitHash, wanted: &BTreeSet<SiteId>) -> Vec<SiteEntry> {
    let published = source::published(study, design).map(|design| design.published.stored_at);
    let sites = study.sites.iter().filter(|site| wanted.contains(&site.site));
    let entry = |site: &studies::Site| {
        let opened = site.opened.stored_at;
        let live_since = domain::Day(published.map_or(opened, |published| opened.max(published)).0.date());
        SiteEntry { site: site.site.clone(), name: site.name.clone(), live_since }
    };
    sites.map(entry).collect()
}
