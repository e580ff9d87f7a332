//! When backups are taken: before the erasures, between their steps, after them.

use super::figures::Figures;
use super::people::Study;
use crate::cli::CliError;

/// A moment of the drill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Moment {
    Enrolled,
    Requested,
    FirstErased,
    ContactErased,
    AllErased,
}

impl Moment {
    pub(super) const ALL: [Self; 5] =
        [Self::Enrolled, Self::Requested, Self::FirstErased, Self::ContactErased, Self::AllErased];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Enrolled => "before any erasure",
            Self::Requested => "when all erasures were asked for",
            Self::FirstErased => "after the first erasure",
            Self::ContactErased => "after a contact-only erasure",
            Self::AllErased => "after the last erasure",
        }
    }

    /// Brings the study from the moment before to this one.
    pub(super) async fn bring_about(self, study: &mut Study, figures: &mut Figures) -> Result<(), CliError> {
        let nth = match self {
            Self::Enrolled => return Ok(()),
            Self::Requested => {
                for erasure in &study.erasures {
                    study.request(erasure).await?;
                }
                return Ok(());
            }
            Self::FirstErased => 0,
            Self::ContactErased => 1,
            Self::AllErased => 2,
        };
        figures.erasures.push(study.approve(&study.erasures[nth]).await?);
        Ok(())
    }
}
