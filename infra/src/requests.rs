//! The second door: a NATS micro service (ADR-32 of NATS) that takes requests and replies to them, and its client.
//!
//! What is asked and what is answered is the caller's affair ([`Answers`]); here are subjects, headers and sizes only. A
//! request of tenant `acme` goes to `cmd.acme.` and the words of [`Asked::to`].

use std::sync::Arc;
use std::time::Duration;

use async_nats::service::{Request, ServiceExt as _};
use async_nats::{HeaderMap, Message, RequestErrorKind};
use domain::ids::TenantId;
use domain::port::{Answered, Answers, Asked, Failure};
use futures_util::StreamExt as _;
use tokio::task::JoinHandle;

use crate::journal::connect;
use crate::nats_server::NatsLogin;

/// Requests that are answered at the same time. Others wait in the connection's buffer, and there in the network.
const AT_ONCE: usize = 1024;

/// Where the server has put the answer to a request of another account.
const REPLIES: &str = "_R_.";

/// The status that HTTP would have.
const STATUS: &str = "Status";

/// What a NATS micro client looks for to see that it was refused.
const ERROR: &str = "Nats-Service-Error";
const ERROR_CODE: &str = "Nats-Service-Error-Code";

/// Answers requests as long as it lives.
pub struct SecondDoor {
    answering: JoinHandle<()>,
}

impl SecondDoor {
    /// Opens the door of a tenant.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses the login.
    pub async fn open(
        login: &NatsLogin,
        url: &str,
        tenant: &TenantId,
        answers: Arc<dyn Answers>,
    ) -> Result<Self, Failure> {
        let failed = |error: async_nats::Error| Failure::unavailable("the second door", error);
        let client = connect(login.connect_options(), url, "lethe-door").await?;
        let service = client.service_builder().description("Commands, as over HTTP: docs/second-door.md");
        let service = service.start("lethe-commands", env!("CARGO_PKG_VERSION")).await.map_err(failed)?;
        let subject = format!("cmd.{tenant}.>");
        let requests = service.endpoint_builder().name("commands").add(&subject).await.map_err(failed)?;
        let prefix = format!("cmd.{tenant}.");
        let most = client.server_info().max_payload;
        let answering = tokio::spawn(async move {
            // The service answers who asks what there is, as long as it is held.
            let _service = service;
            let answer = |request| answer(request, &prefix, most, Arc::clone(&answers));
            requests.for_each_concurrent(AT_ONCE, answer).await;
        });
        Ok(Self { answering })
    }
}

impl Drop for SecondDoor {
    fn drop(&mut self) {
        self.answering.abort();
    }
}

/// Answers one request, as a task of its own: what was begun is finished even if the door is closed.
async fn answer(request: Request, prefix: &str, most: usize, answers: Arc<dyn Answers>) {
    let message = &request.message;
    // Nobody hears it, or it would be written where only events belong.
    if !message.reply.as_ref().is_some_and(|reply| reply.starts_with(REPLIES)) {
        return;
    }
    let asked = Asked {
        to: message.subject.strip_prefix(prefix).unwrap_or_default().split('.').map(str::to_owned).collect(),
        headers: message.headers.as_ref().map(pairs).unwrap_or_default(),
        body: message.payload.to_vec(),
    };
    let answered = tokio::spawn(async move { answers.answer(asked).await }).await;
    let answered =
        answered.unwrap_or_else(|_| problem(500, "crashed", "the request failed: send it again with the same key"));
    let answered = if answered.body.len() + 4096 > most { too_long() } else { answered };
    let headers = headers_of(&answered);
    if let Err(error) = request.respond_with_headers(Ok(answered.body.into()), headers).await {
        tracing::debug!(%error, "an answer could not be sent");
    }
}

fn too_long() -> Answered {
    let detail = "it is done, and the results are longer than a message may be: send the lines again, fewer at a time, with the same keys";
    problem(507, "reply-too-long", detail)
}

fn problem(status: u16, code: &str, detail: &str) -> Answered {
    let body = serde_json::json!({ "type": format!("/problems/{code}"), "title": code, "status": status, "code": code, "detail": detail });
    let headers = vec![("Content-Type".to_owned(), "application/problem+json".to_owned())];
    Answered { status, headers, body: body.to_string().into_bytes() }
}

fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    let each = headers.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
    each.map(|(name, value)| (name.to_string(), value.as_str().to_owned())).collect()
}

fn headers_of(answered: &Answered) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &answered.headers {
        headers.append(name.as_str(), value.as_str());
    }
    headers.insert(STATUS, answered.status.to_string());
    if answered.status >= 400 {
        headers.insert(ERROR_CODE, answered.status.to_string());
        let words = serde_json::from_slice::<serde_json::Value>(&answered.body).ok();
        let code = words.as_ref().and_then(|words| words["code"].as_str());
        headers.insert(ERROR, code.unwrap_or("refused"));
    }
    headers
}

/// A client of the second door: for the benchmark and the tests, and an example of one.
#[derive(Clone)]
pub struct DoorClient {
    client: async_nats::Client,
    tenant: TenantId,
}

impl DoorClient {
    /// Connects with the login for integrators.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses the login.
    pub async fn connect(login: &NatsLogin, url: &str, tenant: &TenantId) -> Result<Self, Failure> {
        let client = connect(login.connect_options(), url, "lethe-door-client").await?;
        Ok(Self { client, tenant: tenant.clone() })
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// When nobody answers, now or within `patience`. Whether it was carried out is not known then: ask again with the same key.
    pub async fn ask(&self, asked: Asked, patience: Duration) -> Result<Answered, Failure> {
        let subject = format!("cmd.{}.{}", self.tenant, asked.to.join("."));
        let mut headers = HeaderMap::new();
        for (name, value) in &asked.headers {
            headers.append(name.as_str(), value.as_str());
        }
        let request = async_nats::Request::new().payload(asked.body.into()).headers(headers).timeout(Some(patience));
        let reply = self.client.send_request(subject, request).await.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => Failure::unavailable("the second door", "nobody answers there"),
            _ => Failure::unavailable("the second door", error),
        })?;
        Ok(answered(&reply))
    }

    /// Asks at any subject: to see what this login does not reach.
    ///
    /// # Errors
    /// When nobody answers within `patience`.
    pub async fn ask_anywhere(&self, subject: &str, patience: Duration) -> Result<Answered, Failure> {
        let request = async_nats::Request::new().timeout(Some(patience));
        let reply = self.client.send_request(subject.to_owned(), request).await;
        reply.map(|reply| answered(&reply)).map_err(|error| Failure::unavailable("an answer", error))
    }
}

fn answered(reply: &Message) -> Answered {
    let headers = reply.headers.as_ref().map(pairs).unwrap_or_default();
    let status = headers.iter().find(|(name, _)| name == STATUS).and_then(|(_, value)| value.parse().ok());
    Answered { status: status.unwrap_or_default(), headers, body: reply.payload.to_vec() }
}
