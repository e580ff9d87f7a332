//! How crypto-shredding failed elsewhere, each as a test that carries the name of the report. What is not here stands
//! in `drill.rs` (old backups), `failpoints.rs` (crashes), `infra` (keys, seal) and `domain` (the model of the rotation).

use std::path::Path;
use std::time::{Duration, Instant};

use domain::permit::Role;
use lethe::cli::{Client, follow};
use lethe::platform::random_id;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tests::api::{adverse_event, enrol, identity, participant, send, vital_signs};
use tests::home::{Folder, Home, cardio};
use tests::people::{erase, order};

const NARRATIVE: &str = "dizzy on the stairs, case 4711";
const REASON: &str = "the nurse misread the dial";

/// Somebody about whom everything is told, and the role that tells it.
async fn somebody(home: &Home) -> (Client, String) {
    home.live_study().await;
    let doctor = home.client(Role::Investigator).await;
    let at = participant(enrol(&doctor, "oslo", "N-1").await);
    send(&doctor, &format!("{at}/identity"), identity("Ingrid", "Kvistberg-Secret", "ingrid@post.example"))
        .await
        .expect("recorded");
    send(&doctor, &at, adverse_event(NARRATIVE)).await.expect("saved");
    let saved = send(&doctor, &at, vital_signs("137")).await.expect("saved");
    let mut changed = vital_signs("138");
    changed["items"][0]["reason"] = json!(REASON);
    let tag = saved.etag.expect("a tag");
    let changed = doctor.command(&at, random_id(), Some(&tag), None, &changed).await.expect("changed");
    let position = changed.position.expect("a position");
    doctor.get(&format!("{at}/casebook?min_position={position}")).await.expect("readable");
    (doctor, at)
}

