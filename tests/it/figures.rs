//! The figures of a small study over HTTP, each known by hand; as of now, of an earlier position and an earlier time.

use domain::ids::Environment;
use domain::permit::Role;
use domain::{Day, Moment};
use lethe::cli::{Client, Reply};
use lethe::platform::random_id;
use serde_json::{Value, json};
use tests::api::{participant, send};
use tests::home::{Home, acme, cardio};

const STUDY: &str = "/v1/studies/cardio-1";

/// Baseline has a window from the day of registration, the week after one from baseline.
fn design() -> Value {
    let item = |oid: &str| json!({"oid": oid, "name": oid, "data_type": "integer"});
    let must = |oids: &[&str]| oids.iter().map(|oid| json!({"oid": oid, "mandatory": true})).collect::<Value>();
    json!({
        "name": "Cardio", "version": "1",
        "visits": [
            {"oid": "BASELINE", "name": "Baseline", "window": {"days": 0, "early": 30, "late": 30}, "forms": must(&["VS", "LAB"])},
            {"oid": "WEEK1", "name": "Week 1", "window": {"after": "BASELINE", "days": 7, "early": 1, "late": 1}, "forms": must(&["VS"])},
        ],
        "forms": [
            {"oid": "VS", "name": "Vital signs", "sdv": "all", "signature": true, "item_groups": must(&["VS"])},
            {"oid": "LAB", "name": "Laboratory", "item_groups": must(&["VS"])},
        ],
        "item_groups": [{"oid": "VS", "name": "Vital signs", "items": must(&["SYSBP", "DIABP"])}],
        "items": [item("SYSBP"), item("DIABP")],
    })
}

/// A study with two sites and the people who look at it.
struct Study {
    home: Home,
    doctor: Client,
    monitor: Client,
    manager: Client,
    viewer: Client,
    /// When the study was created, by the server's clock.
    created: Moment,
}

impl Study {
    async fn live() -> Self {
        let home = Home::new().await;
        let name = "Cardio".parse().expect("valid");
        home.platform.create_study(&acme(), &cardio(), name, Environment::Test).await.expect("created");
        let designer = home.client(Role::StudyDesigner).await;
        let published = designer.post(&format!("{STUDY}/designs"), &design()).await.expect("a good design");
        for (site, name) in [("oslo", "Oslo"), ("bergen", "Bergen")] {
            let open = json!({"type": "open-site", "site": site, "name": name});
            designer.post(STUDY, &open).await.expect("a site opens");
        }
        let live = json!({"type": "go-live", "design": published.body["design"]});
        designer.post(STUDY, &live).await.expect("the study goes live");
        let known = designer.get(STUDY).await.expect("readable").body["created"]["stored_at"].clone();
        let created: Moment = serde_json::from_value(known).expect("a time");
        let by = Day(created.0.date());
        let target = json!({"type": "set-enrolment-target", "site": "oslo", "participants": 4, "by": by});
        designer.post(STUDY, &target).await.expect("a target");
        let role = async |role| home.client(role).await;
        let (doctor, monitor) = (role(Role::Investigator).await, role(Role::Monitor).await);
        let (manager, viewer) = (role(Role::DataManager).await, role(Role::SponsorViewer).await);
        Self { home, doctor, monitor, manager, viewer, created }
    }

    fn day(&self, days_ago: usize) -> Value {
        let mut days = std::iter::successors(Some(self.created.0.date()), |day| day.previous_day());
        json!(Day(days.nth(days_ago).expect("a day")))
    }

    async fn somebody(&self, site: &str, number: &str) -> (uuid::Uuid, String) {
        let id = random_id();
        let at = participant(id);
        let register = json!({"type": "register", "site": site, "subject_number": number});
        send(&self.doctor, &at, register).await.expect("registered");
        (id, at)
    }

    async fn enrolled(&self, site: &str, number: &str, days_ago: usize) -> (uuid::Uuid, String) {
        let (id, at) = self.somebody(site, number).await;
        send(&self.doctor, &at, json!({"type": "give-consent", "version": "1.0"})).await.expect("consented");
        let on = self.day(days_ago);
        let start = json!({"type": "start-visit", "visit": "BASELINE", "on": on});
        send(&self.doctor, &at, start).await.expect("a visit");
        (id, at)
    }

    async fn save(&self, at: &str, items: &[(&str, &str)]) -> Reply {
        let items: Vec<_> =
            items.iter().map(|(item, value)| json!({"group": "VS", "item": item, "value": value})).collect();
        let save = json!({"type": "save-items", "visit": "BASELINE", "form": "VS", "items": items});
        send(&self.doctor, at, save).await.expect("saved")
    }

