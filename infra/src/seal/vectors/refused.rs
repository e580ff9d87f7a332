//! Commits that must not open, each with its reason.

use domain::history::{Aggregate, EventType, Revision, StreamId};
use domain::ids::Environment;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::good::{Recipe, finish, one_section, participant, structure_only, tenant, three_sections, without};
use super::{KeyRow, StreamName, Vector, hex, unhex};
use crate::frame::{Frame, Message, StoredHeader, structure_aad, values_aad};
use crate::keys::Key;
use crate::seal::{Nonce, open, seal};

/// Where a person's values are written again, and nothing else changes.
const OTHER: &str = "0b9b5c1e-6f0e-4f9a-9d52-3c6f0f7a1c12";

/// A good commit, taken apart to be put together wrongly.
struct Tampered {
    header: StoredHeader,
    sections: Vec<Vec<u8>>,
    vector: Vector,
}

fn tamper(recipe: Recipe) -> Tampered {
    let vector = recipe.vector("");
    let bytes = unhex(&vector.commit);
    let frame = Frame::decode(&bytes).expect("a frame");
    let header = StoredHeader::decode(frame.header).expect("a header");
    let sections = frame.sections.iter().map(|section| section.to_vec()).collect();
    Tampered { header, sections, vector }
}

impl Tampered {
    fn vector(mut self, about: &str) -> Vector {
        let header = self.header.encode().expect("a header");
        let sections = self.sections.iter().map(Vec::as_slice).collect();
        self.vector.commit = hex(&Frame { header: &header, sections }.encode());
        self.vector.about = about.to_owned();
        finish(self.vector)
    }

    /// Reads it from the stream that its changed header names, so that only the seal can notice.
    fn read_where_it_says(mut self) -> Self {
        self.vector.stream = StreamName::of(&self.header.header.stream);
        self
    }

    fn flip_last_bit(&mut self, section: usize) {
        *self.sections[section].last_mut().expect("not empty") ^= 1;
    }
}

fn with_bytes(mut vector: Vector, about: &str, change: impl FnOnce(&mut Vec<u8>)) -> Vector {
    let mut bytes = unhex(&vector.commit);
    change(&mut bytes);
    vector.commit = hex(&bytes);
    vector.about = about.to_owned();
    finish(vector)
}

fn of_other_places() -> Vec<(&'static str, Vector)> {
    let mut moved = tamper(one_section());
    let mut second = one_section();
    second.header.revision = Revision(2);
    second.nonce = 60;
    moved.sections[1] = tamper(second).sections.swap_remove(1);

    let mut read_elsewhere = one_section().vector("");
    read_elsewhere.stream.id = OTHER.to_owned();
    read_elsewhere.about = "The commit of good-02, found in the stream of another participant.".to_owned();

    let mut person = tamper(one_section());
    person.header.header.stream = StreamId { id: OTHER.to_owned(), ..participant() };

    let mut aggregate = tamper(structure_only());
    aggregate.header.header.stream = StreamId::in_tenant(&tenant(), Aggregate::Study, "cardio");

    let mut tenant_changed = tamper(structure_only());
    tenant_changed.header.header.stream.journal.tenant = "acmf".parse().expect("a tenant");

    let mut environment = tamper(one_section());
    environment.header.header.environment = Environment::Prod;

    vec![
        (
            "refused-01-section-of-another-commit",
            moved.vector("The values section of another commit of the same stream, under the same key."),
        ),
        ("refused-02-another-stream", finish(read_elsewhere)),
        (
            "refused-03-another-stream-rewritten",
            person.read_where_it_says().vector(
                "As refused-02, and the header says the other participant: the keys are still the first one's.",
            ),
        ),
        (
            "refused-04-another-journal-rewritten",
            aggregate
                .read_where_it_says()
                .vector("The commit of good-01 in the tenant's own journal stream, and the header says so."),
        ),
        (
            "refused-05-another-tenant-rewritten",
            tenant_changed
                .read_where_it_says()
                .vector("The commit of good-01 in the journal of another tenant, and the header says so."),
        ),
        (
            "refused-06-another-environment",
            environment.vector("The commit of good-02, said to be of PROD instead of TEST."),
        ),
    ]
}

