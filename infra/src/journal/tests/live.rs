//! Checkpoints and verification of a journal stream on a real server.

use std::sync::Arc;

use domain::history::JournalId;
use domain::port::Failure;

use super::world::{START, World, cardio, open_sites, tenant};
use crate::journal::LiveJournals;
use crate::log::testing::World as Log;
use crate::log::{CheckpointParts, Checkpoints, RawJournals as _};
use crate::verify::{Journals, journals};

#[tokio::test]
async fn a_real_journal_is_signed_checked_and_verified() {
    let world = World::new().await;
    let journal = world.journal().await;
    open_sites(&journal, START, 300).await;
    let live = LiveJournals::new(world.client().await, tenant());
    let own = JournalId { tenant: tenant(), study: None };
    assert_eq!(live.journals().await.unwrap(), [own, cardio()]);
    let state = live.state(&cardio()).await.unwrap();
    assert_eq!((state.last, state.incarnations.to_string()), (300, "1:1".to_owned()));
    let missing = JournalId { tenant: tenant(), study: "other".parse().ok() };
    assert!(matches!(live.state(&missing).await, Err(Failure::Missing { .. })));

    let log = Log::new();
    let source = Arc::new(live);
    let parts = CheckpointParts { source: source.clone(), ..log.parts() };
    let signed = Checkpoints::new(parts.clone()).force(&cardio()).await.unwrap().checkpoint;
    Checkpoints::new(parts).check_at_start(&[cardio()]).await.unwrap();
    assert_eq!(signed.size, 300);
    let what = Journals { source: &*source, expected: vec![cardio()], checkpoints: vec![signed], keys: None };
    let report = journals(&what, &mut |_, _, _| {}).await.unwrap();
    assert_eq!(report.damages, []);
    let read: Vec<_> =
        report.journals.iter().map(|journal| (journal.last, journal.commits, journal.checkpoints)).collect();
    assert_eq!(read, [(0, 0, 0), (300, 300, 1)]);
}
