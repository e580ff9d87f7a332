//! Backups of a real nats-server, and back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use age::x25519::{Identity, Recipient};
use async_trait::async_trait;
use bytes::Bytes;
use domain::history::{JournalId, StreamId, Tail};
use domain::port::{Failure, HeadTag, Journal as _, OffSite, PublicKey, Signature, Signer, SwapError};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use time::macros::datetime;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::source::Source;
use super::*;
use crate::archive::{ArchiveReader, Origin};
use crate::journal::names::{guard_subject, stream_subject};
use crate::journal::raw::{RawMessage, RawReader};
use crate::journal::tests::proxy::Proxy;
use crate::journal::tests::world::{HANGS, START, World, cardio, consented, open_sites, participant, study, tenant};
use crate::journal::{JetStreamJournal, Outgoing, Wire};
use crate::off_site::MemoryOffSite;
use crate::off_site::contract::Scratch;
use crate::off_site::seaweed::{SeaweedServer, locate_or_install};

struct TestSigner(Ed25519KeyPair);

impl TestSigner {
    fn new(seed: u8) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
    }

    fn key(&self) -> PublicKey {
        PublicKey(self.0.public_key().as_ref().try_into().unwrap())
    }
}

#[async_trait]
impl Signer for TestSigner {
    async fn public_key(&self) -> Result<PublicKey, Failure> {
        Ok(self.key())
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, Failure> {
        Ok(Signature(self.0.sign(message).as_ref().try_into().unwrap()))
    }
}

fn nobody(_: Progress) {}

fn own() -> JournalId {
    JournalId { tenant: tenant(), study: None }
}

fn order(id: &str) -> Order {
    Order {
        tenant: tenant(),
        id: id.to_owned(),
        created: datetime!(2026-11-22 12:00 UTC),
        journals: vec![own(), cardio()],
        studies: vec![BackedUpStudy { study: "cardio".parse().unwrap(), environment: None }],
        keys: None,
    }
}

/// What the tests of this page share.
struct Bench {
    world: World,
    place: MemoryOffSite,
    signer: TestSigner,
    identity: Identity,
}

impl Bench {
    async fn new() -> Self {
        let (signer, identity) = (TestSigner::new(1), Identity::generate());
        Self { world: World::new().await, place: MemoryOffSite::default(), signer, identity }
    }

    async fn back_up(&self, id: &str) -> Report {
        self.back_up_to(&self.place, id, &[self.identity.to_public()]).await.unwrap()
    }

    async fn back_up_to(&self, place: &dyn OffSite, id: &str, to: &[Recipient]) -> Result<Report, BackupError> {
        let client = self.world.client().await;
        create(&order(id), &client, place, to, &self.signer, &nobody).await
    }

    async fn verify(&self, id: &str) -> Verified {
        verify(self.shared(), id, &self.signer.key(), Some(&self.identity), &nobody).await.unwrap()
    }

    async fn open(&self, id: &str) -> Backup {
        Backup::open(self.shared(), id, &self.signer.key()).await.unwrap()
    }

    fn shared(&self) -> Arc<dyn OffSite> {
        Arc::new(self.place.clone())
    }

    /// Commits of one participant each, so large that `count` of them take several chunks.
    async fn large_commits(&self, count: usize) {
        let journal = self.world.journal().await;
        let text = "x".repeat(500_000);
        for _ in 0..count {
            journal.append(consented(&participant(), START, &text)).await.unwrap();
        }
    }

    /// A commit with a filler before it, as an append with a guard writes them.
    async fn guarded_commit(&self) -> StreamId {
        let stream = participant();
        let sealed = self.world.sealed(&consented(&stream, START, "guarded"), START).await;
        let filler = Outgoing::new(guard_subject(&cardio()), Bytes::new());
        let commit = Outgoing::new(stream_subject(&stream), sealed.bytes).expecting(0);
        self.world.wire().await.publish_batch(vec![filler, commit]).await.unwrap();
        stream
    }

