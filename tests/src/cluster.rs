//! Three real nats-servers on loopback, as others would run them: each can be killed, stopped and started again.

use std::path::Path;

use infra::nats_server::{NatsElsewhere, locate_or_install};
use lethe::soak::Servers;

use crate::home::{Folder, acme};

/// A cluster with an account for the tenant `acme`. Its servers end with this value, or with this process.
pub struct Cluster {
    servers: Servers,
    _folder: Folder,
}

impl Cluster {
    /// Three servers that have found each other.
    pub async fn new() -> Self {
        let folder = Folder::new();
        let binary = tokio::task::spawn_blocking(|| locate_or_install(|_| {})).await.expect("it ends");
        let binary = binary.expect("a nats-server");
        let servers = Servers::start_new(&binary, folder.path(), acme().as_str(), 3, true).await;
        Self { servers: servers.expect("three servers find each other"), _folder: folder }
    }

    /// How a platform gets there.
    pub fn elsewhere(&self) -> NatsElsewhere {
        let urls: Vec<String> = self.servers.addresses().iter().map(|address| format!("nats://{address}")).collect();
        NatsElsewhere::new(&urls, self.servers.credentials(), None, 3).expect("loopback")
    }

    /// The names of all servers.
    pub fn names(&self) -> Vec<String> {
        self.servers.names()
    }

    /// Where a server keeps what it stores.
    pub fn store(&self, name: &str) -> &Path {
        self.servers.store(name)
    }

    /// Ends a server as a power cut would.
    pub async fn kill(&mut self, name: &str) {
        self.servers.kill(name).await.expect("it can be killed");
    }

    /// Ends a server as its operator would.
    pub async fn stop(&mut self, name: &str) {
        self.servers.stop(name).await.expect("it ends");
    }

    /// Starts a server again and waits until it has what the others have.
    pub async fn start(&mut self, name: &str) {
        self.servers.start(name).await.expect("it catches up");
    }

    /// Who leads a journal stream.
    pub async fn leader(&self, stream: &str) -> String {
        self.servers.leader(stream).await.expect("somebody leads")
    }
}
