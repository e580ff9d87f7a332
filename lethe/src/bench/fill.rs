//! Invented participants, sent in bulk by several clients. Sent again, they change nothing: so a fill that was broken off
//! is gone on with.

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::Plan;
use super::ground::{ITEMS, SITES, STUDY, Scene, item, site, visit};
use crate::cli::{ApiError, CliError, Client};

/// How many participants one bulk request writes about: they are worked on side by side.
const TOGETHER: u32 = 32;

/// How many bulk requests are under way.
const SIDE_BY_SIDE: usize = 2;

/// One form in so many has a value that is asked about.
const ASKED_EVERY: u32 = 10;

/// One query in so many is answered.
const ANSWERED_EVERY: usize = 3;

/// Nobody sees a bar where the output is a file: a line is written this often.
const LINE_EVERY: Duration = Duration::from_secs(20);

/// After waiting for this long at last, a journal that is away is a failure.
const TRIES_END: Duration = Duration::from_secs(64);

/// How long the read models may take without coming nearer.
const PATIENCE: Duration = Duration::from_secs(300);

/// A participant's id. The same in every run, so that a second run finds what the first one wrote.
pub(super) fn participant(n: u32) -> Uuid {
    // Spread over the whole range, as random ids are: keys and rows are ordered by them.
    let mixed = u128::from(n).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    uuid::Builder::from_u128(mixed).with_variant(uuid::Variant::RFC4122).with_version(uuid::Version::Random).into_uuid()
}

pub(super) async fn all(plan: &Plan, scene: &mut Scene) -> Result<(), CliError> {
    people_up_to(plan, scene, plan.participants).await?;
    reflected(scene, "read models catch up").await?;
    if !scene.memory.answered {
        answer(scene).await?;
        scene.memory.answered = true;
        scene.remember()?;
        reflected(scene, "read models catch up").await?;
    }
    Ok(())
}

/// Sees to it that the first `to` participants are there in full.
pub(super) async fn people_up_to(plan: &Plan, scene: &mut Scene, to: u32) -> Result<(), CliError> {
    up_to(scene, to, |first, end| body(plan, first, end)).await
}

/// Sees to it that the first `to` participants have consented and have one form of `values` values, at visit `at`.
pub(super) async fn small_people_up_to(scene: &mut Scene, to: u32, at: u32, values: u32) -> Result<(), CliError> {
    up_to(scene, to, |first, end| {
        let mut lines = registrations(first, end);
        (first..end).for_each(|n| lines.push_str(&line(n, &small(n, at, values))));
        lines
    })
    .await
}

/// A form of few values.
pub(super) fn small(n: u32, at: u32, values: u32) -> Value {
    let value = |i: u32| format!("{}.5", 40 + (n + i) % 100);
    let items: Vec<Value> = (0..values).map(|i| json!({"group": "G", "item": item(i), "value": value(i)})).collect();
    json!({"type": "save-items", "visit": visit(at), "form": "F", "items": items})
}

async fn up_to(scene: &mut Scene, to: u32, body: impl Fn(u32, u32) -> String) -> Result<(), CliError> {
    let from = scene.memory.filled;
    if from >= to {
        return Ok(());
    }
    let shown = Shown::new("participants", to, from);
    let path = format!("/v1/studies/{STUDY}/commands");
    let client = scene.integrator.clone();
    let chunks = (from..to).step_by(TOGETHER as usize).map(|first| (first, (first + TOGETHER).min(to)));
    let sent = stream::iter(chunks).map(|(first, end)| {
        let (client, path, body) = (client.clone(), path.clone(), body(first, end));
        async move { insist(&client, &path, &body).await.map(|position| (end, position)) }
    });
    // In order: what is remembered as filled is filled.
    let mut sent = std::pin::pin!(sent.buffered(SIDE_BY_SIDE));
    while let Some((end, position)) = sent.try_next().await? {
        scene.memory.filled = end;
        keep_later(&mut scene.memory.position, position);
        scene.remember()?;
        shown.at(end);
    }
    shown.end();
    Ok(())
}

/// Registers so many participants who have consented and no data yet.
pub(super) async fn register(scene: &Scene, people: u32) -> Result<(), CliError> {
    in_chunks(scene, people, "participants", registrations).await
}

