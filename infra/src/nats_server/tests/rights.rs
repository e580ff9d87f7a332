//! What each login may do.

use async_nats::{ConnectErrorKind, Event};
use serde_json::json;
use tokio::sync::mpsc::UnboundedReceiver;

use super::*;

/// What destroys or changes what is stored, or belongs to another tenant.
const REFUSED_TO_ALL: [&str; 9] = [
    "$JS.API.STREAM.UPDATE.EVT_acme",
    "$JS.API.STREAM.DELETE.EVT_acme",
    "$JS.API.STREAM.PURGE.EVT_acme",
    "$JS.API.STREAM.MSG.DELETE.EVT_acme",
    "$JS.API.STREAM.SNAPSHOT.EVT_acme",
    "$JS.API.STREAM.RESTORE.EVT_acme",
    "evt.beta.x",
    "keys.beta.x",
    "other",
];

/// Publishes and waits until the server says that it refused.
async fn refused(client: &Client, events: &mut UnboundedReceiver<Event>, subject: &str) {
    client.publish(subject.to_owned(), "{}".into()).await.unwrap();
    let violation = async {
        loop {
            let event = events.recv().await.expect("the client lives").to_string().to_lowercase();
            if event.contains("permissions violation") && event.contains(&format!("\"{}\"", subject.to_lowercase())) {
                break;
            }
        }
    };
    tokio::time::timeout(HANGS, violation).await.unwrap_or_else(|_| panic!("{subject} was not refused"));
}

#[tokio::test]
async fn the_service_appends_and_reads_and_may_do_nothing_else() {
    let folder = Folder::new();
    let server = start(&folder, &["acme"]).await;
    assert!(create_journal_stream(&server, "acme").await["error"].is_null());
    let login = server.credentials("acme").unwrap().service;
    let (client, mut events) = connect_listening(&server, &login).await;
    assert_eq!(publish(&client, "evt.acme.x").await, 1);

    let consumer = json!({ "ack_policy": "none", "mem_storage": true, "inactive_threshold": 5_000_000_000_u64 });
    for (subject, body) in [
        ("$JS.API.INFO", json!({})),
        ("$JS.API.STREAM.NAMES", json!({})),
        ("$JS.API.STREAM.INFO.EVT_acme", json!({})),
        ("$JS.API.STREAM.MSG.GET.EVT_acme", json!({ "seq": 1 })),
        ("$JS.API.DIRECT.GET.EVT_acme", json!({ "seq": 1, "next_by_subj": "evt.acme.x" })),
        ("$JS.API.DIRECT.GET.EVT_acme.evt.acme.x", json!({})),
        ("$JS.API.CONSUMER.CREATE.EVT_acme", json!({ "stream_name": "EVT_acme", "config": consumer })),
    ] {
        let answer = ask(&client, subject, body).await.unwrap_or_else(|| panic!("no answer to {subject}"));
        assert!(answer["error"].is_null(), "{subject}: {answer}");
    }

    for subject in
        REFUSED_TO_ALL.into_iter().chain(["$JS.API.STREAM.CREATE.EVT_new", "$JS.API.STREAM.LEADER.STEPDOWN.EVT_acme"])
    {
        refused(&client, &mut events, subject).await;
    }
    assert_eq!(messages(&client, "EVT_acme").await, 1);
    let streams = ask(&client, "$JS.API.STREAM.NAMES", json!({})).await.unwrap()["streams"].clone();
    assert_eq!(streams, json!(["EVT_acme"]));
    server.shutdown().await;
}

#[tokio::test]
async fn the_provisioner_creates_and_cannot_destroy() {
    let folder = Folder::new();
    let server = start(&folder, &["acme"]).await;
    assert!(create_journal_stream(&server, "acme").await["error"].is_null());
    let login = server.credentials("acme").unwrap().provisioner;
    let (client, mut events) = connect_listening(&server, &login).await;
    for subject in REFUSED_TO_ALL {
        refused(&client, &mut events, subject).await;
    }
    assert_eq!(messages(&client, "EVT_acme").await, 0);
    server.shutdown().await;
}

#[tokio::test]
async fn nobody_listens_in_on_the_replies_or_commits_of_others() {
    let folder = Folder::new();
    let server = start(&folder, &["acme"]).await;
    let (client, mut events) = connect_listening(&server, &server.credentials("acme").unwrap().service).await;
    for subject in [">", "_INBOX.>", "_INBOX_acme_provisioner.>", "evt.acme.>", "$JS.API.>"] {
        let _subscription = client.subscribe(subject).await.unwrap();
        let violation = async {
            while !events.recv().await.expect("the client lives").to_string().contains(&format!("\"{subject}\"")) {}
        };
        tokio::time::timeout(HANGS, violation).await.unwrap_or_else(|_| panic!("{subject} was not refused"));
    }
    server.shutdown().await;
}

#[tokio::test]
async fn nobody_gets_in_without_a_login_even_before_the_first_tenant() {
    let folder = Folder::new();
    let server = start(&folder, &[]).await;
    let error = async_nats::connect(server.url()).await.expect_err("a client without a login");
    assert_eq!(error.kind(), ConnectErrorKind::AuthorizationViolation);
    assert!(server.url().starts_with("nats://127.0.0.1:"), "{}", server.url());
    assert!(server.credentials("acme").is_none());
    server.shutdown().await;
}

#[tokio::test]
async fn a_tenant_is_added_while_others_work_and_sees_nothing_of_theirs() {
    let folder = Folder::new();
    let server = start(&folder, &["acme"]).await;
    create_journal_stream(&server, "acme").await;
    let login = server.credentials("acme").unwrap().service;
    let (acme, mut events) = connect_listening(&server, &login).await;

    let (logins, published) = tokio::join!(server.add_tenant(account("beta")), async {
        let mut published = 0;
        while server.credentials("beta").is_none() || published < 200 {
            published = publish(&acme, "evt.acme.x").await;
        }
        published
    });
    let logins = logins.unwrap();
    while let Ok(event) = events.try_recv() {
        assert!(!matches!(event, Event::Disconnected), "the first tenant was disconnected");
    }
    assert_eq!(messages(&acme, "EVT_acme").await, published);

    // At once, without another try.
    create_journal_stream(&server, "beta").await;
    let beta = connect(&server, &logins.service).await;
    publish(&beta, "evt.beta.x").await;
    assert_eq!(ask(&beta, "$JS.API.STREAM.NAMES", json!({})).await.unwrap()["streams"], json!(["EVT_beta"]));
    assert_eq!(ask(&beta, "$JS.API.STREAM.INFO.EVT_acme", json!({})).await.unwrap()["error"]["err_code"], 10059);
    assert_eq!(messages(&acme, "EVT_acme").await, published);

    // Again changes nothing.
    assert_eq!(server.add_tenant(account("beta")).await.unwrap().service.password(), logins.service.password());
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
    let arguments = Command::new("ps").args(["-ww", "-e", "-o", "args="]).output().unwrap().stdout;
    server.shutdown().await;

    let log = std::fs::read_to_string(folder.path().join("log/nats-server.log")).unwrap();
    assert!(log.contains("acme_service"), "the refused login is not in the log: {log}");
    let arguments = String::from_utf8_lossy(&arguments).into_owned();
    assert!(arguments.contains(folder.path().to_str().unwrap()), "the server is not in the list of processes");
    for text in [log, arguments] {
        assert!(!text.contains(login.password()));
    }
}
