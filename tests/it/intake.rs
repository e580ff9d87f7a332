//! Data that comes in by files: what leaves a study comes back, an import that is killed goes on, a dry run tells what the
//! real one does.

mod canonical;
mod rich;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

use domain::ids::Environment;
use domain::permit::Role;
use lethe::cli::Client;
use lethe::platform::{NewToken, random_id};
use serde_json::{Value, json};
use tests::binary::Server;
use tests::home::{Folder, Home, acme};

use canonical::{canonical, with_history};

/// Studies on a served platform, all with the same design, and tokens of roles.
struct Site {
    folder: Folder,
    server: Server,
    tokens: BTreeMap<&'static str, String>,
}

impl Site {
    async fn with(studies: &[&str], design: &Value) -> Self {
        let home = Home::new().await;
        for study in studies {
            let (study, name) = (study.parse().expect("valid"), "A study".parse().expect("valid"));
            home.platform.create_study(&acme(), &study, name, Environment::Test).await.expect("a study");
        }
        let roles = [
            ("designer", Role::StudyDesigner, false),
            ("importer", Role::Integrator, true),
            ("doctor", Role::Investigator, false),
            ("manager", Role::DataManager, false),
        ];
        let mut tokens = BTreeMap::new();
        for (name, role, program) in roles {
            let new = NewToken::new(&acme(), domain::ids::UserId(random_id()), role, name, program);
            tokens.insert(name, home.platform.create_token(new).await.expect("a token"));
        }
        let folder = home.stop().await;
        let server = super::binary().serve(&folder, |_| {});
        let site = Self { folder, server, tokens };
        let designer = site.client("designer");
        for study in studies {
            let at = format!("/v1/studies/{study}");
            designer.post(&format!("{at}/designs"), design).await.expect("a good design");
            let open = json!({"type": "open-site", "site": "oslo", "name": "Oslo"});
            designer.post(&at, &open).await.expect("open");
            let (code, _, err) = site.run("designer", &["study", "go-live", "--study", study]);
            assert_eq!(code, Some(0), "{err}");
        }
        site
    }

    fn client(&self, who: &str) -> Client {
        Client::new(&self.server.url, &self.tokens[who])
    }

    fn command(&self, who: &str, arguments: &[&str]) -> std::process::Command {
        let mut command = super::binary().command(&self.folder);
        command.env("LETHE_TOKEN", &self.tokens[who]).args(arguments);
        command
    }

    fn run(&self, who: &str, arguments: &[&str]) -> (Option<i32>, Value, String) {
        let done = tokio::task::block_in_place(|| self.command(who, arguments).output()).expect("it runs");
        let out = serde_json::from_slice(&done.stdout).unwrap_or(Value::Null);
        (done.status.code(), out, String::from_utf8_lossy(&done.stderr).into_owned())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, content: &str) -> String {
        std::fs::write(self.path(name), content).expect("it can be written");
        self.text_path(name)
    }

    fn text_path(&self, name: &str) -> String {
        self.path(name).to_str().expect("a path").to_owned()
    }

    /// Imports with consent, and gives what it prints. How it ends says whether everything was taken.
    fn import(&self, file: &str, study: &str, more: &[&str]) -> Value {
        let (code, out, err) = self.run("importer", &import_arguments(file, study, more));
        let rows = out["report"]["rows"].as_array();
        let whole = rows.is_some_and(|rows| rows.iter().all(|row| row["severity"] != "refused"));
        assert_eq!(code, Some(if whole { 0 } else { 7 }), "{err}");
        out
    }

    /// The two ODM files of a study.
    fn export(&self, study: &str, history: &str) -> [String; 2] {
        let to = self.path(&format!("{study}-{history}"));
        std::fs::create_dir(&to).expect("a folder");
        let to = to.to_str().expect("a path");
        let export = ["data", "export", "--study", study, "--format", "odm132,odm20", "--history", history, "--to", to];
        let (code, _, err) = self.run(
            "manager",
            &[&export[..], &["--recipient", "Statistics", "--purpose", "A test", "--expires", "30"]].concat(),
        );
        assert_eq!(code, Some(0), "{err}");
        ["odm132", "odm20"].map(|version| format!("{to}/{study}.{version}.xml"))
    }

