//! The contract on a SoftHSM token.
//!
//! The module reads where its tokens are from the environment, once: so each test runs in a process of its own.

use std::process::Command;

use domain::port::{Failure, Kms as _, KmsError};

use super::{Kept, KmsConfig, Scratch, holds, open, tenant};
use crate::keys::kms::dev::SoftHsm;
use crate::keys::kms::{Pkcs11Kms, Pkcs11Module, SecretSource, TokenChoice};

/// Where the child finds the token that its parent made for it.
const FOLDER: &str = "LETHE_TEST_SOFTHSM";
/// Where a third process finds what the second wrapped.
const INNER: &str = "LETHE_TEST_SOFTHSM_WRAPPED";

/// Runs the test `name` again in a process that has a token, and gives the token there. None in the parent, where
/// there is nothing more to do.
fn token(name: &str) -> Option<SoftHsm> {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return Some(SoftHsm::within(folder.as_ref()).expect("the parent made it"));
    }
    if let Err(error) = SoftHsm::installed() {
        assert!(std::env::var_os("CI").is_none(), "{error}");
        eprintln!("skipped {name}: {error}");
        return None;
    }
    let scratch = Scratch::new();
    let token = SoftHsm::within(scratch.path()).unwrap_or_else(|error| panic!("{error}"));
    let output = child(name, &token, scratch.path()).output().expect("this test again");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    None
}

fn child(name: &str, token: &SoftHsm, folder: &std::path::Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this test binary"));
    command.arg("--exact").arg(format!("{}::{name}", module_path!().split_once("::").expect("a crate").1));
    command.env("SOFTHSM2_CONF", token.config_file()).env(FOLDER, folder);
    command
}

