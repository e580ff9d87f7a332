//! Backups and restores by the command line: whole, cut, altered, interrupted, and what serves in between.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use domain::permit::Role;
use lethe::cli::Client;
use serde_json::Value;
use tests::api::{enrol, participant};
use tests::home::{Folder, Home, copy};
use tests::people::{FAMILY, NARRATIVE, erase, somebody, told};

use crate::binary;

/// A platform with a place for backups and a key pair for them.
struct Site {
    home: Home,
    doctor: Client,
    recipient: String,
}

/// Where a folder's backups are, and who opens them.
struct At(String, String);

fn at(folder: &Folder) -> At {
    let path = |name: &str| folder.path().join(name).display().to_string();
    At(path("backups"), path("identity"))
}

impl Site {
    async fn new() -> Self {
        let home = Home::with_off_site().await;
        home.live_study().await;
        let doctor = home.client(Role::Investigator).await;
        let At(backups, identity) = at(&home.folder);
        std::fs::create_dir_all(backups).expect("a folder");
        let recipient = binary().done(&home.folder, &["backup", "keygen", "--out", &identity]);
        Self { home, doctor, recipient }
    }

    fn back_up(&self) -> Value {
        let At(backups, _) = at(&self.home.folder);
        let create = ["backup", "create", "--tenant", "acme", "--to", &backups, "--recipient", &self.recipient];
        binary().json(&self.home.folder, &create)
    }
}

fn list(folder: &Folder) -> Value {
    let At(backups, _) = at(folder);
    binary().json(folder, &["backup", "list", "--tenant", "acme", "--from", &backups])
}

fn verify(folder: &Folder, backups: &Path, identity: &str) -> (Option<i32>, String) {
    let backups = backups.display().to_string();
    binary().said(folder, &["backup", "verify", "--tenant", "acme", "--from", &backups, "--identity", identity])
}

/// All files below a folder whose names end so.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            found.extend(files(&path, end));
        } else if path.to_string_lossy().ends_with(end) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Replaces a file that may be read-only.
