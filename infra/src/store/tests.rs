use std::fs;
use std::path::PathBuf;

use domain::port::{Change, Dice as _, Row};

use super::*;
use crate::chance::SystemDice;

/// A folder of its own, removed afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("lethe-store-{}", SystemDice.uuid()));
        fs::create_dir_all(&folder).expect("a folder can be made");
        Self(folder)
    }

    fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    fn open(&self, engine: Engine) -> (Arc<dyn ReadStore>, Opening) {
        open(engine, &self.store()).expect("opens")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn put(key: &str, value: &str) -> Change {
    Change::Put { key: key.into(), value: value.into() }
}

fn keys(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|(key, _)| std::str::from_utf8(key).expect("text")).collect()
}

#[test]
fn several_tables_are_changed_together() {
    for engine in Engine::ALL {
        let folder = Folder::new();
        let (store, _) = folder.open(engine);
        store.apply("t", &[put("a", "1"), put("b", "1")]).expect("writes");
        let of_t = vec![put("a", "2"), Change::Delete { key: b"b".to_vec() }];
        store.apply_all(&[("t".to_owned(), of_t), ("u".to_owned(), vec![put("c", "3")])]).expect("writes");
        store.apply_all(&[]).expect("nothing to write");
        let get = |table, key: &str| store.get(table, key.as_bytes()).expect("reads");
        assert_eq!((get("t", "a"), get("t", "b"), get("u", "c")), (Some(b"2".to_vec()), None, Some(b"3".to_vec())));
    }
}

#[test]
fn rows_are_scanned_by_prefix_after_a_key_and_up_to_a_limit() {
    Engine::ALL.into_iter().for_each(scanned);
}

fn scanned(engine: Engine) {
    let folder = Folder::new();
    let (store, opening) = folder.open(engine);
    assert_eq!(opening, Opening::Fresh);
    let changes: Vec<_> = ["!/x", "a/1", "a/2", "a/3", "b/1"].map(|key| put(key, key)).into();
    store.apply("t", &changes).expect("writes");
    for (prefix, after, limit, expected) in [
        ("a/", None, 9, vec!["a/1", "a/2", "a/3"]),
        ("a/", None, 2, vec!["a/1", "a/2"]),
        ("a/", Some("a/1"), 9, vec!["a/2", "a/3"]),
        ("a/", Some("!/x"), 9, vec!["a/1", "a/2", "a/3"]),
        ("a/", Some("a/3"), 9, vec![]),
        ("a/", Some("b/0"), 9, vec![]),
        ("", Some("a/2"), 9, vec!["a/3", "b/1"]),
        ("c/", None, 9, vec![]),
    ] {
        let rows = store.scan("t", prefix.as_bytes(), after.map(str::as_bytes), limit).expect("reads");
        assert_eq!(keys(&rows), expected, "{engine}: {prefix} after {after:?}, at most {limit}");
    }
    assert_eq!(store.scan("other", b"", None, 9).expect("reads"), []);
    let wanted = ["b/1", "a/9", "a/1"].map(|key| key.as_bytes().to_vec());
    let found = store.get_many("t", &wanted).expect("reads");
    assert_eq!(found, [Some(b"b/1".to_vec()), None, Some(b"a/1".to_vec())], "{engine}");
    assert_eq!(store.get_many("other", &wanted).expect("reads"), [None, None, None], "{engine}");
}

#[test]
fn what_was_written_is_there_when_it_is_opened_again() {
    Engine::ALL.into_iter().for_each(opened_again);
}

fn opened_again(engine: Engine) {
    let folder = Folder::new();
    let (store, _) = folder.open(engine);
    store.apply("t", &[put("a", "1"), put("b", "2"), Change::Delete { key: b"a".into() }]).expect("writes");
    store.apply("gone", &[put("a", "1")]).expect("writes");
    store.drop_table("gone").expect("drops");
    drop(store);
    let (store, opening) = folder.open(engine);
    assert_eq!(opening, Opening::Existing);
    assert_eq!(store.get("t", b"a").expect("reads"), None);
    assert_eq!(store.get("t", b"b").expect("reads"), Some(b"2".to_vec()));
    assert_eq!(store.get("gone", b"a").expect("reads"), None);
}

#[test]
fn a_store_that_another_one_holds_is_not_touched() {
    Engine::ALL.into_iter().for_each(not_touched);
}

fn not_touched(engine: Engine) {
    let folder = Folder::new();
    let (store, _) = folder.open(engine);
    store.apply("t", &[put("a", "1")]).expect("writes");
    let second = open(engine, &folder.store()).map(|(_, opening)| opening);
    assert!(matches!(second, Err(Failure::Unavailable { .. })), "{second:?}");
    assert_eq!(fs::read_dir(&folder.0).expect("lists").count(), 1, "nothing was set aside");
    assert_eq!(store.get("t", b"a").expect("reads"), Some(b"1".to_vec()));
}

