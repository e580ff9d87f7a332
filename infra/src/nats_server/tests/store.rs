//! What is stored: who may use it, and what happens when it cannot be read.

use serde_json::json;

use super::*;

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
    let error = try_start(&folder, &["acme"]).await.err().expect("a second server on the store");
    assert!(matches!(error, NatsServerError::StoreInUse { .. }), "{error}");
    assert!(lives(server.pid().unwrap()), "the second start ended the first one's server");
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
    let error = try_start(&folder, &["acme"]).await.err().expect("a start on a damaged store");
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
    let mut encrypted = Command::new(binary()).arg("-c").arg(&config).stderr(Stdio::null()).spawn().unwrap();
    let address = ready::address(&folder.path().join("ports")).await;
    let client =
        async_nats::ConnectOptions::with_user_and_password("u".into(), "p".into()).connect(address).await.unwrap();
    ask(&client, "$JS.API.STREAM.CREATE.EVT_acme", json!({ "name": "EVT_acme", "subjects": ["evt.acme.>"] }))
        .await
        .unwrap();
    signal("-TERM", encrypted.id());
    encrypted.wait().unwrap();

    let error = try_start(&folder, &["acme"]).await.err().expect("a start without the key");
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
