//! `lethe serve` as a child process: started, killed, stopped.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::cli::CliError;
use crate::platform::running;

/// How long a start may take: the read models catch up before it serves.
const START_PATIENCE: Duration = Duration::from_secs(120);

const POLL: Duration = Duration::from_millis(20);

/// A `lethe serve` of one's own. It is killed when this is dropped.
pub struct Server {
    child: Child,
    data_dir: PathBuf,
    /// Its address.
    pub url: String,
    /// What the operator's routes ask for.
    pub operator_token: String,
}

impl Server {
    /// Runs `command`, which serves `data_dir`, and blocks until it serves.
    ///
    /// # Errors
    /// When it ends instead, or does not come up in time.
    pub fn start(mut command: Command, data_dir: &Path) -> Result<Self, CliError> {
        for name in ["LETHE_TOKEN", "LETHE_TOKEN_FILE", "LETHE_URL", "LETHE_LISTEN"] {
            command.env_remove(name);
        }
        // Ctrl-C in a terminal reaches a whole process group. Who started it ends it.
        let child = command.process_group(0).spawn().map_err(|error| CliError::failed("serve cannot be run", error))?;
        let mut server =
            Self { child, data_dir: data_dir.to_owned(), url: String::new(), operator_token: String::new() };
        let deadline = Instant::now() + START_PATIENCE;
        while Instant::now() < deadline {
            if let Some(run) = running(data_dir).filter(|run| run.pid == server.child.id()) {
                (server.url, server.operator_token) = (run.url, run.operator_token);
                return Ok(server);
            }
            match server.child.try_wait() {
                Ok(None) => std::thread::sleep(POLL),
                Ok(Some(status)) => return Err(CliError::failed("serve ended instead of serving", status)),
                Err(error) => return Err(CliError::failed("the state of serve", error)),
            }
        }
        Err(CliError::unavailable(format!("serve did not come up within {} s", START_PATIENCE.as_secs())))
    }

    /// Ends it as a power cut would (SIGKILL).
    ///
    /// # Errors
    /// When it had ended by itself: then nothing was killed.
    pub fn kill(mut self) -> Result<(), CliError> {
        match self.child.try_wait() {
            Ok(None) => {}
            Ok(Some(status)) => return Err(CliError::failed("serve ended by itself before it was killed", status)),
            Err(error) => return Err(CliError::failed("the state of serve", error)),
        }
        let killed = self.child.kill().and_then(|()| self.child.wait());
        killed.map(drop).map_err(|error| CliError::failed("serve cannot be killed", error))
    }

    /// Whether it ends by itself before `patience` is over. Blocks meanwhile.
    pub fn ends_within(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(POLL),
                Ok(Some(_)) | Err(_) => return true,
            }
        }
        false
    }

    /// Asks it to end, and waits. True: it ended in order.
    pub fn stop(mut self) -> bool {
        signal("TERM", self.child.id()) && self.child.wait().is_ok_and(|status| status.success())
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The process id of its nats-server, while that runs.
    pub fn nats_server(&self) -> Option<u32> {
        let pid =
            std::fs::read_to_string(self.data_dir.join("nats/store/nats-server.pid")).ok()?.trim().parse().ok()?;
        // The file may be an earlier one's, and process ids are used again: only a child of ours is meant.
        (parent(pid) == Some(self.child.id())).then_some(pid)
    }

    /// Ends its nats-server as a crash would (SIGKILL), and says which that was.
    ///
    /// # Errors
    /// When there is none.
    pub fn kill_nats_server(&self) -> Result<u32, CliError> {
        let pid = self.nats_server().ok_or_else(|| CliError::unavailable("serve has no nats-server to kill"))?;
        if signal("KILL", pid) {
            Ok(pid)
        } else {
            Err(CliError::failed("the nats-server cannot be killed", format!("process {pid}")))
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// How it ended, if it did.
    pub(super) fn ended(&mut self) -> Option<String> {
        match self.child.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(status.to_string()),
            Err(error) => Some(error.to_string()),
        }
    }
}

/// Sends a signal by the shell's own `kill`, which is there where no program of that name is.
pub(super) fn signal(name: &str, pid: u32) -> bool {
    let sent = Command::new("/bin/sh")
        .args(["-c", "kill -s \"$1\" \"$2\"", "lethe-soak", name])
        .arg(pid.to_string())
        .stdin(Stdio::null())
        .status();
    sent.is_ok_and(|status| status.success())
}

/// The parent of a living process.
pub(super) fn parent(pid: u32) -> Option<u32> {
    if let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        // `pid (name) state parent …`: the name may hold blanks and brackets. A zombie is not alive.
        let mut words = stat.rsplit_once(')')?.1.split_whitespace();
        return if words.next()? == "Z" { None } else { words.next()?.parse().ok() };
    }
    if Path::new("/proc/self").exists() {
        return None;
    }
    let output = Command::new("ps").args(["-o", "ppid=", "-p", &pid.to_string()]).output().ok()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_of_a_child_is_this_process_until_it_is_dead() {
        let mut child = Command::new("/bin/sh").args(["-c", "read _"]).stdin(Stdio::piped()).spawn().unwrap();
        assert_eq!(parent(child.id()), Some(std::process::id()));
        assert!(signal("KILL", child.id()));
        let pid = child.id();
        child.wait().unwrap();
        assert_eq!(parent(pid), None);
    }
}
