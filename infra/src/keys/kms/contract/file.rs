//! The contract on files.

use super::{Kept, KmsConfig, Scratch, holds, open};

#[tokio::test]
async fn the_contract_holds_on_files() {
    let scratch = Scratch::new();
    holds(&KmsConfig::File { dir: scratch.path().join("kms") }).await;
}

#[tokio::test]
async fn files_survive_and_a_folder_that_is_away_is_no_answer() {
    let scratch = Scratch::new();
    let (dir, away) = (scratch.path().join("kms"), scratch.path().join("away"));
    let config = KmsConfig::File { dir: dir.clone() };
    let kept = Kept::new(&open(&config, "acme").await).await;
    kept.is_there(&open(&config, "acme").await).await;
    // One disk of the two is not mounted: what is read comes from the other, and nothing is destroyed or made.
    let disk = dir.join("b").join("acme");
    std::fs::rename(&disk, &away).expect("unmounted");
    let half = open(&config, "acme").await;
    half.kms.destroy(1).await.expect_err("it may still live there");
    half.kms.versions().await.expect_err("others may live there");
    half.kms.create_root(3).await.expect_err("one copy is not enough");
    half.signer.sign(b"message").await.expect("the other copy will do");
    std::fs::rename(&away, &disk).expect("mounted");
    kept.is_there(&open(&config, "acme").await).await;
}