/// Sees to it that participants who are registered have a first value, which takes a key of their own for it.
pub(super) async fn first_values(scene: &Scene, people: u32, at: &str) -> Result<(), CliError> {
    let first = json!({"type": "save-items", "visit": at, "form": "F", "items": [{"group": "G", "item": item(1), "value": "70"}]});
    in_chunks(scene, people, "first values", |from, end| (from..end).map(|n| line(n, &first)).collect()).await
}

async fn in_chunks(
    scene: &Scene,
    people: u32,
    what: &'static str,
    lines: impl Fn(u32, u32) -> String,
) -> Result<(), CliError> {
    let (path, shown) = (format!("/v1/studies/{STUDY}/commands"), Shown::new(what, people, 0));
    let chunks = (0..people).step_by(TOGETHER as usize).map(|first| (first, (first + TOGETHER).min(people)));
    let sent = stream::iter(chunks).map(|(first, end)| {
        let (client, path, body) = (scene.integrator.clone(), path.clone(), lines(first, end));
        async move { bulk(&client, &path, body).await.map(|_| end) }
    });
    let mut sent = std::pin::pin!(sent.buffered(SIDE_BY_SIDE));
    while let Some(end) = sent.try_next().await? {
        shown.at(end);
    }
    shown.end();
    Ok(())
}

/// All commands of these participants, round by round: commands of one person follow one another, others go side by side.
fn body(plan: &Plan, first: u32, end: u32) -> String {
    let mut lines = registrations(first, end);
    for k in 0..plan.values / ITEMS {
        (first..end).for_each(|n| lines.push_str(&line(n, &save(n, k))));
    }
    lines
}

fn registrations(first: u32, end: u32) -> String {
    let mut lines = String::new();
    for n in first..end {
        let site = site(n % SITES);
        let number = format!("{site}-{n:05}");
        lines.push_str(&line(n, &json!({"type": "register", "site": site, "subject_number": number})));
    }
    (first..end).for_each(|n| lines.push_str(&line(n, &json!({"type": "give-consent", "version": "1.0"}))));
    lines
}

fn line(n: u32, command: &Value) -> String {
    let mut line = json!({"aggregate": "participant", "id": participant(n), "command": command}).to_string();
    line.push('\n');
    line
}

fn save(n: u32, k: u32) -> Value {
    let value = |i: u32| match i {
        0 if (n + k).is_multiple_of(ASKED_EVERY) => format!("2{:02}.5", n % 90 + 1),
        _ => format!("{}.{}", 40 + (n + 7 * i + 3 * k) % 120, (n + i) % 10),
    };
    let items: Vec<Value> = (0..ITEMS).map(|i| json!({"group": "G", "item": item(i), "value": value(i)})).collect();
    json!({"type": "save-items", "visit": visit(k), "form": "F", "items": items})
}

/// Sends one body until it is taken: on a busy machine the journal may be too slow for a while. What was taken before
/// changes nothing when it comes again.
async fn insist(client: &Client, path: &str, body: &str) -> Result<String, ApiError> {
    let mut wait = Duration::from_secs(1);
    loop {
        match bulk(client, path, body.to_owned()).await {
            Err(error) if matches!(error.status, Some(503) | None) && wait < TRIES_END => {
                note!("{error}; again in {} s", wait.as_secs());
                sleep(wait).await;
                wait *= 2;
            }
            done => return done,
        }
    }
}

