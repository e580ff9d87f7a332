//! The audit trail of a whole study, as a stream, on the command line, and as Medidata's client reads it.

use std::collections::BTreeMap;

use domain::ids::UserId;
use domain::permit::Role;
use lethe::cli::Client;
use lethe::platform::random_id;
use serde_json::{Value, json};
use tests::api::{adverse_event, enrol, identity, participant, send, vital_signs};
use tests::home::Home;
use tests::people::erase;
use uuid::Uuid;

use crate::judges::{judge, schemas};

const TRAIL: &str = "/v1/studies/cardio-1/audit";

/// A study in which something happened.
struct Told {
    home: Home,
    doctor: Client,
    doctor_id: Uuid,
    monitor: Client,
    monitor_id: Uuid,
    people: Vec<Uuid>,
    /// The last position, which every reader waits for.
    last: String,
}

/// Somebody in a role, whose id is known.
async fn known(home: &Home, role: Role) -> (Client, Uuid) {
    let id = random_id();
    (home.client_with(role, |new| new.user = UserId(id)).await, id)
}

async fn told() -> Told {
    let home = Home::with_off_site().await;
    home.live_study().await;
    let ((doctor, doctor_id), (monitor, monitor_id)) =
        (known(&home, Role::Investigator).await, known(&home, Role::Monitor).await);
    let first = enrol(&doctor, "oslo", "S-1").await;
    let at = participant(first);
    let saved = send(&doctor, &at, vital_signs("120")).await.expect("saved");
    let mut change = vital_signs("125");
    change["items"][0]["reason"] = json!("misread & <corrected>");
    let tag = saved.etag.expect("a tag");
    doctor.command(&at, random_id(), Some(&tag), None, &change).await.expect("changed");
    send(&doctor, &at, adverse_event("dizzy on the stairs")).await.expect("saved");
    let place = json!({"level": "item", "visit": "BASELINE", "form": "VS", "group": "VS", "item": "SYSBP"});
    let open = json!({"type": "open-query", "place": place, "kind": "manual", "text": "is this so?"});
    let asked = send(&monitor, &at, open).await.expect("asked");
    let wait = asked.position.expect("a position");
    let list = monitor.get(&format!("/v1/studies/cardio-1/queries?min_position={wait}")).await.expect("a list").body;
    let query = list["items"][0]["query"].clone();
    let answer = json!({"type": "answer-query", "query": query, "text": "yes it is"});
    send(&doctor, &at, answer).await.expect("answered");
    let vault = identity("Ada", "Kvistberg-Secret", "ada@example.org");
    send(&doctor, &format!("{at}/identity"), vault).await.expect("recorded");
    let second = enrol(&doctor, "bergen", "S-2").await;
    let last = send(&doctor, &participant(second), vital_signs("141")).await.expect("saved");
    let last = last.position.expect("a position");
    Told { home, doctor, doctor_id, monitor, monitor_id, people: vec![first, second], last }
}

impl Told {
    async fn lines(&self, reader: &Client, query: &str) -> Vec<Value> {
        let path = format!("{TRAIL}?min_position={}{query}", self.last);
        let text = reader.text(&path).await.unwrap_or_else(|error| panic!("{path}: {error}"));
        text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
    }

    async fn odm(&self, reader: &Client, version: &str) -> String {
        reader.text(&format!("{TRAIL}?min_position={}&format=odm{version}", self.last)).await.expect("a file")
    }

