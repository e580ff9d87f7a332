//! The process dies at every point of an erasure that is worth a crash, and goes on after a restart: no survivor is
//! lost, nothing acknowledged is lost, and every erasure is completed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use domain::permit::Role;
use lethe::cli::{Client, follow};
use lethe::platform::random_id;
use lethe::soak::Server;
use serde_json::{Value, json};
use tests::api::{adverse_event, enrol, identity, participant, send};
use tests::home::Folder;
use tests::people::known;

/// How long a process may take to reach the point at which it dies, or to complete an erasure.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many worlds crash side by side: most of the time each waits for a start.
const WORLDS: usize = 3;

/// Points without which this test would prove little: one of each part of the protocol at least.
const AT_LEAST: [&str; 18] = [
    "certificate-signed",
    "certificate-stored",
    "checkpoint-signed",
    "erasure-after-begun",
    "erasure-fenced",
    "erasure-marked",
    "erasure-after-committed",
    "erasure-after-shred",
    "erasure-after-keys-destroyed",
    "erasure-after-completed",
    "folder-head-renamed",
    "folder-object-linked",
    "keys-fence-was-written",
    "keys-head-was-shipped",
    "keys-pack-was-put",
    "keys-root-was-destroyed",
    "kms-file-copy-dying",
    "ledger-after-put",
];

/// A point, and how often a start passes it before anything is erased.
type Points = BTreeMap<String, usize>;

struct Cast {
    investigator: String,
    dpo: String,
    controller: String,
}

fn serve(folder: &Folder, seen: bool) -> Server {
    super::binary().serve(folder, |command| {
        if seen {
            command.env("LETHE_FAILPOINTS_SEEN", folder.path().join("seen"));
        }
    })
}

/// Serves until it dies at the point. None: it died at the start already.
fn serve_until(folder: &Folder, die_at: &str) -> Option<Server> {
    super::binary()
        .try_serve(folder, |command| {
            command.env("LETHE_DIE_AT", die_at).env("LETHE_LOG", "off");
        })
        .ok()
}

/// How often each point was passed so far.
fn seen(folder: &Folder) -> Points {
    let text = std::fs::read_to_string(folder.path().join("seen")).unwrap_or_default();
    let mut points = Points::new();
    text.lines().for_each(|point| *points.entry(point.to_owned()).or_default() += 1);
    points
}

async fn cast(server: &Server) -> Cast {
    let operator = Client::new(&server.url, &server.operator_token);
    let post = async |path: &str, body: Value| operator.post(path, &body).await.expect("an operator's request").body;
    post("/v1/admin/tenants", json!({"tenant": "acme"})).await;
    let study = lethe::demo::study::STUDY;
    let body = json!({"tenant": "acme", "study": study, "name": "Cardio", "environment": "TEST"});
    post("/v1/admin/studies", body).await;
    let token = async |role: Role| {
        let body = json!({
            "tenant": "acme", "role": role, "name": "somebody in a test", "user": random_id(),
            "service_account": false, "environment": "TEST", "organisation": "own", "sites": "all", "days": 9,
        });
        post("/v1/admin/tokens", body).await["token"].as_str().expect("a token").to_owned()
    };
    let designer = Client::new(&server.url, token(Role::StudyDesigner).await);
    let path = format!("/v1/studies/{study}");
    let design = designer.post(&format!("{path}/designs"), &lethe::demo::study::design()).await.expect("published");
    for (site, name) in lethe::demo::study::SITES {
        let open = json!({"type": "open-site", "site": site, "name": name});
        designer.post(&path, &open).await.expect("a site opens");
    }
    let live = json!({"type": "go-live", "design": design.body["design"]});
    designer.post(&path, &live).await.expect("the study goes live");
    Cast {
        investigator: token(Role::Investigator).await,
        dpo: token(Role::Dpo).await,
        controller: token(Role::Controller).await,
    }
}

/// Somebody with a name and a text.
async fn person(server: &Server, cast: &Cast, number: usize) -> String {
    let investigator = Client::new(&server.url, &cast.investigator);
    let at = participant(enrol(&investigator, "oslo", &format!("N-{number}")).await);
    let vault = identity("Ingrid", &format!("Kvistberg-{number}"), &format!("ingrid-{number}@post.example"));
    send(&investigator, &format!("{at}/identity"), vault).await.expect("recorded");
    send(&investigator, &at, adverse_event(&format!("a headache like no other {number}"))).await.expect("saved");
    at
}

async fn ask(server: &Server, cast: &Cast, at: &str, erasure: uuid::Uuid) {
    let dpo = Client::new(&server.url, &cast.dpo);
    let request = json!({"type": "request-erasure", "erasure": erasure, "justification": "consent-withdrawn"});
    let asked = send(&dpo, &format!("{at}/privacy"), request).await.expect("asked for");
    known(&dpo, erasure, &asked.position.expect("a position")).await;
}

/// Approves, under an id that stays the same however often it is sent. The answer may be lost in a crash.
async fn approve(server: &Server, cast: &Cast, at: &str, erasure: uuid::Uuid) {
    let controller = Client::new(&server.url, &cast.controller);
    let approve = json!({"type": "approve-erasure", "erasure": erasure, "instruction": "DPA-1"});
    let _ = controller.command(&format!("{at}/privacy"), erasure, None, None, &approve).await;
}

async fn is_approved(server: &Server, cast: &Cast, erasure: uuid::Uuid) -> bool {
    let shown = Client::new(&server.url, &cast.dpo).get(&format!("/v1/erasures/{erasure}")).await.expect("shown");
    !shown.body["approved_by"].is_null()
}

