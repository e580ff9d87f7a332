//! CDISC's Dataset-JSON API 1.0, read only, under `/v1/dataset-json`: every study, its datasets, what is in them.
//!
//! A dataset is a table of an export, laid out by the same writer from the same source with the same rights. Reading it
//! is a read by an authenticated user, like that of a casebook; nothing is held, so nothing is registered.

mod shown;
mod table;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use domain::Moment;
use domain::ids::{Oid, StudyId};
use domain::permit::Principal;
use edge::{Caller, Ids, Parameters, Problem};
use exchange::dataset_json::{DatasetForm, Window};
use projection_svc::studies as projected;
use serde::Deserialize;
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, PrimitiveDateTime, UtcOffset};
use utoipa::IntoParams;

use crate::answer::{Answer, reflecting};
use crate::desk::{Entered, Queries, Since};
use shown::{About, DatasetEntry, Link, StudyEntry};
use table::Tables;

/// Where the API stands.
const BASE: &str = "/v1/dataset-json";

pub(crate) fn routes() -> Router<Arc<Queries>> {
    Router::new()
        .route("/v1/dataset-json/about", get(about))
        .route("/v1/dataset-json/studies", get(studies))
        .route("/v1/dataset-json/studies/{study}", get(study))
        .route("/v1/dataset-json/studies/{study}/snapshots", get(snapshots))
        .route("/v1/dataset-json/studies/{study}/datasets", get(list))
        .route("/v1/dataset-json/studies/{study}/datasets/{dataset}", get(dataset))
        .route("/v1/dataset-json/studies/{study}/datasets/{dataset}/ndjson", get(ndjson))
}

/// About this API: CDISC's Dataset-JSON API 1.0, its reading half.
#[utoipa::path(get, operation_id = "dataset_json_about", path = "/v1/dataset-json/about", tag = "dataset-json",
    params(Since), responses((status = 200, body = About)))]
pub(crate) async fn about(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Parameters(since): Parameters<Since>,
) -> Result<Answer<About>, Problem> {
    let entered = queries.enter(&caller, "study.list", since.min_position.as_deref()).await?;
    Ok(Answer { reflected: entered.reflected, body: About::this() })
}

/// The studies of the caller's environment.
#[utoipa::path(get, operation_id = "dataset_json_studies", path = "/v1/dataset-json/studies", tag = "dataset-json",
    params(Since), responses((status = 200, body = Vec<StudyEntry>)))]
pub(crate) async fn studies(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Parameters(since): Parameters<Since>,
) -> Result<Answer<Vec<StudyEntry>>, Problem> {
    let entered = queries.enter(&caller, "study.list", since.min_position.as_deref()).await?;
    let found = projected::list(&entered.tenant).await?;
    let found = found.into_iter().filter(|study| study.environment == caller.environment);
    let body = found.map(|study| StudyEntry::of(&study, None)).collect();
    Ok(Answer { reflected: entered.reflected, body })
}

/// One study with its datasets.
#[utoipa::path(get, operation_id = "dataset_json_study", path = "/v1/dataset-json/studies/{study}",
    tag = "dataset-json", params(("study" = String, Path), Since), responses((status = 200, body = StudyEntry)))]
pub(crate) async fn study(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids(study): Ids<StudyId>,
    Parameters(since): Parameters<Since>,
) -> Result<Answer<StudyEntry>, Problem> {
    let (entered, found) = enter(&queries, &caller, &study, since.min_position.as_deref()).await?;
    let datasets = Tables::counted(&entered.tenant, &caller, &found).await?.entries();
    Ok(Answer { reflected: entered.reflected, body: StudyEntry::of(&found, Some(datasets)) })
}

/// The snapshots of a study: there are none. The journal answers for any earlier state; this API shows the newest.
#[utoipa::path(get, operation_id = "dataset_json_snapshots", path = "/v1/dataset-json/studies/{study}/snapshots",
    tag = "dataset-json", params(("study" = String, Path), Since), responses((status = 200, body = Vec<Link>)))]
