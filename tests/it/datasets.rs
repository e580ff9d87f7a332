//! CDISC's Dataset-JSON API as a client of CDISC's meets it. The judges are CDISC's schemas and PyPI's jsonschema.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use domain::permit::Role;
use reqwest::Client as Http;
use serde_json::{Value, json};
use tests::api::{adverse_event, enrol, participant, send, vital_signs};
use tests::home::Home;
use tests::people::order;

const BASE: &str = "/v1/dataset-json/studies";

/// A client as the standard has it: the token goes into `api-key`.
struct Cdisc {
    http: Http,
    url: String,
    token: String,
}

impl Cdisc {
    async fn ask(&self, path: &str, since: Option<&str>) -> (u16, String) {
        let request = self.http.get(format!("{}{path}", self.url)).header("api-key", &self.token);
        let request = since.map_or(request.try_clone(), |since| Some(request.header("If-Modified-Since", since)));
        let answer = request.expect("a request").send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a text"))
    }

    async fn json(&self, path: &str) -> Value {
        let (status, text) = self.ask(path, None).await;
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).expect("JSON")
    }
}

/// What was entered, as (dataset, subject, column, value).
type Entered = Vec<(&'static str, String, &'static str, Value)>;

async fn clinic(home: &Home) -> (Cdisc, Vec<String>, Entered) {
    home.live_study().await;
    let doctor = home.client(Role::Investigator).await;
    let (mut people, mut entered, mut last) = (Vec::new(), Vec::new(), String::new());
    for (n, site) in ["oslo", "oslo", "bergen"].into_iter().enumerate() {
        let number = format!("S-{n}");
        let at = participant(enrol(&doctor, site, &number).await);
        send(&doctor, &at, vital_signs(&format!("12{n}"))).await.expect("saved");
        let saved = send(&doctor, &at, adverse_event(&format!("fell, \"twice\" n° {n}"))).await.expect("saved");
        last = saved.position.expect("a position");
        entered.push(("VS", number.clone(), "SYSBP", json!(120 + n)));
        entered.push(("AE", number, "AETERM", json!(format!("fell, \"twice\" n° {n}"))));
        people.push(at);
    }
    doctor.get(&format!("{}/casebook?min_position={last}", people[2])).await.expect("reflected");
    let token = home.client(Role::DataManager).await.token().to_owned();
    (Cdisc { http: Http::new(), url: home.platform.url(), token }, people, entered)
}

#[tokio::test(flavor = "multi_thread")]
async fn datasets_are_as_the_standard_says_and_hold_what_was_entered() {
    let home = Home::with_off_site().await;
    let (cdisc, people, entered) = clinic(&home).await;
    assert_eq!(cdisc.json("/v1/dataset-json/about").await["links"][0]["href"], BASE);
    let studies = cdisc.json(BASE).await;
    assert_eq!(
        (&studies[0]["studyOID"], &studies[0]["href"]),
        (&json!("cardio-1"), &json!(format!("{BASE}/cardio-1"))),
        "{studies}"
    );
    let datasets = cdisc.json(&format!("{BASE}/cardio-1/datasets?standard=OTHER")).await;
    let names: Vec<_> =
        datasets.as_array().expect("a list").iter().map(|one| (&one["itemGroupOID"], &one["records"])).collect();
    assert_eq!(names, [(&json!("VS"), &json!(3)), (&json!("AE"), &json!(3))]);
    assert_eq!(cdisc.json(&format!("{BASE}/cardio-1")).await["datasets"], datasets);
    assert_eq!(cdisc.json(&format!("{BASE}/cardio-1/datasets?standard=sdtmig")).await, json!([]));
    assert_eq!(cdisc.json(&format!("{BASE}/cardio-1/snapshots")).await, json!([]));

    let folder = home.folder.path().join("judged");
    std::fs::create_dir(&folder).expect("a folder");
    for dataset in ["VS", "AE"] {
        let at = datasets.as_array().expect("a list").iter().find(|one| one["name"] == dataset).expect("it is listed");
        let href = at["href"].as_str().expect("an address");
        for (path, ending) in [(href.to_owned(), "json"), (format!("{href}/ndjson"), "ndjson")] {
            let (status, text) = cdisc.ask(&path, None).await;
            assert_eq!(status, 200, "{path}: {text}");
            std::fs::write(folder.join(format!("{dataset}.{ending}")), text).expect("a file");
        }
        parts(&cdisc, href).await;
        let created = at["datasetJSONCreationDateTime"].as_str().expect("a time");
        assert_eq!(cdisc.ask(href, Some(created)).await.0, 304, "nothing is new");
        assert_eq!(cdisc.ask(href, Some("2020-01-01T00:00:00")).await.0, 200);
    }
    std::fs::write(folder.join("entered"), serde_json::to_vec(&entered).expect("JSON")).expect("a file");
    tokio::task::block_in_place(|| judge(&folder));
    rights(&home, &cdisc, &people).await;
    home.stop().await;
}

