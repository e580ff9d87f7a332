//! One's own sessions, passkeys and password.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::on_to;
use crate::fields::Fields;
use crate::frame::{Frame, Visit, page};
use crate::model::{Passkey, Session};
use crate::trouble::{Refused, Trouble};

#[derive(Deserialize)]
struct Sessions {
    items: Vec<Session>,
}

#[derive(Deserialize)]
struct Passkeys {
    items: Vec<Passkey>,
}

#[derive(Template)]
#[template(path = "sessions.html")]
struct Shown {
    f: Frame,
    sessions: Vec<Session>,
    passkeys: Vec<Passkey>,
}

/// `GET /desk/sessions`.
pub(crate) async fn show(visit: Visit) -> Result<Response, Trouble> {
    shown(&visit, None).await
}

async fn shown(visit: &Visit, refused: Option<Refused>) -> Result<Response, Trouble> {
    let Sessions { items } = visit.api.get(&visit.since("/v1/sessions")).await?;
    let Passkeys { items: passkeys } = visit.api.get("/v1/passkeys").await?;
    let shown = Shown { f: visit.frame("sessions").but(refused), sessions: items, passkeys };
    Ok(page(&shown.f, &shown))
}

/// `POST /desk/sessions/{session}/end`.
pub(crate) async fn end(visit: Visit, Path(session): Path<String>) -> Result<Response, Trouble> {
    let path = format!("/v1/users/{}/sessions/{}/end", visit.who.actor.id, crate::fields::encoded(&session));
    match visit.api.post(&path, &json!({})).await {
        Ok(answer) => Ok(on_to("/desk/sessions", "session-ended", &answer)),
        Err(Trouble::Refused(refused)) => shown(&visit, Some(refused)).await,
        Err(trouble) => Err(trouble),
    }
}

/// `POST /desk/passkeys/{passkey}/remove`.
pub(crate) async fn remove_passkey(visit: Visit, Path(passkey): Path<String>) -> Result<Response, Trouble> {
    let path = format!("/v1/users/{}/passkeys/{}/remove", visit.who.actor.id, crate::fields::encoded(&passkey));
    match visit.api.post(&path, &json!({})).await {
        Ok(answer) => Ok(on_to("/desk/sessions", "passkey-removed", &answer)),
        Err(Trouble::Refused(refused)) => shown(&visit, Some(refused)).await,
        Err(trouble) => Err(trouble),
    }
}

/// `POST /desk/sessions/password`.
pub(crate) async fn password(visit: Visit, fields: Fields) -> Result<Response, Trouble> {
    let body = json!({
        "password": fields.raw("password"), "code": fields.text("code"), "new_password": fields.raw("new_password"),
    });
    match visit.api.post("/v1/password", &body).await {
        Ok(answer) => Ok(on_to("/desk/sessions", "password-changed", &answer)),
        Err(Trouble::Refused(refused)) => shown(&visit, Some(refused)).await,
        Err(trouble) => Err(trouble),
    }
}
