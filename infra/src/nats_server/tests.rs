//! On a real nats-server: what each login may do, what survives, and what is never left behind.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use async_nats::Client;
use serde_json::{Value, json};

use super::accounts::random_hex;
use super::*;

/// Only ends a test that would otherwise hang.
const HANGS: Duration = Duration::from_secs(60);

/// A folder of its own for one test, removed at the end.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        Self::named("")
    }

    fn named(extra: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("lethe-test-{}{extra}", random_hex(8).unwrap()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn binary() -> PathBuf {
    locate_or_install(|line| eprintln!("{line}")).unwrap()
}

fn account(tenant: &str) -> TenantAccount {
    TenantAccount::new(tenant).unwrap()
}

async fn start(folder: &Folder, tenants: &[&str]) -> NatsServer {
    try_start(folder, tenants).await.unwrap()
}

async fn try_start(folder: &Folder, tenants: &[&str]) -> Result<NatsServer, NatsServerError> {
    let accounts = tenants.iter().map(|tenant| account(tenant)).collect();
    NatsServer::start(NatsServerOptions::within(binary(), folder.path(), accounts)).await
}

async fn connect(server: &NatsServer, login: &NatsLogin) -> Client {
    login.connect_options().connect(server.url()).await.unwrap()
}

async fn service(server: &NatsServer, tenant: &str) -> Client {
    connect(server, &server.credentials(tenant).unwrap().service).await
}

/// An answer of the JetStream API, or that there was none.
async fn ask(client: &Client, subject: &str, body: Value) -> Option<Value> {
    let request = async_nats::Request::new()
        .payload(body.to_string().into())
        .timeout(Some(Duration::from_secs(1)));
    let reply = client.send_request(subject.to_owned(), request).await.ok()?;
    Some(serde_json::from_slice(&reply.payload).unwrap_or(Value::Null))
}

async fn create_journal_stream(server: &NatsServer, tenant: &str) -> Value {
    let client = connect(server, &server.credentials(tenant).unwrap().provisioner).await;
    let config = json!({ "name": format!("EVT_{tenant}"), "subjects": [format!("evt.{tenant}.>")], "storage": "file", "allow_direct": true });
    ask(&client, &format!("$JS.API.STREAM.CREATE.EVT_{tenant}"), config)
        .await
        .expect("an answer to a create")
}

/// Publishes and waits for the acknowledgement; gives the sequence.
async fn publish(client: &Client, subject: &str) -> u64 {
    let context = async_nats::jetstream::new(client.clone());
    context
        .publish(subject.to_owned(), "x".into())
        .await
        .unwrap()
        .await
        .unwrap()
        .sequence
}

async fn messages(client: &Client, stream: &str) -> Value {
    ask(client, &format!("$JS.API.STREAM.INFO.{stream}"), json!({}))
        .await
        .unwrap()["state"]["messages"]
        .clone()
}

#[tokio::test]
async fn the_service_appends_and_reads_and_may_do_nothing_else() {
    let folder = Folder::new();
    let server = start(&folder, &["acme"]).await;
    assert!(create_journal_stream(&server, "acme").await["error"].is_null());
    let client = service(&server, "acme").await;
    assert_eq!(publish(&client, "evt.acme.x").await, 1);

    // What it needs is answered (this also shows that an answer would be seen below).
    for (subject, body) in [
        ("$JS.API.INFO", json!({})),
        ("$JS.API.STREAM.NAMES", json!({})),
        ("$JS.API.STREAM.INFO.EVT_acme", json!({})),
        ("$JS.API.STREAM.MSG.GET.EVT_acme", json!({ "seq": 1 })),
        (
            "$JS.API.DIRECT.GET.EVT_acme",
            json!({ "seq": 1, "next_by_subj": "evt.acme.x" }),
        ),
        ("$JS.API.DIRECT.GET.EVT_acme.evt.acme.x", json!({})),
        (
            "$JS.API.CONSUMER.CREATE.EVT_acme",
            json!({ "stream_name": "EVT_acme", "config": { "ack_policy": "none", "mem_storage": true, "inactive_threshold": 5_000_000_000_u64 } }),
        ),
    ] {
        let answer = ask(&client, subject, body)
            .await
            .unwrap_or_else(|| panic!("no answer to {subject}"));
        assert!(answer["error"].is_null(), "{subject}: {answer}");
    }

    for (subject, body) in [
        (
            "$JS.API.STREAM.CREATE.EVT_new",
            json!({ "name": "EVT_new", "subjects": ["evt.acme.new.>"] }),
        ),
        (
            "$JS.API.STREAM.UPDATE.EVT_acme",
            json!({ "name": "EVT_acme", "subjects": ["evt.acme.>"], "max_age": 1_000_000 }),
        ),
        ("$JS.API.STREAM.DELETE.EVT_acme", json!({})),
        ("$JS.API.STREAM.PURGE.EVT_acme", json!({})),
        ("$JS.API.STREAM.MSG.DELETE.EVT_acme", json!({ "seq": 1 })),
        (
            "$JS.API.STREAM.SNAPSHOT.EVT_acme",
            json!({ "deliver_subject": "evt.acme.copy" }),
        ),
        ("evt.beta.x", json!({})),
        ("other", json!({})),
    ] {
        assert_eq!(ask(&client, subject, body).await, None, "{subject}");
    }
    assert_eq!(messages(&client, "EVT_acme").await, 1);

    // Nobody listens in on replies to others.
    let login = server.credentials("acme").unwrap().service;
    let plain = async_nats::ConnectOptions::with_user_and_password(login.user().into(), login.password().into());
    let eavesdropper = plain.connect(server.url()).await.unwrap();
    assert_eq!(ask(&eavesdropper, "$JS.API.INFO", json!({})).await, None);
    assert_eq!(
        ask(&client, "$JS.API.STREAM.NAMES", json!({})).await.unwrap()["streams"],
        json!(["EVT_acme"])
    );
    server.shutdown().await;
}

#[tokio::test]
async fn the_provisioner_creates_and_cannot_destroy() {
    let folder = Folder::new();
    let server = start(&folder, &["acme"]).await;
    assert!(create_journal_stream(&server, "acme").await["error"].is_null());
    let client = connect(&server, &server.credentials("acme").unwrap().provisioner).await;
    for subject in [
        "$JS.API.STREAM.DELETE.EVT_acme",
        "$JS.API.STREAM.PURGE.EVT_acme",
        "$JS.API.STREAM.UPDATE.EVT_acme",
    ] {
        assert_eq!(
            ask(&client, subject, json!({ "name": "EVT_acme" })).await,
            None,
            "{subject}"
        );
    }
    server.shutdown().await;
}

#[tokio::test]
async fn nobody_gets_in_without_a_login_even_before_the_first_tenant() {
    let folder = Folder::new();
    let server = start(&folder, &[]).await;
    let error = async_nats::connect(server.url())
        .await
        .expect_err("a client without a login");
    assert_eq!(error.kind(), async_nats::ConnectErrorKind::AuthorizationViolation);
    assert!(server.url().starts_with("nats://127.0.0.1:"), "{}", server.url());
    assert!(server.credentials("acme").is_none());
    server.shutdown().await;
}

#[tokio::test]
async fn a_tenant_is_added_while_others_work_and_sees_nothing_of_theirs() {
    let folder = Folder::new();
    let server = start(&folder, &["acme"]).await;
    create_journal_stream(&server, "acme").await;
    let (disconnected, mut disconnects) = tokio::sync::mpsc::unbounded_channel();
    let options = server
        .credentials("acme")
        .unwrap()
        .service
        .connect_options()
        .event_callback(move |event| {
            let disconnected = disconnected.clone();
            async move {
                if matches!(event, async_nats::Event::Disconnected) {
                    disconnected.send(()).unwrap();
                }
            }
        });
    let acme = options.connect(server.url()).await.unwrap();

    let (logins, published) = tokio::join!(server.add_tenant(account("beta")), async {
        let mut published = 0;
        while server.credentials("beta").is_none() || published < 200 {
            published = publish(&acme, "evt.acme.x").await;
        }
        published
    });
    let logins = logins.unwrap();
    assert!(disconnects.try_recv().is_err(), "the first tenant was disconnected");
    assert_eq!(messages(&acme, "EVT_acme").await, published);

    // At once, without another try.
    create_journal_stream(&server, "beta").await;
    let beta = connect(&server, &logins.service).await;
    publish(&beta, "evt.beta.x").await;
    assert_eq!(
        ask(&beta, "$JS.API.STREAM.NAMES", json!({})).await.unwrap()["streams"],
        json!(["EVT_beta"])
    );
    assert_eq!(
        ask(&beta, "$JS.API.STREAM.INFO.EVT_acme", json!({})).await.unwrap()["error"]["err_code"],
        10059
    );
    assert_eq!(ask(&beta, "evt.acme.x", json!({})).await, None);
    assert_eq!(messages(&acme, "EVT_acme").await, published);

    // Again changes nothing.
    assert_eq!(
        server.add_tenant(account("beta")).await.unwrap().service.password(),
        logins.service.password()
    );
    server.shutdown().await;
}

#[tokio::test]
async fn a_killed_server_comes_back_with_everything_and_clients_reconnect() {
    let folder = Folder::new();
    let server = start(&folder, &["acme"]).await;
    create_journal_stream(&server, "acme").await;
    let client = service(&server, "acme").await;
    for expected in 1..=20 {
        assert_eq!(publish(&client, "evt.acme.x").await, expected);
    }
    for kill in 1..=2 {
        let pid = server.pid().unwrap();
        signal("-KILL", pid);
        let mut state = server.state();
        state
            .wait_for(|state| matches!(state, ServerState::Running { restarts, .. } if *restarts == kill))
            .await
            .unwrap();
        assert_ne!(server.pid(), Some(pid));
        // The client of before, with its login and address of before. Until it has reconnected it gets no answer.
        let reconnected = async { while ask(&client, "$JS.API.INFO", json!({})).await.is_none() {} };
        tokio::time::timeout(HANGS, reconnected)
            .await
            .expect("the client did not reconnect");
        assert_eq!(messages(&client, "EVT_acme").await, 20);
    }
    // An account that was added is still there after a crash.
    server.add_tenant(account("beta")).await.unwrap();
    signal("-KILL", server.pid().unwrap());
    server
        .state()
        .wait_for(|state| matches!(state, ServerState::Running { restarts: 3, .. }))
        .await
        .unwrap();
    service(&server, "beta").await;
    server.shutdown().await;
    assert_eq!(server.pid(), None);
}

#[tokio::test]
async fn what_was_written_is_there_after_a_shutdown_and_the_passwords_are_new() {
    let folder = Folder::new();
    let first = start(&folder, &["acme"]).await;
    create_journal_stream(&first, "acme").await;
    publish(&service(&first, "acme").await, "evt.acme.x").await;
    let (pid, old) = (first.pid().unwrap(), first.credentials("acme").unwrap().service);
    first.shutdown().await;
    first.shutdown().await;
    assert!(!lives(pid));

    // The first value still exists; the store is free all the same.
    let second = start(&folder, &["acme"]).await;
    assert_eq!(messages(&service(&second, "acme").await, "EVT_acme").await, 1);
    assert!(old.connect_options().connect(second.url()).await.is_err());
    second.shutdown().await;
}

#[tokio::test]
async fn a_store_belongs_to_one_supervisor() {
    let folder = Folder::new();
    let server = start(&folder, &["acme"]).await;
    let error = try_start(&folder, &["acme"])
        .await
        .err()
        .expect("a second server on the store");
    assert!(matches!(error, NatsServerError::StoreInUse { .. }), "{error}");
    assert!(
        lives(server.pid().unwrap()),
        "the second start ended the first one's server"
    );
    server.shutdown().await;
}

#[tokio::test]
async fn a_journal_stream_that_cannot_be_read_is_an_error() {
    let folder = Folder::new();
    let server = start(&folder, &["acme"]).await;
    create_journal_stream(&server, "acme").await;
    server.shutdown().await;
    let metafile = folder.path().join("store/jetstream/acme/streams/EVT_acme/meta.inf");
    let whole = std::fs::read(&metafile).unwrap();

    // An encrypted store looks like this to a server without its key.
    std::fs::write(&metafile, [7_u8; 200]).unwrap();
    let error = try_start(&folder, &["acme"])
        .await
        .err()
        .expect("a start on a damaged store");
    assert!(matches!(error, NatsServerError::StoreUnreadable { .. }), "{error}");
    for part in ["'acme > EVT_acme' could not be recovered", "checksums do not match"] {
        assert!(error.to_string().contains(part), "{part} is missing in: {error}");
    }

    std::fs::write(&metafile, whole).unwrap();
    let server = start(&folder, &["acme"]).await;
    assert_eq!(messages(&service(&server, "acme").await, "EVT_acme").await, 0);
    server.shutdown().await;
}

#[tokio::test]
async fn a_store_encrypted_with_a_key_that_is_not_given_is_an_error_and_stays_whole() {
    let folder = Folder::new();
    let server = start(&folder, &["acme"]).await;
    server.shutdown().await;
    let (store, config) = (folder.path().join("store"), folder.path().join("encrypted.conf"));
    let settings = json!({
        "listen": "127.0.0.1:-1", "ports_file_dir": folder.path().join("ports"),
        "jetstream": { "store_dir": store, "cipher": "aes", "key": "other" },
        "accounts": { "acme": { "jetstream": "enabled", "users": [{ "user": "u", "password": "p" }] } },
    });
    std::fs::create_dir(folder.path().join("ports")).unwrap();
    std::fs::write(&config, settings.to_string()).unwrap();
    let mut encrypted = Command::new(binary())
        .arg("-c")
        .arg(&config)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let address = ready::address(&folder.path().join("ports")).await;
    let client = async_nats::ConnectOptions::with_user_and_password("u".into(), "p".into())
        .connect(address)
        .await
        .unwrap();
    ask(
        &client,
        "$JS.API.STREAM.CREATE.EVT_acme",
        json!({ "name": "EVT_acme", "subjects": ["evt.acme.>"] }),
    )
    .await
    .unwrap();
    signal("-TERM", encrypted.id());
    encrypted.wait().unwrap();

    let error = try_start(&folder, &["acme"])
        .await
        .err()
        .expect("a start without the key");
    assert!(matches!(error, NatsServerError::StoreUnreadable { .. }), "{error}");
    assert!(store.join("jetstream/acme/streams/EVT_acme").exists());
}

#[tokio::test]
async fn folders_with_awkward_names_are_quoted() {
    let folder = Folder::named(" a \"quoted\" $HOME \\ ünïcode 'x' #{}");
    let server = start(&folder, &["acme"]).await;
    create_journal_stream(&server, "acme").await;
    assert!(folder.path().join("store/jetstream/acme/streams/EVT_acme").exists());
    server.shutdown().await;
}

#[tokio::test]
async fn passwords_are_in_no_argument_and_in_no_log() {
    let folder = Folder::new();
    let server = start(&folder, &["acme"]).await;
    server.add_tenant(account("beta")).await.unwrap();
    let login = server.credentials("acme").unwrap().service;
    // A refused login is logged.
    let wrong = async_nats::ConnectOptions::with_user_and_password(login.user().into(), "wrong".into());
    assert!(wrong.connect(server.url()).await.is_err());
    let arguments = Command::new("ps")
        .args(["-ww", "-e", "-o", "args="])
        .output()
        .unwrap()
        .stdout;
    server.shutdown().await;

    let log = std::fs::read_to_string(folder.path().join("log/nats-server.log")).unwrap();
    assert!(
        log.contains("acme_service"),
        "the refused login is not in the log: {log}"
    );
    let arguments = String::from_utf8_lossy(&arguments).into_owned();
    assert!(
        arguments.contains(folder.path().to_str().unwrap()),
        "the server is not in the list of processes"
    );
    for text in [log, arguments] {
        assert!(!text.contains(login.password()));
    }
}

#[tokio::test]
async fn a_binary_that_ends_at_once_is_reported_with_its_words() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let broken = folder.path().join("broken");
    std::fs::write(&broken, "#!/bin/sh\necho 'no such luck' >&2\nexit 3\n").unwrap();
    std::fs::set_permissions(&broken, std::fs::Permissions::from_mode(0o755)).unwrap();
    let error = NatsServer::start(NatsServerOptions::within(broken, folder.path(), vec![]))
        .await
        .err()
        .expect("no start");
    assert!(error.to_string().contains("exit status: 3"), "{error}");
    assert!(error.to_string().contains("no such luck"), "{error}");
}

/// Not a test of its own: the process that `a_killed_parent_…` kills.
#[tokio::test]
#[ignore = "a helper process of other tests"]
async fn helper_parent() {
    let folder = PathBuf::from(std::env::var_os("LETHE_TEST_FOLDER").expect("set by the test that starts this"));
    let server = NatsServer::start(NatsServerOptions::within(binary(), &folder, vec![account("acme")]))
        .await
        .unwrap();
    create_journal_stream(&server, "acme").await;
    publish(&service(&server, "acme").await, "evt.acme.x").await;
    std::fs::write(folder.join("child.new"), server.pid().unwrap().to_string()).unwrap();
    std::fs::rename(folder.join("child.new"), folder.join("child")).unwrap();
    std::future::pending::<()>().await;
}

/// Starts a process that supervises a server, and kills it -9 once the server runs. Gives the server's process id.
async fn kill_a_parent(folder: &Folder) -> u32 {
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "nats_server::tests::helper_parent", "--ignored"])
        .env("LETHE_TEST_FOLDER", folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let child = folder.path().join("child");
    until("the helper process has started its server", || {
        child.exists() || parent.try_wait().unwrap().is_some()
    })
    .await;
    let pid = std::fs::read_to_string(child).unwrap().parse().unwrap();
    assert!(lives(pid));
    parent.kill().unwrap();
    parent.wait().unwrap();
    pid
}

