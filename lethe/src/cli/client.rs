//! The platform's HTTP API, from the outside.

use std::fmt;
use std::ops::ControlFlow;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::CliError;
use super::options::Access;
use super::session::Kept;
use crate::platform::running;

/// A client of one platform with one token.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
}

/// A reply: its body and the headers that matter.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// JSON body; null if there is none.
    pub body: Value,
    /// The `ETag`, if any.
    pub etag: Option<String>,
    /// The `Lethe-Position`, if any.
    pub position: Option<String>,
}

/// A refusal by the platform (with a status), or no answer at all (without).
#[derive(Debug)]
pub struct ApiError {
    /// HTTP status; none: no answer.
    pub status: Option<u16>,
    /// The problem's stable code, if there was one.
    pub code: String,
    /// Places in what was sent, as JSON pointers, and what is wrong there.
    pub faults: Vec<(String, String)>,
    message: String,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl ApiError {
    /// Something on this side.
    pub(crate) fn local(message: String) -> Self {
        Self { status: None, code: "local".into(), faults: Vec::new(), message }
    }

    /// The same with the status that it would have as an answer.
    pub(crate) fn with_status(self, status: u16) -> Self {
        Self { status: Some(status), ..self }
    }
}

impl Client {
    /// A client for the platform at `base`.
    pub fn new(base: impl Into<String>, token: impl Into<String>) -> Self {
        Self { http: reqwest::Client::new(), base: base.into(), token: token.into() }
    }

    /// The same token at another address.
    #[must_use]
    pub fn at(&self, base: &str) -> Self {
        Self { base: base.to_owned(), ..self.clone() }
    }

    /// Another token at the same address.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// With the session of a browser instead of a token: for pages.
    pub(crate) fn with_session(&self, secret: &str) -> Result<Self, CliError> {
        let cookie = format!("lethe-session={secret}").parse();
        let mut cookie: reqwest::header::HeaderValue =
            cookie.map_err(|error| CliError::failed("the session", error))?;
        cookie.set_sensitive(true);
        let headers = [(reqwest::header::COOKIE, cookie)].into_iter().collect();
        let http = reqwest::Client::builder().default_headers(headers).build();
        let http = http.map_err(|error| CliError::failed("a client", error))?;
        Ok(Self { http, base: self.base.clone(), token: String::new() })
    }

    /// The bearer token, for requests that this client does not make.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The address of the platform.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The client that the options describe. Without a token it is the session that was kept at sign-in, for the platform
    /// that gave it.
    pub(super) fn of(access: &Access) -> Result<Self, CliError> {
        let kept = if access.has_token() { None } else { Kept::read() };
        let Some(kept) = kept else { return Self::new(base(access)?, access.token()?).trusting(access) };
        let client = match base(access) {
            Ok(base) if base == kept.url => Self::new(base, kept.token),
            // Nobody said which platform, and none serves here: it is the one that was signed in to.
            Err(_) if access.url.is_none() => Self::new(kept.url, kept.token),
            other => Self::new(other?, access.token()?),
        };
        client.trusting(access)
    }

    /// The same without a credential: to get one.
    pub(super) fn anonymous(access: &Access) -> Result<Self, CliError> {
        Self::new(base(access)?, String::new()).trusting(access)
    }

    /// The same, believing whom the options name beside those whom this machine knows.
    pub(super) fn trusting(self, access: &Access) -> Result<Self, CliError> {
        let roots = access.roots()?;
        if roots.is_empty() {
            return Ok(self);
        }
        let http = reqwest::Client::builder().tls_certs_merge(roots).build();
        Ok(Self { http: http.map_err(|error| CliError::failed("TLS", error))?, ..self })
    }

    /// Asks.
    pub async fn get(&self, path: &str) -> Result<Reply, ApiError> {
        self.send(self.request(Method::GET, path)).await
    }

    /// Asks for a text, as it is.
    pub async fn text(&self, path: &str) -> Result<String, ApiError> {
        let response = refuse(self.request(Method::GET, path).send().await.map_err(no_answer)?).await?;
        response.text().await.map_err(no_answer)
    }

    /// Asks for a body of any length and hands each piece of it to `each` as it arrives. The next one is not asked for
    /// before that is done, so nothing gathers here.
    pub(super) async fn pieces(
        &self,
        path: &str,
        mut each: impl FnMut(&[u8]) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        let mut response = refuse(self.request(Method::GET, path).send().await.map_err(no_answer)?).await?;
        while let Some(piece) = response.chunk().await.map_err(cut)? {
            each(&piece)?;
        }
        Ok(())
    }

    /// Sends a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Reply, ApiError> {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// Sends a command under an id of its own, so that it can be sent again without a second effect.
    pub async fn command(
        &self,
        path: &str,
        id: uuid::Uuid,
        if_match: Option<&str>,
        captured_at: Option<&str>,
        body: &Value,
    ) -> Result<Reply, ApiError> {
        let mut request = self.request(Method::POST, path).header("Idempotency-Key", format!("\"{id}\"")).json(body);
        if let Some(tag) = if_match {
            request = request.header("If-Match", tag);
        }
        if let Some(moment) = captured_at {
            request = request.header("Lethe-Captured-At", moment);
        }
        self.send(request).await
    }

