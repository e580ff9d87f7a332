//! The drill: people are erased, the site is lost, a backup from before is restored beside the live root keys, and
//! everything is looked at. What comes back of an erased person, or is missing of a survivor, is counted.
//!
//! - `ground`: where a drill keeps its things, and which KMS it uses; a scratch instance of its own.
//! - `people`: who takes part, what is erased of whom, and what everybody's data looks like through the API.
//! - `moments`: the backups, taken before, between and after the erasures.
//! - `look`: what can be reached after a restore: answers, audit trail, certificates, raw keys.
//! - `figures`: what is printed.
//! - [`shred`]: what one shred costs, by the size of the tree.

mod figures;
mod ground;
mod look;
mod moments;
mod people;
pub mod shred;

pub use figures::Figures;
pub use ground::{Ground, KmsKind, OffSiteKind};

use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::CliError;
use moments::Moment;
use people::Study;

/// How large the drill is.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many participants; at least four, because three of them are erased.
    pub participants: usize,
    /// The KMS that holds the root keys.
    pub kms: KmsKind,
    /// Where the off-site copy and the backups are.
    pub off_site: OffSiteKind,
}

/// Carries the drill out on a ground that holds nothing yet.
///
/// What came back or is missing is in the figures, not an error.
///
/// # Errors
/// Whatever keeps the drill from going on: something that does not start, a refusal of what should be accepted.
pub async fn run(plan: &Plan, ground: &Ground, quiet: bool) -> Result<Figures, CliError> {
    let bar = bar(quiet);
    let begun = Instant::now();
    let mut figures = Figures::of(plan);
    tell(&bar, "starting a platform and enrolling");
    let mut platform = ground.start().await?;
    let mut study = Study::enrol(&platform, plan.participants, quiet).await?;
    let mut backups = Vec::new();
    for moment in Moment::ALL {
        tell(&bar, moment.as_str());
        moment.bring_about(&mut study, &mut figures).await?;
        backups.push((moment, ground.back_up(&platform).await?));
    }
    let before = study.look().await?;
    for (moment, backup) in backups {
        tell(&bar, &format!("losing the site, restoring the backup taken {}", moment.as_str()));
        platform.stop().await;
        ground.lose_the_site()?;
        let restored = ground.restore(&backup).await?;
        platform = ground.start().await?;
        study.moved_to(&platform);
        let found = look::at(ground, &platform, &study, &before).await?;
        figures.restored(moment, restored, found);
        bar.inc(1);
    }
    platform.stop().await;
    bar.finish_and_clear();
    figures.seconds = begun.elapsed().as_secs_f64();
    Ok(figures)
}

fn bar(quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:20} {pos}/{len} restores, {elapsed}: {msg}");
    ProgressBar::new(Moment::ALL.len() as u64).with_style(style.expect("the template is constant"))
}

fn tell(bar: &ProgressBar, what: &str) {
    bar.set_message(what.to_owned());
    tracing::info!(what, "drill");
}