#[tokio::test]
async fn a_killed_parent_takes_its_server_with_it() {
    let folder = Folder::new();
    let pid = kill_a_parent(&folder).await;
    until("the server of the killed process has ended", || !lives(pid)).await;
}

#[tokio::test]
async fn a_server_left_behind_is_ended_by_the_next_start() {
    let folder = Folder::new();
    let first = start(&folder, &["acme"]).await;
    create_journal_stream(&first, "acme").await;
    first.shutdown().await;

    // A server on the same store and configuration that nobody supervises.
    let config = folder.path().join("config/nats-server.conf");
    let orphan = Stray::run(Command::new(binary()).arg("--config").arg(config));
    let pid_file = folder.path().join("store/nats-server.pid");
    let pid = orphan.0.id().to_string();
    until("it has written its pid file", || {
        std::fs::read_to_string(&pid_file).is_ok_and(|text| text.trim() == pid)
    })
    .await;

    let server = start(&folder, &["acme"]).await;
    assert!(!lives(orphan.0.id()));
    assert_eq!(messages(&service(&server, "acme").await, "EVT_acme").await, 0);
    server.shutdown().await;
}

#[tokio::test]
async fn a_stranger_with_the_process_id_of_an_old_server_is_left_alone() {
    let folder = Folder::new();
    let first = start(&folder, &["acme"]).await;
    first.shutdown().await;
    let stranger = Stray::run(Command::new("sleep").arg("1000"));
    let pid_file = folder.path().join("store/nats-server.pid");
    std::fs::write(pid_file, stranger.0.id().to_string()).unwrap();

    let server = start(&folder, &["acme"]).await;
    assert!(lives(stranger.0.id()), "a process that is not ours was ended");
    server.shutdown().await;
}

/// A process of a test's own, which ends with the test.
struct Stray(std::process::Child);

impl Stray {
    /// Without our output, which would stay open as long as it runs.
    fn run(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Stray {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn signal(name: &str, pid: u32) {
    assert!(
        Command::new("kill")
            .args([name, &pid.to_string()])
            .status()
            .unwrap()
            .success()
    );
}

/// Whether a process runs: it is there and is not a zombie.
fn lives(pid: u32) -> bool {
    let output = Command::new("ps")
        .args(["-o", "stat=", "-p", &pid.to_string()])
        .output()
        .unwrap();
    let state = String::from_utf8_lossy(&output.stdout);
    !state.trim().is_empty() && !state.trim().starts_with('Z')
}

/// Waits for a condition.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(HANGS, wait)
        .await
        .unwrap_or_else(|_| panic!("waited in vain until {what}"));
}
