//! Measures a platform of its own, beside what the machine can do at best.
//!
//! - `append`: commands one by one, beside single publishes.
//! - `ground`: the folder, the real binary as a child process, the study and who works in it.
//! - `fill`: invented participants, sent through the bulk route.
//! - `views`: what is asked, and how long the answers take; `still`: a server that does nothing but answer.
//! - `pages`: the overview as a person sees it.
//! - `exports`: how much memory an export of the whole study takes; `memory`: how much serving does.
//! - `counted`: how long the figures of the study take.
//! - `bulk`: commands by the thousand, `enrol`: participants one by one; `beside`: the raw limit of what is written.
//! - `rebuild`: all read models from the journal, beside an ordered consumer; `shred`: the drill's figures.
//! - `curve`: commands, rebuild and shred by the number of streams.
//! - `disk`: what a write with a sync takes.
//! - `figures`: medians and spreads, as a table and as JSON.

mod append;
mod beside;
mod bulk;
mod counted;
mod curve;
mod disk;
mod enrol;
mod exports;
mod figures;
mod fill;
mod ground;
mod memory;
mod pages;
mod rebuild;
mod shred;
mod still;
mod views;

use crate::cli::CliError;

pub use append::{AppendPlan, append};
pub use bulk::{BulkPlan, bulk};
pub use curve::{CurveOf, CurvePlan, curve};
pub use disk::disk;
pub use enrol::{EnrolPlan, enrol};
pub use figures::{Figure, Figures};
pub use ground::Ground;
pub use memory::memory;
pub use rebuild::rebuild;
pub use shred::shred;

/// How much, how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// How many participants the study has.
    pub participants: u32,
    /// How many values each of them has: in forms of twenty.
    pub values: u32,
    /// How many clients ask side by side.
    pub clients: usize,
    /// How many requests of each view are timed in one round.
    pub requests: usize,
    /// How many rounds, ours and the raw limit in turn.
    pub rounds: usize,
    /// The formats in which the whole study is exported.
    pub formats: Vec<String>,
}

/// Fills the study as far as it is not, then asks and exports.
///
/// # Errors
/// Whatever is refused or does not answer: nothing is measured that did not succeed.
pub async fn query(plan: &Plan, ground: &Ground) -> Result<Figures, CliError> {
    let mut scene = ground.open(plan).await?;
    fill::all(plan, &mut scene).await?;
    let mut figures = Figures::of(plan);
    views::measure(plan, &scene, &mut figures).await?;
    pages::measure(plan, &scene, &mut figures).await?;
    exports::measure(plan, &scene, &mut figures).await?;
    counted::measure(plan, &scene, &mut figures).await?;
    scene.close();
    Ok(figures)
}
