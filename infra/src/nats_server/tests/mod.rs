//! On a real nats-server: what each login may do, what survives, and what is never left behind.

mod lifetime;
mod rights;
mod store;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use async_nats::{Client, Event};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::accounts::random_hex;
use super::*;

/// Only ends a test that would otherwise hang.
pub(super) const HANGS: Duration = Duration::from_secs(60);

/// A folder of its own for one test, removed at the end.
pub(in crate::nats_server) struct Folder(PathBuf);

impl Folder {
    pub(in crate::nats_server) fn new() -> Self {
        Self::named("")
    }

    pub(super) fn named(extra: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("lethe-test-{}{extra}", random_hex(8).unwrap()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub(in crate::nats_server) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) fn binary() -> PathBuf {
    locate_or_install(|line| eprintln!("{line}")).unwrap()
}

pub(super) fn account(tenant: &str) -> TenantAccount {
    TenantAccount::new(tenant).unwrap()
}

pub(super) async fn start(folder: &Folder, tenants: &[&str]) -> NatsServer {
    try_start(folder, tenants).await.unwrap()
}

pub(super) async fn try_start(folder: &Folder, tenants: &[&str]) -> Result<NatsServer, NatsServerError> {
    let accounts = tenants.iter().map(|tenant| account(tenant)).collect();
    NatsServer::start(NatsServerOptions::within(binary(), folder.path(), accounts)).await
}

pub(super) async fn connect(server: &NatsServer, login: &NatsLogin) -> Client {
    login.connect_options().connect(server.url()).await.unwrap()
}

pub(super) async fn service(server: &NatsServer, tenant: &str) -> Client {
    connect(server, &server.credentials(tenant).unwrap().service).await
}

/// An answer of the JetStream API, or that there was none.
pub(super) async fn ask(client: &Client, subject: &str, body: Value) -> Option<Value> {
    let request = async_nats::Request::new().payload(body.to_string().into()).timeout(Some(Duration::from_secs(1)));
    let reply = client.send_request(subject.to_owned(), request).await.ok()?;
    Some(serde_json::from_slice(&reply.payload).unwrap_or(Value::Null))
}

pub(super) async fn create_journal_stream(server: &NatsServer, tenant: &str) -> Value {
    let client = connect(server, &server.credentials(tenant).unwrap().provisioner).await;
    let config = json!({ "name": format!("EVT_{tenant}"), "subjects": [format!("evt.{tenant}.>")], "storage": "file", "allow_direct": true });
    ask(&client, &format!("$JS.API.STREAM.CREATE.EVT_{tenant}"), config).await.expect("an answer to a create")
}

/// Publishes and waits for the acknowledgement; gives the sequence.
pub(super) async fn publish(client: &Client, subject: &str) -> u64 {
    let context = async_nats::jetstream::new(client.clone());
    context.publish(subject.to_owned(), "x".into()).await.unwrap().await.unwrap().sequence
}

pub(super) async fn messages(client: &Client, stream: &str) -> Value {
    ask(client, &format!("$JS.API.STREAM.INFO.{stream}"), json!({})).await.unwrap()["state"]["messages"].clone()
}

/// A client, and what the server tells it apart from replies.
pub(super) async fn connect_listening(server: &NatsServer, login: &NatsLogin) -> (Client, UnboundedReceiver<Event>) {
    let (sender, events) = unbounded_channel();
    let options = login.connect_options().event_callback(move |event| {
        let _ = sender.send(event);
        std::future::ready(())
    });
    (options.connect(server.url()).await.unwrap(), events)
}

/// A process of a test's own, which ends with the test.
pub(super) struct Stray(pub(super) std::process::Child);

impl Stray {
    /// Without our output, which would stay open as long as it runs.
    pub(super) fn run(command: &mut Command) -> Self {
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

pub(super) fn signal(name: &str, pid: u32) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

/// Whether a process runs: it is there and is not a zombie.
pub(super) fn lives(pid: u32) -> bool {
    let output = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().unwrap();
    let state = String::from_utf8_lossy(&output.stdout);
    !state.trim().is_empty() && !state.trim().starts_with('Z')
}

/// Waits for a condition.
pub(super) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(HANGS, wait).await.unwrap_or_else(|_| panic!("waited in vain until {what}"));
}
