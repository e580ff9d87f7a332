//! `GET /v1/studies/{study}/audit`: the audit trail of a whole study, as a stream.
//!
//! The next piece is read when the client has taken the one before: that is all the memory it needs, however long the
//! trail is and however slow the client.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use axum::routing::get;
use domain::Moment;
use domain::ids::{SiteId, StudyId, UserId};
use domain::permit::Principal;
use domain::port::Failure;
use edge::{Caller, Ids, Problem};
use exchange::odm::{OdmVersion, TrailWriter};
use futures_util::stream;
use projection_svc::Visible;
use projection_svc::audit::{self, Filter, StudyEntry, StudyTrail, TrailPosition};
use projection_svc::studies::Study;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::answer::reflecting;
use crate::desk::{self, Entered, Queries};

pub(crate) mod odm;

/// How much is put together before it is sent, in bytes.
const PIECE: usize = 64 * 1024;

pub(crate) fn routes() -> Router<Arc<Queries>> {
    Router::new().route("/v1/studies/{study}/audit", get(stream))
}

/// How the trail is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = AuditFormat)]
pub(crate) enum Format {
    /// One JSON object a line.
    Ndjson,
    /// CDISC ODM 1.3.2.
    Odm132,
    /// CDISC ODM 2.0.
    Odm20,
}

/// Which part of the trail is wanted, and how.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// How it is written; `ndjson` unless said, or unless `Accept` asks for XML.
    #[param(value_type = Option<String>)]
    format: Option<Format>,
    /// Goes on behind this entry: the `id` of the last one that arrived. A bare number: behind that position of the study.
    from: Option<String>,
    /// What is about participants of this site, and about the site.
    #[param(value_type = Option<String>)]
    site: Option<SiteId>,
    /// What was stored at this time or later (RFC 3339).
    #[param(value_type = Option<String>)]
    since: Option<Moment>,
    /// What was stored before this time (RFC 3339).
    #[param(value_type = Option<String>)]
    until: Option<Moment>,
    /// What this user did.
    #[param(value_type = Option<uuid::Uuid>)]
    user: Option<UserId>,
    /// Kinds, with commas between them or given again: stored names of events, or `entered`, `changed`, `cleared`.
    kind: Option<String>,
    /// A `Lethe-Position`: the answer reflects at least this.
    min_position: Option<String>,
}

impl Wanted {
    fn format(&self, headers: &HeaderMap) -> Format {
        let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        let xml = accept.contains("xml") && !accept.contains("json") && !accept.contains("*/*");
        self.format.unwrap_or(if xml { Format::Odm132 } else { Format::Ndjson })
    }

    fn from(&self) -> Result<TrailPosition, Problem> {
        let wrong = |_| Problem::bad_request("invalid-from", "from takes the id of an entry of this trail, unchanged");
        self.from.as_deref().map(|from| from.parse().map_err(wrong)).transpose().map(Option::unwrap_or_default)
    }

    /// What is asked for must be there: a slip of the pen would look as if nothing had happened.
    fn filter(self, study: &Study, caller: &Principal) -> Result<Filter, Problem> {
        if let Some(site) = &self.site {
            desk::reach_site(study, caller, site)?;
        }
        let kinds: BTreeSet<_> = self.kind.iter().flat_map(|kinds| kinds.split(',')).map(str::to_owned).collect();
        let known = audit::kinds();
        if kinds.iter().any(|kind| !known.contains(kind.as_str())) {
            let known = known.into_iter().collect::<Vec<_>>().join(", ");
            return Err(Problem::bad_request("unknown-kind", format!("kind takes some of: {known}")));
        }
        let Self { site, since, until, user, .. } = self;
        Ok(Filter { site, since, until, user, kinds, participants_only: false })
    }
}

/// The audit trail of the whole study, oldest first, through the position of the answer. After an erasure every entry
/// is still there, its values gone.
#[utoipa::path(get, operation_id = "stream_audit_trail",
    path = "/v1/studies/{study}/audit", tag = "queries", params(("study" = String, Path), Wanted),
    responses((status = 200, body = StudyEntry, content_type = "application/x-ndjson",
        description = "one entry a line, or a CDISC ODM file")))]