    fn written(&self, name: &str, text: &str) -> String {
        let path = self.home.folder.path().join(name);
        std::fs::write(&path, text).expect("it can be written");
        path.to_str().expect("a path").to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_says_what_the_trail_of_every_participant_says_and_what_the_study_did() {
    let told = told().await;
    let all = told.lines(&told.doctor, "").await;
    for person in &told.people {
        let own = told.doctor.get(&format!("{}/audit?limit=1000", participant(*person))).await.expect("a trail").body;
        let mut of_person: Vec<Value> = all.iter().filter(|it| it["participant"] == json!(person)).cloned().collect();
        for entry in &mut of_person {
            let entry = entry.as_object_mut().expect("an object");
            for name in ["participant", "subject_number", "site"] {
                assert!(entry.remove(name).is_some(), "{name}");
            }
        }
        assert_eq!(json!(of_person), own["items"]);
    }
    let of_study: Vec<&str> =
        all.iter().filter(|it| it.get("participant").is_none()).filter_map(|it| it["event"].as_str()).collect();
    assert_eq!(of_study.iter().filter(|event| **event == "site-opened").count(), 4);
    for event in ["study-created", "design-published", "study-went-live"] {
        assert!(of_study.contains(&event), "{event}: {of_study:?}");
    }
    let ids: Vec<&str> = all.iter().filter_map(|it| it["id"].as_str()).collect();
    assert!(ids.windows(2).all(|two| two[0] < two[1]), "in order, none twice");
    for n in [0, all.len() / 2, all.len() - 1] {
        let rest = told.lines(&told.doctor, &format!("&from={}", ids[n])).await;
        assert_eq!(rest, all[n + 1..], "behind {}", ids[n]);
    }
    let changed = told.lines(&told.doctor, "&kind=changed").await;
    assert_eq!(changed.len(), 1);
    assert_eq!((&changed[0]["old"], &changed[0]["new"]), (&json!("120"), &json!("125")));
    assert_eq!(changed[0]["reason"], "misread & <corrected>");
    assert_eq!(changed[0]["act"]["actor"]["id"], json!(told.doctor_id));
    let asked = told.lines(&told.doctor, &format!("&user={}&kind=query-opened", told.monitor_id)).await;
    assert_eq!((asked.len(), &asked[0]["values"]["text"]), (1, &json!("is this so?")));
    told.home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_and_sites_are_those_of_every_other_view() {
    let told = told().await;
    let bergen = told.home.at_site(Role::Monitor, "bergen").await;
    let seen = told.lines(&bergen, "").await;
    let numbers: Vec<_> = seen.iter().filter_map(|it| it["subject_number"].as_str()).collect();
    assert!(!numbers.is_empty() && numbers.iter().all(|number| *number == "S-2"), "{numbers:?}");
    let file = told.odm(&bergen, "132").await;
    assert!(!file.contains(&told.monitor_id.to_string()), "who acted at other sites only is not named");
    let dpo = told.home.client(Role::Dpo).await;
    let saved = told.lines(&dpo, "&kind=items-saved").await;
    assert!(saved.iter().all(|it| it["new"].get("withheld").is_some()), "a DPO sees no value");
    let monitor = told.lines(&told.monitor, "&kind=identity-recorded").await;
    assert!(
        !monitor.is_empty() && monitor.iter().all(|it| it["new"].get("withheld").is_some()),
        "nor a monitor a name"
    );
    let stranger = told.home.client(Role::SponsorViewer).await;
    assert_eq!(stranger.text(TRAIL).await.expect_err("is denied").status, Some(403));
    let nobody = format!("user={}", random_id());
    let elsewhere = format!("user={}", told.monitor_id);
    for (who, wrong, status, code) in [
        (&told.doctor, "from=x", 400, "invalid-from"),
        (&told.doctor, "since=yesterday", 400, "invalid-query"),
        (&told.doctor, "user=a&user=b", 400, "invalid-query"),
        (&told.doctor, "kind=changed&kind=bogus", 400, "unknown-kind"),
        (&told.doctor, "site=nosite", 404, "no-such-site"),
        (&bergen, "site=oslo", 404, "no-such-site"),
        (&told.doctor, nobody.as_str(), 404, "no-such-user"),
        (&bergen, elsewhere.as_str(), 404, "no-such-user"),
    ] {
        let refused = who.text(&format!("{TRAIL}?{wrong}")).await.expect_err("is refused");
        assert_eq!((refused.status, refused.code.as_str()), (Some(status), code), "{wrong}");
        assert!(code != "unknown-kind" || refused.to_string().contains("items-saved"), "the kinds: {refused}");
    }
    let both = told.lines(&told.doctor, "&kind=changed&kind=query-opened").await;
    assert_eq!((both.len(), both), (2, told.lines(&told.doctor, "&kind=changed,query-opened").await));
    told.home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_as_odm_follows_its_schema_and_forgets_who_was_erased() {
    let told = told().await;
    for version in ["132", "20"] {
        let file = told.odm(&told.doctor, version).await;
        for text in ["\"125\"", ">125<"].iter().filter(|text| file.contains(**text)).take(1) {
            assert_eq!(file.matches(text).count(), 1, "{text}");
        }
        assert!(file.contains("misread &amp; &lt;corrected&gt;") && file.contains("OLD-VALUE"), "{file}");
        assert!(!file.contains("Kvistberg-Secret"), "an identity is said to have changed, not to what");
        let path = told.written(&format!("before.odm{version}.xml"), &file);
        if schemas().is_some() {
            judge("the audit trail as ODM", &["odm", version, &path]);
        } else {
            println!("skipped: the audit trail as ODM (there is no ../shared/schemas)");
        }
        assert_eq!(told.odm(&told.doctor, version).await, file, "the same question gives the same bytes");
    }
    erase(&told.home, &participant(told.people[0]), None).await;
    let after = told.lines(&told.doctor, "&kind=items-saved&site=oslo").await;
    assert_eq!(after.len(), 3, "every entry is still there");
    assert!(after.iter().all(|it| it["new"].get("erased").is_some()), "{after:?}");
    for version in ["132", "20"] {
        let file = told.odm(&told.doctor, version).await;
        for gone in ["120", "125", "misread", "dizzy", "is this so", "yes it is"] {
            let quoted = [format!("\"{gone}\""), format!(">{gone}")];
            assert!(quoted.iter().all(|text| !file.contains(text)), "{gone}");
        }
        assert!(file.contains("ERASED") && file.contains("141"), "{file}");
        let path = told.written(&format!("after.odm{version}.xml"), &file);
        if schemas().is_some() {
            judge("the audit trail as ODM", &["odm", version, &path]);
        }
    }
    told.home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_writes_it_to_a_file_that_is_its_owners() {
    use std::os::unix::fs::PermissionsExt as _;
    let told = told().await;
    let all = told.lines(&told.doctor, "").await;
    let out = told.home.folder.path().join("trail.ndjson");
    let run = |arguments: &[&str]| {
        let mut command = super::binary().command(&told.home.folder);
        command.env("LETHE_TOKEN", told.doctor.token()).env("LETHE_URL", told.home.platform.url());
        command.args(["data", "audit", "--study", "cardio-1"]).args(arguments);
        command.args(["--recipient", "The inspectorate", "--purpose", "An inspection", "--expires", "30"]);
        tokio::task::block_in_place(|| command.output()).expect("it runs")
    };
    let path = out.to_str().expect("a path");
    let done = run(&["--out", path]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = std::fs::read_to_string(&out).expect("a file");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines[..all.len()], all);
    let own = |line: &Value| line["aggregate"] == "export";
    assert!(lines[all.len()..].iter().all(own), "and behind it, that it was registered: {lines:?}");
    assert_eq!(std::fs::metadata(&out).expect("a file").permissions().mode() & 0o777, 0o600);
    assert_eq!(run(&["--out", path]).status.code(), Some(3), "no file is written over");
    let last = all[all.len() - 2]["id"].as_str().expect("an id");
    let rest = run(&["--from", last]);
    let rest = String::from_utf8_lossy(&rest.stdout).into_owned();
    let next: Value = serde_json::from_str(rest.lines().next().expect("a line")).expect("JSON");
    assert_eq!(next, all[all.len() - 1], "it goes on behind");
    let odm = run(&["--format", "odm20", "--kind", "items-saved,query-opened"]);
    assert!(String::from_utf8_lossy(&odm.stdout).trim_end().ends_with("</ODM>"));
    assert_eq!(run(&["--from", "x"]).status.code(), Some(2));

    // It was handed out, so it is on the register, and an erasure knows whom to tell.
    let exports = told.doctor.get("/v1/studies/cardio-1/exports").await.expect("a register").body;
    let first = exports["items"].as_array().and_then(|all| all.last()).expect("it is registered");
    let said = ["recipient", "purpose", "stage"].map(|name| first[name].as_str().expect("a text"));
    assert_eq!(said, ["The inspectorate", "An inspection", "held"], "{first}");
    assert_eq!((&first["participants"], &first["formats"]), (&json!(2), &json!([])), "{first}");
    let (dpo, erasure) = tests::people::order(&told.home, &participant(told.people[0]), None).await;
    let done = lethe::cli::follow(&dpo, erasure, None, |_| {}).await.expect("followed");
    let tell: Vec<_> = done["tell"].as_array().expect("whom to tell").iter().map(|one| &one["recipient"]).collect();
    assert_eq!(tell, ["The inspectorate"]);
    told.home.stop().await;
}

/// What Medidata's client must find, of what was entered above.
fn expected(told: &Told, token: &str) -> Value {
    let (doctor, monitor) = (told.doctor_id.to_string(), told.monitor_id.to_string());
    let of = |n: usize, what: &str, user: &str| {
        let (subject, location) = [("S-1", "oslo"), ("S-2", "bergen")][n];
        json!({"what": what, "subject": subject, "key": told.people[n], "user": user, "location": location})
    };
    let with = |mut audit: Value, more: Value| {
        let more = more.as_object().expect("an object").clone();
        audit.as_object_mut().expect("an object").extend(more);
        audit
    };
    let vital = |value: Value, reason: Value| {
        json!({"event": ["BASELINE", "BASELINE[1]"], "form": ["FORM.VS", 1], "group": ["VS", 1], "item": "SYSBP",
            "value": value, "reason": reason, "query": null})
    };
    let event = json!({"event": ["BASELINE", "BASELINE[1]"], "form": ["FORM.AE", 1], "group": ["AE", 1], "item": "AETERM",
        "value": "dizzy on the stairs", "reason": null});
    let asked = |query: Value| with(vital(Value::Null, Value::Null), json!({ "query": query }));
    json!({
        "url": told.home.platform.url(), "token": token, "build": env!("CARGO_PKG_VERSION"),
        "study": "cardio-1", "environment": "Test",
        "versions": [["1", "1.0"]],
        "visits": ["BASELINE", "WEEK-4", "WEEK-12"],
        "items": ["SYSBP", "DIABP", "PULSE", "WEIGHT", "AETERM", "AESTDAT", "AESEV"],
        "subjects": [["S-1", told.people[0], "oslo"], ["S-2", told.people[1], "bergen"]],
        "audits": [
            of(0, "SubjectCreated", &doctor),
            of(0, "DesignAssigned", &doctor),
            of(0, "ConsentGiven", &doctor),
            with(of(0, "Entered", &doctor), vital(json!("120"), Value::Null)),
            with(of(0, "EnteredWithChangeCode", &doctor), vital(json!("125"), json!("misread & <corrected>"))),
            with(of(0, "Entered", &doctor), event),
            with(of(0, "QueryOpen", &monitor), asked(json!(["Open", "is this so?", null, "site"]))),
            with(of(0, "QueryAnswer", &doctor), asked(json!(["Answered", null, "yes it is", "site"]))),
            of(1, "SubjectCreated", &doctor),
            of(1, "DesignAssigned", &doctor),
            of(1, "ConsentGiven", &doctor),
            with(of(1, "Entered", &doctor), vital(json!("141"), Value::Null)),
        ],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_rave_is_refused_in_the_shape_of_rave() {
    let home = Home::new().await;
    home.live_study().await;
    let token = home.client(Role::Auditor).await.token().to_owned();
    // Served as it is for others: with trace ids, which every refusal of the platform's own gets.
    let folder = home.stop().await;
    let server = super::binary().serve(&folder, |_| {});
    let http = reqwest::Client::new();
    let ask = async |path: &str, token: Option<&str>| {
        let request = http.get(format!("{}/RaveWebServices/{path}", server.url));
        let request = token.into_iter().fold(request, |request, token| request.basic_auth("x", Some(token)));
        let answer = request.send().await.expect("an answer");
        let kind = answer.headers()["content-type"].to_str().expect("a text").to_owned();
        (answer.status().as_u16(), kind, answer.text().await.expect("a text"))
    };
    let (known, xml) = (Some(token.as_str()), "text/xml; charset=utf-8");
    for (path, token, status, code) in [
        ("metadata/studies/unheard/versions", known, 404, "no-such-study"),
        ("metadata/studies/cardio-1/versions/99", known, 404, ""),
        ("studies/cardio-1(Prod)/subjects", known, 404, "no-such-study"),
        ("studies", Some("not-a-token"), 401, ""),
    ] {
        let (answered, kind, text) = ask(path, token).await;
        assert_eq!((answered, kind.as_str()), (status, xml), "{path}: {text}");
        assert!(text.starts_with("<Response ") && text.contains(&format!("ReasonCode=\"{code}")), "{path}: {text}");
    }
    let (answered, kind, text) = ask("studies", None).await;
    assert_eq!((answered, kind.as_str()), (401, "text/plain; charset=utf-8"));
    assert_eq!(text, "Authorization Header not provided");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_of_medidata_reads_studies_subjects_designs_and_audits() {
    let told = told().await;
    // The read models are there from here on.
    let _ = told.lines(&told.doctor, "").await;
    let path = told.written("rave.json", &expected(&told, told.doctor.token()).to_string());
    tokio::task::block_in_place(|| judge("Rave", &["rave", &path]));

    // A reader of one site reads of that one; what is erased has no value.
    erase(&told.home, &participant(told.people[1]), None).await;
    let bergen = told.home.at_site(Role::Investigator, "bergen").await;
    let mut left = expected(&told, bergen.token());
    left["subjects"] = json!([left["subjects"][1]]);
    let audits = left["audits"].as_array().expect("a list").iter().filter(|it| it["subject"] == "S-2");
    let mut audits: Vec<Value> = audits.cloned().collect();
    audits[3]["value"] = Value::Null;
    let trail = told.doctor.get(&format!("{}/audit?limit=1000", participant(told.people[1]))).await.expect("readable");
    let spelled: BTreeMap<&str, &str> = [
        ("erasure-requested", "ErasureRequested"),
        ("erasure-approved", "ErasureApproved"),
        ("erasure-assessed", "ErasureAssessed"),
    ]
    .into();
    let mut after = trail.body["items"].as_array().expect("a list").iter().skip(4);
    assert!(after.any(|entry| spelled.contains_key(entry["event"].as_str().unwrap_or_default())), "it was erased");
    let more = trail.body["items"].as_array().expect("a list").iter().skip(4);
    for entry in more.filter(|entry| entry["aggregate"] != "identity") {
        let event = entry["event"].as_str().expect("a name");
        let words = event.split('-').map(|word| word[..1].to_uppercase() + &word[1..]);
        audits.push(json!({"what": words.collect::<String>(), "subject": "S-2", "value": null}));
    }
    left["audits"] = json!(audits);
    let path = told.written("rave.json", &left.to_string());
    tokio::task::block_in_place(|| judge("Rave", &["rave", &path]));
    told.home.stop().await;
}
