//! Keys and the KMS, backups, and who came in.

use askama::Template;
use axum::response::Response;

use super::operations::Panel;
use crate::chart::{self, Bar};
use crate::frame::{Frame, Visit, page};
use crate::model::operations::{Backups, Hour, Keys, Kms, SignIn, SignIns};
use crate::trouble::Trouble;

#[derive(Template)]
#[template(path = "keys.html")]
struct KeysShown {
    f: Frame,
    keys: Keys,
    kms: Kms,
}

/// `GET /desk/operations/keys`.
pub(crate) async fn keys(visit: Visit) -> Result<Response, Trouble> {
    let (keys, kms) =
        tokio::try_join!(visit.api.get::<Keys>("/v1/operations/keys"), visit.api.get::<Kms>("/v1/operations/kms"),)?;
    let shown = KeysShown { f: visit.frame("operations-keys"), keys, kms };
    Ok(page(&shown.f, &shown))
}

#[derive(Template)]
#[template(path = "backups.html")]
struct BackupsShown {
    f: Frame,
    backups: Backups,
    /// Whether the newest is older than it may be.
    late: bool,
}

/// `GET /desk/operations/backups`.
pub(crate) async fn backups(visit: Visit) -> Result<Response, Trouble> {
    let backups: Backups = visit.api.get("/v1/operations/backups").await?;
    let every = backups.every_seconds.and_then(|every| i64::try_from(every).ok());
    let late = every.zip(backups.age_seconds).is_some_and(|(every, age)| age > 2 * every);
    let shown = BackupsShown { f: visit.frame("operations-backups"), backups, late };
    Ok(page(&shown.f, &shown))
}

#[derive(Template)]
#[template(path = "sign_ins.html")]
struct SignInsShown {
    f: Frame,
    panels: Vec<Panel>,
    items: Vec<SignIn>,
    named: bool,
}

/// `GET /desk/operations/sign-ins`.
pub(crate) async fn sign_ins(visit: Visit) -> Result<Response, Trouble> {
    let SignIns { hours, items } = visit.api.get(&visit.since("/v1/operations/sign-ins")).await?;
    let f = visit.frame("operations-sign-ins");
    let named = items.iter().any(|one| one.name.is_some());
    let shown = SignInsShown { f, panels: vec![by_hour(&hours)], items, named };
    Ok(page(&shown.f, &shown))
}

/// The hours in which something happened; the table has all.
fn by_hour(hours: &[Hour]) -> Panel {
    let label = |hour: &Hour| hour.at.get(5..16).unwrap_or(&hour.at).replace('T', " ");
    let busy = hours.iter().filter(|hour| hour.begun + hour.failed > 0);
    let bar = |hour: &Hour| Bar { label: label(hour), parts: vec![("good", hour.begun), ("bad", hour.failed)] };
    let row = |hour: &Hour| (label(hour), [hour.begun, hour.failed, hour.locked].map(|n| n.to_string()).to_vec());
    Panel {
        title: "ops.by-hour",
        picture: chart::bars(&busy.map(bar).collect::<Vec<_>>()),
        legend: vec![("good", "ops.begun"), ("bad", "ops.failed")],
        head: vec!["ops.hour", "ops.begun", "ops.failed", "ops.locked"],
        rows: hours.iter().rev().map(row).collect(),
    }
}
