//! The read models: which table of each serves, and how far behind its journal streams it is.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use domain::ids::StudyId;
use edge::{Caller, Parameters, Problem};
use projection_svc::JournalState;
use serde::Serialize;
use utoipa::ToSchema;

use super::Entered;
use super::reply::{Problems, Since, reflecting};
use crate::platform::inner::Inner;

/// How the read models stand.
#[derive(Serialize, ToSchema)]
#[schema(as = OperationsProjections)]
pub(super) struct Projections {
    /// The journal streams that are followed.
    journals: Vec<Followed>,
    /// The read models.
    items: Vec<Model>,
}

/// A journal stream that is followed.
#[derive(Serialize, ToSchema)]
#[schema(as = OperationsFollowed)]
pub(super) struct Followed {
    /// The study; none: the tenant's own.
    pub(super) study: Option<StudyId>,
    /// `following`, `retrying` or `stopped`.
    pub(super) state: &'static str,
    /// Why it does not follow.
    pub(super) reason: Option<String>,
    /// The last position that every read model has taken in.
    pub(super) reflected: String,
    /// How many messages are known to come after it.
    pub(super) behind: u64,
}

/// A read model.
#[derive(Serialize, ToSchema)]
#[schema(as = OperationsProjection)]
pub(super) struct Model {
    /// Its name.
    projection: &'static str,
    /// The version of its rows.
    version: u32,
    /// Which of its tables serves: it grows with every rebuild.
    generation: u64,
    /// How many messages that are known it has not taken in, over all journal streams.
    lag: u64,
    /// The last commit of each journal stream that changed it.
    reached: Vec<Reached>,
}

/// The last commit of a journal stream that changed a read model.
#[derive(Serialize, ToSchema)]
#[schema(as = OperationsReached)]
pub(super) struct Reached {
    /// The study; none: the tenant's own.
    study: Option<StudyId>,
    /// Where it stands.
    sequence: u64,
}

/// What a journal stream's task is doing: its word and why.
pub(super) fn word(state: &JournalState) -> (&'static str, Option<String>) {
    match state {
        JournalState::Following => ("following", None),
        JournalState::Retrying { reason } => ("retrying", Some(reason.clone())),
        JournalState::Stopped { reason } => ("stopped", Some(reason.clone())),
    }
}

/// The read models, which table of each serves, and how far behind it is.
#[utoipa::path(
    get,
    path = "/v1/operations/projections",
    operation_id = "list_projections",
    tag = "operations",
    params(Since),
    responses((status = 200, description = "As it is at this moment.", body = Projections), Problems)
)]
pub(super) async fn show(
    State(inner): State<Arc<Inner>>,
    Caller(who): Caller,
    Parameters(since): Parameters<Since>,
) -> Result<Response, Problem> {
    let entered = Entered::new(&inner, &who, "operations.show").await?;
    let positions = since.wait(&entered.open.ports).await?;
    let journals: Vec<Followed> = followed(&entered);
    // All of them take a commit in together, or none does; so all are as far behind as the journal streams are.
    let lag = journals.iter().map(|journal| journal.behind).sum();
    let mut items = Vec::new();
    for model in entered.open.runner.models()? {
        let reached = model.reached.into_iter().filter(|(study, _)| entered.shows(study.as_ref()));
        let reached: Vec<_> = reached.map(|(study, sequence)| Reached { study, sequence }).collect();
        let (projection, version, generation) = (model.projection, model.version, model.generation);
        items.push(Model { projection, version, generation, lag, reached });
    }
    Ok(reflecting(&positions, Projections { journals, items }))
}

/// The journal streams that this credential sees.
pub(super) fn followed(entered: &Entered) -> Vec<Followed> {
    let health = entered.open.runner.health().into_iter().filter(|one| entered.shows(one.study.as_ref()));
    health
        .map(|one| {
            let (state, reason) = word(&one.state);
            Followed { study: one.study, state, reason, reflected: one.reflected, behind: one.behind }
        })
        .collect()
}
