//! What holds whatever happens, and where each line of it is proved.
//!
//! | | the law | proved by |
//! |---|---|---|
//! | 1 | built anew, read models say the same, after an erasure too | `a_rebuild_and_a_restart_give_the_same_answers`, `airo_1217_what_was_derived_is_gone_with_the_keys`, `the_structure_survives_every_erasure` in `keep_the_laws` |
//! | 2 | whatever crashes, an erasure is completed or goes on; it never stands half-way in silence | `a_crash_at_every_step_of_an_erasure_ends_in_a_completed_erasure_and_costs_no_survivor`, `a_crash_at_any_call_costs_nothing_but_the_step` |
//! | 3 | no value of an identifying field stands outside the vault | `no_value_is_seen_outside_its_section` in `keep_the_laws`, `no_value_is_in_the_store_in_the_clear`, `nothing_personal_leaves_in_logs_traces_metrics_or_errors_and_a_request_is_one_trace` |
//! | 4 | the expected forms are those not begun, begun, complete and not applicable, at any time | `forms_add_up` in `as_of_a_position_is_a_fold_of_what_was_before` |
//! | 5 | no answer to a blinded role hangs on the arm, or on a blinded value | `no_answer_to_a_blinded_role_hangs_on_the_arm`, `two_histories_that_differ_in_the_arm_alone_answer_the_blinded_alike`, `blinded_values_decide_nothing_that_the_blinded_see` |
//! | 6 | a site user never sees a byte of another site's participant | `no_route_tells_a_site_anything_of_another_sites_participant` |
//! | 7 | a signature holds if and only if nothing that it covers changed | `a_signature_holds_if_and_only_if_nothing_it_covers_changed` |
//! | 8 | a command sent again has no second effect | `no_command_is_carried_out_twice` in `keep_the_laws`, `an_append_whose_answer_was_lost_is_found_again_by_its_command_id` |
//! | 9 | exported, imported elsewhere, exported again: the same | `real_designs_and_the_ninety_participants_of_one_are_imported`, `a_design_that_says_everything_comes_back_with_the_same_hash` |
//! | 10 | what an erasure refuses has a ground, and a date or a hold | `a_hold_and_an_erasure_never_pass_each_other` |

use std::collections::BTreeMap;

use domain::permit::Role;
use lethe::cli::Client;
use lethe::platform::random_id;
use serde_json::{Value, json};
use tests::api::{adverse_event, enrol, identity, participant, send, vital_signs};
use tests::home::{Home, cardio};
use uuid::Uuid;

/// Every law of the table above, and that its tests are there.
#[test]
fn every_law_has_its_tests() {
    let rows: Vec<&str> = include_str!("laws.rs").lines().filter_map(|line| line.strip_prefix("//! | ")).collect();
    let rows = rows.into_iter().filter(|row| row.starts_with(|first: char| first.is_ascii_digit()));
    let mut sources = String::new();
    for folder in
        ["domain/src", "command-svc/src", "query-api/src", "projection-svc/src", "infra/src", "tests/it", "lethe/src"]
    {
        super::contract::every_source(folder, &mut |source| sources.push_str(source));
    }
    let mut lines = 0;
    let mut missing = Vec::new();
    for row in rows {
        lines += 1;
        let tests = row.rsplit('|').nth(1).expect("a column of tests");
        for name in tests.split('`').skip(1).step_by(2) {
            if !sources.contains(&format!("fn {name}(")) && !sources.contains(&format!("fn {name}<")) {
                missing.push(format!("{}: {name}", &row[..2]));
            }
        }
    }
    assert_eq!((lines, missing), (10, vec![]), "ten laws, and each test of theirs");
}

/// What is only of the other site: nothing of it is a word of the platform.
const CANARIES: [&str; 8] = [
    "CANARY-7",
    "98765",
    "Kanari-term",
    "Kanari-first",
    "Kanari-last",
    "kanari@example.org",
    "Kanari-query",
    "Kanari-why",
];

/// Everybody who may be bound to a site.
const AT_SITES: [Role; 3] = [Role::Investigator, Role::Coordinator, Role::Monitor];

struct World {
    home: Home,
    design: String,
    mine: Uuid,
}

/// Somebody at oslo with data, and the address of the design.
async fn world() -> World {
    let home = Home::new().await;
    home.live_study().await;
    let integrator = home.client(Role::Integrator).await;
    let mine = enrol(&integrator, "oslo", "N-1").await;
    let last = send(&integrator, &participant(mine), vital_signs("120")).await.expect("saved");
    let path = format!("/v1/studies/{}?min_position={}", cardio(), last.position.expect("a position"));
    let study = integrator.get(&path).await.expect("a study").body;
    let design = study["designs"][0]["design"].as_str().expect("a design").to_owned();
    World { home, design, mine }
}