/// Sends one body. Returns the latest position; the first refusal is an error.
async fn bulk(client: &Client, path: &str, body: String) -> Result<String, ApiError> {
    let (mut position, mut refused) = (String::new(), None);
    client
        .bulk(path, body, |line| match line["position"].as_str() {
            Some(at) => keep_later(&mut position, at.to_owned()),
            None => refused = refused.take().or(Some(line)),
        })
        .await?;
    match refused {
        Some(line) => {
            let status = line["status"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or(500);
            Err(ApiError::local(format!("a line was refused: {line}")).with_status(status))
        }
        None => Ok(position),
    }
}

fn keep_later(kept: &mut String, other: String) {
    if sequence(&other) >= sequence(kept) {
        *kept = other;
    }
}

/// Positions are opaque to clients; this one only compares those of one journal stream.
pub(super) fn sequence(position: &str) -> Option<u64> {
    position.rsplit(':').next()?.parse().ok()
}

/// Answers some queries, so that the list has threads with words.
async fn answer(scene: &mut Scene) -> Result<(), CliError> {
    let (mut lines, mut cursor, mut seen) = (String::new(), String::new(), 0_usize);
    loop {
        let page = scene.manager.get(&format!("/v1/studies/{STUDY}/queries?state=open&limit=1000{cursor}")).await?.body;
        for query in page["items"].as_array().into_iter().flatten() {
            seen += 1;
            if seen.is_multiple_of(ANSWERED_EVERY) {
                let command =
                    json!({"type": "answer-query", "query": query["query"], "text": "It was read again and is right."});
                let line = json!({"aggregate": "participant", "id": query["participant"], "command": command});
                lines.push_str(&line.to_string());
                lines.push('\n');
            }
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    note!("{seen} queries are open; one in {ANSWERED_EVERY} is answered.");
    let position = insist(&scene.investigator, &format!("/v1/studies/{STUDY}/commands"), &lines).await?;
    keep_later(&mut scene.memory.position, position);
    Ok(())
}

/// Waits until the read models reflect everything.
pub(super) async fn reflected(scene: &Scene, what: &'static str) -> Result<(), CliError> {
    reflected_up_to(scene, sequence(&scene.memory.position).unwrap_or_default(), what).await
}

/// Waits until the read models reflect everything up to a sequence.
pub(super) async fn reflected_up_to(scene: &Scene, wanted: u64, what: &'static str) -> Result<(), CliError> {
    let (mut shown, mut best, mut since) = (None::<Shown>, 0, Instant::now());
    loop {
        let reply = scene.manager.get(&format!("/v1/studies/{STUDY}")).await?;
        let at = reply.position.as_deref().and_then(sequence).unwrap_or_default();
        let clip = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        if at >= wanted {
            shown.into_iter().for_each(Shown::end);
            return Ok(());
        }
        if at > best {
            (best, since) = (at, Instant::now());
        }
        if since.elapsed() > PATIENCE {
            return Err(CliError::unavailable("the read models do not come nearer: see serve.log"));
        }
        shown.get_or_insert_with(|| Shown::new(what, clip(wanted), clip(at))).at(clip(at));
        sleep(Duration::from_millis(200)).await;
    }
}

/// How far it is, with the time left: a bar for people, a line now and then for files.
struct Shown {
    bar: ProgressBar,
    what: &'static str,
    began: Instant,
    from: u32,
    to: u32,
    line: std::cell::Cell<Instant>,
}

impl Shown {
    fn new(what: &'static str, to: u32, from: u32) -> Self {
        let style = ProgressStyle::with_template("{msg} {bar:40} {pos}/{len}, {eta} left");
        let bar = ProgressBar::new(to.into()).with_style(style.expect("the template is constant")).with_message(what);
        bar.reset_eta();
        let now = Instant::now();
        Self { bar, what, began: now, from, to, line: std::cell::Cell::new(now) }
    }

    fn at(&self, done: u32) {
        self.bar.set_position(done.into());
        if self.bar.is_hidden() && self.line.get().elapsed() >= LINE_EVERY {
            self.line.set(Instant::now());
            let gone = self.began.elapsed().as_secs_f64();
            let left = gone / f64::from((done - self.from).max(1)) * f64::from(self.to.saturating_sub(done));
            note!("{}: {done} of {}, {gone:.0} s gone, {left:.0} s left", self.what, self.to);
        }
    }

    fn end(self) {
        self.bar.finish_and_clear();
        note!("{}: {} in {:.0} s", self.what, self.to, self.began.elapsed().as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_position_of_one_journal_is_kept() {
        let mut kept = String::new();
        for (other, expected) in [("b:1:9", "b:1:9"), ("b:1:10", "b:1:10"), ("b:1:2", "b:1:10")] {
            keep_later(&mut kept, other.to_owned());
            assert_eq!(kept, expected);
        }
    }

    #[test]
    fn participants_are_the_same_in_every_run_and_differ() {
        let ids: std::collections::BTreeSet<_> = (0..10_000).map(participant).collect();
        assert_eq!((ids.len(), participant(7)), (10_000, participant(7)));
    }

    #[test]
    fn a_participant_gets_as_many_values_as_the_plan_says() {
        let plan = Plan { participants: 3, values: 200, clients: 1, requests: 1, rounds: 1, formats: vec![] };
        let body = body(&plan, 0, 3);
        assert_eq!(body.lines().count(), 3 * 12);
        assert_eq!(body.matches("\"value\"").count(), 3 * 200);
    }
}
