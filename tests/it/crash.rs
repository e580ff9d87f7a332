//! Killed with -9 in the middle of writing: every acknowledged command is there, once. One round of `lethe soak`, which
//! runs as many as you like.

use lethe::soak::{self, Ground, Plan};
use tests::home::Folder;

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_command_survives_a_kill_once() {
    let folder = Folder::new();
    // An even seed kills `serve` first.
    let plan = Plan { rounds: 1, participants: 100, seed: 2 };
    let outcome = soak::run(&plan, &Ground::new(super::binary().path(), folder.path()), |_| true).await;
    let outcome = outcome.expect("the round is carried out");
    assert_eq!(outcome.faults(), Vec::<String>::new());
    assert_eq!((outcome.kills_of_serve, outcome.kills_of_nats_server), (1, 0));
    assert!(outcome.acknowledged >= 150 && outcome.cut_off > 0, "it was killed in the middle: {outcome}");
    assert!(outcome.erasures > 0, "and some were leaving: {outcome}");
}
