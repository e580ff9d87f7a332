use std::fs;
use std::path::PathBuf;

use domain::port::Dice as _;

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

    fn open(&self) -> (SledStore, Opening) {
        SledStore::open(&self.store()).expect("opens")
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
fn rows_are_scanned_by_prefix_after_a_key_and_up_to_a_limit() {
    let folder = Folder::new();
    let (store, opening) = folder.open();
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
        assert_eq!(keys(&rows), expected, "{prefix} after {after:?}, at most {limit}");
    }
    assert_eq!(store.scan("other", b"", None, 9).expect("reads"), []);
}

#[test]
fn what_was_written_is_there_when_it_is_opened_again() {
    let folder = Folder::new();
    let (store, _) = folder.open();
    store.apply("t", &[put("a", "1"), put("b", "2"), Change::Delete { key: b"a".into() }]).expect("writes");
    store.apply("gone", &[put("a", "1")]).expect("writes");
    store.drop_table("gone").expect("drops");
    drop(store);
    let (store, opening) = folder.open();
    assert_eq!(opening, Opening::Existing);
    assert_eq!(store.get("t", b"a").expect("reads"), None);
    assert_eq!(store.get("t", b"b").expect("reads"), Some(b"2".to_vec()));
    assert_eq!(store.get("gone", b"a").expect("reads"), None);
}

#[test]
fn a_store_that_another_one_holds_is_not_touched() {
    let folder = Folder::new();
    let (store, _) = folder.open();
    store.apply("t", &[put("a", "1")]).expect("writes");
    let second = SledStore::open(&folder.store());
    assert!(matches!(second, Err(Failure::Unavailable { .. })), "{second:?}");
    assert_eq!(fs::read_dir(&folder.0).expect("lists").count(), 1, "nothing was set aside");
    assert_eq!(store.get("t", b"a").expect("reads"), Some(b"1".to_vec()));
}

/// Ways to lose a store, each to be done to a closed one.
type Damage = fn(&Path);

#[test]
fn a_store_that_does_not_open_is_set_aside_and_a_new_one_made() {
    let damages: [(&str, Damage); 4] = [
        ("another program's settings", |dir| fs::write(dir.join("conf"), "x = 1\n".repeat(9)).expect("writes")),
        ("another sled's database", |dir| {
            fs::remove_dir_all(dir).expect("removes");
            let db = Config::default().path(dir).open().expect("opens");
            db.insert("theirs", "1").expect("writes");
        }),
        ("another layout of ours", |dir| {
            let db = Config::default().path(dir).open().expect("opens");
            db.insert(FORMAT_KEY, "lethe-read-store-0").expect("writes");
        }),
        ("found corrupt while it served", |dir| fs::write(dir.join(DAMAGED), "t").expect("writes")),
    ];
    for (what, damage) in damages {
        let folder = Folder::new();
        let (store, _) = folder.open();
        store.apply("t", &[put("a", "1")]).expect("writes");
        drop(store);
        damage(&folder.store());
        let (store, opening) = folder.open();
        let Opening::SetAside(aside) = opening else { panic!("{what}: {opening:?}") };
        assert!(aside.to_string_lossy().ends_with("store.damaged-1") && aside.exists(), "{what}");
        assert_eq!(store.get("t", b"a").expect("reads"), None, "{what}: the new one is empty");
        drop(store);
        assert_eq!(folder.open().1, Opening::Existing, "{what}: the new one is kept");
    }
}

/// sled may also recover less than was there and say nothing: then rows and checkpoint must be gone together.
#[test]
fn a_damaged_file_never_gives_a_row_without_its_checkpoint() {
    let mut lost = 0;
    for at in [0, 64, 200, 1024, 4096] {
        let folder = Folder::new();
        let (store, _) = folder.open();
        for n in 0..200 {
            let row = put(&format!("a/{n:03}"), &"x".repeat(100));
            store.apply("t", &[row, put("!/a", &n.to_string())]).expect("writes");
        }
        drop(store);
        let file = folder.store().join("db");
        let mut bytes = fs::read(&file).expect("reads");
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 0x40;
        }
        fs::write(&file, bytes).expect("writes");
        let (store, opening) = folder.open();
        let rows = store.scan("t", b"a/", None, 999).expect("reads");
        let seen = store.get("t", b"!/a").expect("reads").map(|n| String::from_utf8(n).expect("text"));
        let expected = rows.len().checked_sub(1).map(|last| last.to_string());
        assert_eq!(seen, expected, "flipped a bit at {at}: {opening:?}, {} rows", rows.len());
        lost += 200 - rows.len();
    }
    assert!(lost > 0, "no bit that was flipped mattered: flip others");
}