/// Whether the bytes stand in any file below `folder`.
fn is_on_disk(folder: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(folder).expect("a folder").flatten().any(|entry| {
        if entry.path().is_dir() {
            is_on_disk(&entry.path(), bytes)
        } else {
            // The server may remove a file under our eyes.
            std::fs::read(entry.path()).unwrap_or_default().windows(bytes.len()).any(|window| window == bytes)
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn chatto_1379_the_request_is_stored_first_then_the_keys_go_and_completion_is_last() {
    let home = Home::with_off_site().await;
    let (_, at) = somebody(&home).await;
    let done = erase(&home, &at, None).await;
    let phases: Vec<_> = done["steps"].as_array().expect("steps").iter().map(|step| step["phase"].clone()).collect();
    let order = ["requested", "assessed", "approved", "begun", "committed", "keys-destroyed"];
    assert_eq!(phases[..6], order.map(Value::from));
    assert_eq!(phases.last(), Some(&json!("completed")));
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cratis_3713_an_erased_key_is_not_made_again_by_any_command() {
    let home = Home::with_off_site().await;
    let (doctor, at) = somebody(&home).await;
    erase(&home, &at, None).await;
    let again = json!({"type": "register", "site": "oslo", "subject_number": "N-1"});
    for (path, body) in [
        (at.clone(), vital_signs("140")),
        (at.clone(), adverse_event("a new story")),
        (format!("{at}/identity"), identity("Ingrid", "Again", "again@post.example")),
    ] {
        let refused = send(&doctor, &path, body).await.expect_err("loudly refused");
        assert_eq!((refused.status, refused.code.as_str()), (Some(410), "erased"));
    }
    // To register again is no new life: it is the same, already registered participant, still erased.
    let _ = send(&doctor, &at, again).await;
    let casebook = doctor.get(&format!("{at}/casebook")).await.expect_err("still erased");
    assert_eq!(casebook.code, "erased");
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cratis_3713_keys_that_cannot_be_destroyed_leave_the_erasure_waiting_and_never_completed() {
    let home = Home::with_off_site().await;
    let (doctor, at) = somebody(&home).await;
    // One of the two folders of the KMS is gone, as when a disk is not mounted: nothing can be destroyed there.
    let (folder, away) = (home.folder.kms().join("b"), home.folder.path().join("away"));
    std::fs::rename(&folder, &away).expect("unmounted");
    let (dpo, erasure) = order(&home, &at, None).await;
    let deadline = Instant::now() + Duration::from_secs(60);
    let shown = loop {
        let shown = dpo.get(&format!("/v1/erasures/{erasure}")).await.expect("shown").body;
        if shown["phase"] == "committed" && shown["waiting_for"] != "platform" {
            break shown;
        }
        assert!(!["keys-destroyed", "verified", "completed"].contains(&shown["phase"].as_str().expect("a phase")));
        assert!(Instant::now() < deadline, "it says what it waits for: {shown}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(shown["waiting_for"], "kms", "{shown}");
    assert_eq!(doctor.get(&format!("{at}/casebook")).await.expect_err("fenced").code, "erased");
    std::fs::rename(&away, &folder).expect("mounted again");
    let done = follow(&dpo, erasure, None, |_| {}).await.expect("followed");
    assert_eq!(done["phase"], "completed", "it goes on by itself: {done}");
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aegis_155_no_plain_digest_lets_anybody_confirm_a_guess_about_erased_data() {
    let home = Home::with_off_site().await;
    let (_, at) = somebody(&home).await;
    erase(&home, &at, None).await;
    let folder = home.stop().await;
    let body = vital_signs("137").to_string();
    for guess in ["137", "138", "Kvistberg-Secret", "ingrid@post.example", NARRATIVE, REASON, body.as_str()] {
        let digest = Sha256::digest(guess.as_bytes());
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        for bytes in [digest.as_slice(), hex.as_bytes()] {
            assert!(!is_on_disk(folder.path(), bytes), "the SHA-256 of {guess} is on disk");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn airo_1217_what_was_derived_is_gone_with_the_keys() {
    let home = Home::with_off_site().await;
    let (doctor, at) = somebody(&home).await;
    erase(&home, &at, None).await;
    let list = format!("/v1/studies/{}/participants", cardio());
    for view in ["", "/casebook", "/identity", "/audit"] {
        let answer =
            doctor.get(&format!("{at}{view}")).await.map_or_else(|error| error.code, |reply| reply.body.to_string());
        for value in ["Kvistberg", "post.example", "dizzy", "misread"] {
            assert!(!answer.contains(value), "{value} in {view}: {answer}");
        }
    }
    let list = doctor.get(&list).await.expect("a list").body.to_string();
    assert!(!list.contains("Kvistberg"), "{list}");
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn newtheatre_99_reasons_and_other_free_text_are_sealed_and_go_with_the_person() {
    let home = Home::with_off_site().await;
    let (doctor, at) = somebody(&home).await;
    let audit = doctor.get(&format!("{at}/audit")).await.expect("a trail").body.to_string();
    assert!(audit.contains(REASON), "while it may be read, it is: {audit}");
    assert!(!is_on_disk(home.folder.path(), REASON.as_bytes()), "the reason is unsealed on disk");
    erase(&home, &at, None).await;
    let audit = doctor.get(&format!("{at}/audit")).await.expect("a trail").body;
    assert!(!audit.to_string().contains(REASON), "{audit}");
    assert!(audit.to_string().contains(r#""erased":"health.free-text""#), "that there was one is kept: {audit}");
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dentalpin_374_an_unknown_category_is_refused_and_a_scope_without_keys_is_said_to_hold_none() {
    let home = Home::with_off_site().await;
    let (_, at) = somebody(&home).await;
    let dpo = home.client(Role::Dpo).await;
    let request = json!({
        "type": "request-erasure", "erasure": random_id(), "justification": "consent-withdrawn", "scopes": ["dental.x-ray"],
    });
    let refused = send(&dpo, &format!("{at}/privacy"), request).await.expect_err("no such scope");
    assert_eq!((refused.status, refused.code.as_str()), (Some(400), "wrong-shape"), "{refused}");
    let done = erase(&home, &at, Some(json!(["identity.national-id"]))).await;
    let erasure = done["erasure"].as_str().expect("an id");
    let certificate = dpo.get(&format!("/v1/erasures/{erasure}/certificate")).await.expect("a certificate").body;
    assert!(certificate.to_string().contains(r#""finding":"none-held""#), "{certificate}");
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn langwatch_7820_a_later_import_does_not_bring_the_person_back() {
    let home = Home::with_off_site().await;
    let (doctor, at) = somebody(&home).await;
    erase(&home, &at, None).await;
    // As the importer does it: it finds the person by subject number, and sends what the file says.
    let list = doctor.get(&format!("/v1/studies/{}/participants", cardio())).await.expect("a list").body;
    let found = list["items"].as_array().expect("items").iter().find(|item| item["subject_number"] == "N-1");
    let id = found.expect("the subject number is still taken")["participant"].as_str().expect("an id").to_owned();
    assert!(at.ends_with(&id), "the same person, not a new one");
    let refused = send(&doctor, &at, vital_signs("137")).await.expect_err("loudly refused");
    assert_eq!((refused.status, refused.code.as_str()), (Some(410), "erased"));
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ferroehr_1590_there_is_no_way_to_delete_without_an_event() {
    let home = Home::with_off_site().await;
    let (doctor, at) = somebody(&home).await;
    // No route deletes.
    let http = reqwest::Client::new();
    for path in [at.clone(), format!("{at}/casebook"), format!("/v1/studies/{}", cardio())] {
        let answer = http.delete(format!("{}{path}", home.platform.url())).bearer_auth(doctor.token()).send().await;
        let status = answer.expect("an answer").status().as_u16();
        assert!([404, 405].contains(&status), "DELETE {path} answers {status}");
    }
    // What was erased says so in its audit trail.
    erase(&home, &at, None).await;
    let audit = doctor.get(&format!("{at}/audit")).await.expect("a trail").body.to_string();
    for event in ["erasure-requested", "erasure-approved", "keys-destroyed", "erasure-completed"] {
        assert!(audit.contains(event), "{event}: {audit}");
    }
    let folder: Folder = home.stop().await;
    drop(folder);
}
