//! The API, asked inside the process: the same routes, the same checks, the session of the one who looks.

use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use axum::response::Response;
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tower::ServiceExt as _;
use tracing::Instrument as _;

use crate::trouble::Trouble;

/// The largest answer that a page is made of.
const ANSWER_MAX: usize = 64 * 1024 * 1024;

/// What of a browser's request says who asks and from where.
const PASSED_ON: [HeaderName; 3] = [header::COOKIE, header::USER_AGENT, HeaderName::from_static("x-forwarded-for")];

/// The API for one request.
#[derive(Clone)]
pub(crate) struct Api {
    router: Router,
    headers: HeaderMap,
    peer: Option<ConnectInfo<SocketAddr>>,
}

/// An answer of the API that is no refusal.
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    body: Bytes,
}

/// Where an answer is not as expected. What serde says of it repeats values, and those are people's.
fn place(error: &serde_json::Error) -> String {
    format!("{:?}, line {}, column {}", error.classify(), error.line(), error.column())
}

impl Answer {
    /// The body, as far as a page reads it.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Trouble> {
        serde_json::from_slice(&self.body).map_err(|error| {
            tracing::error!(at = place(&error), "an answer of the API has another shape than the page expects");
            Trouble::internal()
        })
    }

    /// Where what was done stands: what the next page must reflect.
    pub(crate) fn position(&self) -> Option<&str> {
        self.headers.get(edge::headers::LETHE_POSITION)?.to_str().ok()
    }
}

impl Api {
    /// The API for who sent `parts`.
    pub(crate) fn of(router: &Router, parts: &Parts) -> Self {
        let mut headers = HeaderMap::new();
        for name in PASSED_ON {
            for value in parts.headers.get_all(&name) {
                headers.append(name.clone(), value.clone());
            }
        }
        Self { router: router.clone(), headers, peer: parts.extensions.get().cloned() }
    }

    /// What stands at an address.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Trouble> {
        self.send(Method::GET, path, None, &[]).await?.read()
    }

    /// The same on a task of its own: what takes a processor's time is counted beside the rest.
    pub(crate) async fn beside<T: DeserializeOwned + Send + 'static>(&self, path: &str) -> Result<T, Trouble> {
        let (api, path) = (self.clone(), path.to_owned());
        let asked = tokio::spawn(async move { api.get(&path).await }.in_current_span()).await;
        asked.unwrap_or_else(|error| {
            tracing::error!(%error, "a question of a page broke off");
            Err(Trouble::internal())
        })
    }

    /// The same; nothing if it is not there or not for this reader.
    pub(crate) async fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Trouble> {
        match self.get(path).await {
            Ok(found) => Ok(Some(found)),
            Err(Trouble::Refused(refused))
                if matches!(refused.status, StatusCode::NOT_FOUND | StatusCode::FORBIDDEN | StatusCode::GONE) =>
            {
                Ok(None)
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// Sends a command.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Answer, Trouble> {
        self.send(Method::POST, path, Some(body), &[]).await
    }

    /// Sends a command with headers of its own.
    pub(crate) async fn post_with(
        &self,
        path: &str,
        body: &Value,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<Answer, Trouble> {
        self.send(Method::POST, path, Some(body), headers).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        extra: &[(HeaderName, HeaderValue)],
    ) -> Result<Answer, Trouble> {
        Self::read(self.ask(method, path, body, extra).await?).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        extra: &[(HeaderName, HeaderValue)],
    ) -> Result<Response, Trouble> {
        let text = body.map(Value::to_string).unwrap_or_default();
        let mut request = Request::builder().method(method).uri(path).body(Body::from(text)).map_err(|error| {
            tracing::warn!(%error, "a page asked for no address");
            Trouble::not_there()
        })?;
        let headers = request.headers_mut();
        *headers = self.headers.clone();
        if body.is_some() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        headers.extend(extra.iter().cloned());
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(peer);
        }
        match self.router.clone().oneshot(request).await {
            Ok(response) => Ok(response),
            Err(never) => match never {},
        }
    }

    async fn read(response: Response) -> Result<Answer, Trouble> {
        let (status, headers) = (response.status(), response.headers().clone());
        let read = axum::body::to_bytes(response.into_body(), ANSWER_MAX).await;
        let body = read.map_err(|error| {
            tracing::error!(%error, "an answer of the API broke off");
            Trouble::internal()
        })?;
        if status.is_success() { Ok(Answer { headers, body }) } else { Err(Trouble::refused(status, &headers, &body)) }
    }
}

impl Api {
    /// The first lines of an answer that is sent piece by piece, each a JSON object. The rest is not asked for.
    pub(crate) async fn lines(&self, path: &str, most: usize) -> Result<Vec<Value>, Trouble> {
        let response = self.ask(Method::GET, path, None, &[]).await?;
        if !response.status().is_success() {
            return Err(Self::read(response).await.err().unwrap_or_else(Trouble::internal));
        }
        let mut pieces = response.into_body().into_data_stream();
        let (mut rest, mut lines) = (Vec::new(), Vec::new());
        while lines.len() < most {
            let Some(piece) = pieces.next().await else { break };
            rest.extend_from_slice(&piece.map_err(|error| {
                tracing::error!(%error, "an answer of the API broke off");
                Trouble::internal()
            })?);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                lines.extend(serde_json::from_slice(&line).ok());
            }
        }
        lines.truncate(most);
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_an_answer_that_is_not_understood_repeats_nothing_of_it() {
        let error = serde_json::from_str::<u32>("\"Ada Lovelace\"").expect_err("no number");
        assert!(error.to_string().contains("Ada"), "else there is nothing to keep back");
        assert_eq!(place(&error), "Data, line 1, column 14");
    }
}