    /// The same with what proves anew who sends it.
    pub async fn command_signed(
        &self,
        path: &str,
        id: uuid::Uuid,
        signer: &str,
        body: &Value,
    ) -> Result<Reply, ApiError> {
        let request = self.request(Method::POST, path).header("Idempotency-Key", format!("\"{id}\"")).json(body);
        self.send(request.header("Lethe-Signer", signer)).await
    }

    /// Whether it acts by a session, and not by a token.
    pub(super) fn is_session(&self) -> bool {
        self.token.starts_with("lethes_")
    }

    /// Sends a body and hands every line of the reply to `each`.
    pub async fn lines(&self, path: &str, body: &Value, each: impl FnMut(Value)) -> Result<(), ApiError> {
        self.by_line(self.request(Method::POST, path).json(body), each).await
    }

    /// Sends commands, one a line, and hands each result to `each`.
    pub async fn bulk(&self, path: &str, lines: String, each: impl FnMut(Value)) -> Result<(), ApiError> {
        let request = self.request(Method::POST, path).header("Content-Type", "application/x-ndjson");
        self.by_line(request.body(lines), each).await
    }

    async fn by_line(&self, request: RequestBuilder, mut each: impl FnMut(Value)) -> Result<(), ApiError> {
        let mut response = refuse(request.send().await.map_err(no_answer)?).await?;
        let mut pending = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(cut)? {
            pending.extend_from_slice(&chunk);
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                each(serde_json::from_slice(&line).unwrap_or(Value::Null));
            }
        }
        Ok(())
    }

    /// Listens to server-sent events and hands what each one says to `each`, until that says that it has heard enough,
    /// the platform ends the answer, or nothing new is said for `quiet`.
    pub async fn events(
        &self,
        path: &str,
        quiet: Duration,
        mut each: impl FnMut(Value) -> ControlFlow<()>,
    ) -> Result<(), ApiError> {
        let asked = self.request(Method::GET, path).header("Accept", "text/event-stream");
        let mut response = refuse(asked.send().await.map_err(no_answer)?).await?;
        let (mut pending, mut until) = (Vec::new(), Instant::now() + quiet);
        loop {
            let Ok(chunk) = timeout_at(until, response.chunk()).await else { return Ok(()) };
            let Some(chunk) = chunk.map_err(no_answer)? else { return Ok(()) };
            pending.extend_from_slice(&chunk);
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                // Heartbeats are comments: they keep the connection, and are no news.
                let Some(data) = line.strip_prefix(b"data:") else { continue };
                until = Instant::now() + quiet;
                if each(serde_json::from_slice(data).unwrap_or(Value::Null)).is_break() {
                    return Ok(());
                }
            }
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        if self.token.is_empty() { request } else { request.bearer_auth(&self.token) }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Reply, ApiError> {
        let response = refuse(request.send().await.map_err(no_answer)?).await?;
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (status, etag, position) = (response.status().as_u16(), header("etag"), header("lethe-position"));
        let body = response.bytes().await.map_err(no_answer)?;
        let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap_or(Value::Null) };
        Ok(Reply { status, body, etag, position })
    }
}

/// The platform that the options describe.
fn base(access: &Access) -> Result<String, CliError> {
    match &access.url {
        Some(url) => Ok(url.trim_end_matches('/').to_owned()),
        None => running(&access.place.data_dir()?).map(|run| run.url).ok_or_else(|| {
            CliError::unavailable("no platform serves this data directory: start `lethe serve`, or give --url")
        }),
    }
}

/// A body that ended before its end.
fn cut(error: reqwest::Error) -> ApiError {
    ApiError { message: format!("the answer was cut short: {}", error.without_url()), ..no_answer_of() }
}

fn no_answer_of() -> ApiError {
    ApiError { status: None, code: "no-answer".into(), faults: Vec::new(), message: String::new() }
}

fn no_answer(error: reqwest::Error) -> ApiError {
    ApiError { message: format!("the platform does not answer: {}", error.without_url()), ..no_answer_of() }
}

/// Turns a problem reply into an error that says what the platform said.
async fn refuse(response: Response) -> Result<Response, ApiError> {
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status().as_u16();
    let problem: Value = response.json().await.unwrap_or(Value::Null);
    let text = |key: &str| problem.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut message = format!("refused ({status} {}): {}", text("code"), text("detail"));
    let mut faults = Vec::new();
    for error in problem.get("errors").and_then(Value::as_array).into_iter().flatten() {
        let part = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (pointer, detail) = (part("pointer"), part("detail"));
        message.push_str(&format!("\n  {pointer}: {detail}"));
        faults.push((pointer, detail));
    }
    Err(ApiError { status: Some(status), code: text("code"), faults, message })
}
