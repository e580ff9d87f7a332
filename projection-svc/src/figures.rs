//! What the figures of a study are made of: what happened, commit by commit, as far as it is structure; and on which
//! days visits took place, sealed. Every figure is computed from that, as of now or as of any earlier moment.
//!
//! - `step`: what of a commit is kept; `apply` below writes it, one row a commit, in journal order.
//! - `state`: the steps folded, up to a moment. `kept`: the state as of now, taken further commit by commit.
//! - `plan`: what a design asks for. One file a figure: a pure function of state, plans and days.

use domain::Day;
use domain::history::{Aggregate, Commit, DataSubject};
use domain::ids::{ParticipantId, StudyId};
use domain::participant::{Event, VisitKey};
use domain::port::{Failure, Tenant};
use domain::scope::{Personal, tag};
use domain::study;

use crate::projection::{Projection, Rows, Stop};
use crate::row::{RowKey, kinds};

pub mod answer;
pub mod completeness;
mod days;
pub mod enrolment;
pub mod kept;
pub mod lag;
pub mod lock;
mod overview;
mod person;
mod plan;
pub mod queries;
pub mod signatures;
mod state;
mod step;
pub mod verification;
pub mod visits;

pub use kept::{Figures, Moment, Snapshot};
pub use step::Happened;

use step::Step;

domain::fields! {
    /// On which days visits of a participant took place, as it was said, word by word.
    pub struct Days {
        /// Oldest first.
        pub days: Vec<VisitDay>,
    }
}

domain::fields! {
    /// A visit took place on a day.
    pub struct VisitDay {
        /// The position that says so.
        pub sequence: u64,
        /// Which visit.
        pub visit: VisitKey,
        /// On which day.
        pub on: Personal<Day, tag::HealthClinical>,
    }
}

kinds! {
    /// What the table holds.
    pub enum FigureRow {
        /// What one commit says.
        "happened" Happened(Happened),
        /// The days of a participant's visits.
        "days" Days(Days),
    }
}

/// The projection.
#[derive(Debug)]
pub struct Happenings;

impl Projection for Happenings {
    const NAME: &'static str = "figures";
    const VERSION: u32 = 3;
    type Row = FigureRow;

    fn takes(aggregate: Aggregate) -> bool {
        matches!(aggregate, Aggregate::Participant | Aggregate::Study)
    }

    fn apply(commit: &Commit, rows: &mut Rows<'_, FigureRow>) -> Result<(), Stop> {
        let stream = &commit.header.stream;
        let Some(study) = &stream.journal.study else { return Ok(()) };
        let mut steps = Vec::new();
        let person = match stream.aggregate {
            Aggregate::Study => {
                steps.extend(commit.shared_facts::<study::Event>()?.iter().filter_map(Step::of_study));
                None
            }
            _ => {
                let Some(person) = stream.data_subject() else { return Ok(()) };
                for event in commit.shared_facts::<Event>()?.iter() {
                    steps.extend(Step::of(event));
                    if let Event::VisitStarted { visit, on, .. } = event {
                        let (visit, on) = (visit.clone(), on.clone());
                        let said = VisitDay { sequence: commit.position.sequence, visit, on };
                        said_day(rows, days_key(study, person), said)?;
                    }
                }
                Some(person)
            }
        };
        // One without steps too: it says how far the study is, and when that was.
        let happened = Happened::new(person, commit, steps);
        rows.put(RowKey::plain(Some(study), step_key(commit.position.sequence)), FigureRow::Happened(happened));
        Ok(())
    }
}

/// The days of these participants' visits as they were said last, opened for one answer.
///
/// # Errors
/// What the store and the keys say.
pub(crate) async fn visit_days(
    tenant: &Tenant,
    study: &StudyId,
    people: impl IntoIterator<Item = ParticipantId>,
    sequence: u64,
) -> Result<days::VisitDays, Failure> {
    days::read(tenant, study, people.into_iter(), sequence).await
}

fn said_day(rows: &mut Rows<'_, FigureRow>, key: RowKey, said: VisitDay) -> Result<(), Stop> {
    let mut days = match rows.get(&key)?.cloned() {
        Some(FigureRow::Days(days)) => days,
        Some(FigureRow::Happened(_)) | None => Days { days: Vec::new() },
    };
    days.days.push(said);
    rows.put(key, FigureRow::Days(days));
    Ok(())
}

const STEPS: &str = "step/";

/// Digits are padded, so that text sorts as numbers do.
fn step_key(sequence: u64) -> String {
    format!("{STEPS}{sequence:020}")
}

fn days_key(study: &StudyId, person: DataSubject) -> RowKey {
    RowKey::about(Some(study), person, "days")
}

#[cfg(test)]
mod tests;
