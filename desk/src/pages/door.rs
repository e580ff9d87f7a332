//! Signing in and out.

use askama::Template;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Redirect, Response};
use domain::permit::Role;
use serde_json::json;

use crate::api::Answer;
use crate::fields::Fields;
use crate::frame::{Frame, Guest, Visit, page};
use crate::trouble::Trouble;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn {
    f: Frame,
    /// What was typed before, but for secrets.
    tenant: String,
    login: String,
    roles: Vec<&'static str>,
}

/// What a person can be: programs have tokens, and the platform is nobody.
pub(super) fn roles() -> Vec<&'static str> {
    let people = Role::ALL.iter().filter(|role| !matches!(role, Role::System | Role::Integrator));
    people.map(|role| role.as_str()).collect()
}

/// `GET /sign-in`.
pub(crate) async fn show(guest: Guest) -> Response {
    let tenant = guest.asked.text("tenant").to_owned();
    let shown = SignIn { f: guest.frame(), tenant, login: String::new(), roles: roles() };
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
        Err(Trouble::Refused(refused)) => {
            let f = guest.frame().but(Some(refused));
            let (tenant, login) = (fields.text("tenant").into(), fields.text("login").into());
            let shown = SignIn { f, tenant, login, roles: roles() };
            Ok(page(&shown.f, &shown))
        }
        Err(trouble) => Err(trouble),
    }
}

/// `POST /sign-out`.
pub(crate) async fn sign_out(visit: Visit) -> Result<Response, Trouble> {
    let answer = visit.api.post("/v1/sign-out", &json!({})).await?;
    Ok((session_of(&answer), Redirect::to("/sign-in?done=signed-out")).into_response())
}

/// The cookie that the door gave, passed on as it is.
pub(super) fn session_of(answer: &Answer) -> HeaderMap {
    let given = answer.headers.get_all(header::SET_COOKIE).into_iter();
    given.map(|cookie| (header::SET_COOKIE, cookie.clone())).collect()
}
