//! Who was shown whose data: on record before the first byte leaves, and found by whom it is about.

use std::collections::BTreeSet;

use domain::permit::Role;
use lethe::cli::{Client, Reply};
use lethe::platform::random_id;
use reqwest::Client as Http;
use serde_json::{Value, json};
use tests::api::{enrol, identity, participant, send, vital_signs};
use tests::home::{Home, acme, cardio};
use uuid::Uuid;

/// An answer with the headers that a client of ours does not keep.
struct Got {
    status: u16,
    access: Option<String>,
    body: String,
}

async fn get_as(client: &Client, path: &str, headers: &[(&str, &str)]) -> Got {
    let mut request = Http::new().get(format!("{}{path}", client.base())).bearer_auth(client.token());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.expect("an answer");
    let access = response.headers().get("lethe-access").map(|value| value.to_str().expect("ASCII").to_owned());
    Got { status: response.status().as_u16(), access, body: response.text().await.expect("a body") }
}

async fn get(client: &Client, path: &str) -> Got {
    get_as(client, path, &[]).await
}

/// Who has looked at a participant, once the read models have the entry at `position`.
async fn looked(dpo: &Client, of: Uuid, position: &str) -> Vec<Value> {
    let path = format!("{}/access?limit=1000&min_position={position}", participant(of));
    let body = dpo.get(&path).await.expect("a DPO may ask").body;
    body["items"].as_array().expect("a list").clone()
}

async fn reached(client: &Client, reply: &Reply) {
    let position = reply.position.as_deref().expect("a position");
    client.get(&format!("/v1/studies?min_position={position}")).await.expect("reached");
}

struct World {
    home: Home,
    investigator: Client,
    dpo: Client,
    ada: Uuid,
    bob: Uuid,
}

async fn world() -> World {
    let home = Home::new().await;
    home.live_study().await;
    let investigator = home.client(Role::Investigator).await;
    let ada = enrol(&investigator, "oslo", "A-1").await;
    let bob = enrol(&investigator, "bergen", "B-1").await;
    let known = identity("Ada", "Lovelace", "ada@example.org");
    send(&investigator, &format!("{}/identity", participant(ada)), known).await.expect("recorded");
    let saved = send(&investigator, &participant(ada), vital_signs("120")).await.expect("saved");
    reached(&investigator, &saved).await;
    let dpo = home.client(Role::Dpo).await;
    World { home, investigator, dpo, ada, bob }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_looked_is_on_record_with_what_whom_what_for_and_from_where() {
    let World { home, investigator, dpo, ada, bob } = world().await;
    let casebook = format!("{}/casebook", participant(ada));
    let as_whom = [("user-agent", "CANARY-agent/7"), ("lethe-purpose", "safety")];
    let seen = get_as(&investigator, &casebook, &as_whom).await;
    assert_eq!(seen.status, 200);
    let list = get(&investigator, &format!("/v1/studies/{}/participants", cardio())).await;
    let refused = get(&dpo, &casebook).await;
    assert_eq!(refused.status, 403);
    let position = refused.access.expect("a refusal is on record too");

    let found = looked(&dpo, ada, &position).await;
    let what = |entry: &Value| (entry["view"].as_str().expect("a view").to_owned(), entry["outcome"].clone());
    let expected =
        [("participant.casebook", "forbidden"), ("participant.list", "shown"), ("participant.casebook", "shown")];
    let expected: Vec<_> = expected.iter().map(|(view, outcome)| ((*view).to_owned(), json!(outcome))).collect();
    assert_eq!(found.iter().map(what).collect::<Vec<_>>(), expected, "the newest first");
    let entry = &found[2];
    assert_eq!((&entry["actor"]["role"], &entry["actor"]["organisation"]), (&json!("investigator"), &json!("own")));
    assert_eq!((&entry["purpose"], &entry["study"]), (&json!("safety"), &json!(cardio())));
    assert_eq!((&entry["address"], &entry["agent"]), (&json!("127.0.0.1"), &json!("CANARY-agent/7")));
    assert!(entry["scopes"].as_array().is_some_and(|scopes| scopes.contains(&json!("health.clinical"))));
    assert!(entry["reflects"]["sequence"].as_u64().is_some_and(|sequence| sequence > 0));

    // A list is one entry, which counts the others that it named and tells nobody of them who they are.
    assert_eq!((&found[1]["named"], &found[1]["participants"]), (&json!(2), &json!([ada])));
    assert_eq!(found[1]["purpose"], "care", "what the role reads for, where nobody says");
    assert!(list.access.is_some());
    let of_bob = looked(&dpo, bob, &position).await;
    assert_eq!(of_bob.len(), 1, "whoever looked at somebody else has not looked at him");

    let auditor = home.client(Role::Auditor).await;
    let as_auditor = looked(&auditor, ada, &position).await;
    assert_eq!(as_auditor.last().expect("an entry")["address"], json!({"withheld": "technical.session"}));
    let nobodys = get_as(&investigator, &casebook, &[("lethe-purpose", "curiosity")]).await;
    assert_eq!(nobodys.status, 400, "{}", nobodys.body);
    assert!(!journal_bytes(&home).windows(12).any(|bytes| bytes == b"CANARY-agent"), "sealed where it is stored");
    home.stop().await;
}

/// Every byte under the data directory.
fn journal_bytes(home: &Home) -> Vec<u8> {
    fn read(folder: &std::path::Path, into: &mut Vec<u8>) {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            if entry.path().is_dir() {
                read(&entry.path(), into);
            } else {
                into.extend(std::fs::read(entry.path()).unwrap_or_default());
            }
        }
    }
    let mut bytes = Vec::new();
    read(&home.folder.data(), &mut bytes);
    assert!(bytes.windows(10).any(|bytes| bytes == b"data-read\""[..10].as_ref()) || bytes.len() > 1000);
    bytes
}

