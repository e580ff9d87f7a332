use std::collections::BTreeSet;

use bytes::Bytes;
use proptest::prelude::*;
use time::{Duration, macros::datetime};

use super::*;
use crate::journal::raw::RawMessage;

fn origin() -> Origin {
    Origin::parse(&"acme".parse().unwrap(), "cardio").unwrap()
}

fn message(sequence: u64, payload: &[u8]) -> RawMessage {
    RawMessage {
        sequence,
        subject: format!("evt.acme.cardio.study.{sequence}"),
        headers: vec![("Nats-Batch-Id".to_owned(), "x".to_owned()), ("traceparent".to_owned(), "00".to_owned())],
        payload: Bytes::copy_from_slice(payload),
        stored_at: datetime!(2026-11-22 12:00 UTC) + Duration::nanoseconds(i64::try_from(sequence).unwrap()),
    }
}

fn archive(origin: Origin, from: u64, messages: &[RawMessage]) -> Vec<u8> {
    let mut writer = ArchiveWriter::new(Vec::new(), ArchiveHeader { origin, from }).unwrap();
    messages.iter().for_each(|message| writer.push(message).unwrap());
    writer.finish().unwrap()
}

fn read(bytes: &[u8]) -> Result<Vec<RawMessage>, ArchiveError> {
    let mut reader = ArchiveReader::open(bytes)?;
    let mut messages = Vec::new();
    while let Some(message) = reader.next()? {
        messages.push(message);
    }
    assert!(reader.next()?.is_none(), "it ends once");
    Ok(messages)
}

proptest! {
    #[test]
    fn an_archive_reads_back(payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..20)) {
        let messages: Vec<_> = payloads.iter().zip(5..).map(|(payload, sequence)| message(sequence, payload)).collect();
        let bytes = archive(origin(), 5, &messages);
        prop_assert_eq!(archive(origin(), 5, &messages), bytes.clone(), "one spelling");
        prop_assert_eq!(read(&bytes).unwrap(), messages);
    }
}

#[test]
fn a_large_message_reads_back() {
    let messages = [message(1, &[7; 786_432]), message(2, b"")];
    let bytes = archive(origin(), 1, &messages);
    let mut reader = ArchiveReader::open(&bytes[..]).unwrap();
    assert_eq!(*reader.header(), ArchiveHeader { origin: origin(), from: 1 });
    assert_eq!(reader.trailer(), None);
    while reader.next().unwrap().is_some() {}
    assert_eq!(reader.trailer(), Some(ArchiveTrailer { messages: 2, through: 2 }));
    assert_eq!(read(&bytes).unwrap(), messages);
}

#[test]
fn every_cut_and_every_flipped_bit_is_refused() {
    let bytes = archive(origin(), 1, &[message(1, b"one"), message(2, b"")]);
    let mut cuts = BTreeSet::new();
    for length in 0..bytes.len() {
        match read(&bytes[..length]) {
            Err(ArchiveError::Cut { after }) => {
                cuts.insert(after);
            }
            Err(ArchiveError::NotAnArchive) if cuts.is_empty() => {}
            other => panic!("cut to {length}: {other:?}"),
        }
    }
    assert_eq!(cuts, BTreeSet::from([0, 1, 2]));
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&flipped).is_err(), "bit {bit}");
    }
    assert!(matches!(read(&[&bytes[..], b"x"].concat()), Err(ArchiveError::Altered { .. })));
    assert!(matches!(read(&[&bytes[..], &bytes].concat()), Err(ArchiveError::Altered { .. })));
}

#[test]
fn a_gap_is_refused_in_events_and_not_in_the_key_tree() {
    let header = ArchiveHeader { origin: origin(), from: 3 };
    let mut writer = ArchiveWriter::new(Vec::new(), header).unwrap();
    assert!(writer.push(&message(2, b"")).is_err());
    assert!(writer.push(&message(4, b"")).is_err());
    writer.push(&message(3, b"")).unwrap();
    assert!(writer.push(&message(3, b"")).is_err());
    assert!(writer.finish_at(9).is_err());

    let keys = Origin::Keys("acme".parse().unwrap());
    let mut writer = ArchiveWriter::new(Vec::new(), ArchiveHeader { origin: keys.clone(), from: 1 }).unwrap();
    for sequence in [4, 9] {
        writer.push(&message(sequence, b"node")).unwrap();
    }
    let bytes = writer.finish_at(12).unwrap();
    let mut reader = ArchiveReader::open(&bytes[..]).unwrap();
    while reader.next().unwrap().is_some() {}
    assert_eq!(reader.trailer(), Some(ArchiveTrailer { messages: 2, through: 12 }));
    assert_eq!(reader.header().origin, keys);
}

#[test]
fn a_newer_format_and_another_file_are_named() {
    let bytes = archive(origin(), 1, &[]);
    let mut newer = bytes.clone();
    let version = bytes.windows(item::NAME.len()).position(|window| window == item::NAME.as_bytes()).unwrap();
    newer[version + item::NAME.len()] = 2;
    assert!(matches!(read(&newer), Err(ArchiveError::Version(2))));
    assert!(matches!(read(b"age-encryption.org/v1"), Err(ArchiveError::NotAnArchive)));
    assert!(matches!(read(b""), Err(ArchiveError::NotAnArchive)));
}

#[test]
fn labels_read_back() {
    let tenant = "acme".parse().unwrap();
    for (label, name) in [("cardio", "EVT_acme_cardio"), ("_", "EVT_acme"), ("_keys", "KEYS_acme")] {
        let origin = Origin::parse(&tenant, label).unwrap();
        assert_eq!((origin.label(), origin.stream_name().as_str()), (label, name));
    }
    assert_eq!(Origin::parse(&tenant, "_other"), None);
    assert_eq!(Origin::parse(&tenant, "Cardio"), None);
}
