//! Group commit: what goes out together.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::history::{StreamId, Tail};
use domain::port::{AppendError, Draft, Journal as _, Receipt};
use futures_util::future::join_all;

use super::proxy::Proxy;
use super::world::{START, World, cardio, consented, participant, site_opened, study};
use crate::journal::JetStreamJournal;

/// More than always go as a batch.
const MANY: usize = 200;

/// Sends all at once.
async fn all(journal: &JetStreamJournal, drafts: &[Draft]) -> Vec<Result<Receipt, AppendError>> {
    let mut prepared = Vec::new();
    for draft in drafts {
        prepared.push((journal.prepare(&mut draft.clone()).await.unwrap(), &draft.stream));
    }
    join_all(prepared.iter().map(|(append, stream)| journal.send(stream, append))).await
}

fn new_ones(count: usize) -> Vec<Draft> {
    (0..count).map(|_| consented(&participant(), START, "1")).collect()
}

/// The batches in which the messages of the study stand; messages of their own are left out.
async fn batches(world: &World) -> Vec<String> {
    let wire = world.wire().await;
    let last = world.journal().await.head(&cardio()).await.unwrap().sequence;
    let mut batches = Vec::new();
    for sequence in 1..=last {
        let answer = wire.api("STREAM.MSG.GET.EVT_acme_cardio", serde_json::json!({ "seq": sequence })).await.unwrap();
        batches.extend(batch_of(&answer["message"]["hdrs"]));
    }
    batches
}

fn batch_of(encoded: &serde_json::Value) -> Option<String> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded.as_str()?).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    text.lines().find_map(|line| line.strip_prefix("Nats-Batch-Id: ").map(str::to_owned))
}

#[tokio::test]
async fn what_waits_goes_out_as_one_batch() {
    let world = World::new().await;
    let journal = world.journal().await;
    let drafts = new_ones(MANY);
    let receipts: Vec<Receipt> = all(&journal, &drafts).await.into_iter().map(Result::unwrap).collect();

    let positions: BTreeSet<u64> = receipts.iter().map(|receipt| receipt.position.sequence).collect();
    assert_eq!(positions, (1..=MANY as u64).collect());
    let batches = batches(&world).await;
    assert!(batches.len() > MANY / 2, "{} of {MANY} in batches", batches.len());
    assert!(batches.iter().collect::<BTreeSet<_>>().len() <= 4, "hardly anything went together");
    // Each where its receipt says, and what comes next continues there.
    for (draft, receipt) in drafts.iter().zip(&receipts) {
        let commits = world.journal().await.load(&draft.stream, START).await.unwrap();
        assert_eq!((commits.len(), commits[0].tail(), &commits[0].position), (1, receipt.tail, &receipt.position));
    }
    journal.append(consented(&drafts[0].stream, receipts[0].tail, "2")).await.unwrap();
}

#[tokio::test]
async fn what_comes_alone_flies_alone() {
    let world = World::new().await;
    let journal = world.journal().await;
    for draft in new_ones(3) {
        journal.append(draft).await.unwrap();
    }
    assert_eq!(batches(&world).await, Vec::<String>::new());
}

#[tokio::test]
async fn one_whose_expectation_does_not_hold_spoils_nothing_for_the_others() {
    let world = World::new().await;
    let (journal, other) = (world.journal().await, world.journal().await);
    let drafts = new_ones(MANY);
    // Another process is faster with two of them; this one has not heard of it.
    for taken in [50, 120] {
        other.append(consented(&drafts[taken].stream, START, "faster")).await.unwrap();
    }
    for (index, outcome) in all(&journal, &drafts).await.into_iter().enumerate() {
        match outcome {
            Ok(_) => assert!(index != 50 && index != 120, "{index} was stored over another"),
            Err(AppendError::Conflict) => assert!(index == 50 || index == 120, "{index} was refused"),
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(journal.head(&cardio()).await.unwrap().sequence, MANY as u64);
}

#[tokio::test]
async fn two_of_one_stream_never_stand_in_one_flight() {
    let world = World::new().await;
    let journal = world.journal().await;
    let mut drafts = new_ones(MANY / 2);
    drafts.extend(drafts.clone());
    let outcomes = all(&journal, &drafts).await;
    // The same command twice, sealed twice: one of the two is told to load again, and finds the other.
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), MANY / 2);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(_) | Err(AppendError::Conflict))));
    assert_eq!(journal.head(&cardio()).await.unwrap().sequence, MANY as u64 / 2);
}