/// Metadata alone, rows alone, pages.
async fn parts(cdisc: &Cdisc, href: &str) {
    let whole = cdisc.json(href).await;
    let metadata = cdisc.json(&format!("{href}?metadataonly=True")).await;
    assert!(metadata.get("rows").is_none() && metadata["columns"] == whole["columns"]);
    assert_eq!(cdisc.json(&format!("{href}?dataonly=true")).await, json!({"rows": whole["rows"]}));
    let page = cdisc.json(&format!("{href}?offset=1&limit=1")).await;
    assert_eq!((&page["rows"], &page["records"]), (&json!([whole["rows"][1]]), &json!(3)));
    let (_, lines) = cdisc.ask(&format!("{href}/ndjson?offset=2&dataonly=true"), None).await;
    assert_eq!(
        lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")).collect::<Vec<_>>(),
        [whole["rows"][2].clone()]
    );
    assert_eq!(cdisc.ask(&format!("{href}?offset=9"), None).await.0, 200, "a page behind the end is empty");
    assert_eq!(cdisc.json(&format!("{href}?limit=0")).await["rows"], whole["rows"], "as the standard has it");
    let request = cdisc.http.get(format!("{}{href}", cdisc.url)).header("api-key", &cdisc.token);
    let answer = request.send().await.expect("an answer");
    let modified = answer.headers()["last-modified"].to_str().expect("a text").to_owned();
    assert_eq!(cdisc.ask(href, Some(&modified)).await.0, 304, "what it says is taken back: {modified}");
    for (wrong, status) in [("?metadataonly=true&dataonly=true", 400), ("?limit=-1", 400), ("?colour=red", 400)] {
        assert_eq!(cdisc.ask(&format!("{href}{wrong}"), None).await.0, status, "{wrong}");
    }
}

/// Sites, roles, restriction and erasure are those of every other view.
async fn rights(home: &Home, cdisc: &Cdisc, people: &[String]) {
    let ae = format!("{BASE}/cardio-1/datasets/AE");
    let rows = |body: &Value| body["rows"].as_array().expect("rows").clone();
    let local = home.at_site(Role::Coordinator, "bergen").await;
    assert_eq!(rows(&local.get(&ae).await.expect("rows").body).len(), 1);
    assert_eq!(home.client(Role::Dpo).await.get(&ae).await.expect_err("no values for them").status, Some(403));
    assert_eq!(home.stranger(Role::DataManager).await.get(&ae).await.expect_err("not theirs").status, Some(404));
    assert_eq!(cdisc.ask(&format!("{BASE}/cardio-1/datasets/NONE"), None).await.0, 404);
    let nobody = cdisc.http.get(format!("{}{ae}", cdisc.url)).send().await.expect("an answer");
    assert_eq!(nobody.status().as_u16(), 401);
    let elsewhere = cdisc.http.get(format!("{}/v1/studies", cdisc.url)).header("api-key", &cdisc.token);
    assert_eq!(elsewhere.send().await.expect("an answer").status().as_u16(), 401, "taken at these addresses alone");

    let dpo = home.client(Role::Dpo).await;
    let restrict = json!({"type": "place-restriction", "ground": "accuracy-contested", "reason": "by letter"});
    let placed = send(&dpo, &format!("{}/privacy", people[1]), restrict).await.expect("restricted");
    let position = placed.position.expect("a position");
    let reflected = cdisc.json(&format!("{ae}?min_position={position}")).await;
    assert!(reflected.to_string().contains("n° 0"));
    let (dpo, erasure) = order(home, &people[0], None).await;
    lethe::cli::follow(&dpo, erasure, None, |_| {}).await.expect("followed");
    let left = cdisc.json(&ae).await;
    let said = |row: &Value| row.as_array().and_then(|row| row.last()).and_then(Value::as_str).unwrap_or("").to_owned();
    let missing: Vec<String> = rows(&left).iter().filter(|row| row[2] == "S-0").map(said).collect();
    assert!(matches!(&missing[..], [one] if one.contains("AETERM=ERASED")), "as in CSV: {left}");
    let left = left.to_string();
    assert!(!left.contains("n° 0") && !left.contains("n° 1") && left.contains("n° 2"), "{left}");
}

const PACKAGES: [&str; 6] = [
    "attrs==26.1.0",
    "jsonschema==4.26.0",
    "jsonschema-specifications==2025.9.1",
    "referencing==0.37.0",
    "rpds-py==2026.9.1",
    "typing_extensions==4.16.0",
];

/// Has CDISC's schemas judge the answers, and compares each value. Skipped by name where the schemas or, on a machine
/// that is not CI, the judge cannot be had.
fn judge(folder: &Path) {
    let schemas = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/schemas"));
    if !schemas.exists() {
        return eprintln!("skipped: the judging of datasets (there is no ../shared/schemas)");
    }
    let packages = match installed() {
        Ok(packages) => packages,
        Err(reason) if std::env::var_os("CI").is_some() => panic!("the datasets need their judge: {reason}"),
        Err(reason) => return eprintln!("skipped: the judging of datasets ({reason})"),
    };
    let judged = Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/it/datasets/judge.py"))
        .args([&schemas, folder])
        .env("PYTHONPATH", packages)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .output()
        .expect("python3 runs: it has just installed the judge");
    let said = format!("{}{}", String::from_utf8_lossy(&judged.stdout), String::from_utf8_lossy(&judged.stderr));
    assert!(judged.status.success(), "{said}");
    assert!(said.contains("6 values"), "{said}");
}

fn installed() -> Result<PathBuf, String> {
    let home = std::env::var_os("HOME").ok_or("there is no HOME")?;
    let folder = PathBuf::from(home).join(".cache/lethe/judge-jsonschema-4.26.0");
    if folder.exists() {
        return Ok(folder);
    }
    let fresh = folder.with_extension(format!("{}", std::process::id()));
    let install = Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps"])
        .args(["--only-binary", ":all:", "--target"])
        .arg(&fresh)
        .args(PACKAGES)
        .env("PIP_USER", "0")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if !install.status.success() {
        return Err(String::from_utf8_lossy(&install.stderr).into_owned());
    }
    // Another test run may have been faster; then its folder serves as well.
    match std::fs::rename(&fresh, &folder) {
        Err(error) if !folder.exists() => Err(error.to_string()),
        _ => Ok(folder),
    }
}
