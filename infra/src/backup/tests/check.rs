//! Checking them.

use age::x25519::Identity;
use domain::port::{OffSite as _, PublicKey};

use super::bench::*;
use crate::archive::Origin;
use crate::backup::*;
use crate::journal::Outgoing;
use crate::journal::names::{guard_subject, stream_subject};
use crate::journal::tests::world::{START, cardio, consented};

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
