//! What is fuzzed: every reader of bytes that come from outside or from a disk, and what must hold for any bytes at all.
//! None may panic, hang or take memory without bound; beyond that each target says what else holds.
//!
//! Two programs run these: `fuzz/run` (libFuzzer, guided by coverage) and `tests/it/fuzz.rs` (mutations of the same
//! corpora, in every test run).

use command_svc::odm::{Limits, Mode, read_clinical, read_design, survey};
use exchange::csv::CsvReader;
use infra::archive::{ArchiveReader, ArchiveWriter};
use infra::seal::peek;
use serde_json::Value;

/// What is done with any bytes.
pub(crate) type Target = fn(&[u8]);

/// Every target with the folder of its corpus in `fuzz/corpus`.
#[cfg_attr(not(test), expect(dead_code, reason = "libFuzzer has one program a target"))]
pub(crate) const TARGETS: &[(&str, Target)] = &[
    ("archive", archive),
    ("commit", commit),
    ("csv", csv),
    ("ndjson", ndjson),
    ("odm_clinical", odm_clinical),
    ("odm_design", odm_design),
];

/// Small limits, so that what would break a large one is found with small files.
const LIMITS: Limits =
    Limits { design_bytes: 256 * 1024, participant_bytes: 64 * 1024, piece_bytes: 8 * 1024, depth: 32 };

/// A commit is accepted in one spelling only: no byte may follow it, none of its end be missing.
pub(crate) fn commit(bytes: &[u8]) {
    let Ok(peeked) = peek(bytes) else { return };
    assert_eq!(peek(bytes).ok().as_ref(), Some(&peeked), "read twice, it says two things");
    assert!(peek(&bytes[..bytes.len() - 1]).is_err(), "without its last byte it is still a commit");
    let longer: Vec<_> = bytes.iter().copied().chain([0]).collect();
    assert!(peek(&longer).is_err(), "with a byte more it is still a commit");
}

/// An archive that is read to its end is, byte by byte, the one that its messages would be written as.
pub(crate) fn archive(bytes: &[u8]) {
    let Ok(mut reader) = ArchiveReader::open(bytes) else { return };
    let mut writer = ArchiveWriter::new(Vec::new(), reader.header().clone()).expect("memory takes what is written");
    loop {
        match reader.next() {
            Ok(Some(message)) => writer.push(&message).expect("what was read in order can be written in order"),
            Ok(None) => break,
            Err(_) => return,
        }
    }
    let through = reader.trailer().expect("it was read to its end").through;
    assert_eq!(writer.finish_at(through).expect("what was read has an end"), bytes, "it has a second spelling");
}

/// What a strict reader takes, a lenient one takes as the same.
pub(crate) fn odm_design(bytes: &[u8]) {
    let lenient = read_design(bytes, &LIMITS, Mode::Lenient);
    if let Ok((strict, _)) = read_design(bytes, &LIMITS, Mode::Strict) {
        let (lenient, _) = lenient.expect("what is strictly right is right");
        assert_eq!(strict, lenient, "strictly read it says another thing");
    }
}

/// The survey, which is what a dry run shows, counts what is read afterwards.
pub(crate) fn odm_clinical(bytes: &[u8]) {
    let Ok(clinical) = read_clinical(bytes, &LIMITS) else { return };
    let (mut participants, mut values, mut whole) = (0, 0, true);
    for participant in clinical {
        match participant {
            Ok(participant) => {
                participants += 1;
                values += participant.values() as u64;
            }
            Err(_) => whole = false,
        }
    }
    match survey(bytes, &LIMITS) {
        Ok(survey) => assert_eq!((survey.participants, survey.values, whole), (participants, values, true)),
        Err(_) => assert!(!whole, "the survey refuses what is read without fault"),
    }
}

/// A row is at a line of the file, and lines go up.
pub(crate) fn csv(bytes: &[u8]) {
    for delimiter in [b',', b';', b'\t'] {
        let lines = bytes.split(|byte| *byte == b'\n').count() as u64;
        let mut reader = CsvReader::new(bytes, delimiter);
        let mut last = 0;
        while let Ok(Some(row)) = reader.next_row() {
            assert!(last < row.line && row.line <= lines, "a row has the line of another");
            last = row.line;
        }
    }
}

/// A refused line of a bulk request is answered without any text of a value in it.
pub(crate) fn ndjson(bytes: &[u8]) {
    let Err(problem) = command_svc::read_line(bytes) else { return };
    let Ok(line) = serde_json::from_slice::<Value>(bytes) else { return };
    let said = serde_json::to_string(&problem.body(None)).expect("a problem is plain data");
    let mut texts = Vec::new();
    personal_texts(&line, &mut texts);
    for text in texts {
        assert!(!said.contains(text), "the answer repeats a value of {} bytes", text.len());
    }
}

/// The texts that the corpora mark as somebody's.
fn personal_texts<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
    match value {
        Value::String(text) if text.starts_with("Canary") && text.len() > 8 => found.push(text),
        Value::Array(values) => values.iter().for_each(|value| personal_texts(value, found)),
        Value::Object(fields) => {
            found.extend(fields.keys().filter(|key| key.starts_with("Canary") && key.len() > 8).map(String::as_str));
            fields.values().for_each(|value| personal_texts(value, found));
        }
        _ => {}
    }
}
