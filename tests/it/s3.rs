//! The site is lost, and everything that stands elsewhere stands in an S3-compatible store: a real server, with buckets
//! whose objects are locked.

use std::process::{Command, Output};

use infra::off_site::seaweed::{SeaweedServer, locate_or_install};
use lethe::cli::Client;
use lethe::demo::study::STUDY;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::api::{enrol, identity, participant, send, vital_signs};
use tests::binary::{Binary, Server};
use tests::home::Folder;

/// The binary with a KMS of its own beside the data, and everything else on the server.
struct Site<'a> {
    binary: Binary,
    folder: &'a Folder,
    s3: &'a SeaweedServer,
    recipient: String,
}

/// A command's answer, if it went well.
fn text(done: &Output) -> String {
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}

impl Site<'_> {
    fn dress(&self, command: &mut Command) {
        let credentials = self.s3.credentials();
        command.env("AWS_ACCESS_KEY_ID", &credentials.id).env("AWS_SECRET_ACCESS_KEY", credentials.secret.as_str());
        command.env("LETHE_OFF_SITE", self.s3.address("copies"));
    }

    fn serve(&self) -> Server {
        self.binary.serve(self.folder, |command| {
            self.dress(command);
            command.args(["--backup-to", &self.s3.address("backups"), "--backup-recipient", &self.recipient]);
        })
    }

    fn run(&self, arguments: &[&str], token: Option<&str>) -> Output {
        let mut command = self.binary.command(self.folder);
        self.dress(&mut command);
        if let Some(token) = token {
            command.env("LETHE_TOKEN", token);
        }
        command.args(arguments).output().expect("the binary can be run")
    }

    fn token(&self, role: &str) -> String {
        text(&self.run(&["token", "create", "--tenant", "acme", "--role", role, "--name", "somebody in a test"], None))
    }

    fn study(&self) {
        text(&self.run(&["tenant", "create", "acme"], None));
        text(&self.run(&["study", "create", "--tenant", "acme", STUDY, "--name", "Cardio"], None));
        let token = self.token("study-designer");
        let design = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/vital-signs.odm.xml");
        for arguments in
            [&["import", design][..], &["open-site", "oslo", "--name", "Oslo University Hospital"], &["go-live"]]
        {
            text(&self.run(&[&["study"], arguments, &["--study", STUDY]].concat(), Some(&token)));
        }
    }

    /// Asks for an erasure, approves it and waits for its end.
    fn erase(&self, person: &str) -> String {
        let (dpo, controller) = (self.token("dpo"), self.token("controller"));
        let erasure = text(&self.run(&["erase", "request", person, "--study", STUDY], Some(&dpo)));
        text(&self.run(&["erase", "approve", &erasure, "--instruction", "DPA-1", "--yes"], Some(&controller)));
        erasure
    }

    fn back_up(&self) -> String {
        let to = self.s3.address("backups");
        text(&self.run(&["backup", "create", "--tenant", "acme", "--to", &to, "--recipient", &self.recipient], None))
    }
}

/// Everything that can be asked about a participant; a refusal by its code.
async fn look(client: &Client, at: &str) -> Vec<Value> {
    let mut answers = Vec::new();
    for path in [format!("{at}/casebook"), format!("{at}/identity")] {
        answers.push(match client.get(&path).await {
            Ok(reply) => reply.body,
            Err(error) => json!({"refused": error.code}),
        });
    }
    answers
}

async fn enrolled(client: &Client, number: &str, name: &str) -> String {
    let at = participant(enrol(client, "oslo", number).await);
    send(client, &format!("{at}/identity"), identity(name, "Kvistberg", "a@post.example")).await.expect("recorded");
    let mut values = vital_signs("137");
    values["items"][0]["group"] = json!("VITALS");
    let saved = send(client, &at, values).await.expect("saved").position.expect("a position");
    client.get(&format!("{at}/casebook?min_position={saved}")).await.expect("readable");
    at
}

