//! A scripted attack raises every rule of detection and opens incidents; an ordinary day raises none.

use std::sync::Arc;

use domain::ids::TenantId;
use domain::incident::Rule;
use domain::incident::watch::{Hours, Limit, Limits};
use domain::permit::Role;
use domain::port::Clock as _;
use lethe::cli::Client;
use lethe::platform::{DetectionRules, NewToken, Platform, random_id};
use serde_json::{Value, json};
use tests::api::{enrol, participant, send, vital_signs};
use tests::door::{Person, Turned};
use tests::home::{Folder, Home, acme, cardio};
use tests::people;

/// A platform with limits of its own, by a clock of its own.
async fn home_with(limits: Limits, clock: &Turned) -> Home {
    let folder = Folder::new().with_off_site();
    let rules = DetectionRules { limits, ..DetectionRules::default() };
    let options = folder.options().clock(Arc::new(clock.clone())).detection(rules);
    let platform = Platform::start(options).await.expect("the platform starts");
    platform.create_tenant(&acme()).await.expect("a tenant can be created");
    Home { folder, platform }
}

/// The incidents of a rule, once there is one: nobody who reads waits for an incident.
async fn incidents(dpo: &Client, rule: Rule) -> Vec<Value> {
    loop {
        let all = dpo.get("/v1/incidents").await.expect("a DPO may ask").body;
        let items = all["items"].as_array().expect("a list");
        let found: Vec<Value> = items.iter().filter(|one| one["alert"]["rule"] == rule.as_str()).cloned().collect();
        if !found.is_empty() {
            return found;
        }
        tokio::task::yield_now().await;
    }
}

