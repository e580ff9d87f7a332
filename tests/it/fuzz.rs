//! Readers of foreign bytes, on mutations of the committed corpora. `fuzz/run` runs the same targets under libFuzzer.

#[path = "../../fuzz/targets.rs"]
mod targets;

use std::cell::Cell;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use infra::archive::{ArchiveHeader, ArchiveWriter, Origin};
use infra::journal::raw::RawMessage;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use time::OffsetDateTime;

/// How many mutated inputs each target gets, if `LETHE_FUZZ_CASES` does not say otherwise.
const CASES: u32 = 8_000;

/// Longer inputs find nothing that shorter ones do not, and take longer.
const BYTES_MAX: usize = 64 * 1024;

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target)
}

/// The seeds of a target, in the order of their names.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut seeds: Vec<_> = fs::read_dir(corpus(target))
        .unwrap_or_else(|error| panic!("fuzz/corpus/{target} cannot be read: {error}"))
        .map(|entry| {
            let path = entry.expect("an entry").path();
            (name_of(&path), fs::read(&path).expect("a seed that can be read"))
        })
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "fuzz/corpus/{target} is empty");
    seeds
}

fn name_of(path: &Path) -> String {
    path.file_stem().expect("an entry has a name").to_string_lossy().into_owned()
}

/// One change to an input.
#[derive(Debug, Clone)]
enum Mutation {
    Flip(Index, u8),
    Set(Index, u8),
    Cut(Index),
    Remove(Index, Index),
    Repeat(Index, Index),
    Insert(Index, Vec<u8>),
    Splice(Index, Index),
}

/// What readers of these formats look at.
const WORDS: &[&[u8]] = &[
    b"<",
    b">",
    b"/>",
    b"<!--",
    b"]]>",
    b"<![CDATA[",
    b"&amp;",
    b"&#x0;",
    b"<!DOCTYPE a>",
    b"\"",
    b"\n",
    b"\r",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"{",
    b"}",
    b"[",
    b"null",
    b"1e999",
    b"-0",
    b"\\u0000",
    b"\\ud800",
    b"\x9f",
    b"\xbf",
    b"\x1b\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x5a\xff\xff\xff\xff",
    b"18446744073709551616",
    b"\"CanaryTwoTwo\"",
];

