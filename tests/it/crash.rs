//! Killed with -9 in the middle of writing: every acknowledged command is there, once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use lethe::cli::Client;
use lethe::platform::random_id;
use serde_json::{Value, json};
use tests::api::{participant, vital_signs};
use tests::home::{Folder, Home};

/// One acknowledged command: its path, id and body.
type Acknowledged = Arc<Mutex<BTreeMap<uuid::Uuid, (String, Value)>>>;

async fn write(client: Client, acknowledged: Acknowledged, count: Arc<AtomicUsize>, n: usize) {
    let at = participant(random_id());
    let commands = [
        json!({"type": "register", "site": "oslo", "subject_number": format!("N-{n:04}")}),
        json!({"type": "give-consent", "version": "2.0", "reference": "binder"}),
        vital_signs("120"),
    ];
    for body in commands {
        let id = random_id();
        if client.command(&at, id, None, None, &body).await.is_err() {
            return; // Killed under us: not acknowledged, so nothing is promised.
        }
        acknowledged.lock().expect("not poisoned").insert(id, (at.clone(), body));
        count.fetch_add(1, Ordering::SeqCst);
    }
}

/// A folder with a live study, and tokens that outlive a restart: integrator and investigator.
async fn prepared() -> (Folder, Vec<String>) {
    let home = Home::new().await;
    home.live_study().await;
    let mut tokens = Vec::new();
    for role in [domain::permit::Role::Integrator, domain::permit::Role::Investigator] {
        let user = domain::ids::UserId(random_id());
        let new = lethe::platform::NewToken::new(&tests::home::acme(), user, role, "writer", false);
        tokens.push(home.platform.create_token(new).await.expect("a token"));
    }
    (home.stop().await, tokens)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_command_survives_a_kill_once() {
    let (folder, tokens) = prepared().await;
    let acknowledged = Acknowledged::default();
    let count = Arc::new(AtomicUsize::new(0));
    let server = super::binary().serve(&folder, |_| {});
    let writers: Vec<_> = (0..200)
        .map(|n| tokio::spawn(write(Client::new(&server.url, &tokens[0]), acknowledged.clone(), count.clone(), n)))
        .collect();
    while count.load(Ordering::SeqCst) < 150 {
        tokio::task::yield_now().await;
    }
    server.kill();
    for writer in writers {
        writer.await.expect("a writer ends");
    }
    let acknowledged = acknowledged.lock().expect("not poisoned").clone();
    assert!(acknowledged.len() < 600, "it was killed in the middle");

    let server = super::binary().serve(&folder, |_| {});
    let (integrator, investigator) = (Client::new(&server.url, &tokens[0]), Client::new(&server.url, &tokens[1]));
    let mut once: BTreeMap<String, usize> = BTreeMap::new();
    for (id, (at, body)) in &acknowledged {
        // Sent again under the same id, an acknowledged command is answered and has no second effect.
        let again = integrator.command(at, *id, None, None, body).await.expect("it is there");
        let position = again.position.expect("a position");
        *once.entry(at.clone()).or_default() += 1;
        let audit =
            investigator.get(&format!("{at}/audit?min_position={position}")).await.expect("an audit trail").body;
        let commands: Vec<&str> = audit["items"]
            .as_array()
            .expect("entries")
            .iter()
            .filter_map(|entry| entry["act"]["command"].as_str())
            .collect();
        assert_eq!(commands.iter().filter(|command| **command == id.to_string()).count(), 1, "once: {body}");
    }
    assert!(server.stop(), "it ends in order");
}
