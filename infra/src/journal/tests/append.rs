//! Appending and loading.

use std::sync::Arc;

use domain::history::{JournalId, Revision, StreamId, Tail};
use domain::port::{AppendError, Draft, Failure, Journal as _};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::proxy::Proxy;
use super::world::{
    START, TRACEPARENT, World, cardio, consent, consented, facts, open_sites, participant, site_opened, study, tenant,
};
use crate::journal::insist::{Attempt as _, Settled};

#[tokio::test]
async fn what_was_appended_is_loaded() {
    let world = World::new().await;
    let journal = world.journal().await;
    let stream = participant();
    assert!(journal.load(&stream, START).await.unwrap().is_empty());

    let (first, second) = (consented(&stream, START, "binder 1"), "binder 2");
    let command = first.command;
    let one = journal.append(first).await.unwrap();
    let two = journal.append(consented(&stream, one.tail, second)).await.unwrap();
    assert_eq!((two.tail.revision, two.position.to_string().as_str()), (Revision(2), "cardio:1:2"));

    // The process that wrote it, and another one.
    for journal in [journal, world.journal().await] {
        let commits = journal.load(&stream, START).await.unwrap();
        assert_eq!(facts(&commits), vec![consent("binder 1"), consent("binder 2")]);
        assert_eq!(commits[0].header.command, command);
        assert_eq!(commits[0].header.stream, stream);
        assert_eq!((commits[0].tail(), &commits[0].position), (one.tail, &one.position));
        assert_eq!((commits[1].tail(), &commits[1].position), (two.tail, &two.position));
        assert_eq!(commits[1].traceparent.as_deref(), Some(TRACEPARENT));

        let rest = journal.load(&stream, one.tail).await.unwrap();
        assert_eq!(facts(&rest), vec![consent("binder 2")]);
        assert!(journal.load(&stream, two.tail).await.unwrap().is_empty());
    }
    // A process that has read nothing yet and continues from what it was told.
    let journal = world.journal().await;
    assert_eq!(facts(&journal.load(&stream, one.tail).await.unwrap()), vec![consent("binder 2")]);
    assert!(world.journal().await.load(&stream, two.tail).await.unwrap().is_empty());
}

#[tokio::test]
async fn more_than_a_page_is_loaded_whole() {
    let world = World::new().await;
    let journal = world.journal().await;
    let receipts = open_sites(&journal, START, 600).await;
    let stream = study();
    let commits = journal.load(&stream, START).await.unwrap();
    let tails: Vec<Tail> = commits.iter().map(|commit| commit.tail()).collect();
    assert_eq!(tails, receipts.iter().map(|receipt| receipt.tail).collect::<Vec<_>>());
    assert_eq!(world.journal().await.load(&stream, receipts[9].tail).await.unwrap().len(), 590);
}

#[tokio::test]
async fn a_stale_end_is_a_conflict_and_stores_nothing() {
    let world = World::new().await;
    let journal = world.journal().await;
    let stream = participant();
    let one = journal.append(consented(&stream, START, "1")).await.unwrap();
    let two = journal.append(consented(&stream, one.tail, "2")).await.unwrap();

    for journal in [journal, world.journal().await] {
        for stale in [START, one.tail, Tail { revision: two.tail.revision, hash: one.tail.hash }] {
            let error = journal.append(consented(&stream, stale, "3")).await.unwrap_err();
            assert!(matches!(error, AppendError::Conflict), "{error:?}");
        }
        assert_eq!(journal.head(&cardio()).await.unwrap().sequence, 2);
    }
    // A stream that does not exist, expected to end somewhere.
    let error = world.journal().await.append(consented(&participant(), one.tail, "3")).await.unwrap_err();
    assert!(matches!(error, AppendError::Conflict), "{error:?}");
}

