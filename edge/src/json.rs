//! Request bodies, read strictly: size, media type, UTF-8, JSON without duplicate fields, and only then the shape.
//!
//! `serde_json` repeats values in its messages, so none of them is passed on: see `explain` below.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::{Stream, StreamExt};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use tokio::time::Instant;

use crate::problem::Problem;
use crate::unread::declared;

/// The largest body of one command, in bytes.
pub const COMMAND_BYTES_MAX: usize = 1024 * 1024;

/// How long the next piece of a body may take.
const PIECE_PATIENCE: Duration = Duration::from_secs(30);

/// How slowly a whole body may come, in bytes a second, beyond that: one byte now and then holds a connection, too.
const SLOWEST: u64 = 1024;

/// A JSON body of at most `LIMIT` bytes.
#[derive(Debug, Clone)]
pub struct JsonBody<T, const LIMIT: usize = COMMAND_BYTES_MAX>(pub T);

impl<S: Send + Sync, T: DeserializeOwned, const LIMIT: usize> FromRequest<S> for JsonBody<T, LIMIT> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        media_type(&parts.headers, &["application/json"])?;
        let bytes = read(&parts.headers, body, LIMIT).await?;
        parse(&bytes).map(Self)
    }
}

/// Refuses a body of another media type.
pub fn media_type(headers: &HeaderMap, accepted: &[&'static str]) -> Result<(), Problem> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    // What grows when it is unpacked is not taken in.
    if headers.contains_key(header::CONTENT_ENCODING) {
        let detail = "send the body as it is, without Content-Encoding";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail));
    }
    if accepted.iter().any(|accepted| essence.eq_ignore_ascii_case(accepted)) {
        return Ok(());
    }
    let detail = format!("send the header Content-Type: {}", accepted[0]);
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail))
}

/// Reads a whole body of at most `limit` bytes.
pub async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = format!("a body may be {limit} bytes here: send it in smaller pieces");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail)
    };
    let declared = declared(headers);
    if declared.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let bytes = Vec::with_capacity(declared.unwrap_or_default());
    read_within(body, limit, bytes, (PIECE_PATIENCE, SLOWEST), too_large).await
}

async fn read_within(
    body: Body,
    limit: usize,
    mut bytes: Vec<u8>,
    (patience, slowest): (Duration, u64),
    too_large: impl Fn() -> Problem,
) -> Result<Bytes, Problem> {
    let (mut pieces, begun) = (body.into_data_stream(), Instant::now());
    while let Some(piece) = next_piece(&mut pieces).await? {
        let piece = piece.map_err(|_| Problem::bad_request("body-cut-off", "the body ended too early"))?;
        if bytes.len() + piece.len() > limit {
            return Err(too_large());
        }
        bytes.extend_from_slice(&piece);
        let allowed = patience + Duration::from_secs(bytes.len() as u64 / slowest);
        if begun.elapsed() > allowed {
            return Err(too_slow(format!("the body came at less than {slowest} bytes a second")));
        }
    }
    Ok(bytes.into())
}

/// The next piece of a body. Who sends nothing for long must not hold a connection for ever.
async fn next_piece<S: Stream + Unpin>(pieces: &mut S) -> Result<Option<S::Item>, Problem> {
    tokio::time::timeout(PIECE_PATIENCE, pieces.next())
        .await
        .map_err(|_| too_slow(format!("nothing more of the body came for {} seconds", PIECE_PATIENCE.as_secs())))
}

fn too_slow(detail: String) -> Problem {
    Problem::new(StatusCode::REQUEST_TIMEOUT, "body-too-slow", detail)
}

/// Reads one JSON text.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    if let Err(fault) = std::str::from_utf8(bytes) {
        let detail = format!("the body is not UTF-8 from byte {} on", fault.valid_up_to());
        return Err(Problem::bad_request("invalid-utf8", detail));
    }
    serde_json::from_slice::<Strict>(bytes).map_err(|fault| refuse(&fault))?;
    serde_json::from_slice(bytes).map_err(|fault| refuse(&fault))
}

/// Reads what [`parse`] already accepted as JSON.
pub fn shape<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, Problem> {
    serde_json::from_value(value).map_err(|fault| refuse(&fault))
}

fn refuse(fault: &serde_json::Error) -> Problem {
    let place = match fault.line() {
        0 => String::new(),
        line => format!(" (line {line}, column {})", fault.column()),
    };
    match fault.classify() {
        Category::Syntax => Problem::bad_request("malformed-json", format!("the body is not JSON{place}")),
        Category::Eof | Category::Io => {
            Problem::bad_request("malformed-json", format!("the body ends in the middle of a JSON value{place}"))
        }
        Category::Data if fault.to_string().starts_with(TWICE) => {
            Problem::bad_request("malformed-json", format!("{TWICE}{place}"))
        }
        Category::Data => Problem::bad_request("wrong-shape", format!("{}{place}", explain(fault))),
    }
}

/// What was expected, without what was found. Two sources are known to hold nothing that was sent: the fixed
/// texts after the last `, expected ` and those of our own ids.
fn explain(fault: &serde_json::Error) -> String {
    let text = fault.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    let quotes = ["invalid type: ", "invalid value: ", "invalid length ", "unknown variant `", "unknown field `"];
    if text.starts_with("missing field `") || text.starts_with("not a valid ") {
        return text.to_owned();
    }
    match text.rsplit_once(", expected ").filter(|_| quotes.iter().any(|start| text.starts_with(start))) {
        Some((_, rule)) if text.starts_with("unknown field") => format!("a field is not known here: expected {rule}"),
        Some((_, rule)) => format!("a value does not have the right form: expected {rule}"),
        None => "the body does not have the shape that /openapi.json describes".to_owned(),
    }
}

/// The message for a duplicate field.
const TWICE: &str = "a field stands twice in one object";

/// Any JSON value whose objects name each field once. Which of two values a reader takes is chance, and it must
/// not be chance what a command says.
struct Strict;

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Strict;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Strict, E> {
        Ok(Strict)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Strict, E> {
        Ok(Strict)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Strict, E> {
        Ok(Strict)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Strict, E> {
        Ok(Strict)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Strict, E> {
        Ok(Strict)
    }
    fn visit_str<E>(self, _: &str) -> Result<Strict, E> {
        Ok(Strict)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Strict, A::Error> {
        while items.next_element::<Strict>()?.is_some() {}
        Ok(Strict)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Strict, A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(Name(name)) = fields.next_key::<Name<'de>>()? {
            if !seen.insert(name) {
                return Err(serde::de::Error::custom(TWICE));
            }
            fields.next_value::<Strict>()?;
        }
        Ok(Strict)
    }
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_that_drips_is_given_up() {
        // Without an end of its own, and never silent for long.
        let drops = futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Some((Ok::<_, std::convert::Infallible>("x"), ()))
        });
        let too_large = || Problem::bad_request("too-large", "");
        let bounds = (Duration::from_millis(50), 1_000_000);
        let given_up = read_within(Body::from_stream(drops), usize::MAX, Vec::new(), bounds, too_large).await;
        assert_eq!(given_up.expect_err("it never ends").code(), "body-too-slow");
    }
}
