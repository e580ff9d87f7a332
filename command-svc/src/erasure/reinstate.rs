//! After a restore: what was erased stays erased, although the journal around it is older.

use domain::history::{StreamId, Tail};
use domain::policy::markers;
use domain::port::Tenant;
use domain::privacy::Phase;

use super::{case, fold};
use crate::commands::Commands;
use crate::follow_up::Cause;
use crate::refusal::Refusal;

/// Puts a person's erasures into force again whose `privacy` stream was brought up to date from elsewhere: fences what
/// has begun, writes the markers again that the restored streams miss, destroys again what some older copy of the key
/// tree brought back. Then the worker goes on. May be done again at any time.
///
/// # Errors
/// Nothing may be served before this went well for every person with an erasure.
pub async fn reinstate(commands: &Commands, tenant: &Tenant, stream: &StreamId) -> Result<(), Refusal> {
    let commits = tenant.journal.load(stream, Tail::default()).await?;
    let privacy = fold(stream, &commits)?;
    for (id, erasure) in privacy.erasures.iter().filter(|(_, erasure)| erasure.has_begun()) {
        let granted = erasure.granted();
        let targets = case::targets(stream, &granted)?;
        let fenced = tenant.keys.fence(&targets).await;
        stream.data_subject().into_iter().for_each(|person| commands.states.forget(person));
        fenced?;
        tracing::trace!(target: "failpoint", at = "erasure-reinstated-fence");
        if erasure.phase() >= Phase::Committed {
            let cause: Cause = case::approval(stream, &commits, *id)?;
            for marker in markers(stream, *id, &granted) {
                commands.follow_up(tenant, &marker, &cause).await?;
            }
        }
        if erasure.phase() >= Phase::KeysDestroyed && tenant.keys.probe(&targets).await? > 0 {
            tracing::error!(tenant = %tenant.id, erasure = %id, "keys were back that had been destroyed: destroying them again");
            tenant.keys.shred(&targets).await?;
        }
        tracing::trace!(target: "failpoint", at = "erasure-reinstated");
    }
    commands.settle(tenant, stream).await
}
