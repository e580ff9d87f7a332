//! The ledger beside a real journal.

use std::sync::Arc;

use domain::history::{Aggregate, StreamId};
use domain::port::{Failure, Journal as _, Ledger as _, OffSite as _};

use super::{CopiedLedger, LedgerStream, MemoryOffSite, put_back, read_ledger};
use crate::journal::Outgoing;
use crate::journal::names::stream_subject;
use crate::journal::raw::RawReader;
use crate::journal::tests::world::{START, World, cardio, consented, participant, tenant};

fn privacy() -> StreamId {
    StreamId { aggregate: Aggregate::Privacy, ..participant() }
}

async fn ledger(world: &World, place: &MemoryOffSite) -> CopiedLedger {
    CopiedLedger::new(Arc::new(place.clone()), world.client().await, &tenant())
}

async fn stored(world: &World, stream: &StreamId) -> LedgerStream {
    let messages = RawReader::new(world.client().await, &cardio()).of_stream(stream, 1).await.unwrap();
    LedgerStream { stream: stream.clone(), commits: messages.iter().map(|one| one.payload.to_vec()).collect() }
}

#[tokio::test]
async fn every_commit_of_a_privacy_stream_stands_there_once() {
    let (world, place, stream) = (World::new().await, MemoryOffSite::default(), privacy());
    let (journal, ledger) = (world.journal().await, ledger(&world, &place).await);
    let mut tail = START;
    for text in ["1", "2", "3"] {
        tail = journal.append(consented(&stream, tail, text)).await.unwrap().tail;
        if text != "1" {
            ledger.ship(&stream).await.unwrap();
            ledger.ship(&stream).await.unwrap();
        }
    }
    let names: Vec<_> = (1..=3).map(|revision| format!("ledger/cardio/{}/{revision:08}", stream.id)).collect();
    assert_eq!(place.list("").await.unwrap(), names);
    assert_eq!(ledger.read_all().await.unwrap(), [stored(&world, &stream).await]);
    // Another process, which remembers nothing.
    journal.append(consented(&stream, tail, "4")).await.unwrap();
    let other = CopiedLedger::new(Arc::new(place.clone()), world.client().await, &tenant());
    other.ship(&stream).await.unwrap();
    assert_eq!(other.read_all().await.unwrap(), [stored(&world, &stream).await]);
    assert!(ledger.ship(&participant()).await.is_err(), "only privacy streams");
}

#[tokio::test]
async fn at_start_it_catches_up_with_what_a_crash_left_behind() {
    let (world, place) = (World::new().await, MemoryOffSite::default());
    let journal = world.journal().await;
    let (shipped, behind, never) = (privacy(), privacy(), privacy());
    let first = journal.append(consented(&shipped, START, "1")).await.unwrap().tail;
    let second = journal.append(consented(&behind, START, "1")).await.unwrap().tail;
    let before = ledger(&world, &place).await;
    for stream in [&shipped, &behind] {
        before.ship(stream).await.unwrap();
    }
    journal.append(consented(&behind, second, "2")).await.unwrap();
    journal.append(consented(&never, START, "1")).await.unwrap();
    journal.append(consented(&participant(), START, "1")).await.unwrap();

    let after = ledger(&world, &place).await;
    assert_eq!(after.catch_up(&[cardio()]).await.unwrap(), 2);
    assert_eq!(after.catch_up(&[cardio()]).await.unwrap(), 0);
    let mut all = vec![stored(&world, &shipped).await, stored(&world, &behind).await, stored(&world, &never).await];
    all.sort_by(|one, other| one.stream.cmp(&other.stream));
    assert_eq!(after.read_all().await.unwrap(), all);

    // A journal that was put back knows less than the ledger: it must not serve.
    let sealed = world.sealed(&consented(&shipped, first, "2"), first).await;
    place.put(&format!("ledger/cardio/{}/00000002", shipped.id), &sealed.bytes).await.unwrap();
    let fresh = ledger(&world, &place).await;
    for outcome in [fresh.catch_up(&[cardio()]).await.map(drop), fresh.ship(&shipped).await] {
        match outcome {
            Err(Failure::Damaged { detail, .. }) => {
                assert!(detail.contains("the off-site ledger holds 2 commits"), "{detail}")
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_ledger_with_a_gap_or_another_commit_is_damaged() {
    let (world, stream) = (World::new().await, privacy());
    let journal = world.journal().await;
    let mut tail = START;
    for text in ["1", "2", "3"] {
        tail = journal.append(consented(&stream, tail, text)).await.unwrap().tail;
    }
    let name = |revision: u64| format!("ledger/cardio/{}/{revision:08}", stream.id);
    for (victim, keep) in [(1, false), (2, false), (2, true)] {
        let place = MemoryOffSite::default();
        let ledger = ledger(&world, &place).await;
        ledger.ship(&stream).await.unwrap();
        place.damage(&name(victim), |mut bytes| {
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            keep.then_some(bytes)
        });
        match read_ledger(&place, &tenant()).await {
            Err(Failure::Damaged { what, .. }) => assert!(what.starts_with("commit"), "{what}"),
            other => panic!("{victim}: {other:?}"),
        }
    }
    // One that is there already is compared.
    let place = MemoryOffSite::default();
    place.put(&name(3), b"another").await.unwrap();
    assert!(matches!(ledger(&world, &place).await.ship(&stream).await, Err(Failure::Damaged { .. })));
}

#[tokio::test]
async fn a_journal_that_was_put_back_gets_its_erasures_again() {
    let (world, place, stream) = (World::new().await, MemoryOffSite::default(), privacy());
    let journal = world.journal().await;
    let mut tail = START;
    for text in ["1", "2", "3"] {
        tail = journal.append(consented(&stream, tail, text)).await.unwrap().tail;
    }
    ledger(&world, &place).await.ship(&stream).await.unwrap();
    let held = read_ledger(&place, &tenant()).await.unwrap().remove(0);

    let older = World::new().await;
    older.wire().await.publish(Outgoing::new(stream_subject(&stream), held.commits[0].clone())).await.unwrap();
    for expected in [2, 0] {
        let back = put_back(&older.client().await, &held).await.unwrap();
        let sequences: Vec<u64> = back.commits.iter().map(|(sequence, _)| *sequence).collect();
        assert_eq!((back.written, sequences), (expected, vec![1, 2, 3]));
    }
    assert_eq!(stored(&older, &stream).await, held);
    ledger(&older, &place).await.ship(&stream).await.unwrap();

    let strange = World::new().await;
    strange.journal().await.append(consented(&stream, START, "x")).await.unwrap();
    match put_back(&strange.client().await, &held).await {
        Err(Failure::Damaged { what, .. }) => assert!(what.starts_with("commit 1 of"), "{what}"),
        other => panic!("{other:?}"),
    }
}
