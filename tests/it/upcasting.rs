//! Every shape that was ever written still reads, whole and erased, as what it was.

mod became;
mod workflow;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use domain::field::{Fact, PERSONAL};
use domain::history::{EventType, OpenEvent};
use domain::upcast::upcast;
use domain::{
    access, account, body, design_part, export, identity, incident, participant, permit, privacy, randomisation, scope,
    study, subject_number, user,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("it/fixtures")
}

fn json(path: &Path) -> Value {
    let bytes = std::fs::read(path).expect("a fixture can be read");
    serde_json::from_slice(&bytes).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
}

/// Every fixture of an event, by its file's name without the ending.
fn fixtures() -> BTreeMap<String, Value> {
    let files = std::fs::read_dir(folder().join("events")).expect("the folder is there");
    let named = files.map(|file| {
        let path = file.expect("it can be listed").path();
        let name = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".json"));
        (name.expect("a fixture is a .json").to_owned(), json(&path))
    });
    named.collect()
}

fn name_of<F: Fact>(event: &str, version: u32) -> String {
    format!("{}.{event}.{version}", F::AGGREGATE.as_str())
}

/// The names of the fixtures that an aggregate must have: every version of every event, up to today's.
fn wanted<F: Fact>() -> impl Iterator<Item = String> {
    F::TYPES.iter().flat_map(|(event, today)| (1..=*today).map(move |version| name_of::<F>(event, version)))
}

/// The stored type in a fixture's name.
fn kind_of(name: &str) -> EventType {
    let [_, event, version] = name.split('.').collect::<Vec<_>>().try_into().expect("aggregate, event, version");
    EventType { name: event.to_owned(), version: version.parse().expect("a version is a number") }
}

/// Reads a stored body as every commit is read: upcast first.
fn read<F: Fact>(name: &str, body: &Value) -> F {
    let stored = OpenEvent { kind: kind_of(name), body: body.clone().into() };
    let event = upcast(F::AGGREGATE, &stored);
    F::read(&event.kind.name, event.kind.version, &event.body).unwrap_or_else(|fault| panic!("{name}: {fault}"))
}

fn is_todays<F: Fact>(name: &str) -> bool {
    let kind = kind_of(name);
    F::TYPES.contains(&(kind.name.as_str(), kind.version))
}

/// The body with every personal value erased, as an opener without a single key sees it.
fn erased(body: &Value) -> Value {
    let mut bodies = [body.clone()];
    body::split(&mut bodies);
    let [body] = bodies;
    body
}

