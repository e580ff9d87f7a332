//! Following a journal stream.

use std::time::Duration;

use domain::history::Commit;
use domain::port::{Draft, Failure, Feed, Journal as _};
use tokio::time::timeout;

use super::world::{HANGS, START, World, cardio, consented, open_sites, participant, site_opened, study};
use crate::journal::Outgoing;
use crate::journal::names::guard_subject;

async fn next(feed: &mut Box<dyn Feed>, max: usize) -> Vec<Commit> {
    timeout(HANGS, feed.next(max)).await.expect("no news").unwrap()
}

/// Takes `count` commits, in whatever portions they come.
async fn take(feed: &mut Box<dyn Feed>, count: usize) -> Vec<u64> {
    let mut sequences = Vec::new();
    while sequences.len() < count {
        let commits = next(feed, count - sequences.len()).await;
        assert!(!commits.is_empty());
        sequences.extend(commits.iter().map(|commit| commit.position.sequence));
    }
    sequences
}

#[tokio::test]
async fn from_the_start_from_the_middle_and_on_to_the_news() {
    let world = World::new().await;
    let journal = world.journal().await;
    let receipts = open_sites(&journal, START, 1_200).await;

    let mut whole = journal.follow(&cardio(), 0).await.unwrap();
    assert_eq!(take(&mut whole, 1_200).await, (1..=1_200).collect::<Vec<_>>());
    let mut middle = journal.follow(&cardio(), 700).await.unwrap();
    let commits = next(&mut middle, 10).await;
    assert!(commits.len() <= 10);
    assert_eq!((commits[0].position.sequence, commits[0].hash), (701, receipts[700].tail.hash));
    let rest = 500 - commits.len();
    assert_eq!(take(&mut middle, rest).await.last(), Some(&1_200));

    // News, while the feed waits for it.
    let stream = participant();
    let news = consented(&stream, START, "news");
    let (seen, appended) = tokio::join!(next(&mut whole, 10), journal.append(news));
    let receipt = appended.unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!((&seen[0].header.stream, seen[0].tail(), &seen[0].position), (&stream, receipt.tail, &receipt.position));
    assert!(seen[0].traceparent.is_some());
    assert_eq!(take(&mut middle, 1).await, vec![1_201]);
}

#[tokio::test]
async fn a_wait_that_was_given_up_loses_nothing() {
    let world = World::new().await;
    let journal = world.journal().await;
    let mut feed = journal.follow(&cardio(), 0).await.unwrap();
    let mut seen = Vec::new();
    for n in 0..100 {
        let tail = journal.load(&study(), START).await.unwrap().last().map_or(START, Commit::tail);
        journal.append(site_opened(tail, &format!("site-{n}"))).await.unwrap();
        // Given up sooner or later, before, within or after the delivery.
        if let Ok(commits) = timeout(Duration::from_micros(n * 20), feed.next(5)).await {
            seen.extend(commits.unwrap().iter().map(|commit| commit.position.sequence));
        }
    }
    let rest = 100 - seen.len();
    seen.extend(take(&mut feed, rest).await);
    assert_eq!(seen, (1..=100).collect::<Vec<_>>());
}

#[tokio::test]
async fn fillers_of_guards_are_not_seen() {
    let world = World::new().await;
    let journal = world.journal().await;
    let one = journal.append(site_opened(START, "oslo")).await.unwrap();
    world.journal().await.append(consented(&participant(), START, "1")).await.unwrap();
    let guarded = Draft { guard: Some((study(), one.tail)), ..consented(&participant(), START, "2") };
    assert_eq!(journal.append(guarded).await.unwrap().position.sequence, 4);
    let mut feed = journal.follow(&cardio(), 0).await.unwrap();
    assert_eq!(take(&mut feed, 3).await, vec![1, 2, 4]);

    // A filler with something in it is none.
    world.wire().await.publish(Outgoing::new(guard_subject(&cardio()), "x")).await.unwrap();
    let error = timeout(HANGS, feed.next(1)).await.unwrap().unwrap_err();
    assert!(matches!(error, Failure::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn beyond_the_end_is_damage() {
    let world = World::new().await;
    let journal = world.journal().await;
    open_sites(&journal, START, 2).await;
    assert!(journal.follow(&cardio(), 2).await.is_ok());
    let error = journal.follow(&cardio(), 3).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("ends at sequence 2"), "{error}");
}

#[tokio::test]
async fn a_feed_outlives_the_server() {
    let world = World::new().await;
    let journal = world.journal().await;
    let mut tail = START;
    let mut feed = journal.follow(&cardio(), 0).await.unwrap();
    for round in 1..=3 {
        let receipt = journal.append(site_opened(tail, &format!("site-{round}"))).await.unwrap();
        tail = receipt.tail;
        let arrived = async {
            loop {
                match feed.next(10).await {
                    Ok(commits) => return commits,
                    Err(Failure::Unavailable { .. }) => tokio::task::yield_now().await,
                    Err(other) => panic!("{other}"),
                }
            }
        };
        let commits = timeout(HANGS, arrived).await.expect("the feed did not come back");
        assert_eq!(commits.iter().map(|commit| commit.position.sequence).collect::<Vec<_>>(), vec![round]);
        world.kill_and_wait().await;
    }
}