    /// A position that is after all that was done in a study.
    async fn now(&self, study: &str) -> String {
        static TARGETS: AtomicU32 = AtomicU32::new(1);
        let target = TARGETS.fetch_add(1, Ordering::Relaxed);
        let set = json!({"type": "set-enrolment-target", "site": "oslo", "participants": target, "by": "2030-12-31"});
        let done = self.client("manager").post(&format!("/v1/studies/{study}"), &set).await.expect("a target");
        done.position.expect("a position")
    }

    /// By subject number, the events of each record.
    async fn trails(&self, study: &str) -> BTreeMap<String, Vec<String>> {
        let doctor = self.client("doctor");
        let (at, now) = (format!("/v1/studies/{study}/participants"), self.now(study).await);
        let people = doctor.get(&format!("{at}?limit=1000&min_position={now}")).await.expect("a list").body;
        let mut trails = BTreeMap::new();
        for person in people["items"].as_array().expect("people") {
            let text = |key: &str| person[key].as_str().expect("a text").to_owned();
            let trail = doctor.get(&format!("{at}/{}/audit?limit=1000", text("participant"))).await.expect("a trail");
            let events = trail.body["items"].as_array().expect("entries").iter();
            let events = events.map(|entry| entry["event"].as_str().expect("an event").to_owned()).collect();
            trails.insert(text("subject_number"), events);
        }
        trails
    }
}

