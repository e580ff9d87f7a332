//! The whole way, shown on invented people through the public API: set up, enrol, look, erase, look again.

mod enrol;
mod erase;
pub mod people;
mod setup;
mod show;
pub mod study;

use std::time::Instant;

use domain::port::Dice;
use serde_json::{Value, json};

use crate::cli::{CliError, Client};
use crate::platform::Platform;

pub use setup::Cast;
pub use show::Before;

/// What the demo did.
pub struct Outcome {
    /// How many participants were enrolled.
    pub participants: usize,
    /// Commits written through the API.
    pub commits: u64,
    /// Events in them.
    pub events: u64,
    /// Acknowledged commands a second while enrolling.
    pub commands_per_second: f64,
    /// The participant that was erased.
    pub erased: uuid::Uuid,
    /// What must be found nowhere unsealed.
    pub canaries: Vec<String>,
}

impl Outcome {
    /// As one JSON object.
    pub fn json(&self, data_dir: &std::path::Path) -> Value {
        json!({
            "participants": self.participants,
            "commits": self.commits,
            "events": self.events,
            "erased": 1,
            "erased_participant": self.erased,
            "commands_per_second": self.commands_per_second.round(),
            "canaries": self.canaries,
            "data_dir": data_dir,
        })
    }
}

/// Says what happened; `quiet` for scripts.
pub struct Voice {
    /// Whether to leave out the progress bar and the tables.
    pub quiet: bool,
}

/// Runs the demo against a started platform.
///
/// # Errors
/// The first refusal: the demo sends nothing that should be refused. An erasure that does not complete.
pub async fn run(
    platform: &Platform,
    participants: usize,
    dice: &dyn Dice,
    voice: &Voice,
) -> Result<Outcome, CliError> {
    let cast = Cast::assemble(platform).await?;
    voice.say(&format!(
        "Set up: tenant demo, study {}, {} sites, design published, live.",
        study::STUDY,
        study::SITES.len()
    ));
    let started = Instant::now();
    let enrolled = enrol::all(&cast, participants, dice, voice).await?;
    let seconds = started.elapsed().as_secs_f64();
    let commands_per_second = enrolled.commands as f64 / seconds;
    voice.say(&format!(
        "Enrolled {participants} participants: {} commands in {seconds:.1} s ({commands_per_second:.0}/s), each sealed and on disk before its answer.",
        enrolled.commands
    ));
    let person = &enrolled.people[participants / 2];
    show::read_models(&cast, &enrolled.position, voice).await?;
    let before = Before::look(&cast, person, &enrolled.position).await?;
    show::every_model(&cast, &before, person, voice).await?;
    show::curl_lines(platform, &cast, person, voice);
    let erasure = erase::one(&cast, person, voice).await?;
    if !erasure.is_completed() {
        return Err(CliError::unavailable(format!(
            "the erasure {} did not complete: see its steps at /v1/erasures",
            erasure.erasure
        )));
    }
    show::before_and_after(&cast, &before, person, &erasure, voice).await?;
    Ok(Outcome {
        participants,
        commits: enrolled.commits + erasure.commits,
        events: enrolled.events + erasure.events,
        commands_per_second,
        erased: person.id,
        canaries: enrolled
            .people
            .iter()
            .flat_map(|person| person.canaries.clone())
            .chain(enrolled.narratives)
            .collect(),
    })
}

impl Voice {
    fn say(&self, line: &str) {
        if !self.quiet {
            out!("{line}");
        }
    }
}

/// Enrols invented participants, and nothing else. Returns them.
pub(crate) async fn enrol(
    cast: &Cast,
    participants: usize,
    dice: &dyn Dice,
    voice: &Voice,
) -> Result<Vec<people::Person>, CliError> {
    Ok(enrol::all(cast, participants, dice, voice).await?.people)
}

/// A client for each role.
pub(crate) fn client(platform: &Platform, token: &str) -> Client {
    Client::new(platform.url(), token)
}
