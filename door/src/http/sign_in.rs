//! Signing in, and another password.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use domain::Moment;
use domain::account::Terms;
use domain::ids::{Environment, RightId, SessionId, TenantId, UserId};
use domain::permit::Role;
use domain::scope::Plain;
use edge::{Caller, JsonBody, Origin, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::reply::{Problems, fresh};
use crate::links::good_password;
use crate::proof::Factors;
use crate::sign_in::{Begun, Wanted};
use crate::{Door, Rules};

/// The largest body at the door: a name, a password and a code need no more.
pub(super) const BODY_MAX: usize = 16 * 1024;

/// Who wants in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SignIn {
    /// Into which tenant.
    tenant: TenantId,
    /// By which name.
    login: Plain,
    /// The password.
    password: Plain,
    /// The one-time code of the moment. Either this or a recovery code is needed.
    code: Option<Plain>,
    /// A recovery code, where the one-time codes are lost. It counts once.
    recovery_code: Option<Plain>,
    /// In which role, if there are several.
    role: Option<Role>,
    /// In which environment, if there are several. Without: PROD before QA before TEST.
    environment: Option<Environment>,
}

/// A session that has begun.
#[derive(Serialize, ToSchema)]
pub(super) struct SignedIn {
    /// Who.
    pub(super) user: UserId,
    /// Which session.
    session: SessionId,
    /// Its secret, for `Authorization: Bearer`. It is shown here only; a browser has it as a cookie.
    token: String,
    /// By which right.
    right: RightId,
    /// What it lets its holder be.
    #[serde(flatten)]
    terms: Terms,
    /// When the session ends by itself.
    session_ends_at: Moment,
    /// After how many seconds without a request it is over.
    idle_seconds: u64,
}

impl SignedIn {
    pub(super) fn of(begun: &Begun, rules: &Rules) -> Self {
        Self {
            user: begun.user,
            session: begun.session,
            token: begun.secret.clone(),
            right: begun.right,
            terms: begun.terms.clone(),
            session_ends_at: begun.expires_at,
            idle_seconds: rules.idle.as_secs(),
        }
    }
}

/// An answer that gives the browser its session.
pub(super) fn with_cookie(begun: &Begun, rules: &Rules, body: impl Serialize) -> Response {
    let mut response = fresh(body);
    let cookie = edge::auth::session_cookie(&begun.secret, is_tls(rules), rules.session);
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}

/// Whether people reach this platform by TLS.
pub(super) fn is_tls(rules: &Rules) -> bool {
    rules.tls || rules.public_url.as_deref().is_some_and(|url| url.starts_with("https://"))
}

/// Signs in with a password and a one-time code.
///
/// The answer to what is wrong is the same whatever is wrong, an unknown name included. After a few failures a name and
/// an address have to wait, longer each time (429).
#[utoipa::path(
    post,
    path = "/v1/sign-in",
    operation_id = "sign_in",
    tag = "door",
    security(()),
    request_body = SignIn,
    responses((status = 200, description = "Signed in; the cookie and the token are the same session.", body = SignedIn), Problems)
)]
pub(super) async fn sign_in(
    State(door): State<Arc<Door>>,
    Origin { address, .. }: Origin,
    JsonBody(body): JsonBody<SignIn, BODY_MAX>,
) -> Result<Response, Problem> {
    let SignIn { tenant, login, password, code, recovery_code, role, environment } = body;
    if code.is_some() == recovery_code.is_some() {
        return Err(Problem::invalid("second-factor", "send either the one-time code or a recovery code"));
    }
    let factors = Factors { password: Some(password), code, recovery_code };
    let begun = door.sign_in(Wanted { tenant, login, factors, role, environment }, address).await?;
    let rules = &door.parts.rules;
    Ok(with_cookie(&begun, rules, SignedIn::of(&begun, rules)))
}

/// Another password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AnotherPassword {
    /// The one there is.
    password: Plain,
    /// The one-time code of the moment.
    code: Plain,
    /// The new one.
    new_password: Plain,
}

/// Takes another password of one's own. Every other session of one's own ends.
#[utoipa::path(
    post,
    path = "/v1/password",
    operation_id = "change_password",
    tag = "door",
    request_body = AnotherPassword,
    responses((status = 200, description = "It counts from now on."), Problems)
)]
pub(super) async fn change_password(
    State(door): State<Arc<Door>>,
    Caller(who): Caller,
    JsonBody(body): JsonBody<AnotherPassword, BODY_MAX>,
) -> Result<Response, Problem> {
    let AnotherPassword { password, code, new_password } = body;
    good_password(&new_password.0, None)?;
    let tenant = door.tenant_of(&who)?;
    let factors = Factors { password: Some(password), code: Some(code), recovery_code: None };
    door.change_password(&tenant, &who, &factors, new_password).await?;
    Ok(StatusCode::OK.into_response())
}
