//! Three real nats-servers on loopback, as others would run them: each can be killed, stopped and started again.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use infra::nats_server::{Lifeline, NatsElsewhere, TenantAccount, WrittenAccounts, locate_or_install, write_accounts};
use lethe::cli::Client;
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::home::{Folder, acme};

/// How long servers may take to find each other, or to catch up.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// A cluster with an account for the tenant `acme`. Its servers end with this value, or with this process.
pub struct Cluster {
    nodes: Vec<Node>,
    binary: PathBuf,
    accounts: WrittenAccounts,
    folder: Folder,
}

struct Node {
    name: String,
    port: u16,
    /// Where it says how it is.
    monitor: u16,
    config: PathBuf,
    store: PathBuf,
    running: Option<(Child, Option<Lifeline>)>,
}

impl Cluster {
    /// Three servers that have found each other.
    pub async fn new() -> Self {
        let folder = Folder::new();
        let binary = tokio::task::spawn_blocking(|| locate_or_install(|_| {})).await.expect("it ends");
        let tenant = TenantAccount::new(acme().as_str()).expect("valid");
        let accounts = write_accounts(&folder.path().join("accounts"), &[tenant]).expect("files can be written");
        let nodes = Node::three(folder.path(), &accounts.accounts);
        let mut cluster = Self { nodes, binary: binary.expect("a nats-server"), accounts, folder };
        for index in 0..cluster.nodes.len() {
            cluster.launch(index);
        }
        cluster.whole().await;
        cluster
    }

    /// How a platform gets there.
    pub fn elsewhere(&self) -> NatsElsewhere {
        let urls: Vec<String> = self.nodes.iter().map(|node| format!("nats://127.0.0.1:{}", node.port)).collect();
        NatsElsewhere::new(&urls, &self.accounts.credentials, None, 3).expect("loopback")
    }

    /// The names of all servers.
    pub fn names(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.name.clone()).collect()
    }

    /// Where a server keeps what it stores.
    pub fn store(&self, name: &str) -> &Path {
        &self.nodes[self.index(name)].store
    }

    /// Ends a server as a power cut would.
    pub async fn kill(&mut self, name: &str) {
        let (mut child, _) = self.take(name);
        child.kill().await.expect("it can be killed");
    }

    /// Ends a server as its operator would.
    pub async fn stop(&mut self, name: &str) {
        let (mut child, _lifeline) = self.take(name);
        let pid = child.id().expect("it runs");
        let told = Command::new(&self.binary).arg("--signal").arg(format!("term={pid}")).status().await;
        assert!(told.expect("it can be told").success(), "{name} took no signal");
        child.wait().await.expect("it ends");
    }

    /// Starts a server again and waits until it has what the others have.
    pub async fn start(&mut self, name: &str) {
        let index = self.index(name);
        self.launch(index);
        self.whole().await;
    }

    /// Waits until every server runs, and holds all that the cluster holds.
    pub async fn whole(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut lacking = String::new();
        while Instant::now() < deadline {
            match self.lacking().await {
                None => return,
                Some(reason) => lacking = reason,
            }
            sleep(POLL).await;
        }
        panic!("the cluster does not get whole: {lacking}");
    }

    /// Who leads a journal stream.
    pub async fn leader(&self, stream: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            for node in self.nodes.iter().filter(|node| node.running.is_some()) {
                let Ok(told) = node.ask("/jsz?streams=true&accounts=true").await else { continue };
                let accounts = told["account_details"].as_array().into_iter().flatten();
                let mut streams = accounts.flat_map(|one| one["stream_detail"].as_array().into_iter().flatten());
                let found = streams.find(|one| one["name"] == stream);
                if let Some(leader) = found.and_then(|one| one["cluster"]["leader"].as_str()) {
                    return leader.to_owned();
                }
            }
            sleep(POLL).await;
        }
        panic!("nobody leads {stream}");
    }

    /// What is not as it should be, if anything.
    async fn lacking(&self) -> Option<String> {
        let mut sees_all = false;
        for node in &self.nodes {
            match node.ask("/healthz").await {
                Ok(health) if health["status"] == "ok" => {}
                Ok(health) => return Some(format!("{}: {health}", node.name)),
                Err(error) => return Some(format!("{}: {error}", node.name)),
            }
            let meta = node.ask("/jsz").await.ok()?["meta_cluster"].clone();
            let others = meta["replicas"].as_array().map_or(&[][..], Vec::as_slice);
            sees_all |= others.len() + 1 == self.nodes.len() && others.iter().all(|one| one["current"] == true);
        }
        (!sees_all).then(|| "no server sees all others".to_owned())
    }

    fn launch(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        assert!(node.running.is_none(), "{} runs", node.name);
        let said =
            File::options().create(true).append(true).open(self.folder.path().join(format!("{}.said", node.name)));
        let child = Command::new(&self.binary)
            .arg("--config")
            .arg(&node.config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said.expect("a file"))
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .expect("nats-server can be run");
        let lifeline = child.id().and_then(Lifeline::tie);
        node.running = Some((child, lifeline));
    }

    fn take(&mut self, name: &str) -> (Child, Option<Lifeline>) {
        let index = self.index(name);
        self.nodes[index].running.take().unwrap_or_else(|| panic!("{name} does not run"))
    }

    fn index(&self, name: &str) -> usize {
        self.nodes.iter().position(|node| node.name == name).unwrap_or_else(|| panic!("there is no server {name}"))
    }
}

impl Node {
    /// Three of them, each knowing where the others will be.
    fn three(folder: &Path, accounts: &Path) -> Vec<Self> {
        // All nine are held until all are known, so that they differ.
        let held: Vec<TcpListener> = (0..9).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
        let ports: Vec<u16> = held.iter().map(|one| one.local_addr().expect("an address").port()).collect();
        drop(held);
        let routes: Vec<String> = ports[..3].iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let node = |index: usize| {
            let (name, port, monitor) = (format!("n{}", index + 1), ports[3 + index], ports[6 + index]);
            let (config, store) = (folder.join(format!("{name}.conf")), folder.join(&name));
            let settings = json!({
                "server_name": name,
                "listen": format!("127.0.0.1:{port}"),
                "http": format!("127.0.0.1:{monitor}"),
                "log_file": folder.join(format!("{name}.log")),
                "jetstream": { "store_dir": store, "sync_interval": "always", "max_mem": 64 << 20, "max_file": 1_u64 << 30 },
                "cluster": { "name": "lethe", "listen": format!("127.0.0.1:{}", ports[index]), "routes": routes },
            });
            let included = accounts.strip_prefix(folder).expect("in the folder").display();
            // Without braces of its own, where an include may stand.
            let lines = settings.as_object().into_iter().flatten().map(|(name, value)| format!("{name}: {value}\n"));
            let text = lines.chain([format!("include '{included}'\n")]).collect::<String>();
            fs::write(&config, text).expect("a file can be written");
            Self { name, port, monitor, config, store, running: None }
        };
        (0..3).map(node).collect()
    }

    async fn ask(&self, path: &str) -> Result<Value, String> {
        let client = Client::new(format!("http://127.0.0.1:{}", self.monitor), String::new());
        client.get(path).await.map(|reply| reply.body).map_err(|error| error.to_string())
    }
}