/// What a route needs to be asked: its ids filled in.
fn filled(pattern: &str, ids: &[(&str, String)]) -> String {
    ids.iter().fold(pattern.to_owned(), |path, (name, id)| path.replace(&format!("{{{name}}}"), id))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_that_opens_a_cell_or_names_somebody_leaves_an_entry() {
    let World { home, investigator, dpo, ada, .. } = world().await;
    let controller = home.client(Role::Controller).await;
    let clients = [
        ("investigator", investigator),
        ("dpo", dpo),
        ("controller", controller),
        ("auditor", home.client(Role::Auditor).await),
        ("data-manager", home.client(Role::DataManager).await),
        ("unblinded", home.client(Role::Unblinded).await),
    ];
    let ids = [
        ("study", cardio().to_string()),
        ("participant", ada.to_string()),
        ("dataset", "IG.VS".to_owned()),
        ("user", random_id().to_string()),
    ];
    let description = super::contract::description();
    let mut silent = BTreeSet::new();
    let (mut asked, mut answered) = (0, 0);
    for (name, _) in super::contract::operations(&description) {
        let Some(pattern) = name.strip_prefix("get ") else { continue };
        let path = filled(pattern, &ids);
        for (_, client) in &clients {
            asked += 1;
            let got = get(client, &path).await;
            answered += usize::from(got.status == 200);
            // Whatever names a participant, or stands at an address that may open a cell, is on record.
            let names = got.body.contains("\"participant\":\"");
            let view = domain::access::view_of("get", pattern).expect("a query");
            let opens = view.shows != domain::access::Shows::Nobody
                && view.shows != domain::access::Shows::WhoIsNamed
                && matches!(got.status, 200 | 403 | 404 | 410);
            if (names || opens) && got.access.is_none() {
                silent.insert(name.clone());
            }
        }
    }
    assert_eq!(silent, BTreeSet::new(), "these show somebody and leave no entry");
    assert!(asked > 200 && answered > 80, "{asked} asked, {answered} answered");
    home.stop().await;
}

/// A route without a row is logged all the same, and told from the others; so each gets one.
#[test]
fn every_query_has_its_row_in_the_table_of_the_access_log() {
    let description = super::contract::description();
    let known: BTreeSet<&str> = domain::access::VIEWS.iter().map(|(route, _)| *route).collect();
    let routes: BTreeSet<String> =
        super::contract::operations(&description).into_keys().filter(|name| name.starts_with("get ")).collect();
    let missing: Vec<_> = routes.iter().filter(|route| !known.contains(route.as_str())).collect();
    assert_eq!(missing, Vec::<&String>::new(), "domain/src/access/views.rs says of each what it shows");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_many_costs_one_entry() {
    let World { home, investigator, dpo, ada, .. } = world().await;
    for n in 0..40 {
        enrol(&investigator, "oslo", &format!("N-{n}")).await;
    }
    let before = get(&dpo, &format!("{}/access", participant(ada))).await.access.expect("a position");
    let list = get(&investigator, &format!("/v1/studies/{}/participants?limit=1000", cardio())).await;
    let sequence = |position: &str| position.rsplit(':').next().and_then(|n| n.parse::<u64>().ok()).expect("a number");
    let position = list.access.expect("a position");
    assert_eq!(sequence(&position), sequence(&before) + 1, "one message, whoever and however many are in it");
    let found = looked(&dpo, ada, &position).await;
    assert!(found[0]["named"].as_u64().is_some_and(|named| named >= 42), "{}", found[0]);
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_at_once_is_all_on_record() {
    let World { home, investigator, dpo, ada, .. } = world().await;
    let casebook = format!("{}/casebook", participant(ada));
    let mut many = tokio::task::JoinSet::new();
    for _ in 0..60 {
        let (client, casebook) = (Client::new(investigator.base(), investigator.token()), casebook.clone());
        many.spawn(async move { get(&client, &casebook).await });
    }
    let answers = many.join_all().await;
    assert!(answers.iter().all(|got| got.status == 200));
    let positions: BTreeSet<u64> = answers
        .iter()
        .map(|got| got.access.as_deref().and_then(|at| at.rsplit(':').next()?.parse().ok()).expect("a position"))
        .collect();
    assert!(positions.len() < 60, "what waits together goes together");
    let last = format!("-access:1:{}", positions.last().expect("some"));
    assert_eq!(looked(&dpo, ada, &last).await.len(), 60);
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_see_what_is_on_record_of_themselves_and_the_log_leaves_whole() {
    let World { home, investigator, dpo, ada, .. } = world().await;
    let seen = get(&investigator, &format!("{}/casebook", participant(ada))).await;
    let position = seen.access.expect("a position");
    let mine = investigator.get(&format!("/v1/access/mine?min_position={position}")).await.expect("may ask").body;
    assert_eq!(mine["items"][0]["view"], "participant.casebook");
    let user = mine["items"][0]["actor"]["id"].as_str().expect("an id").to_owned();
    let refused = get(&investigator, &format!("/v1/users/{user}/access")).await;
    assert_eq!(refused.status, 403);
    let position = refused.access.expect("a position");
    let of_user = dpo.get(&format!("/v1/users/{user}/access?limit=1&min_position={position}")).await.expect("may").body;
    assert_eq!(of_user["items"].as_array().map(Vec::len), Some(1));
    assert!(of_user["next"].is_string(), "there are more");

    let whole = get(&dpo, "/v1/access").await;
    let asked = whole.access.expect("that is on record as well");
    let whole = get(&dpo, &format!("/v1/access?min_position={asked}")).await.body;
    let entries: Vec<Value> = whole.lines().map(|line| serde_json::from_str(line).expect("an entry a line")).collect();
    let ids: BTreeSet<_> = entries.iter().map(|entry| entry["read"].as_str().expect("an id")).collect();
    assert_eq!(ids.len(), entries.len(), "each once");
    for view in ["participant.casebook", "access.user", "access.list"] {
        assert!(entries.iter().any(|entry| entry["view"] == view), "{view}");
    }
    let some = get(&dpo, "/v1/access?view=participant.casebook&until=2020-01-01T00:00:00Z").await;
    assert_eq!((some.status, some.body.as_str()), (200, ""));
    home.stop().await;
}

/// The answer about another site's participant is that of nobody's, and what is on record says so to no one of that site.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_learns_from_the_log_what_the_answer_did_not_tell() {
    let World { home, dpo, ada, .. } = world().await;
    let neighbour = home.at_site(Role::Investigator, "bergen").await;
    let there = get(&neighbour, &participant(ada)).await;
    let nowhere = get(&neighbour, &participant(random_id())).await;
    assert_eq!((there.status, nowhere.status), (404, 404));
    let position = nowhere.access.expect("on record");
    let mine = neighbour.get(&format!("/v1/access/mine?min_position={position}")).await.expect("may ask").body;
    let told: Vec<_> = mine["items"].as_array().expect("a list").iter().map(|one| one["outcome"].clone()).collect();
    assert_eq!(told, [json!("not-found"), json!("not-found")]);
    assert_eq!(looked(&dpo, ada, &position).await[0]["outcome"], "beyond-site", "the DPO sees that it was tried");
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_log_nobody_is_shown_anything_and_the_operator_makes_it() {
    let World { home, investigator, ada, .. } = world().await;
    let folder = home.stop().await;
    // As it is where the tenant was created before there was an access log: the platform neither makes nor misses it.
    let marker = folder.data().join("tenants/acme/studies/-access");
    std::fs::remove_dir(&marker).expect("it was remembered");
    let home = Home::start(folder).await;
    let token = investigator.token().to_owned();
    let investigator = Client::new(home.platform.url(), token);
    let ready = Http::new().get(format!("{}/readyz", home.platform.url())).send().await.expect("an answer");
    assert_eq!(ready.status().as_u16(), 503);
    assert!(ready.text().await.expect("a body").contains("lethe tenant create acme"));
    home.platform.create_tenant(&acme()).await.expect("it is made");
    let ready = Http::new().get(format!("{}/readyz", home.platform.url())).send().await.expect("an answer");
    assert_eq!(ready.status().as_u16(), 200);
    assert_eq!(get(&investigator, &format!("{}/casebook", participant(ada))).await.status, 200);
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_outlives_an_erasure_and_the_loss_of_the_site() {
    let home = Home::with_off_site().await;
    home.live_study().await;
    let doctor = home.client(Role::Investigator).await;
    let leaving = tests::people::somebody(&doctor, "N-1").await;
    let dpo = home.client(Role::Dpo).await;
    assert_eq!(get(&doctor, &format!("{leaving}/identity")).await.status, 200);
    tests::people::erase(&home, &leaving, None).await;
    let gone = get(&doctor, &format!("{leaving}/identity")).await;
    assert_eq!(gone.status, 410);
    let position = gone.access.expect("a position");
    let log = async |dpo: &Client, position: &str| {
        let path = format!("{leaving}/access?limit=1000&min_position={position}");
        dpo.get(&path).await.expect("a DPO may ask").body["items"].as_array().expect("a list").clone()
    };
    let before = log(&dpo, &position).await;
    let asked = |outcome: &str| {
        before.iter().filter(|one| one["view"] == "participant.identity" && one["outcome"] == outcome).count()
    };
    assert_eq!((asked("shown"), asked("erased")), (1, 1), "that it was shown stays on record");

    // What it is stored as is checked, signed and backed up like every journal.
    let binary = super::binary();
    let path = |name: &str| home.folder.path().join(name).display().to_string();
    let (backups, identity) = (path("backups"), path("identity"));
    std::fs::create_dir_all(&backups).expect("a folder");
    let recipient = binary.done(&home.folder, &["backup", "keygen", "--out", &identity]);
    binary.json(&home.folder, &["backup", "create", "--tenant", "acme", "--to", &backups, "--recipient", &recipient]);
    let verified = binary.said(&home.folder, &["verify", "journal", "--tenant", "acme"]);
    assert_eq!(verified.0, Some(0), "{}", verified.1);
    let token = dpo.token().to_owned();
    let folder = home.stop().await;
    std::fs::remove_dir_all(folder.data()).expect("the site is lost");
    let restored = binary.said(
        &folder,
        &["restore", "--tenant", "acme", "--from", &backups, "--identity", &identity, "--yes", "--json"],
    );
    assert_eq!(restored.0, Some(0), "{}", restored.1);
    let home = Home::start(folder).await;
    let dpo = Client::new(home.platform.url(), token);
    let again = get(&dpo, &format!("{leaving}/access")).await.access.expect("it is written on");
    let after = log(&dpo, &again).await;
    let read = |entries: &[Value]| -> BTreeSet<String> { entries.iter().map(|one| one["read"].to_string()).collect() };
    let (was, is) = (read(&before), read(&after));
    assert_eq!(was.difference(&is).collect::<Vec<_>>(), Vec::<&String>::new(), "nothing on record is lost");
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_says_who_looked() {
    let World { home, investigator, dpo, ada, .. } = world().await;
    let seen = get(&investigator, &format!("{}/casebook", participant(ada))).await;
    looked(&dpo, ada, &seen.access.expect("a position")).await;
    let run = |arguments: &[&str]| {
        let mut command = super::binary().command(&home.folder);
        command.env("LETHE_TOKEN", dpo.token()).args(arguments);
        let done = tokio::task::block_in_place(|| command.output()).expect("it runs");
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).expect("text")
    };
    let (id, study) = (ada.to_string(), cardio().to_string());
    let table = run(&["access", "participant", &id, "--study", &study]);
    assert!(table.contains("participant.casebook") && table.contains("127.0.0.1"), "{table}");
    let lines = run(&["access", "export", "--view", "participant.casebook", "--since", "2020-01-01T00:00:00+01:00"]);
    assert_eq!(lines.lines().count(), 1, "{lines}");
    let entry: Value = serde_json::from_str(lines.trim()).expect("JSON");
    assert_eq!(entry["participants"], json!([ada]));
    let user = entry["actor"]["id"].as_str().expect("an id").to_owned();
    assert!(run(&["access", "user", &user, "--json"]).contains("participant.casebook"));
    assert_eq!(run(&["incident", "list", "--json"]).trim(), "[]");
    home.stop().await;
}
