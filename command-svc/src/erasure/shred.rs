//! Destroying the keys of all erasures that came that far: one new root serves them all.

use std::collections::BTreeSet;

use domain::history::StreamId;
use domain::port::{Failure, ShredReceipt, Target, Tenant};
use domain::privacy::Step;
use domain::scope::Scope;

use super::case::{Case, Pause};
use crate::refusal::Refusal;

/// An erasure whose keys are to be destroyed.
pub(super) struct Ready<'a> {
    pub(super) case: Case<'a>,
    pub(super) scopes: BTreeSet<Scope>,
}

/// Destroys the keys of all, then takes each to its end.
pub(super) async fn together(tenant: &Tenant, ready: Vec<Ready<'_>>) -> Vec<(StreamId, Result<(), Refusal>)> {
    let mut cases = Vec::new();
    let mut outcomes = Vec::new();
    for Ready { case, scopes } in ready {
        match count(tenant, &case, &scopes).await {
            Ok((targets, keys)) => cases.push((case, targets, keys)),
            Err(refusal) => outcomes.push((case.stream().clone(), Err(refusal))),
        }
    }
    if cases.is_empty() {
        return outcomes;
    }
    let targets: Vec<Target> = cases.iter().flat_map(|(_, targets, _)| targets).cloned().collect();
    let receipt = tenant.keys.shred(&targets).await;
    for (case, _, keys) in cases {
        let result = match &receipt {
            Ok(receipt) => finish(&case, keys, receipt).await,
            Err(failure) => Err(Refusal::Failed(failure.clone())),
        };
        outcomes.push((case.stream().clone(), result));
    }
    outcomes
}

/// The targets of a case, and how many of its keys there are: the shred's receipt counts those of all together.
async fn count(tenant: &Tenant, case: &Case<'_>, scopes: &BTreeSet<Scope>) -> Result<(Vec<Target>, u64), Refusal> {
    let targets = case.targets(scopes)?;
    let keys = tenant.keys.probe(&targets).await?;
    Ok((targets, keys))
}

async fn finish(case: &Case<'_>, keys: u64, receipt: &ShredReceipt) -> Result<(), Refusal> {
    let (root_before, root_after) =
        receipt.targets.first().map_or((0, 0), |shredded| (shredded.root_before, shredded.root_after));
    case.record(Step::KeysDestroyed { keys, root_before, root_after }).await?;
    match case.advance().await? {
        Pause::NothingToDo => Ok(()),
        Pause::DestroyKeys(_) => Err(Failure::damaged(case.stream(), "its keys are destroyed and yet to be").into()),
    }
}
