//! `lethe soak`.

use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::CliError;
use crate::platform::random_id;
use crate::soak::{self, Ground, Outcome, Plan};

/// Kills a platform of its own while it is written to, again and again, and checks that nothing that was acknowledged
/// is lost or there twice, and that every erasure ends completed or not begun. Exits with 1 if something is wrong.
#[derive(Args)]
pub(super) struct Soak {
    /// How many rounds; each kills `serve` or its nats-server, in turn.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How many invented participants are written about side by side in a round.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(2..=2000))]
    participants: u32,
    /// Chooses who is killed first, and when. Default: drawn, and shown.
    #[arg(long)]
    seed: Option<u64>,
    /// Folder for data, root keys and the log of `serve`; it is kept. Default: a new temporary one, removed when all is well.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Prints one JSON object on stdout.
    #[arg(long)]
    json: bool,
}

impl Soak {
    pub(super) async fn run(self) -> Result<(), CliError> {
        // Short enough to be typed again.
        let seed = self.seed.unwrap_or_else(|| random_id().as_u64_pair().0 >> 32);
        let plan = Plan { rounds: self.rounds, participants: self.participants, seed };
        let temporary = std::env::temp_dir().join(format!("lethe-soak-{}", random_id().simple()));
        let folder = self.data_dir.clone().unwrap_or_else(|| temporary.clone());
        let folder = std::path::absolute(folder).map_err(|error| CliError::failed("the folder", error))?;
        let binary = std::env::current_exe().map_err(|error| CliError::failed("the running binary", error))?;
        let ground = Ground::new(&binary, &folder);
        note!("Seed {seed}; data, root keys and the log of serve in {}.", folder.display());
        let done = tokio::select! {
            done = with_bar(&plan, &ground) => done,
            () = super::until_told_to_stop() => Err(CliError::failed("soak", "it was told to stop")),
        };
        let verdict = done.and_then(|outcome| self.tell(&outcome));
        match (&verdict, &self.data_dir) {
            (Ok(()), None) => {
                std::fs::remove_dir_all(&temporary)
                    .map_err(|error| CliError::failed(format!("{} cannot be removed", temporary.display()), error))?;
            }
            (Ok(()), Some(_)) => {}
            (Err(_), _) => note!("Kept, to look at: {}", folder.display()),
        }
        verdict
    }

    /// Prints the outcome; an error if something is wrong.
    fn tell(&self, outcome: &Outcome) -> Result<(), CliError> {
        if self.json {
            out!("{}", outcome.json());
        } else {
            out!("{outcome}");
        }
        let faults = outcome.faults();
        for fault in &faults {
            note!("{fault}");
        }
        match faults.len() {
            0 => Ok(()),
            count => Err(CliError::failed("soak", format!("{count} things are wrong (seed {})", outcome.seed))),
        }
    }
}

async fn with_bar(plan: &Plan, ground: &Ground) -> Result<Outcome, CliError> {
    let style = ProgressStyle::with_template("soaking {bar:40} {pos}/{len} rounds, {eta} left");
    let bar = ProgressBar::new(plan.rounds.into()).with_style(style.expect("the template is constant"));
    bar.tick();
    let done = soak::run(plan, ground, |round| bar.set_position(round.into())).await;
    bar.finish_and_clear();
    done
}
