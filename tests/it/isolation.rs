//! Another tenant's things are not there, and a site sees its own participants only.

use domain::ids::{Environment, StudyId};
use domain::permit::Role;
use serde_json::json;
use tests::api::{enrol, participant, send, vital_signs};
use tests::home::{Home, acme};

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_finds_nothing_by_any_road() {
    let home = Home::new().await;
    home.live_study().await;
    let integrator = home.client(Role::Integrator).await;
    let id = enrol(&integrator, "oslo", "N-1").await;
    let at = participant(id);
    let stranger = home.stranger(Role::Investigator).await;
    for path in [
        "/v1/studies/cardio-1",
        "/v1/studies/cardio-1/overview",
        "/v1/studies/cardio-1/participants",
        &at,
        &format!("{at}/casebook"),
        &format!("{at}/audit"),
        &format!("{at}/identity"),
    ] {
        let denied = stranger.get(path).await.expect_err("not there");
        assert_eq!((denied.status, denied.code.as_str()), (Some(404), "no-such-study"), "{path}");
    }
    let denied = send(&stranger, &at, vital_signs("120")).await.expect_err("not there");
    assert_eq!(denied.status, Some(404));
    assert_eq!(stranger.get("/v1/studies").await.expect("a list").body, json!([]));
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_sees_its_own_participants_only() {
    let home = Home::new().await;
    home.live_study().await;
    let integrator = home.client(Role::Integrator).await;
    let oslo = participant(enrol(&integrator, "oslo", "N-1").await);
    let porto = participant(enrol(&integrator, "porto", "N-2").await);
    let position = send(&integrator, &porto, vital_signs("120")).await.expect("saved").position.expect("a position");
    let doctor = home.at_site(Role::Investigator, "oslo").await;
    let list =
        doctor.get(&format!("/v1/studies/cardio-1/participants?min_position={position}")).await.expect("a list").body;
    let numbers: Vec<_> =
        list["items"].as_array().expect("items").iter().map(|item| item["subject_number"].clone()).collect();
    assert_eq!(numbers, [json!("N-1")]);
    for view in ["", "/casebook", "/audit"] {
        assert!(doctor.get(&format!("{oslo}{view}")).await.is_ok(), "{view}");
        let denied = doctor.get(&format!("{porto}{view}")).await.expect_err("another site's");
        assert_eq!((denied.status, denied.code.as_str()), (Some(404), "no-such-participant"), "{view}");
    }
    let overview = doctor.get("/v1/studies/cardio-1/overview").await.expect("counts").body;
    assert_eq!(overview["total"]["registered"], 1, "not even counted: {overview}");
    let denied = send(&doctor, &porto, vital_signs("121")).await.expect_err("another site's");
    assert_eq!((denied.status, denied.code.as_str()), (Some(404), "no-such-participant"));
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_of_one_environment_is_nothing_in_another() {
    let home = Home::new().await;
    home.live_study().await;
    let prod = home.client_with(Role::Investigator, |new| new.environment = Environment::Prod).await;
    let denied = prod.get("/v1/studies/cardio-1/overview").await.expect_err("another environment");
    assert_eq!((denied.status, denied.code.as_str()), (Some(404), "no-such-study"));
    let id = participant(lethe::platform::random_id());
    let register = json!({"type": "register", "site": "oslo", "subject_number": "N-9"});
    assert_eq!(send(&prod, &id, register).await.expect_err("another environment").status, Some(404));
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_takes_the_design_along_and_no_participant() {
    let home = Home::new().await;
    home.live_study().await;
    let investigator = home.client(Role::Investigator).await;
    tests::api::enrol(&investigator, "oslo", "N-1").await;
    let prod: StudyId = "cardio-prod".parse().expect("valid");
    let created = home.platform.create_study(&acme(), &prod, "Cardio".parse().expect("valid"), Environment::Prod).await;
    created.expect("a study can be created");
    let of_test = home.client(Role::StudyDesigner).await;
    let of_prod = home.client_with(Role::StudyDesigner, |new| new.environment = Environment::Prod).await;
    let design = lethe::demo::study::design();
    let again = of_test.post("/v1/studies/cardio-1/designs", &design).await.expect("it is published already");
    let live = again.body["design"].as_str().expect("a hash").to_owned();
    let at = again.position.expect("a position");
    of_test.get(&format!("/v1/studies/cardio-1?min_position={at}")).await.expect("the read models are there");

    let lethe = super::binary();
    let promote = |token: &str| {
        let file = home.folder.path().join("other-environment");
        std::fs::write(&file, token).expect("written");
        let mut command = lethe.command(&home.folder);
        command.env("LETHE_TOKEN", of_test.token()).env("LETHE_TO_TOKEN_FILE", &file);
        command.args(["study", "promote", &live, "--study", "cardio-1", "--to", "cardio-prod"]);
        tokio::task::block_in_place(|| command.output().expect("it runs")).status.code()
    };
    assert_eq!(promote(of_test.token()), Some(4), "a credential of TEST is nothing in PROD");
    assert_eq!(promote(of_prod.token()), Some(0));
    let publish = json!({"type": "publish-draft", "design": live});
    let published = of_prod.post("/v1/studies/cardio-prod", &publish).await.expect("the draft is there, and the same");
    let at = published.position.expect("a position");
    let people = home.client_with(Role::DataManager, |new| new.environment = Environment::Prod).await;
    let found =
        people.get(&format!("/v1/studies/cardio-prod/participants?min_position={at}")).await.expect("listed").body;
    assert_eq!(found["items"], json!([]));
    let sites =
        of_prod.get(&format!("/v1/studies/cardio-prod?min_position={at}")).await.expect("shown").body["sites"].clone();
    assert!(sites.as_array().is_some_and(Vec::is_empty), "{sites}");
    home.stop().await;
}
