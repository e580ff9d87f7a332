//! What is missing or shorter than it was is said by name, and nothing is served.

use domain::permit::Role;
use lethe::platform::{Options, Platform};
use tests::api::{enrol, participant, send, vital_signs};
use tests::home::{Folder, Home, copy};

async fn refused(folder: &Folder) -> String {
    let options = Options::new(&folder.data(), &folder.kms()).install_nats_server();
    match Platform::start(options).await {
        Ok(_) => panic!("it must not start"),
        Err(error) => error.to_string(),
    }
}

fn find(folder: &std::path::Path, name: &str) -> Option<std::path::PathBuf> {
    std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).find_map(|path| {
        let wanted = path.file_name().is_some_and(|found| found == name);
        if wanted {
            Some(path)
        } else if path.is_dir() {
            find(&path, name)
        } else {
            None
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_journal_stream_is_named_and_not_created_anew() {
    let home = Home::new().await;
    home.live_study().await;
    let folder = home.stop().await;
    let stream = find(&folder.data(), "EVT_acme_cardio-1").expect("the journal stream is on disk");
    std::fs::remove_dir_all(&stream).expect("it can be removed");
    let error = refused(&folder).await;
    assert!(error.contains("EVT_acme_cardio-1") && error.contains("missing"), "{error}");
    assert!(!stream.exists(), "nothing was made in its place");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_lost_what_the_read_models_have_seen_is_refused() {
    let home = Home::new().await;
    home.live_study().await;
    let folder = home.stop().await;
    let old = Folder::new();
    let stream = find(&folder.data(), "EVT_acme_cardio-1").expect("the journal stream is on disk");
    copy(&stream, &old.path().join("copy"));
    let home = Home::start(folder).await;
    let integrator = home.client(Role::Integrator).await;
    let at = participant(enrol(&integrator, "oslo", "N-1").await);
    let position = send(&integrator, &at, vital_signs("120")).await.expect("saved").position.expect("a position");
    home.client(Role::Investigator).await.get(&format!("{at}/casebook?min_position={position}")).await.expect("seen");
    let folder = home.stop().await;
    std::fs::remove_dir_all(&stream).expect("it can be removed");
    copy(&old.path().join("copy"), &stream);
    let error = refused(&folder).await;
    assert!(error.contains("cardio-1"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_root_key_is_not_an_erasure() {
    let home = Home::new().await;
    home.live_study().await;
    let folder = home.stop().await;
    std::fs::remove_dir_all(folder.kms()).expect("it can be removed");
    let error = refused(&folder).await;
    assert!(!error.contains("erased"), "an unknown key is not an erased one: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_platforms_do_not_share_a_folder() {
    let home = Home::new().await;
    let error = refused(&home.folder).await;
    assert!(error.contains("another lethe serves"), "{error}");
    home.stop().await;
}
