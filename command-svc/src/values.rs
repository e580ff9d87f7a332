//! Whether a value that is to be redacted is one: the record, the vault and the orders of the person name it, and no
//! aggregate knows all three.

use std::collections::BTreeSet;

use domain::body;
use domain::history::{Aggregate, StreamId, Tail};
use domain::permit::may_command;
use domain::port::Tenant;
use domain::privacy::{Command, Refused};
use domain::scope::{OneValue, Part};

use crate::commands::Commands;
use crate::execute::Request;
use crate::refusal::{Answer, Refusal};

impl Commands {
    /// Refuses an erasure of values that nothing of this person has: it would destroy nothing, and say that it did.
    /// Who may not ask for erasures at all learns nothing here.
    pub(crate) async fn check_values(
        &self,
        tenant: &Tenant,
        stream: &StreamId,
        command: &Command,
        request: &Request,
    ) -> Result<(), Refusal> {
        let Command::RequestErasure { values, .. } = command else { return Ok(()) };
        // A part that is no single value's has a refusal of its own.
        let mut missing: BTreeSet<&OneValue> = values.iter().filter(|value| value.part != Part::all()).collect();
        const NAME: &str = "privacy.request-erasure";
        if missing.is_empty() || !may_command(request.principal.actor.role, NAME) {
            return Ok(());
        }
        self.check_environment(tenant, stream, NAME, &request.principal).await?;
        for aggregate in [Aggregate::Participant, Aggregate::Identity, Aggregate::Privacy] {
            for commit in tenant.journal.load(&stream.sibling(aggregate), Tail::default()).await? {
                let named: BTreeSet<_> = commit.events.iter().flat_map(|event| body::named(&event.body)).collect();
                missing.retain(|value| !named.contains(&(value.scope, value.part.clone())));
            }
        }
        match missing.first() {
            None => Ok(()),
            Some(value) => Err(Refusal::Rejected(Answer::of(&Refused::NoSuchValue(value.scope)))),
        }
    }
}