async fn completed(server: &Server, cast: &Cast, erasure: uuid::Uuid) -> bool {
    let dpo = Client::new(&server.url, &cast.dpo);
    let end = tokio::time::timeout(PATIENCE, follow(&dpo, erasure, None, |_| {})).await;
    matches!(end, Ok(Ok(shown)) if shown["phase"] == "completed")
}

async fn code(client: &Client, path: &str) -> String {
    match client.get(path).await {
        Ok(reply) => reply.body.to_string(),
        Err(error) => error.code,
    }
}

/// Whether the process died. It did not if the erasure is completed all the same.
async fn dies(server: &mut Server, cast: &Cast, erasure: uuid::Uuid) -> bool {
    let dpo = Client::new(&server.url, &cast.dpo);
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if server.ends_within(Duration::from_millis(40)) {
            return true;
        }
        let shown = dpo.get(&format!("/v1/erasures/{erasure}")).await;
        if shown.is_ok_and(|reply| reply.body["phase"] == "completed") {
            return server.ends_within(Duration::from_millis(200));
        }
    }
    panic!("it neither dies nor completes the erasure");
}

/// A study with somebody who stays and others who are to be erased, each with an erasure that was asked for.
struct World {
    folder: Folder,
    cast: Cast,
    survivor: String,
    leaving: Vec<(String, uuid::Uuid)>,
}

impl World {
    async fn new(leaving: usize) -> Self {
        let folder = Folder::new().with_off_site();
        let server = serve(&folder, false);
        let cast = cast(&server).await;
        let survivor = person(&server, &cast, 0).await;
        let mut world = Self { folder, cast, survivor, leaving: Vec::new() };
        for number in 1..=leaving {
            let (at, erasure) = (person(&server, &world.cast, number).await, random_id());
            ask(&server, &world.cast, &at, erasure).await;
            world.leaving.push((at, erasure));
        }
        assert!(server.stop(), "it ends in order");
        world
    }

    /// The points that an undisturbed erasure passes.
    async fn points(&self) -> Points {
        let server = serve(&self.folder, true);
        let at_start = seen(&self.folder);
        let (at, erasure) = &self.leaving[0];
        approve(&server, &self.cast, at, *erasure).await;
        assert!(completed(&server, &self.cast, *erasure).await, "nothing disturbs it");
        assert!(server.stop(), "it ends in order");
        let before = |point: &String| at_start.get(point).copied().unwrap_or_default();
        let passed = seen(&self.folder).into_iter().filter(|(point, count)| *count > before(point));
        passed.map(|(point, _)| (point.clone(), before(&point))).collect()
    }

    /// Erases somebody with a crash on the way. True: there was one.
    async fn crash(&self, leaving: usize, point: &str, at_start: usize) -> bool {
        let (at, erasure) = &self.leaving[leaving];
        let died = match serve_until(&self.folder, &format!("{point}:{}", at_start + 1)) {
            Some(mut doomed) => {
                approve(&doomed, &self.cast, at, *erasure).await;
                dies(&mut doomed, &self.cast, *erasure).await
            }
            None => true,
        };
        let server = serve(&self.folder, false);
        // What was approved goes on by itself. Only an approval that was lost on the way is sent again.
        if !is_approved(&server, &self.cast, *erasure).await {
            approve(&server, &self.cast, at, *erasure).await;
        }
        assert!(completed(&server, &self.cast, *erasure).await, "after a crash at {point}");
        self.look(&server, &self.leaving[leaving..=leaving], point).await;
        assert!(server.stop(), "it ends in order");
        died
    }

    async fn look(&self, server: &Server, gone: &[(String, uuid::Uuid)], point: &str) {
        let investigator = Client::new(&server.url, &self.cast.investigator);
        for (view, value) in [("casebook", "a headache like no other 0"), ("identity", "Kvistberg-0")] {
            let kept = code(&investigator, &format!("{}/{view}", self.survivor)).await;
            assert!(kept.contains(value), "the survivor's {view} after a crash at {point}: {kept}");
            for (at, _) in gone {
                assert_eq!(code(&investigator, &format!("{at}/{view}")).await, "erased", "{view}, crash at {point}");
            }
        }
    }
}

/// Carries out a lot of crashes, one after the other. Returns those points at which nothing died.
async fn lot(points: Vec<(String, usize)>) -> Vec<String> {
    let world = World::new(points.len()).await;
    let mut missed = Vec::new();
    for (number, (point, at_start)) in points.iter().enumerate() {
        if !world.crash(number, point, *at_start).await {
            missed.push(point.clone());
        }
    }
    let server = serve(&world.folder, false);
    world.look(&server, &world.leaving, "any point").await;
    assert!(server.stop(), "it ends in order");
    missed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crash_at_every_step_of_an_erasure_ends_in_a_completed_erasure_and_costs_no_survivor() {
    let points = World::new(1).await.points().await;
    let absent: Vec<_> = AT_LEAST.iter().filter(|point| !points.contains_key(**point)).collect();
    assert!(absent.is_empty(), "{absent:?} are not among {points:?}");
    let mut lots = vec![Vec::new(); WORLDS];
    points.iter().enumerate().for_each(|(n, (point, count))| lots[n % WORLDS].push((point.clone(), *count)));
    let mut missed = Vec::new();
    for running in lots.into_iter().map(|points| tokio::spawn(lot(points))).collect::<Vec<_>>() {
        missed.extend(running.await.expect("a world that holds"));
    }
    assert!(missed.len() * 10 <= points.len(), "nothing died at {missed:?} of {} points", points.len());
}
