//! Faults strike while participants are written about: short runs of `lethe soak`, by a seed that may be given
//! (`LETHE_FAULTS_SEED`) and is printed. Longer ones: docs/faults.md.

use std::time::Duration;

use lethe::soak::{self, Ground, Kind, On, Plan};
use tests::home::Folder;

async fn struck(on: On, rounds: u32) {
    let given = std::env::var("LETHE_FAULTS_SEED").ok().map(|text| text.parse().expect("a number"));
    let seed: u64 = given.unwrap_or(20_261_122);
    let mut kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| kind.fits(on)).collect();
    kinds.retain(|kind| match soak::lacking(*kind) {
        Some(reason) => {
            println!("skipped: {kind}: {reason}");
            false
        }
        None => true,
    });
    let plan = Plan { on, kinds, rounds, participants: 5, longest: Duration::from_secs(2), seed };
    println!("{}\n{plan}", plan.command());
    let folder = Folder::new();
    let done = soak::run(&plan, &Ground::new(super::binary().path(), folder.path()), |_| true).await;
    let outcome = done.unwrap_or_else(|error| panic!("{error}\n{}", plan.command()));
    assert_eq!(outcome.findings(), Vec::<String>::new(), "{}", plan.command());
    assert!(outcome.struck() >= rounds && outcome.acknowledged > 25 && outcome.erasures > 0, "{outcome}");
    assert!(outcome.rebuilds > 0, "{outcome}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_on_its_own_server_loses_and_doubles_nothing() {
    struck(On::Own, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_behind_a_bad_network_loses_and_doubles_nothing() {
    struck(On::Server, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_on_a_cluster_loses_and_doubles_nothing() {
    struck(On::Cluster, 4).await;
}