pub(crate) async fn snapshots(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids(study): Ids<StudyId>,
    Parameters(since): Parameters<Since>,
) -> Result<Answer<Vec<Link>>, Problem> {
    let (entered, _) = enter(&queries, &caller, &study, since.min_position.as_deref()).await?;
    Ok(Answer { reflected: entered.reflected, body: Vec::new() })
}

/// Query parameters of the list of datasets.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Listed {
    /// Datasets of this standard only. What is captured here is of none: `other`.
    standard: Option<String>,
    /// A `Lethe-Position`: the answer reflects at least this.
    min_position: Option<String>,
}

/// The datasets of a study: one an item group of the live design. With `If-Modified-Since`, those that have news.
#[utoipa::path(get, operation_id = "dataset_json_datasets", path = "/v1/dataset-json/studies/{study}/datasets",
    tag = "dataset-json", params(("study" = String, Path), Listed),
    responses((status = 200, body = Vec<DatasetEntry>)))]
pub(crate) async fn list(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids(study): Ids<StudyId>,
    Parameters(listed): Parameters<Listed>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (entered, found) = enter(&queries, &caller, &study, listed.min_position.as_deref()).await?;
    let tables = Tables::counted(&entered.tenant, &caller, &found).await?;
    let wanted = listed.standard.is_none_or(|standard| standard.eq_ignore_ascii_case("other"));
    let body = if wanted && is_news(&headers, tables.modified) { tables.entries() } else { Vec::new() };
    Ok(dated(Answer { reflected: entered.reflected, body }, tables.modified))
}

/// Query parameters of a dataset.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Part {
    /// Only what the dataset is called and what its columns are.
    #[serde(default, deserialize_with = "flag")]
    metadataonly: bool,
    /// Only its rows.
    #[serde(default, deserialize_with = "flag")]
    dataonly: bool,
    /// How many rows to leave out first.
    offset: Option<u64>,
    /// How many rows to show, at most; 0, the standard's default: all that follow.
    limit: Option<u64>,
    /// A `Lethe-Position`: the answer reflects at least this.
    min_position: Option<String>,
}

/// `true`, and `True` as CDISC's examples write it.
fn flag<'de, D: serde::Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    match String::deserialize(from)?.to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(serde::de::Error::custom("true or false")),
    }
}

impl Part {
    fn window(&self) -> Result<Window, Problem> {
        if self.metadataonly && self.dataonly {
            return Err(Problem::bad_request("invalid-query", "ask for metadataonly or for dataonly, not for both"));
        }
        let (metadata, rows) = (!self.dataonly, !self.metadataonly);
        Ok(Window { metadata, rows, offset: self.offset.unwrap_or(0), limit: self.limit.filter(|limit| *limit > 0) })
    }
}

/// A dataset as Dataset-JSON 1.1, or a page of it; `records` always counts the whole. 304 if nothing is new since
/// `If-Modified-Since`; 413 if it is too large at once: ask for fewer sites, or order an export.
#[utoipa::path(get, operation_id = "dataset_json_dataset",
    path = "/v1/dataset-json/studies/{study}/datasets/{dataset}", tag = "dataset-json",
    params(("study" = String, Path), ("dataset" = String, Path, description = "OID of the item group"), Part),
    responses((status = 200, body = serde_json::Value), (status = 304, description = "Nothing is new.")))]
pub(crate) async fn dataset(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids((study, dataset)): Ids<(StudyId, Oid)>,
    Parameters(part): Parameters<Part>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    content(&queries, &caller, (&study, &dataset), &part, DatasetForm::Json, &headers).await
}

/// The same as NDJSON: the metadata on the first line, a row on each other.
#[utoipa::path(get, operation_id = "dataset_json_ndjson",
    path = "/v1/dataset-json/studies/{study}/datasets/{dataset}/ndjson", tag = "dataset-json",
    params(("study" = String, Path), ("dataset" = String, Path, description = "OID of the item group"), Part),
    responses((status = 200, body = String, content_type = "application/x-ndjson"),
        (status = 304, description = "Nothing is new.")))]
