//! `lethe serve` is killed while participants write to it, again and again, and must have lost and doubled nothing.
//!
//! - `server`: the real binary as a child process, and how it is killed.
//! - `write`: invented participants, and what each of them sends.
//! - `history`: what was sent and what is found, and the verdict on it; pure.
//! - `check`: asks the platform for what is found.
//! - `round`: write, kill, start again, check.

mod cast;
mod chance;
mod check;
mod history;
mod outcome;
mod round;
mod server;
mod tide;
mod write;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cli::CliError;

pub use outcome::Outcome;
pub use server::Server;

use cast::Cast;
use chance::Chance;
use history::Person;

/// How long and how hard.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many rounds, each with one kill.
    pub rounds: u32,
    /// How many participants are written about side by side in a round; at least two.
    pub participants: u32,
    /// Chooses whom the first round kills (even: `serve`, odd: its nats-server; then in turn), and when each round kills.
    pub seed: u64,
}

/// Which binary serves, and where its data, its root keys and its log go.
#[derive(Debug, Clone)]
pub struct Ground {
    binary: PathBuf,
    folder: PathBuf,
}

impl Ground {
    /// All below `folder`.
    pub fn new(binary: &Path, folder: &Path) -> Self {
        Self { binary: binary.to_owned(), folder: folder.to_owned() }
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The folder of root keys.
    pub fn kms_dir(&self) -> PathBuf {
        self.folder.join("kms")
    }

    /// Where the newest key tree and every erasure go.
    fn off_site(&self) -> PathBuf {
        self.folder.join("off-site")
    }

    /// What all runs of `serve` said.
    pub fn log(&self) -> PathBuf {
        self.folder.join("serve.log")
    }

    /// Starts `serve` and waits until it serves.
    async fn serve(&self) -> Result<Server, CliError> {
        let command = self.command().map_err(|error| CliError::failed("the log of serve", error))?;
        let data_dir = self.data_dir();
        let started = tokio::task::spawn_blocking(move || Server::start(command, &data_dir)).await;
        let log = self.log();
        started
            .map_err(|error| CliError::failed("serve", error))?
            .map_err(|error| CliError::failed(format!("see {}", log.display()), error))
    }

    fn command(&self) -> std::io::Result<Command> {
        let log = File::options().create(true).append(true).open(self.log())?;
        let mut command = Command::new(&self.binary);
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        command.arg("--data-dir").arg(self.data_dir()).arg("--kms-dir").arg(self.kms_dir());
        command.arg("--off-site").arg(self.off_site());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(command)
    }
}

/// Carries the plan out on a ground that holds no platform yet. `each` hears what came of the rounds so far after each
/// of them, and says whether there is time for another; if not, the end is as after the last round.
///
/// What was lost, doubled or half-done is in the outcome, not an error.
///
/// # Errors
/// Whatever keeps the rounds from going on: a platform that does not start, a refusal of what should be accepted.
pub async fn run(plan: &Plan, ground: &Ground, mut each: impl FnMut(&Outcome) -> bool) -> Result<Outcome, CliError> {
    if ground.data_dir().exists() {
        let message = format!("{} holds data already: give an empty folder", ground.data_dir().display());
        return Err(CliError::conflict(message));
    }
    std::fs::create_dir_all(ground.off_site())
        .map_err(|error| CliError::failed(format!("the folder {}", ground.folder.display()), error))?;
    let installed = tokio::task::spawn_blocking(|| infra::nats_server::locate_or_install(|step| note!("{step}")));
    installed.await.map_err(|error| CliError::failed("the nats-server", error))?.map_err(CliError::unavailable)?;
    let server = ground.serve().await?;
    let cast = Cast::assemble(&server).await?;
    let mut soak = Soak {
        ground: ground.clone(),
        cast,
        server: Some(server),
        people: Vec::new(),
        chance: Chance::of(plan.seed),
        outcome: Outcome::of(plan),
    };
    for round in 0..plan.rounds {
        soak.round(plan, round).await?;
        let goes_on = each(&soak.outcome);
        // What is wrong is looked at as it is, not after more kills.
        if !goes_on || !soak.outcome.faults.is_empty() {
            break;
        }
    }
    soak.end().await
}

/// A plan under way.
struct Soak {
    ground: Ground,
    cast: Cast,
    /// None only between a kill and the next start.
    server: Option<Server>,
    /// Everybody of all rounds.
    people: Vec<Person>,
    chance: Chance,
    outcome: Outcome,
}
