//! Stored bytes that are not what was written are an alarm, never a shorter history.

use domain::history::{History, StreamId, Tail};
use domain::port::{Draft, Failure, Journal as _};
use tokio::time::timeout;

use super::world::{HANGS, START, World, cardio, consented, participant, study};
use crate::journal::names::stream_subject;
use crate::journal::{JetStreamJournal, Outgoing, Which};

/// Writes as no journal would.
async fn publish_raw(world: &World, stream: &StreamId, bytes: Vec<u8>) {
    world.wire().await.publish(Outgoing::new(stream_subject(stream), bytes)).await.unwrap();
}

async fn damaged_load(journal: &JetStreamJournal, stream: &StreamId, after: Tail) -> String {
    damage(journal.load(stream, after).await)
}

fn damage(outcome: Result<History, Failure>) -> String {
    match outcome {
        Err(failure @ Failure::Damaged { .. }) => failure.to_string(),
        Ok(commits) => panic!("{} commits were loaded", commits.len()),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_commit_that_does_not_continue_its_stream() {
    let world = World::new().await;
    let journal = world.journal().await;
    type Forge = fn(Tail) -> Tail;
    let wrong_revision: Forge = |tail| Tail { revision: tail.revision.next(), ..tail };
    let repeated_revision: Forge = |tail| Tail { revision: START.revision, ..tail };
    let wrong_previous: Forge = |tail| Tail { hash: START.hash, ..tail };
    let right: Forge = |tail| tail;

    for (name, forge, fault) in [
        ("wrong revision", wrong_revision, Some("revision 3")),
        ("repeated revision", repeated_revision, Some("revision 1")),
        ("wrong previous hash", wrong_previous, Some("does not name the hash")),
        ("right", right, None),
    ] {
        let stream = participant();
        let one = journal.append(consented(&stream, START, "1")).await.unwrap();
        let forged = world.sealed(&consented(&stream, START, "2"), forge(one.tail)).await;
        publish_raw(&world, &stream, forged.bytes).await;

        for journal in [&journal, &world.journal().await] {
            for after in [START, one.tail] {
                match fault {
                    Some(fault) => {
                        let text = damaged_load(journal, &stream, after).await;
                        assert!(text.contains(fault), "{name}: {text}");
                    }
                    None => assert!(journal.load(&stream, after).await.is_ok(), "{name}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn garbage_and_a_commit_of_another_stream() {
    let world = World::new().await;
    let journal = world.journal().await;
    let (mine, other) = (participant(), participant());
    let sealed = world.sealed(&consented(&other, START, "1"), START).await;
    let mut flipped = world.sealed(&consented(&mine, START, "1"), START).await.bytes;
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    for (name, bytes) in [("other stream", sealed.bytes), ("garbage", b"garbage".to_vec()), ("nothing", vec![])] {
        let stream = if name == "other stream" { mine.clone() } else { participant() };
        publish_raw(&world, &stream, bytes).await;
        damaged_load(&journal, &stream, START).await;
    }
    let stream = StreamId { id: mine.id.clone(), ..study() };
    publish_raw(&world, &stream, flipped).await;
    damaged_load(&journal, &stream, START).await;
}

#[tokio::test]
async fn a_flipped_bit() {
    let world = World::new().await;
    let journal = world.journal().await;
    let stream = participant();
    let mut flipped = world.sealed(&consented(&stream, START, "1"), START).await.bytes;
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    publish_raw(&world, &stream, flipped).await;
    damaged_load(&journal, &stream, START).await;
}

#[tokio::test]
async fn a_history_that_was_longer_or_different() {
    let world = World::new().await;
    let journal = world.journal().await;
    let stream = participant();
    let one = journal.append(consented(&stream, START, "1")).await.unwrap();
    let two = journal.append(consented(&stream, one.tail, "2")).await.unwrap();
    let longer = Tail { revision: two.tail.revision.next(), hash: two.tail.hash };
    let different = Tail { hash: two.tail.hash, ..one.tail };

    for (after, fault) in [(longer, "is not there"), (different, "not the one that was read before")] {
        for journal in [&journal, &world.journal().await] {
            let text = damaged_load(journal, &stream, after).await;
            assert!(text.contains(fault), "{text}");
        }
    }
    assert!(damaged_load(&journal, &participant(), one.tail).await.contains("is not there"));
}

#[tokio::test]
async fn an_end_that_cannot_be_read_is_no_conflict() {
    let world = World::new().await;
    let stream = participant();
    let one = world.journal().await.append(consented(&stream, START, "1")).await.unwrap();
    publish_raw(&world, &stream, b"garbage".to_vec()).await;
    let draft: Draft = consented(&stream, one.tail, "2");
    let error = world.journal().await.append(draft).await.unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
}

#[tokio::test]
async fn a_feed_hands_out_what_is_whole_and_stops_at_damage() {
    let world = World::new().await;
    let journal = world.journal().await;
    let stream = participant();
    journal.append(consented(&stream, START, "1")).await.unwrap();
    publish_raw(&world, &participant(), b"garbage".to_vec()).await;
    journal.append(consented(&participant(), START, "3")).await.unwrap();

    let mut feed = journal.follow(&cardio(), 0).await.unwrap();
    assert_eq!(feed.next(1).await.unwrap()[0].position.sequence, 1);
    for _ in 0..2 {
        let text = damage(feed.next(10).await.map(History::of));
        assert!(text.contains("cardio:1:2"), "{text}");
    }
}

/// The server does not say a word about a message that it cannot read: it leaves it out.
#[tokio::test]
async fn a_message_that_the_disk_lost_is_missed() {
    for lost in [2, 3] {
        let mut world = World::new().await;
        let journal = world.journal().await;
        let stream = participant();
        let mut tail = START;
        let mut stored = Vec::new();
        for n in 1..=3 {
            tail = journal.append(consented(&stream, tail, &n.to_string())).await.unwrap().tail;
            stored.push(world.wire().await.message("EVT_acme_cardio", Which::At(n)).await.unwrap().unwrap().payload);
        }
        let bytes = &stored[lost as usize - 1];
        world
            .change_on_disk(|block| {
                let at = block.windows(bytes.len()).position(|window| window == bytes).expect("the message is on disk");
                block[at + bytes.len() / 2] ^= 1;
            })
            .await;

        let journal = world.journal().await;
        let outcome = journal.load(&stream, START).await;
        damage(outcome);
        let mut feed = journal.follow(&cardio(), 0).await.unwrap();
        let mut seen: u64 = 0;
        let failure = loop {
            match timeout(HANGS, feed.next(1)).await.expect("no news") {
                Ok(commits) => seen += commits.len() as u64,
                Err(failure) => break failure,
            }
        };
        assert!(matches!(failure, Failure::Damaged { .. }), "{lost}: {failure}");
        assert_eq!(seen, lost - 1);
    }
}
