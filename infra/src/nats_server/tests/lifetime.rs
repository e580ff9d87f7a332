//! When the server ends and when it comes back.

use serde_json::json;

use super::*;

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
        tokio::time::timeout(HANGS, reconnected).await.expect("the client did not reconnect");
        assert_eq!(messages(&client, "EVT_acme").await, 20);
    }
    // An account that was added is still there after a crash.
    server.add_tenant(account("beta")).await.unwrap();
    signal("-KILL", server.pid().unwrap());
    server.state().wait_for(|state| matches!(state, ServerState::Running { restarts: 3, .. })).await.unwrap();
    service(&server, "beta").await;
    server.shutdown().await;
    assert_eq!(server.pid(), None);
}

#[tokio::test]
async fn a_binary_that_ends_at_once_is_reported_with_its_words() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let broken = folder.path().join("broken");
    std::fs::write(&broken, "#!/bin/sh\necho 'no such luck' >&2\nexit 3\n").unwrap();
    std::fs::set_permissions(&broken, std::fs::Permissions::from_mode(0o755)).unwrap();
    let error =
        NatsServer::start(NatsServerOptions::within(broken, folder.path(), vec![])).await.err().expect("no start");
    assert!(error.to_string().contains("exit status: 3"), "{error}");
    assert!(error.to_string().contains("no such luck"), "{error}");
}

/// Not a test of its own: the process that `a_killed_parent_…` kills.
#[tokio::test]
#[ignore = "a helper process of other tests"]
async fn helper_parent() {
    let folder = PathBuf::from(std::env::var_os("LETHE_TEST_FOLDER").expect("set by the test that starts this"));
    let server = NatsServer::start(NatsServerOptions::within(binary(), &folder, vec![account("acme")])).await.unwrap();
    create_journal_stream(&server, "acme").await;
    publish(&service(&server, "acme").await, "evt.acme.x").await;
    std::fs::write(folder.join("child.new"), server.pid().unwrap().to_string()).unwrap();
    std::fs::rename(folder.join("child.new"), folder.join("child")).unwrap();
    std::future::pending::<()>().await;
}

/// Starts a process that supervises a server, and kills it -9 once the server runs and has stored one message.
async fn kill_a_parent(folder: &Folder) -> Bereft {
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "nats_server::tests::lifetime::helper_parent", "--ignored"])
        .env("LETHE_TEST_FOLDER", folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let child = folder.path().join("child");
    until("the helper process has started its server", || child.exists() || parent.try_wait().unwrap().is_some()).await;
    let server = Bereft(std::fs::read_to_string(child).unwrap().parse().unwrap());
    assert!(lives(server.0));
    parent.kill().unwrap();
    parent.wait().unwrap();
    server
}

/// A server whose parent was killed. A failing test leaves none behind.
struct Bereft(u32);

impl Drop for Bereft {
    fn drop(&mut self) {
        if lives(self.0) {
            signal("-KILL", self.0);
        }
    }
}

#[tokio::test]
async fn a_killed_parent_takes_its_server_with_it() {
    let folder = Folder::new();
    let server = kill_a_parent(&folder).await;
    until("the server of the killed process has ended", || !lives(server.0)).await;
}

#[tokio::test]
async fn a_start_right_after_a_kill_finds_everything() {
    let folder = Folder::new();
    let _old = kill_a_parent(&folder).await;
    let server = start(&folder, &["acme"]).await;
    assert_eq!(messages(&service(&server, "acme").await, "EVT_acme").await, 1);
    server.shutdown().await;
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
    until("it has written its pid file", || std::fs::read_to_string(&pid_file).is_ok_and(|text| text.trim() == pid))
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
