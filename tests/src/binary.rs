//! The real binary, run as its users run it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use lethe::cli::CliError;

pub use lethe::soak::Server;

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
        self.try_serve(folder, change).expect("serve comes up")
    }

    /// The same where it may end instead.
    pub fn try_serve(&self, folder: &Folder, change: impl FnOnce(&mut Command)) -> Result<Server, CliError> {
        let mut command = self.command(folder);
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        change(&mut command);
        Server::start(command, &folder.data())
    }
}
