//! `lethe soak`.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::CliError;
use crate::platform::random_id;
use crate::soak::{self, Ground, Outcome, Plan};

/// After how many rounds a line says how far it is, where nobody sees the bar.
const LINE_EVERY: u32 = 10;

/// Kills a platform of its own while it is written to, again and again, and checks that nothing that was acknowledged
/// is lost or there twice, and that every erasure ends completed or not begun. Exits with 1 if something is wrong.
///
/// Ctrl-C ends the round that is under way and then the soak, with the report of the rounds that were carried out; a
/// second one ends at once.
#[derive(Args)]
pub(super) struct Soak {
    /// How many rounds; each kills `serve` or its nats-server, in turn.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Begins no round after so many minutes, and reports those that were carried out.
    #[arg(long = "for", value_name = "MINUTES", value_parser = clap::value_parser!(u64).range(1..))]
    minutes: Option<u64>,
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
        let so_far = SoFar::new(self.minutes.map(|minutes| Duration::from_secs(minutes * 60)));
        let done = tokio::select! {
            done = with_bar(&plan, &ground, &so_far) => done,
            () = so_far.until_told_twice() => Err(CliError::failed("soak", "it was told twice to stop")),
        };
        if let (Err(_), Some(outcome)) = (&done, so_far.outcome()) {
            note!("What the rounds before found:\n{outcome}");
        }
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

/// What is known while the rounds go on, and whether there is time for another.
struct SoFar {
    outcome: Mutex<Option<Outcome>>,
    told_to_stop: AtomicBool,
    deadline: Option<Instant>,
}

impl SoFar {
    fn new(patience: Option<Duration>) -> Self {
        let deadline = patience.map(|patience| Instant::now() + patience);
        Self { outcome: Mutex::default(), told_to_stop: AtomicBool::new(false), deadline }
    }

    /// Keeps what came of the rounds so far; whether another may begin.
    fn goes_on(&self, outcome: &Outcome) -> bool {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome.clone());
        let late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        !late && !self.told_to_stop.load(Ordering::Relaxed)
    }

    fn outcome(&self) -> Option<Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn until_told_twice(&self) {
        super::until_told_to_stop().await;
        self.told_to_stop.store(true, Ordering::Relaxed);
        note!("This round is the last one; then the report. Once more ends at once.");
        super::until_told_to_stop().await;
    }
}

async fn with_bar(plan: &Plan, ground: &Ground, so_far: &SoFar) -> Result<Outcome, CliError> {
    let style = ProgressStyle::with_template("soaking {bar:40} {pos}/{len} rounds, {eta} left");
    let bar = ProgressBar::new(plan.rounds.into()).with_style(style.expect("the template is constant"));
    bar.tick();
    let is_seen = std::io::stderr().is_terminal();
    let each = |outcome: &Outcome| {
        bar.set_position(outcome.rounds.into());
        if !is_seen && outcome.rounds.is_multiple_of(LINE_EVERY) {
            note!(
                "{} of {} rounds, {} commands acknowledged, {} faults",
                outcome.rounds,
                plan.rounds,
                outcome.acknowledged,
                outcome.faults().len()
            );
        }
        so_far.goes_on(outcome)
    };
    let done = soak::run(plan, ground, each).await;
    bar.finish_and_clear();
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> Outcome {
        Outcome::of(&Plan { rounds: 9, participants: 2, seed: 1 })
    }

    #[test]
    fn rounds_go_on_until_the_time_is_over_and_what_they_found_is_kept() {
        let endless = SoFar::new(None);
        assert!(endless.goes_on(&outcome()) && endless.outcome().is_some());
        let over = SoFar::new(Some(Duration::ZERO));
        assert!(!over.goes_on(&outcome()));
        assert_eq!(over.outcome().map(|outcome| outcome.seed), Some(1), "the last round counts");
        assert!(SoFar::new(Some(Duration::from_secs(3600))).goes_on(&outcome()));
    }

    #[test]
    fn who_is_told_to_stop_begins_no_other_round() {
        let so_far = SoFar::new(None);
        so_far.told_to_stop.store(true, Ordering::Relaxed);
        assert!(!so_far.goes_on(&outcome()));
    }
}
