//! On which days visits took place, opened for one answer and not kept.

use std::collections::BTreeMap;

use domain::Day;
use domain::ids::{ParticipantId, StudyId};
use domain::participant::VisitKey;
use domain::port::{Failure, Tenant};
use domain::scope::Erasable;

use super::{FigureRow, Happenings, days_key};
use crate::row::{RowKey, person};
use crate::shown::Visible;
use crate::view;

/// Of how many participants the days are read at a time.
const AT_ONCE: usize = 1024;

/// The day of each visit of each participant, as it was last said; erased where its key is gone.
pub(super) type VisitDays = BTreeMap<ParticipantId, BTreeMap<VisitKey, Erasable<Day>>>;

/// The days of these participants' visits, as of a position.
pub(super) async fn read(
    tenant: &Tenant,
    study: &StudyId,
    people: impl Iterator<Item = ParticipantId>,
    sequence: u64,
) -> Result<VisitDays, Failure> {
    let people: Vec<ParticipantId> = people.collect();
    let mut found = VisitDays::new();
    for some in people.chunks(AT_ONCE) {
        let keys: Vec<RowKey> = some.iter().map(|id| days_key(study, person(*id))).collect();
        for (key, open) in view::get_many::<Happenings>(tenant, &keys, &Visible::all()).await? {
            if let (Some(whose), FigureRow::Days(row)) = (key.person, open.row) {
                let said = row.days.into_iter().filter(|day| day.sequence <= sequence);
                found.insert(ParticipantId(whose.0), said.map(|day| (day.visit, day.on.value)).collect());
            }
        }
    }
    Ok(found)
}
