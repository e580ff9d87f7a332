//! Killed with -9 in the middle of writing: every acknowledged command is there, once. One round of `lethe soak`, which
//! runs as many as you like.

use std::time::Duration;

use lethe::soak::{self, Ground, Kind, On, Plan};
use tests::home::Folder;

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_command_survives_a_kill_once() {
    let folder = Folder::new();
    let (kinds, longest) = (vec![Kind::KillServe], Duration::from_secs(1));
    let plan = Plan { on: On::Own, kinds, rounds: 1, participants: 100, longest, seed: 2 };
    let outcome = soak::run(&plan, &Ground::new(super::binary().path(), folder.path()), |_| true).await;
    let outcome = outcome.expect("the round is carried out");
    assert_eq!(outcome.findings(), Vec::<String>::new());
    assert_eq!(outcome.faults, [(Kind::KillServe, 1)].into());
    assert!(outcome.acknowledged >= 500 && outcome.in_doubt > 0, "it was killed in the middle: {outcome}");
    assert!(outcome.erasures > 0, "and some were leaving: {outcome}");
}
