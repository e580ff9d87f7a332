//! Real studies, imported through the command line. Needs ../shared/data, and says so where it is absent.

use std::path::PathBuf;

use domain::ids::Environment;
use domain::permit::Role;
use lethe::cli::Client;
use lethe::platform::{NewToken, random_id};
use serde_json::{Value, json};
use tests::binary::Server;
use tests::home::{Folder, Home, acme};

fn shared(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data")).join(name);
    if path.exists() {
        Some(path)
    } else {
        eprintln!("skipped: ../shared/data/{name} is absent");
        None
    }
}

/// Two studies to import into, served, with a token for each role.
async fn prepared() -> (Folder, Server, [String; 3]) {
    let home = Home::new().await;
    for study in ["ces", "openedc"] {
        let (study, name) = (study.parse().expect("valid"), "An import".parse().expect("valid"));
        home.platform.create_study(&acme(), &study, name, Environment::Test).await.expect("a study");
    }
    let mut tokens = Vec::new();
    for role in [Role::StudyDesigner, Role::Integrator, Role::Investigator] {
        let new = NewToken::new(&acme(), domain::ids::UserId(random_id()), role, "importer", role == Role::Integrator);
        tokens.push(home.platform.create_token(new).await.expect("a token"));
    }
    let folder = home.stop().await;
    let server = super::binary().serve(&folder, |_| {});
    (folder, server, tokens.try_into().expect("three"))
}

fn run(folder: &Folder, token: &str, arguments: &[&str]) -> (Option<i32>, Value, String) {
    let mut command = super::binary().command(folder);
    let done = command.env("LETHE_TOKEN", token).args(arguments).output().expect("it runs");
    let out = serde_json::from_slice(&done.stdout).unwrap_or(Value::Null);
    (done.status.code(), out, String::from_utf8_lossy(&done.stderr).into_owned())
}

