//! TLS, as people meet it, and what the doctor says of it.

use std::net::SocketAddr;

use infra::tls::Oldest;
use lethe::platform::{Certificate, Platform, StartError};
use reqwest::Client as Http;
use serde_json::{Value, json};
use tests::home::{Folder, Home, acme};

async fn encrypted() -> Home {
    let folder = Folder::new();
    let options = folder.options().certificate(Certificate::Own(Oldest::V1_3));
    let platform = Platform::start(options).await.expect("the platform starts");
    platform.create_tenant(&acme()).await.expect("a tenant can be created");
    Home { folder, platform }
}

/// Somebody elsewhere who knows the platform's certificate.
fn knowing(home: &Home) -> Http {
    let pem = std::fs::read(home.folder.data().join("tls/self-signed.pem")).expect("a certificate");
    let certificate = reqwest::Certificate::from_pem(&pem).expect("a certificate");
    Http::builder().tls_certs_only([certificate]).https_only(true).build().expect("a client")
}

#[tokio::test(flavor = "multi_thread")]
async fn people_come_by_tls_and_the_operator_on_this_machine_alone() {
    let home = encrypted().await;
    let (here, there) = (home.platform.url(), home.platform.public_url().to_owned());
    assert!(here.starts_with("http://127.0.0.1:") && there.starts_with("https://127.0.0.1:"), "{here} {there}");
    let known = knowing(&home);
    let live = known.get(format!("{there}/livez")).send().await.expect("an answer");
    assert_eq!(live.headers()["strict-transport-security"], "max-age=31536000");
    assert_eq!(live.text().await.expect("a text"), "live\n");
    Http::new().get(format!("{there}/livez")).send().await.expect_err("nobody knows who signed it");
    Http::new().get(there.replace("https", "http")).send().await.expect_err("nothing is said without TLS");

    // What the platform counts is for whoever runs it.
    assert_eq!(known.get(format!("{there}/metrics")).send().await.expect("an answer").status(), 404);
    assert_eq!(Http::new().get(format!("{here}/metrics")).send().await.expect("an answer").status(), 200);

    let operator = |client: &Http, at: &str| {
        let request = client.post(format!("{at}/v1/admin/doctor")).bearer_auth(home.platform.operator_token());
        request.json(&json!({})).send()
    };
    assert_eq!(operator(&known, &there).await.expect("an answer").status(), 404);
    assert_eq!(operator(&Http::new(), &here).await.expect("an answer").status(), 200);

    let link = home.platform.first_link(&acme()).await.expect("asked").expect("nobody administers it");
    assert!(link.address.starts_with(&format!("{there}/join#")), "{}", link.address);
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_version_counts_for_a_certificate_of_its_own_too() {
    for (oldest, spoken) in [(Oldest::V1_2, true), (Oldest::V1_3, false)] {
        let folder = Folder::new();
        let platform =
            Platform::start(folder.options().certificate(Certificate::Own(oldest))).await.expect("it starts");
        let home = Home { folder, platform };
        let pem = std::fs::read(home.folder.data().join("tls/self-signed.pem")).expect("a certificate");
        let known = [reqwest::Certificate::from_pem(&pem).expect("a certificate")];
        let old = Http::builder().tls_certs_only(known).tls_version_max(reqwest::tls::Version::TLS_1_2).build();
        let answer = old.expect("a client").get(format!("{}/livez", home.platform.public_url())).send().await;
        assert_eq!(answer.is_ok(), spoken, "{oldest:?}: {answer:?}");
        home.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_loopback_nothing_is_spoken_without_tls() {
    let folder = Folder::new();
    let anywhere: SocketAddr = "0.0.0.0:0".parse().expect("an address");
    let refused = Platform::start(folder.options().listen(anywhere)).await.err();
    assert!(matches!(refused, Some(StartError::NotLoopback { .. })));
    assert!(!folder.data().join("run.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_names_what_is_unsafe_and_changes_nothing() {
    let home = encrypted().await;
    let lethe = super::binary();
    let (code, said) = lethe.said(&home.folder, &["doctor"]);
    assert_eq!(code, Some(1), "{said}");
    for line in [
        "unsafe   TLS: the certificate is signed by itself",
        "unsafe   root keys: they are files",
        "unsafe   off-site copy: there is none",
        "unsafe   backups: none are made",
        "good     data directory: ",
        "good     NATS login: that of tenant acme can neither delete nor purge nor change a journal stream",
        "weak     administrators: tenant acme has none",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    let found: Value = serde_json::from_str(said_on_stdout(&lethe, &home).trim()).expect("JSON");
    let verdicts = found["findings"].as_array().expect("findings").iter();
    assert!(verdicts.clone().count() >= 9 && verdicts.clone().all(|one| one["verdict"].is_string()), "{found}");
    let folder = home.stop().await;
    let (code, said) = lethe.said(&folder, &["doctor"]);
    assert_eq!(code, Some(6), "nothing serves: {said}");
}

fn said_on_stdout(lethe: &tests::binary::Binary, home: &Home) -> String {
    let output = tokio::task::block_in_place(|| lethe.run(&home.folder, &["doctor", "--json"]));
    String::from_utf8(output.stdout).expect("UTF-8")
}
