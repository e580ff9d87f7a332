//! The contract on a real OpenBao server.

use domain::port::{Failure, KmsError};
use serde_json::json;

use super::{Kept, KmsConfig, Scratch, holds, open, tenant};
use crate::keys::kms::SecretSource;
use crate::keys::kms::dev::OpenBao;

pub(in crate::keys) async fn server(scratch: &Scratch) -> OpenBao {
    let binary = tokio::task::spawn_blocking(|| OpenBao::locate_or_install(|line| eprintln!("{line}"))).await;
    let binary = binary.expect("no panic").unwrap_or_else(|error| panic!("{error}"));
    OpenBao::start(&binary, scratch.path()).await.unwrap_or_else(|error| panic!("{error}"))
}

fn config(bao: &OpenBao) -> KmsConfig {
    bao.config().expect("on loopback")
}

/// Asks the server past the adapter.
async fn raw(bao: &OpenBao, method: reqwest::Method, path: &str, body: serde_json::Value) -> serde_json::Value {
    let token = std::fs::read_to_string(bao.token_file()).expect("a token");
    let request = reqwest::Client::new().request(method, format!("{}/v1/{path}", bao.url()));
    let reply = request.header("X-Vault-Token", token).json(&body).send().await.expect("an answer");
    reply.json().await.unwrap_or_default()
}

#[tokio::test]
async fn the_contract_holds_on_openbao() {
    let scratch = Scratch::new();
    let bao = server(&scratch).await;
    holds(&config(&bao)).await;
    // What the server says of the keys itself.
    let kms = open(&config(&bao), "wrap").await;
    for name in ["root-1", "signing"] {
        let key = raw(&bao, reqwest::Method::GET, &format!("transit/keys/lethe-wrap-{name}"), json!({})).await;
        assert_eq!((&key["data"]["exportable"], &key["data"]["deletion_allowed"]), (&json!(false), &json!(false)));
        assert_eq!(key["data"]["allow_plaintext_backup"], json!(false), "{name}");
        let export = format!("transit/export/encryption-key/lethe-wrap-{name}");
        assert!(raw(&bao, reqwest::Method::GET, &export, json!({})).await["data"].is_null(), "{name} is not exported");
    }
    let told = kms.kms.describe();
    assert_eq!((told.kind.as_str(), told.is_exportable), ("openbao", false));
    assert!(told.device.contains("2.7"), "{}", told.device);
}

#[tokio::test]
async fn openbao_survives_a_kill_and_while_it_is_down_there_is_no_answer() {
    let scratch = Scratch::new();
    let mut bao = server(&scratch).await;
    let before = open(&config(&bao), "acme").await;
    let kept = Kept::new(&before).await;
    bao.kill().await;
    kept.is_out_of_reach(&before).await;
    bao.restart().await.expect("it starts again");
    kept.is_there(&before).await;
    kept.is_there(&open(&config(&bao), "acme").await).await;
    bao.seal().await.expect("sealed");
    kept.is_out_of_reach(&before).await;
    let refused = config(&bao).open(&tenant("acme")).await.map(drop).expect_err("sealed").to_string();
    assert!(refused.contains("it is sealed; do this next: check that the server runs"), "{refused}");
    bao.unseal().await.expect("unsealed");
    kept.is_there(&before).await;
}

