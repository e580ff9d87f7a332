//! `GET /v1/studies/{study}/erasures` and `/v1/erasures/{erasure}`, once or as it goes on; and its certificate.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::design::content_hash;
use domain::ids::{ErasureId, ParticipantId, StudyId};
use domain::permit::Principal;
use domain::port::Tenant;
use domain::scope::{Extent, Scope};
use edge::{Caller, Ids, Parameters, Problem};
use projection_svc::erasures::{self, Erasure, Hold, Restriction};
use projection_svc::impact::{self, Impact};
use projection_svc::{Visible, exports, participants, studies};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::answer::{Answer, List, naming, reflecting};
use crate::desk::{self, Queries, Since};

mod follow;

pub(crate) fn routes() -> Router<Arc<Queries>> {
    Router::new()
        .route("/v1/studies/{study}/erasures", get(list))
        .route("/v1/studies/{study}/holds", get(holds))
        .route("/v1/studies/{study}/restrictions", get(restrictions))
        .route("/v1/erasures/{erasure}", get(show))
        .route("/v1/erasures/{erasure}/impact", get(impact))
        .route("/v1/erasures/{erasure}/certificate", get(certificate))
        .route("/v1/erasures/{erasure}/certificate.html", get(certificate_page))
}

/// A casebook or vault of which nothing can be left is gone, not empty.
pub(crate) fn refuse_if_erased<'a>(erased: impl IntoIterator<Item = &'a Scope>, all: &[Scope]) -> Result<(), Problem> {
    let erased: Vec<&Scope> = erased.into_iter().collect();
    if all.iter().all(|scope| erased.contains(&scope)) {
        let detail = "this was erased: the keys are destroyed. The audit trail still says what was done, and when";
        return Err(Problem::new(StatusCode::GONE, "erased", detail));
    }
    Ok(())
}

/// The erasures of a study, with their steps and grounds.
#[utoipa::path(get, operation_id = "list_erasures",
    path = "/v1/studies/{study}/erasures", tag = "queries", params(("study" = String, Path), Wanted),
    responses((status = 200, body = List<Erasure>)))]
pub(crate) async fn list(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids(study): Ids<StudyId>,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Answer<List<Erasure>>, Problem> {
    let (entered, _) = queries.enter_study(&caller, "erasure.list", &study, wanted.min_position.as_deref()).await?;
    let after = desk::after(wanted.cursor.as_deref())?;
    let (open, visible) = (wanted.open.unwrap_or(false), Visible::of(caller.actor.role));
    let mut page = erasures::list(&entered.tenant, &study, open, &visible, after.as_deref(), PAGE).await?;
    let mut reached = Vec::new();
    for erasure in page.items {
        if reaches(&entered.tenant, &caller, &study, &erasure.participant).await? {
            let waits = queries.waits_on(&caller.tenant, erasure.erasure);
            reached.push(erasure.held_up(waits));
        }
    }
    page.items = reached;
    Ok(Answer { reflected: entered.reflected, body: page.into() })
}

/// One erasure, from request to completion: what was asked, what was granted and what is kept on which ground, every
/// step with its time, and who or what it waits for.
///
/// With `Accept: text/event-stream` the same comes as server-sent events named `erasure`: how it stands, and again after
/// every change, until it is completed or refused.
#[utoipa::path(get, operation_id = "show_erasure",
    path = "/v1/erasures/{erasure}", tag = "queries", params(("erasure" = uuid::Uuid, Path), Since),
    responses((status = 200, body = Erasure)))]
pub(crate) async fn show(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids(erasure): Ids<ErasureId>,
    Parameters(since): Parameters<Since>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let entered = queries.enter(&caller, "erasure.show", since.min_position.as_deref()).await?;
    let body = present(&queries, &entered.tenant, &caller, &erasure).await?.ok_or_else(no_such_erasure)?;
    if wants_events(&headers) {
        let participant = body.participant;
        return Ok(naming([participant], follow::events(queries, caller, body)));
    }
    Ok(Answer { reflected: entered.reflected, body }.into_response())
}

