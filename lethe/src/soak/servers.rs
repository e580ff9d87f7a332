//! Real nats-servers on loopback, as others would run them: each can be killed, stopped and started again.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use infra::nats_server::{Lifeline, TenantAccount, WrittenAccounts, write_accounts};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::server::signal;
use crate::cli::{CliError, Client};

/// How long servers may take to find each other, or to catch up.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long one may take to say how it is.
const ANSWER: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);

/// One server, or several that make a cluster, with accounts for one tenant. They end with this value, or with this process.
pub struct Servers {
    nodes: Vec<Node>,
    binary: PathBuf,
    accounts: WrittenAccounts,
    folder: PathBuf,
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

impl Servers {
    /// So many servers that have found each other, with everything below `folder`. They tell clients where the others are,
    /// unless there is something between them and their clients that these must not go round.
    ///
    /// # Errors
    /// They cannot be started, or do not find each other.
    pub async fn start_new(
        binary: &Path,
        folder: &Path,
        tenant: &str,
        count: usize,
        advertise: bool,
    ) -> Result<Self, CliError> {
        let failed = |error: std::io::Error| CliError::failed(folder.display(), error);
        fs::create_dir_all(folder).map_err(failed)?;
        let tenant = TenantAccount::new(tenant).map_err(CliError::input)?;
        let accounts = write_accounts(&folder.join("accounts"), &[tenant]).map_err(CliError::unavailable)?;
        let nodes = nodes(folder, &accounts.accounts, count, advertise).map_err(failed)?;
        let mut servers = Self { nodes, binary: binary.to_owned(), accounts, folder: folder.to_owned() };
        for index in 0..count {
            servers.launch(index)?;
        }
        servers.whole().await?;
        Ok(servers)
    }

    /// The file of the logins.
    pub fn credentials(&self) -> &Path {
        &self.accounts.credentials
    }

    /// Where each of them listens.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| SocketAddr::from((Ipv4Addr::LOCALHOST, node.port))).collect()
    }

    /// The names of all servers.
    pub fn names(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.name.clone()).collect()
    }

    /// Where a server keeps what it stores.
    pub fn store(&self, name: &str) -> &Path {
        self.nodes.iter().find(|node| node.name == name).map_or(Path::new(""), |node| &node.store)
    }

    /// The process id of a server, while it runs.
    pub(super) fn pid(&self, name: &str) -> Option<u32> {
        let node = self.nodes.iter().find(|node| node.name == name)?;
        node.running.as_ref()?.0.id()
    }

    /// Ends a server as a power cut would.
    ///
    /// # Errors
    /// It does not run.
    pub async fn kill(&mut self, name: &str) -> Result<(), CliError> {
        let (mut child, _) = self.take(name)?;
        child.kill().await.map_err(|error| CliError::failed(name, error))
    }

    /// Ends a server as its operator would.
    ///
    /// # Errors
    /// It does not run, or does not hear.
    pub async fn stop(&mut self, name: &str) -> Result<(), CliError> {
        let (mut child, _lifeline) = self.take(name)?;
        if !child.id().is_some_and(|pid| signal("TERM", pid)) {
            return Err(CliError::failed(name, "it took no signal"));
        }
        child.wait().await.map(drop).map_err(|error| CliError::failed(name, error))
    }

    /// Starts a server again and waits until it has what the others have.
    ///
    /// # Errors
    /// It runs already, or does not catch up.
    pub async fn start(&mut self, name: &str) -> Result<(), CliError> {
        self.relaunch(name)?;
        self.whole().await
    }

    /// Starts a server again and does not wait.
    pub(super) fn relaunch(&mut self, name: &str) -> Result<(), CliError> {
        let index = self.index(name)?;
        self.launch(index)
    }

    /// Waits until every server runs, and holds all that the cluster holds.
    ///
    /// # Errors
    /// That does not come.
    pub async fn whole(&self) -> Result<(), CliError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lacking().await {
                None => return Ok(()),
                Some(reason) if Instant::now() > deadline => {
                    return Err(CliError::unavailable(format!("the nats-servers do not get whole: {reason}")));
                }
                Some(_) => sleep(POLL).await,
            }
        }
    }

    /// Who leads a journal stream.
    ///
    /// # Errors
    /// Nobody, for long.
    pub async fn leader(&self, stream: &str) -> Result<String, CliError> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            for node in self.nodes.iter().filter(|node| node.running.is_some()) {
                let Ok(told) = node.ask("/jsz?streams=true&accounts=true").await else { continue };
                let accounts = told["account_details"].as_array().into_iter().flatten();
                let mut streams = accounts.flat_map(|one| one["stream_detail"].as_array().into_iter().flatten());
                let found = streams.find(|one| one["name"] == stream);
                if let Some(leader) =
                    found.and_then(|one| one["cluster"]["leader"].as_str()).filter(|name| !name.is_empty())
                {
                    return Ok(leader.to_owned());
                }
            }
            sleep(POLL).await;
        }
        Err(CliError::unavailable(format!("nobody leads {stream}")))
    }

    /// What is not as it should be, if anything.
    async fn lacking(&self) -> Option<String> {
        let mut sees_all = self.nodes.len() == 1;
        for node in &self.nodes {
            match node.ask("/healthz").await {
                Ok(health) if health["status"] == "ok" => {}
                Ok(health) => return Some(format!("{}: {health}", node.name)),
                Err(error) => return Some(format!("{}: {error}", node.name)),
            }
            let meta = match node.ask("/jsz").await {
                Ok(told) if told["disabled"] == true => return Some(format!("{}: without JetStream", node.name)),
                Ok(told) => told["meta_cluster"].clone(),
                Err(error) => return Some(format!("{}: {error}", node.name)),
            };
            let others = meta["replicas"].as_array().map_or(&[][..], Vec::as_slice);
            sees_all |= others.len() + 1 == self.nodes.len() && others.iter().all(|one| one["current"] == true);
        }
        (!sees_all).then(|| "no server sees all others".to_owned())
    }

    fn launch(&mut self, index: usize) -> Result<(), CliError> {
        let node = &mut self.nodes[index];
        if node.running.is_some() {
            return Err(CliError::failed(&node.name, "it runs already"));
        }
        let failed = |error: std::io::Error| CliError::failed("a nats-server", error);
        let said = self.folder.join(format!("{}.said", node.name));
        let said = File::options().create(true).append(true).open(said).map_err(failed)?;
        let child = Command::new(&self.binary)
            .arg("--config")
            .arg(&node.config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let lifeline = child.id().and_then(Lifeline::tie);
        node.running = Some((child, lifeline));
        Ok(())
    }

    fn take(&mut self, name: &str) -> Result<(Child, Option<Lifeline>), CliError> {
        let index = self.index(name)?;
        self.nodes[index].running.take().ok_or_else(|| CliError::failed(name, "it does not run"))
    }

    fn index(&self, name: &str) -> Result<usize, CliError> {
        let found = self.nodes.iter().position(|node| node.name == name);
        found.ok_or_else(|| CliError::failed(name, "there is no such server"))
    }
}

