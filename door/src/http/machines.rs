//! Machines: let in by who administers, given access by their secrets.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::Moment;
use domain::account::MachineTerms;
use domain::ids::{TokenId, UserId};
use domain::port::Presented;
use domain::scope::Plain;
use domain::user::AccountKind;
use edge::{Caller, Ids, JsonBody, Origin, Parameters, PeerCertificate, Problem};
use projection_svc::Visible;
use projection_svc::accounts;
use projection_svc::shown::Shown;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::reply::{Problems, Since, fresh, reflecting};
use super::sign_in::BODY_MAX;
use super::users::administers;
use crate::machines::{IssuedSecret, Lasting};
use crate::{Door, NoEntry};

const DAY: u64 = 86_400;

/// A machine to let in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewMachine {
    /// Its name, for people.
    name: Plain,
    /// On which terms.
    terms: MachineTerms,
    /// After how many days its first secret ends: 1 to 366.
    #[serde(default = "ninety")]
    #[schema(minimum = 1, maximum = 366)]
    days: u64,
}

fn ninety() -> u64 {
    90
}

/// A secret that was issued.
#[derive(Serialize, ToSchema)]
pub(super) struct NewSecret {
    /// Whose.
    machine: UserId,
    /// By what the machine says who it is (RFC 6749, 2.2): its id.
    client_id: String,
    /// The secret. It is shown here only.
    client_secret: String,
    /// The secret's id, to revoke it.
    secret: TokenId,
    /// When it ends.
    expires_at: Moment,
}

impl From<IssuedSecret> for NewSecret {
    fn from(issued: IssuedSecret) -> Self {
        let IssuedSecret { machine, secret, text, expires_at } = issued;
        Self { machine, client_id: machine.to_string(), client_secret: text, secret, expires_at }
    }
}

fn days(days: u64) -> Duration {
    Duration::from_secs(days.min(100_000) * DAY)
}

/// Lets a machine in: an account of a program, with a first secret.
#[utoipa::path(
    post,
    path = "/v1/machines",
    operation_id = "create_machine",
    tag = "door",
    request_body = NewMachine,
    responses((status = 200, description = "It may come in. The secret is shown here only.", body = NewSecret), Problems)
)]
pub(super) async fn create(
    State(door): State<Arc<Door>>,
    Caller(who): Caller,
    JsonBody(body): JsonBody<NewMachine, BODY_MAX>,
) -> Result<Response, Problem> {
    let tenant = door.tenant_of(&who)?;
    let lasts = days(body.days);
    let issued = door.create_machine(&tenant, &who, body.name, body.terms, lasts).await?;
    Ok(fresh(NewSecret::from(issued)))
}

/// One more secret.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotation {
    /// After how many days it ends: 1 to 366.
    #[serde(default = "ninety")]
    #[schema(minimum = 1, maximum = 366)]
    days: u64,
    /// For how many hours those before it go on counting, at most; 0: not at all. Without: until they end by themselves.
    #[schema(maximum = 8784)]
    others_for_hours: Option<u64>,
}

/// Issues one more secret of a machine. Two count side by side, so that the machine is never without one.
#[utoipa::path(
    post,
    path = "/v1/machines/{machine}/secrets",
    operation_id = "rotate_machine",
    tag = "door",
    params(("machine" = UserId, Path, description = "the machine")),
    request_body = Rotation,
    responses((status = 200, description = "It counts from now on. It is shown here only.", body = NewSecret), Problems)
)]
pub(super) async fn rotate(
    State(door): State<Arc<Door>>,
    Caller(who): Caller,
    Ids(machine): Ids<UserId>,
    JsonBody(body): JsonBody<Rotation, BODY_MAX>,
) -> Result<Response, Problem> {
    let tenant = door.tenant_of(&who)?;
    let others = body.others_for_hours.map(|hours| Duration::from_secs(hours.min(100_000) * 3600));
    let lasting = Lasting { secret: days(body.days), others };
    Ok(fresh(NewSecret::from(door.issue_secret(&tenant, who, machine, lasting).await?)))
}

/// Ends one secret of a machine, and every access token that it gave.
#[utoipa::path(
    post,
    path = "/v1/machines/{machine}/secrets/{secret}/revoke",
    operation_id = "revoke_machine_secret",
    tag = "door",
    params(("machine" = UserId, Path, description = "the machine"), ("secret" = TokenId, Path, description = "the secret")),
    responses((status = 200, description = "It counts no more."), Problems)
)]
pub(super) async fn revoke(
    State(door): State<Arc<Door>>,
    Caller(who): Caller,
    Ids((machine, secret)): Ids<(UserId, TokenId)>,
) -> Result<Response, Problem> {
    let tenant = door.tenant_of(&who)?;
    door.end_machine(&tenant, who, machine, Some(secret)).await?;
    Ok(StatusCode::OK.into_response())
}