/// What an erasure touches, counted as it is now, before anything happens: commits and values of each of the person's streams,
/// rows of each read model, exports and who got them, and what of it stays. No value is shown.
#[utoipa::path(get, operation_id = "show_erasure_impact",
    path = "/v1/erasures/{erasure}/impact", tag = "queries", params(("erasure" = uuid::Uuid, Path), Since),
    responses((status = 200, body = Impact)))]
pub(crate) async fn impact(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids(erasure): Ids<ErasureId>,
    Parameters(since): Parameters<Since>,
) -> Result<Answer<Impact>, Problem> {
    let entered = queries.enter(&caller, "erasure.show", since.min_position.as_deref()).await?;
    let found = find(&entered.tenant, &caller, &erasure).await?.ok_or_else(no_such_erasure)?;
    let extent = Extent::of(&found.granted, &found.granted_values);
    let body = impact::impact(&entered.tenant, &found.study, found.participant, &extent).await?;
    Ok(Answer { reflected: entered.reflected, body })
}

/// The certificate of a completed erasure, exactly as it was signed and stored: `lethe verify` takes it.
#[utoipa::path(get, operation_id = "show_certificate",
    path = "/v1/erasures/{erasure}/certificate", tag = "queries", params(("erasure" = uuid::Uuid, Path), Since),
    responses((status = 200, body = serde_json::Value)))]
pub(crate) async fn certificate(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids(erasure): Ids<ErasureId>,
    Parameters(since): Parameters<Since>,
) -> Result<Response, Problem> {
    let entered = queries.enter(&caller, "erasure.show", since.min_position.as_deref()).await?;
    let found = find(&entered.tenant, &caller, &erasure).await?.ok_or_else(no_such_erasure)?;
    let text = entered.tenant.certifier.certificate(erasure).await?.ok_or_else(no_certificate)?;
    let answer = reflecting(&entered.reflected, ([(header::CONTENT_TYPE, "application/json")], text));
    Ok(naming([found.participant], answer))
}

/// The certificate as a page for people, to print.
#[utoipa::path(get, operation_id = "show_certificate_page",
    path = "/v1/erasures/{erasure}/certificate.html", tag = "queries", params(("erasure" = uuid::Uuid, Path), Since),
    responses((status = 200, body = String, content_type = "text/html")))]
pub(crate) async fn certificate_page(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids(erasure): Ids<ErasureId>,
    Parameters(since): Parameters<Since>,
) -> Result<Response, Problem> {
    let entered = queries.enter(&caller, "erasure.show", since.min_position.as_deref()).await?;
    let found = find(&entered.tenant, &caller, &erasure).await?.ok_or_else(no_such_erasure)?;
    let page = entered.tenant.certifier.page(erasure).await?.ok_or_else(no_certificate)?;
    let policy = policy_of(&page);
    let headers =
        [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, policy.as_str())];
    Ok(naming([found.participant], reflecting(&entered.reflected, (headers, page))))
}

/// The page brings its own style, named here by its hash, and nothing else.
fn policy_of(page: &str) -> String {
    let style = page.split_once("<style>").and_then(|(_, rest)| rest.split_once("</style>"));
    let hash = STANDARD.encode(content_hash(style.map_or("", |(style, _)| style).as_bytes()).0);
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
}

fn no_certificate() -> Problem {
    Problem::not_found("no-certificate", "this erasure has no certificate: it is not completed")
}

fn no_such_erasure() -> Problem {
    Problem::not_found("no-such-erasure", "there is no such erasure for this credential")
}

/// Whether an answer is asked for as server-sent events.
pub(crate) fn wants_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted
        .flat_map(|value| value.split(','))
        .any(|one| one.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("text/event-stream")))
}

/// The erasure with what holds it up right now.
async fn present(
    queries: &Queries,
    tenant: &Tenant,
    caller: &Principal,
    erasure: &ErasureId,
) -> Result<Option<Erasure>, Problem> {
    let Some(mut found) = find(tenant, caller, erasure).await? else { return Ok(None) };
    found.tell = exports::recipients_of(tenant, &found.study, found.participant).await?;
    Ok(Some(found.held_up(queries.waits_on(&tenant.id, *erasure))))
}