fn import_arguments<'a>(file: &'a str, study: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let import = ["data", "import", file, "--study", study, "--consent", "1.0", "--reference", "paper 7", "--json"];
    [&import[..], more].concat()
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("a report");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).expect("a file")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_a_study_comes_back_the_same() {
    let site = Site::with(&["rich", "first", "second"], &rich::design()).await;
    rich::enter(&site.client("doctor"), "/v1/studies/rich").await;
    let original = site.export("rich", "none");
    let whole = site.export("rich", "whole");
    for (study, file) in ["first", "second"].into_iter().zip(&whole) {
        let from = ["--from-study", "rich"];
        let out = site.import(file, study, &[&["--reason", "As in the source", "--strict"], &from[..]].concat());
        let refused: Vec<_> =
            out["report"]["rows"].as_array().expect("rows").iter().filter(|row| row["severity"] == "refused").collect();
        assert_eq!(refused, Vec::<&Value>::new(), "{study}");
        assert_eq!((&out["participants"], &out["new_participants"]), (&json!(3), &json!(3)), "{study}");
        for (n, (one, other)) in original.iter().zip(site.export(study, "none")).enumerate() {
            assert_eq!(canonical(&read(one), "rich"), canonical(&read(&other), study), "{study} {n}");
        }
        for (n, (one, other)) in whole.iter().zip(site.export(study, "whole")).enumerate() {
            assert_eq!(with_history(&read(one), "rich"), with_history(&read(&other), study), "{study} {n}");
        }
    }
    // The importer sees neither identifiers nor blinded values; what it brought itself it may bring again.
    let saves = |trails: BTreeMap<String, Vec<String>>| {
        trails
            .into_iter()
            .map(|(number, events)| (number, events.iter().filter(|event| *event == "items-saved").count()))
    };
    let before: Vec<_> = saves(site.trails("first").await).collect();
    site.import(&whole[0], "first", &["--reason", "As in the source", "--from-study", "rich"]);
    let after: Vec<_> = saves(site.trails("first").await).collect();
    assert_eq!(before, after, "a file that is imported again changes nothing");
    let text = canonical(&read(&original[0]), "rich").join("\n");
    for told in [
        "NOT-DONE",
        "CLEARED",
        "STARTED",
        "MISSED",
        "COMPLETED",
        "REMOVED",
        "WITHDRAWN",
        "COMPUTED",
        "see the letter",
        "2026-0",
    ] {
        assert!(text.contains(told), "{told} was not in the study:\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn real_participants_come_back_the_same() {
    let data = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data"));
    let (design, clinical) = (data.join("odm132_openedc_metadata.xml"), data.join("odm132_openedc_clinicaldata.xml"));
    if !design.exists() || !clinical.exists() {
        eprintln!("skipped: real_participants_come_back_the_same (../shared/data is absent)");
        return;
    }
    let site = Site::with(&[], &Value::Null).await;
    for study in ["one", "two"] {
        let run = |arguments: &[&str]| {
            let mut command = super::binary().command(&site.folder);
            let done = tokio::task::block_in_place(|| {
                command.args(arguments).env("LETHE_TOKEN", &site.tokens["designer"]).output()
            });
            let done = done.expect("it runs");
            assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        };
        run(&["study", "create", study, "--tenant", "acme", "--name", "A study"]);
        run(&["study", "import", design.to_str().expect("a path"), "--study", study]);
        run(&["study", "open-site", "oslo", "--name", "Oslo", "--study", study]);
        run(&["study", "go-live", "--study", study]);
    }
    let out = site.import(clinical.to_str().expect("a path"), "one", &["--from-study", "S.1"]);
    assert_eq!(out["participants"], 90);
    let files = site.export("one", "none");
    let again = site.import(&files[1], "two", &["--from-study", "one"]);
    assert_eq!((&again["participants"], &again["values"]), (&out["participants"], &out["values"]));
    for (one, other) in files.iter().zip(site.export("two", "none")) {
        assert!(canonical(&read(one), "one") == canonical(&read(&other), "two"), "{one} and {other} differ");
    }
    // The faults of the other system's file are named in strict mode, with line and element.
    let strict = ["data", "import", clinical.to_str().expect("a path"), "--study", "two", "--strict"];
    let done = tokio::task::block_in_place(|| site.command("importer", &strict).output()).expect("it runs");
    let said = String::from_utf8_lossy(&done.stdout);
    assert_eq!((done.status.code(), said.lines().count()), (Some(2), 90), "{said}");
    assert!(said.lines().all(|line| line.starts_with("line ") && line.contains("AuditRecord")), "{said}");
}

/// Participants with three values each, in ODM, of a study that the other system calls S.
fn many(count: usize) -> String {
    let one = |n: usize| {
        let item = |oid: &str, value: usize| format!("<ItemData ItemOID=\"{oid}\" Value=\"{value}\"/>\n");
        // Every seventh is absurd enough to be asked about.
        let systolic = if n.is_multiple_of(7) { 250 } else { 120 };
        let items = [item("SYS", systolic), item("DIA", 60 + n % 30), item("HEIGHT", 150 + n % 50)].concat();
        format!(
            "<SubjectData SubjectKey=\"P-{n:04}\"><StudyEventData StudyEventOID=\"BASE\"><FormData FormOID=\"VS\">\n\
             <ItemGroupData ItemGroupOID=\"VS\">\n{items}</ItemGroupData></FormData></StudyEventData></SubjectData>\n"
        )
    };
    let people: String = (0..count).map(one).collect();
    format!(
        "<ODM xmlns=\"http://www.cdisc.org/ns/odm/v1.3\" FileType=\"Snapshot\" FileOID=\"C\" \
         CreationDateTime=\"2026-01-02T03:04:05Z\" ODMVersion=\"1.3.2\">\n<ClinicalData StudyOID=\"S\" \
         MetaDataVersionOID=\"1\">\n{people}</ClinicalData></ODM>\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_killed_goes_on_and_doubles_nothing() {
    let site = Site::with(&["killed", "whole"], &rich::design()).await;
    let file = site.file("many.xml", &many(200));
    let report = site.text_path("killed.ndjson");
    let progress = site.path("killed.ndjson.progress");
    let done = || -> u64 {
        let text = std::fs::read(&progress).unwrap_or_default();
        serde_json::from_slice::<Value>(&text).map_or(0, |kept| kept["records"].as_u64().unwrap_or_default())
    };
    let more = ["--from-study", "S", "--report", report.as_str()];
    let mut child = site
        .command("importer", &import_arguments(&file, "killed", &more))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    while done() < 24 {
        assert_eq!(child.try_wait().expect("it is ours"), None, "it ended before it could be killed");
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    child.kill().expect("it is ours");
    child.wait().expect("it is ours");
    let before = done();
    assert!((24..200).contains(&before), "it was killed in the middle: {before}");

    let again = import_arguments(&file, "killed", &more);
    assert_eq!(site.run("importer", &again).0, Some(3), "a report is not written over");
    let other = site.file("other.xml", &many(3));
    let resume = [&more[..], &["--resume"]].concat();
    assert_eq!(site.run("importer", &import_arguments(&other, "killed", &resume)).0, Some(3), "another file");
    assert_eq!(site.run("importer", &import_arguments(&file, "whole", &resume)).0, Some(3), "another study");
    let out = site.import(&file, "killed", &resume);
    let counts =
        |out: &Value| ["participants", "new_participants", "saved", "unchanged", "queries"].map(|key| out[key].clone());
    assert_eq!(counts(&out), [200, 200, 600, 0, 29].map(|n| json!(n)), "{out}");
    assert_eq!(site.run("importer", &import_arguments(&file, "killed", &resume)).0, Some(3), "it was finished");

    let straight = site.text_path("whole.ndjson");
    let whole = site.import(&file, "whole", &["--from-study", "S", "--report", &straight]);
    assert_eq!(counts(&whole), counts(&out));
    assert_eq!(lines(&site.path("killed.ndjson")), lines(&site.path("whole.ndjson")));
    assert_eq!(site.trails("killed").await, site.trails("whole").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_another_study_comes_in_only_if_that_is_said() {
    let site = Site::with(&["stranger"], &rich::design()).await;
    let file = site.file("two.xml", &many(2));
    let report = site.text_path("two.ndjson");
    for (more, code) in [(&["--report", &report][..], 2), (&["--from-study", "T"], 2), (&["--from-study", "S"], 0)] {
        let (ended, out, err) = site.run("importer", &import_arguments(&file, "stranger", more));
        assert_eq!(ended, Some(code), "{more:?}: {out} {err}");
        assert!(code == 0 || err.contains("of the study S") && err.contains("--from-study"), "{err}");
        let there = site.trails("stranger").await.len();
        assert_eq!(there, if code == 0 { 2 } else { 0 }, "{more:?}");
        assert!(!Path::new(&report).exists(), "nothing was begun");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_what_the_import_does() {
    let site = Site::with(&["dry"], &rich::design()).await;
    let doctor = site.client("doctor");
    rich::somebody(&doctor, "/v1/studies/dry", "KNOWN").await;
    let file = site.file("changes.xml", &rich::changes());
    let (tried, real) = (site.text_path("tried.ndjson"), site.text_path("real.ndjson"));
    let before = site.trails("dry").await;
    let dry = site.import(&file, "dry", &["--from-study", "S", "--dry-run", "--report", &tried]);
    assert_eq!(site.trails("dry").await, before, "a dry run writes nothing");
    let done = site.import(&file, "dry", &["--from-study", "S", "--report", &real]);
    assert_eq!((&dry["dry_run"], &done["dry_run"]), (&json!(true), &json!(false)));
    assert_eq!(dry["report"], done["report"]);
    assert_eq!(lines(&site.path("tried.ndjson")), lines(&site.path("real.ndjson")));
    let short = |line: &Value| {
        let text = |key: &str| line[key].as_str().unwrap_or("-").to_owned();
        format!("{} {} {} {}", text("element"), text("oid"), text("outcome"), text("rule"))
    };
    let report = lines(&site.path("real.ndjson"));
    assert_eq!(report.iter().map(short).collect::<Vec<_>>(), rich::became(), "{report:#?}");
    let asked: Vec<_> = report.iter().filter(|line| line["queries"] == 1).map(|line| line["oid"].clone()).collect();
    assert_eq!(asked, ["SYS"], "what a soft check finds is saved and asked about");
    let all = std::fs::read_to_string(&real).expect("a report");
    assert!(!all.contains("260") && !all.contains("KNOWN"), "no value, no subject number: {all}");
    let trail = site.trails("dry").await;
    let refused = trail["NEW"].iter().filter(|event| *event == "check-fired").count();
    assert_eq!(refused, 2, "what a hard check refused is on record, and what a soft one found: {trail:?}");
    let hidden = ["data", "import", &file, "--study", "dry", "--from-study", "S", "--json"];
    let hidden = site.run("importer", &hidden);
    assert_eq!((hidden.0, hidden.1["refused"].as_u64() > Some(0)), (Some(7), true), "{}", hidden.2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_comes_in_by_its_mapping() {
    let site = Site::with(&["table"], &rich::design()).await;
    let mapping = site.file("map.json", &rich::mapping().to_string());
    let table = "who;where;day;sys;dia;note\nT-1;1;05.01.2026;250;80;\nT-1;1;;120;ND;\nT-2;1;06.01.2026;1200;70;\n\
                 T-3;2;06.01.2026;120;70;\nT-2;1;06.01.2026;abc;70;x\nT-2;1;06.01.2026;130;70;\n";
    let file = site.file("table.csv", table);
    let report = site.text_path("table.ndjson");
    let out = site.import(&file, "table", &["--mapping", &mapping, "--report", &report, "--reason", "Read again"]);
    let short = |line: &Value| {
        let text = |key: &str| line[key].as_str().unwrap_or("-").to_owned();
        format!("{} {} {} {}", line["line"], text("column"), text("outcome"), text("rule"))
    };
    let report = lines(&site.path("table.ndjson"));
    let expected = [
        "5 where refused no-such-code",
        // The values, then the day of the visit.
        "2 sys saved -",
        "2 dia saved -",
        "2 - saved -",
        "3 sys saved -",
        "3 dia saved -",
        "4 sys refused hard-check",
        "4 - refused form",
        "4 - note registered",
        "6 sys refused hard-check",
        "6 - refused form",
        "7 sys saved -",
        "7 dia saved -",
        "7 - saved -",
    ];
    assert_eq!(report.iter().map(short).collect::<Vec<_>>(), expected, "{report:#?}");
    assert_eq!((&out["participants"], &out["saved"], &out["queries"]), (&json!(2), &json!(6), &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_file_tries_against_a_rule_of_an_item_is_on_record_and_a_dry_run_leaves_nothing() {
    let site = Site::with(&["tried"], &rich::design()).await;
    let odm = |number: &str, form: &str, items: &[(&str, &str)]| {
        let item = |(oid, value): &(&str, &str)| format!("<ItemData ItemOID=\"{oid}\" Value=\"{value}\"/>\n");
        let items: String = items.iter().map(item).collect();
        format!(
            "<SubjectData SubjectKey=\"{number}\"><StudyEventData StudyEventOID=\"BASE\"><FormData FormOID=\"{form}\">\n\
             <ItemGroupData ItemGroupOID=\"{form}\">\n{items}</ItemGroupData></FormData></StudyEventData></SubjectData>\n"
        )
    };
    let people = [
        odm("A-1", "AE", &[("TERM", "a fall"), ("GRADE", "9")]),
        // An item that is not there is left out before anything is sent, and does not hide the attempt beside it.
        odm("A-2", "VS", &[("SYS", "high"), ("DIA", "80"), ("UNHEARD", "1")]),
    ];
    let file =
        site.file("tried.xml", &many(0).replace("</ClinicalData>", &format!("{}</ClinicalData>", people.concat())));
    let (tried, real) = (site.text_path("tried.ndjson"), site.text_path("real.ndjson"));
    site.import(&file, "tried", &["--from-study", "S", "--dry-run", "--report", &tried]);
    assert_eq!(site.trails("tried").await, BTreeMap::new(), "a dry run leaves nothing");
    site.import(&file, "tried", &["--from-study", "S", "--report", &real]);
    assert_eq!(lines(&site.path("tried.ndjson")), lines(&site.path("real.ndjson")));
    let short = |line: &Value| {
        let text = |key: &str| line[key].as_str().unwrap_or("-").to_owned();
        format!("{} {} {}", text("oid"), text("outcome"), text("rule"))
    };
    let report = lines(&site.path("real.ndjson"));
    let expected =
        ["GRADE refused hard-check", "TERM saved -", "UNHEARD refused item", "SYS refused hard-check", "DIA saved -"];
    assert_eq!(report.iter().map(short).collect::<Vec<_>>(), expected, "{report:#?}");
    assert!(report.iter().all(|line| line["line"].is_u64()), "each with its line: {report:#?}");
    let told = std::fs::read_to_string(&real).expect("a report");
    assert!(told.contains("code-list:GRADE") && told.contains("type:SYS"), "{told}");
    let trails = site.trails("tried").await;
    for number in ["A-1", "A-2"] {
        let fired = trails[number].iter().filter(|event| *event == "check-fired").count();
        assert_eq!(fired, 1, "each attempt once: {trails:?}");
    }
    // A row of a table is taken whole or not at all; what was wrong with it is on record all the same.
    let mapping = site.file("map.json", &rich::mapping().to_string());
    let table = site.file("table.csv", "who;where;day;sys;dia;note\nA-3;1;05.01.2026;abc;80;\n");
    site.import(&table, "tried", &["--mapping", &mapping]);
    let trails = site.trails("tried").await;
    assert_eq!(trails["A-3"].iter().filter(|event| *event == "check-fired").count(), 1, "{trails:?}");
    assert!(!trails["A-3"].iter().any(|event| event == "items-saved"), "{trails:?}");
}