fn replace(file: &Path, bytes: &[u8]) {
    std::fs::remove_file(file).expect("removed");
    std::fs::write(file, bytes).expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_backup_sends_the_news_only_and_the_list_says_who_was_read() {
    let site = Site::new().await;
    somebody(&site.doctor, "N-1").await;
    let first = site.back_up();
    somebody(&site.doctor, "N-2").await;
    let second = site.back_up();
    let number = |of: &Value, name: &str| of[name].as_u64().expect("a number");
    assert!(number(&second, "chunks_used_again") > 0, "{second}");
    assert!(number(&second, "bytes_sent") < number(&second, "bytes"), "{second}");
    assert!(number(&second, "messages") > number(&first, "messages"), "{second}");

    let folder = site.home.stop().await;
    let At(backups, identity) = at(&folder);
    let rows = list(&folder);
    assert_eq!(rows.as_array().map(Vec::len), Some(2), "{rows}");
    for (row, made) in rows.as_array().expect("rows").iter().zip([&first, &second]) {
        assert_eq!((&row["backup"], &row["last_read"]), (&made["backup"], &Value::from("never")), "{row}");
        assert!(row["age_seconds"].as_i64().is_some_and(|age| (0..600).contains(&age)), "{row}");
    }
    let (code, said) = verify(&folder, Path::new(&backups), &identity);
    assert_eq!(code, Some(0), "{said}");
    let rows = list(&folder);
    assert_eq!(rows[0]["last_read"], "never", "only the newest was read: {rows}");
    assert_ne!(rows[1]["last_read"], "never", "{rows}");

    // The newest is not passed over in silence for an older one that is whole.
    let id = second["backup"].as_str().expect("an id");
    let manifests = files(Path::new(&backups), "manifest.json");
    let newest = manifests.into_iter().find(|file| file.to_string_lossy().contains(id)).expect("its manifest");
    let bytes = std::fs::read(&newest).expect("readable");
    replace(&newest, &bytes[..bytes.len() / 2]);
    let (code, said) = verify(&folder, Path::new(&backups), &identity);
    assert!(code == Some(2) && said.contains(id) && said.contains("is refused"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_backup_is_refused_by_name_and_so_is_a_strange_identity() {
    let site = Site::new().await;
    somebody(&site.doctor, "N-1").await;
    site.back_up();
    let folder = site.home.stop().await;
    let At(backups, identity) = at(&folder);
    let whole = PathBuf::from(backups);

    // One chunk is spoilt in each way, and the manifest.
    let cut = |bytes: &[u8]| Some(bytes[..bytes.len() / 2].to_vec());
    let altered = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        Some(bytes)
    };
    type Spoil<'a> = &'a dyn Fn(&[u8]) -> Option<Vec<u8>>;
    let ways: [(&str, Spoil, &str); 4] = [
        (".age", &cut, "is cut off"),
        (".age", &altered, "is altered"),
        (".age", &|_| None, "is missing"),
        ("manifest.json", &altered, "is refused"),
    ];
    for (end, spoil, words) in ways {
        let scratch = Folder::new();
        copy(&whole, scratch.path());
        let file = files(scratch.path(), end).pop().expect("one of these");
        let bytes = std::fs::read(&file).expect("readable");
        match spoil(&bytes) {
            Some(spoilt) => replace(&file, &spoilt),
            None => std::fs::remove_file(&file).expect("removed"),
        }
        let (code, said) = verify(&folder, scratch.path(), &identity);
        assert!(matches!(code, Some(1 | 2)), "{words}: {said}");
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        assert!(said.contains(&name) && said.contains(words), "{name} {words}: {said}");
        // Nor is it restored.
        let fresh = Folder::new();
        let mut command = restore(&folder, &fresh.data());
        command.args(["--from", &scratch.path().display().to_string()]);
        let output = tokio::task::block_in_place(|| command.output()).expect("the binary can be run");
        assert!(!output.status.success(), "{words}: {}", text(&output));
    }

    let strange = folder.path().join("strange").display().to_string();
    binary().done(&folder, &["backup", "keygen", "--out", &strange]);
    let (code, said) = verify(&folder, &whole, &strange);
    assert!(code == Some(2) && said.contains("opens no chunk"), "{said}");
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// `lethe restore` of what belongs to `folder` into another data directory; where from is still to be said.
fn restore(folder: &Folder, data: &Path) -> std::process::Command {
    let mut command = binary().command(folder);
    let At(_, identity) = at(folder);
    command.env("LETHE_DATA_DIR", data).args([
        "restore",
        "--tenant",
        "acme",
        "--identity",
        &identity,
        "--yes",
        "--json",
    ]);
    command
}

/// The same from the folder's own backups, dying at a point. The exit code (none: it died) and what was said.
fn restored(folder: &Folder, data: &Path, die_at: Option<&str>, seen: Option<&Path>) -> (Option<i32>, String) {
    let mut command = restore(folder, data);
    let At(backups, _) = at(folder);
    command.args(["--from", &backups]);
    die_at.map(|point| command.env("LETHE_DIE_AT", point));
    seen.map(|file| command.env("LETHE_FAILPOINTS_SEEN", file));
    let output = tokio::task::block_in_place(|| command.output()).expect("the binary can be run");
    (output.status.code(), text(&output))
}

/// Whether `serve` on a data directory ends instead, and what it says.
fn refused(folder: &Folder, data: &Path) -> String {
    let mut command = binary().command(folder);
    command.env("LETHE_DATA_DIR", data).args(["verify", "journal", "--tenant", "acme"]);
    let output = tokio::task::block_in_place(|| command.output()).expect("the binary can be run");
    assert!(!output.status.success(), "it serves: {}", text(&output));
    let mut command = binary().command(folder);
    command.env("LETHE_DATA_DIR", data).args(["serve", "--listen", "127.0.0.1:0"]);
    assert!(lethe::soak::Server::start(command, data).is_err(), "it serves");
    text(&output)
}

/// The points of a restore at which a crash is worth a test, in the order in which they are passed first.
fn points_of_a_restore(seen: &Path) -> Vec<String> {
    let mut points: Vec<String> = Vec::new();
    for point in std::fs::read_to_string(seen).expect("points").lines() {
        let ours = ["import-", "keys-claim-", "ledger-put-back", "erasure-reinstated", "restore-"];
        if ours.iter().any(|prefix| point.starts_with(prefix)) && !points.iter().any(|known| known == point) {
            points.push(point.to_owned());
        }
    }
    points
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_dies_anywhere_goes_on_and_meanwhile_nothing_is_served() {
    let site = Site::new().await;
    let leaving = somebody(&site.doctor, "N-1").await;
    let staying = somebody(&site.doctor, "N-2").await;
    site.back_up();
    erase(&site.home, &leaving, None).await;
    let token = site.doctor.token().to_owned();
    let folder = site.home.stop().await;

    // Undisturbed, to see the points; and only where nothing is.
    let (code, said) = restored(&folder, &folder.data(), None, None);
    assert!(code == Some(3) && said.contains("holds the tenant"), "{said}");
    let (first, seen) = (Folder::new(), folder.path().join("seen"));
    let (code, said) = restored(&folder, &first.data(), None, Some(&seen));
    assert_eq!(code, Some(0), "{said}");
    let points = points_of_a_restore(&seen);
    for point in ["import-after-batch", "keys-claim-head-was-taken", "keys-claim-was-fenced", "restore-before-end"] {
        assert!(points.iter().any(|known| known == point), "{point} is not among {points:?}");
    }

    let second = Folder::new();
    let mut died = Vec::new();
    for point in &points {
        match restored(&folder, &second.data(), Some(point), None) {
            (None, _) => died.push(point.as_str()),
            (code, said) => panic!("at {point}: {code:?} {said}"),
        }
        let said = refused(&folder, &second.data());
        assert!(said.contains("is not finished") && said.contains("lethe restore"), "after {point}: {said}");
    }
    assert_eq!(died.len(), points.len(), "{died:?}");
    let (code, said) = restored(&folder, &second.data(), None, None);
    assert_eq!(code, Some(0), "{said}");

    // The two sites before are cut off; what was erased after the backup is erased in the one that is left.
    for old in [&folder.data(), &first.data()] {
        let said = refused(&folder, old);
        assert!(said.contains("site"), "{said}");
    }
    let mut command = binary().command(&folder);
    command.env("LETHE_DATA_DIR", second.data()).args(["serve", "--listen", "127.0.0.1:0"]);
    let server = lethe::soak::Server::start(command, &second.data()).expect("it serves");
    let doctor = Client::new(&server.url, token);
    assert_eq!(told(&doctor, &leaving).await, "[erased][erased]");
    let kept = told(&doctor, &staying).await;
    assert!(kept.contains(NARRATIVE) && kept.contains(FAMILY), "{kept}");
    participant(enrol(&doctor, "oslo", "N-3").await);
    assert!(server.stop(), "it ends in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn aegis_155_and_authling_adr_002_no_older_backup_opens_what_was_erased_since() {
    let site = Site::new().await;
    let (whole, narrow) = (somebody(&site.doctor, "N-1").await, somebody(&site.doctor, "N-2").await);
    site.back_up();
    let contact = serde_json::json!(["identity.contact"]);
    let erasures = [erase(&site.home, &whole, None).await, erase(&site.home, &narrow, Some(contact)).await];
    let token = site.doctor.token().to_owned();
    let folder = site.home.stop().await;
    let (fresh, At(backups, identity)) = (Folder::new(), at(&folder));
    let (code, said) = restored(&folder, &fresh.data(), None, None);
    assert_eq!(code, Some(0), "{said}");

    // By every copy of the key tree that can be reached, the backup's own too.
    let mut command = binary().command(&folder);
    command.env("LETHE_DATA_DIR", fresh.data()).args(["verify", "erasure", "--tenant", "acme", "--from", &backups]);
    command.args(["--identity", &identity]).args(erasures.iter().map(|one| one["erasure"].as_str().expect("an id")));
    let output = tokio::task::block_in_place(|| command.output()).expect("the binary can be run");
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert_eq!(said.matches(" 0 opened").count(), 2, "{said}");
    assert!(!said.contains(" 0 copies"), "the copies were tried: {said}");

    let mut command = binary().command(&folder);
    command.env("LETHE_DATA_DIR", fresh.data()).args(["serve", "--listen", "127.0.0.1:0"]);
    let server = lethe::soak::Server::start(command, &fresh.data()).expect("it serves");
    let doctor = Client::new(&server.url, token);
    assert_eq!(told(&doctor, &whole).await, "[erased][erased]");
    let kept = told(&doctor, &narrow).await;
    assert!(kept.contains(NARRATIVE) && kept.contains(FAMILY) && !kept.contains("post.example"), "{kept}");
    assert!(server.stop(), "it ends in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_makes_backups_by_itself() {
    let site = Site::new().await;
    somebody(&site.doctor, "N-1").await;
    let recipient = site.recipient;
    let folder = site.home.stop().await;
    let At(backups, identity) = at(&folder);
    let server = tokio::task::block_in_place(|| {
        binary().serve(&folder, |command| {
            command.args(["--backup-to", &backups, "--backup-recipient", &recipient, "--backup-every", "1"]);
        })
    });
    let deadline = Instant::now() + Duration::from_secs(60);
    while list(&folder).as_array().is_none_or(Vec::is_empty) {
        assert!(Instant::now() < deadline, "no backup is made");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(server.stop(), "it ends in order");
    let (code, said) = verify(&folder, Path::new(&backups), &identity);
    assert_eq!(code, Some(0), "{said}");
    // It is young enough: a new start makes no other.
    assert_eq!(list(&folder).as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_is_rotated_without_an_erasure_and_the_old_one_is_destroyed() {
    let site = Site::new().await;
    let (leaving, staying) = (somebody(&site.doctor, "N-1").await, somebody(&site.doctor, "N-2").await);
    erase(&site.home, &leaving, None).await;
    let kms = |verb: &str| binary().json(&site.home.folder, &["kms", verb, "--tenant", "acme"]);
    let before = kms("status");
    let root = before["root"].as_u64().expect("a root");
    assert_eq!(before["living_roots"], serde_json::json!([root]), "{before}");
    let rotated = kms("rotate");
    assert_eq!((&rotated["root_before"], &rotated["old_root"]), (&before["root"], &Value::from("destroyed")));
    let after = kms("status");
    assert!(after["root"].as_u64() > Some(root), "{after}");
    assert_eq!(after["living_roots"], serde_json::json!([after["root"]]), "{after}");
    assert_eq!((&after["shipped_root"], &after["public_key"]), (&after["root"], &before["public_key"]), "{after}");
    assert!(files(&site.home.folder.kms(), &format!("root-{root}.key")).is_empty(), "its files are gone");

    let kept = told(&site.doctor, &staying).await;
    assert!(kept.contains(NARRATIVE) && kept.contains(FAMILY), "{kept}");
    let home = site.home.restart().await;
    let doctor = home.client(Role::Investigator).await;
    assert_eq!(told(&doctor, &staying).await, kept, "after a start, too");
    assert_eq!(told(&doctor, &leaving).await, "[erased][erased]");
    home.stop().await;
}