/// The erasure, if it is in a study of the caller's environment and at a site that the caller reaches.
async fn find(tenant: &Tenant, caller: &Principal, erasure: &ErasureId) -> Result<Option<Erasure>, Problem> {
    let visible = Visible::of(caller.actor.role);
    for study in studies::list(tenant).await? {
        if study.environment != caller.environment {
            continue;
        }
        if let Some(found) = erasures::show(tenant, &study.study, erasure, &visible).await? {
            let reached = reaches(tenant, caller, &study.study, &found.participant).await?;
            return Ok(reached.then_some(found));
        }
    }
    Ok(None)
}

/// The holds that are in force in a study.
#[utoipa::path(get, operation_id = "list_holds",
    path = "/v1/studies/{study}/holds", tag = "queries", params(("study" = String, Path), Since),
    responses((status = 200, body = List<Hold>)))]
pub(crate) async fn holds(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids(study): Ids<StudyId>,
    Parameters(since): Parameters<Since>,
) -> Result<Answer<List<Hold>>, Problem> {
    let (entered, _) = queries.enter_study(&caller, "erasure.list", &study, since.min_position.as_deref()).await?;
    let mut body = Vec::new();
    for hold in erasures::holds(&entered.tenant, &study, &Visible::of(caller.actor.role)).await? {
        if reaches(&entered.tenant, &caller, &study, &hold.participant).await? {
            body.push(hold);
        }
    }
    Ok(Answer { reflected: entered.reflected, body: List::whole(body) })
}

/// The restrictions (GDPR Art 18) that are in force in a study.
#[utoipa::path(get, operation_id = "list_restrictions",
    path = "/v1/studies/{study}/restrictions", tag = "queries", params(("study" = String, Path), Since),
    responses((status = 200, body = List<Restriction>)))]
pub(crate) async fn restrictions(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids(study): Ids<StudyId>,
    Parameters(since): Parameters<Since>,
) -> Result<Answer<List<Restriction>>, Problem> {
    let (entered, _) = queries.enter_study(&caller, "erasure.list", &study, since.min_position.as_deref()).await?;
    let mut body = Vec::new();
    for restriction in erasures::restrictions(&entered.tenant, &study, &Visible::of(caller.actor.role)).await? {
        if reaches(&entered.tenant, &caller, &study, &restriction.participant).await? {
            body.push(restriction);
        }
    }
    Ok(Answer { reflected: entered.reflected, body: List::whole(body) })
}

/// Whether the participant is at a site that the caller reaches.
async fn reaches(
    tenant: &Tenant,
    caller: &Principal,
    study: &StudyId,
    participant: &ParticipantId,
) -> Result<bool, Problem> {
    let person = participants::show(tenant, study, participant).await?;
    Ok(person.is_none_or(|person| caller.sites.contains(&person.site)))
}

/// Query parameters of the list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// A `Lethe-Position`: the answer reflects at least this.
    min_position: Option<String>,
    /// Only those that are not completed or refused.
    open: Option<bool>,
    /// Where an earlier page ended: its `next`.
    cursor: Option<String>,
}

/// How many erasures a page shows.
const PAGE: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn a_page_may_use_its_own_style_and_no_other() {
        let policy = policy_of("<head><style>a</style></head>");
        assert!(policy.contains("style-src 'sha256-ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs='"), "{policy}");
        assert!(!policy.contains("unsafe"));
    }

    #[test]
    fn events_are_sent_to_those_who_ask_for_them() {
        for (accept, wanted) in [
            ("text/event-stream", true),
            ("application/json;q=0.5, Text/Event-Stream; charset=utf-8", true),
            ("application/json", false),
            ("*/*", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(wants_events(&headers), wanted, "{accept}");
        }
        assert!(!wants_events(&HeaderMap::new()));
    }
}