/// The design with a soft check more: its own ranges hold, and what is absurd in the data was computed elsewhere.
fn with_a_range_for_bmi(folder: &Folder, design: &std::path::Path) -> PathBuf {
    let text = std::fs::read_to_string(design).expect("a file");
    let item = text.find("<ItemDef OID=\"BMI\"").expect("the item is there");
    let end = item + text[item..].find("</ItemDef>").expect("it ends");
    let check = |comparator: &str, limit: &str| {
        format!(
            r#"<RangeCheck Comparator="{comparator}" SoftHard="Soft"><CheckValue>{limit}</CheckValue></RangeCheck>"#
        )
    };
    let checks = [check("GE", "10"), check("LE", "100")].concat();
    let path = folder.path().join("openedc.xml");
    std::fs::write(&path, format!("{}{checks}{}", &text[..end], &text[end..])).expect("it can be written");
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn real_designs_and_the_ninety_participants_of_one_are_imported() {
    let (Some(ces), Some(openedc), Some(clinical)) = (
        shared("odm132_study_ces_metadata.xml"),
        shared("odm132_openedc_metadata.xml"),
        shared("odm132_openedc_clinicaldata.xml"),
    ) else {
        return;
    };
    let (folder, server, [designer, integrator, investigator]) = prepared().await;
    let openedc = with_a_range_for_bmi(&folder, &openedc);
    for (file, study, expressions) in [(&ces, "ces", 13), (&openedc, "openedc", 7)] {
        let (code, out, err) =
            run(&folder, &designer, &["study", "import", file.to_str().expect("a path"), "--study", study, "--json"]);
        assert_eq!(code, Some(0), "{err}");
        let rows = out["report"]["rows"].as_array().expect("rows");
        let not_executed =
            rows.iter().filter(|row| row["what"].as_str().is_some_and(|what| what.contains("not executed"))).count();
        assert!(not_executed >= expressions, "{not_executed}: {rows:?}");
    }
    let designs = Client::new(&server.url, &designer);
    designs
        .post("/v1/studies/openedc", &json!({"type": "open-site", "site": "muenster", "name": "Münster"}))
        .await
        .expect("open");
    let (code, _, err) = run(&folder, &designer, &["study", "go-live", "--study", "openedc"]);
    assert_eq!(code, Some(0), "{err}");

    let import = [
        "data",
        "import",
        clinical.to_str().expect("a path"),
        "--study",
        "openedc",
        "--from-study",
        "S.1",
        "--consent",
        "1.0",
        "--reference",
        "paper archive 7",
        "--json",
    ];
    let (code, out, err) = run(&folder, &integrator, &import);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(out["participants"], 90);
    let (saved, refused) = (
        out["values"].as_u64().expect("a number"),
        out["report"]["rows"].as_array().expect("rows").iter().filter(|row| row["severity"] == "refused").count()
            as u64,
    );
    assert!(
        saved > 1500 && saved + refused >= 1684,
        "every value is saved or its refusal is reported: {saved} + {refused}"
    );
    let reader = Client::new(&server.url, &investigator);
    let position = out["position"].as_str().expect("a position");
    let overview = reader.get(&format!("/v1/studies/openedc/overview?min_position={position}")).await;
    let overview = overview.expect("counts").body;
    assert_eq!((&overview["total"]["registered"], &overview["total"]["consented"]), (&json!(90), &json!(90)));
    let first = reader.get("/v1/studies/openedc/participants?limit=1").await.expect("a list").body["items"][0].clone();
    let at = format!("/v1/studies/openedc/participants/{}", first["participant"].as_str().expect("an id"));
    let audit = reader.get(&format!("{at}/audit")).await.expect("a trail").body.to_string();
    assert!(audit.contains("paper archive 7"), "under which consent it was taken is in the audit trail");
    let casebook = reader.get(&format!("{at}/casebook")).await.expect("a casebook").body.to_string();
    assert!(casebook.contains("49.20059"), "values are exactly as captured: {casebook}");

    let people = reader.get("/v1/studies/openedc/participants?limit=100").await.expect("a list").body;
    let mut fired = 0;
    for person in people["items"].as_array().expect("people") {
        let at = format!("/v1/studies/openedc/participants/{}", person["participant"].as_str().expect("an id"));
        let trail = reader.get(&format!("{at}/audit?limit=1000")).await.expect("a trail").body.to_string();
        fired += trail.matches("range:BMI:").count();
    }
    assert!(fired > 20, "absurd values are saved and asked about: {fired}");

    exported(&folder, &investigator, saved);

    // Again: the same people, nothing twice.
    let (code, out, err) = run(&folder, &integrator, &import);
    assert_eq!((code, &out["participants"]), (Some(0), &json!(90)), "{err}");
    let again = reader.get("/v1/studies/openedc/overview").await.expect("counts").body;
    assert_eq!(overview["total"], again["total"]);
    assert_eq!(audit, reader.get(&format!("{at}/audit")).await.expect("a trail").body.to_string());
}

/// Every value that was saved leaves again, in a file of rows and in one with its history and what is asked about it.
fn exported(folder: &Folder, token: &str, saved: u64) {
    let out = folder.path().join("exports");
    std::fs::create_dir(&out).expect("a folder");
    let to = out.to_str().expect("a path");
    let export = ["data", "export", "--study", "openedc", "--format", "odm20,csv", "--history", "whole", "--to", to]
        .into_iter()
        .chain(["--recipient", "Statistics", "--purpose", "A test", "--expires", "7"])
        .collect::<Vec<_>>();
    let (code, _, err) = run(folder, token, &export);
    assert_eq!(code, Some(0), "{err}");
    let read = |name: &str| std::fs::read_to_string(out.join(name)).expect("a file");
    let manifest: Value = serde_json::from_str(&read("openedc.manifest.json")).expect("a manifest");
    let counts = &manifest["counts"];
    assert_eq!(
        (&counts["participants"], &counts["values"], &counts["changes"]),
        (&json!(90), &json!(saved), &json!(saved))
    );
    let queries = counts["queries"].as_u64().expect("a number");
    assert!(queries > 20, "absurd values are asked about: {counts}");
    let odm = read("openedc.odm20.xml");
    assert_eq!(odm.matches("<Query ").count() as u64, queries);
    let values = odm.matches("<Value").count() as u64;
    assert_eq!(values, saved + queries, "a query has one too; no value was changed, so each is there once");
    let tables = manifest["files"].as_array().expect("files").iter().filter(|file| file["media_type"] == "text/csv");
    let rows: usize = tables.map(|file| read(file["name"].as_str().expect("a name")).lines().count() - 1).sum();
    assert!(rows > 90, "{rows}");
    let (code, _, err) = run(folder, token, &export);
    assert_eq!(code, Some(3), "no file is written over: {err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_read_whole_changes_nothing() {
    let (folder, server, [designer, _, _]) = prepared().await;
    let good = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/vital-signs.odm.xml"))
        .expect("an example");
    let files = [
        ("not-odm.xml", "<html><body/></html>".to_owned(), "not an ODM"),
        ("not-xml.txt", "hello".to_owned(), ""),
        ("cut.xml", good[..good.len() / 2].to_owned(), "cut off"),
        ("large.xml", format!("{}<!--{}-->", &good[..200], "x".repeat(100 * 1024 * 1024)), ""),
    ];
    for (name, content, what) in files {
        let file = folder.path().join(name);
        std::fs::write(&file, content).expect("a file");
        let (code, out, err) =
            run(&folder, &designer, &["study", "import", file.to_str().expect("a path"), "--study", "ces", "--json"]);
        assert_eq!((code, out), (Some(2), Value::Null), "{name}: {err}");
        assert!(err.contains(name) && err.contains(what) && err.contains("Nothing was changed"), "{err}");
    }
    let study = Client::new(&server.url, &designer).get("/v1/studies/ces").await.expect("a study").body;
    assert_eq!(study["designs"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_is_read_compared_and_published_from_the_command_line() {
    let (folder, server, [designer, _, _]) = prepared().await;
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/vital-signs.odm.xml");
    let changed = folder.path().join("changed.xml");
    let text = std::fs::read_to_string(example).expect("an example");
    let text = text.replace("<MetaDataVersion OID=\"V1\"", "<MetaDataVersion OID=\"V2\"");
    std::fs::write(&changed, text.replace("Pulse, beats a minute", "Pulse")).expect("a file");
    let changed = changed.to_str().expect("a path");
    let import = |file: &str, more: &[&str]| {
        let arguments = [&["study", "import", file, "--strict", "--study", "ces", "--json"], more].concat();
        let (code, out, err) = run(&folder, &designer, &arguments);
        assert_eq!(code, Some(0), "{err}");
        out
    };
    let first = import(example, &[]);
    let draft = import(changed, &["--draft"]);
    assert_eq!((&first["state"], &draft["state"]), (&json!("published"), &json!("draft")));
    assert_eq!((&draft["faults"], &draft["report"]["rows"]), (&json!([]), &json!([])));
    let hash = draft["design"].as_str().expect("a hash");
    let api = Client::new(&server.url, &designer);
    let study = async |after: &Value| {
        let position = after["position"].as_str().expect("a position");
        api.get(&format!("/v1/studies/ces?min_position={position}")).await.expect("a study").body
    };
    let shown = study(&draft).await;
    assert_eq!((&shown["drafts"][0]["design"], &shown["drafts"][0]["version"]), (&json!(hash), &json!("V2")));
    let (code, _, err) = run(&folder, &designer, &["study", "export", "--study", "ces", "--design", hash]);
    assert_eq!(code, Some(0), "a draft is written as ODM: {err}");
    let compare = ["study", "diff", first["design"].as_str().expect("a hash"), hash, "--study", "ces", "--json"];
    let (_, difference, err) = run(&folder, &designer, &compare);
    assert!(difference.to_string().contains("PULSE"), "{difference} {err}");
    let (code, _, err) = run(&folder, &designer, &["study", "publish", hash, "--study", "ces"]);
    assert_eq!(code, Some(0), "{err}");
    let again = json!({"type": "publish-draft", "design": hash});
    let shown = study(&api.post("/v1/studies/ces", &again).await.expect("it is so already").body).await;
    assert_eq!((&shown["drafts"], &shown["designs"][1]["design"]), (&json!([]), &json!(hash)));
}