#[tokio::test]
async fn a_token_that_may_not_and_an_engine_that_is_not_there_are_no_answer_about_a_root() {
    let scratch = Scratch::new();
    let bao = server(&scratch).await;
    let token = scratch.path().join("own-token");
    std::fs::copy(bao.token_file(), &token).expect("copied");
    let KmsConfig::OpenBao { address, mount, .. } = config(&bao) else { panic!("it is an OpenBao") };
    let config = KmsConfig::OpenBao { address, mount, token: SecretSource::File(token.clone()) };
    let kms = open(&config, "acme").await;
    let kept = Kept::new(&kms).await;
    std::fs::write(&token, "wrong").expect("written");
    kept.is_out_of_reach(&kms).await;
    std::fs::remove_file(&token).expect("removed");
    kept.is_out_of_reach(&kms).await;
    std::fs::copy(bao.token_file(), &token).expect("a new token is read without a restart");
    kept.is_there(&kms).await;
    raw(&bao, reqwest::Method::DELETE, "sys/mounts/transit", json!({})).await;
    kept.is_out_of_reach(&kms).await;
    let refused = config.open(&tenant("acme")).await.map(drop).expect_err("no engine").to_string();
    assert!(refused.contains("no transit engine at transit; do this next: enable it"), "{refused}");
    // An engine of that name that was made anew knows nobody.
    raw(&bao, reqwest::Method::POST, "sys/mounts/transit", json!({ "type": "transit" })).await;
    let lost = kms.kms.unwrap(2, b"here", &kept.wrapped).await;
    assert!(matches!(lost, Err(KmsError::Failed(Failure::Missing { .. }))), "{lost:?}");
    assert!(matches!(kms.kms.destroy(2).await, Err(Failure::Missing { .. })));
}

#[tokio::test]
async fn an_engine_that_makes_keys_on_use_is_told_not_to_and_a_soft_deleted_root_still_lives() {
    let scratch = Scratch::new();
    let bao = server(&scratch).await;
    let config = config(&bao);
    let kms = open(&config, "acme").await;
    let engine = raw(&bao, reqwest::Method::GET, "transit/config/keys", json!({})).await;
    assert_eq!(engine["data"]["disable_upsert"], json!(true));
    let kept = Kept::new(&kms).await;
    raw(&bao, reqwest::Method::DELETE, "transit/keys/lethe-acme-root-2/soft-delete", json!({})).await;
    let kept_back = kms.kms.unwrap(2, b"here", &kept.wrapped).await;
    assert!(matches!(kept_back, Err(KmsError::Failed(Failure::Unavailable { .. }))), "{kept_back:?}");
    assert_eq!(kms.kms.versions().await.expect("an answer"), kept.versions, "it can be brought back");
    kms.kms.destroy(2).await.expect("destroyed for good");
    assert!(matches!(kms.kms.unwrap(2, b"here", &kept.wrapped).await, Err(KmsError::NoSuchVersion(2))));
    // A key of ours that somebody made in another way is not taken.
    let exportable = json!({ "type": "aes256-gcm96", "exportable": true });
    raw(&bao, reqwest::Method::POST, "transit/keys/lethe-acme-root-5", exportable).await;
    assert!(matches!(kms.kms.create_root(5).await, Err(Failure::Damaged { .. })));
}

/// The policy that docs/kms.md recommends.
fn documented_policy() -> &'static str {
    let page = include_str!("../../../../../docs/kms.md");
    page.split("'POLICY'\n").nth(1).and_then(|rest| rest.split("POLICY\n").next()).expect("a policy in docs/kms.md")
}

#[tokio::test]
async fn the_documented_policy_is_enough_and_an_engine_that_cannot_be_told_is_refused() {
    let scratch = Scratch::new();
    let bao = server(&scratch).await;
    let policy = json!({ "policy": documented_policy() });
    raw(&bao, reqwest::Method::POST, "sys/policies/acl/lethe", policy).await;
    let made = raw(&bao, reqwest::Method::POST, "auth/token/create", json!({ "policies": ["lethe"] })).await;
    let token = scratch.path().join("own-token");
    std::fs::write(&token, made["auth"]["client_token"].as_str().expect("a token")).expect("written");
    let KmsConfig::OpenBao { address, mount, .. } = config(&bao) else { panic!("it is an OpenBao") };
    let config = KmsConfig::OpenBao { address, mount, token: SecretSource::File(token) };
    let refused = config.open(&tenant("acme")).await.map(drop).expect_err("it makes keys on use").to_string();
    assert!(refused.contains("403") && refused.contains("disable_upsert=true"), "{refused}");
    raw(&bao, reqwest::Method::POST, "transit/config/keys", json!({ "disable_upsert": true })).await;
    holds(&config).await;
}
