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
use crate::soak::{self, Ground, Kind, On, Outcome, Plan};

/// After how many rounds a line says how far it is, where nobody sees the bar.
const LINE_EVERY: u32 = 10;

/// Lets faults strike a platform of its own while it is written to, again and again, and checks that nothing that was
/// acknowledged is lost or there twice, that every stream is one line, that every read model is what a rebuild makes of the
/// journal, and that every erasure ends completed or not begun (docs/faults.md). Exits with 1 if something is wrong.
///
/// Ctrl-C ends the round that is under way and then the soak, with the report of the rounds that were carried out; a
/// second one ends at once.
#[derive(Args)]
pub(super) struct Soak {
    /// Where the journals are: `own` (a nats-server that `serve` supervises), `server` (one behind a proxy) or `cluster`
    /// (three, each behind a proxy).
    #[arg(long, default_value = "own", value_name = "own|server|cluster")]
    on: On,
    /// Which faults strike: names with commas between them, or `all` that can be had here. Full disks need root,
    /// slow-disk and clock a C compiler.
    #[arg(long, default_value = "kill-serve,kill-nats", value_name = "LIST")]
    faults: String,
    /// How many rounds; in each one fault strikes, or two.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Begins no round after so many minutes, and reports those that were carried out.
    #[arg(long = "for", value_name = "MINUTES", value_parser = clap::value_parser!(u64).range(1..))]
    minutes: Option<u64>,
    /// How many invented participants are written about side by side in a round.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(2..=2000))]
    participants: u32,
    /// How many seconds a fault may last.
    #[arg(long, default_value_t = 25, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=120))]
    longest: u64,
    /// Everything else follows from it: what strikes whom, when and how long. Default: drawn, and shown.
    #[arg(long)]
    seed: Option<u64>,
    /// Folder for data, root keys and logs; it is kept. Default: a new temporary one, removed when all is well.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Prints the plan and does nothing.
    #[arg(long)]
    dry: bool,
    /// Prints one JSON object on stdout.
    #[arg(long)]
    json: bool,
}

impl Soak {
    pub(super) async fn run(self) -> Result<(), CliError> {
        // Short enough to be typed again.
        let seed = self.seed.unwrap_or_else(|| random_id().as_u64_pair().0 >> 32);
        let kinds = self.kinds()?;
        let longest = Duration::from_secs(self.longest);
        let plan = Plan { on: self.on, kinds, rounds: self.rounds, participants: self.participants, longest, seed };
        if self.dry {
            out!("{plan}");
            return Ok(());
        }
        let temporary = std::env::temp_dir().join(format!("lethe-soak-{}", random_id().simple()));
        let folder = self.data_dir.clone().unwrap_or_else(|| temporary.clone());
        let folder = std::path::absolute(folder).map_err(|error| CliError::failed("the folder", error))?;
        let binary = std::env::current_exe().map_err(|error| CliError::failed("the running binary", error))?;
        let ground = Ground::new(&binary, &folder);
        note!("Seed {seed}; data, root keys and logs in {}.\n{}\n{plan}", folder.display(), plan.command());
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
            (Err(_), _) => note!("Kept, to look at: {}\nTo do it again: {}", folder.display(), plan.command()),
        }
        verdict
    }

    /// The faults that are asked for. Of `all`, those that this machine cannot have are named and left out.
    fn kinds(&self) -> Result<Vec<Kind>, CliError> {
        let mut kinds = Kind::list(&self.faults, self.on).map_err(CliError::input)?;
        if self.faults == "all" && !self.dry {
            kinds.retain(|kind| match soak::lacking(*kind) {
                Some(reason) => {
                    note!("Without {kind}: {reason}");
                    false
                }
                None => true,
            });
        }
        Ok(kinds)
    }

    /// Prints the outcome; an error if something is wrong.
    fn tell(&self, outcome: &Outcome) -> Result<(), CliError> {
        if self.json {
            out!("{}", outcome.json());
        } else {
            out!("{outcome}");
        }
        let findings = outcome.findings();
        for finding in &findings {
            note!("{finding}");
        }
        match findings.len() {
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
                "{} of {} rounds, {} faults, {} commands acknowledged, {} things wrong",
                outcome.rounds,
                plan.rounds,
                outcome.struck(),
                outcome.acknowledged,
                outcome.findings().len()
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
        let kinds = vec![Kind::KillServe];
        Outcome::of(&Plan { on: On::Own, kinds, rounds: 9, participants: 2, longest: Duration::ZERO, seed: 1 })
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