/// Ways to lose a store, each to be done to a closed one of an engine.
type Damage = (Engine, &'static str, fn(&Path));

const DAMAGES: [Damage; 8] = [
    (Engine::Sled, "another program's settings", |dir| {
        fs::write(dir.join("conf"), "x = 1\n".repeat(9)).expect("writes")
    }),
    (Engine::Sled, "another sled's database", |dir| {
        fs::remove_dir_all(dir).expect("removes");
        let db = ::sled::Config::default().path(dir).open().expect("opens");
        db.insert("theirs", "1").expect("writes");
    }),
    (Engine::Sled, "another layout of ours", |dir| {
        let db = ::sled::Config::default().path(dir).open().expect("opens");
        db.insert(FORMAT_KEY, "lethe-read-store-0").expect("writes");
    }),
    (Engine::Sled, "the other engine's", |dir| {
        fs::remove_dir_all(dir).expect("removes");
        drop(open(Engine::Redb, dir).expect("opens"));
    }),
    (Engine::Redb, "no database", |dir| fs::write(dir.join(redb::FILE), "x".repeat(5000)).expect("writes")),
    (Engine::Redb, "another redb's database", |dir| {
        fs::remove_file(dir.join(redb::FILE)).expect("removes");
        let db = ::redb::Database::create(dir.join(redb::FILE)).expect("opens");
        let writing = db.begin_write().expect("begins");
        writing.open_table(::redb::TableDefinition::<u64, u64>::new("theirs")).expect("makes");
        writing.commit().expect("writes");
    }),
    (Engine::Redb, "the other engine's", |dir| {
        fs::remove_dir_all(dir).expect("removes");
        drop(open(Engine::Sled, dir).expect("opens"));
    }),
    (Engine::Redb, "found corrupt while it served", |dir| fs::write(dir.join(DAMAGED), "t").expect("writes")),
];

#[test]
fn a_store_that_does_not_open_is_set_aside_and_a_new_one_made() {
    for (engine, what, damage) in DAMAGES {
        let folder = Folder::new();
        let (store, _) = folder.open(engine);
        store.apply("t", &[put("a", "1")]).expect("writes");
        drop(store);
        damage(&folder.store());
        let (store, opening) = folder.open(engine);
        let Opening::SetAside(aside) = opening else { panic!("{engine}, {what}: {opening:?}") };
        assert!(aside.to_string_lossy().ends_with("store.damaged-1") && aside.exists(), "{engine}, {what}");
        assert_eq!(store.get("t", b"a").expect("reads"), None, "{engine}, {what}: the new one is empty");
        drop(store);
        assert_eq!(folder.open(engine).1, Opening::Existing, "{engine}, {what}: the new one is kept");
    }
}

/// sled may also recover less than was there and say nothing: then rows and checkpoint must be gone together.
#[test]
fn a_damaged_file_never_gives_a_row_without_its_checkpoint() {
    let lost = |engine, file, at: &[usize]| at.iter().map(|at| lost(engine, file, *at)).sum::<usize>();
    assert!(lost(Engine::Sled, "db", &[0, 64, 200, 1024, 4096]) > 0, "no bit that was flipped mattered: flip others");
    let at: Vec<usize> = (0..16).map(|n| n * 4096 + 100).collect();
    assert!(lost(Engine::Redb, redb::FILE, &at) > 0, "no bit that was flipped mattered: flip others");
}

/// Flips a bit of a store of 200 rows. How many of them are gone then.
fn lost(engine: Engine, file: &str, at: usize) -> usize {
    let folder = Folder::new();
    let (store, _) = folder.open(engine);
    for n in 0..200 {
        let row = put(&format!("a/{n:03}"), &"x".repeat(100));
        store.apply("t", &[row, put("!/a", &n.to_string())]).expect("writes");
    }
    drop(store);
    let file = folder.store().join(file);
    let mut bytes = fs::read(&file).expect("reads");
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 0x40;
    }
    fs::write(&file, bytes).expect("writes");
    let (store, opening) = folder.open(engine);
    let rows = store.scan("t", b"a/", None, 999).expect("reads");
    assert!(rows.iter().all(|(_, value)| *value == "x".repeat(100).into_bytes()), "{engine}: a row that nobody wrote");
    let seen = store.get("t", b"!/a").expect("reads").map(|n| String::from_utf8(n).expect("text"));
    let expected = rows.len().checked_sub(1).map(|last| last.to_string());
    assert_eq!(seen, expected, "{engine}: flipped a bit at {at}: {opening:?}, {} rows", rows.len());
    200 - rows.len()
}

/// What a process that is killed leaves: the file as it is while the store is open.
#[test]
fn a_copy_of_an_open_store_holds_rows_up_to_some_moment_and_their_checkpoint() {
    let folder = Folder::new();
    let (store, _) = folder.open(Engine::Redb);
    for n in 0..500 {
        store.apply("t", &[put(&format!("a/{n:03}"), &"x".repeat(900)), put("!/a", &n.to_string())]).expect("writes");
    }
    let copy = Folder::new();
    fs::create_dir_all(copy.store()).expect("a folder can be made");
    fs::copy(folder.store().join(redb::FILE), copy.store().join(redb::FILE)).expect("copies");
    drop(store);
    let (store, opening) = copy.open(Engine::Redb);
    let rows = store.scan("t", b"a/", None, 999).expect("reads").len();
    let seen = store.get("t", b"!/a").expect("reads").map(|n| String::from_utf8(n).expect("text"));
    assert_eq!(seen, rows.checked_sub(1).map(|last| last.to_string()), "{opening:?}");
    assert_eq!(folder.open(Engine::Redb).0.scan("t", b"a/", None, 999).expect("reads").len(), 500, "closed in order");
}
