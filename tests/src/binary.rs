//! The real binary, run as its users run it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use lethe::cli::CliError;
use serde_json::Value;

pub use lethe::soak::Server;

use crate::home::Folder;

/// What the user's environment may say, and no test may hear.
const NOT_OURS: [&str; 22] = [
    "LETHE_BACKUP_EVERY",
    "LETHE_BACKUP_RECIPIENTS",
    "LETHE_BACKUP_TO",
    "LETHE_CA",
    "LETHE_IDLE_MINUTES",
    "LETHE_KMS",
    "LETHE_LISTEN",
    "LETHE_LOG",
    "LETHE_NATS",
    "LETHE_NATS_CA",
    "LETHE_NATS_CREDENTIALS",
    "LETHE_NATS_REPLICAS",
    "LETHE_OFF_SITE",
    "LETHE_PUBLIC_URL",
    "LETHE_TLS_CERT",
    "LETHE_TLS_CLIENT_CA",
    "LETHE_TLS_KEY",
    "LETHE_TLS_OLDEST",
    "LETHE_TOKEN",
    "LETHE_TOKEN_FILE",
    "LETHE_URL",
    "RUST_LOG",
];

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
        // Where a session is kept.
        command.env("XDG_CONFIG_HOME", folder.path().join("config"));
        for name in NOT_OURS {
            command.env_remove(name);
        }
        if folder.off_site().is_dir() {
            command.env("LETHE_OFF_SITE", folder.off_site());
        }
        command
    }

    /// Runs it to its end.
    pub fn run(&self, folder: &Folder, arguments: &[&str]) -> Output {
        self.command(folder).args(arguments).output().expect("the binary can be run")
    }

    /// Runs it in a test that goes on meanwhile, to its end. Returns the exit code and all that it said.
    pub fn said(&self, folder: &Folder, arguments: &[&str]) -> (Option<i32>, String) {
        let output = tokio::task::block_in_place(|| self.run(folder, arguments));
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code(), format!("{out}{err}"))
    }

    /// The same where all must be well. Returns what it prints on stdout.
    pub fn done(&self, folder: &Folder, arguments: &[&str]) -> String {
        let output = tokio::task::block_in_place(|| self.run(folder, arguments));
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {}\n{out}\n{err}", output.status);
        out.trim_end().to_owned()
    }

    /// The same of a subcommand that prints JSON.
    pub fn json(&self, folder: &Folder, arguments: &[&str]) -> Value {
        let out = self.done(folder, &[arguments, &["--json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {out}"))
    }

    /// Runs it to its end with these answers on stdin, one a line. Returns the exit code, stdout and stderr.
    pub fn answering(&self, folder: &Folder, arguments: &[&str], answers: &[&str]) -> (Option<i32>, String, String) {
        tokio::task::block_in_place(|| {
            let mut command = self.command(folder);
            command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().expect("the binary can be run");
            let mut stdin = child.stdin.take().expect("a pipe");
            // One that asks for nothing may be gone by now.
            let _ = stdin.write_all(format!("{}\n", answers.join("\n")).as_bytes());
            drop(stdin);
            let output = child.wait_with_output().expect("it ends");
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
            (output.status.code(), text(&output.stdout), text(&output.stderr))
        })
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