/// Where personal values stand, as the data map writes it: `items[].value`. False: the value is missing.
fn places(body: &Value, path: &str, found: &mut Vec<(String, bool)>) {
    match body {
        Value::Object(fields) => match fields.get(PERSONAL) {
            Some(inner) => found.push((path.to_owned(), inner.get("value").is_some())),
            None => fields.iter().for_each(|(name, child)| {
                let dot = if path.is_empty() { "" } else { "." };
                places(child, &format!("{path}{dot}{name}"), found);
            }),
        },
        Value::Array(children) => children.iter().for_each(|child| places(child, &format!("{path}[]"), found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A fixture has something at every place. What an old one becomes may lack what nobody knew then.
fn is_whole(body: &Value) -> bool {
    match body {
        Value::Object(fields) => fields.values().all(is_whole),
        Value::Array(children) => children.iter().all(is_whole),
        Value::Null => false,
        Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// One aggregate: every fixture reads as what the table says, and erased as the same with nothing personal in it.
fn check<F: Fact>(fixtures: &BTreeMap<String, Value>, became: Vec<(&str, F)>) {
    let told: BTreeSet<String> = became.iter().map(|(name, _)| format!("{}.{name}", F::AGGREGATE.as_str())).collect();
    assert_eq!(told, wanted::<F>().collect(), "became.rs has a line for every shape");
    for (name, expected) in became {
        let name = format!("{}.{name}", F::AGGREGATE.as_str());
        let body = &fixtures[&name];
        assert!(is_whole(body), "{name}: a fixture is whole");
        let fact: F = read(&name, body);
        assert!(fact == expected, "{name} reads as something else: {}", fact.write());
        let gone = erased(body);
        let fact: F = read(&name, &gone);
        let mut left = Vec::new();
        places(&fact.write(), "", &mut left);
        assert!(left.iter().all(|(_, known)| !known), "{name}: erased stays erased");
        if is_todays::<F>(&name) {
            assert_eq!(&expected.write(), body, "{name} is written as it was");
            assert_eq!(fact.write(), gone, "{name} is written as it was, erased");
            all_places::<F>(&name, body);
        }
    }
}

/// The fixture has a value at every place where the types say that one can stand.
fn all_places<F: Fact>(name: &str, body: &Value) {
    let event = kind_of(name).name;
    let rows = F::data_map().into_iter().filter(|row| row.event == event).map(|row| (row.field, true));
    let mut found = Vec::new();
    places(body, "", &mut found);
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), rows.collect(), "{name}: every personal place has a value");
}

#[test]
fn every_shape_has_a_fixture_and_every_fixture_is_known() {
    let wanted: BTreeSet<String> = wanted::<study::Event>()
        .chain(wanted::<design_part::Event>())
        .chain(wanted::<participant::Event>())
        .chain(wanted::<identity::Event>())
        .chain(wanted::<privacy::Event>())
        .chain(wanted::<user::Event>())
        .chain(wanted::<account::Event>())
        .chain(wanted::<randomisation::Event>())
        .chain(wanted::<subject_number::Event>())
        .chain(wanted::<export::Event>())
        .chain(wanted::<access::Event>())
        .chain(wanted::<incident::Event>())
        .collect();
    let there: BTreeSet<String> = fixtures().into_keys().collect();
    let missing: Vec<_> = wanted.difference(&there).collect();
    let unknown: Vec<_> = there.difference(&wanted).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "without a fixture: {missing:?}; of no type: {unknown:?}");
}

#[test]
fn every_fixture_reads_whole_and_erased() {
    let fixtures = fixtures();
    check(&fixtures, became::study());
    check(&fixtures, became::design_part());
    check(&fixtures, became::participant());
    check(&fixtures, became::identity());
    check(&fixtures, became::privacy());
    check(&fixtures, became::user());
    check(&fixtures, became::account());
    check(&fixtures, became::randomisation());
    check(&fixtures, became::subject_number());
    check(&fixtures, became::export());
    check(&fixtures, became::access());
    check(&fixtures, became::incident());
}

/// The words of a list, each of which must read and be written as it stands.
fn words<T: Serialize + DeserializeOwned>(lists: &Value, list: &str) -> usize {
    let words = lists[list].as_array().unwrap_or_else(|| panic!("{list} is in words.json"));
    for word in words {
        let read: T = serde_json::from_value(word.clone()).unwrap_or_else(|fault| panic!("{list}, {word}: {fault}"));
        assert_eq!(&serde_json::to_value(read).expect("a word"), word, "{list}");
    }
    words.len()
}

#[test]
fn every_word_of_a_closed_list_still_reads() {
    let lists = json(&folder().join("words.json"));
    assert_eq!(words::<scope::Scope>(&lists, "scope"), scope::Scope::ALL.len());
    assert_eq!(words::<permit::Role>(&lists, "role"), permit::Role::ALL.len());
    assert_eq!(words::<identity::Detail>(&lists, "detail"), identity::Detail::ALL.len());
    // Of these nobody counts the variants; what is in the list must read all the same.
    words::<domain::ids::Environment>(&lists, "environment");
    words::<privacy::RestrictionGround>(&lists, "restriction-ground");
    words::<privacy::Justification>(&lists, "justification");
    words::<privacy::RefusalGround>(&lists, "refusal-ground");
    words::<study::Trigger>(&lists, "retention-trigger");
    words::<domain::port::TreeCopies>(&lists, "tree-copies");
    words::<user::AccountKind>(&lists, "account-kind");
    words::<account::OpeningReason>(&lists, "opening-reason");
    words::<permit::Sites>(&lists, "sites");
}