/// Lets a machine come in no more.
#[utoipa::path(
    post,
    path = "/v1/machines/{machine}/dismiss",
    operation_id = "dismiss_machine",
    tag = "door",
    params(("machine" = UserId, Path, description = "the machine")),
    responses((status = 200, description = "No secret of it counts, and no access token."), Problems)
)]
pub(super) async fn dismiss(
    State(door): State<Arc<Door>>,
    Caller(who): Caller,
    Ids(machine): Ids<UserId>,
) -> Result<Response, Problem> {
    let tenant = door.tenant_of(&who)?;
    door.end_machine(&tenant, who, machine, None).await?;
    Ok(StatusCode::OK.into_response())
}

/// The machines of a tenant.
#[derive(Serialize, ToSchema)]
pub(super) struct Machines {
    items: Vec<MachineShown>,
}

/// A machine that may come in.
#[derive(Serialize, ToSchema)]
pub(super) struct MachineShown {
    /// Its id.
    machine: UserId,
    /// Its name, for people.
    #[schema(inline)]
    name: Option<Shown<String>>,
    /// On which terms.
    terms: MachineTerms,
    /// Its secrets that count.
    secrets: Vec<SecretShown>,
}

/// A secret that counts.
#[derive(Serialize, ToSchema)]
pub(super) struct SecretShown {
    /// Its id.
    secret: TokenId,
    /// When it ends.
    expires_at: Moment,
}

/// The machines that may come in, with their secrets that count.
#[utoipa::path(
    get,
    path = "/v1/machines",
    operation_id = "list_machines",
    tag = "door",
    params(Since),
    responses((status = 200, description = "As they stand at `Lethe-Position`.", body = Machines), Problems)
)]
pub(super) async fn list(
    State(door): State<Arc<Door>>,
    Caller(who): Caller,
    Parameters(since): Parameters<Since>,
) -> Result<Response, Problem> {
    administers(&who)?;
    let tenant = door.tenant_of(&who)?;
    let positions = since.wait(&tenant).await?;
    let now = door.now();
    let mut items = Vec::new();
    for user in accounts::list(&tenant, &Visible::of(who.actor.role)).await? {
        if user.kind != AccountKind::ServiceAccount {
            continue;
        }
        let Some(machine) = door.account(&tenant, user.user).await?.machines.current else { continue };
        let count = machine.secrets.into_iter().filter(|(_, one)| now < one.expires_at.0);
        let secrets = count.map(|(secret, one)| SecretShown { secret, expires_at: one.expires_at }).collect();
        items.push(MachineShown { machine: user.user, name: user.name, terms: machine.terms, secrets });
    }
    Ok(reflecting(&positions, Machines { items }))
}

/// An access token (RFC 6749, 5.1).
#[derive(Serialize, ToSchema)]
pub(super) struct AccessToken {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
}

/// Why there is none (RFC 6749, 5.2).
#[derive(Serialize, ToSchema)]
pub(super) struct NoAccess {
    pub(super) error: &'static str,
    pub(super) error_description: &'static str,
}

/// What a machine asks with, in a form.
#[derive(Deserialize, ToSchema)]
pub(super) struct TokenForm {
    /// `client_credentials`.
    #[schema(example = "client_credentials")]
    #[expect(dead_code, reason = "described; a form is read by hand, so that its faults are those of RFC 6749")]
    grant_type: String,
    /// The machine's id, unless it stands in `Authorization: Basic`.
    #[expect(dead_code, reason = "as above")]
    client_id: Option<String>,
    /// Its secret, unless it stands there.
    #[expect(dead_code, reason = "as above")]
    client_secret: Option<String>,
}

