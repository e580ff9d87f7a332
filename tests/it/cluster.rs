//! A platform on three nats-servers: one may go at any time, and what one of them lost or changed is named.

use std::path::PathBuf;

use domain::history::JournalId;
use domain::permit::Role;
use infra::journal::connect;
use infra::journal::raw::{RawMessage, RawReader};
use lethe::cli::Client;
use lethe::platform::random_id;
use serde_json::Value;
use tests::api::vital_signs;
use tests::cluster::Cluster;
use tests::home::{Folder, Home, acme, cardio};
use tests::people::{FAMILY, erase, somebody, told};

use crate::binary;
use crate::verify::{files, flip_in};

/// The journal stream of the study, on the servers.
const STREAM: &str = "EVT_acme_cardio-1";

/// Saves another value for each of `values`, and why; one after the other.
async fn correct(client: &Client, at: &str, values: impl IntoIterator<Item = u32>) {
    let casebook = client.get(&format!("{at}/casebook")).await.expect("readable").body;
    let mut forms = casebook["forms"].as_array().expect("forms").iter();
    let mut tag = format!("\"{}\"", forms.find(|form| form["form"] == "VS").expect("saved before")["tag"]);
    for value in values {
        let mut command = vital_signs(&value.to_string());
        command["items"][0]["reason"] = "misread".into();
        let saved = client.command(at, random_id(), Some(&tag), None, &command).await;
        tag = saved.unwrap_or_else(|error| panic!("{value} is not saved: {error:?}")).etag.expect("a tag");
    }
}

async fn home_on(cluster: &Cluster) -> Home {
    let home = Home::new_in(Folder::new().with_off_site().on(cluster.elsewhere())).await;
    home.live_study().await;
    home
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_and_an_erasure_go_on_while_a_server_is_dead_and_nothing_is_lost() {
    let mut cluster = Cluster::new().await;
    let home = home_on(&cluster).await;
    let doctor = home.client(Role::Investigator).await;
    let leaving = somebody(&doctor, "N-1").await;
    let staying = somebody(&doctor, "N-2").await;

    let dead = cluster.leader(STREAM).await;
    cluster.kill(&dead).await;
    let (later, _) = tokio::join!(somebody(&doctor, "N-3"), somebody(&doctor, "N-4"));
    correct(&doctor, &staying, [141]).await;
    erase(&home, &leaving, None).await;
    let answer = told(&doctor, &leaving).await;
    assert!(!answer.contains(FAMILY) && answer.contains("erased"), "{answer}");
    let report = binary().said(&home.folder, &["verify", "journal", "--tenant", "acme"]);
    assert_eq!(report.0, Some(6), "a replica that is not read is no sound one: {}", report.1);
    assert!(report.1.contains(&format!("on {dead}: NOT READ")), "{}", report.1);

    cluster.start(&dead).await;
    let home = home.restart().await;
    let doctor = home.client(Role::Investigator).await;
    assert!(!told(&doctor, &leaving).await.contains(FAMILY), "erased on every server");
    for at in [&staying, &later] {
        assert!(told(&doctor, at).await.contains(FAMILY), "{at} is there");
    }
    assert!(told(&doctor, &staying).await.contains("141"), "what was acknowledged by two servers");
    let report = binary().json(&home.folder, &["verify", "journal", "--tenant", "acme"]);
    let replicas = report["replicas"].as_array().expect("replicas");
    assert_eq!(replicas.len(), 3 * cluster.names().len(), "of the study, the tenant and the access log: {report}");
    assert!(replicas.iter().all(|one| one["sound"] == true), "{report}");
    for server in cluster.names() {
        assert!(of(&report, &server)["checkpoints"].as_u64() > Some(0), "held against what was signed: {report}");
    }
}

/// Every message of the study's journal.
async fn messages(cluster: &Cluster) -> Vec<RawMessage> {
    let nats = cluster.elsewhere();
    let login = nats.credentials(acme().as_str()).expect("it has an account").service;
    let client = connect(login.connect_options(), &nats.url(), "a test").await.expect("connected");
    let reader = RawReader::new(client, &JournalId { tenant: acme(), study: Some(cardio()) });
    let last = reader.state().await.expect("it is there").last;
    let mut all: Vec<RawMessage> = Vec::new();
    while (all.len() as u64) < last {
        all.extend(reader.page(all.len() as u64 + 1, last).await.expect("readable"));
    }
    all
}

/// Where a server keeps the study's journal stream.
fn stored(cluster: &Cluster, server: &str) -> PathBuf {
    let folders = files(cluster.store(server)).0;
    folders.into_iter().find(|path| path.ends_with(format!("streams/{STREAM}"))).expect("it is on disk")
}

fn of<'a>(report: &'a Value, server: &str) -> &'a Value {
    let mut rows = report["replicas"].as_array().expect("replicas").iter();
    let is_it = |row: &&Value| row["server"] == server && row["journal"]["study"] == cardio().as_str();
    rows.find(is_it).unwrap_or_else(|| panic!("nothing about {server}: {report}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_on_one_server_is_named_with_the_server_and_hurts_nobody() {
    let mut cluster = Cluster::new().await;
    let home = home_on(&cluster).await;
    let doctor = home.client(Role::Investigator).await;
    let at = somebody(&doctor, "N-1").await;
    somebody(&doctor, "N-2").await;
    let commits: Vec<RawMessage> =
        messages(&cluster).await.into_iter().filter(|message| !message.payload.is_empty()).collect();
    let person = at.rsplit('/').next().expect("an id");
    let of_person = |commit: &&RawMessage| commit.subject.contains("participant") && commit.subject.ends_with(person);
    let middle = commits.iter().filter(of_person).nth(1).expect("several commits");
    let last = commits.last().expect("several commits");

    let leader = cluster.leader(STREAM).await;
    let followers: Vec<String> = cluster.names().into_iter().filter(|name| *name != leader).collect();
    for (server, commit) in followers.iter().zip([middle, last]) {
        cluster.stop(server).await;
        flip_in(&stored(&cluster, server), &commit.payload);
        cluster.start(server).await;
    }
    let led = cluster.leader(STREAM).await;

    let (code, said) = binary().said(&home.folder, &["verify", "journal", "--tenant", "acme", "--json"]);
    assert_eq!(code, Some(1), "{said}");
    let report: Value = serde_json::from_str(said.lines().next().expect("a line")).expect("JSON");
    for (server, commit) in followers.iter().zip([middle, last]) {
        let row = of(&report, server);
        let named = row["named"].to_string();
        assert_eq!(row["sound"], false, "{row}");
        assert!(named.contains(&format!("message {}, commit ", commit.sequence)), "{row}");
    }
    assert_eq!(of(&report, &leader)["sound"], true, "{report}");
    assert_eq!(cluster.leader(STREAM).await, led, "the one leads that led before");

    // Whoever answers: no read is cut short, no command is refused.
    correct(&doctor, &at, 141..=157).await;
    let home = home.restart().await;
    assert!(told(&home.client(Role::Investigator).await, &at).await.contains("157"), "all is there");
}