    async fn figure(&self, who: &Client, path: &str, since: &Reply) -> Value {
        let joint = if path.contains('?') { '&' } else { '?' };
        let position = since.position.as_ref().expect("a position");
        let path = format!("{STUDY}/figures/{path}{joint}min_position={position}");
        who.get(&path).await.unwrap_or_else(|error| panic!("{path}: {error}")).body
    }
}

/// What a figure says of these names, in order.
fn line(counts: &Value, names: &[&str]) -> Vec<u64> {
    names.iter().map(|name| counts[name].as_u64().unwrap_or_else(|| panic!("{name}: {counts}"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_figure_of_a_small_study_is_as_counted_by_hand() {
    let study = Study::live().await;
    // The first was seen twelve days ago: one of two values, verified; one query, answered.
    let (first, at) = study.enrolled("oslo", "S-1", 12).await;
    study.save(&at, &[("SYSBP", "120")]).await;
    // The second was seen today. The third left before consent.
    let (second, _) = study.enrolled("oslo", "S-2", 0).await;
    let (_, third) = study.somebody("bergen", "S-3").await;
    send(&study.doctor, &third, json!({"type": "withdraw"})).await.expect("left");
    let verify = json!({"type": "verify", "visit": "BASELINE", "form": "VS"});
    send(&study.monitor, &at, verify).await.expect("verified");
    let place = json!({"level": "item", "visit": "BASELINE", "form": "VS", "group": "VS", "item": "SYSBP"});
    let open = json!({"type": "open-query", "place": place, "text": "really?"});
    let before = send(&study.monitor, &at, open).await.expect("asked");

    let enrolment = study.figure(&study.viewer, "enrolment", &before).await;
    let funnel = ["screened", "consented", "failed", "enrolled", "randomised", "completed", "withdrawn"];
    assert_eq!(line(&enrolment["total"], &funnel), [3, 2, 1, 2, 0, 0, 0]);
    assert_eq!(line(&enrolment["sites"][1]["total"], &funnel), [2, 2, 0, 2, 0, 0, 0]);
    assert_eq!((&enrolment["target"], &enrolment["due"]), (&json!(4), &json!(4)), "all of it by today");

    let visits = study.figure(&study.monitor, "visits", &before).await;
    let standing = ["planned", "upcoming", "due", "overdue", "in_window", "out_of_window"];
    assert_eq!(line(&visits["total"], &standing), [4, 1, 0, 1, 2, 0], "{visits}");
    let listed = &visits["participants"][0];
    assert_eq!((&listed["participant"], &listed["visits"][0]["visit"]), (&json!(first), &json!("WEEK1")));
    assert_eq!(listed["visits"][0]["until"], study.day(4), "8 days after baseline");
    assert_eq!(study.figure(&study.viewer, "visits", &before).await["participants"], Value::Null, "counts only");

    let completeness = study.figure(&study.viewer, "completeness", &before).await;
    let forms = ["expected", "not_started", "in_progress", "complete", "not_applicable", "missing_items"];
    assert_eq!(line(&completeness["total"], &forms), [4, 3, 1, 0, 0, 1]);

    let lag = study.figure(&study.viewer, "entry-lag", &before).await;
    assert_eq!(lag["total"], json!({"visits": 1, "unknown": 0, "undated": 0, "waiting": 1, "median_days": 12.0}));
    let bergen = json!({"site": "bergen", "visits": 0, "unknown": 0, "undated": 0, "waiting": 0, "median_days": null});
    assert_eq!(lag["sites"][0], bergen, "a site of which nothing can be said is there");

    let verified = study.figure(&study.viewer, "verification", &before).await;
    let sdv = ["required", "verified", "backlog", "to_verify_again"];
    assert_eq!(line(&verified["total"], &sdv), [1, 1, 0, 0]);

    let queries = study.figure(&study.manager, "queries?site=oslo", &before).await;
    assert_eq!(line(&queries["total"], &["asked", "open", "answered", "closed", "items"]), [1, 1, 0, 0, 1]);
    assert_eq!((&queries["total"]["ages"]["0-7"], &queries["total"]["per_100_items"]), (&json!(1), &json!(100.0)));

    let lock = study.figure(&study.manager, "lock-readiness", &before).await;
    let kinds = json!({"open-query": 1, "visit-not-started": 2, "form-not-started": 3, "form-not-complete": 1,
        "missing-item": 1, "unsigned-form": 1});
    assert_eq!((&lock["total"]["by_kind"], &lock["total"]["ready"]), (&kinds, &json!(1)));
    let asked = study.manager.get(&format!("{STUDY}/lock-readiness")).await.expect("readable").body;
    assert_eq!(lock["total"]["by_kind"], asked["by_kind"], "as the lock itself finds");

    let signatures = study.figure(&study.manager, "signatures", &before).await;
    let signed = ["forms", "signed", "to_sign", "to_sign_again", "to_give_again"];
    assert_eq!(line(&signatures["total"], &signed), [1, 0, 1, 0, 0]);

    // One participant a page, in the order of ids.
    let mut cursor = String::new();
    let mut named = Vec::new();
    loop {
        let page = study.figure(&study.manager, &format!("lock-readiness?limit=1{cursor}"), &before).await;
        named.extend(page["participants"].as_array().expect("a list").iter().map(|one| one["participant"].clone()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let mut both = [first, second];
    both.sort();
    assert_eq!(named, both.map(|id| json!(id)));
    study.home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_figure_of_before_stays_as_it_was() {
    let study = Study::live().await;
    let (_, at) = study.enrolled("oslo", "S-1", 3).await;
    let before = study.save(&at, &[("SYSBP", "120")]).await;
    let then = study.figure(&study.monitor, "completeness", &before).await;
    let position = then["as_of"]["position"].as_str().expect("a position").to_owned();
    let time = then["as_of"]["time"].as_str().expect("a time").to_owned();
    assert_eq!(Some(&position), before.position.as_ref(), "the last commit that counts");

    let casebook = study.doctor.get(&format!("{at}/casebook?min_position={position}")).await.expect("readable").body;
    let tag = format!("\"{}\"", casebook["forms"][0]["tag"]);
    let more = json!({"type": "save-items", "visit": "BASELINE", "form": "VS", "items": [{"group": "VS", "item": "DIABP", "value": "80"}]});
    study.doctor.command(&at, random_id(), Some(&tag), None, &more).await.expect("saved");
    let complete = json!({"type": "complete-form", "visit": "BASELINE", "form": "VS"});
    send(&study.doctor, &at, complete).await.expect("completed");
    let (_, second) = study.somebody("oslo", "S-2").await;
    let last =
        send(&study.doctor, &second, json!({"type": "give-consent", "version": "1.0"})).await.expect("consented");

    let forms = ["expected", "not_started", "in_progress", "complete", "not_applicable", "missing_items"];
    let now = study.figure(&study.monitor, "completeness", &last).await;
    assert_eq!(line(&now["total"], &forms), [2, 1, 0, 1, 0, 0]);
    for earlier in [format!("as_of_position={position}"), format!("as_of={time}")] {
        let figure = study.figure(&study.monitor, &format!("completeness?{earlier}"), &last).await;
        assert_eq!((&figure["total"], &figure["sites"]), (&then["total"], &then["sites"]), "{earlier}");
    }
    for (query, registered) in [(String::new(), 2), (format!("&as_of_position={position}"), 1)] {
        let path = format!("{STUDY}/overview?min_position={}{query}", last.position.as_ref().expect("a position"));
        let overview = study.viewer.get(&path).await.expect("readable").body;
        assert_eq!(overview["total"]["registered"], registered, "{path}");
    }
    refusals(&study, &position, &time).await;
    study.home.stop().await;
}

/// What cannot be asked for.
async fn refusals(study: &Study, position: &str, time: &str) {
    let tomorrow = study.created.0.replace_date(study.created.0.date().next_day().expect("a day"));
    let tomorrow = json!(Moment(tomorrow));
    let tomorrow = tomorrow.as_str().expect("a time");
    for (query, code) in [
        (format!("as_of={time}&as_of_position={position}"), "as-of-twice"),
        (format!("as_of={tomorrow}"), "as-of-future"),
        ("as_of=yesterday".to_owned(), "invalid-time"),
        ("as_of_position=yesterday".to_owned(), "invalid-position"),
        ("as_of_position=_:1:1".to_owned(), "unknown-position"),
        (format!("as_of_position={}:9999", position.rsplit_once(':').expect("a position").0), "position-ahead"),
        ("limit=0".to_owned(), "invalid-limit"),
    ] {
        let refused = study.monitor.get(&format!("{STUDY}/figures/visits?{query}")).await.expect_err("refused");
        assert_eq!((refused.status, refused.code.as_str()), (Some(400), code), "{query}");
        let own = !query.starts_with("as_of_position") || refused.to_string().contains("as_of_position");
        assert!(own, "it names the parameter: {refused}");
    }
    let today = time.split_once('T').expect("a time").0;
    study.monitor.get(&format!("{STUDY}/figures/visits?as_of={today}")).await.expect("a day is a moment");
    let missing = study.monitor.get(&format!("{STUDY}/figures/visits?site=nosite")).await.expect_err("no such site");
    assert_eq!((missing.status, missing.code.as_str()), (Some(404), "no-such-site"));
    let dpo = study.home.client(Role::Dpo).await;
    let denied = dpo.get(&format!("{STUDY}/figures/visits")).await.expect_err("not for this role");
    assert_eq!((denied.status, denied.code.as_str()), (Some(403), "forbidden"));
}