/// So many of them, each knowing where the others will be.
fn nodes(folder: &Path, accounts: &Path, count: usize, advertise: bool) -> std::io::Result<Vec<Node>> {
    // All ports are held until all are known, so that they differ.
    let held = (0..3 * count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<std::io::Result<Vec<_>>>()?;
    let ports =
        held.iter().map(|one| one.local_addr().map(|address| address.port())).collect::<std::io::Result<Vec<_>>>()?;
    drop(held);
    let routes: Vec<String> = ports[..count].iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
    let node = |index: usize| {
        let (name, port, monitor) = (format!("n{}", index + 1), ports[count + index], ports[2 * count + index]);
        let (config, store) = (folder.join(format!("{name}.conf")), folder.join(&name));
        let mut settings = json!({
            "server_name": name,
            "listen": format!("127.0.0.1:{port}"),
            "http": format!("127.0.0.1:{monitor}"),
            "log_file": folder.join(format!("{name}.log")),
            "jetstream": { "store_dir": store, "sync_interval": "always", "max_mem": 64 << 20, "max_file": 1_u64 << 30 },
        });
        if count > 1 {
            settings["cluster"] = json!({
                "name": "lethe", "listen": format!("127.0.0.1:{}", ports[index]), "routes": routes, "no_advertise": !advertise,
            });
        }
        let included = accounts.strip_prefix(folder).unwrap_or(accounts).display().to_string();
        // Without braces of its own, where an include may stand.
        let lines = settings.as_object().into_iter().flatten().map(|(name, value)| format!("{name}: {value}\n"));
        let text = lines.chain([format!("include '{included}'\n")]).collect::<String>();
        fs::write(&config, text)?;
        Ok(Node { name, port, monitor, config, store, running: None })
    };
    (0..count).map(node).collect()
}

impl Node {
    async fn ask(&self, path: &str) -> Result<Value, String> {
        let client = Client::new(format!("http://127.0.0.1:{}", self.monitor), String::new());
        match tokio::time::timeout(ANSWER, client.get(path)).await {
            Ok(reply) => reply.map(|reply| reply.body).map_err(|error| error.to_string()),
            Err(_) => Err("no answer".to_owned()),
        }
    }
}
