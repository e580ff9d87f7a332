//! Asks the platform what became of what was sent.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use super::cast::Clients;
use super::history::{self, End, Finding, Found, Part, Person, Sent};
use super::write::{self, leaves_doubt};
use crate::cli::{ApiError, CliError, Client};
use crate::demo::study::STUDY;
use crate::platform::random_id;

/// How long the platform may take to come to rest after a fault.
const PATIENCE: Duration = Duration::from_secs(180);

const POLL: Duration = Duration::from_millis(50);

/// How many people are looked at side by side.
const SIDE_BY_SIDE: usize = 16;

/// Sends again what was in doubt, under its id, as every good client does. The approvals of erasures stay in doubt:
/// what nobody asks for again must not stand half-way either.
pub(super) async fn clear_doubts(clients: &Clients, people: &mut [Person]) -> Result<(), CliError> {
    let doubts = people.iter_mut().flat_map(|person| &mut person.sent);
    for doubt in doubts.filter(|sent| sent.answer.is_none() && !sent.approves()) {
        doubt.answer = Some(until_answered(clients, doubt).await?);
    }
    Ok(())
}

/// A position after everything that is stored: that of a participant registered now.
pub(super) async fn position_now(clients: &Clients, round: u32) -> Result<String, CliError> {
    let path = format!("/v1/studies/{STUDY}/participants/{}", random_id());
    let body = json!({"type": "register", "site": "oslo", "subject_number": format!("P{}-{}", round + 1, &random_id().simple().to_string()[..8])});
    let mark = Sent { id: random_id(), by: Part::Integrator, path, body, answer: None };
    let answer = until_answered(clients, &mark).await?;
    Ok(answer.get("position").and_then(Value::as_str).unwrap_or_default().to_owned())
}

/// Sends a command under its id until it is answered.
async fn until_answered(clients: &Clients, sent: &Sent) -> Result<Value, ApiError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match write::send(clients, sent).await {
            Err(error) if leaves_doubt(&error) && Instant::now() < deadline => tokio::time::sleep(POLL).await,
            answer => return answer,
        }
    }
}

/// Checks these people. Returns what is wrong, and how many erasures are completed.
pub(super) async fn all(
    clients: &Clients,
    people: &[Person],
    position: &str,
) -> Result<(Vec<Finding>, usize), CliError> {
    let mut findings = Vec::new();
    let mut completed = 0;
    let mut checked = stream::iter(people).map(|person| one(clients, person, position)).buffer_unordered(SIDE_BY_SIDE);
    while let Some((found, end)) = checked.try_next().await? {
        findings.extend(found);
        completed += usize::from(end == End::Completed);
    }
    Ok((findings, completed))
}

async fn one(clients: &Clients, person: &Person, position: &str) -> Result<(Vec<Finding>, End), CliError> {
    if person.sent.is_empty() {
        return Ok((Vec::new(), End::NotBegun));
    }
    let (end, finding) = come_to_rest(clients, person, position).await?;
    let mut found = Found { before: history::effects(&trail(clients, person, position).await?), ..Found::default() };
    for sent in person.sent.iter().filter(|sent| sent.answer.is_some()) {
        let again = until_answered(clients, sent).await.map_err(|error| error.to_string());
        found.again.insert(sent.id, again);
    }
    // Whatever that wrote lies before this.
    let position =
        found.again.values().filter_map(|again| again.as_ref().ok()?["position"].as_str()).fold(position, later);
    let trail = trail(clients, person, position).await?;
    (found.after, found.bent) = (history::effects(&trail), history::linear(person, &trail));
    let mut findings = history::judge(person, &found);
    findings.extend(finding);
    findings.extend(views(clients, person, position, end).await?);
    Ok((findings, end))
}

/// The later of two positions of one study.
fn later<'a>(one: &'a str, other: &'a str) -> &'a str {
    let sequence = |text: &str| text.rsplit(':').next().and_then(|text| text.parse::<u64>().ok());
    if sequence(other) > sequence(one) { other } else { one }
}

