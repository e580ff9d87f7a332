//! What goes on no more by itself. No commit is ever put aside: a read model that cannot take one in stops there, so that it is
//! never wrong in silence. So there is no queue of dead letters, but a place at which something stands.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use domain::history::JournalId;
use domain::ids::StudyId;
use edge::{Caller, Ids, Parameters, Problem};
use serde::Serialize;
use utoipa::ToSchema;

use super::Entered;
use super::journals::named;
use super::projections::followed;
use super::reply::{Problems, Since, reflecting};
use crate::platform::inner::Inner;

/// What stands still.
#[derive(Serialize, ToSchema)]
#[schema(as = OperationsStandstills)]
pub(super) struct Standstills {
    /// One a journal stream; none: everything goes on.
    items: Vec<Standstill>,
}

/// A journal stream that is not taken in any further.
#[derive(Serialize, ToSchema)]
#[schema(as = OperationsStandstill)]
pub(super) struct Standstill {
    /// The study; none: the tenant's own.
    study: Option<StudyId>,
    /// `read-models-wait`: it tries again by itself. `read-models-stopped`: what was read is damaged, or nobody understands it.
    code: &'static str,
    /// Why, and what it stands at.
    reason: String,
    /// The last position that every read model has taken in: it stands at what comes next.
    reflected: String,
    /// How many messages wait behind it.
    behind: u64,
    /// What to do.
    next: &'static str,
}

/// What goes on no more by itself, or only after something answers again.
#[utoipa::path(
    get,
    path = "/v1/operations/standstills",
    operation_id = "list_standstills",
    tag = "operations",
    params(Since),
    responses((status = 200, description = "As it is at this moment.", body = Standstills), Problems)
)]
pub(super) async fn show(
    State(inner): State<Arc<Inner>>,
    Caller(who): Caller,
    Parameters(since): Parameters<Since>,
) -> Result<Response, Problem> {
    let entered = Entered::new(&inner, &who, "operations.show").await?;
    let positions = since.wait(&entered.open.ports).await?;
    let items = followed(&entered).into_iter().filter_map(|journal| {
        let (code, next) = match journal.state {
            "following" => return None,
            "retrying" => ("read-models-wait", "nothing: it goes on when what it waits for answers again"),
            _ => (
                "read-models-stopped",
                "run `lethe verify`; if the journal is sound, rebuild the read models; if it is not, restore it (docs/backup.md)",
            ),
        };
        let reason = journal.reason.unwrap_or_default();
        Some(Standstill {
            study: journal.study,
            code,
            reason,
            reflected: journal.reflected,
            behind: journal.behind,
            next,
        })
    });
    Ok(reflecting(&positions, Standstills { items: items.collect() }))
}

/// What came of a retry.
#[derive(Serialize, ToSchema)]
#[schema(as = OperationsRetried)]
pub(super) struct Retried {
    /// Whether it was started again; it may stop at the same place. It was not if it goes on already.
    started: bool,
}

/// Lets the read models follow a journal stream again at which they stopped. The journal is checked first.
#[utoipa::path(
    post,
    path = "/v1/operations/standstills/{journal}/retry",
    operation_id = "retry_standstill",
    tag = "operations",
    params(("journal" = String, Path, description = "the study, or `_` for the tenant's own journal stream")),
    responses((status = 200, description = "They follow it again.", body = Retried), Problems)
)]
pub(super) async fn retry(
    State(inner): State<Arc<Inner>>,
    Caller(who): Caller,
    Ids(journal): Ids<String>,
) -> Result<Response, Problem> {
    let entered = Entered::new(&inner, &who, "operations.retry").await?;
    let journal: JournalId = named(&entered, &journal).await?;
    let stood = followed(&entered).into_iter().any(|one| one.study == journal.study && one.state == "stopped");
    if stood {
        entered.open.runner.add_journal(journal).await?;
    }
    Ok(reflecting(&entered.open.ports.progress.reflected(), Retried { started: stood }))
}
