//! The headers that commands and queries share: tags, positions, idempotency keys, time captured.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use domain::history::{Position, Revision};
use domain::ids::CommandId;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::problem::Problem;

/// Where a command's commit stands; what a query takes as `min_position`.
pub const LETHE_POSITION: HeaderName = HeaderName::from_static("lethe-position");

/// When the data was captured, RFC 3339, if that was before it was sent.
pub const LETHE_CAPTURED_AT: HeaderName = HeaderName::from_static("lethe-captured-at");

/// What proves anew who signs, for this one signature.
pub const LETHE_SIGNER: HeaderName = HeaderName::from_static("lethe-signer");

/// What data is asked for: one of a closed list.
pub const LETHE_PURPOSE: HeaderName = HeaderName::from_static("lethe-purpose");

/// Where the entry of the access log stands that records an answer; what a query about the access log takes as `min_position`.
pub const LETHE_ACCESS: HeaderName = HeaderName::from_static("lethe-access");

/// The client's id of the command: a UUID.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A revision as a strong entity tag.
pub fn etag(revision: Revision) -> HeaderValue {
    HeaderValue::try_from(etag_text(revision)).expect("digits in quotes are a header value")
}

/// A revision as the text of a strong entity tag.
pub fn etag_text(revision: Revision) -> String {
    format!("\"{revision}\"")
}

/// Reads one strong entity tag.
pub fn parse_etag(text: &str) -> Result<Revision, Problem> {
    let digits = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let digits = digits.filter(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).map(Revision).ok_or_else(|| {
        Problem::bad_request("invalid-etag", "If-Match takes one ETag as an earlier reply gave it, such as \"7\"")
    })
}

/// The revision that the client wants to change: `If-Match: "7"`, or zero for `If-None-Match: *`.
pub fn expected(headers: &HeaderMap) -> Result<Option<Revision>, Problem> {
    let both = || Problem::bad_request("invalid-etag", "send either If-Match or If-None-Match, once");
    match (one(headers, header::IF_MATCH)?, one(headers, header::IF_NONE_MATCH)?) {
        (None, None) => Ok(None),
        (Some(tag), None) => parse_etag(tag).map(Some),
        (None, Some("*")) => Ok(Some(Revision::NONE)),
        (None, Some(_)) => {
            Err(Problem::bad_request("invalid-etag", "on a command, If-None-Match takes * and nothing else"))
        }
        (Some(_), Some(_)) => Err(both()),
    }
}

/// The client's id of the command, if it sent one: a UUID, bare or as a quoted string.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<CommandId>, Problem> {
    one(headers, IDEMPOTENCY_KEY)?.map(parse_idempotency_key).transpose()
}

/// Reads an idempotency key.
pub fn parse_idempotency_key(text: &str) -> Result<CommandId, Problem> {
    let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    // Only the hyphenated form: one command must not have two spellings in a client's own records.
    let id = Uuid::try_parse(bare).ok().filter(|_| bare.len() == 36);
    id.map(CommandId)
        .ok_or_else(|| Problem::bad_request("invalid-idempotency-key", "Idempotency-Key takes a UUID with hyphens"))
}

/// What proves anew who signs, if it was sent.
pub fn signer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    one(headers, LETHE_SIGNER)
}

/// When the data was captured, if the client says so. Not after `now`.
pub fn captured_at(headers: &HeaderMap, now: OffsetDateTime) -> Result<Option<OffsetDateTime>, Problem> {
    one(headers, LETHE_CAPTURED_AT)?.map(|text| parse_captured_at(text, now)).transpose()
}

/// Reads a time captured.
pub fn parse_captured_at(text: &str, now: OffsetDateTime) -> Result<OffsetDateTime, Problem> {
    let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| {
        Problem::bad_request("invalid-captured-at", "the time captured is RFC 3339, such as 2026-11-22T13:45:30Z")
    })?;
    if time > now {
        return Err(Problem::invalid("captured-in-future", "the time captured lies in the future: check the clock"));
    }
    Ok(time.to_offset(time::UtcOffset::UTC))
}

/// One or more positions as one opaque token.
pub fn positions_text(positions: &[Position]) -> String {
    positions.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// The header value of one or more positions.
pub fn positions_value(positions: &[Position]) -> HeaderValue {
    HeaderValue::try_from(positions_text(positions)).expect("a position is visible ASCII")
}

/// Reads what [`positions_text`] wrote, from the query parameter `name`.
pub fn parse_positions(name: &str, text: &str) -> Result<Vec<Position>, Problem> {
    text.split(',').map(str::parse).collect::<Result<_, _>>().map_err(|_| {
        let detail = format!("{name} takes the token of a Lethe-Position header, unchanged");
        Problem::bad_request("invalid-position", detail)
    })
}

/// The header's only value, if it is there.
fn one(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, Problem> {
    let wrong = || Problem::bad_request("invalid-header", format!("{name} may stand once, in visible ASCII"));
    let mut values = headers.get_all(&name).into_iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(|text| Some(text.trim())).map_err(|_| wrong()),
        (Some(_), Some(_)) => Err(wrong()),
    }
}
