//! `/RaveWebServices/…`: what a client of Medidata Rave Web Services reads, in Rave's shapes. Read-only.
//!
//! Rights, sites, blinding, restriction and erasure are those of every other view: each request here asks one of the
//! platform's own queries. `docs/rave.md` says what is served and how Rave's words map to ours.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use domain::history::Position;
use domain::ids::{Environment, StudyId};
use domain::permit::Principal;
use domain::port::{Credentials, Failure};
use edge::Problem;
use exchange::ExchangeError;
use exchange::xml::{Tag, Xml};
use projection_svc::studies::Study;
use serde_json::Value;
use time::UtcDateTime;
use time::macros::format_description;

use crate::answer::reflecting;
use crate::desk::{Entered, Queries};

mod audit;
mod metadata;
mod studies;
mod subcategory;
mod subjects;

/// The version of Rave's interface that answers have the shape of.
const INTERFACE: &str = "1.18.0";
const XML: &str = "text/xml; charset=utf-8";
const ODM: &str = "http://www.cdisc.org/ns/odm/v1.3";
const MDSOL: &str = "http://www.mdsol.com/ns/odm/metadata";

/// Everything under `/RaveWebServices`, behind Basic authentication with a token as the password, refusals in Rave's
/// shape.
pub fn router(queries: Arc<Queries>, credentials: Arc<dyn Credentials>) -> Router {
    let open = Router::new()
        .route("/RaveWebServices/version", get(|| async { INTERFACE }))
        .route("/RaveWebServices/version/build", get(|| async { env!("CARGO_PKG_VERSION") }))
        .route("/RaveWebServices/twohundred", get(|| async { "<html><body><h1>200</h1></body></html>" }));
    let closed = Router::new()
        .merge(studies::routes())
        .merge(metadata::routes())
        .merge(subjects::routes())
        .merge(audit::routes())
        .with_state(queries);
    edge::authenticated_by_password(closed, credentials).merge(open).layer(map_response(refusal))
}

/// A problem as Rave says it.
async fn refusal(response: Response) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE);
    if kind.is_none_or(|kind| kind.as_bytes() != edge::problem::PROBLEM_JSON.as_bytes()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // Otherwise whoever adds the trace id writes the problem anew.
    parts.extensions.remove::<Problem>();
    let body = to_bytes(body, 64 * 1024).await.unwrap_or_default();
    let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |key: &str| problem[key].as_str().unwrap_or_default().to_owned();
    parts.headers.remove(header::CONTENT_LENGTH);
    if text("code") == "no-credentials" {
        // Clients know these words.
        parts.headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
        return Response::from_parts(parts, Body::from("Authorization Header not provided"));
    }
    let mut xml = Xml::bare(Vec::new());
    let written = xml
        .tag("Response")
        .attr("ReferenceNumber", text("trace_id"))
        .attr("InboundODMFileOID", "")
        .attr("IsTransactionSuccessful", "0")
        .attr("ReasonCode", text("code"))
        .attr("ErrorClientResponseMessage", text("detail"))
        .empty();
    match written.and_then(|()| xml.finish()) {
        Ok((body, _)) => {
            parts.headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(XML));
            Response::from_parts(parts, Body::from(body))
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// A document of Rave's: an ODM root without XML declaration, which its client does not take in front of a text.
struct Document(Xml<Vec<u8>>);

impl Document {
    /// Begins it: of these studies. What it is known by says what it holds and its time is theirs, so the same answer
    /// has the same bytes.
    fn begin(kind: &str, id: String, reflected: &[Position], of: &[Study]) -> Result<Self, Problem> {
        let mut xml = Xml::bare(Vec::new());
        let through = reflected.iter().map(|position| position.sequence).max().unwrap_or_default();
        let at = of.iter().map(|study| study.created.stored_at.0).max();
        xml.tag("ODM")
            .attr("ODMVersion", "1.3")
            .attr("FileType", kind)
            .attr("FileOID", format!("LETHE.{id}.{through}"))
            .attr("CreationDateTime", seconds(at.unwrap_or(time::OffsetDateTime::UNIX_EPOCH)))
            .attr("xmlns", ODM)
            .attr("xmlns:mdsol", MDSOL)
            .start()
            .map_err(unwritten)?;
        Ok(Self(xml))
    }

    fn answer(self, reflected: &[Position]) -> Result<Response, Problem> {
        let (body, _) = self.0.finish().map_err(unwritten)?;
        Ok(reflecting(reflected, ([(header::CONTENT_TYPE, XML)], body)))
    }
}

fn unwritten(fault: ExchangeError) -> Problem {
    Failure::damaged("an answer in Rave's shape", fault).into()
}

/// As Rave writes a time: UTC, whole seconds, no zone.
fn seconds(at: time::OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
    UtcDateTime::from(at).format(format).unwrap_or_default()
}

/// What Rave calls an environment.
fn environment_name(environment: Environment) -> &'static str {
    match environment {
        Environment::Test => "Test",
        Environment::Qa => "Qa",
        Environment::Prod => "Prod",
    }
}

/// A study as Rave names it: `cardio(Prod)`.
fn study_oid(study: &Study) -> String {
    format!("{}({})", study.study, environment_name(study.environment))
}

/// The OID of a design version, which is a number with Rave: the first one that was published is 1.
fn version_oid(study: &Study, design: Option<&domain::history::CommitHash>) -> usize {
    study.designs.iter().position(|known| Some(&known.design) == design).map_or(0, |place| place + 1)
}

impl Queries {
    /// A study by Rave's name for it, in the environment that the name says.
    async fn enter_rave(&self, caller: &Principal, query: &str, oid: &str) -> Result<(Entered, Study), Problem> {
        let named = oid.strip_suffix(')').and_then(|oid| oid.rsplit_once('('));
        let named = named.filter(|(_, name)| environment_name(caller.environment).eq_ignore_ascii_case(name));
        let (name, _) = named.ok_or_else(Problem::no_such_study)?;
        self.enter_rave_project(caller, query, name).await
    }

    /// A study by its name alone.
    async fn enter_rave_project(
        &self,
        caller: &Principal,
        query: &str,
        name: &str,
    ) -> Result<(Entered, Study), Problem> {
        let study: StudyId = name.trim().parse().map_err(|_| Problem::no_such_study())?;
        self.enter_study(caller, query, &study, None).await
    }
}

/// The element that names a study.
fn study_element(xml: &mut Xml<Vec<u8>>, oid: &str, study: &Study) -> Result<(), Problem> {
    let name = match study.environment {
        // Rave names no environment where it is the real one.
        Environment::Prod => study.study.to_string(),
        other => format!("{} ({})", study.study, environment_name(other)),
    };
    xml.tag("Study").attr("OID", oid).attr("mdsol:ProjectType", "Project").start().map_err(unwritten)?;
    xml.tag("GlobalVariables").start().map_err(unwritten)?;
    for (element, text) in [
        ("StudyName", name.as_str()),
        ("StudyDescription", study.name.as_str()),
        ("ProtocolName", study.study.as_str()),
    ] {
        xml.tag(element).text(text).map_err(unwritten)?;
    }
    xml.end().map_err(unwritten)
}

/// A start tag, or why it could not be written.
fn open(tag: Tag<'_, Vec<u8>>) -> Result<(), Problem> {
    tag.start().map_err(unwritten)
}
