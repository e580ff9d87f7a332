//! Exports as their orderers, their recipients and the erased meet them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::Moment;
use domain::ids::UserId;
use domain::permit::Role;
use domain::port::Clock as _;
use infra::chance::SystemClock;
use lethe::cli::{Client, follow};
use lethe::platform::{NewToken, random_id};
use serde_json::{Value, json};
use tests::api::send;
use tests::home::{Folder, Home, acme};
use tests::people::{NARRATIVE, order, somebody};

use super::binary;

const EXPORTS: &str = "/v1/studies/cardio-1/exports";

/// Whoever orders exports, with a token that the command line takes.
async fn orderer(home: &Home) -> (Client, String) {
    let new = NewToken::new(&acme(), UserId(random_id()), Role::DataManager, "orderer", false);
    let token = home.platform.create_token(new).await.expect("a token");
    (Client::new(home.platform.url(), token.clone()), token)
}

fn run(folder: &Folder, token: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = binary().command(folder);
    let output = command.env("LETHE_TOKEN", token).args(arguments).output().expect("it runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code(), format!("{out}{err}"))
}

fn taken(folder: &Folder, name: &str, token: &str, expires: &str) -> (PathBuf, Option<i32>, String) {
    let to = folder.path().join(name);
    std::fs::create_dir(&to).expect("a folder");
    let (code, said) = tokio::task::block_in_place(|| {
        let place =
            ["--study", "cardio-1", "--format", "csv,odm132,dataset-json", "--to", to.to_str().expect("a path")];
        let terms = ["--recipient", "Statistics", "--purpose", "Interim analysis", "--expires", expires];
        run(folder, token, &[&["data", "export"][..], &place, &terms].concat())
    });
    (to, code, said)
}

/// Every file below a folder.
fn files(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(below).into_iter().flatten().flatten() {
        if entry.path().is_dir() { found.extend(files(&entry.path())) } else { found.push(entry.path()) }
    }
    found
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

async fn listed(client: &Client) -> Vec<Value> {
    client.get(EXPORTS).await.expect("a register").body["items"].as_array().expect("items").clone()
}

/// The export once it stands at `stage`.
async fn at_stage(client: &Client, export: &str, stage: &str) -> Value {
    loop {
        let shown = client.get(&format!("{EXPORTS}/{export}")).await.expect("an export").body;
        if shown["stage"] == stage {
            return shown;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_takes_back_what_is_held_and_knows_whom_to_tell() {
    let home = Home::with_off_site().await;
    home.live_study().await;
    let doctor = home.client(Role::Investigator).await;
    let (ada, _bob) = (somebody(&doctor, "A-1").await, somebody(&doctor, "A-2").await);
    let (manager, token) = orderer(&home).await;
    let (to, code, said) = taken(&home.folder, "out", &token, "30");
    assert_eq!(code, Some(0), "{said}");
    assert!(files(&to).iter().any(|file| contains(&std::fs::read(file).expect("reads"), NARRATIVE)), "it is the data");

    // It is on the register, with the copy that was taken.
    let exports = listed(&manager).await;
    let export = exports[0]["export"].as_str().expect("an id").to_owned();
    assert_eq!((exports.len(), &exports[0]["stage"], &exports[0]["participants"]), (1, &json!("held"), &json!(2)));
    assert_eq!(exports[0]["copies"][0]["recipient"], "Statistics");
    // What is held here is sealed.
    let held = files(&home.folder.data().join("tenants/acme/exports"));
    assert!(held.len() > 4, "{held:?}");
    assert!(!held.iter().any(|file| contains(&std::fs::read(file).expect("reads"), NARRATIVE)));
    // Others see that it is there, and get nothing of it.
    let other = home.client(Role::DataManager).await;
    assert_eq!(listed(&other).await[0]["files"], json!([]));
    let file = format!("{EXPORTS}/{export}/files/cardio-1.AE.csv");
    assert_eq!(other.text(&file).await.expect_err("it is not theirs").status, Some(404));
    assert!(manager.text(&file).await.expect("a file").contains(NARRATIVE));
    signed(&home, &to);

    let (dpo, erasure) = order(&home, &ada, None).await;
    let done = follow(&dpo, erasure, None, |_| {}).await.expect("followed");
    assert_eq!((&done["phase"], &done["recipients"]), (&json!("completed"), &json!(1)), "{done}");
    let tell: Vec<_> = done["tell"].as_array().expect("whom to tell").iter().map(|one| &one["recipient"]).collect();
    assert_eq!(tell, ["Statistics"], "once");
    assert_eq!(done["tell"][0]["given"].as_array().map(Vec::len), Some(2), "the export and the copy of it");
    let gone = at_stage(&manager, &export, "deleted").await;
    assert_eq!(gone["cause"], "erasure");
    assert_eq!(manager.text(&file).await.expect_err("it is deleted").status, Some(410));
    assert_eq!(files(&home.folder.data().join("tenants/acme/exports")), Vec::<PathBuf>::new());

    // Made anew, nothing of the erased is in it.
    let (to, code, said) = taken(&home.folder, "again", &token, "30");
    assert_eq!(code, Some(0), "{said}");
    let rows = std::fs::read_to_string(to.join("cardio-1.AE.csv")).expect("a table");
    assert_eq!((rows.matches(NARRATIVE).count(), rows.matches("ERASED").count() > 0), (1, true), "{rows}");
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restriction_takes_back_what_is_held_and_lets_what_is_ordered_under_it_go() {
    let home = Home::new().await;
    home.live_study().await;
    let doctor = home.client(Role::Investigator).await;
    let (ada, _bob) = (somebody(&doctor, "A-1").await, somebody(&doctor, "A-2").await);
    let (manager, token) = orderer(&home).await;
    let (_, code, said) = taken(&home.folder, "before", &token, "30");
    assert_eq!(code, Some(0), "{said}");
    let before = listed(&manager).await[0]["export"].as_str().expect("an id").to_owned();

    let restrict = json!({"type": "place-restriction", "ground": "accuracy-contested", "reason": "it is contested"});
    send(&home.client(Role::Dpo).await, &format!("{ada}/privacy"), restrict).await.expect("restricted");
    at_stage(&manager, &before, "deleted").await;
    let (to, code, said) = taken(&home.folder, "under", &token, "30");
    assert_eq!(code, Some(0), "{said}");
    let rows = std::fs::read_to_string(to.join("cardio-1.AE.csv")).expect("a table");
    assert_eq!(rows.matches(NARRATIVE).count(), 1, "the other one's only: {rows}");
    home.stop().await;
}

/// The manifest holds, and finds out what was altered.
fn signed(home: &Home, to: &Path) {
    let status = binary().json(&home.folder, &["kms", "status", "--tenant", "acme"]);
    let key = status["public_key"].as_str().expect("a key").to_owned();
    let check = |key: &str| {
        let arguments = ["data", "verify-manifest", to.to_str().expect("a path"), "--trust", key];
        binary().said(&home.folder, &arguments)
    };
    let (code, said) = check(&key);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("holds: cardio-1.manifest.json") && !said.contains("WARNING"), "{said}");
    let extra = to.join("extra.csv");
    std::fs::write(&extra, "made up").expect("written");
    for (strict, ends, word) in [(None, Some(0), "WARNING"), (Some("--strict"), Some(1), "REFUSED")] {
        let arguments = ["data", "verify-manifest", to.to_str().expect("a path"), "--trust", &key];
        let (code, said) = binary().said(&home.folder, &[&arguments[..], strict.as_slice()].concat());
        assert!(code == ends && said.contains(&format!("{word}: extra.csv")), "{code:?}: {said}");
    }
    std::fs::remove_file(&extra).expect("taken away");
    for name in ["cardio-1.AE.csv", "cardio-1.manifest.json", "cardio-1.manifest.signature.json"] {
        let whole = std::fs::read_to_string(to.join(name)).expect("a file");
        std::fs::write(to.join(name), whole.replacen('1', "2", 1)).expect("it is altered");
        let (code, said) = check(&key);
        assert!(code != Some(0) && said.contains("REFUSED"), "{name}: {said}");
        std::fs::write(to.join(name), whole).expect("it is put back");
    }
    let other = key.replace(|letter: char| letter.is_ascii_digit(), "0");
    assert_ne!(check(&other).0, Some(0), "another key");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_expire_across_a_restart_and_by_hand() {
    let home = Home::new().await;
    home.live_study().await;
    let doctor = home.client(Role::Investigator).await;
    somebody(&doctor, "A-1").await;
    let (manager, token) = orderer(&home).await;
    let soon = Moment(SystemClock.now() + Duration::from_secs(20));
    let soon = serde_json::to_value(soon).expect("a time").as_str().expect("a text").to_owned();
    let (_, code, said) = taken(&home.folder, "soon", &token, &soon);
    assert_eq!(code, Some(0), "{said}");
    let (_, code, said) = taken(&home.folder, "later", &token, "30");
    assert_eq!(code, Some(0), "{said}");
    let exports = listed(&manager).await;
    let [later, first] = [&exports[0], &exports[1]].map(|one| one["export"].as_str().expect("an id").to_owned());

    let home = home.restart().await;
    let manager = Client::new(home.platform.url(), token.clone());
    assert_eq!(at_stage(&manager, &first, "deleted").await["cause"], "expired");
    assert_eq!(at_stage(&manager, &later, "held").await["cause"], Value::Null);
    let still = manager.text(&format!("{EXPORTS}/{later}/files/cardio-1.AE.csv")).await.expect("a file");
    assert!(still.contains(NARRATIVE), "it opens after a restart");
    let stranger = home.client(Role::Monitor).await;
    let delete = json!({"type": "delete"});
    let refused = send(&stranger, &format!("{EXPORTS}/{later}"), delete.clone()).await.expect_err("not theirs");
    assert_eq!(refused.code, "not-yours");
    let (code, said) = tokio::task::block_in_place(|| {
        run(&home.folder, &token, &["data", "exports", "delete", &later, "--study", "cardio-1"])
    });
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(at_stage(&manager, &later, "deleted").await["cause"], "by-hand");
    assert_eq!(files(&home.folder.data().join("tenants/acme/exports")), Vec::<PathBuf>::new());
    home.stop().await;
}
