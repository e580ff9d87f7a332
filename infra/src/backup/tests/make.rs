//! Making them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use age::x25519::Identity;
use async_trait::async_trait;
use domain::history::Tail;
use domain::port::{Failure, HeadTag, OffSite, SwapError};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::bench::*;
use crate::archive::Origin;
use crate::backup::source::Source;
use crate::backup::*;
use crate::journal::Outgoing;
use crate::journal::raw::RawReader;
use crate::journal::tests::world::{HANGS, START, World, open_sites, tenant};
use crate::off_site::MemoryOffSite;
use crate::off_site::contract::Scratch;
use crate::off_site::seaweed::{SeaweedServer, locate_or_install};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_backup_sends_only_what_is_new() {
    let bench = Bench::new().await;
    bench.large_commits(20).await;
    let first = bench.back_up("one").await;
    assert!(first.chunks_sent >= 2 && first.bytes_sent > 10_000_000, "{first:?}");
    bench.guarded_commit().await;
    let second = bench.back_up("two").await;
    assert_eq!((second.messages_sent, second.chunks_sent), (2, 1));
    assert!(second.bytes_sent < 10_000, "{second:?}");
    assert_eq!(second.chunks_used_again, first.chunks_sent);
    assert_eq!(bench.verify("two").await.faults, []);
    assert!(matches!(
        bench.back_up_to(&bench.place, "two", &[bench.identity.to_public()]).await,
        Err(BackupError::Exists(_))
    ));

    // For another recipient everything is encrypted anew.
    let other = Identity::generate();
    let both = [bench.identity.to_public(), other.to_public()];
    let third = bench.back_up_to(&bench.place, "three", &both).await.unwrap();
    assert_eq!((third.chunks_used_again, third.messages_sent), (0, 22));
    let found = list(&bench.shared(), &bench.signer.key()).await.unwrap();
    assert_eq!(found.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["one", "three", "two"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_of_a_past_that_was_restored_over_or_planted_are_not_used_again() {
    let bench = Bench::new().await;
    open_sites(&bench.world.journal().await, START, 5).await;
    let first = bench.back_up("one").await;
    let chunk = &first.manifest.journals[1].chunks[0];

    // Another journal of the same name, of which as much was written.
    let other = Bench {
        place: bench.place.clone(),
        signer: TestSigner::new(1),
        identity: bench.identity.clone(),
        ..Bench::new().await
    };
    open_sites(&other.world.journal().await, START, 5).await;
    let second = other.back_up("two").await;
    assert_eq!((second.chunks_used_again, second.messages_sent), (0, 5));

    // The same journal, and a receipt that somebody else signed.
    let receipt = format!("{}.json", chunk.name.trim_end_matches(".age"));
    bench.place.damage(&receipt, |bytes| {
        let text = String::from_utf8(bytes).unwrap();
        Some(text.replace("\"messages\":5", "\"messages\":4").into_bytes())
    });
    let third = bench.back_up("three").await;
    assert_eq!((third.chunks_used_again, third.messages_sent), (0, 5));
    let fourth = bench.back_up("four").await;
    assert_eq!((fourth.chunks_used_again, fourth.messages_sent), (1, 0));
}

/// Takes so many objects, then never answers again.
struct Stalls {
    inner: MemoryOffSite,
    left: AtomicUsize,
    stalled: Notify,
}

#[async_trait]
impl OffSite for Stalls {
    async fn head(&self) -> Result<Option<(Vec<u8>, HeadTag)>, Failure> {
        self.inner.head().await
    }
    async fn swap_head(&self, expected: Option<&HeadTag>, bytes: &[u8]) -> Result<HeadTag, SwapError> {
        self.inner.swap_head(expected, bytes).await
    }
    async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        if self.left.load(Ordering::SeqCst) == 0 {
            self.stalled.notify_one();
            std::future::pending::<()>().await;
        }
        self.left.fetch_sub(1, Ordering::SeqCst);
        self.inner.put(name, bytes).await
    }
    async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        self.inner.get(name).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<String>, Failure> {
        self.inner.list(prefix).await
    }
    fn describe(&self) -> String {
        self.inner.describe()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_backup_goes_on_where_it_was() {
    let bench = Bench::new().await;
    bench.large_commits(35).await;
    // A chunk and its receipt, then a chunk without: that one is sent again.
    let to = [bench.identity.to_public()];
    let stalls = Stalls { inner: bench.place.clone(), left: AtomicUsize::new(3), stalled: Notify::new() };
    tokio::select! {
        outcome = bench.back_up_to(&stalls, "one", &to) => panic!("{outcome:?}"),
        () = stalls.stalled.notified() => {}
    }
    assert!(list(&bench.shared(), &bench.signer.key()).await.unwrap().is_empty(), "half a backup is none");
    let report = bench.back_up("one").await;
    assert_eq!(report.chunks_used_again, 1);
    assert!(report.chunks_sent >= 2, "{report:?}");
    let verified = bench.verify("one").await;
    assert_eq!((verified.faults.len(), verified.messages), (0, Some(35)));
}

#[tokio::test(flavor = "multi_thread")]
async fn writing_goes_on_meanwhile_and_the_backup_is_consistent() {
    let bench = Bench::new().await;
    let journal = bench.world.journal().await;
    let mut tail = open_sites(&journal, START, 300).await.last().unwrap().tail;
    // More places than a page of messages holds.
    for from in [0_u64, 300] {
        let node = |n: u64| Outgoing::new(format!("keys.acme.bucket.{n}"), n.to_string());
        bench.world.wire().await.publish_batch((from..from + 300).map(node).collect()).await.unwrap();
    }
    let (stop, has_written) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (stopped, written, nodes) = (stop.clone(), has_written.clone(), bench.world.wire().await);
    let writer = tokio::spawn(async move {
        let mut count = 600_u64;
        loop {
            tail = open_sites(&journal, tail, 1).await[0].tail;
            nodes.publish(Outgoing::new(format!("keys.acme.bucket.{}", count % 600), count.to_string())).await.unwrap();
            count += 1;
            written.notify_one();
            if futures_util::FutureExt::now_or_never(stopped.notified()).is_some() {
                return (count, tail);
            }
        }
    });
    timeout(HANGS, has_written.notified()).await.unwrap();
    let report = bench.back_up("one").await;
    stop.notify_one();
    let (count, _): (u64, Tail) = writer.await.unwrap();
    let through = report.manifest.journals[1].through;
    assert!((300..=300 + count - 600).contains(&through), "{through}");
    let verified = bench.verify("one").await;
    assert_eq!(verified.faults, []);

    // The key tree as it was at one moment: the newest numbers without a gap, one for each place.
    let mut last = BTreeMap::new();
    let backup = bench.open("one").await;
    let mut messages = backup.read(&Origin::Keys(tenant()), &bench.identity).unwrap();
    while let Some(chunk) = messages.next().await.unwrap() {
        last.extend(
            chunk
                .into_iter()
                .map(|node| (node.subject, std::str::from_utf8(&node.payload).unwrap().parse::<u64>().unwrap())),
        );
    }
    let mut numbers: Vec<u64> = last.into_values().collect();
    numbers.sort_unstable();
    let newest = *numbers.last().unwrap();
    assert_eq!(numbers, (newest.saturating_sub(599)..=newest).collect::<Vec<_>>());
}

#[tokio::test]
async fn nodes_that_are_replaced_while_they_are_read_are_read_again() {
    let world = World::new().await;
    let write = async |round: u64| {
        for from in [0, 300] {
            let node = |n: u64| Outgoing::new(format!("keys.acme.bucket.{n}"), format!("{round}"));
            world.wire().await.publish_batch((from..from + 300).map(node).collect()).await.unwrap();
        }
    };
    write(1).await;
    let reader = RawReader::of_keys(world.client().await, &tenant());
    let mut source = Source::new(Origin::Keys(tenant()), reader, 600);
    let mut last = BTreeMap::new();
    for count in 0.. {
        if count == 400 {
            write(2).await;
        }
        let Some(node) = source.next().await.unwrap() else { break };
        last.insert(node.subject, node.payload);
    }
    assert_eq!(last.len(), 600);
    assert!(last.values().all(|payload| payload == "2"), "torn");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_lies_in_a_bucket_with_object_lock() {
    let bench = Bench::new().await;
    bench.large_commits(20).await;
    let scratch = Scratch::new();
    let binary = locate_or_install(|line| eprintln!("{line}")).unwrap();
    let server = SeaweedServer::start(&binary, &scratch.0).await.unwrap();
    server.create_locked_bucket("backups", 1).await.unwrap();
    let place = server.place("backups").open(&tenant()).unwrap();
    let to = [bench.identity.to_public()];
    let first = bench.back_up_to(&*place, "one", &to).await.unwrap();
    assert!(first.chunks_sent >= 2, "{first:?}");
    bench.guarded_commit().await;
    let second = bench.back_up_to(&*place, "two", &to).await.unwrap();
    assert_eq!((second.messages_sent, second.chunks_used_again), (2, first.chunks_sent));
    for id in ["one", "two"] {
        let found = verify(place.clone(), id, &bench.signer.key(), Some(&bench.identity), &nobody).await.unwrap();
        assert_eq!(found.faults, [], "{id}");
    }
    assert_eq!(list(&place, &bench.signer.key()).await.unwrap().len(), 2);
}