    async fn stored(&self) -> Vec<RawMessage> {
        all(&RawReader::new(self.world.client().await, &cardio())).await
    }
}

async fn all(reader: &RawReader) -> Vec<RawMessage> {
    let through = reader.state().await.unwrap().last;
    let mut messages: Vec<RawMessage> = Vec::new();
    while (messages.len() as u64) < through {
        messages.extend(reader.page(messages.len() as u64 + 1, through).await.unwrap());
    }
    messages
}

/// What an import brings back: all but times and the headers of expectations and batches.
fn essence(messages: &[RawMessage]) -> Vec<(u64, &str, &[u8], Vec<&str>)> {
    let traces = |message: &'_ RawMessage| -> Vec<usize> {
        (0..message.headers.len()).filter(|at| message.headers[*at].0 == "traceparent").collect()
    };
    let each = messages.iter().map(|message| {
        let traces = traces(message).into_iter().map(|at| message.headers[at].1.as_str()).collect();
        (message.sequence, message.subject.as_str(), &message.payload[..], traces)
    });
    each.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_comes_back_message_by_message() {
    let bench = Bench::new().await;
    open_sites(&bench.world.journal().await, START, 1200).await;
    let person = bench.guarded_commit().await;
    let wire = bench.world.wire().await;
    for (place, text) in [("top", "old"), ("node.7f", "node"), ("top", "new")] {
        wire.publish(Outgoing::new(format!("keys.acme.{place}"), text)).await.unwrap();
    }
    let report = bench.back_up("one").await;
    assert_eq!(report.messages_sent, 1204);
    let verified = bench.verify("one").await;
    assert_eq!((verified.faults.as_slice(), verified.messages), (&[][..], Some(1204)));
    let journals: Vec<_> = report.manifest.journals.iter().map(|one| (one.journal.as_str(), one.through)).collect();
    assert_eq!(journals, [("_", 0), ("cardio", 1202), ("_keys", 3)]);

    let elsewhere = World::bare().await;
    let provisioner = elsewhere.provisioner().await;
    provisioner.tenant(&tenant()).await.unwrap();
    provisioner.restored(&cardio(), &[(1, 1), (2, 1203)]).await.unwrap();
    assert!(provisioner.restored(&cardio(), &[(1, 1), (2, 9)]).await.is_err(), "other incarnations");
    let backup = bench.open("one").await;
    let (events, client) = (Origin::Events(cardio()), elsewhere.client().await);
    let imported = import(&client, &mut backup.read(&events, &bench.identity).unwrap(), &nobody).await.unwrap();
    assert_eq!(imported, Imported { found: 0, written: 1202 });
    let again = import(&client, &mut backup.read(&events, &bench.identity).unwrap(), &nobody).await.unwrap();
    assert_eq!(again, Imported { found: 1202, written: 0 });

    let reader = RawReader::new(client.clone(), &cardio());
    let (before, after) = (bench.stored().await, all(&reader).await);
    assert_eq!(essence(&after), essence(&before));
    assert_eq!(reader.incarnations().await.unwrap(), [(1, 1), (2, 1203)]);
    keys_come_back(&bench, &backup, &client).await;

    let journal = JetStreamJournal::open(client, &tenant(), bench.world.sealer.clone(), &[cardio()]).await.unwrap();
    let before = bench.world.journal().await.load(&study(), START).await.unwrap();
    let after = journal.load(&study(), START).await.unwrap();
    let hashes = |history: &domain::history::History| history.iter().map(|commit| commit.hash).collect::<Vec<_>>();
    assert_eq!(hashes(&after), hashes(&before));
    journal.load(&person, START).await.unwrap();
    assert_eq!(journal.head(&cardio()).await.unwrap().incarnation, 2);
}

async fn keys_come_back(bench: &Bench, backup: &Backup, client: &async_nats::Client) {
    let keys = Origin::Keys(tenant());
    let mut nodes = Vec::new();
    let mut messages = backup.read(&keys, &bench.identity).unwrap();
    while let Some(chunk) = messages.next().await.unwrap() {
        nodes.extend(chunk);
    }
    for expected in [Imported { found: 0, written: 2 }, Imported { found: 2, written: 0 }] {
        assert_eq!(import_nodes(client, &tenant(), nodes.clone()).await.unwrap(), expected);
    }
    let top = RawReader::of_keys(client.clone(), &tenant()).last_of("keys.acme.top").await.unwrap().unwrap();
    assert_eq!((&top.payload[..], top.sequence), (&b"new"[..], 2));
    nodes.iter_mut().for_each(|node| node.payload = Bytes::from_static(b"other"));
    assert!(matches!(import_nodes(client, &tenant(), nodes).await, Err(BackupError::Occupied { .. })));
}

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

#[tokio::test(flavor = "multi_thread")]
async fn two_recipients_open_it_and_nobody_else() {
    let bench = Bench::new().await;
    bench.guarded_commit().await;
    let (one, other) = (Identity::generate(), Identity::generate());
    bench.back_up_to(&bench.place, "one", &[one.to_public(), other.to_public()]).await.unwrap();
    for identity in [&one, &other] {
        let found = verify(bench.shared(), "one", &bench.signer.key(), Some(identity), &nobody).await.unwrap();
        assert_eq!((found.faults.len(), found.messages), (0, Some(2)));
    }
    match verify(bench.shared(), "one", &bench.signer.key(), Some(&bench.identity), &nobody).await {
        Err(BackupError::WrongIdentity { recipients }) => assert!(recipients.contains(&one.to_public().to_string())),
        other => panic!("{other:?}"),
    }
    let without = verify(bench.shared(), "one", &bench.signer.key(), None, &nobody).await.unwrap();
    assert_eq!((without.faults.len(), without.messages), (0, None));
    assert!(matches!(bench.back_up_to(&bench.place, "two", &[]).await, Err(BackupError::NoRecipients)));
    // In clear there is nothing of it.
    for name in bench.place.list("").await.unwrap().iter().filter(|name| name.ends_with(".age")) {
        let bytes = bench.place.get(name).await.unwrap().unwrap();
        assert!(!bytes.windows(10).any(|window| window == b"evt.acme.c"), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_cut_altered_or_missing_is_named() {
    let bench = Bench::new().await;
    bench.large_commits(35).await;
    let report = bench.back_up("one").await;
    let chunks = &report.manifest.journals[1].chunks;
    let names: Vec<_> = chunks.iter().map(|chunk| chunk.name.clone()).collect();
    assert!(names.len() >= 3, "{names:?}");
    bench.place.damage(&names[0], |mut bytes| {
        bytes[1000] ^= 1;
        Some(bytes)
    });
    bench.place.damage(&names[1], |bytes| Some(bytes[..bytes.len() - 1].to_vec()));
    bench.place.damage(&names[2], |_| None);

    for identity in [None, Some(&bench.identity)] {
        let found = verify(bench.shared(), "one", &bench.signer.key(), identity, &nobody).await.unwrap();
        let faults: Vec<_> = found.faults.iter().map(|fault| (fault.what.clone(), fault.kind.clone())).collect();
        let should = chunks[1].bytes;
        assert!(matches!(&faults[0], (name, FaultKind::Altered { .. }) if *name == names[0]), "{faults:?}");
        assert_eq!(faults[1], (names[1].clone(), FaultKind::Cut { is: should - 1, should }));
        assert_eq!(faults[2..], [(names[2].clone(), FaultKind::Missing)]);
    }
    let backup = bench.open("one").await;
    match backup.read(&Origin::Events(cardio()), &bench.identity).unwrap().next().await {
        Err(BackupError::Chunk { name, .. }) => assert_eq!(name, names[0]),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_or_foreign_manifest_is_refused() {
    let bench = Bench::new().await;
    bench.guarded_commit().await;
    bench.back_up("one").await;
    let name = "backup/one/manifest.json";
    let good = String::from_utf8(bench.place.get(name).await.unwrap().unwrap()).unwrap();
    let stranger = TestSigner::new(2).key();
    let refusal = async |trust: &PublicKey| match Backup::open(bench.shared(), "one", trust).await {
        Err(error @ BackupError::Refused { .. }) => error.to_string(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was accepted"),
    };
    assert!(refusal(&stranger).await.contains("not by the key that is trusted"));
    for (from, to) in
        [("\"through\":2", "\"through\":1"), ("\"id\":\"one\"", "\"id\":\"two\""), ("{", "{ "), ("}}", "}")]
    {
        let altered = good.replacen(from, to, 1);
        assert_ne!(altered, good, "{from}");
        bench.place.damage(name, |_| Some(altered.into_bytes()));
        let error = refusal(&bench.signer.key()).await;
        assert!(error.contains(name) && error.contains("altered"), "{from}: {error}");
    }
    // A good one under another id.
    bench.place.damage(name, |_| Some(good.clone().into_bytes()));
    bench.place.put("backup/other/manifest.json", good.as_bytes()).await.unwrap();
    assert!(Backup::open(bench.shared(), "other", &bench.signer.key()).await.is_err());
    let listed = list(&bench.shared(), &bench.signer.key()).await.unwrap();
    assert_eq!(
        listed.iter().filter(|one| one.manifest.is_err()).map(|one| one.id.as_str()).collect::<Vec<_>>(),
        ["other"]
    );
    assert!(matches!(Backup::open(bench.shared(), "none", &stranger).await, Err(BackupError::NoSuchBackup(_))));
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
async fn an_interrupted_import_goes_on_and_a_strange_journal_is_refused() {
    let bench = Bench::new().await;
    bench.large_commits(35).await;
    bench.back_up("one").await;
    let backup = bench.open("one").await;
    let elsewhere = World::new().await;
    let client = elsewhere.client().await;
    let events = Origin::Events(cardio());
    let begun = Notify::new();
    let once = |_: Progress| begun.notify_one();
    tokio::select! {
        biased;
        () = begun.notified() => {}
        outcome = async { import(&client, &mut backup.read(&events, &bench.identity).unwrap(), &once).await } => panic!("{outcome:?}"),
    }
    let there = RawReader::new(client.clone(), &cardio()).state().await.unwrap().last;
    assert!((1..35).contains(&there), "{there}");
    let imported = import(&client, &mut backup.read(&events, &bench.identity).unwrap(), &nobody).await.unwrap();
    assert!(imported.found >= there && imported.found + imported.written == 35, "{imported:?}");
    let reader = RawReader::new(client.clone(), &cardio());
    assert_eq!(essence(&all(&reader).await), essence(&bench.stored().await));

    // More than the backup, and something else.
    let wire = Wire::new(client.clone());
    wire.publish(Outgoing::new(guard_subject(&cardio()), Bytes::new())).await.unwrap();
    let outcome = import(&client, &mut backup.read(&events, &bench.identity).unwrap(), &nobody).await;
    assert!(matches!(outcome, Err(BackupError::Occupied { sequence: 36, .. })), "{outcome:?}");
    let strange = World::new().await;
    open_sites(&strange.journal().await, START, 1).await;
    let outcome = import(&strange.client().await, &mut backup.read(&events, &bench.identity).unwrap(), &nobody).await;
    assert!(matches!(outcome, Err(BackupError::Occupied { sequence: 1, .. })), "{outcome:?}");
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

#[tokio::test(flavor = "multi_thread")]
async fn an_import_whose_acknowledgement_is_lost_writes_nothing_twice() {
    let bench = Bench::new().await;
    bench.large_commits(35).await;
    bench.back_up("one").await;
    let backup = bench.open("one").await;
    let elsewhere = World::new().await;
    let proxy = Proxy::before(elsewhere.server.url()).await;
    let (lossy, reader) =
        (elsewhere.client_at(&proxy.url()).await, RawReader::new(elsewhere.client().await, &cardio()));
    let first = std::sync::Once::new();
    let swallow = |_: Progress| first.call_once(|| proxy.swallow_answers(true));
    let mut messages = backup.read(&Origin::Events(cardio()), &bench.identity).unwrap();
    let until_one_was_stored_unheard = async {
        let mut heard = 0;
        loop {
            let last = reader.state().await.unwrap().last;
            if first.is_completed() && heard == 0 {
                heard = last;
            } else if heard > 0 && last > heard {
                proxy.swallow_answers(false);
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let (imported, ()) = tokio::join!(import(&lossy, &mut messages, &swallow), until_one_was_stored_unheard);
    assert_eq!(imported.unwrap(), Imported { found: 0, written: 35 });
    assert_eq!(essence(&all(&reader).await), essence(&bench.stored().await));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_imports_at_once_write_every_message_once() {
    let bench = Bench::new().await;
    open_sites(&bench.world.journal().await, START, 300).await;
    bench.large_commits(20).await;
    bench.back_up("one").await;
    let backup = bench.open("one").await;
    let elsewhere = World::new().await;
    let one = async {
        let mut messages = backup.read(&Origin::Events(cardio()), &bench.identity).unwrap();
        import(&elsewhere.client().await, &mut messages, &nobody).await.unwrap();
    };
    let other = async {
        let mut messages = backup.read(&Origin::Events(cardio()), &bench.identity).unwrap();
        import(&elsewhere.client().await, &mut messages, &nobody).await.unwrap();
    };
    tokio::join!(one, other);
    let reader = RawReader::new(elsewhere.client().await, &cardio());
    assert_eq!(essence(&all(&reader).await), essence(&bench.stored().await));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_does_not_continue_its_stream_is_found() {
    let bench = Bench::new().await;
    let stream = bench.guarded_commit().await;
    let forged = bench.world.sealed(&consented(&stream, START, "2"), START).await;
    bench.world.wire().await.publish(Outgoing::new(stream_subject(&stream), forged.bytes)).await.unwrap();
    bench.world.wire().await.publish(Outgoing::new(guard_subject(&cardio()), "x")).await.unwrap();
    bench.back_up("one").await;
    let faults: Vec<_> = bench.verify("one").await.faults.iter().map(ToString::to_string).collect();
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].starts_with("message 3 (evt.acme.cardio.participant."), "{faults:?}");
    assert!(faults[0].ends_with("it has revision 1, not 2"), "{faults:?}");
    assert!(faults[1].starts_with("message 4 (evt.acme.cardio._guard)"), "{faults:?}");
    // Without an identity nobody looks inside.
    let outside = verify(bench.shared(), "one", &bench.signer.key(), None, &nobody).await.unwrap();
    assert_eq!(outside.faults, []);
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
async fn plain_archives_can_be_extracted() {
    let bench = Bench::new().await;
    bench.large_commits(20).await;
    bench.back_up("one").await;
    let scratch = Scratch::new();
    let files = extract(&bench.open("one").await, &bench.identity, &scratch.0, &nobody).await.unwrap();
    let names: Vec<_> = files.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["_.archive", "cardio.archive", "_keys.archive"]);
    let mut archive = ArchiveReader::open(std::io::BufReader::new(std::fs::File::open(&files[1]).unwrap())).unwrap();
    let mut messages = Vec::new();
    while let Some(message) = archive.next().unwrap() {
        messages.push(message);
    }
    assert_eq!(messages, bench.stored().await);
    assert!(
        extract(&bench.open("one").await, &bench.identity, &scratch.0, &nobody).await.is_err(),
        "nothing is overwritten"
    );
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
