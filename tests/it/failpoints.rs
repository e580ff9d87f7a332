//! The process dies at every point of an erasure that is worth a crash, and goes on after a restart: no survivor is
//! lost, nothing acknowledged is lost, and every erasure is completed.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::permit::Role;
use lethe::cli::{Client, follow};
use lethe::platform::random_id;
use lethe::soak::Server;
use serde_json::{Value, json};
use tests::api::{adverse_event, enrol, identity, participant, send};
use tests::home::Folder;

/// How long a process may take to reach the point at which it dies, or to complete an erasure.
const PATIENCE: Duration = Duration::from_secs(60);

/// Points without which this test would prove little: their names are part of the protocol's description.
const AT_LEAST: [&str; 4] = ["erasure-begun", "erasure-committed", "erasure-keys-destroyed", "erasure-completed"];

struct Cast {
    investigator: String,
    dpo: String,
    controller: String,
}

fn serve(folder: &Folder, die_at: Option<&str>, seen: bool) -> Server {
    super::binary().serve(folder, |command| {
        command.env("LETHE_OFF_SITE", folder.path().join("off-site"));
        if let Some(point) = die_at {
            command.env("LETHE_DIE_AT", point);
        }
        if seen {
            command.env("LETHE_FAILPOINTS_SEEN", folder.path().join("seen"));
        }
    })
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
    send(&dpo, &format!("{at}/privacy"), request).await.expect("asked for");
}

/// Approves, under an id that stays the same however often it is sent. The answer may be lost in a crash.
async fn approve(server: &Server, cast: &Cast, at: &str, erasure: uuid::Uuid) {
    let controller = Client::new(&server.url, &cast.controller);
    let approve = json!({"type": "approve-erasure", "erasure": erasure, "instruction": "DPA-1"});
    let _ = controller.command(&format!("{at}/privacy"), erasure, None, None, &approve).await;
}

async fn completed(server: &Server, cast: &Cast, erasure: uuid::Uuid) -> bool {
    let dpo = Client::new(&server.url, &cast.dpo);
    let end = tokio::time::timeout(PATIENCE, follow(&dpo, erasure, |_| {})).await;
    matches!(end, Ok(Ok(shown)) if shown["phase"] == "completed")
}

async fn code(client: &Client, path: &str) -> String {
    match client.get(path).await {
        Ok(reply) => reply.body.to_string(),
        Err(error) => error.code,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_every_step_of_an_erasure_ends_in_a_completed_erasure_and_costs_no_survivor() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path().join("off-site")).expect("a folder");
    let server = serve(&folder, None, true);
    let cast = cast(&server).await;
    let survivor = person(&server, &cast, 0).await;
    let first = person(&server, &cast, 1).await;
    // What an undisturbed erasure passes, is where the others die.
    let points = |folder: &Folder| -> BTreeSet<String> {
        let text = std::fs::read_to_string(folder.path().join("seen")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    };
    let erasure = random_id();
    ask(&server, &cast, &first, erasure).await;
    approve(&server, &cast, &first, erasure).await;
    assert!(completed(&server, &cast, erasure).await, "nothing disturbs it");
    assert!(server.stop(), "it ends in order");
    let points = points(&folder);
    assert!(AT_LEAST.iter().all(|point| points.contains(*point)), "{points:?}");
    assert!(points.len() >= 15, "the protocol has more steps than these: {points:?}");

    let mut gone = Vec::new();
    let mut died = 0;
    for (number, point) in points.iter().enumerate() {
        let mut server = serve(&folder, None, false);
        let at = person(&server, &cast, 2 + number).await;
        let erasure = random_id();
        ask(&server, &cast, &at, erasure).await;
        assert!(server.stop(), "it ends in order");
        // It may die at the start already, at a point that a start passes too.
        if let Some(mut doomed) = try_serve(&folder, point) {
            approve(&doomed, &cast, &at, erasure).await;
            died += usize::from(doomed.ends_within(PATIENCE / 4));
        } else {
            died += 1;
        }
        server = serve(&folder, None, false);
        approve(&server, &cast, &at, erasure).await;
        assert!(completed(&server, &cast, erasure).await, "after a crash at {point}");
        gone.push((at, point));
        let investigator = Client::new(&server.url, &cast.investigator);
        let kept = code(&investigator, &format!("{survivor}/casebook")).await;
        assert!(kept.contains("a headache like no other 0"), "the survivor after a crash at {point}: {kept}");
        for (at, point) in &gone {
            for view in ["casebook", "identity"] {
                assert_eq!(code(&investigator, &format!("{at}/{view}")).await, "erased", "{view}, crash at {point}");
            }
        }
        assert!(server.stop(), "it ends in order");
    }
    assert!(died * 10 >= points.len() * 9, "it died at {died} of {} points", points.len());
}

fn try_serve(folder: &Folder, die_at: &str) -> Option<Server> {
    super::binary()
        .try_serve(folder, |command| {
            command.env("LETHE_OFF_SITE", folder.path().join("off-site")).env("LETHE_DIE_AT", die_at);
        })
        .ok()
}
