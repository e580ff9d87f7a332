//! How an order changes what is shown of it.

use domain::history::{Aggregate, Commit, DataSubject};
use domain::ids::{ErasureId, ParticipantId, StudyId};
use domain::privacy::{Event, Phase};

use super::{
    ALL, Destroyed, ErasureRow, HoldRow, Listed, OPEN, PrivacyRow, RESTRICTION, RestrictionRow, StepDone, by_id,
    erasure_key, hold_entry, hold_key, in_list, restriction_entry,
};
use crate::projection::{Projection, Rows, Stop};
use crate::row::{Act, RowKey};

/// The projection.
#[derive(Debug)]
pub struct Erasures;

impl Projection for Erasures {
    const NAME: &'static str = "erasures";
    const VERSION: u32 = 3;
    type Row = PrivacyRow;

    fn takes(aggregate: Aggregate) -> bool {
        aggregate == Aggregate::Privacy
    }

    fn apply(commit: &Commit, rows: &mut Rows<'_, PrivacyRow>) -> Result<(), Stop> {
        let stream = &commit.header.stream;
        let (Some(study), Some(person)) = (&stream.journal.study, stream.data_subject()) else {
            return Ok(());
        };
        let about = About { commit, study, person };
        commit.facts::<Event>()?.into_iter().try_for_each(|event| about.take(event, rows))
    }
}

/// The commit at hand, and whose it is.
struct About<'a> {
    commit: &'a Commit,
    study: &'a StudyId,
    person: DataSubject,
}

impl About<'_> {
    fn take(&self, event: Event, rows: &mut Rows<'_, PrivacyRow>) -> Result<(), Stop> {
        match event {
            Event::HoldPlaced { hold, scopes, authority, review_on, reason } => {
                let (listed, placed) = (self.commit.position.sequence, Act::of(self.commit));
                let participant = self.participant();
                let row = HoldRow { hold, participant, listed, scopes, authority, review_on, reason, placed };
                rows.put(self.plain(hold_entry(&row)), self.listed());
                rows.put(self.own(hold_key(hold)), PrivacyRow::Hold(row));
            }
            Event::HoldLifted { hold, .. } => {
                let key = self.own(hold_key(hold));
                if let Some(PrivacyRow::Hold(row)) = rows.get(&key)? {
                    let entry = self.plain(hold_entry(row));
                    rows.delete(entry);
                    rows.delete(key);
                }
            }
            Event::RestrictionPlaced { ground, reason } => {
                let (participant, placed) = (self.participant(), Act::of(self.commit));
                let row = RestrictionRow { participant, ground, reason, placed };
                rows.put(self.plain(restriction_entry(participant)), self.listed());
                rows.put(self.own(RESTRICTION.to_owned()), PrivacyRow::Restriction(row));
            }
            Event::RestrictionLifted { .. } => {
                rows.delete(self.plain(restriction_entry(self.participant())));
                rows.delete(self.own(RESTRICTION.to_owned()));
            }
            Event::ErasureRequested { .. } => self.request(event, rows),
            event => self.go_on(&event, rows)?,
        }
        Ok(())
    }

    fn request(&self, event: Event, rows: &mut Rows<'_, PrivacyRow>) {
        let Event::ErasureRequested { erasure, scopes, values, justification, requested_by, reason } = event else {
            return;
        };
        let row = ErasureRow {
            erasure,
            participant: self.participant(),
            listed: self.commit.position.sequence,
            requested: scopes,
            requested_values: values,
            justification,
            reason,
            requested_by,
            granted: Vec::new(),
            granted_values: Vec::new(),
            refused: Vec::new(),
            approved_by: None,
            instruction: None,
            single_copy_accepted: false,
            refusal: None,
            refusal_reason: None,
            destruction_due: None,
            destroyed: None,
            recipients: None,
            probed: None,
            controls: None,
            certificate: None,
            steps: vec![StepDone { phase: Phase::Requested, act: Act::of(self.commit) }],
        };
        rows.put(self.plain(by_id(erasure)), self.listed());
        rows.put(self.plain(in_list(ALL, &row)), self.listed());
        rows.put(self.plain(in_list(OPEN, &row)), self.listed());
        rows.put(self.own(erasure_key(erasure)), PrivacyRow::Erasure(row));
    }

    fn go_on(&self, event: &Event, rows: &mut Rows<'_, PrivacyRow>) -> Result<(), Stop> {
        let Some(erasure) = erasure_of(event) else {
            return Ok(());
        };
        let key = self.own(erasure_key(erasure));
        let Some(PrivacyRow::Erasure(row)) = rows.get(&key)? else {
            return Ok(());
        };
        let row = row.clone().after(event, self.commit);
        if !row.is_open() {
            rows.delete(self.plain(in_list(OPEN, &row)));
        }
        rows.put(key, PrivacyRow::Erasure(row));
        Ok(())
    }

    fn participant(&self) -> ParticipantId {
        ParticipantId(self.person.0)
    }

    fn listed(&self) -> PrivacyRow {
        PrivacyRow::Listed(Listed { participant: self.participant() })
    }

    fn own(&self, rest: String) -> RowKey {
        RowKey::about(Some(self.study), self.person, rest)
    }

    fn plain(&self, rest: String) -> RowKey {
        RowKey::plain(Some(self.study), rest)
    }
}

