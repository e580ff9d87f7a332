//! What study teams do on a running platform: a new design version site by site, over HTTP and by the command line; and
//! randomisation from the sealed list to the list that everybody can check.

use std::time::{Duration, Instant};

use domain::permit::Role;
use lethe::cli::Client;
use lethe::demo::study;
use lethe::platform::random_id;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tests::api::{enrol, participant, send, vital_signs};
use tests::home::{Home, cardio};

fn study_path() -> String {
    format!("/v1/studies/{}", cardio())
}

/// The command line with somebody's credential, against a platform that runs. Exit code, what it printed, what it noted.
fn cli(home: &Home, who: &Client, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = super::binary().command(&home.folder);
    command.env("LETHE_URL", home.platform.url()).env("LETHE_TOKEN", who.token()).args(arguments);
    let output = tokio::task::block_in_place(|| command.output()).expect("the binary can be run");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The second version: it asks for the oxygen saturation and no longer for the pulse.
fn second() -> Value {
    let mut design = study::design();
    design["version"] = json!("2.0");
    let pulse = design["items"][2].clone();
    let mut saturation = pulse.clone();
    (saturation["oid"], saturation["name"]) = (json!("SPO2"), json!("Oxygen saturation"));
    saturation["unit"] = Value::Null;
    design["items"].as_array_mut().expect("items").push(saturation);
    assert_eq!(design["item_groups"][0]["items"][2]["oid"], "PULSE");
    design["item_groups"][0]["items"][2]["oid"] = json!("SPO2");
    design
}

fn save(item: &str, value: &str) -> Value {
    json!({"type": "save-items", "visit": "BASELINE", "form": "VS", "items": [{"group": "VS", "item": item, "value": value}]})
}

async fn casebook(client: &Client, at: &str, position: Option<String>) -> Value {
    let position = position.expect("a position");
    client.get(&format!("{at}/casebook?min_position={position}")).await.expect("a casebook").body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_goes_live_site_by_site_and_participants_follow_without_losing_a_value() {
    let home = Home::new().await;
    home.live_study().await;
    let (designer, doctor) = (home.client(Role::StudyDesigner).await, home.client(Role::Investigator).await);
    let path = study_path();
    let at = participant(enrol(&doctor, "oslo", "N-1").await);
    let bergen = participant(enrol(&doctor, "bergen", "N-2").await);
    let both = json!({"type": "save-items", "visit": "BASELINE", "form": "VS", "items": [
        {"group": "VS", "item": "SYSBP", "value": "120"}, {"group": "VS", "item": "PULSE", "value": "71"}]});
    let saved = send(&doctor, &at, both).await.expect("saved");
    let tag = casebook(&doctor, &at, saved.position).await["forms"][0]["tag"].clone();

    let published = designer.post(&format!("{path}/designs"), &second()).await.expect("a good design").body;
    let second = published["design"].as_str().expect("a hash").to_owned();
    let on_two = ["--study", "cardio-1", "--design", &second];

    // Before anybody demands approvals a version may be activated; after, only where it is approved.
    let (code, _, note) = cli(&home, &designer, &["study", "demand-approvals", "--study", "cardio-1"]);
    assert_eq!(code, Some(0), "{note}");
    let (code, _, note) = cli(&home, &designer, &[&["study", "activate", "oslo"], &on_two[..]].concat());
    assert_ne!(code, Some(0));
    assert!(note.contains("approval"), "{note}");
    let approve = ["study", "approve", "oslo", "--reference", "REK 2026/17"];
    let (code, _, note) = cli(&home, &designer, &[&approve, &on_two[..]].concat());
    assert_eq!(code, Some(0), "{note}");
    let (code, _, note) = cli(&home, &designer, &[&["study", "activate", "oslo"], &on_two[..]].concat());
    assert_eq!(code, Some(0), "{note}");
    // The same over HTTP, at another site.
    let porto = json!({"type": "activate-design", "site": "porto", "design": second});
    let refused = designer.post(&path, &porto).await.expect_err("not approved there");
    assert_eq!((refused.status, refused.code.as_str()), (Some(409), "design-not-approved"));
    let approved = json!({"type": "approve-design", "site": "porto", "design": second, "reference": "CE 9"});
    designer.post(&path, &approved).await.expect("approved");
    designer.post(&path, &porto).await.expect("activated");

    // Who is registered stays with the first version until moved; who is new has the second.
    let refused = send(&doctor, &at, save("SPO2", "98")).await.expect_err("not in that participant's version");
    assert_eq!(refused.status, Some(422), "{refused}");
    let new = participant(enrol(&doctor, "oslo", "N-3").await);
    send(&doctor, &new, save("SPO2", "97")).await.expect("in the second version");
    let refused = send(&doctor, &new, save("PULSE", "70")).await.expect_err("not there any more");
    assert_eq!(refused.status, Some(422), "{refused}");
    let refused = send(
        &doctor,
        &participant(random_id()),
        json!({"type": "register", "site": "krakow", "subject_number": "N-4"}),
    )
    .await;
    assert_eq!(refused.expect_err("no version is approved there").code, "no-design-at-site");

    // A rehearsal changes nothing; then all of the site follow.
    let manager = home.client(Role::DataManager).await;
    let to = ["--to", second.as_str(), "--study", "cardio-1"];
    let (code, out, note) =
        cli(&home, &manager, &[&["study", "migrate", "--site", "oslo", "--dry-run"], &to[..]].concat());
    assert_eq!(code, Some(0), "{note}");
    assert!(out.contains("\"migrated\":false") && out.contains("PULSE") && out.contains("SPO2"), "{out}");
    assert!(send(&doctor, &at, save("SPO2", "98")).await.is_err(), "nothing was changed");
    let (code, out, note) = cli(&home, &manager, &[&["study", "migrate", "--site", "oslo"], &to[..]].concat());
    assert_eq!(code, Some(0), "{note}");
    assert_eq!(out.matches("\"migrated\":true").count(), 2, "{out}");
    let id = bergen.rsplit('/').next().expect("an id");
    let (code, out, note) = cli(&home, &manager, &[&["study", "migrate", id], &to[..]].concat());
    assert_ne!(code, Some(0), "bergen has not approved it: {out}");
    assert!(note.contains("approved"), "{note}");

    let tag = format!("\"{}\"", tag.as_u64().expect("a tag"));
    let saved = doctor.command(&at, random_id(), Some(&tag), None, &save("SPO2", "98")).await.expect("in the second");
    let shown = casebook(&doctor, &at, saved.position).await.to_string();
    assert!(["120", "71", "98"].iter().all(|value| shown.contains(value)), "no value is lost: {shown}");
    send(&doctor, &bergen, save("PULSE", "66")).await.expect("bergen goes on as before");
    home.stop().await;
}

async fn eligible(home: &Home, at: &str) {
    let waive = json!({"type": "waive-eligibility", "reason": "agreed with the sponsor"});
    send(&home.client(Role::Controller).await, at, waive).await.expect("waived");
}

async fn arm_of(client: &Client, at: &str) -> Value {
    client.get(&format!("{at}/allocation")).await.expect("an allocation").body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_sealed_used_closed_and_revealed_and_an_arm_told_by_two_persons() {
    let home = Home::new().await;
    home.live_study().await;
    let statistician = home.client(Role::Unblinded).await;
    let (doctor, colleague) = (home.client(Role::Investigator).await, home.client(Role::Investigator).await);
    let which = ["--study", "cardio-1", "--list", "main"];
    let seal = ["randomisation", "seal", "--arm", "VERUM=1", "--arm", "PLACEBO=1", "--block", "2", "--slots", "4"];
    let (code, digest, note) = cli(&home, &statistician, &[&seal, &which[..]].concat());
    assert_eq!(code, Some(0), "{note}");

    let mut arms = Vec::new();
    let mut people = Vec::new();
    for n in 0..2 {
        let at = participant(enrol(&doctor, "oslo", &format!("N-{n}")).await);
        eligible(&home, &at).await;
        send(&doctor, &at, json!({"type": "randomise", "list": "main"})).await.expect("randomised");
        assert_eq!(arm_of(&doctor, &at).await["arm"], json!({"withheld": "health.blinded"}));
        arms.push(arm_of(&statistician, &at).await["arm"].as_str().expect("an arm").to_owned());
        people.push(at);
    }
    let told = arms.clone();
    arms.sort();
    assert_eq!(arms, ["PLACEBO", "VERUM"], "a block of two holds each arm once");

    // Two persons: one asks, another approves; only the one who asked is told.
    let at = &people[0];
    let ask = json!({"type": "ask-unblinding", "reason": "an overdose", "emergency": true});
    let since = send(&doctor, at, ask).await.expect("asked").position.expect("a position");
    assert_eq!(arm_of(&doctor, at).await["arm"], json!({"withheld": "health.blinded"}), "not approved yet");
    let shown = colleague.get(&format!("{at}/audit?limit=1000&min_position={since}")).await.expect("a trail").body;
    let asked = shown["items"].as_array().expect("entries").iter().find(|entry| entry["event"] == "unblinding-asked");
    let unblinding = asked.expect("it is on record")["details"]["unblinding"].clone();
    let approve = json!({"type": "approve-unblinding", "unblinding": unblinding});
    let refused = send(&doctor, at, approve.clone()).await.expect_err("one person is not two");
    assert_eq!(refused.code, "same-person", "{refused}");
    send(&colleague, at, approve).await.expect("approved");
    assert_eq!(arm_of(&colleague, at).await["arm"], json!({"withheld": "health.blinded"}), "who approves is not told");
    assert_eq!(arm_of(&doctor, at).await["arm"], json!(told[0]));
    // That it was told is on record, not what. The platform writes that down by itself, so there is no position to ask for.
    let trail = format!("{at}/audit?limit=1000");
    let deadline = Instant::now() + Duration::from_secs(60);
    let shown = loop {
        let shown = colleague.get(&trail).await.expect("a trail").body.to_string();
        if shown.contains("\"unblinded\"") {
            break shown;
        }
        assert!(Instant::now() < deadline, "that it was told is not on record: {shown}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(!shown.contains(&told[0]), "{shown}");

    // The list is shown to nobody while it is in use; closed, whoever may know the arms shows it, and it is the one that was sealed.
    let (code, out, note) = cli(&home, &statistician, &[&["randomisation", "reveal"], &which[..]].concat());
    assert!(code != Some(0) && out.is_empty(), "{note}");
    let (code, _, note) = cli(&home, &statistician, &[&["randomisation", "close"], &which[..]].concat());
    assert_eq!(code, Some(0), "{note}");
    let (code, document, note) = cli(&home, &statistician, &[&["randomisation", "reveal"], &which[..]].concat());
    assert_eq!(code, Some(0), "{note}");
    let found: String = Sha256::digest(document.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(found, digest.trim(), "sha256sum says the same");
    let (code, out, _) = cli(&home, &doctor, &[&["randomisation", "reveal"], &which[..]].concat());
    assert!(code != Some(0) && out.is_empty(), "an investigator stays blinded");
    let late = participant(enrol(&doctor, "oslo", "N-9").await);
    eligible(&home, &late).await;
    let refused = send(&doctor, &late, json!({"type": "randomise", "list": "main"})).await.expect_err("it is closed");
    assert_eq!(refused.status, Some(409), "{refused}");
    send(&doctor, &late, vital_signs("120")).await.expect("the study goes on");
    home.stop().await;
}