async fn again(times: u64, client: &Client, path: impl Fn(u64) -> String) {
    for n in 0..times {
        // What comes of it does not matter to who attacks.
        let _ = client.get(&path(n)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scripted_attack_raises_every_rule_once_and_opens_an_incident_each() {
    let clock = Turned::now();
    let defaults = Limits::default();
    // Few enough for a test to enrol.
    let mass = Limit { count: 6, ..defaults.mass_reads };
    // Nobody works at this hour.
    let hour = clock.now().hour();
    let never = if hour < 12 { (hour + 2, hour + 3) } else { (hour - 3, hour - 2) };
    let hours = Hours { from: never.0, to: never.1, minutes_east: 0, weekends: true };
    let limits = Limits { mass_reads: mass, hours: Some(hours), ..defaults.clone() };
    let home = home_with(limits, &clock).await;
    let ada = Person::first(&home, &clock).await;
    home.live_study().await;
    let doctor = home.client_with(Role::Integrator, |new| new.service_account = true).await;
    let (mut ids, mut last) = (Vec::new(), None);
    for n in 0..6 {
        let id = enrol(&doctor, "oslo", &format!("N-{n}")).await;
        last = send(&doctor, &participant(id), vital_signs("120")).await.expect("saved").position;
        ids.push(id);
    }
    let gone = people::somebody(&doctor_of(&home).await, "N-gone").await;
    people::erase(&home, &gone, None).await;
    let dpo = home.client(Role::Dpo).await;
    let reached = last.expect("a position");
    dpo.get(&format!("/v1/studies?min_position={reached}")).await.expect("reached");

    // The data of many, one after another, at night.
    let thief = home.client(Role::Monitor).await;
    again(6, &thief, |n| format!("{}/casebook", participant(ids[n as usize]))).await;
    let found = incidents(&dpo, Rule::MassReads).await;
    assert_eq!((found.len(), &found[0]["alert"]["count"]), (1, &json!(6)));
    let user = found[0]["alert"]["user"].as_str().expect("who").to_owned();
    again(6, &thief, |n| format!("{}/casebook", participant(ids[n as usize]))).await;
    assert_eq!(incidents(&dpo, Rule::OddHours).await.len(), 1);

    // Another site's participants.
    let neighbour = home.at_site(Role::Investigator, "bergen").await;
    again(defaults.beyond_site.count, &neighbour, |n| participant(ids[n as usize % 6])).await;
    assert_eq!(incidents(&dpo, Rule::BeyondSite).await.len(), 1);

    // Another tenant's studies, and ids that are nobody's.
    let stranger = home.stranger(Role::Auditor).await;
    let prober = home.client(Role::Auditor).await;
    again(defaults.probing.count, &prober, |n| match n % 2 {
        0 => format!("/v1/studies/study-{n}/participants"),
        _ => format!("{}/casebook", participant(random_id())),
    })
    .await;
    assert_eq!(incidents(&dpo, Rule::Probing).await.len(), 1);
    again(defaults.probing.count, &stranger, |n| format!("/v1/studies/{}/participants?limit={}", cardio(), n + 1))
        .await;
    let theirs = home.client_with(Role::Dpo, |new| new.tenant = "umbra".parse::<TenantId>().expect("valid")).await;
    assert_eq!(incidents(&theirs, Rule::Probing).await.len(), 1, "it is the incident of the tenant whose user tried");
    assert_eq!(incidents(&dpo, Rule::Probing).await.len(), 1, "and of no other");

    // What was erased, again and again.
    let digger = doctor_of(&home).await;
    again(defaults.erased_data.count, &digger, |_| format!("{gone}/casebook")).await;
    assert_eq!(incidents(&dpo, Rule::ErasedData).await.len(), 1);

    // A password that is tried out by somebody who waits as long as they are told to.
    for pause in [0, 0, 0, 0, 0, 31, 61, 121] {
        clock.on(std::time::Duration::from_secs(pause));
        let refused = ada.sign_in("not the password", "000000").await.map(drop).expect_err("a wrong password");
        // The record of the account may be a moment behind, and then says to wait.
        assert!(matches!(refused.status, Some(401 | 429)), "{refused:?}");
    }
    let found = incidents(&dpo, Rule::FailedSignIns).await;
    assert!(found.iter().any(|one| one["alert"]["user"] == ada.user.as_str()), "{found:?}");

    // Somebody looks into it and finds out.
    let incident = incidents(&dpo, Rule::MassReads).await[0]["incident"].as_str().expect("an id").to_owned();
    let path = format!("/v1/incidents/{incident}");
    let outsider = send(&thief, &path, json!({"type": "acknowledge"})).await.expect_err("not for a monitor");
    assert_eq!(outsider.status, Some(403));
    send(&dpo, &path, json!({"type": "acknowledge"})).await.expect("done");
    let closed = send(&dpo, &path, json!({"type": "close", "finding": "misuse", "reference": "CTRL-7"})).await;
    let position = closed.expect("closed").position.expect("a position");
    let shown = dpo.get(&format!("{path}?min_position={position}")).await.expect("shown").body;
    assert_eq!((&shown["finding"], &shown["reference"]), (&json!("misuse"), &json!("CTRL-7")));
    let open = dpo.get(&format!("/v1/incidents?open=true&min_position={position}")).await.expect("shown").body;
    assert!(open["items"].as_array().is_some_and(|items| items.iter().all(|one| one["incident"] != incident.as_str())));
    // What the one who read so much was shown leads on from the alert.
    let theirs = dpo.get(&format!("/v1/users/{user}/access?limit=1000")).await.expect("may ask").body;
    assert!(theirs["items"].as_array().is_some_and(|items| items.len() >= 12));
    home.stop().await;
}

async fn doctor_of(home: &Home) -> Client {
    home.client(Role::Investigator).await
}

#[test]
fn an_ordinary_day_raises_nothing() {
    let folder = Folder::new();
    let done = super::binary().run(&folder, &["demo", "--exit", "--json", "--participants", "40"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let platform = Platform::start(folder.options()).await.expect("the platform starts");
        let tenant: TenantId = "demo".parse().expect("valid");
        let auditor = NewToken::new(&tenant, domain::ids::UserId(random_id()), Role::Auditor, "somebody", false);
        let client = Client::new(platform.url(), platform.create_token(auditor).await.expect("a token"));
        let log = client.text("/v1/access").await.expect("may ask");
        assert!(log.lines().count() > 3, "there was a day: {log}");
        let found = client.get("/v1/incidents").await.expect("may ask").body;
        assert_eq!(found["items"], json!([]));
        platform.stop().await;
    });
}