impl ErasureRow {
    /// Whether something is still to be done.
    pub fn is_open(&self) -> bool {
        !matches!(self.phase(), Phase::Completed | Phase::Refused)
    }

    /// How far it is.
    pub fn phase(&self) -> Phase {
        self.steps.last().map_or(Phase::Requested, |step| step.phase)
    }

    fn after(mut self, event: &Event, commit: &Commit) -> Self {
        match event {
            Event::ErasureAssessed { granted, values, refused, .. } => {
                // A new assessment makes an approval void.
                (self.approved_by, self.instruction, self.single_copy_accepted) = (None, None, false);
                self.granted.clone_from(granted);
                self.granted_values.clone_from(values);
                self.refused.clone_from(refused);
            }
            Event::ErasureApproved { approved_by, instruction, accept_single_copy, .. } => {
                self.approved_by = Some(*approved_by);
                self.instruction = Some(instruction.clone());
                self.single_copy_accepted = *accept_single_copy;
            }
            Event::SingleCopyAccepted { .. } => self.single_copy_accepted = true,
            Event::ErasureRefused { ground, reason, .. } => {
                self.refusal = Some(*ground);
                self.refusal_reason.clone_from(reason);
            }
            Event::DestructionScheduled { until, .. } => self.destruction_due = Some(*until),
            Event::KeysDestroyed { keys, root_before, root_after, destroyed, copy, .. } => {
                let (keys, root_before, root_after) = (*keys, *root_before, *root_after);
                let (targets, copy) = (destroyed.clone(), *copy);
                self.destroyed = Some(Destroyed { keys, root_before, root_after, targets, copy });
            }
            Event::RecipientsNotified { recipients, .. } => self.recipients = Some(*recipients),
            Event::ErasureVerified { probed, controls, .. } => {
                (self.probed, self.controls) = (Some(*probed), Some(*controls));
            }
            Event::ErasureCompleted { certificate, .. } => self.certificate = *certificate,
            _ => {}
        }
        self.steps.extend(phase_of(event).map(|phase| StepDone { phase, act: Act::of(commit) }));
        self
    }
}

/// The erasure that an event is about, if it is about one.
fn erasure_of(event: &Event) -> Option<ErasureId> {
    match event {
        Event::ErasureRequested { erasure, .. }
        | Event::ErasureAssessed { erasure, .. }
        | Event::ErasureApproved { erasure, .. }
        | Event::ErasureRefused { erasure, .. }
        | Event::ErasureBegun { erasure }
        | Event::ErasureCommitted { erasure }
        | Event::SingleCopyAccepted { erasure }
        | Event::DestructionScheduled { erasure, .. }
        | Event::KeysDestroyed { erasure, .. }
        | Event::DerivedPurged { erasure }
        | Event::RecipientsNotified { erasure, .. }
        | Event::ErasureVerified { erasure, .. }
        | Event::ErasureCompleted { erasure, .. } => Some(*erasure),
        Event::HoldPlaced { .. }
        | Event::HoldLifted { .. }
        | Event::RestrictionPlaced { .. }
        | Event::RestrictionLifted { .. } => None,
    }
}

/// The step that an event is, if it is one.
fn phase_of(event: &Event) -> Option<Phase> {
    match event {
        Event::ErasureRequested { .. } => Some(Phase::Requested),
        Event::ErasureAssessed { .. } => Some(Phase::Assessed),
        Event::ErasureApproved { .. } => Some(Phase::Approved),
        Event::ErasureRefused { .. } => Some(Phase::Refused),
        Event::ErasureBegun { .. } => Some(Phase::Begun),
        Event::ErasureCommitted { .. } => Some(Phase::Committed),
        Event::DestructionScheduled { .. } => Some(Phase::DestructionScheduled),
        Event::KeysDestroyed { .. } => Some(Phase::KeysDestroyed),
        Event::DerivedPurged { .. } => Some(Phase::DerivedPurged),
        Event::RecipientsNotified { .. } => Some(Phase::RecipientsNotified),
        Event::ErasureVerified { .. } => Some(Phase::Verified),
        Event::ErasureCompleted { .. } => Some(Phase::Completed),
        Event::SingleCopyAccepted { .. }
        | Event::HoldPlaced { .. }
        | Event::HoldLifted { .. }
        | Event::RestrictionPlaced { .. }
        | Event::RestrictionLifted { .. } => None,
    }
}
