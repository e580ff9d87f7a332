//! Signing in and out.

use askama::Template;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Redirect, Response};
use domain::permit::Role;
use serde::Deserialize;
use serde_json::json;

use crate::api::Answer;
use crate::fields::Fields;
use crate::frame::{Frame, Guest, Visit, page};
use crate::trouble::{Refused, Trouble};

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn {
    f: Frame,
    /// What was typed before, but for secrets.
    tenant: String,
    login: String,
    roles: Vec<&'static str>,
    /// Whether some organisation here has an identity provider.
    provided: bool,
}

#[derive(Deserialize)]
struct Offered {
    offered: bool,
}

#[derive(Deserialize)]
struct Sent {
    location: Option<String>,
}

/// A page that leads on by itself: a browser takes no form's answer to another host (`form-action`), and sends no session that is
/// `SameSite=Strict` on the way back from one.
#[derive(Template)]
#[template(path = "onward.html")]
struct Onward {
    f: Frame,
    to: String,
}

fn onward(f: Frame, to: String) -> Response {
    let shown = Onward { f, to };
    page(&shown.f, &shown)
}

/// Whether to offer a provider: the page is there without one, too.
pub(super) async fn provided(guest: &Guest) -> bool {
    guest.api.get::<Offered>("/v1/sign-in/provider").await.is_ok_and(|offered| offered.offered)
}

/// What a person can be: programs have tokens, and the platform is nobody.
pub(super) fn roles() -> Vec<&'static str> {
    let people = Role::ALL.iter().filter(|role| !matches!(role, Role::System | Role::Integrator));
    people.map(|role| role.as_str()).collect()
}

/// `GET /sign-in`.
pub(crate) async fn show(guest: Guest) -> Response {
    let tenant = guest.asked.text("tenant").to_owned();
    let provided = provided(&guest).await;
    let shown = SignIn { f: guest.frame(), tenant, login: String::new(), roles: roles(), provided };
    page(&shown.f, &shown)
}

/// `POST /sign-in`.
pub(crate) async fn sign_in(guest: Guest, fields: Fields) -> Result<Response, Trouble> {
    let mut body = json!({
        "tenant": fields.text("tenant"), "login": fields.text("login"), "password": fields.raw("password"),
    });
    for optional in ["role", "environment", "recovery_code"] {
        if let Some(text) = fields.some(optional) {
            body[optional] = text.into();
        }
    }
    // A code is six digits; authenticators show them in two groups.
    let code: String = fields.text("code").split_whitespace().collect();
    if !code.is_empty() {
        body["code"] = code.into();
    }
    match guest.api.post("/v1/sign-in", &body).await {
        Ok(answer) => Ok((session_of(&answer), Redirect::to("/desk")).into_response()),
        Err(Trouble::Refused(refused)) => Ok(again(&guest, &fields, refused).await),
        Err(trouble) => Err(trouble),
    }
}

/// The page once more, with what went wrong.
async fn again(guest: &Guest, fields: &Fields, refused: Refused) -> Response {
    let f = guest.frame().but(Some(refused));
    let (tenant, login) = (fields.text("tenant").into(), fields.text("login").into());
    let shown = SignIn { f, tenant, login, roles: roles(), provided: provided(guest).await };
    page(&shown.f, &shown)
}

/// `POST /sign-in/provider`: to the organisation's own sign-in.
pub(crate) async fn to_provider(guest: Guest, fields: Fields) -> Result<Response, Trouble> {
    let mut body = json!({"tenant": fields.text("tenant"), "base": guest.origin});
    for optional in ["role", "environment", "link", "name"] {
        if let Some(text) = fields.some(optional) {
            body[optional] = text.into();
        }
    }
    match guest.api.post("/v1/sign-in/provider", &body).await {
        Ok(answer) => {
            let Sent { location } = answer.read()?;
            Ok((session_of(&answer), onward(guest.frame(), location.unwrap_or_default())).into_response())
        }
        Err(Trouble::Refused(refused)) => Ok(again(&guest, &fields, refused).await),
        Err(trouble) => Err(trouble),
    }
}

/// `GET /sign-in/provider/back`: and back from there.
pub(crate) async fn from_provider(guest: Guest) -> Result<Response, Trouble> {
    let body = json!({"state": guest.asked.text("state"), "code": guest.asked.text("code")});
    match guest.api.post("/v1/sign-in/provider/back", &body).await {
        Ok(answer) => Ok((session_of(&answer), onward(guest.frame(), "/desk".to_owned())).into_response()),
        Err(Trouble::Refused(refused)) => Ok(again(&guest, &Fields::default(), refused).await),
        Err(trouble) => Err(trouble),
    }
}

/// `POST /sign-out`.
pub(crate) async fn sign_out(visit: Visit) -> Result<Response, Trouble> {
    // Where the provider's own session ends: asked while there is a session of ours.
    let there = visit.api.find::<Sent>("/v1/sign-out/provider").await.ok().flatten().and_then(|sent| sent.location);
    let answer = visit.api.post("/v1/sign-out", &json!({})).await?;
    if let Some(there) = there {
        return Ok((session_of(&answer), onward(visit.bare(), there)).into_response());
    }
    Ok((session_of(&answer), Redirect::to("/sign-in?done=signed-out")).into_response())
}

/// The cookie that the door gave, passed on as it is.
pub(super) fn session_of(answer: &Answer) -> HeaderMap {
    let given = answer.headers.get_all(header::SET_COOKIE).into_iter();
    given.map(|cookie| (header::SET_COOKIE, cookie.clone())).collect()
}
