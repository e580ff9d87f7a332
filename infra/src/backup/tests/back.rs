//! Getting the record back.

use bytes::Bytes;
use domain::port::Journal as _;
use tokio::sync::Notify;

use super::bench::*;
use crate::archive::{ArchiveReader, Origin};
use crate::backup::*;
use crate::journal::names::guard_subject;
use crate::journal::raw::RawReader;
use crate::journal::tests::proxy::Proxy;
use crate::journal::tests::world::{START, World, cardio, open_sites, study, tenant};
use crate::journal::{JetStreamJournal, Lane, Outgoing, Wire};
use crate::off_site::contract::Scratch;

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

    let journal = JetStreamJournal::open(client, &tenant(), bench.world.sealer.clone(), &[cardio()], &Lane::default())
        .await
        .unwrap();
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
