//! `lethe demo --exit --json`, and what it leaves on disk.

use std::path::Path;

use serde_json::Value;
use tests::home::Folder;

/// The canaries that are found in any file under a folder, in any letter case. (CI runs the larger search of all encodings.)
fn found(folder: &Path, canaries: &[String]) -> Vec<String> {
    let mut hits = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            hits.extend(found(&path, canaries));
        } else if let Ok(bytes) = std::fs::read(&path) {
            let text = String::from_utf8_lossy(&bytes).to_lowercase();
            hits.extend(canaries.iter().filter(|canary| text.contains(&canary.to_lowercase())).cloned());
        }
    }
    hits
}

#[test]
fn the_demo_shows_the_whole_way_and_leaves_no_name_on_disk() {
    let folder = Folder::new();
    let done = super::binary().run(&folder, &["demo", "--exit", "--json", "--participants", "12"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let outcome: Value = serde_json::from_slice(&done.stdout).expect("one JSON object");
    assert_eq!(outcome["participants"], 12);
    assert_eq!(outcome["erased"], 1);
    assert!(outcome["commits"].as_u64() >= Some(12 * 6) && outcome["events"].as_u64() >= outcome["commits"].as_u64());
    assert!(outcome["commands_per_second"].as_f64() > Some(0.0));
    let canaries: Vec<String> = serde_json::from_value(outcome["canaries"].clone()).expect("a list");
    assert!(canaries.len() >= 12 && canaries.iter().filter(|canary| canary.len() >= 6).count() >= 12);
    let data_dir = Path::new(outcome["data_dir"].as_str().expect("a path"));
    assert_eq!(data_dir, folder.data());
    assert_eq!(found(data_dir, &canaries), Vec::<String>::new());
    // The search would find one: otherwise nothing found means nothing.
    std::fs::write(data_dir.join("planted"), format!("x{}y", canaries[0].to_uppercase())).expect("a file");
    assert_eq!(found(data_dir, &canaries), [canaries[0].clone()]);
}

#[test]
fn the_demo_leaves_an_existing_platform_alone() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.data().join("tenants")).expect("a folder");
    let done = super::binary().run(&folder, &["demo", "--exit", "--json", "--participants", "1"]);
    assert_eq!(done.status.code(), Some(3), "{}", String::from_utf8_lossy(&done.stderr));
}
