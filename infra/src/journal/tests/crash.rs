//! The server is killed while commits are appended: what was acknowledged is there, once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::history::{StreamId, Tail};
use domain::ids::CommandId;
use domain::port::{AppendError, Draft, Journal as _, Receipt};

use super::world::{START, World, cardio, consented, participant, site_opened, study};
use crate::journal::JetStreamJournal;

/// So many that they go together, as batches.
const WRITERS: usize = 40;
const KILLS: usize = 3;

type Acknowledged = BTreeMap<CommandId, Receipt>;

/// Appends to a stream of its own, every fifth commit a new guarded stream, until told to stop.
async fn write(journal: Arc<JetStreamJournal>, guard: Tail, stop: Arc<AtomicBool>) -> (Vec<StreamId>, Acknowledged) {
    let mut streams = vec![participant()];
    let mut acknowledged = Acknowledged::new();
    let mut tail = START;
    for n in 0.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        if n % 5 == 4 {
            streams.push(participant());
            tail = START;
        }
        let stream = &streams[streams.len() - 1];
        let guard = (tail == START).then(|| (study(), guard));
        let draft = Draft { guard, ..consented(stream, tail, &n.to_string()) };
        let command = draft.command;
        match journal.append(draft).await {
            Ok(receipt) => {
                tail = receipt.tail;
                assert!(acknowledged.insert(command, receipt).is_none());
            }
            Err(AppendError::Failed(failure)) => {
                eprintln!("not acknowledged: {failure}");
                streams.push(participant());
                tail = START;
            }
            Err(other) => panic!("a stream of its own, and {other:?}"),
        }
    }
    (streams, acknowledged)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_commit_is_there_once() {
    let world = World::new().await;
    let journal = Arc::new(world.journal().await);
    let guard = journal.append(site_opened(START, "oslo")).await.unwrap().tail;
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS).map(|_| tokio::spawn(write(journal.clone(), guard, stop.clone()))).collect();

    for _ in 0..KILLS {
        // Under load: at least so many more commits than at the last kill.
        let before = head(&journal).await;
        while head(&journal).await < before + 40 {}
        world.kill_and_wait().await;
    }
    let before = head(&journal).await;
    while head(&journal).await < before + 40 {}
    stop.store(true, Ordering::SeqCst);

    let mut acknowledged = Acknowledged::new();
    let mut streams = Vec::new();
    for writer in writers {
        let (more_streams, more) = writer.await.unwrap();
        streams.extend(more_streams);
        acknowledged.extend(more);
    }
    let mut found: BTreeMap<CommandId, Vec<Receipt>> = BTreeMap::new();
    let fresh = world.journal().await;
    for stream in &streams {
        for commit in fresh.load(stream, START).await.unwrap() {
            let receipt = Receipt { tail: commit.tail(), position: commit.position };
            found.entry(commit.header.command).or_default().push(receipt);
        }
    }
    assert!(acknowledged.len() > KILLS * 40, "too few to say anything: {}", acknowledged.len());
    for (command, receipt) in &acknowledged {
        assert_eq!(found.get(command), Some(&vec![receipt.clone()]), "{command}");
    }
    assert!(found.values().all(|receipts| receipts.len() == 1), "a command was stored twice");
}

/// Where the journal stream ends, once it answers.
async fn head(journal: &JetStreamJournal) -> u64 {
    loop {
        if let Ok(position) = journal.head(&cardio()).await {
            return position.sequence;
        }
    }
}