/// What the server says to somebody who has the platform's own credentials and wants an object gone.
async fn a_locked_object_stays(server: &SeaweedServer, bucket: &str, name: &str) {
    let path = format!("{bucket}/lethe/acme/{name}");
    let (found, version, kept) = server.request(Method::GET, &path, &[], "").await.expect("an answer");
    assert_eq!(found, StatusCode::OK, "{name}");
    let versioned = format!("{path}?versionId={}", version.expect("the bucket keeps versions"));
    let (deleted, ..) = server.request(Method::DELETE, &versioned, &[], "").await.expect("an answer");
    assert_eq!(deleted, StatusCode::FORBIDDEN, "{name}");
    let only_new = [("if-none-match", "*")];
    let (written, ..) = server.request(Method::PUT, &path, &only_new, "mine").await.expect("an answer");
    assert_eq!(written, StatusCode::PRECONDITION_FAILED, "{name}");
    let (_, _, now) = server.request(Method::GET, &versioned, &[], "").await.expect("an answer");
    assert!(now == kept, "{name} was changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_site_comes_back_from_locked_buckets_without_the_erased() {
    let folder = Folder::new();
    let binary = tokio::task::spawn_blocking(|| locate_or_install(|_| {})).await.expect("it ends").expect("SeaweedFS");
    let server = SeaweedServer::start(&binary, &folder.path().join("s3")).await.expect("it starts");
    for bucket in ["copies", "backups"] {
        server.create_locked_bucket(bucket, 1).await.expect("a bucket");
    }
    let key = folder.path().join("backup.key").display().to_string();
    let recipient = text(&super::binary().run(&folder, &["backup", "keygen", "--out", &key]));
    let site = Site { binary: super::binary(), folder: &folder, s3: &server, recipient };

    let serving = site.serve();
    site.study();
    let doctor = site.token("investigator");
    let client = Client::new(&serving.url, &doctor);
    let erased = enrolled(&client, "N-1", "Ingrid").await;
    let survivor = enrolled(&client, "N-2", "Matthias").await;
    let before = look(&client, &survivor).await;
    let backup = site.back_up();
    let erasure = site.erase(erased.rsplit_once('/').expect("an id").1);
    assert!(serving.stop(), "it ends in order");
    std::fs::remove_dir_all(folder.data()).expect("the site is lost");

    let from = server.address("backups");
    let restore = ["restore", "--tenant", "acme", "--from", &from, "--identity", &key, "--yes", "--json"];
    let restored: Value = serde_json::from_str(&text(&site.run(&restore, None))).expect("JSON");
    assert_eq!((&restored["backup"], &restored["persons_with_orders"]), (&json!(backup), &json!(1)), "{restored}");
    assert!(restored["orders_brought_back"].as_u64() > Some(0), "the backup is older than the erasure: {restored}");

    let serving = site.serve();
    let client = Client::new(&serving.url, &doctor);
    assert_eq!(look(&client, &survivor).await, before);
    assert_eq!(look(&client, &erased).await, [json!({"refused": "erased"}), json!({"refused": "erased"})]);
    let dpo = Client::new(&serving.url, site.token("dpo"));
    let certificate = dpo.get(&format!("/v1/erasures/{erasure}/certificate")).await.expect("it is there").body;
    let status: Value =
        serde_json::from_str(&text(&site.run(&["kms", "status", "--tenant", "acme", "--json"], None))).expect("JSON");
    let trust = infra::certificate::parse_public_key(status["public_key"].as_str().expect("a key")).expect("a key");
    let checked = infra::certificate::verify(&certificate.to_string(), &trust, None).await;
    assert!(checked.is_verified(), "{:?}", checked.refused);
    text(&site.run(&["verify", "journal", "--tenant", "acme"], None));
    text(&site.run(&["verify", "erasure", "--tenant", "acme", "--from", &from, "--identity", &key, &erasure], None));
    assert!(serving.stop(), "it ends in order");

    a_locked_object_stays(&server, "backups", &format!("backup/{backup}/manifest.json")).await;
    a_locked_object_stays(&server, "copies", &format!("certificates/{erasure}.json")).await;
}
