//! The README's five minutes, as printed.

use std::process::Command;

use tests::home::Folder;

/// The shell blocks of the walkthrough, in order.
fn blocks(readme: &str) -> Vec<&str> {
    let section =
        readme.split("\n## ").find(|section| section.starts_with("Five minutes")).expect("the section is there");
    section.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn the_walkthrough_works_as_printed() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let readme = std::fs::read_to_string(format!("{root}/README.md")).expect("the README is there");
    let blocks = blocks(&readme);
    assert!(
        blocks[0].contains("cargo build --release"),
        "the first block builds: the binary under test stands in for it"
    );
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let folder = Folder::new();
    let bin = folder.path().join("bin");
    std::fs::create_dir(&bin).expect("a folder");
    std::os::unix::fs::symlink(super::binary().path(), bin.join("lethe")).expect("a link");
    let script = blocks[1..].join("").replace("127.0.0.1:8080", &port.to_string());
    let script = format!("set -euo pipefail\nset -m\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{script}");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").expect("a path"));
    let done = Command::new("bash")
        .args(["-c", &script])
        .current_dir(root)
        .env("PATH", path)
        .env("TMPDIR", folder.path())
        .env("LETHE_NATS_SERVER", infra::nats_server::locate_or_install(|_| {}).expect("a nats-server"))
        .output()
        .expect("bash is there");
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{out}\n{err}");
    let (before, after) = out.split_once("Erased: ").expect("the erasure completes");
    for value in ["Ingrid", "\"120\"", "\"210\"", "typing error"] {
        assert!(before.contains(value), "{value} is shown before\n{out}");
        assert!(!after.contains(value), "{value} is gone after\n{out}");
    }
    assert_eq!(after.matches("\"code\":\"erased\"").count(), 2, "casebook and identity are gone\n{after}");
    assert!(after.contains("items-saved") && after.contains("\"registered\":1"), "structure and counts stay\n{after}");
    assert!(!out.contains("\"status\":4") || !before.contains("\"status\":4"), "nothing was refused before\n{before}");
}

#[test]
fn blocks_are_found() {
    assert_eq!(
        blocks("# x\n\n## Five minutes\n\n```sh\na\n```\n\n```sh\nb\n```\n\n## Next\n```sh\nc\n```\n"),
        ["a\n", "b\n"]
    );
}
