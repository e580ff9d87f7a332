//! Who may come in: seen and invited by who administers.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::on_to;
use crate::fields::{Fields, encoded};
use crate::frame::{Frame, Visit, page};
use crate::model::{Shown, User};
use crate::trouble::{Refused, Trouble};

#[derive(Deserialize)]
struct Users {
    items: Vec<User>,
}

/// A link that was just made. It is shown once.
#[derive(Deserialize)]
struct Made {
    link: String,
    #[serde(default)]
    address: Option<String>,
    expires_at: String,
}

#[derive(Template)]
#[template(path = "users.html")]
struct Page {
    f: Frame,
    users: Vec<User>,
    roles: Vec<&'static str>,
    made: Option<Made>,
    /// What stands before the secret of a link, where this browser reaches the platform.
    opens: String,
}

/// `GET /desk/users`.
pub(crate) async fn show(visit: Visit) -> Result<Response, Trouble> {
    shown(&visit, None, None).await
}

async fn shown(visit: &Visit, made: Option<Made>, refused: Option<Refused>) -> Result<Response, Trouble> {
    let Users { items } = visit.api.get(&visit.since("/v1/users")).await?;
    let roles = super::door::roles();
    let mut users: Vec<User> = items.into_iter().filter(|user| user.kind == "user").collect();
    users.sort_by_key(|user| (!user.opened, user.name.as_ref().map(Shown::text)));
    let shown =
        Page { f: visit.frame("users").but(refused), users, roles, made, opens: format!("{}/join#", visit.origin) };
    Ok(page(&shown.f, &shown))
}

/// `POST /desk/users`: invites. The link is in this answer only, so there is no redirect.
pub(crate) async fn invite(visit: Visit, fields: Fields) -> Result<Response, Trouble> {
    let sites: Vec<&str> = fields.text("sites").split([',', ' ']).filter(|site| !site.is_empty()).collect();
    let sites = if sites.is_empty() { json!("all") } else { json!({"only": sites}) };
    let right = json!({
        "role": fields.text("role"), "environment": fields.text("environment"),
        "organisation": fields.some("organisation").unwrap_or("own"), "sites": sites, "expires_at": null,
    });
    let invited = visit.api.post("/v1/users", &json!({"name": fields.text("name"), "right": right})).await;
    handed_out(&visit, invited).await
}

/// `POST /desk/users/{user}/link`: a new link, where password or authenticator are lost.
pub(crate) async fn link(visit: Visit, Path(user): Path<String>) -> Result<Response, Trouble> {
    let made = visit.api.post(&format!("/v1/users/{}/link", encoded(&user)), &json!({})).await;
    handed_out(&visit, made).await
}

async fn handed_out(visit: &Visit, made: Result<crate::api::Answer, Trouble>) -> Result<Response, Trouble> {
    match made {
        Ok(answer) => shown(visit, Some(answer.read()?), None).await,
        Err(Trouble::Refused(refused)) => shown(visit, None, Some(refused)).await,
        Err(trouble) => Err(trouble),
    }
}

/// `POST /desk/users/{user}/rights/{right}/end`.
pub(crate) async fn end_right(visit: Visit, Path((user, right)): Path<(String, String)>) -> Result<Response, Trouble> {
    let path = format!("/v1/users/{}/rights/{}/end", encoded(&user), encoded(&right));
    match visit.api.post(&path, &json!({})).await {
        Ok(answer) => Ok(on_to("/desk/users", "right-ended", &answer)),
        Err(Trouble::Refused(refused)) => shown(&visit, None, Some(refused)).await,
        Err(trouble) => Err(trouble),
    }
}
