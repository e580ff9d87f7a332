//! On which days visits took place, opened for one answer and not kept.

use std::collections::BTreeMap;

use domain::Day;
use domain::ids::{ParticipantId, StudyId};
use domain::participant::VisitKey;
use domain::port::{Failure, Tenant};
use domain::scope::Erasable;

use super::{FigureRow, Happenings, days_key};
use crate::row::person;
use crate::view;

/// The day of each visit of each participant, as it was last said; erased where its key is gone.
pub(super) type VisitDays = BTreeMap<ParticipantId, BTreeMap<VisitKey, Erasable<Day>>>;

/// The days of these participants' visits, as of a position.
pub(super) async fn read(
    tenant: &Tenant,
    study: &StudyId,
    people: impl Iterator<Item = ParticipantId>,
    sequence: u64,
) -> Result<VisitDays, Failure> {
    let mut found = VisitDays::new();
    for participant in people {
        let row = view::get::<Happenings>(tenant, &days_key(study, person(participant))).await?;
        if let Some(FigureRow::Days(row)) = row {
            let said = row.days.into_iter().filter(|day| day.sequence <= sequence);
            found.insert(participant, said.map(|day| (day.visit, day.on.value)).collect());
        }
    }
    Ok(found)
}