pub(crate) async fn ndjson(
    State(queries): State<Arc<Queries>>,
    Caller(caller): Caller,
    Ids((study, dataset)): Ids<(StudyId, Oid)>,
    Parameters(part): Parameters<Part>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    content(&queries, &caller, (&study, &dataset), &part, DatasetForm::NdJson, &headers).await
}

async fn content(
    queries: &Queries,
    caller: &Principal,
    (study, dataset): (&StudyId, &Oid),
    part: &Part,
    form: DatasetForm,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let window = part.window()?;
    let (entered, found) = enter(queries, caller, study, part.min_position.as_deref()).await?;
    let mut tables = Tables::filled(&entered.tenant, caller, &found, dataset).await?;
    if !is_news(headers, tables.modified) {
        return Ok(dated(reflecting(&entered.reflected, StatusCode::NOT_MODIFIED), tables.modified));
    }
    let body = tables.write(dataset, form, window)?;
    let kind = if form == DatasetForm::Json { "application/json" } else { "application/x-ndjson" };
    let answer = reflecting(&entered.reflected, ([(header::CONTENT_TYPE, kind)], Bytes::from(body)));
    Ok(dated(answer, tables.modified))
}

/// With when it last changed, as HTTP writes it: what a client sends back as `If-Modified-Since`.
fn dated(answer: impl IntoResponse, modified: Moment) -> Response {
    let mut response = answer.into_response();
    let text = modified.0.to_offset(UtcOffset::UTC).format(HTTP_DATE).ok();
    if let Some(value) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
        response.headers_mut().insert(header::LAST_MODIFIED, value);
    }
    response
}

/// How HTTP writes a time, in UTC.
const HTTP_DATE: &[BorrowedFormatItem<'_>] = time::macros::format_description!(
    "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
);

/// Who reads datasets reads casebooks.
async fn enter(
    queries: &Queries,
    caller: &Principal,
    study: &StudyId,
    min_position: Option<&str>,
) -> Result<(Entered, projected::Study), Problem> {
    queries.enter_study(caller, "participant.casebook", study, min_position).await
}

/// Whether something changed since `If-Modified-Since`: a date of HTTP's, or one of ISO 8601 as CDISC's examples write it.
fn is_news(headers: &HeaderMap, modified: Moment) -> bool {
    let text = headers.get(header::IF_MODIFIED_SINCE).and_then(|value| value.to_str().ok());
    let plain = time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
    let since = text.and_then(|text| {
        let local =
            |text| PrimitiveDateTime::parse(text, &plain).or_else(|_| PrimitiveDateTime::parse(text, HTTP_DATE));
        OffsetDateTime::parse(text, &Rfc3339).or_else(|_| local(text).map(PrimitiveDateTime::assume_utc)).ok()
    });
    // Neither form has fractions of a second.
    since.is_none_or(|since| modified.0.replace_nanosecond(0).unwrap_or(modified.0) > since)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn what_is_new_since_when_is_understood_in_both_spellings() {
        let modified = Moment(datetime!(2024-01-10 20:38:47.5 UTC));
        for (since, news) in [
            ("2024-01-10T20:38:47", false),
            ("2024-01-10T20:38:46", true),
            ("2024-01-10T20:38:47Z", false),
            ("Wed, 10 Jan 2024 20:38:47 GMT", false),
            ("Wed, 10 Jan 2024 20:38:46 GMT", true),
            ("lately", true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_MODIFIED_SINCE, HeaderValue::from_static(since));
            assert_eq!(is_news(&headers, modified), news, "{since}");
        }
        assert!(is_news(&HeaderMap::new(), modified));
        let dated = dated(StatusCode::OK, modified).headers()[header::LAST_MODIFIED].clone();
        assert_eq!(dated, "Wed, 10 Jan 2024 20:38:47 GMT");
        assert!(!is_news(&[(header::IF_MODIFIED_SINCE, dated)].into_iter().collect(), modified), "nothing since");
    }
}