#[tokio::test]
async fn of_twenty_writers_exactly_one_wins() {
    let world = World::new().await;
    let stream = participant();
    let mut journals = Vec::new();
    for _ in 0..4 {
        journals.push(Arc::new(world.journal().await));
    }
    let mut tail = START;
    for round in 1..=5 {
        let writers = (0..20).map(|n| {
            let (journal, draft) = (journals[n % 4].clone(), consented(&stream, tail, &n.to_string()));
            tokio::spawn(async move { journal.append(draft).await })
        });
        let outcomes = futures_util::future::join_all(writers.collect::<Vec<_>>()).await;
        let mut receipts = Vec::new();
        for outcome in outcomes {
            match outcome.unwrap() {
                Ok(receipt) => receipts.push(receipt),
                Err(AppendError::Conflict) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(receipts.len(), 1, "round {round}");
        tail = receipts[0].tail;
        assert_eq!(journals[0].load(&stream, START).await.unwrap().len(), round);
    }
}

fn guarded(guard: Tail) -> Draft {
    Draft { guard: Some((study(), guard)), ..consented(&participant(), START, "1") }
}

#[tokio::test]
async fn a_guard_that_stands_lets_the_commit_through() {
    let world = World::new().await;
    let journal = world.journal().await;
    let one = journal.append(site_opened(START, "oslo")).await.unwrap();

    // A plain publish is enough as long as nobody else writes.
    for sequence in [2, 3] {
        assert_eq!(journal.append(guarded(one.tail)).await.unwrap().position.sequence, sequence);
    }
    // Now somebody does: the second expectation takes a filler, which no reader sees.
    let other = world.journal().await;
    other.append(consented(&participant(), START, "4")).await.unwrap();
    let draft = guarded(one.tail);
    let stream = draft.stream.clone();
    assert_eq!(journal.append(draft).await.unwrap().position.sequence, 6);
    assert_eq!(facts(&journal.load(&stream, START).await.unwrap()), vec![consent("1")]);

    // A guard on a stream that does not exist, and one in a process that knows nothing.
    let absent = || Draft { guard: Some((participant(), START)), ..consented(&participant(), START, "1") };
    assert_eq!(journal.append(absent()).await.unwrap().position.sequence, 7);
    assert_eq!(other.append(absent()).await.unwrap().position.sequence, 9);
    assert_eq!(world.journal().await.append(guarded(one.tail)).await.unwrap().position.sequence, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_commits_side_by_side_take_no_filler() {
    let world = World::new().await;
    let journal = Arc::new(world.journal().await);
    let one = journal.append(site_opened(START, "oslo")).await.unwrap();
    let appends = (0..32).map(|_| {
        let (journal, draft) = (journal.clone(), guarded(one.tail));
        tokio::spawn(async move { journal.append(draft).await })
    });
    for outcome in futures_util::future::join_all(appends.collect::<Vec<_>>()).await {
        outcome.unwrap().unwrap();
    }
    assert_eq!(journal.head(&cardio()).await.unwrap().sequence, 1 + 32);
}

#[tokio::test]
async fn a_guard_that_moves_before_the_turn_comes_refuses() {
    let world = World::new().await;
    let journal = world.journal().await;
    let one = journal.append(site_opened(START, "oslo")).await.unwrap();
    // All decided while the guard stood; it moves after half of them.
    let mut appends = Vec::new();
    for _ in 0..32 {
        let draft = guarded(one.tail);
        appends.push((journal.prepare(&mut draft.clone()).await.unwrap(), draft.stream));
    }
    for (append, stream) in &appends[..16] {
        journal.send(stream, append).await.unwrap();
    }
    journal.append(site_opened(one.tail, "bergen")).await.unwrap();
    for (append, stream) in &appends[16..] {
        let error = journal.send(stream, append).await.unwrap_err();
        assert!(matches!(error, AppendError::Conflict), "{error:?}");
    }
    assert_eq!(journal.head(&cardio()).await.unwrap().sequence, 1 + 16 + 1);
}

#[tokio::test]
async fn a_guard_reaches_no_further_than_its_journal_stream() {
    let world = World::new().await;
    let elsewhere = StreamId { journal: JournalId { tenant: tenant(), study: None }, ..participant() };
    let draft = Draft { guard: Some((elsewhere, START)), ..consented(&participant(), START, "1") };
    let error = world.journal().await.append(draft).await.unwrap_err();
    assert!(matches!(error, AppendError::Failed(Failure::Missing { .. })), "{error:?}");
}

#[tokio::test]
async fn a_guard_that_has_moved_is_a_conflict_and_stores_nothing() {
    let world = World::new().await;
    let (here, there) = (world.journal().await, world.journal().await);
    let one = here.append(site_opened(START, "oslo")).await.unwrap();
    let two = there.append(site_opened(one.tail, "bergen")).await.unwrap();
    assert_eq!(two.position.sequence, 2);

    // One process has not heard of the move, one has made it, one knows nothing.
    for (name, journal) in [("here", here), ("there", there), ("new", world.journal().await)] {
        for stale in [one.tail, START] {
            let error = journal.append(guarded(stale)).await.unwrap_err();
            assert!(matches!(error, AppendError::Conflict), "{name}: {error:?}");
        }
        assert_eq!(journal.head(&cardio()).await.unwrap().sequence, 2, "{name}");
    }
}

#[tokio::test]
async fn guarded_commits_beside_a_moving_guard_never_slip_behind_it() {
    let world = World::new().await;
    let (here, there) = (Arc::new(world.journal().await), world.journal().await);
    let mut tail = here.append(site_opened(START, "oslo")).await.unwrap().tail;
    let (mut stored, mut refused) = (0, 0);
    for round in 0..40 {
        let mut appends = FuturesUnordered::new();
        for draft in (0..4).map(|_| guarded(tail)) {
            let journal = here.clone();
            appends.push(tokio::spawn(async move { journal.append(draft).await }));
        }
        // The guard moves after none, one, two or three of them are through, beside the others.
        let mut outcomes = Vec::new();
        for _ in 0..round % 4 {
            outcomes.extend(appends.next().await);
        }
        let moved = there.append(site_opened(tail, &format!("site-{round}"))).await.unwrap();
        outcomes.extend(appends.collect::<Vec<_>>().await);
        for outcome in outcomes {
            match outcome.unwrap() {
                Ok(receipt) => {
                    assert!(receipt.position.sequence < moved.position.sequence, "round {round}: behind the guard");
                    stored += 1;
                }
                Err(AppendError::Conflict) => refused += 1,
                Err(other) => panic!("{other:?}"),
            }
        }
        tail = moved.tail;
    }
    assert_eq!(stored + refused, 160);
    assert!(stored > 0 && refused > 0, "the race was none: {stored} stored, {refused} refused");
}

#[tokio::test]
async fn a_prepared_commit_is_found_after_it_was_stored() {
    let world = World::new().await;
    let journal = world.journal().await;
    let draft = consented(&participant(), START, "1");
    let append = journal.prepare(&mut draft.clone()).await.unwrap();
    assert_eq!(append.settle().await.unwrap(), Settled::Nothing);
    let receipt = journal.send(&draft.stream, &append).await.unwrap();
    assert_eq!(append.settle().await.unwrap(), Settled::Own(receipt.position.sequence));

    // The same command, sealed by somebody else who was too late: loading tells him that it is done.
    let other = world.journal().await.prepare(&mut draft.clone()).await.unwrap();
    assert_eq!(other.settle().await.unwrap(), Settled::Other);
    let commits = journal.load(&draft.stream, START).await.unwrap();
    assert_eq!((commits.len(), commits[0].header.command), (1, draft.command));
}

#[tokio::test]
async fn a_lost_acknowledgement_is_no_lost_commit_and_no_second_one() {
    let world = World::new().await;
    let proxy = Proxy::before(world.server.url()).await;
    let journal = Arc::new(world.journal_at(&proxy.url()).await);
    let direct = world.journal().await;
    open_sites(&direct, START, 1).await;
    let tail = direct.load(&study(), START).await.unwrap()[0].tail();
    let plain = consented(&participant(), START, "1");

    for (draft, stored) in [(plain, 2), (guarded(tail), 3)] {
        let stream = draft.stream.clone();
        // The server hears everything and its answers get lost.
        let append = journal.prepare(&mut draft.clone()).await.unwrap();
        proxy.swallow_answers(true);
        let (sender, stream_sent) = (journal.clone(), stream.clone());
        let task = tokio::spawn(async move { sender.send(&stream_sent, &append).await });
        while direct.head(&cardio()).await.unwrap().sequence < stored {
            assert!(!task.is_finished(), "an answer came through");
        }
        proxy.swallow_answers(false);
        proxy.cut();

        let receipt = task.await.unwrap().unwrap();
        assert_eq!(receipt.position.sequence, stored);
        let commits = direct.load(&stream, START).await.unwrap();
        assert_eq!(commits.iter().map(|commit| commit.tail()).collect::<Vec<_>>(), vec![receipt.tail]);
        assert_eq!(direct.head(&cardio()).await.unwrap().sequence, stored);
    }
}

#[tokio::test]
async fn a_commit_that_is_too_large_is_refused() {
    let world = World::new().await;
    let journal = world.journal().await;
    let large = "x".repeat(768 * 1024);
    let error = journal.append(consented(&participant(), START, &large)).await.unwrap_err();
    assert!(matches!(error, AppendError::TooLarge { max: 786_432, .. }), "{error:?}");
    assert_eq!(journal.head(&cardio()).await.unwrap().sequence, 0);

    let nearly = "x".repeat(767 * 1024);
    journal.append(consented(&participant(), START, &nearly)).await.unwrap();
}

#[tokio::test]
async fn only_our_header_and_the_servers_are_stored() {
    let world = World::new().await;
    let journal = world.journal().await;
    let draft = Draft { traceparent: Some("Ada Lovelace".into()), ..consented(&participant(), START, "1") };
    journal.append(draft).await.unwrap();
    journal.append(consented(&participant(), START, "1")).await.unwrap();

    let wire = world.wire().await;
    for (sequence, expected) in [
        (1, vec!["Nats-Expected-Last-Subject-Sequence"]),
        (2, vec!["Nats-Expected-Last-Subject-Sequence", "traceparent"]),
    ] {
        let request = serde_json::json!({ "seq": sequence });
        let answer = wire.api("STREAM.MSG.GET.EVT_acme_cardio", request).await.unwrap();
        assert_eq!(header_names(&answer["message"]["hdrs"]), expected);
    }
}

fn header_names(encoded: &serde_json::Value) -> Vec<String> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded.as_str().unwrap()).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let mut names: Vec<String> =
        text.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.to_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn the_hash_of_a_commit_is_found_by_its_sequence() {
    let world = World::new().await;
    let journal = world.journal().await;
    let one = journal.append(site_opened(START, "oslo")).await.unwrap();
    world.journal().await.append(consented(&participant(), START, "1")).await.unwrap();
    let guarded = journal.append(guarded(one.tail)).await.unwrap();
    assert_eq!(guarded.position.sequence, 4, "with a filler at 3");

    let journal = world.journal().await;
    assert_eq!(journal.hash_at(&cardio(), 1).await.unwrap(), Some(one.tail.hash));
    assert_eq!(journal.hash_at(&cardio(), 4).await.unwrap(), Some(guarded.tail.hash));
    for nothing in [0, 3, 5] {
        assert_eq!(journal.hash_at(&cardio(), nothing).await.unwrap(), None, "{nothing}");
    }
}
