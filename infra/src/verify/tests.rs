use domain::history::Aggregate;
use domain::history::Revision;

use super::clinic::{Clinic, stream};
use super::*;
use crate::journal::raw::RawMessage;
use crate::log::testing::{cardio, own};

async fn verify(clinic: &Clinic, checkpoints: &[Checkpoint], keys: bool) -> Report {
    let what = Journals {
        source: &*clinic.world.journals,
        expected: vec![cardio()],
        checkpoints: checkpoints.to_vec(),
        keys: keys.then_some(&*clinic.tree),
    };
    journals(&what, &mut |_, _, _| {}).await.unwrap()
}

async fn signed(clinic: &Clinic) -> Vec<Checkpoint> {
    vec![clinic.world.checkpoints().force(&cardio()).await.unwrap().checkpoint]
}

fn flip(clinic: &Clinic, index: usize, bit: usize) {
    clinic.world.journals.change(&cardio(), |messages| {
        let mut payload = messages[index].payload.to_vec();
        payload[bit / 8] ^= 1 << (bit % 8);
        messages[index].payload = payload.into();
    });
}

fn messages(clinic: &Clinic) -> Vec<RawMessage> {
    clinic.world.journals.change(&cardio(), |messages| messages.clone())
}

#[tokio::test]
async fn a_whole_journal_is_whole() {
    let clinic = Clinic::small().await;
    let checkpoints = signed(&clinic).await;
    let mut seen = Vec::new();
    let what =
        Journals { source: &*clinic.world.journals, expected: vec![cardio()], checkpoints, keys: Some(&clinic.tree) };
    let report = journals(&what, &mut |_, read, all| seen.push((read, all))).await.unwrap();
    assert_eq!(report.damages, []);
    assert!(report.is_whole() && report.is_authenticated);
    let cardio = JournalReport {
        journal: cardio(),
        last: 8,
        commits: 7,
        guards: 1,
        streams: 3,
        authenticated: 7,
        checkpoints: 1,
    };
    assert_eq!(report.journals, [cardio]);
    assert_eq!(seen, [(7, 8), (8, 8)]);
}

/// Every byte of every commit, those of an erased person and its last one included.
#[tokio::test]
async fn one_flipped_bit_in_any_commit_is_found_and_its_commit_named() {
    let clinic = Clinic::small().await;
    let all = messages(&clinic);
    let mut flipped = 0;
    for (index, message) in all.iter().enumerate() {
        for byte in 0..message.payload.len() {
            let bit = byte * 8 + (byte + index) % 8;
            flip(&clinic, index, bit);
            let report = verify(&clinic, &[], true).await;
            let named = report.damages.iter().any(|damage| damage.sequence == Some(message.sequence));
            assert!(named, "byte {byte} of message {}: {:?}", message.sequence, report.damages);
            flip(&clinic, index, bit);
            flipped += 1;
        }
    }
    assert!(flipped > 5_000, "{flipped}");
    assert!(verify(&clinic, &[], true).await.is_whole());
}

#[tokio::test]
async fn without_keys_the_checkpoint_finds_it() {
    let clinic = Clinic::small().await;
    let checkpoints = signed(&clinic).await;
    for (index, message) in messages(&clinic).iter().enumerate() {
        for byte in (0..message.payload.len()).step_by(41) {
            flip(&clinic, index, byte * 8);
            assert!(!verify(&clinic, &checkpoints, false).await.is_whole(), "byte {byte} of {}", message.sequence);
            flip(&clinic, index, byte * 8);
        }
    }
}

#[tokio::test]
async fn the_damaged_commit_is_named_once_with_stream_and_revision() {
    let clinic = Clinic::small().await;
    let end = messages(&clinic)[3].payload.len() - 1;
    flip(&clinic, 3, end * 8);
    let report = verify(&clinic, &[], true).await;
    let named: Vec<_> = report.damages.iter().map(ToString::to_string).collect();
    let person = stream(Aggregate::Participant, 1);
    assert_eq!(
        named,
        [format!("EVT_acme_cardio, message 4, commit 2 of {person}: an authentication tag does not fit")]
    );
    let chained = verify(&clinic, &[], false).await.damages;
    assert_eq!(chained.len(), 1);
    assert_eq!((chained[0].sequence, chained[0].revision), (Some(4), Some(Revision(2))));
}

#[tokio::test]
async fn what_is_missing_or_moved_is_found_and_reading_goes_on() {
    let found = |change: fn(&mut Vec<RawMessage>)| async move {
        let clinic = Clinic::small().await;
        let checkpoints = signed(&clinic).await;
        clinic.world.journals.change(&cardio(), change);
        let report = verify(&clinic, &checkpoints, true).await;
        report.damages.iter().map(|damage| (damage.sequence, damage.detail.clone())).collect::<Vec<_>>()
    };
    let gap = found(|messages| drop(messages.remove(3))).await;
    assert_eq!(gap[0], (Some(4), "the message cannot be read".to_owned()));
    assert_eq!(gap[1].0, Some(5));
    assert_eq!(gap.len(), 2, "{gap:?}");
    let cut = found(|messages| messages.truncate(6)).await;
    assert_eq!(cut, [(None, "messages 7 to 8 are lost: they were signed and are not there".to_owned())]);
    let swapped = found(|messages| {
        let (one, other) = (messages[3].payload.clone(), messages[4].payload.clone());
        (messages[3].payload, messages[4].payload) = (other, one);
    });
    assert_eq!(swapped.await[0].0, Some(4));
    let elsewhere = found(|messages| messages[3].subject = messages[6].subject.clone()).await;
    assert!(
        elsewhere.iter().any(|(sequence, detail)| *sequence == Some(4) && detail == "its header names another stream")
    );
    let filler = found(|messages| messages[1].payload = "x".into()).await;
    assert_eq!(filler[0].0, Some(2));
    let foreign = found(|messages| messages[1].subject = "evt.acme.other._guard".to_owned()).await;
    assert_eq!(foreign[0].0, Some(2));
}

/// The last commit of every stream is replaced: no chain shows it, and without keys only the checkpoint does.
#[tokio::test]
async fn another_end_is_found_by_the_checkpoint() {
    let clinic = Clinic::small().await;
    let checkpoints = signed(&clinic).await;
    let other = Clinic::small().await;
    let theirs = messages(&other);
    clinic.world.journals.change(&cardio(), |messages| *messages = theirs);
    assert!(verify(&clinic, &[], false).await.is_whole(), "it is a whole journal: of another tree");
    let found = verify(&clinic, &checkpoints, false).await;
    assert!(found.damages[0].detail.starts_with("messages 1 to 8 are not what was signed on 2026-03-01"));
}

#[tokio::test]
async fn a_missing_journal_stream_is_found() {
    let clinic = Clinic::small().await;
    clinic.world.journals.fill(&own(), "x", 3);
    let checkpoints = vec![clinic.world.checkpoints().force(&own()).await.unwrap().checkpoint];
    clinic.world.journals.0.lock().unwrap().remove(&own());
    let report = verify(&clinic, &checkpoints, true).await;
    assert_eq!(report.damages[0].to_string(), "EVT_acme: the journal stream is missing; 3 messages of it were signed");
    clinic.world.journals.0.lock().unwrap().remove(&cardio());
    let report = verify(&clinic, &[], true).await;
    assert_eq!(
        report.damages[0].to_string(),
        "EVT_acme_cardio: the journal stream is missing; 0 messages of it were signed"
    );
}