fn changed() -> Vec<(&'static str, Vector)> {
    let mut header = tamper(one_section());
    header.header.header.revision = Revision(3);
    let mut values = tamper(one_section());
    values.flip_last_bit(1);
    let mut tag = tamper(one_section());
    tag.flip_last_bit(0);
    let mut erased = tamper(one_section());
    erased.flip_last_bit(1);
    let about =
        "As refused-08, and the section's key is erased: the structure's tag covers what nobody can open any more.";
    let erased = without(erased.vector(""), about, "/health.clinical/");

    let mut dropped = tamper(three_sections());
    dropped.header.keys.pop();
    dropped.sections.pop();
    let mut swapped = tamper(three_sections());
    swapped.sections.swap(2, 3);
    let mut reordered = tamper(three_sections());
    reordered.sections.swap(2, 3);
    reordered.header.keys.swap(2, 3);

    vec![
        ("refused-07-header-changed", header.vector("Another revision in the header.")),
        ("refused-08-values-changed", values.vector("The last bit of the values section's tag is flipped.")),
        ("refused-09-structure-changed", tag.vector("The last bit of the structure's tag is flipped.")),
        ("refused-10-erased-values-changed", erased),
        ("refused-11-section-dropped", dropped.vector("The last values section is gone, and its key from the header.")),
        ("refused-12-sections-swapped", swapped.vector("Two values sections have changed places.")),
        (
            "refused-13-sections-reordered",
            reordered.vector("Two values sections have changed places, their keys in the header too."),
        ),
    ]
}

/// Sealed again by somebody who holds the keys: every tag fits, whatever is wrong.
fn sealed_again(
    recipe: impl Fn() -> Recipe,
    nonce: u32,
    change: impl FnOnce(&mut StoredHeader, &mut Vec<Vec<u8>>, &mut Vec<String>),
) -> Tampered {
    let Tampered { mut header, sections, vector } = tamper(recipe());
    let keys = recipe().seal().1;
    let hash = |bytes: &[u8]| -> [u8; 32] { Sha256::digest(bytes).into() };
    let aads = |header: &StoredHeader, sections: &[Vec<u8>]| {
        let header = hash(&header.encode().expect("a header"));
        let others: Vec<[u8; 32]> = sections[1..].iter().map(|section| hash(section)).collect();
        (structure_aad(&header, &others), values_aad(&header))
    };
    let (structure, values) = aads(&header, &sections);
    let open = |(index, section): (usize, &Vec<u8>)| {
        let (id, key) = &keys[index];
        let aad = if index == 0 { &structure } else { &values };
        open(key, &id.to_string(), aad, section).expect("it opens").to_vec()
    };
    let mut plain: Vec<Vec<u8>> = sections.iter().enumerate().map(open).collect();
    let mut kids: Vec<String> = keys.iter().map(|(id, _)| id.to_string()).collect();
    change(&mut header, &mut plain, &mut kids);
    let mut sealed = vec![Vec::new(); plain.len()];
    // The structure last: its tag covers the others.
    for index in (0..plain.len()).rev() {
        let (structure, values) = aads(&header, &sealed);
        let aad = if index == 0 { structure } else { values };
        let nonce = Nonce::fixed(nonce + u32::try_from(index).expect("few sections"));
        sealed[index] = seal(&keys[index].1, nonce, &kids[index], &aad, &plain[index]);
    }
    Tampered { header, sections: sealed, vector }
}

fn commits_to_another_key() -> Vector {
    let other = Key::from_slice(&[0x77; 32]).expect("32 bytes");
    let change = |header: &mut StoredHeader, _: &mut Vec<Vec<u8>>, _: &mut Vec<String>| {
        header.keys[1].commitment = other.commitment()
    };
    let about = "Every tag fits, but the header commits to another key than the one that sealed the values.";
    sealed_again(one_section, 70, change).vector(about)
}

