//! A link, used once: the page that it opens in a browser.
//!
//! The secret stands behind the `#`, which no browser sends. A script puts it into the form and takes it out of the address
//! bar; without scripts it is pasted. Either way it travels in a body, and so into no log.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use qrcode::{Color, EcLevel, QrCode};
use serde::Deserialize;
use serde_json::json;

use super::door::session_of;
use crate::fields::Fields;
use crate::frame::{Frame, Guest, page};
use crate::trouble::{Refused, Trouble};

#[derive(Template)]
#[template(path = "join.html")]
struct Join {
    f: Frame,
}

#[derive(Deserialize)]
struct Looked {
    tenant: String,
    name_needed: bool,
    expires_at: String,
    one_time_secret: String,
    one_time_uri: String,
}

#[derive(Template)]
#[template(path = "join_open.html")]
struct Open {
    f: Frame,
    link: String,
    looked: Looked,
    picture: String,
    name: String,
    login: String,
    /// Whether some organisation here has an identity provider.
    provided: bool,
}

#[derive(Deserialize)]
struct Opened {
    recovery_codes: Vec<String>,
}

#[derive(Template)]
#[template(path = "join_done.html")]
struct Done {
    f: Frame,
    codes: Vec<String>,
}

/// `GET /join`.
pub(crate) async fn show(guest: Guest) -> Response {
    let shown = Join { f: guest.frame() };
    page(&shown.f, &shown)
}

/// `POST /join`: looks at the link.
pub(crate) async fn look(guest: Guest, fields: Fields) -> Result<Response, Trouble> {
    choose(&guest, &fields, None).await
}

/// `POST /join/open`: uses it.
pub(crate) async fn open(guest: Guest, fields: Fields) -> Result<Response, Trouble> {
    if fields.raw("password") != fields.raw("again") {
        let Trouble::Refused(differ) = Trouble::own(StatusCode::UNPROCESSABLE_ENTITY, "passwords-differ", "") else {
            return Err(Trouble::internal());
        };
        return choose(&guest, &fields, Some(differ)).await;
    }
    let code: String = fields.text("code").split_whitespace().collect();
    let mut body = json!({
        "link": secret(&fields), "login": fields.text("login"), "password": fields.raw("password"), "code": code,
    });
    if let Some(name) = fields.some("name") {
        body["name"] = name.into();
    }
    if let Some(environment) = fields.some("environment") {
        body["environment"] = environment.into();
    }
    match guest.api.post("/v1/links/use", &body).await {
        Ok(answer) => {
            let Opened { recovery_codes } = answer.read()?;
            let shown = Done { f: guest.frame(), codes: recovery_codes };
            Ok((session_of(&answer), page(&shown.f, &shown)).into_response())
        }
        Err(Trouble::Refused(refused)) => choose(&guest, &fields, Some(refused)).await,
        Err(trouble) => Err(trouble),
    }
}

/// What stands behind the `#`, whether the whole address was pasted or that alone.
fn secret(fields: &Fields) -> &str {
    let link = fields.text("link");
    link.rsplit_once('#').map_or(link, |(_, secret)| secret)
}

async fn choose(guest: &Guest, fields: &Fields, refused: Option<Refused>) -> Result<Response, Trouble> {
    let link = secret(fields).to_owned();
    let looked: Looked = match guest.api.post("/v1/links/look", &json!({"link": link})).await {
        Ok(answer) => answer.read()?,
        Err(Trouble::Refused(refused)) => {
            let shown = Join { f: guest.frame().but(Some(refused)) };
            return Ok(page(&shown.f, &shown));
        }
        Err(trouble) => return Err(trouble),
    };
    let picture = picture(&looked.one_time_uri).unwrap_or_default();
    let f = guest.frame().but(refused);
    let (name, login) = (fields.text("name").to_owned(), fields.text("login").to_owned());
    let provided = super::door::provided(guest).await;
    let shown = Open { f, link, looked, picture, name, login, provided };
    Ok(page(&shown.f, &shown))
}

/// A text as a QR code: one path, dark on light whatever the page's colours are, because cameras want it so.
fn picture(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let (width, quiet) = (code.width(), 4);
    let dark = code.to_colors().into_iter().enumerate().filter(|(_, color)| *color == Color::Dark);
    let path: String = dark.map(|(at, _)| format!("M{} {}h1v1h-1z", at % width + quiet, at / width + quiet)).collect();
    let side = width + 2 * quiet;
    Some(format!(
        "<svg class=\"qr\" viewBox=\"0 0 {side} {side}\" width=\"200\" height=\"200\" aria-hidden=\"true\">\
         <rect width=\"{side}\" height=\"{side}\" fill=\"#fff\"/><path d=\"{path}\" fill=\"#000\"/></svg>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_taken_whole_or_from_behind_its_mark() {
        for pasted in ["link=lethel_acme_x", "link=+http%3A%2F%2Fa%2Fjoin%23lethel_acme_x+"] {
            assert_eq!(secret(&Fields::parse(pasted.as_bytes())), "lethel_acme_x");
        }
    }

    #[test]
    fn the_picture_is_one_path_without_any_text() {
        let svg = picture("otpauth://totp/Lethe:acme?secret=GEZDGNBVGY3TQOJQ&issuer=Lethe").expect("it fits");
        assert!(svg.starts_with("<svg") && svg.contains("h1v1h-1z") && !svg.contains("GEZD") && !svg.contains("style"));
    }
}