/// Somebody at porto, with a canary wherever one can stand. Returns who, an erasure of theirs, and the last position.
async fn another(home: &Home, id: Uuid) -> (Uuid, String) {
    let doctor = home.at_site(Role::Investigator, "porto").await;
    let at = participant(id);
    let register = json!({"type": "register", "site": "porto", "subject_number": "CANARY-7"});
    let consent = json!({"type": "give-consent", "version": "2.0", "reference": "Kanari-why"});
    let started = json!({"type": "start-visit", "visit": "BASELINE", "on": "2026-11-20"});
    let query = json!({"type": "open-query", "text": "Kanari-query",
        "place": {"level": "form", "visit": "BASELINE", "form": "VS"}});
    for command in [register, consent, started, vital_signs("98765"), adverse_event("Kanari-term"), query] {
        send(&doctor, &at, command.clone()).await.unwrap_or_else(|error| panic!("{command}: {error}"));
    }
    let vault = identity("Kanari-first", "Kanari-last", "kanari@example.org");
    send(&doctor, &format!("{at}/identity"), vault).await.expect("recorded");
    let erasure = random_id();
    let ask = json!({"type": "request-erasure", "erasure": erasure, "justification": "consent-withdrawn"});
    let dpo = home.client(Role::Dpo).await;
    let asked = send(&dpo, &format!("{at}/privacy"), ask).await.expect("requested");
    (erasure, asked.position.expect("a position"))
}

/// Every address that can be read, with these in it; and whether it waits for a position.
fn addresses(who: Uuid, erasure: Uuid, design: &str) -> Vec<(String, bool)> {
    let description = super::contract::description();
    let described = super::contract::operations(&description);
    let gets = super::contract::routes().into_iter().filter_map(|route| route.strip_prefix("get ").map(str::to_owned));
    let api =
        gets.filter(|path| (path.starts_with("/v1/") && !path.starts_with("/v1/admin/")) || path.starts_with("/Rave"));
    let study = cardio();
    api.map(|path| {
        let waits = described.get(&format!("get {path}")).is_some_and(|operation| {
            operation["parameters"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == "min_position"))
        });
        let rave = path.starts_with("/Rave");
        let mut address = String::new();
        for (n, piece) in path.split(['{', '}']).enumerate() {
            address += &match (n % 2, piece) {
                (0, text) => text.to_owned(),
                (_, "study") if rave => format!("{study}(Test)"),
                (_, "study" | "project" | "journal") => study.to_string(),
                (_, "participant" | "user") => who.to_string(),
                (_, "erasure") => erasure.to_string(),
                (_, "design" | "other" | "version") => design.to_owned(),
                (_, "list") => "main".to_owned(),
                (_, "export" | "file" | "incident") => random_id().to_string(),
                (_, "dataset") => "VS".to_owned(),
                (_, unknown) => panic!("{path}: say what stands for {unknown}, so that this law holds there"),
            };
        }
        if path.ends_with("ClinicalAuditRecords.odm") {
            address += &format!("?studyoid={study}(Test)");
        }
        (address, waits)
    })
    .collect()
}

/// What is answered, refusals too: status and bytes.
async fn answer(home: &Home, client: &Client, address: &str) -> (u16, String) {
    let request = reqwest::Client::new().get(format!("{}{address}", home.platform.url()));
    let request = match address.starts_with("/Rave") {
        true => request.basic_auth("somebody", Some(client.token())),
        false => request.bearer_auth(client.token()),
    };
    let answer = request.send().await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("a text"))
}

async fn answers(
    home: &Home,
    client: &Client,
    (who, erasure, design): (Uuid, Uuid, &str),
    position: Option<&str>,
) -> BTreeMap<String, (u16, String)> {
    let mut found = BTreeMap::new();
    for (address, waits) in addresses(who, erasure, design) {
        let asked = match position.filter(|_| waits) {
            Some(position) => format!("{address}?min_position={position}"),
            None => address.clone(),
        };
        found.insert(address, answer(home, client, &asked).await);
    }
    found
}

