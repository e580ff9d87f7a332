//! The test vectors in `infra/vectors/`: commits with their keys, and what must come of them. The files are the
//! truth; whoever reads commits in another language can use them as they are.
//!
//! `LETHE_WRITE_VECTORS=1 cargo test -p infra vectors` writes those that do not exist yet, and never changes one.

mod good;
mod refused;
mod tree;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use domain::history::{Aggregate, CommitHash, Header, JournalId, StreamId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::commit::{Refusal, SealedSections};
use crate::keys::{Key, KeyState};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    about: String,
    /// The stream that the commit was read from.
    stream: StreamName,
    /// By key id: 32 bytes, or that it is erased. Any other is unknown.
    keys: BTreeMap<String, KeyRow>,
    commit: String,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct StreamName {
    tenant: String,
    study: Option<String>,
    aggregate: String,
    id: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KeyRow {
    Known(String),
    Erased,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Opens(Box<Opens>),
    Refused(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Opens {
    hash: String,
    header: Value,
    events: Value,
    digest: Option<String>,
    erased: Vec<(String, String)>,
}

impl StreamName {
    fn of(stream: &StreamId) -> Self {
        Self {
            tenant: stream.journal.tenant.to_string(),
            study: stream.journal.study.as_ref().map(ToString::to_string),
            aggregate: stream.aggregate.as_str().to_owned(),
            id: stream.id.clone(),
        }
    }

    fn stream(&self) -> StreamId {
        let tenant = self.tenant.parse().expect("a tenant");
        let study = self.study.as_ref().map(|study| study.parse().expect("a study"));
        let aggregate: Aggregate = self.aggregate.parse().expect("an aggregate");
        StreamId { journal: JournalId { tenant, study }, aggregate, id: self.id.clone() }
    }
}

impl Vector {
    /// What comes of the commit: computed, not looked up.
    fn run(&self) -> Outcome {
        match self.open() {
            Ok(opens) => Outcome::Opens(Box::new(opens)),
            Err(Refusal::Fault(fault)) => Outcome::Refused(format!("{fault:?}")),
            Err(Refusal::UnknownKey(_)) => Outcome::Refused("UnknownKey".to_owned()),
        }
    }

    fn open(&self) -> Result<Opens, Refusal> {
        let bytes = unhex(&self.commit);
        let sealed = SealedSections::read(&bytes)?;
        sealed.check(&self.stream.stream())?;
        let state = |kid: &str| match self.keys.get(kid) {
            Some(KeyRow::Known(key)) => KeyState::Known(Key::from_slice(&unhex(key)).expect("a key")),
            Some(KeyRow::Erased) => KeyState::Erased,
            None => KeyState::Unknown,
        };
        let states: Vec<KeyState> = sealed.stored.keys.iter().map(|entry| state(&entry.id.to_string())).collect();
        let opened = sealed.open(&states)?;
        let events = opened
            .events
            .iter()
            .map(|event| json!({ "name": event.kind.name, "version": event.kind.version, "body": event.body }));
        Ok(Opens {
            hash: sealed.hash.to_string(),
            header: header_json(&sealed.stored.header),
            events: events.collect(),
            digest: opened.digest.map(|digest| CommitHash(digest).to_string()),
            erased: opened.erased.iter().map(|(scope, part)| (scope.to_string(), part.to_string())).collect(),
        })
    }
}

fn header_json(header: &Header) -> Value {
    let time =
        |time: time::OffsetDateTime| time.format(&time::format_description::well_known::Rfc3339).expect("a time");
    json!({
        "environment": header.environment,
        "stream": StreamName::of(&header.stream),
        "revision": header.revision,
        "events": header.events,
        "stored_at": time(header.stored_at),
        "captured_at": time(header.captured_at),
        "actor": header.actor,
        "command": header.command,
        "causation": header.causation,
        "correlation": header.correlation,
        "previous": header.previous,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2) && text.is_ascii(), "hexadecimal");
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal")).collect()
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

/// Writes a vector that does not exist yet, when asked to.
fn write_new(name: &str, contents: &impl Serialize) {
    let file = folder().join(format!("{name}.json"));
    if std::env::var_os("LETHE_WRITE_VECTORS").is_some() && !file.exists() {
        let text = serde_json::to_string_pretty(contents).expect("plain data");
        fs::write(&file, text + "\n").expect("the folder takes a file");
    }
}

fn read_all(prefix: &str) -> BTreeMap<String, Vector> {
    let files = fs::read_dir(folder()).expect("the folder of vectors").map(|entry| entry.expect("an entry").path());
    let named = |path: &PathBuf| path.file_stem().and_then(|name| name.to_str()).map(str::to_owned);
    files
        .filter_map(|path| Some((named(&path)?, path)))
        .filter(|(name, _)| name.starts_with(prefix))
        .map(|(name, path)| {
            let text = fs::read_to_string(path).expect("readable");
            let vector = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            (name, vector)
        })
        .collect()
}

#[test]
fn every_vector_comes_out_as_its_file_says() {
    for (name, vector) in good::vectors().into_iter().chain(refused::vectors()) {
        write_new(&name, &vector);
    }
    for (prefix, least) in [("good-", 6), ("refused-", 12)] {
        let vectors = read_all(prefix);
        assert!(vectors.len() >= least, "{} vectors called {prefix}", vectors.len());
        for (name, vector) in vectors {
            assert_eq!(matches!(vector.outcome, Outcome::Opens(_)), prefix == "good-", "{name}");
            assert_eq!(vector.run(), vector.outcome, "{name}");
        }
    }
}

/// Two persons in one event could only be erased together. Here a commit is about one, and no key of another opens in it.
#[test]
fn sliceworkz_127_a_commit_with_the_key_of_another_person_is_refused() {
    let name = "refused-03-another-stream-rewritten";
    let vector = read_all(name).remove(name).expect("the vector");
    assert!(matches!(vector.run(), Outcome::Refused(_)), "{name}");
}

#[test]
fn what_is_sealed_today_is_what_the_files_hold() {
    for (name, vector) in good::vectors().into_iter().chain(refused::vectors()) {
        let stored = read_all(&name).remove(&name);
        assert_eq!(stored.map(|stored| stored.commit), Some(vector.commit), "{name}");
    }
}

#[test]
fn the_example_of_the_page_is_the_vector() {
    let page = fs::read_to_string(folder().join("../../docs/format.md")).expect("the page");
    let (_, rest) = page.split_once("<!-- example: good-02-one-values-section -->\n```\n").expect("the example");
    let (example, _) = rest.split_once("```").expect("its end");
    let column = |line: &str| line.split_once('|').expect("two columns").0.replace(' ', "");
    let bytes: String = example.lines().map(column).collect();
    let vector = read_all("good-02").remove("good-02-one-values-section").expect("the vector");
    assert_eq!(bytes, vector.commit);
    assert!(page.contains(&Sha256::digest(unhex(&bytes)).iter().map(|byte| format!("{byte:02x}")).collect::<String>()));
}

#[test]
fn no_flipped_bit_of_a_whole_commit_goes_unseen() {
    let (name, vector) = good::vectors().swap_remove(1);
    let bytes = unhex(&vector.commit);
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let vector = Vector { commit: hex(&flipped), ..vector.clone() };
        assert!(matches!(vector.run(), Outcome::Refused(_)), "{name}, bit {bit}");
    }
}

#[test]
fn no_cut_commit_opens() {
    let (name, vector) = good::vectors().swap_remove(1);
    for cut in 0..vector.commit.len() / 2 {
        let vector = Vector { commit: vector.commit[..cut * 2].to_owned(), ..vector.clone() };
        assert_eq!(vector.run(), Outcome::Refused("Spelling".to_owned()), "{name}, cut at {cut}");
    }
}