/// Gives a machine an access token of ten minutes (RFC 6749, 4.4): client id and secret by `Authorization: Basic` or in the form.
///
/// From an address or with a certificate that the machine is not bound to, the answer is that of a wrong secret.
#[utoipa::path(
    post,
    path = "/oauth/token",
    operation_id = "machine_token",
    tag = "door",
    security(()),
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "For `Authorization: Bearer`.", body = AccessToken),
        (status = 400, description = "The form says something else than it must.", body = NoAccess),
        (status = 401, description = "No such machine, a secret that does not count, or not from there.", body = NoAccess),
        (status = 429, description = "Too many tries: again after `Retry-After`.", body = NoAccess,
            headers(("Retry-After" = u32, description = "seconds"))),
        (status = 503, description = "Not now: send the same again.", body = NoAccess),
    )
)]
pub(super) async fn token(
    State(door): State<Arc<Door>>,
    Origin { address, .. }: Origin,
    certificate: Option<Extension<PeerCertificate>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = match Form::read(&headers, &body) {
        Ok(form) => form,
        Err(unfit) => return unfit.into_response(),
    };
    let certificate = certificate.map(|Extension(PeerCertificate(hash))| hash);
    let from = Presented { address, certificate, path: "/oauth/token" };
    match door.machine_comes((form.machine, &form.secret), from).await {
        Ok(given) => {
            let token =
                AccessToken { access_token: given.text, token_type: "Bearer", expires_in: given.lasts.as_secs() };
            (StatusCode::OK, [(header::CACHE_CONTROL, "no-store")], Json(token)).into_response()
        }
        Err(NoEntry::TooMany(wait)) => {
            let body = NoAccess { error: "temporarily_unavailable", error_description: "too many tries: wait" };
            let headers = [(header::RETRY_AFTER, wait.as_secs().max(1).to_string())];
            (StatusCode::TOO_MANY_REQUESTS, headers, Json(body)).into_response()
        }
        Err(NoEntry::Failed(failure)) => {
            tracing::warn!(%failure, "a machine cannot be let in");
            no_access(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "send the same again")
        }
        Err(_) => invalid_client(),
    }
}

fn no_access(status: StatusCode, error: &'static str, error_description: &'static str) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], Json(NoAccess { error, error_description })).into_response()
}

fn invalid_client() -> Response {
    let mut response = no_access(
        StatusCode::UNAUTHORIZED,
        "invalid_client",
        "no such machine, its secret does not count, or not from here",
    );
    let challenge = header::HeaderValue::from_static("Basic realm=\"lethe\", charset=\"UTF-8\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

/// Who asks, as the form or the header says.
struct Form {
    machine: UserId,
    secret: String,
}

/// Why a form is not answered with a token.
enum Unfit {
    /// It cannot be read so.
    Invalid(&'static str),
    /// It asks for another kind of grant.
    Grant,
    /// It does not say who asks.
    Client,
}

impl IntoResponse for Unfit {
    fn into_response(self) -> Response {
        match self {
            Self::Invalid(why) => no_access(StatusCode::BAD_REQUEST, "invalid_request", why),
            Self::Grant => {
                let why = "only client_credentials is given access here";
                no_access(StatusCode::BAD_REQUEST, "unsupported_grant_type", why)
            }
            Self::Client => invalid_client(),
        }
    }
}

impl Form {
    fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, Unfit> {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !kind.starts_with("application/x-www-form-urlencoded") || body.len() > BODY_MAX {
            return Err(Unfit::Invalid("send a form: application/x-www-form-urlencoded"));
        }
        let field = |name: &str| -> Result<Option<String>, Unfit> {
            let mut found = form_urlencoded::parse(body).filter(|(key, _)| key == name).map(|(_, value)| value);
            match (found.next(), found.next()) {
                (one, None) => Ok(one.map(std::borrow::Cow::into_owned)),
                _ => Err(Unfit::Invalid("a field stands there twice")),
            }
        };
        match field("grant_type")?.as_deref() {
            Some("client_credentials") => {}
            Some(_) => return Err(Unfit::Grant),
            None => return Err(Unfit::Invalid("grant_type is missing")),
        }
        let (id, secret) = match (basic(headers), field("client_id")?, field("client_secret")?) {
            (Some(pair), _, None) => pair,
            (None, Some(id), Some(secret)) => (id, secret),
            (Some(_), _, Some(_)) => {
                return Err(Unfit::Invalid("the secret stands in the header and in the form"));
            }
            (None, ..) => return Err(Unfit::Client),
        };
        let machine = id.parse().map(UserId).map_err(|_| Unfit::Client)?;
        Ok(Self { machine, secret })
    }
}

/// `Authorization: Basic`, both parts form-encoded (RFC 6749, 2.3.1).
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, text) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(text.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    let plain = |text: &str| {
        let pair = format!("v={text}");
        form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned())
    };
    Some((plain(id)?, plain(secret)?))
}
