//! The real binary, run as its users run it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use lethe::platform::running;

use crate::home::Folder;

/// Where the binary under test is. Cargo knows it only in the test binary, so it is handed in from there.
#[derive(Debug, Clone)]
pub struct Binary(PathBuf);

impl Binary {
    /// The binary at this path.
    pub fn at(path: &str) -> Self {
        Self(path.into())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A command that uses the folder and nothing of the user's.
    pub fn command(&self, folder: &Folder) -> Command {
        let mut command = Command::new(&self.0);
        command.stdin(Stdio::null()).env("LETHE_DATA_DIR", folder.data()).env("LETHE_KMS_DIR", folder.kms());
        for name in ["LETHE_TOKEN", "LETHE_TOKEN_FILE", "LETHE_URL", "LETHE_LISTEN", "LETHE_LOG", "RUST_LOG"] {
            command.env_remove(name);
        }
        command
    }

    /// Runs it to its end.
    pub fn run(&self, folder: &Folder, arguments: &[&str]) -> Output {
        self.command(folder).args(arguments).output().expect("the binary can be run")
    }

    /// Starts `serve` on a free port and waits until it serves.
    pub fn serve(&self, folder: &Folder, change: impl FnOnce(&mut Command)) -> Server {
        let mut command = self.command(folder);
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        change(&mut command);
        let child = command.spawn().expect("the binary can be started");
        let mut server = Server { child, url: String::new(), operator_token: String::new() };
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(run) = running(&folder.data()) {
                (server.url, server.operator_token) = (run.url, run.operator_token);
                return server;
            }
            let ended = server.child.try_wait().expect("its state can be asked");
            assert!(ended.is_none(), "serve ended: {ended:?}");
            assert!(Instant::now() < deadline, "serve does not come up");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A `lethe serve` of one's own.
pub struct Server {
    child: Child,
    /// Its address.
    pub url: String,
    /// What the operator's routes ask for.
    pub operator_token: String,
}

impl Server {
    /// Ends it as a power cut would.
    pub fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it can be waited for");
    }

    /// Asks it to end, and waits.
    pub fn stop(mut self) -> bool {
        let asked = Command::new("kill").arg(self.child.id().to_string()).status().expect("kill can be run");
        asked.success() && self.child.wait().expect("it can be waited for").success()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
