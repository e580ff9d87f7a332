use std::path::PathBuf;

use uuid::Uuid;

use super::*;
use crate::keys::Options;
use crate::keys::kms::MemoryKms;
use crate::keys::memory::MemoryNodes;
use crate::log::note::tests::SeedSigner;

const EXPORT: ExportId = ExportId(Uuid::from_u128(7));
const CANARY: &[u8] = b"CANARY: a value of a person";

struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn vault() -> (ExportFolders, Scratch) {
    let tenant = || domain::ids::TenantId::try_from("acme".to_owned()).expect("valid");
    let (nodes, kms) = (Arc::new(MemoryNodes::default()), Arc::new(MemoryKms::new(tenant())));
    let tree = Arc::new(KeyTree::new(tenant(), nodes, kms, Options::default()));
    tree.create().await.expect("a tree");
    let dir = std::env::temp_dir().join(format!("lethe-exports-{}", Identity::generate().to_public()));
    (ExportFolders::new(dir.clone(), tree, Arc::new(SeedSigner::new(3))), Scratch(dir))
}

async fn held(vault: &ExportFolders, export: ExportId, name: &str) {
    let mut file = vault.create(export, name).await.expect("creates");
    file.write_all(CANARY).expect("writes");
    file.finish().expect("is whole");
}

async fn read(vault: &ExportFolders, export: ExportId, name: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    vault.open(export, name).await.expect("answers")?.read_to_end(&mut bytes).expect("reads");
    Some(bytes)
}

#[tokio::test]
async fn nothing_plain_is_on_disk_and_nothing_is_left_after_deletion() {
    let (vault, scratch) = vault().await;
    vault.begin(EXPORT).await.expect("begins");
    held(&vault, EXPORT, "a.csv").await;
    assert_eq!(read(&vault, EXPORT, "a.csv").await.as_deref(), Some(CANARY));
    assert_eq!(read(&vault, EXPORT, "b.csv").await, None);
    let folder = scratch.0.join(EXPORT.to_string());
    for entry in fs::read_dir(&folder).expect("is there") {
        let bytes = fs::read(entry.expect("an entry").path()).expect("reads");
        assert!(!bytes.windows(6).any(|window| window == b"CANARY" || window == b"AGE-SE"));
    }
    assert!(vault.holds(EXPORT).await.expect("answers"));
    vault.destroy(EXPORT).await.expect("destroys");
    vault.destroy(EXPORT).await.expect("a second time, too");
    assert!(!folder.exists() && !vault.holds(EXPORT).await.expect("answers"));
    assert_eq!(read(&vault, EXPORT, "a.csv").await, None);
}

#[tokio::test]
async fn a_key_opens_its_own_export_only_and_half_a_file_never_opens() {
    let (vault, scratch) = vault().await;
    let other = ExportId(Uuid::from_u128(8));
    for export in [EXPORT, other] {
        vault.begin(export).await.expect("begins");
        held(&vault, export, "a.csv").await;
    }
    let path = |export: ExportId, name: &str| scratch.0.join(export.to_string()).join(name);
    fs::copy(path(other, KEY), path(EXPORT, KEY)).expect("copies");
    assert!(matches!(vault.open(EXPORT, "a.csv").await, Err(Failure::Damaged { .. })));
    let mut file = vault.create(other, "b.csv").await.expect("creates");
    file.write_all(CANARY).expect("writes");
    drop(file);
    assert_eq!(read(&vault, other, "b.csv").await, None);
    let whole = fs::read(path(other, "a.csv")).expect("reads");
    fs::write(path(other, "a.csv"), &whole[..whole.len() - 1]).expect("cuts");
    let mut cut = vault.open(other, "a.csv").await.expect("answers").expect("is there");
    assert!(cut.read_to_end(&mut Vec::new()).is_err());
    for name in ["", "..", "../a.csv", "key", "a.half"] {
        assert!(vault.create(other, name).await.is_err(), "{name}");
    }
}

#[tokio::test]
async fn a_signature_stands_for_these_bytes_and_this_key() {
    let (vault, _scratch) = vault().await;
    let signature = vault.sign(b"{\"a\":1}").await.expect("signs");
    let trust = SeedSigner::new(3).key();
    assert_eq!(check_signature(b"{\"a\":1}", &signature, &trust), Ok(()));
    assert!(check_signature(b"{\"a\":2}", &signature, &trust).is_err());
    assert!(check_signature(b"{\"a\":1}", &signature, &SeedSigner::new(4).key()).is_err());
    assert!(check_signature(b"{\"a\":1}", &signature[1..], &trust).is_err());
}
