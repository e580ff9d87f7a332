//! The drill with few people on each KMS: five backups, each restored beside the live root keys after the site is lost.

use infra::keys::kms::dev::SoftHsm;
use serde_json::{Value, json};
use tests::home::Folder;

/// Runs the drill as its users do and returns its figures.
fn figures(kms: &str) -> Value {
    let folder = Folder::new();
    let mut command = super::binary().command(&folder);
    command.args(["drill", "erasure", "--participants", "5", "--json", "--kms", kms]);
    // SoftHSM finds its token by a variable that a process has from its start: the drill sets it for itself.
    command.env_remove("SOFTHSM2_CONF").arg("--data-dir").arg(folder.path().join("drill"));
    let output = command.output().expect("the binary can be run");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the drill on {kms}: {}\n{out}\n{err}", output.status);
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}\n{err}"))
}

fn nobody_comes_back_and_nobody_is_lost(kms: &str) {
    let figures = figures(kms);
    for (name, expected) in [
        ("kms", json!(kms)),
        ("participants", json!(5)),
        ("erased", json!(3)),
        ("erased_recovered", json!(0)),
        ("survivors_unreadable", json!(0)),
        ("restores", json!(5)),
        ("certificates_verified", json!(3)),
        ("erasures_in_audit", json!(3)),
        ("raw_opened", json!(0)),
        ("faults", json!([])),
    ] {
        assert_eq!(figures[name], expected, "{name} of {figures}");
    }
    let bytes = figures["certificate_bytes"].as_u64().expect("a number");
    assert!((1..=10_000).contains(&bytes), "a certificate has {bytes} bytes");
    assert!(figures["raw_opens_tried"].as_u64().expect("a number") > 0, "{figures}");
    for name in ["shred_ms_p50", "shred_ms_p99", "verify_ms"] {
        assert!(figures[name].as_f64().is_some_and(|ms| ms > 0.0), "{name} of {figures}");
    }
}

#[test]
fn the_drill_on_files() {
    nobody_comes_back_and_nobody_is_lost("file");
}

#[test]
fn the_drill_on_openbao() {
    nobody_comes_back_and_nobody_is_lost("openbao");
}

/// A protocol test, nothing more: SoftHSM says nothing about what a device keeps.
#[test]
fn the_drill_on_softhsm() {
    if let Err(missing) = SoftHsm::installed() {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{missing}");
        return eprintln!("the_drill_on_softhsm is skipped: {missing}");
    }
    nobody_comes_back_and_nobody_is_lost("pkcs11");
}
