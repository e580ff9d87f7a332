//! Enrols participants: register, consent, identity, three visits of vital signs and adverse events.

use std::sync::Arc;

use domain::port::Dice;
use futures_util::{StreamExt, TryStreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::people::{Person, person};
use super::study::{SITES, STUDY, VISITS};
use super::{Cast, Voice};
use crate::cli::{ApiError, Client, Reply};

/// How many participants are enrolled side by side.
const SIDE_BY_SIDE: usize = 16;

/// What enrolling wrote.
pub(super) struct Enrolled {
    pub(super) people: Vec<Person>,
    pub(super) narratives: Vec<String>,
    pub(super) commands: u64,
    pub(super) commits: u64,
    pub(super) events: u64,
    /// The latest position, to read one's own writes.
    pub(super) position: String,
}

/// One command to send: the path below the study, its `If-Match` never needed, its body.
type Step = (String, Value);

struct Plan {
    person: Person,
    steps: Vec<Step>,
    narratives: Vec<String>,
}

pub(super) async fn all(cast: &Cast, count: usize, dice: &dyn Dice, voice: &Voice) -> Result<Enrolled, ApiError> {
    let plans: Vec<Plan> = (0..count).map(|n| plan(n, dice)).collect();
    let steps: u64 = plans.iter().map(|plan| plan.steps.len() as u64).sum();
    let bar = Arc::new(bar(steps, voice));
    let ids: Vec<Vec<uuid::Uuid>> = plans.iter().map(|plan| plan.steps.iter().map(|_| dice.uuid()).collect()).collect();
    let replies: Vec<Vec<Reply>> = stream::iter(plans.iter().zip(&ids))
        .map(|(plan, ids)| enrol(&cast.integrator, plan, ids, Arc::clone(&bar)))
        .buffered(SIDE_BY_SIDE)
        .try_collect()
        .await?;
    bar.finish_and_clear();
    Ok(tally(plans, &replies))
}

fn bar(steps: u64, voice: &Voice) -> ProgressBar {
    if voice.quiet {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("enrolling {bar:40} {pos}/{len} commands, {eta} left");
    ProgressBar::new(steps).with_style(style.expect("the template is constant"))
}

async fn enrol(
    client: &Client,
    plan: &Plan,
    ids: &[uuid::Uuid],
    bar: Arc<ProgressBar>,
) -> Result<Vec<Reply>, ApiError> {
    let mut replies = Vec::with_capacity(plan.steps.len());
    for ((path, body), id) in plan.steps.iter().zip(ids) {
        replies.push(client.command(&format!("/v1/studies/{STUDY}{path}"), *id, None, None, body).await?);
        bar.inc(1);
    }
    Ok(replies)
}

fn tally(plans: Vec<Plan>, replies: &[Vec<Reply>]) -> Enrolled {
    let events = |reply: &Reply| reply.body.get("events").and_then(Value::as_u64).unwrap_or_default();
    let sequence = |position: &String| position.rsplit(':').next().and_then(|text| text.parse::<u64>().ok());
    let all = || replies.iter().flatten();
    let position = all().filter_map(|reply| reply.position.clone()).max_by_key(sequence).unwrap_or_default();
    let (mut people, mut narratives) = (Vec::new(), Vec::new());
    for plan in plans {
        people.push(plan.person);
        narratives.extend(plan.narratives);
    }
    Enrolled {
        people,
        narratives,
        commands: all().count() as u64,
        commits: all().filter(|reply| events(reply) > 0).count() as u64,
        events: all().map(events).sum(),
        position,
    }
}

fn plan(n: usize, dice: &dyn Dice) -> Plan {
    let person = person(dice);
    let (site, _) = SITES[n % SITES.len()];
    let at = format!("/participants/{}", person.id);
    let mut narratives = Vec::new();
    let mut steps = vec![
        (
            at.clone(),
            json!({"type": "register", "site": site, "subject_number": format!("{}-{:04}", site.to_uppercase(), n + 1)}),
        ),
        (
            at.clone(),
            json!({"type": "give-consent", "version": "2.0", "reference": format!("signed on paper, binder {}", n / 25 + 1)}),
        ),
        (format!("{at}/identity"), person.identity.clone()),
    ];
    for visit in VISITS {
        let bytes = dice.bytes();
        steps.push((at.clone(), vital_signs(visit, &bytes)));
        if bytes[10].is_multiple_of(3) {
            let narrative = narrative(n, visit, &bytes);
            steps.push((at.clone(), adverse_event(visit, &narrative, &bytes)));
            narratives.push(narrative);
        }
    }
    Plan { person, steps, narratives }
}

fn vital_signs(visit: &str, bytes: &[u8; 32]) -> Value {
    let value = |item: &str, value: String| json!({"group": "VS", "item": item, "value": value});
    json!({"type": "save-items", "visit": visit, "form": "VS", "items": [
        value("SYSBP", (100 + bytes[0] % 60).to_string()),
        value("DIABP", (60 + bytes[1] % 35).to_string()),
        value("PULSE", (50 + bytes[2] % 50).to_string()),
        value("WEIGHT", format!("{}.{}", 50 + bytes[3] % 60, bytes[4] % 10)),
    ]})
}

fn narrative(n: usize, visit: &str, bytes: &[u8; 32]) -> String {
    let what = ["headache after dinner", "dizzy on the stairs", "slept badly", "rash on the left arm"];
    let token = u64::from_le_bytes(bytes[16..24].try_into().expect("eight bytes"));
    format!("{}, told at {} as case {n} note {token:x}", what[usize::from(bytes[5]) % what.len()], visit.to_lowercase())
}

fn adverse_event(visit: &str, narrative: &str, bytes: &[u8; 32]) -> Value {
    let value = |item: &str, value: &str| json!({"group": "AE", "item": item, "value": value});
    let severity = ["MILD", "MODERATE", "SEVERE"][usize::from(bytes[6]) % 3];
    json!({"type": "save-items", "visit": visit, "form": "AE", "items": [
        value("AETERM", narrative),
        value("AESTDAT", &format!("2026-{:02}", 1 + bytes[7] % 11)),
        value("AESEV", severity),
    ]})
}
