//! What a platform under test stands on: its binary and folders, nats-servers behind proxies, disks, the shim.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::disk::Disk;
use super::kind::{Kind, On};
use super::plan::Plan;
use super::proxy::Proxy;
use super::servers::Servers;
use super::shim::Shim;
use super::{Ground, Server, cast, check};
use crate::cli::CliError;

/// How much fits on a disk that can be full.
const DISK_MEGABYTES: u32 = 512;

/// How long a nats-server may take to be started again by who supervises it.
const PATIENCE: Duration = Duration::from_secs(180);

/// How long who supervises `serve` waits before starting it again.
const RESTART: Duration = Duration::from_millis(500);

/// What a process that could not reach something ends with.
const NOT_AVAILABLE: &str = "exit status: 6";

const POLL: Duration = Duration::from_millis(20);

/// All of it. What was mounted and started goes with it.
pub(super) struct Field {
    pub(super) ground: Ground,
    on: On,
    /// None while `serve` is down.
    pub(super) server: Option<Server>,
    pub(super) servers: Option<Servers>,
    pub(super) proxies: Vec<Proxy>,
    /// One for each nats-server.
    pub(super) journal_disks: Vec<Disk>,
    pub(super) reads_disk: Option<Disk>,
    pub(super) shim: Option<Shim>,
}

impl Field {
    /// Everything that the plan needs, on a ground that holds nothing yet; `serve` is not started.
    ///
    /// # Errors
    /// Something that a fault needs cannot be had here.
    pub(super) async fn prepare(ground: &Ground, plan: &Plan) -> Result<Self, CliError> {
        let has = |kind: Kind| plan.kinds.contains(&kind);
        let failed = |error: std::io::Error| CliError::failed(ground.folder.display(), error);
        std::fs::create_dir_all(ground.off_site()).map_err(failed)?;
        let nats = tokio::task::spawn_blocking(|| infra::nats_server::locate_or_install(|step| note!("{step}"))).await;
        let nats = nats.map_err(|error| CliError::failed("the nats-server", error))?.map_err(CliError::unavailable)?;
        let mut field = Self {
            ground: ground.clone(),
            on: plan.on,
            server: None,
            servers: None,
            proxies: Vec::new(),
            journal_disks: Vec::new(),
            reads_disk: None,
            shim: None,
        };
        if has(Kind::SlowDisk) || has(Kind::Clock) {
            field.shim = Some(Shim::build(&ground.folder)?);
        }
        if has(Kind::FullReads) {
            field.reads_disk = Some(Disk::mount(&ground.data_dir().join("tenants"), DISK_MEGABYTES)?);
        }
        let servers = ground.folder.join("nats");
        if has(Kind::FullJournal) {
            let stores = match plan.on {
                On::Own => vec![ground.data_dir().join("nats/store")],
                On::Server => vec![servers.join("n1")],
                On::Cluster => ["n1", "n2", "n3"].map(|name| servers.join(name)).to_vec(),
            };
            for store in stores {
                field.journal_disks.push(Disk::mount(&store, DISK_MEGABYTES)?);
            }
        }
        let count = match plan.on {
            On::Own => return Ok(field),
            On::Server => 1,
            On::Cluster => 3,
        };
        // Clients keep to the addresses that they were given: those of the proxies.
        let servers = Servers::start_new(&nats, &servers, cast::TENANT, count, false).await?;
        for address in servers.addresses() {
            field.proxies.push(Proxy::to(address).await.map_err(failed)?);
        }
        field.servers = Some(servers);
        Ok(field)
    }

