//! The child process: how it starts, how it gets signals, and why it does not outlive this process.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use super::config::Layout;
use super::error::NatsServerError;

/// How long a child may take to end by itself.
const STOP_PATIENCE: Duration = Duration::from_secs(15);

/// What of our environment the child gets. Everything else stays here, it may hold secrets.
const ENVIRONMENT: [&str; 4] = ["GOMEMLIMIT", "GOMAXPROCS", "GOGC", "TZ"];

/// A running nats-server. It is killed when this is dropped.
pub(super) struct Process {
    // Dropped in this order: the lifeline must not fire at a process id that is free again.
    _lifeline: Option<Lifeline>,
    child: Child,
    pid: u32,
    binary: PathBuf,
}

impl Process {
    pub(super) fn spawn(binary: &Path, layout: &Layout) -> Result<Self, NatsServerError> {
        let stderr = File::create(&layout.stderr).map_err(NatsServerError::io("create", &layout.stderr))?;
        let child = Command::new(binary)
            .arg("--config")
            .arg(&layout.config)
            .env_clear()
            .envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            // Ctrl-C in a terminal reaches a whole process group. The services must end first.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(NatsServerError::io("run", binary))?;
        let pid = child.id().expect("a child that nobody has waited for has an id");
        Ok(Self { _lifeline: Lifeline::tie(pid), child, pid, binary: binary.to_path_buf() })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until it ends. May be dropped and called again.
    pub(super) async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => format!("unknown status: {error}"),
        }
    }

    /// Ends it: asks, waits, then kills.
    pub(super) async fn stop(mut self) -> String {
        signal(&self.binary, Signal::Terminate, self.pid).await;
        match tokio::time::timeout(STOP_PATIENCE, self.ended()).await {
            Ok(status) => status,
            Err(_) => {
                tracing::error!(pid = self.pid, "nats-server did not end in time and is killed");
                let _ = self.child.start_kill();
                self.ended().await
            }
        }
    }
}

/// What a nats-server is told.
#[derive(Debug, Clone, Copy)]
pub(super) enum Signal {
    Terminate,
    Kill,
}

/// Sends a signal by way of nats-server's own command line, which is certainly there; `kill` may not be.
pub(super) async fn signal(binary: &Path, signal: Signal, pid: u32) {
    let name = match signal {
        Signal::Terminate => "term",
        Signal::Kill => "stop",
    };
    let sent = Command::new(binary)
        .arg("--signal")
        .arg(format!("{name}={pid}"))
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await;
    if !matches!(&sent, Ok(status) if status.success()) {
        tracing::debug!(pid, ?sent, "nats-server did not get its signal, it may have ended already");
    }
}

/// The thread by which a child process hangs on this one: a shell that waits for the end of its input, which comes when this process is gone, however it ended, and then ends the child.
/// Without a shell a child may be left behind; the next start finds and ends it (see `orphan`).
pub struct Lifeline {
    shell: Child,
}

impl Lifeline {
    /// Ties the process with this id; none: there is no shell.
    pub fn tie(pid: u32) -> Option<Self> {
        let shell = Command::new("/bin/sh")
            .args(["-c", "read _; kill -TERM \"$1\"", "lethe-lifeline"])
            .arg(pid.to_string())
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        shell
            .inspect_err(|error| tracing::warn!("no shell to end a server with this process: {error}"))
            .ok()
            .map(|shell| Self { shell })
    }
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        // Before its input is closed.
        let _ = self.shell.start_kill();
    }
}
