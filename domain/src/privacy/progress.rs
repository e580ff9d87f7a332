//! Recording what the platform has carried out: each step once, none left out.

use super::decide::{Facts, Here};
use super::{Destroy, Event, Order, Phase, Privacy, Refused, Stage, Step, TargetKeys};
use crate::Moment;
use crate::ids::ErasureId;
use crate::port::TreeCopies;

impl Privacy {
    pub(super) fn progress(&self, id: ErasureId, step: &Step, context: &Here<'_>) -> Facts {
        let erasure = self.erasure(id)?;
        let at = erasure.phase();
        if at == Phase::Refused {
            return Err(Refused::WasRefused);
        }
        if let (Stage::Scheduled { order, until }, Step::DestructionScheduled { until: later, copy }) =
            (&erasure.stage, step)
            && later > until
        {
            return scheduled(id, order, *later, *copy);
        }
        if at >= step.phase() {
            return Ok(vec![]);
        }
        match (&erasure.stage, step) {
            (Stage::Approved(order), Step::Begun {}) => {
                self.refuse_kept(&order.assessment.granted, context)?;
                Ok(vec![Event::ErasureBegun { erasure: id }])
            }
            (Stage::Begun(_), Step::Committed {}) => Ok(vec![Event::ErasureCommitted { erasure: id }]),
            (Stage::Committed(order), Step::DestructionScheduled { until, copy }) => {
                scheduled(id, order, *until, *copy)
            }
            (Stage::Committed(order) | Stage::Scheduled { order, .. }, Step::KeysDestroyed { destroyed, copy }) => {
                keys_destroyed(id, order, destroyed, *copy)
            }
            (Stage::KeysDestroyed(_), Step::DerivedPurged {}) => Ok(vec![Event::DerivedPurged { erasure: id }]),
            (Stage::DerivedPurged(_), Step::RecipientsNotified { recipients }) => {
                Ok(vec![Event::RecipientsNotified { erasure: id, recipients: *recipients }])
            }
            (Stage::RecipientsNotified(_), Step::Verified { probed, opened, controls, controls_opened }) => {
                if *controls > 0 && *controls_opened == 0 {
                    return Err(Refused::NothingOpens);
                }
                proven(id, (*probed, *opened), *controls_opened, erasure.granted().len() as u64)
            }
            (Stage::Verified(_), Step::Completed { certificate }) => {
                Ok(vec![Event::ErasureCompleted { erasure: id, certificate: Some(*certificate) }])
            }
            _ => Err(Refused::OutOfOrder { at }),
        }
    }
}

/// Only the controller can do without a copy elsewhere.
fn check_copy(order: &Order, copy: TreeCopies) -> Result<(), Refused> {
    match (order.destroy, copy) {
        (Destroy::WaitsForOffSite, TreeCopies::Single) => Err(Refused::NoOffSiteCopy),
        (Destroy::WaitsForOffSite, TreeCopies::OffSite) | (Destroy::SingleCopyAccepted, _) => Ok(()),
    }
}

fn scheduled(erasure: ErasureId, order: &Order, until: Moment, copy: TreeCopies) -> Facts {
    check_copy(order, copy)?;
    Ok(vec![Event::DestructionScheduled { erasure, until }])
}

fn keys_destroyed(erasure: ErasureId, order: &Order, destroyed: &[TargetKeys], copy: TreeCopies) -> Facts {
    check_copy(order, copy)?;
    let granted = &order.assessment.granted;
    let missing = granted
        .each()
        .find(|(scope, part)| !destroyed.iter().any(|target| target.scope == *scope && target.part.as_ref() == *part));
    if let Some((scope, _)) = missing {
        return Err(Refused::NotDestroyed(scope));
    }
    let keys = destroyed.iter().map(|target| target.keys).sum();
    let root_before = destroyed.iter().map(|target| target.root_before).min().unwrap_or_default();
    let root_after = destroyed.iter().map(|target| target.root_after).max().unwrap_or_default();
    let destroyed = destroyed.to_vec();
    Ok(vec![Event::KeysDestroyed { erasure, keys, root_before, root_after, destroyed, copy }])
}

fn proven(erasure: ErasureId, (probed, opened): (u64, u64), controls: u64, needed: u64) -> Facts {
    if opened > 0 {
        return Err(Refused::StillReadable { opened });
    }
    if probed < needed {
        return Err(Refused::ProbeIncomplete { probed, needed });
    }
    Ok(vec![Event::ErasureVerified { erasure, probed, controls }])
}

impl Step {
    /// The stage that it leads to.
    fn phase(&self) -> Phase {
        match self {
            Self::Begun {} => Phase::Begun,
            Self::Committed {} => Phase::Committed,
            Self::DestructionScheduled { .. } => Phase::DestructionScheduled,
            Self::KeysDestroyed { .. } => Phase::KeysDestroyed,
            Self::DerivedPurged {} => Phase::DerivedPurged,
            Self::RecipientsNotified { .. } => Phase::RecipientsNotified,
            Self::Verified { .. } => Phase::Verified,
            Self::Completed { .. } => Phase::Completed,
        }
    }
}
