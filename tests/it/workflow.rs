//! From a saved value to a locked database, over HTTP: query, verification, freeze, signature, lock.

use domain::ids::Environment;
use domain::permit::Role;
use lethe::cli::{ApiError, Client, Reply};
use lethe::platform::random_id;
use reqwest::Client as Http;
use serde_json::{Value, json};
use tests::api::{participant, send};
use tests::home::{Home, acme, cardio};

const STUDY: &str = "/v1/studies/cardio-1";

/// One form that is compared with its source and signed.
fn design() -> Value {
    let item = |oid: &str| json!({"oid": oid, "name": oid, "data_type": "integer"});
    let must = |oids: &[&str]| oids.iter().map(|oid| json!({"oid": oid, "mandatory": true})).collect::<Value>();
    json!({
        "name": "Cardio", "version": "1",
        "visits": [{"oid": "BASELINE", "name": "Baseline", "forms": must(&["VS"])}],
        "forms": [{"oid": "VS", "name": "Vital signs", "sdv": "all", "signature": true, "item_groups": must(&["VS"])}],
        "item_groups": [{"oid": "VS", "name": "Vital signs", "items": must(&["SYSBP", "DIABP"])}],
        "items": [item("SYSBP"), item("DIABP")],
    })
}

/// The people of a study.
struct Study {
    home: Home,
    doctor: Client,
    monitor: Client,
    manager: Client,
    controller: Client,
}

impl Study {
    async fn live() -> Self {
        let home = Home::new().await;
        let name = "Cardio".parse().expect("valid");
        home.platform.create_study(&acme(), &cardio(), name, Environment::Test).await.expect("created");
        let designer = home.client(Role::StudyDesigner).await;
        let published = designer.post(&format!("{STUDY}/designs"), &design()).await.expect("a good design");
        let open = json!({"type": "open-site", "site": "oslo", "name": "Oslo"});
        designer.post(STUDY, &open).await.expect("a site opens");
        let live = json!({"type": "go-live", "design": published.body["design"]});
        designer.post(STUDY, &live).await.expect("the study goes live");
        let role = async |role| home.client(role).await;
        let (doctor, monitor) = (role(Role::Investigator).await, role(Role::Monitor).await);
        let (manager, controller) = (role(Role::DataManager).await, role(Role::Controller).await);
        Self { home, doctor, monitor, manager, controller }
    }

    /// Somebody with two values at baseline.
    async fn somebody(&self, number: &str) -> String {
        let at = participant(random_id());
        let register = json!({"type": "register", "site": "oslo", "subject_number": number});
        let consent = json!({"type": "give-consent", "version": "1.0"});
        let value = |item: &str, value: &str| json!({"group": "VS", "item": item, "value": value});
        let save = json!({"type": "save-items", "visit": "BASELINE", "form": "VS", "items": [value("SYSBP", "120"), value("DIABP", "80")]});
        for command in [register, consent, save] {
            send(&self.doctor, &at, command).await.expect("done");
        }
        at
    }

    /// Changes the systolic value with a reason.
    async fn change(&self, at: &str, value: &str) -> Result<Reply, ApiError> {
        let casebook = self.doctor.get(&format!("{at}/casebook")).await?.body;
        let tag = format!("\"{}\"", casebook["forms"][0]["tag"]);
        let item = json!({"group": "VS", "item": "SYSBP", "value": value, "reason": "misread"});
        let save = json!({"type": "save-items", "visit": "BASELINE", "form": "VS", "items": [item]});
        let done = self.doctor.command(at, random_id(), Some(&tag), None, &save).await?;
        self.seen(&done).await;
        Ok(done)
    }

    /// Signs the form, with this credential for the signature.
    async fn sign(&self, at: &str, credential: Option<&str>) -> (u16, Value) {
        let body = json!({"type": "sign", "place": form_place(), "meaning": "responsibility"});
        let mut request =
            Http::new().post(format!("{}{at}", self.home.platform.url())).bearer_auth(self.doctor.token()).json(&body);
        if let Some(credential) = credential {
            request = request.header("Lethe-Signer", credential);
        }
        let response = request.send().await.expect("an answer");
        (response.status().as_u16(), response.json().await.expect("JSON"))
    }

    /// Waits until the read models show it.
    async fn seen(&self, reply: &Reply) {
        let position = reply.position.as_ref().expect("a position");
        self.doctor.get(&format!("{STUDY}/queries?min_position={position}")).await.expect("readable");
    }