    /// Starts `serve` and waits until it serves. While a fault is there it may end at once because something is not
    /// available: then it is started again, as who supervises it would.
    pub(super) async fn serve(&mut self) -> Result<(), CliError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.serve_once().await {
                Err(error) if error.to_string().contains(NOT_AVAILABLE) && Instant::now() < deadline => {
                    tokio::time::sleep(RESTART).await;
                }
                done => return done,
            }
        }
    }

    /// Starts it now. What it needs may be away until another fault has ended: then it stays down until all have.
    pub(super) async fn serve_if_it_can(&mut self) -> Result<(), CliError> {
        match self.serve_once().await {
            Err(error) if error.to_string().contains(NOT_AVAILABLE) => Ok(()),
            done => done,
        }
    }

    async fn serve_once(&mut self) -> Result<(), CliError> {
        let command = self.command().map_err(|error| CliError::failed("the log of serve", error))?;
        let data_dir = self.ground.data_dir();
        let started = tokio::task::spawn_blocking(move || Server::start(command, &data_dir)).await;
        let log = self.ground.log();
        let server = started
            .map_err(|error| CliError::failed("serve", error))?
            .map_err(|error| CliError::failed(format!("see {}", log.display()), error))?;
        if self.shim.as_ref().is_some_and(|shim| !shim.is_in(server.pid())) {
            return Err(CliError::failed("the shim", "serve did not load it: clock and disk cannot be changed"));
        }
        self.server = Some(server);
        Ok(())
    }

    fn command(&self) -> std::io::Result<Command> {
        let log = File::options().create(true).append(true).open(self.ground.log())?;
        let mut command = Command::new(&self.ground.binary);
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        self.place(&mut command);
        if let Some(shim) = &self.shim {
            shim.put_into(&mut command);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(command)
    }

    /// Where everything is, for any subcommand.
    fn place(&self, command: &mut Command) {
        command.arg("--data-dir").arg(self.ground.data_dir()).arg("--kms-dir").arg(self.ground.kms_dir());
        command.arg("--off-site").arg(self.ground.off_site());
        if let Some(servers) = &self.servers {
            let urls: Vec<String> = self.proxies.iter().map(|proxy| format!("nats://{}", proxy.address())).collect();
            command.arg("--nats").arg(urls.join(",")).arg("--nats-credentials").arg(servers.credentials());
            command.arg("--nats-replicas").arg(urls.len().to_string());
        }
    }

    /// `lethe verify journal`: its exit code, and what it says.
    pub(super) async fn verify(&self) -> Result<(Option<i32>, String), CliError> {
        let mut command = Command::new(&self.ground.binary);
        command.args(["verify", "journal", "--tenant", cast::TENANT]).stdin(Stdio::null());
        self.place(&mut command);
        let output = tokio::task::spawn_blocking(move || command.output()).await;
        let failed = |error: &dyn std::fmt::Display| CliError::failed("lethe verify journal", error);
        let output = output.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((output.status.code(), format!("{}{}", text(&output.stdout), text(&output.stderr))))
    }

    /// The same, until it has an answer: right after a fault a replica may be behind, or nobody leads.
    pub(super) async fn verify_settled(&self) -> Result<(Option<i32>, String), CliError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.verify().await? {
                (Some(6), _) if Instant::now() < deadline => tokio::time::sleep(POLL * 25).await,
                said => return Ok(said),
            }
        }
    }

    /// The names of the nats-servers of others.
    pub(super) fn names(&self) -> Vec<String> {
        self.servers.as_ref().map(Servers::names).unwrap_or_default()
    }

    /// The process id of a nats-server: the own one, or that of this name.
    pub(super) fn nats_pid(&self, name: Option<&str>) -> Result<u32, CliError> {
        let pid = match (name, &self.servers) {
            (Some(name), Some(servers)) => servers.pid(name),
            _ => self.server()?.nats_server(),
        };
        pid.ok_or_else(|| CliError::unavailable("there is no nats-server running"))
    }

    pub(super) fn server(&self) -> Result<&Server, CliError> {
        self.server.as_ref().ok_or_else(|| CliError::unavailable("serve is not running"))
    }

    /// Waits until all is up: nats-servers, and `serve` ready.
    pub(super) async fn settle(&mut self, killed: Option<u32>) -> Result<(), CliError> {
        if self.server.is_none() {
            self.serve().await?;
        }
        match &self.servers {
            Some(servers) => servers.whole().await?,
            None => self.own_server_runs(killed).await?,
        }
        check::ready(&self.server()?.url).await
    }

    /// `serve` must start its own again by itself.
    async fn own_server_runs(&self, killed: Option<u32>) -> Result<(), CliError> {
        let deadline = Instant::now() + PATIENCE;
        while self.on == On::Own && self.server()?.nats_server().is_none_or(|pid| Some(pid) == killed) {
            if Instant::now() > deadline {
                return Err(CliError::unavailable("the nats-server that was killed is not started again"));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Where a server keeps the study's journal stream.
    pub(super) fn stream_of(&self, name: &str, stream: &str) -> Result<PathBuf, CliError> {
        let store = self.servers.as_ref().map(|servers| servers.store(name).to_owned()).unwrap_or_default();
        find(&store, stream).ok_or_else(|| CliError::failed(store.display(), format!("{stream} is not on this disk")))
    }
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let folders = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
    for path in folders {
        // Its Raft log has a folder elsewhere.
        if path.ends_with(Path::new("streams").join(name)) {
            return Some(path);
        }
        if let Some(found) = find(&path, name) {
            return Some(found);
        }
    }
    None
}