pub(crate) async fn stream(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids(study): Ids<StudyId>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wanted: Wanted = edge::with_list(query.as_deref().unwrap_or_default(), "kind")?;
    let (entered, found) = queries.enter_study(&caller, "study.audit", &study, wanted.min_position.as_deref()).await?;
    let (format, from) = (wanted.format(&headers), wanted.from()?);
    let reader = (caller.sites.clone(), Visible::of(caller.actor.role));
    let filter = wanted.filter(&found, &caller)?;
    let through = through(&entered);
    let from_to = |filter, from| {
        StudyTrail::new(Arc::clone(&entered.tenant), study.clone(), filter, reader.clone(), from, through)
    };
    let walk = |filter| from_to(filter, from);
    let of_user = Filter { user: filter.user, ..Filter::default() };
    if filter.user.is_some() && !from_to(of_user, TrailPosition::default()).any().await? {
        let detail = "nobody with this id has done anything in this study that this credential reaches";
        return Err(Problem::not_found("no-such-user", detail));
    }
    let trail = walk(filter.clone());
    let (kind, body) = match format {
        Format::Ndjson => ("application/x-ndjson", pieces(trail, Writer::Lines(Vec::new()))),
        Format::Odm132 | Format::Odm20 => {
            let version = if format == Format::Odm132 { OdmVersion::V1_3_2 } else { OdmVersion::V2_0 };
            let writer = odm_writer(&entered, &found, walk(filter), version).await?;
            ("application/xml", pieces(trail, Writer::Odm(Box::new(writer))))
        }
    };
    Ok(reflecting(&entered.reflected, ([(header::CONTENT_TYPE, kind)], body)))
}

/// Up to where the read models are: later entries are another request's.
pub(crate) fn through(entered: &Entered) -> u64 {
    entered.reflected.iter().map(|position| position.sequence).max().unwrap_or_default()
}

/// ODM names its users before the first entry, so who they are is gathered first.
async fn odm_writer(
    entered: &Entered,
    study: &Study,
    trail: StudyTrail,
    version: OdmVersion,
) -> Result<TrailWriter, Problem> {
    let design = match study.designs.iter().find(|design| Some(design.design) == study.live_design) {
        Some(live) => Some(crate::studies::content_of(&entered.tenant, &study.study, &live.parts).await?),
        None => None,
    };
    let cast = trail.cast().await?;
    let frame = odm::frame(study, design.as_ref(), cast, through(entered));
    TrailWriter::begin(frame, version).map_err(|fault| unwritten(&fault).into())
}

enum Writer {
    Lines(Vec<u8>),
    Odm(Box<TrailWriter>),
    Ended,
}

impl Writer {
    fn entry(&mut self, entry: StudyEntry) -> Result<(), Failure> {
        match self {
            Self::Lines(buffer) => {
                serde_json::to_writer(&mut *buffer, &entry).map_err(|fault| unwritten(&fault))?;
                buffer.push(b'\n');
                Ok(())
            }
            Self::Odm(writer) => writer.entry(&odm::entry(entry)).map_err(|fault| unwritten(&fault)),
            Self::Ended => Ok(()),
        }
    }

    fn waiting(&mut self) -> usize {
        match self {
            Self::Lines(buffer) => buffer.len(),
            Self::Odm(writer) => writer.waiting(),
            Self::Ended => 0,
        }
    }

    fn take(&mut self) -> Vec<u8> {
        match self {
            Self::Lines(buffer) => std::mem::take(buffer),
            Self::Odm(writer) => writer.take(),
            Self::Ended => Vec::new(),
        }
    }

    fn end(&mut self) -> Result<Vec<u8>, Failure> {
        match std::mem::replace(self, Self::Ended) {
            Self::Lines(buffer) => Ok(buffer),
            Self::Odm(writer) => writer.finish().map_err(|fault| unwritten(&fault)),
            Self::Ended => Ok(Vec::new()),
        }
    }
}

fn unwritten(fault: &dyn std::fmt::Display) -> Failure {
    Failure::damaged("the audit trail of the study", fault)
}

/// The body: each piece is read when the one before is gone. A failure ends it so that the client sees that it is cut.
fn pieces(trail: StudyTrail, writer: Writer) -> Body {
    Body::from_stream(stream::unfold(Some((trail, writer)), async |state| {
        let (mut trail, mut writer) = state?;
        match piece(&mut trail, &mut writer).await {
            Ok(piece) if piece.is_empty() => None,
            Ok(piece) if matches!(writer, Writer::Ended) => Some((Ok(piece), None)),
            Ok(piece) => Some((Ok(piece), Some((trail, writer)))),
            Err(failure) => {
                tracing::error!(%failure, "an audit trail was cut short");
                Some((Err(failure), None))
            }
        }
    }))
}

async fn piece(trail: &mut StudyTrail, writer: &mut Writer) -> Result<Vec<u8>, Failure> {
    while writer.waiting() < PIECE {
        let Some(entries) = trail.next().await? else { return writer.end() };
        for entry in entries {
            writer.entry(entry)?;
        }
    }
    Ok(writer.take())
}
