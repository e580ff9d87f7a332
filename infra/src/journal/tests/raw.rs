//! Messages as they are stored.

use bytes::Bytes;
use domain::port::{Draft, Failure};

use super::world::{START, TRACEPARENT, World, cardio, consented, open_sites, participant, study, tenant};
use crate::journal::names::{guard_subject, stream_subject};
use crate::journal::raw::{RawMessage, RawReader};
use crate::journal::{Outgoing, Wire};

async fn all(reader: &RawReader) -> Vec<RawMessage> {
    let through = reader.state().await.unwrap().last;
    let mut messages: Vec<RawMessage> = Vec::new();
    while (messages.len() as u64) < through {
        messages.extend(reader.page(messages.len() as u64 + 1, through).await.unwrap());
    }
    messages
}

#[tokio::test]
async fn a_journal_stream_is_read_to_its_end_with_its_guards_and_headers() {
    let world = World::new().await;
    let journal = world.journal().await;
    let receipts = open_sites(&journal, START, 300).await;
    let person = participant();
    let guard = Some((study(), receipts.last().unwrap().tail));
    let draft = Draft { guard, ..consented(&person, START, "1") };
    let wire = Wire::new(world.client().await);
    let sealed = world.sealed(&draft, START).await;
    let filler = Outgoing::new(guard_subject(&cardio()), Bytes::new()).expecting_of(&stream_subject(&study()), 300);
    let commit = Outgoing::new(stream_subject(&person), sealed.bytes.clone()).expecting(0);
    wire.publish_batch(vec![filler, commit]).await.unwrap();

    let reader = RawReader::new(world.client().await, &cardio());
    let messages = all(&reader).await;
    assert_eq!(messages.iter().map(|message| message.sequence).collect::<Vec<_>>(), (1..=302).collect::<Vec<_>>());
    assert!(messages[..300].iter().all(|message| message.subject == stream_subject(&study())));
    assert!(messages[0].headers.contains(&("traceparent".to_owned(), TRACEPARENT.to_owned())));
    assert!(messages[0].headers.iter().all(|(name, _)| name != "Nats-Sequence" && name != "Nats-Time-Stamp"));
    assert_eq!((messages[300].subject.as_str(), messages[300].payload.len()), ("evt.acme.cardio._guard", 0));
    assert_eq!(messages[301].payload, sealed.bytes);

    // One by one from the leader they are the same.
    for sequence in [1, 301, 302] {
        assert_eq!(reader.at(sequence).await.unwrap().as_ref(), messages.get(sequence as usize - 1), "{sequence}");
    }
    assert_eq!(reader.at(303).await.unwrap(), None);
    assert_eq!(reader.of_stream(&study(), 290).await.unwrap(), messages[289..300]);
    assert_eq!(reader.of_stream(&person, 1).await.unwrap(), messages[301..]);
    let state = reader.state().await.unwrap();
    assert_eq!((state.first, state.last, state.messages, state.incarnation), (1, 302, 302, Some(1)));
    let mut subjects = vec![(stream_subject(&person), 1), (stream_subject(&study()), 300)];
    subjects.sort();
    assert_eq!(reader.subjects("evt.acme.cardio.*.*").await.unwrap(), subjects);
}

#[tokio::test]
async fn a_message_that_is_gone_is_named() {
    let mut world = World::new().await;
    let journal = world.journal().await;
    open_sites(&journal, START, 5).await;
    let reader = RawReader::new(world.client().await, &cardio());
    let victim = reader.at(3).await.unwrap().unwrap().payload;
    drop(journal);
    world
        .change_on_disk(|bytes| {
            let place = bytes.windows(victim.len()).position(|window| window == victim).unwrap();
            bytes[place + victim.len() / 2] ^= 1;
        })
        .await;

    let reader = RawReader::new(world.client().await, &cardio());
    let read = async {
        let mut from = 1;
        loop {
            match reader.page(from, 5).await {
                Ok(page) => from = page.last().unwrap().sequence + 1,
                Err(failure) => return failure,
            }
        }
    };
    match read.await {
        Failure::Damaged { what, detail } => {
            assert_eq!(what, "journal stream EVT_acme_cardio");
            assert_eq!(detail, "message 3 cannot be read");
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_missing_journal_stream_is_missing_and_an_empty_one_is_empty() {
    let world = World::bare().await;
    let reader = RawReader::of_keys(world.client().await, &tenant());
    assert!(matches!(reader.state().await, Err(Failure::Missing { .. })));
    assert!(matches!(reader.page(1, 5).await, Err(Failure::Missing { .. })));

    world.provisioner().await.tenant(&tenant()).await.unwrap();
    assert_eq!(reader.state().await.unwrap().last, 0);
    assert_eq!(reader.page(1, 0).await.unwrap(), vec![]);
    assert_eq!(reader.sparse_page(1, 5).await.unwrap(), vec![]);
    let nodes = Wire::new(world.client().await);
    for text in ["one", "two"] {
        nodes.publish(Outgoing::new("keys.acme.top", text)).await.unwrap();
    }
    let nodes = reader.sparse_page(1, 5).await.unwrap();
    assert_eq!(nodes.iter().map(|node| (node.sequence, &node.payload[..])).collect::<Vec<_>>(), [(2, &b"two"[..])]);
}
