//! The second door's requests, answered by the same routes as HTTP's: the same rules, the same replies.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use axum::response::IntoResponse as _;
use domain::ids::TenantId;
use domain::port::{Answered, Answers, Asked, Credentials};
use edge::Problem;
use infra::requests::SecondDoor;
use tower::ServiceExt as _;

use super::StartError;
use super::nats::Nats;

/// A reply of one message is never longer than this.
const REPLY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The second doors of all tenants.
#[derive(Default)]
pub(super) struct SecondDoors {
    routes: OnceLock<(Router, Arc<dyn Credentials>)>,
    open: Mutex<Vec<SecondDoor>>,
}

impl SecondDoors {
    /// Says who answers. Before that no door opens.
    pub(super) fn answered_by(&self, router: Router, credentials: Arc<dyn Credentials>) {
        let _ = self.routes.set((router, credentials));
    }

    /// Opens a tenant's. Its account may have been made before there were second doors: then it has none.
    pub(super) async fn open(&self, nats: &Nats, tenant: &TenantId) -> Result<(), StartError> {
        let Some((router, credentials)) = self.routes.get().cloned() else { return Ok(()) };
        let Some(login) = nats.door(tenant)? else {
            tracing::warn!(%tenant, "its NATS account has no second door: `lethe nats accounts` adds one");
            return Ok(());
        };
        let answers = Arc::new(Routed { tenant: tenant.clone(), router, credentials });
        let door = SecondDoor::open(&login.answers, &nats.url(), tenant, answers).await?;
        self.open.lock().unwrap_or_else(PoisonError::into_inner).push(door);
        Ok(())
    }

    /// Takes no more requests.
    pub(super) fn close(&self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

struct Routed {
    tenant: TenantId,
    router: Router,
    credentials: Arc<dyn Credentials>,
}

#[async_trait]
impl Answers for Routed {
    async fn answer(&self, asked: Asked) -> Answered {
        let response = match self.request(asked).await {
            Ok(request) => self.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {}),
            Err(problem) => problem.into_response(),
        };
        answered(response).await
    }
}

impl Routed {
    /// The request that HTTP would have brought.
    async fn request(&self, asked: Asked) -> Result<Request<Body>, Problem> {
        let (path, media_type) = address(&asked.to).ok_or_else(|| {
            Problem::new(
                axum::http::StatusCode::NOT_FOUND,
                "no-such-address",
                "the subject is none of the second door's: see docs/second-door.md",
            )
        })?;
        let mut request =
            Request::post(path).body(Body::from(asked.body)).map_err(|_| bad("the subject is no address"))?;
        for (name, value) in asked.headers {
            let pair = (HeaderName::try_from(name), HeaderValue::try_from(value));
            let (Ok(name), Ok(value)) = pair else { return Err(bad("a header cannot be read")) };
            request.headers_mut().append(name, value);
        }
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        self.refuse_others(request.headers()).await?;
        Ok(request)
    }

    /// A tenant's door is for its own tokens: who has another's learns nothing, not even that it is one.
    async fn refuse_others(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(token) = edge::bearer(headers) else { return Ok(()) };
        match self.credentials.authenticate(token).await? {
            Some(principal) if principal.tenant != self.tenant => {
                let detail = "the token is unknown, expired or revoked";
                Err(edge::unauthorized(detail, "Bearer realm=\"lethe\", error=\"invalid_token\""))
            }
            _ => Ok(()),
        }
    }
}

fn bad(detail: &str) -> Problem {
    Problem::bad_request("invalid-request", detail)
}

/// Where HTTP has what is asked for, and as what the body is read.
fn address(to: &[String]) -> Option<(String, &'static str)> {
    let words: Vec<&str> = to.iter().map(String::as_str).collect();
    let path = match words[..] {
        [study] => format!("/v1/studies/{study}"),
        [study, "bulk"] => return Some((format!("/v1/studies/{study}/commands"), "application/x-ndjson")),
        [study, "participant", id] => format!("/v1/studies/{study}/participants/{id}"),
        [study, kind @ ("identity" | "privacy"), id] => format!("/v1/studies/{study}/participants/{id}/{kind}"),
        _ => return None,
    };
    Some((path, "application/json"))
}

async fn answered(response: Response<Body>) -> Answered {
    let (parts, body) = response.into_parts();
    let headers =
        parts.headers.iter().filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
    let headers = headers.collect();
    // Longer than any message may be: the door says so.
    let body =
        to_bytes(body, REPLY_BYTES_MAX).await.map_or_else(|_| vec![b' '; REPLY_BYTES_MAX], |bytes| bytes.to_vec());
    Answered { status: parts.status.as_u16(), headers, body }
}
