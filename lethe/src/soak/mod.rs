//! Faults strike a platform of its own while participants write to it, again and again: it must lose and double nothing.
//!
//! - `kind`: the faults. `plan`: from the seed to the list of them; pure.
//! - `field`: what the platform stands on. `server`: the real binary as a child process; `servers`: nats-servers;
//!   `proxy`: the network between them; `disk`: disks that can be full; `shim`: its clock, and its fsync.
//! - `strike`: how each fault begins and ends.
//! - `write`: invented participants, and what each of them sends. `reach`: where to, and what failures said.
//! - `history`: what was sent and what is found, and the verdict on it; pure.
//! - `check`: asks the platform for what is found.
//! - `round`: write, strike, recover, check.

mod cast;
mod chance;
mod check;
mod disk;
mod field;
mod history;
mod kind;
mod outcome;
mod plan;
mod proxy;
mod reach;
mod round;
mod server;
mod servers;
mod shim;
mod strike;
mod tide;
mod write;

use std::path::{Path, PathBuf};

use crate::cli::CliError;

pub use kind::{Kind, On};
pub use outcome::Outcome;
pub use plan::{Blow, Plan, Round};
pub use server::Server;
pub use servers::Servers;

use cast::Cast;
use field::Field;
use history::Person;

/// Why a fault cannot be had on this machine; none: it can.
pub fn lacking(kind: Kind) -> Option<String> {
    let folder = std::env::temp_dir().join(format!("lethe-soak-{}", crate::platform::random_id().simple()));
    let tried = match kind {
        Kind::FullJournal | Kind::FullReads => disk::Disk::mount(&folder, 1).map(drop),
        Kind::SlowDisk | Kind::Clock => std::fs::create_dir_all(&folder)
            .map_err(|error| CliError::failed(folder.display(), error))
            .and_then(|()| shim::Shim::build(&folder).map(drop)),
        _ => Ok(()),
    };
    // Whatever was made is in the way of nobody.
    let _ = std::fs::remove_dir_all(&folder);
    tried.err().map(|error| error.to_string())
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
}

/// Carries the plan out on a ground that holds no platform yet. `each` hears what came of the rounds so far after each
/// of them, and says whether there is time for another; if not, the end is as after the last round.
///
/// What was lost, doubled or half-done is in the outcome, not an error.
///
/// # Errors
/// Whatever keeps the rounds from going on: a fault that cannot be had here, a platform that does not start, a refusal of
/// what should be accepted.
pub async fn run(plan: &Plan, ground: &Ground, mut each: impl FnMut(&Outcome) -> bool) -> Result<Outcome, CliError> {
    if ground.data_dir().exists() {
        let message = format!("{} holds data already: give an empty folder", ground.data_dir().display());
        return Err(CliError::conflict(message));
    }
    let mut field = Field::prepare(ground, plan).await?;
    field.serve().await?;
    let cast = Cast::assemble(field.server()?).await?;
    let mut soak = Soak { field, cast, people: Vec::new(), outcome: Outcome::of(plan) };
    for (number, round) in (0..).zip(plan.all()) {
        soak.round(plan, number, &round)
            .await
            .map_err(|error| error.during(format!("round {}, {round}", number + 1)))?;
        let goes_on = each(&soak.outcome);
        // What is wrong is looked at as it is, not after more faults.
        if !goes_on || !soak.outcome.findings().is_empty() {
            break;
        }
    }
    soak.end().await
}

/// A plan under way.
struct Soak {
    field: Field,
    cast: Cast,
    /// Everybody of all rounds.
    people: Vec<Person>,
    outcome: Outcome,
}
