//! Destroying the keys of all erasures that came that far: one new root serves them all.

use std::time::Duration;

use domain::Moment;
use domain::history::StreamId;
use domain::port::{Destruction, Failure, ShredReceipt, Shredded, Target, Tenant, WaitingOn};
use domain::privacy::{Step, TargetKeys};
use time::OffsetDateTime;

use super::case::{Case, Pause};
use crate::refusal::Refusal;

/// How soon a KMS is asked again that keeps a key beyond the date that it named.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// An erasure whose keys are to be destroyed.
pub(super) struct Ready<'a> {
    pub(super) case: Case<'a>,
    pub(super) targets: Vec<Target>,
}

/// Where an erasure rests: nowhere, or until then.
pub(super) type Rest = Option<OffsetDateTime>;

/// Destroys the keys of all, then takes each to its end.
pub(super) async fn together(tenant: &Tenant, ready: Vec<Ready<'_>>) -> Vec<(StreamId, Result<Rest, Refusal>)> {
    if ready.is_empty() {
        return Vec::new();
    }
    let targets: Vec<Target> = ready.iter().flat_map(|ready| &ready.targets).cloned().collect();
    tracing::trace!(target: "failpoint", at = "erasure-before-shred");
    let receipt = tenant.keys.shred(&targets).await;
    tracing::trace!(target: "failpoint", at = "erasure-after-shred");
    let mut outcomes = Vec::new();
    for Ready { case, targets } in ready {
        let result = match case.needs(WaitingOn::KeyTree, receipt.clone()) {
            Ok(receipt) => finish(&case, &targets, &receipt).await,
            Err(refusal) => Err(refusal),
        };
        outcomes.push((case.stream().clone(), result));
    }
    outcomes
}

async fn finish(case: &Case<'_>, targets: &[Target], receipt: &ShredReceipt) -> Result<Rest, Refusal> {
    let copy = receipt.copy;
    if let Destruction::Scheduled { at } = receipt.destruction {
        case.record(Step::DestructionScheduled { until: Moment(at), copy }).await?;
        return Ok(Some(at.max(case.now() + ASK_AGAIN)));
    }
    let of_target = |target: &Target| receipt.targets.iter().find(|shredded| shredded.target == *target);
    let destroyed = targets.iter().filter_map(of_target).map(told).collect();
    case.record(Step::KeysDestroyed { destroyed, copy }).await?;
    match case.advance().await? {
        Pause::NothingToDo => Ok(None),
        Pause::Until(_) | Pause::DestroyKeys(_) => {
            Err(Failure::damaged(case.stream(), "its keys are destroyed and yet to be").into())
        }
    }
}

fn told(shredded: &Shredded) -> TargetKeys {
    let Shredded { target, keys, root_before, root_after } = shredded;
    TargetKeys {
        scope: target.scope,
        part: target.part.clone(),
        keys: *keys,
        root_before: *root_before,
        root_after: *root_after,
    }
}