/// Runs the test once more, with what was wrapped.
fn third_process(name: &str, token: &SoftHsm, wrapped: &[u8]) {
    let (scratch, folder) = (Scratch::new(), std::env::var_os(FOLDER).expect("in the child"));
    let file = scratch.path().join("wrapped");
    std::fs::write(&file, wrapped).expect("written");
    let output = child(name, token, folder.as_ref()).env(INNER, &file).output().expect("a third process");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[tokio::test]
async fn the_contract_holds_on_softhsm() {
    let Some(token) = token("the_contract_holds_on_softhsm") else { return };
    holds(&token.config()).await;
    let told = open(&token.config(), "wrap").await.kms.describe();
    assert_eq!((told.kind.as_str(), told.is_exportable), ("pkcs11", false));
    assert!(told.device.contains("SoftHSM") && told.device.contains("serial number"), "{}", told.device);
    assert!(told.limits.contains("proves the protocol, not the destruction"), "{}", told.limits);
}

#[tokio::test]
async fn another_process_sees_what_this_one_did_and_the_other_way_round() {
    const NAME: &str = "another_process_sees_what_this_one_did_and_the_other_way_round";
    let Some(token) = token(NAME) else { return };
    let kms = open(&token.config(), "acme").await;
    if let Some(wrapped) = std::env::var_os(INNER) {
        let wrapped = std::fs::read(wrapped).expect("the parent's");
        assert_eq!(kms.kms.unwrap(1, b"here", &wrapped).await.expect("unwrapped"), b"plain");
        kms.kms.create_root(2).await.expect("a root");
        kms.kms.destroy(1).await.expect("destroyed");
        return;
    }
    kms.kms.create_root(1).await.expect("a root");
    let key = kms.signer.public_key().await.expect("a key");
    let wrapped = kms.kms.wrap(1, b"here", b"plain").await.expect("wrapped");
    third_process(NAME, &token, &wrapped);
    assert_eq!(kms.kms.versions().await.expect("an answer").into_iter().collect::<Vec<_>>(), [2]);
    let gone = kms.kms.unwrap(1, b"here", &wrapped).await;
    assert!(matches!(gone, Err(KmsError::NoSuchVersion(1))), "{gone:?}");
    kms.kms.wrap(2, b"here", b"plain").await.expect("the other's root");
    assert_eq!(kms.signer.public_key().await.expect("a key"), key);
}

#[tokio::test]
async fn processes_that_make_a_root_at_once_open_what_each_other_wrapped() {
    const NAME: &str = "processes_that_make_a_root_at_once_open_what_each_other_wrapped";
    const ROOTS: std::ops::RangeInclusive<u64> = 1..=3;
    const POLL: std::time::Duration = std::time::Duration::from_millis(2);
    let Some(token) = token(NAME) else { return };
    let kms = open(&token.config(), "acme").await;
    let until = |file: std::path::PathBuf| {
        while !file.exists() {
            std::thread::sleep(POLL);
        }
    };
    if let Some(out) = std::env::var_os(INNER) {
        std::fs::write(std::path::Path::new(&out).join("open"), "").expect("written");
        until(std::path::Path::new(&out).join("go"));
        for version in ROOTS {
            kms.kms.create_root(version).await.expect("a root");
            let wrapped = kms.kms.wrap(version, b"here", b"plain").await.expect("wrapped");
            std::fs::write(std::path::Path::new(&out).join(version.to_string()), wrapped).expect("written");
        }
        return;
    }
    let folder = std::env::var_os(FOLDER).expect("in the child");
    let scratches = [Scratch::new(), Scratch::new(), Scratch::new()];
    let start = |scratch: &Scratch| child(NAME, &token, folder.as_ref()).env(INNER, scratch.path()).spawn();
    // One opens after the other: SoftHSM may read a token half while another process logs in.
    let mut running = Vec::new();
    for scratch in &scratches {
        let mut process = start(scratch).expect("a process");
        while !scratch.path().join("open").exists() {
            assert!(process.try_wait().expect("its state").is_none(), "it ended before it was open");
            std::thread::sleep(POLL);
        }
        running.push(process);
    }
    scratches.iter().for_each(|scratch| std::fs::write(scratch.path().join("go"), "").expect("written"));
    for mut process in running {
        assert!(process.wait().expect("its end").success());
    }
    for version in ROOTS {
        let wrapped =
            scratches.each_ref().map(|it| std::fs::read(it.path().join(version.to_string())).expect("wrapped"));
        for wrapped in &wrapped {
            assert_eq!(kms.kms.unwrap(version, b"here", wrapped).await.expect("unwrapped"), b"plain");
        }
        kms.kms.destroy(version).await.expect("destroyed");
        for wrapped in &wrapped {
            let gone = kms.kms.unwrap(version, b"here", wrapped).await;
            assert!(matches!(gone, Err(KmsError::NoSuchVersion(it)) if it == version), "{gone:?}");
        }
    }
}

#[tokio::test]
async fn a_token_whose_objects_are_away_is_no_answer() {
    const NAME: &str = "a_token_whose_objects_are_away_is_no_answer";
    let Some(token) = token(NAME) else { return };
    let kms = open(&token.config(), "acme").await;
    if let Some(wrapped) = std::env::var_os(INNER) {
        let wrapped = std::fs::read(wrapped).expect("the parent's");
        assert_eq!(kms.kms.unwrap(2, b"here", &wrapped).await.expect("unwrapped"), b"plain");
        return;
    }
    let kept = Kept::new(&kms).await;
    let away = token.tokens().with_extension("away");
    std::fs::rename(token.tokens(), &away).expect("away");
    kept.is_out_of_reach(&kms).await;
    std::fs::rename(&away, token.tokens()).expect("back");
    // This process's SoftHSM has given its objects up for good, and still that is no answer.
    kept.is_out_of_reach(&kms).await;
    third_process(NAME, &token, &kept.wrapped);
}

#[tokio::test]
async fn what_is_wrong_with_a_token_is_said() {
    let Some(token) = token("what_is_wrong_with_a_token_is_said") else { return };
    let scratch = Scratch::new();
    let file = scratch.path().join("pin");
    let KmsConfig::Pkcs11 { module, token: choice, pin } = token.config() else { panic!("it is a token") };
    let with = |choice: TokenChoice, pin: &SecretSource| KmsConfig::Pkcs11 {
        module: module.clone(),
        token: choice,
        pin: pin.clone(),
    };
    std::fs::write(&file, "not the pin").expect("written");
    let wrong = with(choice.clone(), &SecretSource::File(file.clone()));
    let message = wrong.open(&tenant("acme")).await.map(drop).expect_err("a wrong PIN").to_string();
    assert!(
        message.contains("PIN") && message.contains("; do this next: ") && !message.contains("not the pin"),
        "{message}"
    );
    let absent = with(TokenChoice::Label("other".into()), &pin);
    let message = absent.open(&tenant("acme")).await.map(drop).expect_err("no such token").to_string();
    assert!(message.contains("no token with token=other"), "{message}");
    let KmsConfig::Pkcs11 { token, pin, .. } = token.config() else { panic!("it is a token") };
    let nothing = KmsConfig::Pkcs11 { module: scratch.path().join("none.so"), token, pin };
    let message = nothing.open(&tenant("acme")).await.map(drop).expect_err("no module").to_string();
    assert!(message.contains("cannot load the module") && message.contains("softhsm2"), "{message}");
}

#[tokio::test]
async fn a_session_that_died_is_opened_anew_and_a_refused_pin_is_not_tried_again() {
    const NAME: &str = "a_session_that_died_is_opened_anew_and_a_refused_pin_is_not_tried_again";
    let Some(token) = token(NAME) else { return };
    let KmsConfig::Pkcs11 { module, token: choice, pin: SecretSource::File(pin) } = token.config() else {
        panic!("it is a token with its PIN in a file")
    };
    let right = std::fs::read_to_string(&pin).expect("a PIN");
    let module = Pkcs11Module { path: module, token: choice, pin: SecretSource::File(pin.clone()) };
    let kms = Pkcs11Kms::open(module, &tenant("acme")).await.unwrap_or_else(|error| panic!("{error}"));
    kms.create_root(1).await.expect("a root");
    let wrapped = kms.wrap(1, b"here", b"plain").await.expect("wrapped");
    kms.end_sessions();
    assert_eq!(kms.unwrap(1, b"here", &wrapped).await.expect("in a new session"), b"plain");
    kms.end_sessions();
    std::fs::write(&pin, "not the PIN").expect("written");
    for said in ["PIN is incorrect", "has refused the PIN", "has refused the PIN"] {
        match kms.unwrap(1, b"here", &wrapped).await {
            Err(KmsError::Failed(Failure::Unavailable { cause, .. })) => assert!(cause.contains(said), "{cause}"),
            answer => panic!("{answer:?}"),
        }
    }
    std::fs::write(&pin, right).expect("written");
    assert_eq!(kms.unwrap(1, b"here", &wrapped).await.expect("the PIN is right again"), b"plain");
}
