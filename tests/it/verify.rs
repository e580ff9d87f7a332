//! `lethe verify`: a certificate offline, and a record in which something was changed. Whatever was changed is named.

use std::path::{Path, PathBuf};

use domain::permit::Role;
use infra::archive::ArchiveReader;
use infra::journal::raw::RawMessage;
use serde_json::Value;
use tests::home::{Folder, Home, copy};
use tests::people::{erase, somebody};

use crate::binary;

/// The journal stream of the study, on the server.
const STREAM: &str = "EVT_acme_cardio-1";

/// A platform that was stopped after somebody was erased, with plain archives of its journals and the certificate.
struct Record {
    folder: Folder,
    /// The journal stream as it was before the erasure.
    before: PathBuf,
    archives: PathBuf,
    certificate: PathBuf,
    key: String,
}

impl Record {
    async fn new() -> Self {
        let home = Home::with_off_site().await;
        home.live_study().await;
        let doctor = home.client(Role::Investigator).await;
        let leaving = somebody(&doctor, "N-1").await;
        somebody(&doctor, "N-2").await;
        let folder = home.stop().await;
        let before = folder.path().join("before");
        copy(&stream(&folder), &before);

        let home = Home::start(folder).await;
        let done = erase(&home, &leaving, None).await;
        let dpo = home.client(Role::Dpo).await;
        let erasure = done["erasure"].as_str().expect("an id");
        let certificate = dpo.get(&format!("/v1/erasures/{erasure}/certificate")).await.expect("a certificate").body;
        let record = Self {
            before,
            archives: home.folder.path().join("archives"),
            certificate: home.folder.path().join("certificate.json"),
            key: binary().json(&home.folder, &["kms", "status", "--tenant", "acme"])["public_key"]
                .as_str()
                .expect("a public key")
                .to_owned(),
            folder: Self::archived(home).await,
        };
        std::fs::write(&record.certificate, certificate.to_string()).expect("a file");
        record
    }

    /// Writes plain archives by way of a backup, and stops the platform.
    async fn archived(home: Home) -> Folder {
        let folder = &home.folder;
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (identity, backups, archives) = (path("identity"), path("backups"), path("archives"));
        std::fs::create_dir_all(&backups).expect("a folder");
        let recipient = binary().done(folder, &["backup", "keygen", "--out", &identity]);
        binary().done(folder, &["backup", "create", "--tenant", "acme", "--to", &backups, "--recipient", &recipient]);
        let extract = ["backup", "extract", "--tenant", "acme", "--from", &backups, "--identity", &identity];
        binary().done(folder, &[&extract[..], &["--to", &archives]].concat());
        home.stop().await
    }

    /// What the archive of the study holds.
    fn messages(&self) -> Vec<RawMessage> {
        let file = std::fs::File::open(archive(&self.archives)).expect("an archive");
        let mut reader = ArchiveReader::open(std::io::BufReader::new(file)).expect("an archive");
        std::iter::from_fn(|| reader.next().expect("a whole archive")).collect()
    }

    /// A copy of the platform and of what stands elsewhere, to damage.
    fn copied(&self) -> Folder {
        let folder = Folder::new().with_off_site();
        copy(&self.folder.data(), &folder.data());
        copy(&self.folder.kms(), &folder.kms());
        copy(&self.folder.off_site(), &folder.off_site());
        folder
    }

    fn certificate(&self, file: &Path, more: &[&str]) -> (Option<i32>, String) {
        let file = file.display().to_string();
        let arguments = [&["verify", file.as_str(), "--trust", self.key.as_str()], more].concat();
        // Nothing of the platform is needed: it looks into an empty folder.
        binary().said(&Folder::new(), &arguments)
    }
}

/// The file of the study's archive.
fn archive(archives: &Path) -> PathBuf {
    let files = std::fs::read_dir(archives).expect("archives").flatten().map(|entry| entry.path());
    let mut of_study = files.filter(|path| path.to_string_lossy().contains("cardio-1"));
    of_study.next().expect("the study's archive")
}

/// Where the server keeps the study's journal stream.
fn stream(folder: &Folder) -> PathBuf {
    files(&folder.data().join("nats")).0.into_iter().find(|path| path.ends_with(STREAM)).expect("it is on disk")
}

/// All folders and all files below a folder.
pub(crate) fn files(folder: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let (mut folders, mut files) = (Vec::new(), Vec::new());
    for path in std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            let below = self::files(&path);
            folders.push(path);
            folders.extend(below.0);
            files.extend(below.1);
        } else {
            files.push(path);
        }
    }
    (folders, files)
}

fn verify_journal(folder: &Folder) -> (Option<i32>, String) {
    binary().said(folder, &["verify", "journal", "--tenant", "acme"])
}

/// Changes one bit in the middle of these bytes, where the server keeps them.
fn flip(folder: &Folder, bytes: &[u8]) {
    flip_in(&stream(folder), bytes);
}

