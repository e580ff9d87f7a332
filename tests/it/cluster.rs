//! A platform on three nats-servers: one may go at any time, and what one of them lost or changed is named.

use domain::permit::Role;
use tests::api::{send, vital_signs};
use tests::cluster::Cluster;
use tests::home::{Folder, Home};
use tests::people::{FAMILY, erase, somebody, told};

use crate::binary;

/// The journal stream of the study, on the servers.
const STREAM: &str = "EVT_acme_cardio-1";

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
    send(&doctor, &staying, vital_signs("141")).await.expect("saved with two servers");
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
    assert_eq!(replicas.len(), 2 * cluster.names().len(), "of both journals: {report}");
    assert!(replicas.iter().all(|one| one["sound"] == true), "{report}");
}
