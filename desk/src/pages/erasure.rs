//! One erasure: what it will do before anything happens, who approves it, how far it is, what proves it.

use askama::Template;
use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edge::headers::LETHE_SIGNER;
use serde_json::json;

use super::on_to;
use crate::fields::{Fields, encoded};
use crate::frame::{Frame, Visit, page};
use crate::model::{Erasure, Impact, Participant};
use crate::trouble::{Refused, Trouble};

/// The way of an erasure, in its order.
const WAY: [&str; 11] = [
    "requested",
    "assessed",
    "approved",
    "begun",
    "committed",
    "destruction-scheduled",
    "keys-destroyed",
    "derived-purged",
    "recipients-notified",
    "verified",
    "completed",
];

/// A step of the way, with when it was done.
struct Step {
    phase: &'static str,
    at: Option<String>,
    by: String,
}

#[derive(Template)]
#[template(path = "erasure.html")]
struct Shown {
    f: Frame,
    one: Erasure,
    /// Counted, as long as nothing has happened.
    impact: Option<Impact>,
    way: Vec<Step>,
    number: String,
    site: String,
    /// Whether who looks may approve it now.
    approvable: bool,
    /// Whether who looks asked for it: then another person approves.
    own: bool,
}

#[derive(Template)]
#[template(path = "progress.html")]
struct Progress {
    f: Frame,
    one: Erasure,
    way: Vec<Step>,
}

impl Erasure {
    /// Whether it goes on by itself.
    fn goes_on(&self) -> bool {
        self.open && !matches!(self.waiting_for.as_str(), "approval" | "single-copy")
    }
}

fn way(one: &Erasure) -> Vec<Step> {
    let step = |phase: &'static str| {
        let done = one.steps.iter().rev().find(|step| step.phase == phase);
        Step {
            phase,
            at: done.map(|step| step.act.stored_at.clone()),
            by: done.map(|step| step.act.actor.role.clone()).unwrap_or_default(),
        }
    };
    // A KMS that destroys at once schedules nothing.
    WAY.into_iter().map(step).filter(|step| step.phase != "destruction-scheduled" || step.at.is_some()).collect()
}

/// `GET /desk/erasures/{erasure}`.
pub(crate) async fn show(visit: Visit, Path(erasure): Path<String>) -> Result<Response, Trouble> {
    shown(&visit, &erasure, None).await
}

async fn shown(visit: &Visit, erasure: &str, refused: Option<Refused>) -> Result<Response, Trouble> {
    let one: Erasure = visit.api.get(&visit.since(&format!("/v1/erasures/{}", encoded(erasure)))).await?;
    let person = format!("/v1/studies/{}/participants/{}", encoded(&one.study), encoded(&one.participant));
    let touched = format!("/v1/erasures/{}/impact", encoded(erasure));
    let waits_for_people = one.waiting_for == "approval";
    let impact = async { if waits_for_people { visit.api.find::<Impact>(&touched).await } else { Ok(None) } };
    let (person, impact) = tokio::try_join!(visit.api.find::<Participant>(&person), impact)?;
    let (number, site) = person.map(|person| (person.subject_number, person.site)).unwrap_or_default();
    let mut f = visit.frame("privacy").but(refused);
    if one.goes_on() {
        f.again = Some(format!("/desk/erasures/{}", one.erasure));
    }
    let own = one.requested_by == visit.who.actor.id.to_string();
    let waits = matches!(one.waiting_for.as_str(), "approval" | "single-copy");
    let approvable = one.open && waits && !own && f.does("privacy.approve-erasure");
    let shown = Shown { f, way: way(&one), one, impact, number, site, approvable, own };
    Ok(page(&shown.f, &shown))
}

/// `GET /desk/erasures/{erasure}/progress`: the part of the page that changes.
pub(crate) async fn progress(visit: Visit, Path(erasure): Path<String>) -> Result<Response, Trouble> {
    let one: Erasure = visit.api.get(&format!("/v1/erasures/{}", encoded(&erasure))).await?;
    let shown = Progress { f: visit.frame(""), way: way(&one), one };
    Ok(page(&shown.f, &shown))
}

/// `POST /desk/erasures/{erasure}`: approves it, after what was typed and who typed it were checked.
pub(crate) async fn approve(visit: Visit, Path(erasure): Path<String>, fields: Fields) -> Result<Response, Trouble> {
    match approved(&visit, &erasure, &fields).await {
        Ok(response) => Ok(response),
        Err(Trouble::Refused(refused)) => shown(&visit, &erasure, Some(refused)).await,
        Err(trouble) => Err(trouble),
    }
}

async fn approved(visit: &Visit, erasure: &str, fields: &Fields) -> Result<Response, Trouble> {
    let one: Erasure = visit.api.get(&format!("/v1/erasures/{}", encoded(erasure))).await?;
    let path = format!("/v1/studies/{}/participants/{}", encoded(&one.study), encoded(&one.participant));
    let person: Participant = visit.api.get(&path).await?;
    if fields.text("typed") != person.subject_number {
        return Err(Trouble::own(StatusCode::UNPROCESSABLE_ENTITY, "typed-otherwise", ""));
    }
    let proof = step_up(fields)?;
    let command = if one.waiting_for == "single-copy" {
        json!({"type": "accept-single-copy", "erasure": one.erasure})
    } else {
        json!({
            "type": "approve-erasure", "erasure": one.erasure, "instruction": fields.text("instruction"),
            "accept_single_copy": fields.ticked("accept_single_copy"),
        })
    };
    let answer = visit.api.post_with(&format!("{path}/privacy"), &command, &[(LETHE_SIGNER, proof)]).await;
    let answer = answer.map_err(not_proved)?;
    Ok(on_to(&format!("/desk/erasures/{}", encoded(erasure)), "erasure-approved", &answer))
}

/// What proves anew who this is: password and code, both, or a passkey, each time. It cannot be undone, so an open session is not
/// enough; the API refuses it too.
fn step_up(fields: &Fields) -> Result<HeaderValue, Trouble> {
    let both = !fields.raw("password").is_empty() && !fields.text("code").is_empty();
    if !both && fields.text("passkey").is_empty() {
        return Err(Trouble::own(StatusCode::FORBIDDEN, "not-proved", ""));
    }
    HeaderValue::try_from(factors(fields)).map_err(|_| Trouble::internal())
}

/// Whatever was wrong with the proof, people are told the same.
fn not_proved(trouble: Trouble) -> Trouble {
    match &trouble {
        Trouble::Refused(refused)
            if matches!(&*refused.code, "reauthentication-failed" | "too-few-factors" | "step-up-required") =>
        {
            Trouble::own(StatusCode::FORBIDDEN, "not-proved", "")
        }
        _ => trouble,
    }
}

/// What was given to prove who signs, as the header `Lethe-Signer` takes it.
pub(super) fn factors(fields: &Fields) -> String {
    if let Some(answer) = fields.some("passkey") {
        return format!("Passkey {answer}");
    }
    let code: String = fields.text("code").split_whitespace().collect();
    let mut given = json!({});
    if !fields.raw("password").is_empty() {
        given["password"] = fields.raw("password").into();
    }
    if !code.is_empty() {
        given["code"] = code.into();
    }
    format!("Factors {}", STANDARD.encode(given.to_string()))
}