/// Waits until the person's erasure is completed or clearly not begun.
async fn come_to_rest(clients: &Clients, person: &Person, position: &str) -> Result<(End, Option<Finding>), CliError> {
    let Some(erasure) = person.erasure else { return Ok((End::NotBegun, None)) };
    let path = format!("/v1/erasures/{erasure}?min_position={position}");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let phase = match look(&clients.dpo, &path).await? {
            Ok(body) => body["phase"].as_str().map(str::to_owned),
            Err(404) => None,
            Err(status) => return Err(CliError::failed("the erasure cannot be looked at", status)),
        };
        let end = history::end(person, phase.as_deref());
        if end != End::Between {
            return Ok((end, None));
        }
        if Instant::now() > deadline {
            return Ok((end, Some(history::half_done(person, phase.as_deref()))));
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn trail(clients: &Clients, person: &Person, position: &str) -> Result<Vec<Value>, CliError> {
    let path = format!("{}/audit?limit=1000&min_position={position}", person.at);
    match look(&clients.investigator, &path).await? {
        Ok(body) => Ok(body["items"].as_array().cloned().unwrap_or_default()),
        // Nobody of this id: whatever was acknowledged about them is lost.
        Err(404) => Ok(Vec::new()),
        Err(status) => Err(CliError::failed("the audit trail cannot be looked at", status)),
    }
}

/// The erased are gone, whatever asks for them; the others are shown with what was acknowledged.
async fn views(clients: &Clients, person: &Person, position: &str, end: End) -> Result<Vec<Finding>, CliError> {
    if end == End::Between {
        return Ok(Vec::new());
    }
    let saved = person.has(|sent| sent.body["form"] == "AE").then_some(person.narrative.as_str());
    let recorded = person.has(|sent| sent.path.ends_with("/identity")).then_some(person.email.as_str());
    let mut findings = Vec::new();
    for (name, expected) in [("casebook", saved), ("identity", recorded)] {
        let path = format!("{}/{name}?min_position={position}", person.at);
        let answer = look(&clients.investigator, &path).await?;
        findings.extend(history::view(person, name, end, expected, &answer));
    }
    if end == End::Completed {
        let late = json!({"type": "save-items", "visit": "WEEK-4", "form": "VS", "items": [{"group": "VS", "item": "SYSBP", "value": "120"}]});
        let late = clients.integrator.command(&person.at, random_id(), None, None, &late).await;
        let answer = answered(late.map(|reply| reply.body))?;
        findings.extend(history::view(person, "what is saved late", end, None, &answer));
    }
    Ok(findings)
}

/// The study counts everybody who was registered and everybody who is forgotten, and nobody twice.
pub(super) async fn counts(
    clients: &Clients,
    position: &str,
    registered: usize,
    erased: usize,
) -> Result<Vec<Finding>, CliError> {
    let path = format!("/v1/studies/{STUDY}/overview?min_position={position}");
    let overview =
        look(&clients.investigator, &path).await?.map_err(|status| CliError::failed("the overview", status))?;
    let counted = |name: &str| overview["total"][name].as_u64().unwrap_or_default();
    let compare = |name, expected| history::count(name, expected as u64, counted(name));
    Ok(compare("registered", registered).into_iter().chain(compare("erased", erased)).collect())
}

/// Asks, and asks again while the platform says that it is not ready. A refusal is an answer: its status.
async fn look(client: &Client, path: &str) -> Result<Result<Value, u16>, CliError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match client.get(path).await {
            Err(error) if leaves_doubt(&error) && Instant::now() < deadline => tokio::time::sleep(POLL).await,
            reply => return answered(reply.map(|reply| reply.body)),
        }
    }
}

fn answered(reply: Result<Value, ApiError>) -> Result<Result<Value, u16>, CliError> {
    match reply {
        Ok(body) => Ok(Ok(body)),
        Err(error) => match error.status.filter(|status| *status < 500) {
            Some(status) => Ok(Err(status)),
            None => Err(error.into()),
        },
    }
}

/// Waits until `serve` says that it is ready.
pub(super) async fn ready(url: &str) -> Result<(), CliError> {
    look(&Client::new(url, ""), "/readyz").await?.map(drop).map_err(|status| CliError::failed("/readyz", status))
}

/// Builds all read models of the tenant anew, and counts the rows that differ. Right after a fault something may not be
/// available yet: then it is asked for again.
pub(super) async fn rebuild(operator: &Client, tenant: &str) -> Result<u64, CliError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match rebuild_once(operator, tenant).await {
            Err(error) if error.to_string().contains("not available") && Instant::now() < deadline => {
                tokio::time::sleep(POLL * 20).await;
            }
            done => return done,
        }
    }
}

async fn rebuild_once(operator: &Client, tenant: &str) -> Result<u64, CliError> {
    let (mut reports, mut differences, mut failed) = (0, 0, None);
    let take = |line: Value| match line["kind"].as_str() {
        Some("progress") => {}
        Some("report") => {
            reports += 1;
            differences += line["differences"].as_u64().unwrap_or(1);
        }
        _ => failed = Some(line["detail"].as_str().unwrap_or("it ended early").to_owned()),
    };
    operator.lines("/v1/admin/rebuild", &json!({"tenant": tenant, "projection": null}), take).await?;
    match failed {
        Some(why) => Err(CliError::failed("the rebuild did not finish", why)),
        None if reports == 0 => Err(CliError::failed("the rebuild", "it reported no read model")),
        None => Ok(differences),
    }
}