#[tokio::test]
async fn a_guard_that_moves_in_between_refuses_those_behind_it() {
    let world = World::new().await;
    let journal = world.journal().await;
    let one = journal.append(site_opened(START, "oslo")).await.unwrap();
    let guarded = |tail: Tail| Draft { guard: Some((study(), tail)), ..consented(&participant(), START, "1") };
    let mut drafts: Vec<Draft> = (0..MANY).map(|_| guarded(one.tail)).collect();
    drafts.insert(MANY / 2, site_opened(one.tail, "bergen"));
    let outcomes = all(&journal, &drafts).await;
    let moved_at = outcomes[MANY / 2].as_ref().unwrap().position.sequence;
    let stored = outcomes.iter().filter(|outcome| outcome.is_ok()).count() - 1;
    for (index, outcome) in outcomes.into_iter().enumerate().filter(|(index, _)| *index != MANY / 2) {
        match outcome {
            Ok(receipt) => assert!(receipt.position.sequence < moved_at, "{index} slipped behind its guard"),
            Err(AppendError::Conflict) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!((MANY / 2..MANY).contains(&stored), "{stored} stored");
}

#[tokio::test]
async fn guarded_ones_go_as_a_batch_without_a_filler() {
    let world = World::new().await;
    let journal = world.journal().await;
    let one = journal.append(site_opened(START, "oslo")).await.unwrap();
    let guarded = || Draft { guard: Some((study(), one.tail)), ..consented(&participant(), START, "1") };
    let drafts: Vec<Draft> = (0..MANY).map(|_| guarded()).collect();
    all(&journal, &drafts).await.into_iter().for_each(|outcome| drop(outcome.unwrap()));
    assert_eq!(journal.head(&cardio()).await.unwrap().sequence, 1 + MANY as u64);
    assert!(batches(&world).await.len() > MANY / 2);
}

#[tokio::test]
async fn who_goes_away_leaves_the_others_in_flight() {
    let world = World::new().await;
    let journal = Arc::new(world.journal().await);
    let drafts = new_ones(MANY);
    let tasks: Vec<_> = drafts
        .iter()
        .map(|draft| {
            let (journal, draft) = (journal.clone(), draft.clone());
            tokio::spawn(async move { journal.append(draft).await })
        })
        .collect();
    tokio::task::yield_now().await;
    // Every tenth gives up; whether its commit was stored is open, as with any lost answer.
    for (index, task) in tasks.into_iter().enumerate() {
        if index % 10 == 0 {
            task.abort();
        } else {
            task.await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn a_batch_whose_answer_is_lost_is_stored_once() {
    let world = World::new().await;
    let proxy = Proxy::before(world.server.url()).await;
    let journal = Arc::new(world.journal_at(&proxy.url()).await);
    let drafts = new_ones(MANY);
    // All are known to be new, and the journal stream is known.
    journal.append(consented(&participant(), START, "0")).await.unwrap();
    proxy.swallow_answers(true);
    let (sender, sent) = (journal.clone(), drafts.clone());
    let task = tokio::spawn(async move { all(&sender, &sent).await });
    let direct = world.journal().await;
    while direct.head(&cardio()).await.unwrap().sequence < 2 {
        assert!(!task.is_finished(), "an answer came through");
    }
    proxy.swallow_answers(false);
    proxy.cut();
    for outcome in task.await.unwrap() {
        outcome.unwrap();
    }
    assert_eq!(direct.head(&cardio()).await.unwrap().sequence, 1 + MANY as u64);
}

/// Streams that are there, each with its end.
async fn begun(journal: &JetStreamJournal, count: usize) -> Vec<(StreamId, Tail)> {
    let drafts = new_ones(count);
    let receipts = all(journal, &drafts).await.into_iter().map(Result::unwrap);
    drafts.iter().zip(receipts).map(|(draft, receipt)| (draft.stream.clone(), receipt.tail)).collect()
}

/// Nobody here reads the study again: the server has to say that it moved.
#[tokio::test]
async fn a_guard_that_another_process_moved_refuses_a_whole_flight() {
    for flying in [1, 5, MANY] {
        let world = World::new().await;
        let (journal, other) = (world.journal().await, world.journal().await);
        let one = journal.append(site_opened(START, "oslo")).await.unwrap();
        let streams = begun(&journal, flying).await;
        let guarded = |(stream, tail): &(StreamId, Tail)| Draft {
            guard: Some((study(), one.tail)),
            ..consented(stream, *tail, "2")
        };
        let drafts: Vec<Draft> = streams.iter().map(guarded).collect();
        other.append(site_opened(one.tail, "bergen")).await.unwrap();
        for outcome in all(&journal, &drafts).await {
            assert!(matches!(outcome, Err(AppendError::Conflict)), "{flying}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn what_another_process_writes_elsewhere_hinders_no_flight() {
    for flying in [1, 5, MANY] {
        let world = World::new().await;
        let (journal, other) = (world.journal().await, world.journal().await);
        let one = journal.append(site_opened(START, "oslo")).await.unwrap();
        let streams = begun(&journal, flying).await;
        let guarded = |(stream, tail): &(StreamId, Tail)| Draft {
            guard: Some((study(), one.tail)),
            ..consented(stream, *tail, "2")
        };
        let drafts: Vec<Draft> = streams.iter().map(guarded).collect();
        other.append(consented(&participant(), START, "1")).await.unwrap();
        all(&journal, &drafts).await.into_iter().for_each(|outcome| drop(outcome.unwrap()));
        assert_eq!(journal.head(&cardio()).await.unwrap().sequence, 2 + 2 * flying as u64, "{flying}: no filler");
    }
}