/// By any route: not by its own addresses, nor by another's, nor by what is counted.
#[tokio::test(flavor = "multi_thread")]
async fn no_route_tells_a_site_anything_of_another_sites_participant() {
    let World { home, design, mine } = world().await;
    let theirs = random_id();
    let mut before = BTreeMap::new();
    let mut people = Vec::new();
    for role in AT_SITES {
        let client = home.at_site(role, "oslo").await;
        before.insert(role, answers(&home, &client, (mine, random_id(), &design), None).await);
        people.push((role, client));
    }
    let (erasure, last) = another(&home, theirs).await;
    let porto = home.at_site(Role::Investigator, "porto").await;
    let seen: String = answers(&home, &porto, (theirs, erasure, &design), Some(&last))
        .await
        .into_values()
        .map(|(_, text)| text)
        .collect();
    for canary in CANARIES {
        assert!(seen.contains(canary), "{canary} is there to be found");
    }
    let mut told = Vec::new();
    for (role, client) in &people {
        let here = answers(&home, client, (mine, erasure, &design), Some(&last)).await;
        for (address, (status, text)) in &here {
            let known = CANARIES.iter().any(|canary| text.contains(canary)) || text.contains(&theirs.to_string());
            // What is counted changes as well if it counts them.
            let changed = before[role].get(address).is_some_and(|earlier| *earlier != (*status, text.clone()));
            if known || (changed && !says_the_time(address)) {
                told.push(format!("{role} at {address}: {status} {text} (before: {:?})", before[role].get(address)));
            }
        }
        for (address, (status, text)) in answers(&home, client, (theirs, erasure, &design), Some(&last)).await {
            if CANARIES.iter().any(|canary| text.contains(canary))
                || (address.contains(&theirs.to_string()) && status < 400)
            {
                told.push(format!("{role} at {address}: {status} {text}"));
            }
        }
        told.extend(by_commands(&home, client, *role, theirs).await);
    }
    assert!(told.is_empty(), "{}", told.join("\n\n"));
    home.stop().await;
}

/// Answers that name the moment at which they were given, the position as every answer does in its header, or what was asked
/// before: they are compared by canaries alone.
fn says_the_time(address: &str) -> bool {
    let says = ["/events", "/audit/unusual"].iter().any(|end| address.ends_with(end));
    let asked = address.starts_with("/v1/access/mine");
    says || asked || address.contains("/figures/") || address.starts_with("/Rave")
}

/// What the other site's participant answers to commands, each of them refused.
async fn by_commands(home: &Home, client: &Client, role: Role, theirs: Uuid) -> Vec<String> {
    let at = participant(theirs);
    let mut told = Vec::new();
    let place = json!({"level": "form", "visit": "BASELINE", "form": "VS"});
    let commands = [
        ("", vital_signs("1")),
        ("", json!({"type": "register", "site": "oslo", "subject_number": "N-7"})),
        ("", json!({"type": "register", "site": "porto", "subject_number": "N-7"})),
        ("", json!({"type": "give-consent", "version": "2.0"})),
        ("", json!({"type": "withdraw-consent", "reason": "x"})),
        ("", json!({"type": "complete-form", "visit": "BASELINE", "form": "VS"})),
        ("", json!({"type": "open-query", "place": place, "text": "x"})),
        ("", json!({"type": "answer-query", "query": "Q-kanari", "text": "x"})),
        ("", json!({"type": "close-query", "query": "Q-kanari"})),
        ("", json!({"type": "verify", "visit": "BASELINE", "form": "VS"})),
        ("", json!({"type": "freeze", "place": place})),
        ("", json!({"type": "withdraw"})),
        ("/identity", identity("A", "B", "c@example.org")),
        ("/identity", json!({"type": "rectify", "details": {"given_name": "A"}})),
        ("/privacy", json!({"type": "request-erasure", "erasure": random_id(), "justification": "unlawful"})),
        ("/rehearsal", vital_signs("1")),
    ];
    for (what, command) in commands {
        let request = reqwest::Client::new().post(format!("{}{at}{what}", home.platform.url()));
        let answer = request.bearer_auth(client.token()).json(&command).send().await.expect("an answer");
        let (status, text) = (answer.status().as_u16(), answer.text().await.expect("a text"));
        if status < 400 || CANARIES.iter().any(|canary| text.contains(canary)) {
            told.push(format!("{role} sends {command} to {what}: {status} {text}"));
        }
    }
    let line: Value = json!({"aggregate": "participant", "id": theirs, "command": vital_signs("1")});
    let request = reqwest::Client::new().post(format!("{}/v1/studies/{}/commands", home.platform.url(), cardio()));
    let answer = request.bearer_auth(client.token()).body(format!("{line}\n")).send().await.expect("an answer");
    let text = answer.text().await.expect("a text");
    if CANARIES.iter().any(|canary| text.contains(canary)) || text.contains("\"status\":20") {
        told.push(format!("{role} sends a line: {text}"));
    }
    told
}