/// Replaces a text in one section's plain bytes.
fn replaced(section: usize, old: &str, new: &str, nonce: u32) -> Tampered {
    sealed_again(three_sections, nonce, |_, plain, _| {
        let text = String::from_utf8(plain[section].clone()).expect("JSON");
        assert!(text.contains(old), "{text}");
        plain[section] = text.replace(old, new).into_bytes();
    })
}

fn of_other_keys() -> Vec<(&'static str, Vector)> {
    let mut wrong_key = one_section().vector("");
    wrong_key.about = "The key that is handed over for the values is another one.".to_owned();
    let mut unknown = one_section().vector("");
    unknown.about = "The key of the values is neither there nor erased: that is a fault, not an erasure.".to_owned();
    let kid = wrong_key.keys.keys().find(|kid| kid.contains("/health.clinical/")).expect("it has one").clone();
    wrong_key.keys.insert(kid.clone(), KeyRow::Known("77".repeat(32)));
    unknown.keys.remove(&kid);

    let mut other_kid = tamper(one_section());
    let section = Message::decode(&other_kid.sections[1]).expect("a message");
    other_kid.sections[1] = Message { kid: &kid.replace("/1", "/2"), ..section.clone() }.encode();

    vec![
        ("refused-14-wrong-commitment", commits_to_another_key()),
        ("refused-15-wrong-key", finish(wrong_key)),
        ("refused-16-unknown-key", finish(unknown)),
        ("refused-17-wrong-key-id", other_kid.vector("The values section names another key than the header does.")),
    ]
}

fn misspelt() -> Vec<(&'static str, Vector)> {
    let good = || one_section().vector("");
    let mut promise = structure_only();
    promise.header.events.push(EventType { name: "site-opened".to_owned(), version: 1 });
    let mut stray = one_section();
    stray.bodies.push(json!({ "form": "VS.2" }));
    vec![
        (
            "refused-18-truncated",
            with_bytes(good(), "The last byte is missing.", |bytes| bytes.truncate(bytes.len() - 1)),
        ),
        ("refused-19-trailing-byte", with_bytes(good(), "One byte too many.", |bytes| bytes.push(0))),
        (
            "refused-20-longer-spelling",
            with_bytes(
                good(),
                "The same commit with the length of its outer array spelt in two bytes: not deterministic CBOR.",
                |bytes| drop(bytes.splice(0..1, [0x98, 0x03])),
            ),
        ),
        ("refused-21-unknown-version", with_bytes(good(), "Version 2.", |bytes| bytes[1] = 2)),
        (
            "refused-22-fewer-events-than-promised",
            promise.vector(
                "Sealed by somebody who holds the keys: the header promises two events, the structure has one.",
            ),
        ),
        (
            "refused-27-other-key-id-in-a-section",
            sealed_again(one_section, 110, |_, _, kids| kids[1] = kids[1].replace("/all/1", "/all/2"))
                .vector("Every tag fits, but the values section names another key than the header does."),
        ),
        (
            "refused-24-value-without-a-place",
            replaced(1, "/0/items/0/value", "/0/items/9/value", 80)
                .vector("Every tag fits, but a value points to a place that the structure has not."),
        ),
        (
            "refused-25-value-in-another-scope-s-place",
            replaced(1, "/0/items/0/value", "/0/items/1/value", 90)
                .vector("Every tag fits, but a clinical value points to the place of a free text."),
        ),
        (
            "refused-26-unknown-field",
            replaced(0, "\"events\"", "\"notes\":1,\"events\"", 100)
                .vector("Every tag fits, but the structure has a field that version 1 has not."),
        ),
        (
            "refused-23-more-events-than-promised",
            stray
                .vector("Sealed by somebody who holds the keys: the header promises one event, the structure has two."),
        ),
    ]
}

pub(super) fn vectors() -> Vec<(String, Vector)> {
    [of_other_places(), changed(), of_other_keys(), misspelt()]
        .into_iter()
        .flatten()
        .map(|(name, vector)| (name.to_owned(), vector))
        .collect()
}
