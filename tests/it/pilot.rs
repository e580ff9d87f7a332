//! The CDISC pilot study, entered by 17 site users through the API and compared with its source in every export.

use std::path::Path;
use std::process::Command;

use tests::home::Folder;

/// The first two of each site: the whole study is entered by `examples/pilot-study.sh` without this.
const EACH: &str = "2";

#[test]
fn the_pilot_study_is_entered_read_back_and_exported_value_by_value() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    if !root.join("../shared/data/pv_dm.csv").exists() {
        return println!("skipped: the_pilot_study_… (../shared/data is not here)");
    }
    if !Command::new("curl").arg("--version").output().is_ok_and(|done| done.status.success()) {
        return println!("skipped: the_pilot_study_… (curl is not here)");
    }
    let folder = Folder::new();
    let to = folder.path().join("exports");
    std::fs::create_dir(&to).expect("a folder");
    let mut run = Command::new("bash");
    run.arg("examples/pilot-study.sh").arg(&to).current_dir(&root);
    run.env("LETHE_BIN", super::binary().path()).env("PILOT_EACH", EACH).env_remove("LETHE_LOG").env_remove("RUST_LOG");
    let done = run.output().expect("bash runs");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
    for line in ["entered: 33 participants", "read back by 17 site users", "0 faults", "== Passed"] {
        assert!(said.contains(line), "{line}: {said}");
    }
}