fn mutation() -> impl Strategy<Value = Mutation> {
    let index = any::<Index>;
    prop_oneof![
        (index(), 0..8_u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        (index(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        index().prop_map(Mutation::Cut),
        (index(), index()).prop_map(|(from, to)| Mutation::Remove(from, to)),
        (index(), index()).prop_map(|(from, to)| Mutation::Repeat(from, to)),
        (index(), prop::collection::vec(any::<u8>(), 1..9)).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        (index(), prop::sample::select(WORDS)).prop_map(|(at, word)| Mutation::Insert(at, word.to_vec())),
        (index(), index()).prop_map(|(seed, at)| Mutation::Splice(seed, at)),
    ]
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>, seeds: &[(String, Vec<u8>)]) {
        let length = bytes.len() + 1;
        let range = |from: &Index, to: &Index| {
            let (from, to) = (from.index(length), to.index(length));
            from.min(to)..from.max(to).min(from.min(to) + 256)
        };
        match self {
            Self::Flip(at, bit) if !bytes.is_empty() => bytes[at.index(length - 1)] ^= 1 << bit,
            Self::Set(at, byte) if !bytes.is_empty() => bytes[at.index(length - 1)] = *byte,
            Self::Flip(..) | Self::Set(..) => {}
            Self::Cut(at) => bytes.truncate(at.index(length)),
            Self::Remove(from, to) => drop(bytes.drain(range(from, to))),
            Self::Repeat(from, to) => {
                let range = range(from, to);
                let piece = bytes[range.clone()].to_vec();
                bytes.splice(range.start..range.start, piece);
            }
            Self::Insert(at, more) => {
                let at = at.index(length);
                bytes.splice(at..at, more.iter().copied());
            }
            Self::Splice(seed, at) => {
                let other = &seeds[seed.index(seeds.len())].1;
                bytes.truncate(at.index(length));
                bytes.extend_from_slice(&other[at.index(other.len() + 1)..]);
            }
        }
        bytes.truncate(BYTES_MAX);
    }
}

/// Every seed as it is, and mutations of them.
fn fuzz(name: &str) {
    let (_, target) = targets::TARGETS.iter().find(|(target, _)| *target == name).expect("it is a target");
    let seeds = seeds(name);
    for (seed, bytes) in &seeds {
        assert!(catch_unwind(AssertUnwindSafe(|| target(bytes))).is_ok(), "fuzz/corpus/{name}/{seed} breaks it");
    }
    let cases = std::env::var("LETHE_FUZZ_CASES").map_or(CASES, |text| text.parse().expect("a number of inputs"));
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let inputs = (any::<Index>(), prop::collection::vec(mutation(), 1..6));
    let tried = Cell::new(0_u32);
    let outcome = TestRunner::new(config).run(&inputs, |(seed, mutations)| {
        let mut bytes = seeds[seed.index(seeds.len())].1.clone();
        mutations.iter().for_each(|mutation| mutation.apply(&mut bytes, &seeds));
        tried.set(tried.get() + 1);
        let held = catch_unwind(AssertUnwindSafe(|| target(&bytes))).is_ok();
        prop_assert!(held, "the input {:?} breaks it", String::from_utf8_lossy(&bytes));
        Ok(())
    });
    outcome.unwrap_or_else(|fault| panic!("{name}: {fault}"));
    assert!(tried.get() >= cases);
}

#[test]
fn any_bytes_as_an_archive() {
    fuzz("archive");
}

#[test]
fn any_bytes_as_a_commit() {
    fuzz("commit");
}

#[test]
fn any_bytes_as_csv() {
    fuzz("csv");
}

#[test]
fn any_bytes_as_a_line_of_commands() {
    fuzz("ndjson");
}

#[test]
fn any_bytes_as_clinical_data_of_odm() {
    fuzz("odm_clinical");
}

#[test]
fn any_bytes_as_a_design_of_odm() {
    fuzz("odm_design");
}

#[test]
fn each_target_has_a_corpus_and_a_program() {
    let names = |folder: &str| {
        let folder = corpus("..").join(folder);
        let mut names: Vec<_> = fs::read_dir(folder)
            .expect("the folder can be read")
            .map(|entry| name_of(&entry.expect("an entry").path()))
            .collect();
        names.sort();
        names
    };
    let targets: Vec<_> = targets::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("corpus"), targets);
    assert_eq!(names("fuzz_targets"), targets);
}

/// The archives of the corpus are what is written today; `UPDATE_GOLDEN=1` writes them.
#[test]
fn the_corpus_of_archives_is_what_is_written() {
    let archives: [(&str, &str, &[u64]); 4] = [
        ("events", "cardio", &[1, 2, 3]),
        ("events-later", "_", &[41, 42]),
        ("keys", "_keys", &[2, 9]),
        ("none", "cardio", &[]),
    ];
    for (name, label, sequences) in archives {
        let written = written(label, sequences);
        let path = corpus("archive").join(name);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, &written).expect("the corpus can be written");
        }
        assert!(
            fs::read(&path).is_ok_and(|kept| kept == written),
            "fuzz/corpus/archive/{name} is written otherwise today"
        );
    }
}

fn written(label: &str, sequences: &[u64]) -> Vec<u8> {
    let origin = Origin::parse(&"acme".parse().expect("valid"), label).expect("a label");
    let from = sequences.first().copied().unwrap_or(1);
    let mut writer = ArchiveWriter::new(Vec::new(), ArchiveHeader { origin, from }).expect("memory takes it");
    for sequence in sequences {
        let message = RawMessage {
            sequence: *sequence,
            subject: format!("lethe.acme.{label}.{sequence}"),
            headers: vec![("Nats-Expected-Last-Subject-Sequence".to_owned(), "0".to_owned())],
            payload: vec![b'x'; 40].into(),
            stored_at: OffsetDateTime::from_unix_timestamp(1_760_000_000).expect("a time"),
        };
        writer.push(&message).expect("they are in order");
    }
    writer.finish().expect("memory takes it")
}