/// Changes one bit in the middle of these bytes, in a folder of a journal stream.
pub(crate) fn flip_in(stream: &Path, bytes: &[u8]) {
    let blocks = files(stream).1.into_iter().filter(|path| path.extension().is_some_and(|end| end == "blk"));
    for block in blocks {
        let mut held = std::fs::read(&block).expect("a block");
        if let Some(at) = held.windows(bytes.len()).position(|window| window == bytes) {
            held[at + bytes.len() / 2] ^= 1;
            return std::fs::write(&block, held).expect("written");
        }
    }
    panic!("the commit is in no block");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_record_is_verified_and_a_certificate_offline() {
    let record = Record::new().await;
    let report = binary().json(&record.folder, &["verify", "journal", "--tenant", "acme"]);
    assert_eq!((&report["damaged"], &report["is_authenticated"]), (&Value::from(0), &Value::from(true)), "{report}");
    for row in report["journals"].as_array().expect("journals") {
        // The erasure had its study's journal signed; the tenant's own and the access log are signed within seconds.
        let signed = row["journal"]["study"].is_null()
            || row["journal"]["study"] == "-access"
            || row["checkpoints"].as_u64() > Some(1);
        assert!(row["commits"].as_u64() > Some(0) && signed, "{row}");
        assert_eq!(row["commits"], row["authenticated"], "every byte of every commit is covered: {row}");
    }
    assert_eq!(report["journals"].as_array().map(Vec::len), Some(3), "{report}");

    let archives = record.archives.display().to_string();
    for more in [&[][..], &["--journal", &archives]] {
        let (code, said) = record.certificate(&record.certificate, more);
        assert_eq!(code, Some(0), "{said}");
    }
    let page = record.folder.path().join("page.html");
    let (code, said) = record.certificate(&record.certificate, &["--page", &page.display().to_string()]);
    assert_eq!(code, Some(0), "{said}");
    assert!(std::fs::read_to_string(page).expect("a page").contains("<html"), "a page for people");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_with_one_changed_byte_or_beside_another_journal_is_refused() {
    let record = Record::new().await;
    let text = std::fs::read(&record.certificate).expect("the certificate");
    let altered = record.folder.path().join("altered.json");
    for at in (0..text.len()).step_by(text.len() / 12) {
        let mut bytes = text.clone();
        bytes[at] ^= 1;
        std::fs::write(&altered, bytes).expect("a file");
        let (code, said) = record.certificate(&altered, &[]);
        assert!(matches!(code, Some(1 | 2)), "byte {at}: {said}");
    }
    // The archive without its last commit, and with one changed byte.
    let archives = record.archives.display().to_string();
    let (file, whole) = (archive(&record.archives), std::fs::read(archive(&record.archives)).expect("an archive"));
    for at in [whole.len() / 3, whole.len() - 100] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(&file, bytes).expect("a file");
        let (code, said) = record.certificate(&record.certificate, &["--journal", &archives]);
        assert_eq!(code, Some(1), "byte {at} of the archive: {said}");
        assert!(said.contains("REFUSED"), "{said}");
    }
    std::fs::write(&file, &whole[..whole.len() / 2]).expect("a file");
    let (code, said) = record.certificate(&record.certificate, &["--journal", &archives]);
    assert_eq!(code, Some(1), "{said}");
    std::fs::remove_file(&file).expect("removed");
    let (code, said) = record.certificate(&record.certificate, &["--journal", &archives]);
    assert_eq!(code, Some(1), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_flipped_bit_on_the_servers_disk_is_named_wherever_it_is() {
    let record = Record::new().await;
    let commits: Vec<RawMessage> =
        record.messages().into_iter().filter(|message| !message.payload.is_empty()).collect();
    let of_erasure = commits.iter().rposition(|commit| commit.subject.contains("privacy")).expect("the erasure");
    // The first one, one in the middle, the last of the erased person.
    for at in [0, commits.len() / 2, of_erasure] {
        let (commit, folder) = (&commits[at], record.copied());
        flip(&folder, &commit.payload);
        let (code, said) = verify_journal(&folder);
        // Either the start finds it or the look at the whole record.
        assert!(matches!(code, Some(1 | 6)), "message {}: {said}", commit.sequence);
        let name = format!("message {}", commit.sequence);
        assert!(said.contains(STREAM) && said.contains(&name), "{name} is named: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_was_cut_off_and_a_missing_journal_stream_are_found_by_the_checkpoints() {
    let record = Record::new().await;
    for (what, folders) in [
        ("the read store is gone too", &["store"][..]),
        ("the read store and all that was signed here are gone too", &["store", "checkpoints", "log"]),
        ("and the list of studies", &["store", "checkpoints", "log", "studies"]),
    ] {
        for put_back in [true, false] {
            let folder = record.copied();
            let of_tenant = folder.data().join("tenants/acme");
            for name in folders {
                std::fs::remove_dir_all(of_tenant.join(name)).expect("it was there");
            }
            let stream = stream(&folder);
            std::fs::remove_dir_all(&stream).expect("removed");
            if put_back {
                copy(&record.before, &stream);
            }
            let (code, said) = verify_journal(&folder);
            assert_eq!(code, Some(6), "{what}: {said}");
            let found = if put_back { "are lost" } else { "missing|it is not there" };
            assert!(said.contains("cardio-1") && found.split('|').any(|words| said.contains(words)), "{what}: {said}");
            assert!(stream.exists() == put_back, "nothing was made in its place");
        }
    }
}