    async fn send(&self, who: &Client, at: &str, command: Value) -> Reply {
        let told = command.to_string();
        let done = send(who, at, command).await.unwrap_or_else(|error| panic!("{told}: {error}"));
        self.seen(&done).await;
        done
    }

    async fn queries(&self) -> Vec<Value> {
        let list = self.monitor.get(&format!("{STUDY}/queries")).await.expect("readable").body;
        list["items"].as_array().expect("a list").clone()
    }

    async fn signatures(&self, at: &str) -> Vec<Value> {
        let list = self.monitor.get(&format!("{at}/signatures")).await.expect("readable").body;
        list["items"].as_array().expect("a list").clone()
    }
}

fn form_place() -> Value {
    json!({"level": "form", "visit": "BASELINE", "form": "VS"})
}

fn verify() -> Value {
    json!({"type": "verify", "visit": "BASELINE", "form": "VS"})
}

fn complete() -> Value {
    json!({"type": "complete-form", "visit": "BASELINE", "form": "VS"})
}

async fn audited(study: &Study, at: &str, words: &str) -> bool {
    let trail = study.monitor.get(&format!("{at}/audit?limit=1000")).await.expect("readable").body;
    trail.to_string().contains(words)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_asked_answered_and_closed_and_every_word_is_in_the_audit_trail() {
    let study = Study::live().await;
    let at = study.somebody("S-1").await;
    let place = json!({"level": "item", "visit": "BASELINE", "form": "VS", "group": "VS", "item": "SYSBP"});
    let open = json!({"type": "open-query", "place": place, "kind": "source-data", "text": "the source says 130"});
    study.send(&study.monitor, &at, open).await;
    let asked = study.queries().await;
    assert_eq!((asked.len(), &asked[0]["state"], &asked[0]["by"]), (1, &json!("open"), &json!("monitor")));
    let query = asked[0]["query"].clone();
    study.change(&at, "130").await.expect("corrected");
    let answer = json!({"type": "answer-query", "query": query, "text": "corrected, thank you"});
    study.send(&study.doctor, &at, answer).await;
    let close = json!({"type": "close-query", "query": query, "text": "agreed then"});
    let denied = send(&study.doctor, &at, close.clone()).await.expect_err("the site does not close it");
    assert_eq!((denied.status, denied.code.as_str()), (Some(403), "query-of-others"));
    study.send(&study.monitor, &at, close).await;
    study.change(&at, "131").await.expect("changed again");
    let settled = study.queries().await;
    assert_eq!((&settled[0]["state"], &settled[0]["changed_after_close"]), (&json!("closed"), &json!(true)));
    let steps: Vec<_> = settled[0]["thread"].as_array().expect("a thread").iter().map(|said| &said["step"]).collect();
    assert_eq!(steps, ["opened", "answered", "closed", "data-changed"]);
    for words in ["the source says 130", "corrected, thank you", "agreed then"] {
        assert!(audited(&study, &at, words).await, "{words}");
    }
    let none = study.monitor.get(&format!("{STUDY}/queries?state=open")).await.expect("readable").body;
    assert_eq!(none["items"], json!([]));
    study.home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_resets_verification_drops_the_signature_and_a_freeze_refuses_it() {
    let study = Study::live().await;
    let at = study.somebody("S-1").await;
    let own = send(&study.doctor, &at, verify()).await.expect_err("a role that does not verify");
    assert_eq!(own.status, Some(403));
    study.send(&study.monitor, &at, verify()).await;

    for (credential, code) in [
        (None, "reauthentication-required"),
        (Some("Bearer lethe_acme_nonsense"), "reauthentication-failed"),
        (Some(study.monitor.token()), "reauthentication-failed"),
    ] {
        let (status, problem) = study.sign(&at, credential).await;
        assert_eq!((status, problem["code"].as_str()), (403, Some(code)));
    }
    assert_eq!(study.signatures(&at).await, Vec::<Value>::new());
    let (status, signed) = study.sign(&at, Some(study.doctor.token())).await;
    assert_eq!(status, 200, "{signed}");
    let signature = study.signatures(&at).await.remove(0);
    assert_eq!(signature["printed_name"], "somebody in a test");
    assert_eq!(signature["factors"], json!(["token"]));
    assert_eq!((&signature["holds"], &signature["verified"]), (&json!(true), &json!({"digest": true, "chain": true})));

    study.change(&at, "130").await.expect("changed");
    let signature = study.signatures(&at).await.remove(0);
    assert_eq!((&signature["holds"], &signature["to_give_again"]), (&json!(false), &json!(true)));
    assert_eq!(signature["dropped"]["place"]["form"], "VS");
    assert_eq!(signature["verified"], json!({"digest": true, "chain": true}), "it says what was signed then");
    let trail = study.monitor.get(&format!("{at}/audit?limit=1000")).await.expect("readable").body.to_string();
    assert!(trail.contains("verification-reset") && trail.contains("signature-dropped"), "{trail}");

    let freeze = json!({"type": "freeze", "place": form_place(), "reason": "interim look"});
    study.send(&study.manager, &at, freeze).await;
    let refused = study.change(&at, "140").await.expect_err("frozen");
    assert_eq!((refused.status, refused.code.as_str()), (Some(409), "frozen"));
    study.send(&study.monitor, &at, verify()).await;
    let unfreeze = json!({"type": "unfreeze", "place": form_place(), "reason": "look is over"});
    study.send(&study.manager, &at, unfreeze).await;
    study.change(&at, "140").await.expect("changed");
    for words in ["interim look", "look is over"] {
        assert!(audited(&study, &at, words).await, "{words}");
    }
    study.home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_is_locked_once_nothing_hinders_and_then_takes_nothing() {
    let study = Study::live().await;
    let (one, two) = (study.somebody("S-1").await, study.somebody("S-2").await);
    let open = json!({"type": "open-query", "place": {"level": "participant"}, "text": "who entered this?"});
    study.send(&study.manager, &one, open).await;
    let lock = json!({"type": "lock-database"});
    let ask = json!({"type": "ask-database-lock", "reason": "last visit is over"});
    let early = send(&study.manager, STUDY, ask.clone()).await.expect_err("values may still change");
    assert_eq!(early.code, "not-frozen");
    study.send(&study.doctor, &one, complete()).await;
    study.send(&study.doctor, &two, complete()).await;
    study.send(&study.manager, STUDY, json!({"type": "freeze-data"})).await;
    assert_eq!(study.change(&one, "130").await.expect_err("frozen").code, "frozen");
    study.send(&study.manager, STUDY, ask).await;

    let blocked = send(&study.controller, STUDY, lock.clone()).await.expect_err("something hinders");
    assert_eq!((blocked.status, blocked.code.as_str()), (Some(409), "lock-blocked"));
    let told = blocked.to_string();
    assert!(told.contains("1 open-query, 1 unsigned-form, 2 unverified-item"), "{told}");
    let ready = study.manager.get(&format!("{STUDY}/lock-readiness?limit=1")).await.expect("readable").body;
    assert_eq!(ready["by_kind"], json!({"open-query": 1, "unsigned-form": 2, "unverified-item": 4}));
    assert_eq!((&ready["participants"], &ready["ready"]), (&json!(2), &json!(false)));
    assert_eq!(ready["records"].as_array().map(Vec::len), Some(1));
    let rest = format!("{STUDY}/lock-readiness?cursor={}", ready["next"].as_str().expect("there is another one"));
    let rest = study.manager.get(&rest).await.expect("readable").body;
    assert_eq!((rest["records"].as_array().map(Vec::len), &rest["next"]), (Some(1), &Value::Null));

    let query = study.queries().await[0]["query"].clone();
    study.send(&study.manager, &one, json!({"type": "close-query", "query": query})).await;
    let reopen = json!({"type": "reopen-query", "query": query, "text": "or was it?"});
    let refused = send(&study.manager, &one, reopen).await.expect_err("nothing new is opened");
    assert_eq!(refused.code, "database-lock-asked");
    for at in [&one, &two] {
        study.send(&study.monitor, at, verify()).await;
        assert_eq!(study.sign(at, Some(study.doctor.token())).await.0, 200);
    }
    let ready = study.manager.get(&format!("{STUDY}/lock-readiness")).await.expect("readable").body;
    assert_eq!((&ready["ready"], &ready["blockers"]), (&json!(true), &json!(0)), "{ready}");
    study.send(&study.controller, STUDY, lock).await;
    let refused = send(&study.monitor, &one, verify()).await.expect_err("locked");
    assert_eq!((refused.status, refused.code.as_str()), (Some(409), "database-locked"));
    let shown = study.manager.get(STUDY).await.expect("readable").body;
    assert_eq!(shown["database"]["state"], "locked", "{shown}");

    study.send(&study.manager, STUDY, json!({"type": "ask-database-unlock", "reason": "a coding error"})).await;
    let another = study.home.client(Role::Controller).await;
    study.send(&another, STUDY, json!({"type": "unlock-database"})).await;
    assert_eq!(study.change(&one, "130").await.expect_err("still frozen").code, "frozen");
    study.home.stop().await;
}
