//! Questions to a transit engine over HTTP.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::port::Failure;
use reqwest::header::HeaderValue;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::super::config::{KmsConfigError, KmsOpenError};
use super::super::secret::SecretSource;
use super::certificates;

/// How long a server may take to answer, and to be reached at all.
const PATIENCE: Duration = Duration::from_secs(20);
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);
/// How much of what a server says about an error is kept.
const SAID_MAX: usize = 300;

/// Where an OpenBao server is: `https`, or plain `http` on this machine only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenBaoAddress {
    url: Url,
    ca_file: Option<PathBuf>,
}

impl OpenBaoAddress {
    /// An address; `ca_file` holds the certificates to trust instead of the system's.
    ///
    /// # Errors
    /// If it is no address, or would send token and keys over a network in the clear.
    pub fn new(url: &str, ca_file: Option<PathBuf>) -> Result<Self, KmsConfigError> {
        const NEXT: &str = "give https://HOST:PORT, or http://127.0.0.1:PORT for a server on this machine";
        // The text may hold a password, so it is not repeated.
        let no_address = || KmsConfigError::new("what stands behind openbao: is no address of a server", NEXT);
        let url = Url::parse(url).map_err(|_| no_address())?;
        let bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        match (url.scheme(), url.host_str()) {
            ("https", Some(_)) if bare => Ok(Self { url, ca_file }),
            ("http", Some(host)) if bare && is_loopback(host) => Ok(Self { url, ca_file }),
            ("http", Some(_)) if bare => {
                Err(KmsConfigError::new("http:// would send token and keys over the network in the clear", NEXT))
            }
            _ => Err(no_address()),
        }
    }

    /// As text, without a `/` at the end.
    pub fn url(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    pub(in super::super) fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    server: String,
    engine: String,
    token: SecretSource,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("engine", &self.engine).field("token", &self.token).finish_non_exhaustive()
    }
}

/// What the server answered, if it is an answer about a key: success, or a refusal of this very request.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) data: Value,
    /// An empty list of errors: the engine is there, and what was asked for is not.
    pub(super) says_nothing: bool,
    said: String,
}

impl Answer {
    /// An answer that was not to be expected here: no answer.
    pub(super) fn unexpected(&self) -> Failure {
        Failure::unavailable("OpenBao", format!("it answers {} {}", self.status, self.said))
    }

    pub(super) fn text(&self, field: &str) -> Result<&str, Failure> {
        self.data[field].as_str().ok_or_else(|| Failure::unavailable("OpenBao", format!("its answer has no {field}")))
    }
}

impl Client {
    pub(super) fn new(address: &OpenBaoAddress, mount: &str, token: SecretSource) -> Result<Self, KmsOpenError> {
        // No redirects and no proxy: the token goes to this server and nowhere else.
        let mut http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .connect_timeout(CONNECT_PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        if let Some(file) = address.ca_file() {
            http = http.tls_certs_only(certificates(file)?);
        }
        let http = http.build().map_err(|error| {
            KmsOpenError::new(format!("no HTTP client can be made: {error}"), "check the system's certificates")
        })?;
        let server = format!("{}/v1", address.url());
        Ok(Self { http, engine: format!("{server}/{mount}"), server, token })
    }

    /// The server's version. Answers even when it is sealed.
    pub(super) async fn version(&self) -> Result<String, Failure> {
        let url = format!("{}/sys/health", self.server);
        let reply = self.http.get(url).send().await.map_err(no_answer)?;
        let body: Value = reply.json().await.map_err(no_answer)?;
        let sealed = body["sealed"] == json!(true);
        match body["version"].as_str() {
            Some(_) if sealed => Err(Failure::unavailable("OpenBao", "it is sealed")),
            Some(version) => Ok(version.to_owned()),
            None => Err(Failure::unavailable("OpenBao", "whatever answers there is no OpenBao")),
        }
    }

    pub(super) async fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.ask(Method::GET, path, None).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Answer, Failure> {
        self.ask(Method::POST, path, Some(body)).await
    }

    pub(super) async fn delete(&self, path: &str) -> Result<Answer, Failure> {
        self.ask(Method::DELETE, path, None).await
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, Failure> {
        let token = self.token.read().map_err(|error| Failure::unavailable("OpenBao", error))?;
        let mut header = HeaderValue::from_str(&token)
            .map_err(|_| Failure::unavailable("OpenBao", format!("{} holds no token", self.token)))?;
        header.set_sensitive(true);
        let mut request = self.http.request(method, format!("{}/{path}", self.engine)).header("X-Vault-Token", header);
        if let Some(body) = body {
            request = request.json(body);
        }
        let reply = request.send().await.map_err(no_answer)?;
        let status = reply.status().as_u16();
        let text = Zeroizing::new(reply.bytes().await.map_err(no_answer)?.to_vec());
        read(status, &text)
    }
}

/// 2xx, 400, 403, 404 and 405 are about the request (a policy may forbid to use a key only because it is not there);
/// whatever else comes says that this server cannot serve us now.
fn read(status: u16, text: &[u8]) -> Result<Answer, Failure> {
    let mut body: Value = serde_json::from_slice(text).unwrap_or(Value::Null);
    let errors = body["errors"].as_array();
    let says_nothing = errors.is_some_and(|errors| errors.is_empty());
    let said = errors.into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join("; ");
    let said = said.chars().filter(|c| !c.is_control()).take(SAID_MAX).collect();
    let answer = Answer { status, data: body["data"].take(), says_nothing, said };
    match status {
        200..300 | 400 | 403..=405 => Ok(answer),
        _ => Err(answer.unexpected()),
    }
}

/// The cause down to the last: reqwest's own text says only that something failed.
fn no_answer(error: reqwest::Error) -> Failure {
    let error = error.without_url();
    let mut cause = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(inner) = source {
        cause = format!("{cause}: {inner}");
        source = inner.source();
    }
    Failure::unavailable("OpenBao", cause)
}
